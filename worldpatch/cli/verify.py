"""`worldpatch verify`: where a picture or video comes from, by its content credentials and its watermark."""

import json
from pathlib import Path
from typing import Annotated

import typer

from worldpatch.cli._progress import meter

CODES = {"found": 0, "stranger": 1, "nothing": 1, "damaged": 2}
SHOWN = {
    "found": ("known", "green"),
    "stranger": ("signed by a stranger", "yellow"),
    "nothing": ("nothing known", "yellow"),
    "damaged": ("not as it was signed", "red"),
}


def verify(
    file: Annotated[Path, typer.Argument(help="A picture or video.")],
    json_: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    anchors: Annotated[Path | None, typer.Option(help="A PEM file of further authorities to trust.")] = None,
) -> None:
    """Say where a file comes from: who signed it, of what it was made, which watermark it carries.

    Exits with 0 if credentials of somebody we trust or a watermark were found, 1 if neither was, and 2 if credentials
    are damaged or the file was changed after it was signed.
    """
    from rich.console import Console
    from rich.text import Text

    from worldpatch.generate import provenance
    from worldpatch.generate.verify import verify

    with meter(quiet=json_):
        verdict = verify(file, provenance.from_environment(anchors=anchors))
    if json_:
        print(json.dumps(verdict.as_dict(), indent=1))
    else:
        told, colour = SHOWN[verdict.outcome]
        console = Console(soft_wrap=True, highlight=False)
        console.print(Text(f"{file}: "), Text(told, style=colour), sep="")
        for line in verdict.lines():
            console.print(Text(f"  {line}"))
    raise typer.Exit(CODES[verdict.outcome])
