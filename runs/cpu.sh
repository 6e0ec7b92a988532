#!/usr/bin/env bash
# Everything from an empty folder to a scored video on two CPU cores: render, train the autoencoder, encode, train the
# transformer, sample, and score against untrained weights. About 15 minutes; every step resumes if run again.
#
#   bash runs/cpu.sh [--short]      --short is the same path in two minutes, for CI: it proves the path, not the quality
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=out/cpu CLIPS=1500 VALIDATION=32 PROMPTS=32 STEPS=20 VARIANT=""
if [ "${1:-}" = "--short" ]; then CLIPS=24 VALIDATION=10 PROMPTS=4 STEPS=4 VARIANT="short_"; fi
run() { python -m worldpatch "$@"; }

run train "recipes/cpu.py:${VARIANT}vae" --out $OUT/vae
run data build tabletop --level 1 --clips $CLIPS --vae $OUT/vae/export --out $OUT/latents --workers 2
run data build tabletop --level 1 --clips $VALIDATION --first 5000000 --vae $OUT/vae/export --out $OUT/validation --workers 2
run train "recipes/cpu.py:${VARIANT}dit" --steps 0 --out $OUT/untrained
run train "recipes/cpu.py:${VARIANT}dit" --out $OUT/dit
run generate "a red ball falls" --model $OUT/dit/export -o $OUT/ball.mp4 --size 64x64 --steps $STEPS
run eval $OUT/untrained/export --suite prompts_level1 --prompts $PROMPTS --seeds 1 --steps $STEPS -o $OUT/eval-untrained
run eval $OUT/dit/export --suite prompts_level1 --prompts $PROMPTS --seeds 1 --steps $STEPS -o $OUT/eval
