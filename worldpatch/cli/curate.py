"""`worldpatch data build` of real videos, and the questions about it: why, report, whatif."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldpatch.cli._parse import assign
from worldpatch.cli._progress import amount, clock, meter
from worldpatch.config import UserError

if TYPE_CHECKING:
    Context = typer.Context
else:
    Context = typer.Context.__bases__[0]  # what a command is really given

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a set that was built from videos.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the page.  [default: DIR/report]")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to the group `data`."""
    app.command()(why)
    app.command()(report)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(whatif)


def videos(values: dict[str, Any], assignments: list[str], captioner: Any, out: Path, quiet: bool) -> None:
    """Build a set from files, folders and lists; `values` are fields of `pipeline.Plan`.

    Exits with 1 where files could not be used or captions are not to be trusted; all else is built.
    """
    import time

    from worldpatch import config
    from worldpatch.data.curate import pipeline

    begun = time.monotonic()
    plan = config.build(pipeline.Plan, {**values, "settings": assign(values["settings"], assignments)})
    with meter(quiet) as progress:
        built = pipeline.build(plan, out, captioner, progress)
    if not quiet:
        print(_summary(built, out, time.monotonic() - begun))
    if built.unusable or built.alarms:
        raise typer.Exit(1)


def captioner(name: str, url: str, model: str, assignments: list[str]) -> Any:
    """The captioner of a name, with its model and "key=value" for its Config; None for no name."""
    from worldpatch.data import captioners

    values = {key: value for key, value in (("url", url), ("model", model)) if value}
    if not name:
        if values or assignments:
            raise UserError("--caption-* says how to caption: say who does with --captioner")
        return None
    return captioners.create(name, assign(values, assignments))


def scorers(names: list[str], assignments: list[str]) -> dict[str, dict[str, Any]]:
    """The options of each scorer, of "scorer.key=value". Raises UserError where the scorer is not among the names."""
    options = assign({}, assignments)
    for name, values in options.items():
        if name not in names:
            raise UserError(f"--score sets {name!r}, which is no scorer of this build: name it with --scorer")
        if not isinstance(values, dict):
            raise UserError(f"--score {name}={values} names no option of {name}: write {name}.key=value")
    return {name: options.get(name, {}) for name in names}


def _summary(built: Any, out: Path, spent: float) -> str:
    from worldpatch.data.curate import pipeline

    rows = list(pipeline.funnel(built))
    width = max([4, *(len(why) for why, *_ in rows)])
    lines = [f"{why:{width}}  {clips:6} clips  {seconds:10.1f} s" for why, clips, seconds in rows]
    for path, reason in built.unusable[:10]:
        lines.append(f"not used: {path}: {reason}")
    if len(built.unusable) > 10:
        lines.append(f"not used: {len(built.unusable) - 10} more files, named in {out / 'decisions.jsonl'}")
    lines += [f"alarm: {alarm}" for alarm in built.alarms]
    written = amount(sum(shard.stat().st_size for shard in out.glob("shard-*.tar")))
    lines.append(f"{out}: {len(built.kept)} clips of {built.files} files, {written}, made in {clock(spent)}")
    return "\n".join(lines)


def why(folder: Folder, clip: Annotated[str, typer.Argument(help="Its name, or the beginning of it.")]) -> None:
    """Say where a clip is from, what was measured, and why it was kept or left out."""
    from worldpatch.data.curate import pipeline
    from worldpatch.data.curate import report as reports

    plan, built = pipeline.load(folder)
    print(reports.why(reports.find(built, clip), plan.settings.limits))


def report(folder: Folder, output: Output = None) -> None:
    """Write a page about a set: the funnel, the scores, contact sheets of what was kept and left out, licences."""
    from worldpatch.data.curate import pipeline
    from worldpatch.data.curate import report as reports

    plan, built = pipeline.load(folder)
    print("\n".join(map(str, reports.report(plan, built, folder, output or folder / "report"))))


def whatif(
    context: Context,
    folder: Folder,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A contact sheet (.png) of clips that would change sides.")
    ] = None,
) -> None:
    """Say what other limits would have kept: --motion-min 0.01, --sharpness-min none, ... Nothing is decoded again."""
    from worldpatch.data.curate import pipeline
    from worldpatch.data.curate import report as reports

    plan, built = pipeline.load(folder)
    limits = dataclasses.replace(plan.settings.limits, **_limits(context.args))
    other = reports.whatif(built, limits)
    before, after = ({why: row for why, *row in pipeline.funnel(b)} for b in (built, other))
    for name in dict.fromkeys([*(w for w in before if w != "kept"), *(w for w in after if w != "kept"), "kept"]):
        (a, s), (b, t) = before.get(name, (0, 0.0)), after.get(name, (0, 0.0))
        print(f"{name:32} {a:6} -> {b:6} clips  {s:10.1f} -> {t:10.1f} s")
    if output is not None:
        changed = [b for a, b in zip(built.decisions, other.decisions, strict=True) if bool(a.reason) != bool(b.reason)]
        said = [d if d.reason else dataclasses.replace(d, caption="would be kept") for d in changed]
        shown = reports.sheet(said, folder, output)
        print(f"{output}: clips that change sides" if shown else "no clip changes sides")


def _limits(arguments: list[str]) -> dict[str, float | None]:
    """["--motion-min", "0.01"] -> {"motion_min": 0.01}. Raises UserError that lists the known limits."""
    from worldpatch.data.curate.limits import Limits

    known = [f.name for f in dataclasses.fields(Limits)]
    found: dict[str, float | None] = {}
    rest = [part for argument in arguments for part in argument.split("=", 1)]
    if len(rest) % 2:
        raise UserError(f"{' '.join(arguments)!r} are no pairs of a limit and a value, such as --motion-min 0.01")
    for flag, text in zip(rest[::2], rest[1::2], strict=True):
        name = flag.removeprefix("--").replace("-", "_")
        if name not in known:
            raise UserError(
                f"no limit is named {flag!r}; known: {', '.join('--' + k.replace('_', '-') for k in known)}"
            )
        try:
            found[name] = None if text == "none" else float(text)
        except ValueError:
            raise UserError(f"{flag} {text!r} is no number: give a number, or none to switch it off") from None
    return found
