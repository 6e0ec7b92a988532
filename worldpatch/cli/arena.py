"""`worldpatch eval arena`: people judge blind pairs of clips, and ratings are fitted to what they say."""

from pathlib import Path
from typing import Annotated, Any

import typer

from worldpatch.cli._parse import login
from worldpatch.cli._progress import meter
from worldpatch.config import UserError

RATINGS = "ratings.json"


def arena(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Two or more folders of MP4 clips with the same file names.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="JSON or JSON Lines: clip -> prompt.  [default: the recipes in the clips]")
    ] = None,
    log: Annotated[Path, typer.Option(help=f"Where judgements are kept; {RATINGS} goes beside it.")] = Path(
        "out/arena/judgements.jsonl"
    ),
    judge: Annotated[str | None, typer.Option(help="Who judges.  [default: the login name]")] = None,
    import_: Annotated[
        list[Path] | None, typer.Option("--import", help="A log of preferences, such as that of generate, to count in.")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="JSON Lines for preference tuning, written at the end: prompt, chosen, rejected."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another order of pairs.")] = 0,
    port: Annotated[int, typer.Option(help="Of the page.  [default: a free one]", show_default=False)] = 0,
    no_serve: Annotated[bool, typer.Option("--no-serve", help="Only rate what the log holds.")] = False,
) -> None:
    """Judge blind pairs of clips on a local page, and rate who made them.

    Judgements are kept as they are made: the same command goes on where it was. Ctrl-C ends.
    """
    from worldpatch.evals.arena.gallery import Gallery
    from worldpatch.evals.arena.report import report
    from worldpatch.evals.arena.session import Session, gather
    from worldpatch.generate import preferences

    if not folders and not no_serve:
        raise UserError("there is nothing to judge: give two or more folders of clips, or --no-serve for the table")
    with meter():  # shows what reading the logs has to say
        imported = [preference for path in import_ or () for preference in preferences.read(_existing(path))]
        gallery = Gallery(folders, prompts) if folders else None
        session = Session(gallery, log, judge or login(), seed, imported) if gallery and not no_serve else None
        found = None if session else report(*gather(log if imported else _existing(log), gallery, imported))
    if session:
        _serve(session, port)
    if found:
        found.save(log.with_name(RATINGS))
        print(found.table(), end="")
    if export is not None:
        count = preferences.export(gather(log, gallery, imported)[0], export)
        print(f"{export}: {count} preferences")


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UserError(f"{path} does not exist: give a log of preferences")
    return path


def _serve(session: Any, port: int) -> None:
    from worldpatch.evals.arena import server

    server.serve(
        session, session.log.with_name(RATINGS), port, lambda address: print(f"{address}  (Ctrl-C ends)", flush=True)
    )
    left = session.schedule.total - len(session.history)
    print(f"\n{session.log}: {len(session.history)} judgements by {session.judge}, {left} to go")
