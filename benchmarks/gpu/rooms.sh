#!/usr/bin/env bash
# Train the 128 px rooms on one GPU and rebuild the bundle from them, in pieces: every step resumes, so run the same
# command until it says that the bundle is whole.
#
#     benchmarks/gpu/rooms.sh WORKDIR OUT [MINUTES]
#
# WORKDIR keeps the runs (checkpoints, rendered rooms); OUT gets what is worth bringing home after every call: the
# averaged generator, log, samples and, in the end, bundle/. SGI is the command, for a machine where it is not
# installed: SGI="env PYTHONPATH=.typing python3 -m sgi.engine.cli".
set -euo pipefail

work=${1:?WORKDIR}
out=${2:?OUT}
minutes=${3:-9}
sgi=${SGI:-sgi-engine}
end=$((SECONDS + minutes * 60))

bring_home() {
    mkdir -p "$out/samples"
    cp -f "$work"/generator/{ema.safetensors,log.jsonl} "$out" 2>/dev/null || true
    ls "$work"/generator/samples/*.png 2>/dev/null | tail -n 3 | xargs -r cp -f -t "$out/samples"
}
trap bring_home EXIT

step() {
    local left=$((end - SECONDS))
    if [ "$left" -lt 30 ] || ! timeout --signal INT "$left" $sgi "$@"; then
        [ "$left" -lt 30 ] || [ $SECONDS -ge $((end - 1)) ] || exit 1
        echo "time is up: run the same command again"
        exit 0
    fi
}

step train-teacher --out "$work/teacher.safetensors" --workdir "$work/teacher" --data "$work/rooms" --size 128 \
    --device cuda
step train-generator --preset rooms-128 --workdir "$work/generator" --teacher "$work/teacher.safetensors" \
    --device cuda
step bundle --workdir "$work" --out "$work/bundle" --teacher "$work/teacher.safetensors" \
    --generator "$work/generator/ema.safetensors" --device cuda
cp -r "$work/bundle" "$out"
echo "the bundle is whole: $out/bundle"
