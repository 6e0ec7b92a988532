#!/usr/bin/env bash
# Native size against squares and buckets at full size, on one H200-class GPU whose host has torch, mujoco and scipy but no
# internet: 12,000 clips, a network of 31M parameters, 2 seeds of three arms at 600 TFLOP each. Every step resumes, so run it
# again after an interruption. What ends in $OUT is small enough to carry home.
#
#   bash runs/native_gpu.sh [--short]      --short tries the same path in a minute, on a CPU too
set -euo pipefail
cd "$(dirname "$0")/.."
export MUJOCO_GL="${MUJOCO_GL:-egl}" PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
DEVICE=$(python -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')
WORK=out/native_gpu
SIZES=(--clips 12000 --test 420 --drawn 210 --depth 10 --width 448 --tokens 28672 --flops 6e14 --rate 1.5e-3
  --workers "${WORKERS:-16}" --device "$DEVICE")
if [ "${1:-}" = "--short" ]; then WORK=out/native_gpu_short SIZES=(--short --device "$DEVICE"); fi
OUT="${OUT:-$WORK/results}"
mkdir -p "$WORK" "$OUT"

python benchmarks/native_size.py "$WORK" "${SIZES[@]}" -o "$OUT/native_size_gpu.md"
cp "$WORK"/*-[0-9].json "$WORK/real.json" "$OUT/"
