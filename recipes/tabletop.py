r"""The shipped model: a small tabletop world of one to three solids, trained on two CPU cores in under seven hours.

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
    worldpatch data build rehearsal --level 2 --clips 700 --recolours 2 --vae out/vae/export --out out/rehearsal
    worldpatch train recipes/tabletop.py:hints --out out/hints
    worldpatch train recipes/tabletop.py:cameras --out out/cameras
    worldpatch train recipes/tabletop.py:directed --out out/directed
    worldpatch train recipes/tabletop.py:words --out out/words
    worldpatch train recipes/tabletop.py:distilled --out out/distilled

What ships is the transformer of `words` and the autoencoder of `decoder`; `distilled` ships once its cards are made.
Measured results, and where what was done differs from this, stand in checkpoints/tabletop/card.md.
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


def hints() -> Run:
    """Free paths and cameras among the others, tracks, likenesses, and far more known beginnings, ends and boxes."""
    run = last()
    data = (*run.options["data"], "out/rehearsal")
    options = {**run.options, "data": data, "weights": (1, 1, 1, 1, 2), "start_from": "out/last/export", **DIRECTED}
    optim = dataclasses.replace(run.optim, rate=1.2e-3, decay=0.0)
    return dataclasses.replace(run, steps=3500, seed=2, options=options, optim=optim)


def cameras() -> Run:
    """A lesson in cameras: rehearsals alone, hardly a word, half of them from a known picture on (docs/LOG.md)."""
    run = hints()
    alone = {"weights": (0, 0, 0, 0, 1), "keep_camera": 1.0, "drop_hinted": 0.9, "unfilmed": 1.0, "references": 0.0}
    whole = {"images": 0.0, "continuations": 0.0, "whole": 0.4, "forcing": 0.0}
    options = {**run.options, "start_from": "out/hints/export", **alone, **whole}
    return dataclasses.replace(run, steps=800, seed=3, options=options, optim=dataclasses.replace(run.optim, ema=0.99))


def directed() -> Run:
    """All of it again, and in the end at a falling rate."""
    run = hints()
    options = {**run.options, "weights": (1, 1, 1, 1, 3), "start_from": "out/cameras/export", "keep_camera": 0.6}
    optim = dataclasses.replace(run.optim, warmup=30, decay=0.25, ema=0.995)
    return dataclasses.replace(run, steps=3600, seed=4, options=options, optim=optim)


def words() -> Run:
    """More of what is only told: what directing had cost prompts comes back, and what it had brought stays."""
    run = directed()
    told = {
        "whole": 0.6,
        "forcing": 0.1,
        "drop_hinted": 0.3,
        "keep_camera": 0.5,
        "keep_tracks": 0.3,
        "continuations": 0.12,
    }
    options = {**run.options, **told, "weights": (1, 1.5, 1, 1.5, 1.3), "start_from": "out/directed/export"}
    optim = dataclasses.replace(run.optim, rate=1.1e-3, warmup=20, decay=0.9)
    return dataclasses.replace(run, steps=1000, seed=5, options=options, optim=optim)


def distilled() -> Run:
    """Four jumps instead of guided steps, learned from its own trajectories; what it knew it is asked as well."""
    run = words()
    few = {"start_from": "out/words/export", "cache": "out/trajectories", "recorded": 200, "teacher_steps": 12}
    options = {
        **run.options, **few, "budget": 32 * 112, "weights": (1, 2, 1, 1.5, 1.2), "drop_text": 0.02, "drop_hinted": 0.2,
    }  # fmt: skip
    optim = dataclasses.replace(run.optim, rate=1e-3, warmup=50, decay=0.6)
    return dataclasses.replace(run, stage="distil", steps=1500, seed=6, options=options, optim=optim)


def decoder() -> Run:
    """The decoder alone, after the latents are stored, on clips of its own: sharper pictures, the same latents."""
    run = vae()
    options = {
        **run.options, "bank": 3000, "cache": "out/bank2", "freeze_encoder": True, "start_from": "out/vae/export",
    }  # fmt: skip
    return dataclasses.replace(run, steps=7500, options=options, optim=dataclasses.replace(run.optim, decay=0.6))
