r"""The shipped model: a small tabletop world of one to three solids, trained on two CPU cores in under three hours.

    worldpatch train recipes/tabletop.py:vae --out out/vae
    worldpatch data build tabletop --level 1 --clips 1100 --recolours 2 --vae out/vae/export --out out/level1
    worldpatch data build tabletop --level 2 --clips 2600 --recolours 2 --vae out/vae/export --out out/level2
    worldpatch data build tabletop --level 2 --clips 100 --first 5000000 --vae out/vae/export --out out/validation
    worldpatch train recipes/tabletop.py:dit --out out/dit
    worldpatch data build tabletop --level 1 --size 128x128 --clips 80 --first 1000000 --recolours 2 \
        --vae out/vae/export --out out/large1
    worldpatch data build tabletop --level 2 --size 128x128 --clips 160 --first 1000000 --recolours 2 \
        --vae out/vae/export --out out/large2
    worldpatch train recipes/tabletop.py:last --out out/last
    worldpatch train recipes/tabletop.py:decoder --out out/decoder
    worldpatch train recipes/tabletop.py:directed --out out/directed

`directed` is in training (docs/directing.md); what ships is the transformer of `last`, the autoencoder of `decoder`.
Measured results stand in checkpoints/tabletop/card.md.
"""

import dataclasses

from worldpatch.train.loop import Run
from worldpatch.train.optim import Optim
from worldpatch.train.stages.dit import DIRECTED


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
    """The text encoder and the transformer from nothing, on 64 px latents of levels 1 and 2, at a constant rate."""
    return Run(
        stage="dit",
        steps=5200,
        options={
            "data": ("out/level1", "out/level2"), "validation": "out/validation", "vae": "out/vae/export",
            "model": {"depth": 4}, "text": {"depth": 3, "width": 192}, "budget": 32 * 112,
            "whole": 0.8, "keep_camera": 0.15,
        },
        optim=Optim(rate=1.5e-3, warmup=200, decay=0.0, ema=0.998),
        save_minutes=4.0,
        sheet_minutes=8.0,
        validate_every=500,
    )  # fmt: skip


def last() -> Run:
    """The last fifth: some clips of 128 px among the others, more kinds of known patches, a falling rate."""
    run = dit()
    options = {
        **run.options, "data": (*run.options["data"], "out/large1", "out/large2"), "start_from": "out/dit/export",
        "whole": 0.6, "keep_camera": 0.3,
    }  # fmt: skip
    return dataclasses.replace(
        run, steps=1000, seed=1, options=options, optim=dataclasses.replace(run.optim, warmup=50, decay=0.9)
    )


def directed() -> Run:
    """On from `last`: far more known beginnings, ends and boxes, tracks of objects, pictures of subjects and looks."""
    run = last()
    options = {**run.options, "start_from": "out/last/export", **DIRECTED}
    optim = dataclasses.replace(run.optim, rate=1.2e-3, warmup=100, decay=0.6)
    return dataclasses.replace(run, steps=6000, seed=2, options=options, optim=optim)


def decoder() -> Run:
    """The decoder alone, after the latents are stored, on clips of its own: sharper pictures, the same latents."""
    run = vae()
    options = {
        **run.options, "bank": 3000, "cache": "out/bank2", "freeze_encoder": True, "start_from": "out/vae/export",
    }  # fmt: skip
    return dataclasses.replace(run, steps=7500, options=options, optim=dataclasses.replace(run.optim, decay=0.6))
