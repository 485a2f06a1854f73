#!/usr/bin/env bash
# Train rooms on one GPU and rebuild the bundle from them, in pieces: every step resumes, so run the same command until
# it says that the bundle is whole.
#
#     benchmarks/gpu/rooms.sh WORKDIR OUT [MINUTES [PRESET]]
#
# PRESET is rooms-128, the default, or rooms-64-wide: the bundle's world and size with three times its weights and two
# and a half times its images. WORKDIR keeps the runs (checkpoints, rendered rooms). OUT gets home.tar in pieces of 15 MB
# after every call: the averaged generator, its discriminator, log and last samples, and in the end bundle/; unpack it
# with `cat home.tar.* | tar x`. To train on another day, give both files to `sgi-engine train-generator --preset PRESET
# --generator ema.safetensors --discriminator discriminator.safetensors`. DEVICE=cpu rehearses. SGI is the command, for
# a machine where it is not installed: SGI="env PYTHONPATH=.typing python3 -m sgi.cli".
set -euo pipefail

work=${1:?WORKDIR}
out=${2:?OUT}
minutes=${3:-9}
preset=${4:-rooms-128}
device=${DEVICE:-cuda}
sgi=${SGI:-sgi-engine}
end=$((SECONDS + minutes * 60))

# Whatever there is by now; a finished bundle holds the generator in half the bytes.
bring_home() {
    mkdir -p "$out" && rm -f "$out"/home.tar.*
    local whole=generator/ema.safetensors things=() thing
    if [ -e "$work/bundle/CARD.md" ]; then whole=bundle; fi
    for thing in "$whole" generator/discriminator.safetensors generator/log.jsonl \
        "$(cd "$work" && ls generator/samples/*.png 2>/dev/null | tail -n 1)"; do
        if [ -n "$thing" ] && [ -e "$work/$thing" ]; then things+=("$thing"); fi
    done
    if [ ${#things[@]} -gt 0 ]; then tar c -C "$work" "${things[@]}" | split -b 15MB - "$out/home.tar."; fi
}
mkdir -p "$work"
trap bring_home EXIT

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
echo "the bundle is whole: $work/bundle"
