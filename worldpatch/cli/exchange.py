"""`worldpatch data export | import | manifest | licences`: sets to and from other tools, and what they are made of."""

import json
from pathlib import Path
from typing import Annotated

import typer

from worldpatch.cli._listing import listing
from worldpatch.cli._progress import meter
from worldpatch.config import UserError

Set = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a set.")]
Format = Annotated[str, typer.Option("--format", help=f"One of {listing('data/formats')}.")]
Out = Annotated[Path, typer.Option(help="A new folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something is wrong.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to the group `data`."""
    for name, command in (("export", export), ("import", import_), ("manifest", manifest), ("licences", licences)):
        app.command(name)(command)


def export(
    folder: Set,
    format_: Format,
    out: Out,
    template: Annotated[
        str, typer.Option(help="For `list`: finetrainers, fastvideo, ltx, musubi, diffsynth, opensora, or a JSON file.")
    ] = "",
    caption: Annotated[str, typer.Option(help="Kind of the captions.  [default: a model's, else the first]")] = "",
    quiet: Quiet = False,
) -> None:
    """Write a set in another tool's format."""
    from worldpatch import config

    module = config.resolve("data/formats", format_)
    options = {"template": template} if template else {}
    if (format_ == "list") != bool(template):
        raise UserError(f"--template is for --format list and needed there; the format here is {format_}")
    with meter(quiet) as progress:
        report = module.write(
            folder, out, caption=caption, progress=lambda done, total: progress("clips", done, total), **options
        )
    if not quiet:
        print(f"{out}: {report}")


def import_(
    source: Annotated[Path, typer.Argument(help="Folder in another tool's format.")],
    format_: Format,
    out: Out,
    licence: Annotated[str, typer.Option(help="Of clips whose own is not stated.")] = "",
    quiet: Quiet = False,
) -> None:
    """Make a set of what another tool wrote."""
    from worldpatch import config

    module = config.resolve("data/formats", format_)
    if not hasattr(module, "read"):
        raise UserError(
            f"format {format_} is for export only: give the folder of its videos to `worldpatch data build`"
        )
    with meter(quiet) as progress:
        report = module.read(
            source, out, licence=licence, progress=lambda done, total: progress("clips", done, total)
        )  # fmt: skip
    if not quiet:
        print(f"{out}: {report}")


def manifest(folder: Set) -> None:
    """Write a set's manifest.parquet again, from its shards."""
    from worldpatch.data import manifest as manifests

    path = manifests.write(folder)
    print(f"{path}: {len(manifests.read(folder, ('clip_id',)))} clips")


def licences(
    folder: Set,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .md or .json file.  [default: print]")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, which names all sources.")] = False,
) -> None:
    """Say under which licences a set's clips came, from where, and how much of each."""
    from worldpatch.data import licences as ledgers
    from worldpatch.video._atomic import atomic

    if output is not None and output.suffix not in (".md", ".json"):
        raise UserError(f"cannot write {output}: a ledger is a .md or a .json")
    entries = ledgers.ledger(folder)
    as_json = json_ or (output is not None and output.suffix == ".json")
    text = json.dumps([e.json() for e in entries], indent=1) + "\n" if as_json else ledgers.markdown(entries)
    if output is None:
        print(text, end="")
        return
    with atomic(output) as draft:
        draft.write_text(text)
    print(f"{output}: {len(entries)} licences")
