"""`worldpatch scale`: sweeps over sizes and compute, the law they follow, and plans from it."""

import platform
import time
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from worldpatch.cli import _recipes
from worldpatch.cli._parse import device, threads, words
from worldpatch.cli._progress import amount, clock, meter
from worldpatch.config import ROOT, UserError

app = typer.Typer(no_args_is_help=True, help="Scaling laws: sweep sizes and budgets, fit, and plan a run.")

TERA = 1e12
LAW = ROOT.parent / "benchmarks" / "scale_cpu" / "law.json"

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something is wrong.")]


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE.py:FUNCTION", help="A grid, such as scale:cpu.")],
    out: Annotated[Path, typer.Option(help="Folder of the sweep; one that was stopped goes on where it was.")],
    jobs: Annotated[int, typer.Option(help="Networks trained at a time, each in a process of its own.")] = 1,
    sheet: Annotated[bool, typer.Option(help="Sample the same prompts at small, middle and large compute.")] = True,
    device_: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    threads_: Annotated[int | None, typer.Option("--threads", help="CPU threads of all jobs.  [default: all]")] = None,
    quiet: Quiet = False,
) -> None:
    """Train and measure every network of a grid.

    One line per network goes to OUT/points.jsonl. Ctrl-C saves; the same command goes on, and skips what is done.
    """
    if not 1 <= jobs <= 256:
        raise UserError(f"jobs {jobs} is outside 1 to 256; one per core, or a dozen on a large GPU")
    from worldpatch.train.scaling.grid import Grid
    from worldpatch.train.scaling.sweep import sweep

    grid = _recipes.load(recipe, Grid)
    threads(threads_)
    begun, where = time.monotonic(), device(device_)
    with meter(quiet) as progress:

        def report(done: float, total: float, note: str) -> None:
            progress("TFLOP", round(done / TERA), max(1, round(total / TERA)), note)

        try:
            found = sweep(grid, out, jobs=jobs, device=where, report=report)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped and saved in {out}: the same command goes on from there") from None
    level = grid.base.options.get("sheet_level", 1)
    if sheet and grid.budgets and level:
        from worldpatch.train.scaling.sheet import sheet as sample

        sample(found, out, level, where)
    if not quiet:
        print(f"{out}: {len(found)} networks, {clock(time.monotonic() - begun)}; now: worldpatch scale fit {out}")


@app.command()
def judge(
    folder: Annotated[Path, typer.Argument(help="Folder of a `scale run`.")],
    count: Annotated[int, typer.Option(help="Scenes of each scenario and split.")] = 2,
    seeds: Annotated[int, typer.Option(help="Clips of each scene.")] = 2,
    only: Annotated[str, typer.Option(help="Some scenarios, as in free_fall,bounce.  [default: all]")] = "",
    pairs: Annotated[int, typer.Option(help="Twins of each of the seven kinds; an even number.")] = 64,
    workers: Annotated[int, typer.Option(help="Processes that render and score.")] = 2,
    device_: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    quiet: Quiet = False,
) -> None:
    """Ask the best network of each budget for physics: the physics suite from text alone, and possible beside
    impossible twins.

    What it gets wrong goes into FOLDER/points.jsonl; `scale fit` then draws it against compute.
    """
    for name, value in (("count", count), ("seeds", seeds), ("workers", workers)):
        if value < 1:
            raise UserError(f"{name} {value} must be at least 1")
    from worldpatch.train.scaling import physics, points

    chosen = points.best(points.read(folder))
    if not chosen:
        raise UserError(f"{folder} holds no network of a law: give the folder of a `worldpatch scale run`")
    with meter(quiet) as progress:
        probe = physics.probe(
            folder / chosen[0].export, folder / "twins", count=count, seeds=seeds, only=words(only), pairs=pairs,
            device=device(device_), workers=workers, progress=progress,
        )  # fmt: skip
        points.judge(folder, probe)
    if not quiet:
        print(f"{folder}: {len(chosen)} networks judged; now: worldpatch scale fit {folder}")


