"""`worldpatch eval`: a model's clips of frozen prompts, judged by pixel detectors."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from worldpatch.cli._parse import device, size, threads
from worldpatch.cli._progress import clock, meter
from worldpatch.config import ROOT, UserError

SHEET = 32  # clips on one contact sheet


def suites() -> list[str]:
    """Names of the frozen suites."""
    return sorted(path.stem for path in (ROOT / "evals" / "suites").glob("*.json"))


def evaluate(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or a folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report and its contact sheets.")],
    suite: Annotated[str, typer.Option(help=f"One of {', '.join(suites())}.")] = "prompts_level1",
    prompts: Annotated[int | None, typer.Option(help="Only the first so many.  [default: all]")] = None,
    seeds: Annotated[int, typer.Option(help="Clips per prompt.")] = 2,
    size_: Annotated[str | None, typer.Option("--size", help="WIDTHxHEIGHT.  [default: as trained]")] = None,
    steps: Annotated[int, typer.Option(help="Sampler steps.")] = 25,
    guidance: Annotated[float | None, typer.Option(help="As in generate.  [default: as there]")] = None,
    sampler: Annotated[str, typer.Option(help="euler, heun or dpmpp_2m.")] = "euler",
    device_: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, ...")] = "auto",
    threads_: Annotated[int | None, typer.Option("--threads", help="CPU threads.  [default: all]")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the table alone.")] = False,
) -> None:
    """Sample a frozen suite and score it.

    Prints how many prompts are fulfilled, beside what the detectors make of real renders. Writes report.md,
    report.json and contact sheets that name each clip's failures. No best-of-n: every clip counts.
    """
    for name, count in (("prompts", prompts), ("seeds", seeds)):
        if count is not None and count < 1:
            raise UserError(f"{name} {count} must be at least 1")
    threads(threads_)
    sampling: dict[str, Any] = {"steps": steps, "sampler": sampler}
    if guidance is not None:
        sampling["guidance"] = guidance
    params: dict[str, Any] = {}
    if size_ is not None:
        params["width"], params["height"] = size(size_)
    _evaluate(model, output, _load(suite)[:prompts], seeds, sampling, params, device(device_), quiet)


def _load(suite: str) -> list[Any]:
    if suite not in suites():
        raise UserError(f"no suite is named {suite!r}; known: {', '.join(suites())}")
    from worldpatch.evals.suites import prompts

    return prompts.load(int(suite.removeprefix("prompts_level")))


def _evaluate(
    model: str, output: Path, prompts: list[Any], seeds: int, sampling: dict[str, Any], params: dict[str, Any],
    device: str, quiet: bool,
) -> None:  # fmt: skip
    begun = time.monotonic()
    from worldpatch import generate
    from worldpatch.evals.suites import prompts as suite
    from worldpatch.types import Request

    pipeline = generate.load(generate.find(model), device)
    _writable(output)
    # No two clips share their noise: with few seeds for all prompts, a few backgrounds would decide the score.
    requests = [
        Request(ability="text_to_video", params={"prompt": p.caption, **params}, model=model, seed=seed, **sampling)
        for number, p in enumerate(prompts)
        for seed in range(number * seeds, (number + 1) * seeds)
    ]
    clips = []
    with meter(quiet) as progress:
        for result in generate.run_many(requests, pipeline):
            clips.append(result.frames[0].numpy())
            progress("sample", len(clips), len(requests))
        grouped = [clips[i : i + seeds] for i in range(0, len(clips), seeds)]
        report = suite.score(grouped, prompts)
        progress("score", 1, 2)
        real = suite.real_baseline(prompts, min(clips[0].shape[1:3]))
        progress("score", 2, 2)
    _write(output, report, real, clips)
    print(report.table(real), end="")
    if not quiet:
        print(f"\n{output}/report.md, report.json and contact sheets, made in {clock(time.monotonic() - begun)}")


def _writable(folder: Path) -> None:
    """Makes the folder before the work begins. Raises UserError where it cannot be written to."""
    from worldpatch.video import write

    write.check(folder / "sheet-1.png")


def _write(folder: Path, report: Any, real: Any, clips: list[Any]) -> None:
    """The report as JSON and Markdown, and sheets of all clips with what each fails."""
    from worldpatch.video import sheet

    (folder / "report.json").write_text(report.dump() + "\n")
    (folder / "report.md").write_text(report.table(real))
    for number, start in enumerate(range(0, len(clips), SHEET), 1):
        scored = report.clips[start : start + SHEET]
        captions = [f"{s.caption}\n{_failures(s.verdicts)}" for s in scored]
        sheet.contact_sheet(clips[start : start + SHEET], captions, folder / f"sheet-{number}.png", columns=3)


def _failures(verdicts: dict[str, bool]) -> str:
    failed = [name.replace("_", " ") for name, right in verdicts.items() if not right]
    return f"wrong: {', '.join(failed)}" if failed else "all right"
