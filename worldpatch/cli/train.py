"""`worldpatch train`: a recipe becomes a trained model."""

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from worldpatch.cli import _recipes
from worldpatch.cli._parse import assign, device, threads
from worldpatch.cli._progress import clock, meter
from worldpatch.config import UserError


def train(
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE.py:FUNCTION", help="Or name:function, of recipes/name.py.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run; one that was stopped goes on where it was.")] = ...,  # type: ignore[assignment]
    source: Annotated[
        str | None, typer.Option("--from", help="Instead of a recipe: fine-tune this model, by name or folder.")
    ] = None,
    data: Annotated[
        list[Path] | None, typer.Option(help="Clips to fine-tune on, from `worldpatch data build`; repeatable.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Fine-tune all weights instead of a low-rank adapter.")] = False,
    prior: Annotated[
        int | None, typer.Option(help="Clips of its own that the model is held to while fine-tuned.  [default: 48]")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps of the whole run, instead of the recipe's; 0 exports untrained weights.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, such as options.batch=8 or optim.rate=1e-3.")
    ] = None,
    device_: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    threads_: Annotated[int | None, typer.Option("--threads", help="CPU threads.  [default: all]")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something is wrong.")] = False,
) -> None:
    """Train what a recipe describes, or fine-tune a model on clips of your own.

    What was trained is exported to OUT/export. Ctrl-C finishes the step and saves; the same command goes on.
    """
    assignments = [*([f"steps={steps}"] if steps is not None else []), *(set_ or [])]
    if source is None:
        if recipe is None or data or full or prior is not None:
            raise UserError("give a recipe, or --from MODEL with --data, and perhaps --full and --prior")
        _train(_recipe(recipe, assignments), out, device_, threads_, quiet)
    else:
        if recipe is not None or not data:
            raise UserError("--from MODEL needs --data DIR, a set made by `worldpatch data build`, and no recipe")
        _tune(source, data, out, full, 48 if prior is None else prior, assignments, device_, threads_, quiet)


def _recipe(recipe: str, assignments: list[str]) -> Any:
    from worldpatch.train import loop

    return _changed(_recipes.load(recipe, loop.Run), assignments)


def _changed(run: Any, assignments: list[str]) -> Any:
    """The run with its assignments made."""
    from worldpatch import config
    from worldpatch.train import loop

    run = config.build(loop.Run, assign(asdict(run), assignments))
    if not isinstance(run.steps, int) or run.steps < 0:
        raise UserError(f"steps {run.steps!r} must be a whole number, at least 0")
    return run


def _tune(
    source: str, data: list[Path], out: Path, full: bool, prior: int, assignments: list[str], device_: str,
    threads_: int | None, quiet: bool,
) -> None:  # fmt: skip
    """Draw the model's own clips, fine-tune, and draw the curve."""
    if not 0 <= prior <= 10_000:
        raise UserError(f"prior {prior} is outside 0 to 10000; 48 is usual, 0 lets the model forget")
    from worldpatch.train import curve
    from worldpatch.train.prior import make
    from worldpatch.train.stages import tune

    threads(threads_)
    own = out / "prior.safetensors" if prior else None
    run = _changed(tune.recipe(source, data, full=full, prior=own), assignments)
    near = tune.captions(run)
    if own is not None:
        with meter(quiet) as progress:
            make(source, own, prior, near, device=device(device_), progress=lambda i, n: progress("own clips", i, n))
    export = _train(run, out, device_, threads_, quiet)
    found = curve.read(out / "log.jsonl")
    drawn = out / "curve.png" if find_spec("matplotlib") else None
    if drawn:
        curve.draw(found, drawn)
    if not quiet:
        print(f"{drawn or 'no curve.png without matplotlib'}: {curve.say(found)}")
        print(
            f"use it: worldpatch generate PROMPT {f'--model {export}' if full else f'--model {source} --lora {export}'}"
        )


def _train(run: Any, out: Path, device_: str, threads_: int | None, quiet: bool) -> Path:
    from worldpatch.train import loop

    threads(threads_)
    smooth = _Smooth()
    with meter(quiet) as progress:

        def report(step: int, total: int, figures: dict[str, Any]) -> None:
            progress("train", step, total, smooth(figures))

        try:
            export = loop.train(run, out, device=device(device_), report=report)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped and saved in {out}: the same command goes on from there") from None
    if not quiet:
        print(f"{export}: trained {run.steps} steps, the last ones in {clock(smooth.seconds)} each")
    return export


class _Smooth:
    """The figures people watch, as running means over some 50 steps."""

    def __init__(self):
        self.means: dict[str, float] = {}

    def __call__(self, figures: dict[str, Any]) -> str:
        for name in ("loss", "tokens_per_s", "gflops_per_s", "seconds"):
            self.means[name] = 0.98 * (self.means.get(name) or figures[name]) + 0.02 * figures[name]
        m = self.means
        return f"loss {m['loss']:.4f}, {m['tokens_per_s']:.0f} tokens/s, {m['gflops_per_s']:.0f} GFLOP/s"

    @property
    def seconds(self) -> float:
        return self.means.get("seconds", 0.0)
