#!/usr/bin/env bash
# Train a generator of rooms on one GPU and rebuild the bundle from it. Every step resumes: run the same command until it
# reports that the bundle is complete.
#
#     benchmarks/gpu/train_rooms.sh WORKDIR OUT [MINUTES [PRESET]]
#
# PRESET is rooms-128, the default, or rooms-64-wide: the scenes and the size of the bundled generator, with three times
# its weights and two and a half times its images. WORKDIR keeps the runs (checkpoints, rendered rooms). Every call
# writes results.tar into OUT in pieces of 15 MB: the averaged generator, its discriminator, the log and the last samples,
# and in the end bundle/; unpack it with `cat results.tar.* | tar x`. To continue on another machine, give both files to
# `sgi-engine train-generator --preset PRESET --generator ema.safetensors --discriminator discriminator.safetensors`.
# DEVICE=cpu tries the script without a GPU. SGI is the command, if the package is not installed:
# SGI="env PYTHONPATH=.typing python3 -m sgi.cli".
set -euo pipefail

work=${1:?WORKDIR}
out=${2:?OUT}
minutes=${3:-9}
preset=${4:-rooms-128}
device=${DEVICE:-cuda}
sgi=${SGI:-sgi-engine}
end=$((SECONDS + minutes * 60))

# Writes the files that exist so far; a complete bundle contains the generator in half the bytes.
collect_results() {
    mkdir -p "$out" && rm -f "$out"/results.tar.*
    local generator=generator/ema.safetensors files=() file
    if [ -e "$work/bundle/CARD.md" ]; then generator=bundle; fi
    for file in "$generator" generator/discriminator.safetensors generator/log.jsonl \
        "$(cd "$work" && ls generator/samples/*.png 2>/dev/null | tail -n 1)"; do
        if [ -n "$file" ] && [ -e "$work/$file" ]; then files+=("$file"); fi
    done
    if [ ${#files[@]} -gt 0 ]; then tar c -C "$work" "${files[@]}" | split -b 15MB - "$out/results.tar."; fi
}
mkdir -p "$work"
trap collect_results EXIT

step() {
    local left=$((end - SECONDS))
    if [ "$left" -lt 30 ] || ! timeout --signal INT "$left" $sgi "$@"; then
        [ "$left" -lt 30 ] || [ $SECONDS -ge $((end - 1)) ] || exit 1
        echo "time is up: run the same command again"
        exit 0
    fi
}

case $preset in
rooms-64*) teacher=$(dirname "$0")/../../engine/bundle/teacher.safetensors ;;
*)
    teacher=$work/teacher.safetensors
    step train-teacher --out "$teacher" --workdir "$work/teacher" --data "$work/rooms" --size 128 --device "$device"
    ;;
esac
step train-generator --preset "$preset" --workdir "$work/generator" --teacher "$teacher" --device "$device"
step bundle --workdir "$work" --out "$work/bundle" --teacher "$teacher" \
    --generator "$work/generator/ema.safetensors" --device "$device"
echo "the bundle is complete: $work/bundle"
