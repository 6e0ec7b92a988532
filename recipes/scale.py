"""Grids of `worldpatch scale`: how loss, samples and physics errors follow compute, and whether a learning rate moves.

Two CPU cores, about 40 minutes:

    worldpatch data build tabletop --level 1 --clips 1100 --recolours 2 --vae tabletop --out out/level1
    worldpatch data build tabletop --level 1 --clips 64 --first 5000000 --vae tabletop --out out/validation1
    worldpatch scale run scale:cpu --jobs 2 --out out/scale_cpu
    worldpatch scale fit out/scale_cpu

One H200-class GPU, 25 minutes: `runs/scale_gpu.sh`. All sizes are 32 times as wide as they are deep, in heads of 32,
but for the smallest: no network is narrower than the 64 numbers of a patch. All clips are whole, so that training and
validation ask the same.
"""

import dataclasses

from worldpatch.train.loop import Run
from worldpatch.train.optim import Optim
from worldpatch.train.scaling.grid import Grid

BASE_WIDTH = 256  # where one rate suits all layers (docs/LOG.md); narrower ones gain from faster matrices
NEVER = 1e9


def cpu() -> Grid:
    """Five budgets of 1.5 to 24 TFLOP, seven sizes of 0.06 to 7.5M parameters; rates at a fourfold range of widths."""
    return Grid(
        base=_base("out/level1", "out/validation1", clips=8),
        sizes=((1, 64), *((depth, 32 * depth) for depth in (2, 3, 4, 5, 6, 8))),
        budgets=(1.5e12, 3e12, 6e12, 12e12, 24e12),
        least_steps=100,
        most_steps=8000,
        rate_sizes=((3, 64), (3, 128), (3, 256)),
        rates=(1e-3, 2e-3, 4e-3, 8e-3, 16e-3, 32e-3),
        rate_steps=200,
        base_widths=(0, BASE_WIDTH),
    )


def gpu() -> Grid:
    """Five budgets of 40 to 640 TFLOP, seven sizes of 0.4 to 25M parameters; rates over a fourfold range of widths.

    Steps of small networks wait for Python, so what bounds the time is their number. Not measured yet: it waits in
    docs/gpu-queue.md.
    """
    base = _base("out/scale_gpu/latents", "out/scale_gpu/validation", clips=64)
    return Grid(
        base=dataclasses.replace(base, options={**base.options, "model": {**base.options["model"], "backend": "sdpa"}}),
        sizes=tuple((depth, 32 * depth) for depth in (3, 4, 5, 6, 8, 10, 12)),
        budgets=(4e13, 8e13, 16e13, 32e13, 64e13),
        least_steps=150,
        most_steps=8000,
        rate_sizes=((4, 128), (4, 256), (4, 512)),
        rates=(1e-3, 2e-3, 4e-3, 8e-3, 16e-3),
        rate_steps=600,
        base_widths=(0, BASE_WIDTH),
    )


def short_cpu() -> Grid:
    """The same path as `cpu` in two minutes of one core: it proves the path and no law."""
    return dataclasses.replace(
        cpu(), sizes=((1, 32), (1, 64), (2, 64), (3, 96)), budgets=(5e10, 1e11, 2e11), least_steps=20,
        rate_sizes=((1, 64), (1, 128)), rates=(1e-3, 4e-3, 16e-3), rate_steps=20,
    )  # fmt: skip


def short_gpu() -> Grid:
    """The same path as `gpu` on a CPU in under a minute: it proves the path and no law."""
    base = gpu().base
    options = {
        **base.options, "data": ("out/scale_gpu_short/latents",), "validation": "out/scale_gpu_short/validation",
        "budget": 4 * 112, "validation_clips": 10, "sheet_level": 0,
    }  # fmt: skip
    base = dataclasses.replace(base, options=options, optim=dataclasses.replace(base.optim, warmup=2))
    return dataclasses.replace(
        gpu(), base=base, sizes=((1, 64), (2, 64), (3, 96)), budgets=(2e9, 4e9, 8e9), least_steps=2,
        rate_sizes=((1, 64), (1, 128)), rates=(2e-3, 8e-3, 32e-3), rate_steps=2,
    )  # fmt: skip


def _base(data: str, validation: str, clips: int) -> Run:
    """What all networks share: so many whole clips of 25 frames at 64 px a step, a small text encoder."""
    return Run(
        stage="dit",
        steps=0,
        options={
            "data": (data,), "validation": validation, "vae": "checkpoints/tabletop", "model": {"head_width": 32},
            "text": {"depth": 1, "width": 64, "heads": 2, "vocabulary": 512}, "budget": clips * 112,
            "whole": 1.0, "keep_camera": 0.0, "images": 0.0, "continuations": 0.0,
        },
        optim=Optim(rate=2e-3, base_width=BASE_WIDTH, warmup=20, decay=0.2, ema=0.99),
        save_minutes=3.0,
        sheet_minutes=NEVER,
        validate_every=10**9,
    )  # fmt: skip