@app.command()
def fit(
    folder: Annotated[Path, typer.Argument(help="Folder of a `scale run`.")],
    out: Annotated[Path | None, typer.Option(help="Where results go.  [default: the same folder]")] = None,
    quiet: Quiet = False,
) -> None:
    """Fit the law of a sweep, draw it, and predict the largest budget from the others.

    Writes law.json, report.md and pictures. Needs points.jsonl and grid.json of a sweep alone, no data and no GPU.
    """
    from worldpatch.train.scaling import grid, law, plots, points, report

    _, setting = grid.recall(folder)
    found = points.read(folder)
    made = law.make(found, setting)
    home = out or folder
    home.mkdir(parents=True, exist_ok=True)
    law.write(made, home / "law.json")
    pictures = plots.draw(made, found, home)
    for name in ("sheet.png", "points.jsonl", "grid.json"):
        if (folder / name).exists():
            _copy(folder / name, home / name)
    if (home / "sheet.png").exists():
        pictures.append(home / "sheet.png")
    where = f"Fitted on {date.today()}, {platform.platform()}: `worldpatch scale fit {folder}`."
    (home / "report.md").write_text(report.markdown(made, found, pictures, where))
    if not quiet:
        exponent = made.isoflop.parameters.exponent
        print(f"{home}/report.md, law.json and {len(pictures)} pictures; best parameters grow as C^{exponent:.2f}")


@app.command()
def plan(
    flops: Annotated[float, typer.Option(help="Training compute, such as 1e18.")],
    gpu: Annotated[str, typer.Option(help="A100, H100, H200, B200, L40S or RTX4090.")] = "H200",
    gpus: Annotated[int, typer.Option(help="How many of them.")] = 1,
    law: Annotated[Path, typer.Option(help="law.json of a `scale fit`.")] = LAW,
    mfu: Annotated[
        float | None, typer.Option(help="Share of the peak rate that training reaches.  [default: 0.3]")
    ] = None,
    price: Annotated[float | None, typer.Option(help="US dollars per GPU and hour, instead of the table's.")] = None,
) -> None:
    """The size, tokens, batch, learning rate, hours, price and memory that a law deems best for a budget."""
    from worldpatch.train.scaling import law as laws
    from worldpatch.train.scaling import plan as plans

    made = plans.plan(laws.read(law), flops, gpu, count=gpus, mfu=plans.MFU if mfu is None else mfu, price=price)
    rows = _rows(made, gpu, gpus, plans)
    sources = [
        f"hours: at {plans.MFU if mfu is None else mfu:.0%} of the peak" + ("" if mfu else f" ({plans.MFU_SOURCE})")
    ]
    if price is None:
        sources.append(f"price: ${plans.GPUS[gpu].price} per hour ({plans.PRICE_SOURCE})")
    width = max(map(len, rows))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows.items()))
    print("\n".join(f"- {note}" for note in (*made.notes, *sources)))


def _rows(made: Any, gpu: str, gpus: int, plans: Any) -> dict[str, str]:
    memory = plans.GPUS[gpu].memory * plans.GIGA * gpus
    state, activations = (amount(round(size)) for size in (made.state_bytes, made.activation_bytes))
    needed = made.state_bytes + made.activation_bytes
    pieces = -(-made.activation_bytes // max(1.0, memory - made.state_bytes)) if made.state_bytes < memory else 0
    fits = (
        "fits"
        if needed <= memory
        else f"fits in {pieces:.0f} pieces per batch"
        if pieces
        else "does not fit: more GPUs"
    )
    return {
        "size": f"depth {made.depth}, width {made.width}",
        "parameters": f"{made.parameters:,} in the blocks, {made.total:,} in all",
        "data": f"{made.tokens:.3g} patches, {made.clips:.3g} clips",
        "batch": f"{made.batch:.0f} patches, {made.steps} steps",
        "learning rate": f"{made.learning_rate:.2g}",
        "loss": f"{made.loss:.3f} (the parametric fit's)",
        "time": f"{clock(3600 * made.hours)} on {gpus} {gpu}",
        "price": f"${made.price:,.2f}",
        "memory": f"{state} of state, {activations} of activations: {fits}",
        "compute": f"{made.flops:.4g} FLOPs, {made.flops / made.parameters / made.tokens:.2f} per parameter and patch",
    }


def _copy(source: Path, target: Path) -> None:
    import shutil

    if source.resolve() != target.resolve():
        shutil.copy(source, target)
