#!/usr/bin/env bash
# Build sgi-engine-cpu and install it into a Python environment. Where that is impossible, print why and exit with 0,
# because everything runs without it, or with 1 if SGI_REQUIRE_NATIVE is set.
#
#   engine/native/python/install.sh VENV [BUILD]
#
# BUILD is the folder of a release build of the C++ library, whose kernels are linked instead of being compiled again. If
# there is no such folder, they are compiled.
set -euo pipefail
python=$(realpath "${1:?usage: install.sh VENV [BUILD]}")/bin/python
kernels=""
if [ -d "${2:-}" ]; then kernels=$(realpath "$2"); fi
cd "$(dirname "$0")/../../.."
log=build/python/install.log

missing() {
  echo "sgi-engine-cpu is not installed, and other runtimes run the models: $1" >&2
  [ -z "${SGI_REQUIRE_NATIVE:-}" ] && exit 0 || exit 1
}
command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || missing "no C++ compiler"

# Without these headers CMake downloads them.
if command -v apt-get >/dev/null; then
  timeout 300 engine/native/get-deps.sh build/deps >/dev/null 2>&1 || true
fi
mkdir -p build/python
export CMAKE_PREFIX_PATH=$PWD/build/deps/usr${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}
settings=(-C "cmake.define.SGI_CPU_KERNELS_OF=$kernels")
for source in build/deps/usr/src/highway-*; do
  if [ -d "$source" ]; then settings+=(-C "cmake.define.FETCHCONTENT_SOURCE_DIR_HWY=$PWD/$source"); fi
done
timeout 1200 "$python" -m pip install --disable-pip-version-check --no-deps --force-reinstall ./engine/native/python \
  -C "build-dir=$PWD/build/python/{wheel_tag}" "${settings[@]}" >$log 2>&1 ||
  missing "its build failed, see $log"
