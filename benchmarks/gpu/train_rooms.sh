#!/usr/bin/env bash
# Train a generator of rooms on one GPU in sessions of a few minutes, and build a bundle from it.
#
#     benchmarks/gpu/train_rooms.sh prepare WORKDIR &           # beside other work: render rooms in CPU processes
#     benchmarks/gpu/train_rooms.sh train WORKDIR OUT SECONDS   # train on the rooms that exist, for SECONDS at most
#     benchmarks/gpu/train_rooms.sh bundle WORKDIR OUT SECONDS  # train a teacher and write the bundle; resumes
#
# PRESET is rooms-128, the default, or rooms-64-wide. WORKDIR keeps the runs; in a folder of memory (/dev/shm) rendering
# does not wait for a disk. WORKERS is the number of CPU processes that render, 6 by default.
#
# `train` ends the rendering of `prepare`. If there are fewer than MIN_ROOMS rooms, it renders the rest first. Every
# minute it writes the averaged generator, its discriminator, the log and the last samples as rooms-KIMG.tar in pieces of
# 15 MB into OUT, and removes the former ones after that: at any time one complete set is there. Unpack it with
# `cat rooms-KIMG.tar.* | tar x`. To continue on another machine, set START to the folder generator/ of that archive.
#
# DEVICE=cpu tries the script without a GPU. SGI is the command, if the package is not installed:
# SGI="python3 -m sgi.cli" with PYTHONPATH=.typing.
set -euo pipefail

what=${1:?prepare, train or bundle}
work=${2:?WORKDIR}
preset=${PRESET:-rooms-128}
device=${DEVICE:-cuda}
workers=${WORKERS:-6}
min_rooms=${MIN_ROOMS:-8192}
sgi=${SGI:-sgi-engine}
here=$(dirname "$0")
mkdir -p "$work"

if [ "$what" = prepare ]; then
    # A process group of its own, which `train` ends.
    OMP_NUM_THREADS=1 setsid nice "${PYTHON:-python3}" "$here/prepare_rooms.py" "$work" "$preset" "$workers" "$device" &
    echo $! >"$work/prepare.pid"
    wait $!
    exit
fi

out=${3:?OUT}
end=$((SECONDS + ${4:?SECONDS}))
mkdir -p "$out"

# The number of rooms that are rendered, 0 if there are none.
finished_rooms() {
    sed -n 's/.*"finished": \([0-9]*\).*/\1/p' "$work/rooms/header.json" 2>/dev/null || true
}

# Write the files of the last save of the run into $out, unless they are there already.
collect() {
    local run=$work/generator pack=$work/pack stamp files name
    # A save writes the discriminator last.
    [ -e "$run/discriminator.safetensors" ] && [ ! "$run/ema.safetensors" -nt "$run/discriminator.safetensors" ] || return 0
    stamp=$(stat -c %Y "$run/discriminator.safetensors")
    [ "$stamp" != "$(cat "$work/collected" 2>/dev/null)" ] || return 0
    rm -rf "$pack" && mkdir -p "$pack"
    files=(generator/ema.safetensors generator/discriminator.safetensors)
    [ ! -e "$run/log.jsonl" ] || files+=(generator/log.jsonl)
    name=$(cd "$work" && ls generator/samples/*.png 2>/dev/null | tail -n 1) || true
    [ -z "$name" ] || files+=("$name")
    name=rooms-$(date +%s)
    tar c -C "$work" "${files[@]}" | split -b 15MB - "$pack/$name.tar."
    # A save during the copy may have mixed two states: take the next one.
    [ "$stamp" = "$(stat -c %Y "$run/discriminator.safetensors")" ] || return 0
    cp "$pack"/* "$out/"
    find "$out" -name 'rooms-*.tar.*' ! -name "$name.tar.*" -delete
    echo "$stamp" >"$work/collected"
}

# Run a command of the package for the time that is left; SIGINT makes it save and end.
step() {
    local left=$((end - SECONDS)) status=0
    [ "$left" -gt 0 ] || { echo "time is up: run the same command again" && exit 0; }
    timeout --signal INT --kill-after 30 "$left" $sgi "$@" || status=$?
    [ $status = 0 ] || [ $status = 124 ] || [ $status = 130 ] || exit $status
}

case $what in
train)
    if [ -e "$work/prepare.pid" ]; then kill -TERM -- "-$(cat "$work/prepare.pid")" 2>/dev/null || true; fi
    rooms=$(finished_rooms)
    if [ "${rooms:-0}" -lt "$min_rooms" ]; then rooms=$min_rooms; fi
    # A run continues on the rooms that it began with.
    if [ -e "$work/count" ]; then rooms=$(cat "$work/count"); fi
    echo "$rooms" >"$work/count"
    echo "training on $rooms rooms"
    start=()
    if [ -n "${START:-}" ]; then
        start=(--generator "$START/ema.safetensors" --discriminator "$START/discriminator.safetensors")
    fi
    (while sleep 2; do collect; done) &
    collector=$!
    trap 'kill $collector 2>/dev/null || true; wait $collector 2>/dev/null || true; collect' EXIT
    # The rooms and the held-out rooms are in the run's folder, where the run looks for them.
    step train-generator --preset "$preset" --workdir "$work/generator" --data "$work/rooms" --count "$rooms" \
        --workers "${RENDERERS:-$(nproc)}" --device "$device" "${start[@]}"
    ;;
bundle)
    case $preset in
    rooms-64*) teacher=$here/../../engine/bundle/teacher.safetensors ;;
    *)
        teacher=$work/teacher.safetensors
        step train-teacher --out "$teacher" --workdir "$work/teacher" --data "$work/rooms" --size 128 --device "$device"
        ;;
    esac
    step bundle --workdir "$work" --out "$work/bundle" --teacher "$teacher" \
        --generator "$work/generator/ema.safetensors" --device "$device"
    if [ -e "$work/bundle/CARD.md" ]; then tar c -C "$work" bundle | split -b 15MB - "$out/bundle.tar."; fi
    ;;
*)
    echo "$what: choose prepare, train or bundle" >&2
    exit 2
    ;;
esac
