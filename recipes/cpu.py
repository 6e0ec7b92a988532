"""Everything from nothing on two CPU cores in a quarter of an hour; `runs/cpu.sh` runs it and prints what it reached.

Level 1: one solid, six colours, three events, 64 px, 25 frames. `short_*` are the same path in two minutes, for CI.
"""

import dataclasses

from worldpatch.train.loop import Run
from worldpatch.train.optim import Optim

LEVEL = {"level": 1}


def vae() -> Run:
    """The autoencoder: about 3 minutes."""
    return Run(
        stage="vae",
        steps=270,
        options={"options": LEVEL, "bank": 300, "cache": "out/cpu/bank", "batch": 8, "frames": 17, "validation": 16},
        optim=Optim(rate=1e-3, warmup=30, decay=0.3, ema=0.98, weight_decay=0.0),
        validate_every=100,
        sheet_minutes=1e9,
    )


def dit() -> Run:
    """The text encoder and a transformer of 4M parameters: about 6.5 minutes."""
    return Run(
        stage="dit",
        steps=760,
        options={
            "data": ("out/cpu/latents",), "validation": "out/cpu/validation", "vae": "out/cpu/vae/export",
            "model": {"depth": 4}, "text": {"depth": 2, "width": 128, "vocabulary": 512}, "budget": 24 * 112,
            "whole": 0.8, "keep_camera": 0.1,
        },
        optim=Optim(rate=1.5e-3, warmup=50, decay=0.3, ema=0.99),
        validate_every=350,
        sheet_minutes=1e9,
    )  # fmt: skip


def short_vae() -> Run:
    """A few steps: the same lines, no quality."""
    run = vae()
    return dataclasses.replace(run, steps=6, options={**run.options, "bank": 24, "validation": 8})


def short_dit() -> Run:
    run = dit()
    options = {**run.options, "budget": 8 * 112, "validation_clips": 10, "sheet_level": 0}
    return dataclasses.replace(run, steps=12, options=options)
