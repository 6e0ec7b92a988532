#!/usr/bin/env bash
# The shipped model at full size, on one H200-class GPU whose host has torch but no internet: render in parallel, train
# the autoencoder, encode, train the transformer, score. Every step resumes, so run it again after an interruption.
# Results small enough to carry home (at most 16 MiB a file) end in $OUT.
#
#   bash runs/gpu.sh [--short]      --short tries the same path in minutes, on a CPU too
set -euo pipefail
cd "$(dirname "$0")/.."
export MUJOCO_GL="${MUJOCO_GL:-egl}" PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
WORK=out/gpu OUT="${OUT:-out/gpu/results}" WORKERS="${WORKERS:-16}"
DEVICE=$(python -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')
CLIPS=30000 VALIDATION=96 PROMPTS=96 VARIANT=""
if [ "${1:-}" = "--short" ]; then CLIPS=48 VALIDATION=10 PROMPTS=4 WORKERS=1 VARIANT="short_"; fi
mkdir -p "$WORK" "$OUT"
run() { python -m worldpatch "$@"; }

run doctor
run train "recipes/gpu.py:${VARIANT}vae" --out "$WORK/vae" --device "$DEVICE"
run data build tabletop --level 4 --size 128x128 --clips "$CLIPS" --vae "$WORK/vae/export" --out "$WORK/latents" \
  --workers "$WORKERS" --device "$DEVICE"
run data build rehearsal --level 2 --size 128x128 --clips "$((CLIPS / 3))" --vae "$WORK/vae/export" \
  --out "$WORK/rehearsal" --workers "$WORKERS" --device "$DEVICE"
run data build tabletop --level 4 --size 128x128 --clips "$VALIDATION" --first 5000000 --vae "$WORK/vae/export" \
  --out "$WORK/validation" --workers "$WORKERS" --device "$DEVICE"
for leg in dit last; do
  run train "recipes/gpu.py:${VARIANT}$leg" --out "$WORK/$leg" --device "$DEVICE"
done
run eval "$WORK/last/export" --suite prompts_level2 --prompts "$PROMPTS" -o "$OUT/eval" --device "$DEVICE"
cp "$WORK"/last/export/* "$WORK"/vae/export/* "$OUT/"
