"""Every recipe builds: its options are known and its networks fit together."""

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from tests import builders
from worldpatch import config
from worldpatch.text import _writer
from worldpatch.text.bytepair import train_tokenizer
from worldpatch.train.loop import Run, resolve_precision
from worldpatch.train.optim import make_optimisers, schedule
from worldpatch.train.scaling.grid import End, Grid, Trunk

FOLDER = Path(__file__).parents[1] / "recipes"


def recipes() -> Iterator[tuple[str, str]]:
    """(module, function) of all recipes: the public functions without parameters, which return a Run or a Grid."""
    for path in sorted(FOLDER.glob("[!_]*.py")):
        for name, function in inspect.getmembers(importlib.import_module(f"recipes.{path.stem}"), inspect.isfunction):
            if function.__module__ == f"recipes.{path.stem}" and not name.startswith("_"):
                yield path.stem, name


@pytest.mark.parametrize(("module", "name"), list(recipes()))
def test_recipe_builds_on_the_meta_device(module: str, name: str):
    made = getattr(importlib.import_module(f"recipes.{module}"), name)()
    assert isinstance(made, Run | Grid)
    for run in runs(made):
        check(run)


def runs(made: Run | Grid) -> list[Run]:
    """A run alone; of a grid one of each size."""
    if isinstance(made, Run):
        return [made]
    assert 0 < made.base.optim.decay < 1 and list(made.budgets) == sorted(made.budgets) and made.rates
    trunk = {"seed": 0, "rate": 1e-3, "base_width": 64, "parameters": 1, "flops": 1.0, "tokens": 1.0}
    end = End(budget=1.0, steps=made.least_steps)
    return [
        Trunk(depth=depth, width=width, ends=(end,), **trunk).run(made.base, end)
        for depth, width in (*made.sizes, *made.rate_sizes)
    ]


def check(run: Run) -> None:
    options = config.build(config.resolve("train/stages", run.stage).Config, run.options, "options.")
    with torch.device("meta"):
        model = networks(options)
    assert all(p.is_meta for p in model.parameters()) and make_optimisers(model, run.optim)
    assert 0 < schedule(0, run.steps, run.optim) <= 1
    assert resolve_precision(run.precision, "cuda") in ("bf16", "fp32")


def networks(options) -> nn.Module:
    """What a stage's options would train."""
    if hasattr(options, "backbone"):
        text, dit = config.resolve("text", "bytepair"), config.resolve("dit", options.backbone)
        words = config.build(text.Config, options.text, "text.")
        shape = config.build(dit.Config, {"text_width": words.width, **options.model}, "model.")
        return nn.ModuleDict({
            "text": text.Encoder(words, train_tokenizer(builders.CAPTIONS, 300)), "dit": dit.Model(shape),
        })  # fmt: skip
    for name in ("writer", "expander"):
        if hasattr(options, name):
            return _writer.create(config.build(_writer.Config, getattr(options, name), f"{name}."), builders.CAPTIONS)
    if hasattr(options, "encoder"):
        embed = config.resolve("embed", options.encoder)
        return embed.Model(config.build(embed.Config, options.model, "model."))
    vae = config.resolve("vae", options.vae)
    return vae.Model(config.build(vae.Config, options.model, "model."))


def test_every_file_of_recipes_says_how_to_run_them():
    for module in {module for module, _ in recipes()}:
        text = importlib.import_module(f"recipes.{module}").__doc__ or ""
        assert "worldpatch train recipes/" in text or "runs/" in text or "worldpatch scale run" in text, module
