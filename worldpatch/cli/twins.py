"""`worldpatch eval twins`: does a model prefer what is possible to its impossible twin?"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from worldpatch.cli._parse import device, threads
from worldpatch.cli._progress import clock, meter
from worldpatch.config import UserError


def twins(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or a folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report and its pictures.")],
    data: Annotated[
        Path | None, typer.Option(help="Encoded twins; built there if they are not.  [default: OUTPUT/twins]")
    ] = None,
    pairs: Annotated[int, typer.Option(help="Of each of the seven kinds; an even number.")] = 64,
    times: Annotated[int, typer.Option(help="Noise times per pair.")] = 4,
    run: Annotated[Path | None, typer.Option(help="A training run's folder: draws its learning curve as well.")] = None,
    workers: Annotated[int, typer.Option(help="Rendering processes.")] = 1,
    device_: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, ...")] = "auto",
    threads_: Annotated[int | None, typer.Option("--threads", help="CPU threads.  [default: all]")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the table alone.")] = False,
) -> None:
    """Compare the loss of possible clips with that of their impossible twins.

    Prints how often the possible ones are preferred, per kind of impossibility, beside the same for single frames,
    which must stay near 50%. Writes report.json, preference.png and sheet.png. The twins are filmed as the model's
    usual clip, and may be given to training (options.twins), which then logs the same figures at each validation.
    """
    for name, count, least in (("pairs", pairs, 2), ("times", times, 1), ("workers", workers, 0)):
        if count < least:
            raise UserError(f"{name} {count} must be at least {least}")
    threads(threads_)
    _twins(model, output, data or output / "twins", pairs, times, run, workers, device(device_), quiet)


def _twins(
    model: str, output: Path, data: Path, pairs: int, times: int, run: Path | None, workers: int, device: str,
    quiet: bool,
) -> None:  # fmt: skip
    begun = time.monotonic()
    from worldpatch import generate
    from worldpatch.evals.suites import twins as suite
    from worldpatch.evals.suites._task import Form
    from worldpatch.evals.suites.twins import draw
    from worldpatch.video import write

    pipeline = generate.load(generate.find(model), device)
    write.check(output / "sheet.png")
    if run is not None:
        draw.curve(run, output / "curve.png")
    with meter(quiet) as progress:
        suite.build(
            data, pipeline.vae, pairs=pairs, form=Form(**vars(pipeline.usual)), workers=workers, device=device,
            progress=progress,
        )  # fmt: skip
        found = suite.load(data, pipeline.spec).first(pairs)
        report = suite.report(
            pipeline.network, found, patch=pipeline.patch, device=device, times=times, progress=progress
        )
    _write(output, report, model)
    draw.sheet(pipeline, found, output / "sheet.png")
    print(suite.table(report), end="")
    if not quiet:
        print(f"\n{output}/report.json, preference.png and sheet.png, made in {clock(time.monotonic() - begun)}")


def _write(output: Path, report: dict[str, Any], model: str) -> None:
    from worldpatch.evals import card
    from worldpatch.evals.suites.twins import draw
    from worldpatch.generate.models import find, fingerprint

    whole = {"model": model, "weights": fingerprint(find(model)), **report, "environment": card.environment()}
    (output / "report.json").write_text(json.dumps(whole, indent=1) + "\n")
    draw.bars(report, output / "preference.png", f"{model}: possible or impossible?")
