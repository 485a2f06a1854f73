#!/usr/bin/env bash
# Fetch what the C++ library is built with into a folder of its own: no root, nothing installed, apt's state untouched.
#
#   engine/native/get-deps.sh build/deps && cmake -B build -D CMAKE_PREFIX_PATH=$PWD/build/deps/usr
#
# ONNX Runtime's headers come from Debian trixie (older releases have none; headers depend on no other package), the
# rest from this machine's own release, and only what is not installed. Mirrors are those of the machine's sources.
set -euo pipefail
deps=${1:?usage: get-deps.sh FOLDER}
onnxruntime=libonnxruntime-dev
packages=(nlohmann-json3-dev libcpp-httplib-dev libpng-dev)

if ! command -v apt-get dpkg >/dev/null; then
  echo "error: no apt here; install the headers of ONNX Runtime, nlohmann-json, libpng and cpp-httplib," \
       "and name their prefix in CMAKE_PREFIX_PATH" >&2
  exit 2
fi
mkdir -p "$deps"
deps=$(cd "$deps" && pwd)
[ -e "$deps/.ready" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,debs,trixie/partial}

own=(-qq -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root)
trixie=("${own[@]}" -o Dir::State::Lists="$work/trixie" -o Dir::Etc::SourceList="$work/trixie.list"
        -o Dir::Etc::SourceParts=/dev/null)
apt-get "${own[@]}" update
mirror=$(apt-get "${own[@]}" indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sed -n 1p)
if [ -z "$mirror" ]; then
  echo "error: none of this machine's apt sources is a Debian mirror; install $onnxruntime and ${packages[*]} yourself" >&2
  exit 2
fi
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" > "$work/trixie.list"
apt-get "${trixie[@]}" update

cd "$work/debs"
apt-get "${trixie[@]}" download $onnxruntime
# --print-uris resolves dependencies against what is installed, so this is the missing part alone.
apt-get "${own[@]}" install --print-uris --yes --no-install-recommends "${packages[@]}" \
  | sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p" | xargs --no-run-if-empty apt-get "${own[@]}" download
for deb in *.deb; do dpkg -x "$deb" "$deps"; done
touch "$deps/.ready"
