"""`worldpatch pick`: which of several variants is best, for preference tuning."""

import re
from pathlib import Path
from typing import Annotated

import typer

from worldpatch.cli._parse import login
from worldpatch.config import UserError

LOG = Path("out/preferences.jsonl")


def pick(
    file: Annotated[Path, typer.Argument(help="The best of the variants, such as out/ball-2.mp4.")],
    over: Annotated[
        list[Path] | None, typer.Option(help="A rival; repeatable.  [default: the other variants beside it]")
    ] = None,
    log: Annotated[Path, typer.Option(help="JSON Lines, one per pick; others can be read by `eval arena`.")] = LOG,
    judge: Annotated[str | None, typer.Option(help="Who picked.  [default: the login name]")] = None,
    export: Annotated[
        Path | None, typer.Option(help="Also write all picks as a preference set (TRL's columns).")
    ] = None,
) -> None:
    """Record which of several videos is best, with its rivals."""
    from worldpatch.generate import preferences

    shown = sorted({file, *(over or _variants(file))}, key=_number)
    if len(shown) < 2:
        raise UserError(f"nothing was compared with {file}: name the rivals with --over, or draw --variants")
    rivals = [preferences.rival(path) for path in shown]
    params = (rivals[shown.index(file)].request or {}).get("params", {})
    made = preferences.Preference(
        prompt=str(params.get("prompt", "")), rivals=tuple(rivals), picked=shown.index(file),
        judge=judge or login(), source="generate",
    )  # fmt: skip
    preferences.append(log, made)
    print(f"{log}: {file} over {', '.join(str(path) for path in shown if path != file)}")
    if export is not None:
        count = preferences.export(preferences.read(log), export)
        print(f"{export}: {count} preferences")


def _variants(file: Path) -> list[Path]:
    """The files that were written together with this one."""
    stem = re.fullmatch(r"(.+)-\d+", file.stem)
    if stem is None:
        return []
    beside = file.parent.glob(f"*{file.suffix}")
    return [path for path in beside if re.fullmatch(re.escape(stem[1]) + r"-\d+", path.stem)]


def _number(path: Path) -> tuple[str, int]:
    """Variants in the order they are shown in."""
    name, _, number = path.stem.rpartition("-")
    return (name, int(number)) if number.isdigit() else (path.stem, 0)
