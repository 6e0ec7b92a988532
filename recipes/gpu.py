"""The full-size plan for one H200-class GPU: levels 3 to 4, 128 px, 10M parameters. `runs/gpu.sh` runs it.

Not measured yet: it waits in docs/gpu-queue.md.
"""

import dataclasses

from worldpatch.train.loop import Run
from worldpatch.train.optim import Optim
from worldpatch.train.stages.dit import DIRECTED

LEVEL = {"level": 4, "height": 128, "width": 128}


def vae() -> Run:
    """The autoencoder on 128 px clips: about 4 minutes of an H200 are planned."""
    return Run(
        stage="vae",
        steps=6000,
        options={"options": LEVEL, "bank": 4000, "cache": "out/gpu/bank", "batch": 16, "frames": 17, "workers": 16},
        optim=Optim(rate=1e-3, warmup=200, decay=0.3, ema=0.998, weight_decay=0.0),
        validate_every=1000,
    )


def dit() -> Run:
    """The text encoder and a transformer of 9M parameters: about 10 minutes of an H200 are planned."""
    return Run(
        stage="dit",
        steps=14_000,
        options={
            "data": ("out/gpu/latents",), "validation": "out/gpu/validation", "vae": "out/gpu/vae/export",
            "model": {"depth": 6}, "text": {"depth": 3, "width": 192}, "budget": 128 * 448,
            "whole": 0.8, "keep_camera": 0.15,
        },
        optim=Optim(rate=1e-3, warmup=500, decay=0.0, ema=0.999),
        save_minutes=3.0,
        sheet_minutes=4.0,
        validate_every=2000,
    )  # fmt: skip


def last() -> Run:
    """The last third, with known beginnings, ends and boxes, cameras, tracks and likenesses, at a falling rate: about 4
    minutes of an H200 are planned."""
    run = dit()
    data = (*run.options["data"], "out/gpu/rehearsal")
    options = {**run.options, "data": data, "start_from": "out/gpu/dit/export", **DIRECTED}
    return dataclasses.replace(
        run, steps=6_000, seed=1, options=options, optim=dataclasses.replace(run.optim, warmup=50, decay=0.9)
    )


def short_vae() -> Run:
    run = vae()
    options = {**run.options, "bank": 24, "validation": 8, "batch": 2, "workers": 1}
    return dataclasses.replace(run, steps=3, options=options)


def short_dit() -> Run:
    return _short(dit())


def short_last() -> Run:
    return _short(last())


def _short(run: Run) -> Run:
    options = {**run.options, "budget": 4 * 448, "model": {"depth": 2}, "validation_clips": 10, "sheet_level": 0}
    return dataclasses.replace(run, steps=3, options=options)
