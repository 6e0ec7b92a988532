#!/usr/bin/env bash
# The scaling law at full size, on one H200-class GPU whose host has torch but no internet: render clips, train some sixty
# networks from 0.4M to 25M parameters, a dozen at a time, sample the same prompts at three budgets, fit. 25 minutes are
# planned. Every step resumes, so run it again after an interruption. Results small enough to carry home end in $OUT;
# where scipy or matplotlib are missing, carry them home and run `worldpatch scale fit` there.
#
#   bash runs/scale_gpu.sh [--short]      --short tries the same path in a minute, on a CPU too, and fits nothing
set -euo pipefail
cd "$(dirname "$0")/.."
export MUJOCO_GL="${MUJOCO_GL:-egl}" PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
WORKERS="${WORKERS:-16}" JOBS="${JOBS:-14}"
DEVICE=$(python -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')
WORK=out/scale_gpu CLIPS=4000 VALIDATION=96 RECIPE=gpu
if [ "${1:-}" = "--short" ]; then WORK=out/scale_gpu_short CLIPS=24 VALIDATION=10 WORKERS=1 JOBS=1 RECIPE=short_gpu; fi
OUT="${OUT:-$WORK/results}"
mkdir -p "$WORK" "$OUT"
run() { python -m worldpatch "$@"; }

run data build tabletop --level 1 --clips "$CLIPS" --recolours 2 --vae tabletop --out "$WORK/latents" \
  --workers "$WORKERS" --device "$DEVICE"
run data build tabletop --level 1 --clips "$VALIDATION" --first 5000000 --vae tabletop --out "$WORK/validation" \
  --workers "$WORKERS" --device "$DEVICE"
run scale run "scale:$RECIPE" --out "$WORK/$RECIPE" --jobs "$JOBS" --device "$DEVICE"
cp "$WORK/$RECIPE"/points.jsonl "$WORK/$RECIPE"/grid.json "$OUT/"
if [ "$RECIPE" = gpu ]; then
  run scale judge "$WORK/$RECIPE" --workers "$WORKERS" --device "$DEVICE" || echo "not judged: the suite needs scipy"
  cp "$WORK/$RECIPE/points.jsonl" "$OUT/"
  cp "$WORK/$RECIPE/sheet.png" "$OUT/"
  run scale fit "$OUT" || echo "the points are in $OUT: fit them where scipy and matplotlib are"
fi
