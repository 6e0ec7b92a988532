"""The shipped model: a small tabletop world of one to three solids, trained on two CPU cores.

    worldpatch train recipes/tabletop.py:vae --out out/vae
    worldpatch data build tabletop --level 1 --clips 1000 --recolours 2 --vae out/vae/export --out out/level1
    worldpatch data build tabletop --level 2 --clips 3000 --recolours 2 --vae out/vae/export --out out/level2
    worldpatch data build tabletop --level 2 --clips 100 --first 5000000 --vae out/vae/export --out out/validation
    worldpatch train recipes/tabletop.py:dit --out out/dit
    worldpatch train recipes/tabletop.py:longer --out out/longer
    worldpatch train recipes/tabletop.py:sides --out out/sides
    worldpatch train recipes/tabletop.py:last --out out/last
    worldpatch train recipes/tabletop.py:decoder --out out/decoder

What ships is the transformer of `last` with the autoencoder of `decoder`. Measured results, and where the shipped
weights took a longer way, stand in checkpoints/tabletop/card.md.
"""

import dataclasses

from worldpatch.train.loop import Run
from worldpatch.train.optim import Optim


def vae() -> Run:
    """The causal autoencoder on 64 px clips of level 2 and procedural textures."""
    return Run(
        stage="vae",
        steps=1000,
        options={"options": {"level": 2}, "bank": 1500, "cache": "out/bank", "batch": 12, "frames": 17},
        optim=Optim(rate=1e-3, warmup=150, decay=0.3, ema=0.99, weight_decay=0.0),
        save_minutes=2.0,
        sheet_minutes=4.0,
        validate_every=200,
    )


def dit() -> Run:
    """The text encoder and the transformer on 64 px latents of levels 1 and 2."""
    return Run(
        stage="dit",
        steps=2500,
        options={
            "data": ("out/level1", "out/level2"), "validation": "out/validation", "vae": "out/vae/export",
            "model": {"depth": 4}, "text": {"depth": 3, "width": 192}, "budget": 32 * 112,
        },
        optim=Optim(rate=1.5e-3, warmup=200, decay=0.25, ema=0.997),
        save_minutes=4.0,
        sheet_minutes=8.0,
        validate_every=400,
    )  # fmt: skip


def longer() -> Run:
    """A second leg of `dit`, from its exported weights."""
    run = dit()
    optim = dataclasses.replace(run.optim, warmup=100, decay=0.3)
    options = {**run.options, "start_from": "out/dit/export"}
    return dataclasses.replace(run, steps=7200, seed=1, optim=optim, options=options)


def sides() -> Run:
    """A short lesson in left and right: only what moves across the frame, only near noise, where ways are decided."""
    run = dit()
    optim = dataclasses.replace(run.optim, warmup=50, decay=0.1, ema=0.98)
    shares = dict.fromkeys(("drop_text", "keep_camera", "images", "continuations"), 0.0)
    options = {
        **run.options, **shares, "data": ("out/level1",), "only": r"(roll|slid).*(left|right)", "whole": 1.0,
        "least_time": 0.85, "start_from": "out/longer/export",
    }  # fmt: skip
    return dataclasses.replace(run, steps=500, seed=2, optim=optim, options=options, validate_every=10_000)


def last() -> Run:
    """The whole mix again, with more whole clips, at a falling rate."""
    run = dit()
    optim = dataclasses.replace(run.optim, rate=1e-3, warmup=50, decay=0.7)
    options = {**run.options, "whole": 0.7, "start_from": "out/sides/export"}
    return dataclasses.replace(run, steps=1600, seed=3, optim=optim, options=options)


def decoder() -> Run:
    """The decoder alone, after the latents are stored: sharper pictures, the same latents."""
    run = vae()
    options = {**run.options, "freeze_encoder": True, "start_from": "out/vae/export"}
    return dataclasses.replace(run, steps=1200, options=options)
