#!/usr/bin/env bash
# Download the build requirements of the C++ library into a folder: without root, without installing anything, and
# without changing apt's state.
#
#   engine/native/get-deps.sh build/deps && cmake -B build -D CMAKE_PREFIX_PATH=$PWD/build/deps/usr
#
# ONNX Runtime's headers and Highway's source come from Debian trixie, because older releases do not have them. The
# other packages come from this machine's release, unless they are installed. Mirrors are those of the machine's sources.
set -euo pipefail
deps=${1:?usage: get-deps.sh FOLDER}
onnxruntime=libonnxruntime-dev
highway=highway
packages=(nlohmann-json3-dev libcpp-httplib-dev libpng-dev)

if ! command -v apt-get dpkg >/dev/null; then
  echo "error: apt is missing; install the headers of ONNX Runtime, nlohmann-json, libpng, cpp-httplib and" \
       "Highway, and add their prefix to CMAKE_PREFIX_PATH" >&2
  exit 2
fi
mkdir -p "$deps"
deps=$(cd "$deps" && pwd)
wanted="$onnxruntime $highway ${packages[*]}"
[ "$(cat "$deps/.ready" 2>/dev/null)" = "$wanted" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,debs,trixie/partial}

own=(-qq -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root)
trixie=("${own[@]}" -o Dir::State::Lists="$work/trixie" -o Dir::Etc::SourceList="$work/trixie.list"
        -o Dir::Etc::SourceParts=/dev/null)
apt-get "${own[@]}" update
mirror=$(apt-get "${own[@]}" indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sed -n 1p)
if [ -z "$mirror" ]; then
  echo "error: this machine has no apt source of Debian; install $onnxruntime, libhwy-dev and ${packages[*]} yourself" >&2
  exit 2
fi
for kind in deb deb-src; do
  echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main"
done > "$work/trixie.list"
apt-get "${trixie[@]}" update

cd "$work/debs"
apt-get "${trixie[@]}" download $onnxruntime
# --print-uris lists only packages that are not installed.
apt-get "${own[@]}" install --print-uris --yes --no-install-recommends "${packages[@]}" \
  | sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p" | xargs --no-run-if-empty apt-get "${own[@]}" download
for deb in *.deb; do dpkg -x "$deb" "$deps"; done
# The source, because Debian has only a shared library.
apt-get "${trixie[@]}" source --download-only $highway
mkdir -p "$deps/usr/src"
tar -xzf ${highway}_*.orig.tar.gz -C "$deps/usr/src"
echo "$wanted" > "$deps/.ready"
