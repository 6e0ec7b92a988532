"""`worldpatch train`: a recipe becomes a trained model."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from worldpatch.cli import _recipes
from worldpatch.cli._parse import assign, device, threads
from worldpatch.cli._progress import clock, meter


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE.py:FUNCTION", help="Or name:function, of recipes/name.py.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; one that was stopped goes on where it was.")],
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
    """Train what a recipe describes.

    The model is exported to OUT/export. Ctrl-C finishes the step and saves; the same command goes on.
    """
    assignments = [*([f"steps={steps}"] if steps is not None else []), *(set_ or [])]
    _train(recipe, out, assignments, device_, threads_, quiet)


def _train(recipe: str, out: Path, assignments: list[str], device_: str, threads_: int | None, quiet: bool) -> None:
    from worldpatch import config
    from worldpatch.config import UserError
    from worldpatch.train import loop

    run = _recipes.load(recipe, loop.Run)
    run = config.build(loop.Run, assign(asdict(run), assignments))
    if not isinstance(run.steps, int) or run.steps < 0:
        raise UserError(f"steps {run.steps!r} must be a whole number, at least 0")
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
