#!/usr/bin/env bash
# Build the presets that tests/native uses, with the OpenVINO of a Python environment. If a build requirement is missing,
# print it and exit with 0, or with 1 if SGI_REQUIRE_NATIVE is set.
set -euo pipefail
python=$(realpath "${1:?usage: build.sh VENV}")/bin/python
cd "$(dirname "$0")/../.."

missing() {
  echo "The C++ library is not built, and its tests are skipped: $1" >&2
  [ -z "${SGI_REQUIRE_NATIVE:-}" ] && exit 0 || exit 1
}
command -v cmake >/dev/null || missing "cmake is not installed"
headers=""
for folder in build/deps/usr /usr/local /usr; do
  if [ -e $folder/include/onnxruntime/onnxruntime_c_api.h ]; then headers=$folder; fi
done
[ -n "$headers" ] || missing "ONNX Runtime's headers are not installed; run make native-deps"

openvino=$("$python" -c 'from importlib.util import find_spec as f; s = f("openvino"); print(s.submodule_search_locations[0] if s else "")')

# PyPI and Debian have no package with TensorRT's headers, so the file that includes them is compiled only if they exist.
tensorrt=""
for folder in ${TENSORRT_INCLUDE_DIR:-} build/deps/usr/include /usr/local/include /usr/include /usr/include/x86_64-linux-gnu; do
  if [ -e "$folder/NvInferRuntime.h" ]; then tensorrt=$folder && break; fi
done
[ -n "$tensorrt" ] || echo "engine/native/src/tensorrt_library.cpp is not compiled: NvInferRuntime.h was not found;" \
                           "set TENSORRT_INCLUDE_DIR to its folder" >&2

for preset in release asan tsan ${openvino:+openvino} ${tensorrt:+tensorrt}; do
  kernels=""
  case $preset in openvino | tensorrt) kernels=$PWD/build/native-release ;; esac
  cmake --preset "$preset" ${openvino:+-D OpenVINO_DIR="$openvino/cmake"} -D SGI_CPU_KERNELS_OF="$kernels" \
    ${tensorrt:+-D TENSORRT_INCLUDE_DIR="$tensorrt"} --no-warn-unused-cli >/dev/null
  cmake --build --preset "$preset" --parallel "$(nproc)"
done
