"""`worldpatch eval`: a model, or a folder of anybody's clips, judged by pixels on a frozen suite."""

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from worldpatch.cli import arena, twins
from worldpatch.cli._parse import device, size, threads, words
from worldpatch.cli._progress import clock, meter
from worldpatch.config import UserError

if TYPE_CHECKING:
    from worldpatch.evals.evaluate import Made
    from worldpatch.evals.suites._task import Choice

COUNT = "Prompts, or scenes of each scenario and split.  [default: all]"
SUITES = "physics, pictures, prompts_level1 or prompts_level2"
JUDGE = "judge"
UNFINISHED = "unfinished"  # folder in the output: clips of an evaluation that was stopped


class Judging(TyperGroup):
    """`eval SUBJECT ...` is `eval judge SUBJECT ...`: judging is what one mostly wants."""

    def resolve_command(self, ctx, args):
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = [JUDGE, *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Judging, no_args_is_help=True, help="Judge a model or a folder of clips: `worldpatch eval MODEL -o FOLDER`."
)

app.command()(arena.arena)
app.command()(twins.twins)

Suite = Annotated[str, typer.Option(help=f"One of {SUITES}.")]
Modes = Annotated[str, typer.Option(help="text, image, video, or several with commas.  [default: all the suite has]")]
Count = Annotated[int | None, typer.Option(help=COUNT)]
Only = Annotated[str, typer.Option(help="Only these scenarios, with commas.")]
Size = Annotated[str | None, typer.Option("--size", help="WIDTHxHEIGHT.  [default: as trained, else 128x128]")]
Rate = Annotated[float | None, typer.Option(help="Frames per second.  [default: as trained, else 24]")]
Frames = Annotated[int | None, typer.Option(help="Frames of a clip, 1 + 4k.  [default: as trained, else 73]")]
Workers = Annotated[int, typer.Option(help="Processes that render and score.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the table alone.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, ...")]


@app.command(JUDGE)
def judge(
    subject: Annotated[str, typer.Argument(help="A shipped model, the folder of a trained one, or a folder of clips.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the card and its contact sheets.")],
    suite: Suite = "prompts_level1",
    modes: Modes = "",
    count: Annotated[int | None, typer.Option("--count", "--prompts", help=COUNT)] = None,
    only: Only = "",
    seeds: Annotated[int, typer.Option(help="Clips of each task.")] = 4,
    size_: Size = None,
    rate: Rate = None,
    frames: Frames = None,
    steps: Annotated[int, typer.Option(help="Sampler steps.")] = 25,
    guidance: Annotated[float | None, typer.Option(help="As in generate.  [default: as there]")] = None,
    sampler: Annotated[str, typer.Option(help="euler, heun or dpmpp_2m.")] = "euler",
    workers: Workers = 2,
    device_: Device = "auto",
    threads_: Annotated[int | None, typer.Option("--threads", help="CPU threads.  [default: all]")] = None,
    clips: Annotated[bool, typer.Option("--clips", help="Also write every clip as MP4, to judge by eye.")] = False,
    sheets: Annotated[bool, typer.Option("--sheets", help="Also write contact sheets of all clips.")] = False,
    quiet: Quiet = False,
) -> None:
    """Judge a model, or a folder of clips, on a suite.

    Writes card.json, card.html, card.png and a contact sheet of the worst clips; prints the table. Beside each figure
    stand what the same eyes make of real renders, and what naive clips get. No best-of-n: every clip counts. A folder
    is scored by the manifest in it (`worldpatch eval export`). Stopped, it goes on with the clips it has, run again.
    """
    _positive(count=count, seeds=seeds, steps=steps, workers=workers)
    threads(threads_)
    from worldpatch.evals import evaluate
    from worldpatch.generate.models import find

    begun = time.monotonic()
    with meter(quiet) as progress:
        if Path(subject).is_dir() and not (Path(subject) / "model.json").exists():
            _writable(output)
            made = evaluate.folder(Path(subject), workers=workers, progress=progress)
        else:
            find(subject)
            _writable(output)
            sampling: dict[str, Any] = {"steps": steps, "sampler": sampler}
            if guidance is not None:
                sampling["guidance"] = guidance
            made = evaluate.model(
                subject, evaluate.find(suite), _choice(suite, modes, count, only, size_, rate, frames, subject),
                seeds=seeds, sampling=evaluate.Sampling(**sampling), device=device(device_), workers=workers,
                progress=progress, kept=output / UNFINISHED,
            )  # fmt: skip
        if clips:
            evaluate.keep(made, output / "clips", progress)
    _finish(made, output, quiet, begun, sheets)
    shutil.rmtree(output / UNFINISHED, ignore_errors=True)


@app.command("export")
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the manifest and the frames given.")],
    suite: Suite = "physics",
    modes: Modes = "image",
    count: Count = None,
    only: Only = "",
    size_: Size = None,
    rate: Rate = None,
    frames: Frames = None,
    workers: Workers = 2,
    quiet: Quiet = False,
) -> None:
    """Write what a suite asks, for models that are not ours.

    Make a clip for each task of manifest.json, named by its key, put them into the same folder, and judge the folder.
    """
    _positive(count=count, workers=workers)
    from worldpatch.evals import evaluate

    choice = _choice(suite, modes, count, only, size_, rate, frames, None)
    with meter(quiet) as progress:
        path = evaluate.export(output, evaluate.find(suite), choice, workers, progress)
    print(f"{path}: make <key>.mp4 for each task beside it, then: worldpatch eval {output} -o FOLDER")


@app.command("compare")
def compare(
    cards: Annotated[list[Path], typer.Argument(help="Two cards or more: card.json, or the folders they lie in.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A PNG of curves.")] = None,
) -> None:
    """Put cards beside each other; refuses those that cannot be compared and says why."""
    if len(cards) < 2:
        raise UserError(f"{len(cards)} card: comparing takes two or more")
    from worldpatch.evals import _curves, card
    from worldpatch.video import write

    loaded = [card.load(path) for path in cards]
    print(_curves.compare(loaded), end="")
    if output is not None:
        write.check(output)
        _curves.curves(loaded, output)
        print(f"\n{output}")


@app.command("reproduce")
def reproduce(
    path: Annotated[Path, typer.Argument(metavar="CARD", help="card.json, or the folder it lies in.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the new card.")] = None,
    workers: Workers = 2,
    device_: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Run a card's evaluation again and say what differs."""
    _positive(workers=workers)
    from worldpatch.evals import card, evaluate

    old, begun = card.load(path), time.monotonic()
    with meter(quiet) as progress:
        made = evaluate.again(old, device(device_), workers, progress)
    if output is not None:
        _writable(output)
        _finish(made, output, quiet, begun)
    found = card.reproduction(old, made.card)
    print(
        f"{found.equal} of {found.samples} clips have the same scores; skill {100 * found.skill[0]:.1f}% then, "
        f"{100 * found.skill[1]:.1f}% now"
        + (f"; the largest change is {found.largest:.3g}: {found.where}" if found.where else "")
    )


def _choice(
    suite: str, modes: str, count: int | None, only: str, size_: str | None, rate: float | None, frames: int | None,
    model: str | None,
) -> "Choice":  # fmt: skip
    """The part of a suite asked for, at the size a model is used to, or at the suite's own for anybody."""
    from dataclasses import replace

    from worldpatch.evals import evaluate
    from worldpatch.evals.suites._task import MODES, Choice, chosen

    if model is None:
        form = evaluate.Form(height=128, width=128, rate=24.0, frames=73)
    else:
        from worldpatch import generate

        form = evaluate.usual(generate.load(generate.find(model)))
    changes: dict[str, Any] = {"rate": rate, "frames": frames}
    if size_ is not None:
        changes["width"], changes["height"] = size(size_)
    form = replace(form, **{k: v for k, v in changes.items() if v is not None})
    asked = chosen(MODES, words(modes), "mode") if modes else list(evaluate.find(suite).modes)
    return Choice(form=form, modes=tuple(asked), count=count, only=words(only))  # type: ignore[arg-type]


def _positive(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value < 1:
            raise UserError(f"{name} {value} must be at least 1")


def _writable(folder: Path) -> None:
    """Makes the folder before the work begins. Raises UserError where it cannot be written to."""
    from worldpatch.video import write

    write.check(folder / "worst.png")


def _finish(made: "Made", output: Path, quiet: bool, begun: float, sheets: bool = False) -> None:
    from worldpatch.evals import _page

    _page.write(made, output, sheets)
    print(_page.table(made.card), end="")
    if not quiet:
        print(f"\n{output}/card.html, card.json, card.png and worst.png, made in {clock(time.monotonic() - begun)}")
