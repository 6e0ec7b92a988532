"""A server's database and all that it keeps, copied into a folder while it runs, and put into an empty home again.

The database is copied first, by SQLite's own means and as of one moment, then the blobs, so that all that the rows name
is there. Workflows are not copied: those of batches under way are made anew, and go on from the latents.
"""

import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

from obstore.exceptions import NotFoundError

from worldpatch.config import UserError
from worldpatch.serve.objects import Objects
from worldpatch.serve.settings import Settings

DATABASE = "worldpatch.sqlite"


def backup(settings: Settings, folder: Path) -> int:
    """Copy to a new folder; returns how many blobs there are. Raises UserError where there is nothing to copy, the
    folder exists, or the database is PostgreSQL."""
    _sqlite(settings)
    source = settings.home / DATABASE
    if not source.exists():
        raise UserError(f"{source} is not there: name the home of a server with --home")
    if folder.exists():
        raise UserError(f"{folder} is there already: name a new folder")
    folder.mkdir(parents=True)
    _copy(source, folder / DATABASE)
    for mark in settings.jobs.glob("*/*.mark"):
        _file(mark, folder / "jobs" / mark.relative_to(settings.jobs))
    store, count = Objects(settings), 0
    for name in store.names(""):
        count += _blob(store, name, folder / "objects" / name)
    return count


def restore(settings: Settings, folder: Path) -> int:
    """Put a copy into a home, and its blobs into the store; returns how many. Raises UserError where there is no copy,
    or the home has a database."""
    _sqlite(settings)
    if not (folder / DATABASE).exists():
        raise UserError(f"{folder} holds no backup: name a folder that `worldpatch serve backup` made")
    target = settings.home / DATABASE
    if target.exists():
        raise UserError(f"{target} is there already: a backup goes into a home of its own, named with --home")
    settings.home.mkdir(parents=True, exist_ok=True)
    blobs = [path for path in sorted((folder / "objects").rglob("*")) if path.is_file()]
    store = Objects(settings)
    for path in blobs:
        store.put(path.relative_to(folder / "objects").as_posix(), path)
    for mark in (folder / "jobs").glob("*/*.mark"):
        _file(mark, settings.jobs / mark.relative_to(folder / "jobs"))
    part = target.with_name(f"{DATABASE}.part")
    _copy(folder / DATABASE, part)
    with sqlite3.connect(part) as rows:  # whoever drew then draws no more
        rows.execute("DELETE FROM workers")
    rows.close()
    part.replace(target)
    return len(blobs)


def _sqlite(settings: Settings) -> None:
    if settings.database:
        raise UserError(
            f"{settings.database.partition('://')[0]} is copied by its own means: pg_dump --format=custom, then the "
            "store; to put both back, pg_restore. Nothing was copied"
        )


def _copy(source: Path, target: Path) -> None:
    """As of one moment, whoever writes meanwhile."""
    readable, copied = sqlite3.connect(source), sqlite3.connect(target)
    try:
        readable.backup(copied)
        copied.execute("PRAGMA journal_mode=DELETE")
        if (found := copied.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            raise UserError(f"{source} is damaged ({found}): put back an earlier backup")
    finally:
        readable.close()
        copied.close()


def _file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # a newer one has taken its place: this one is of no use any more
        shutil.copyfile(source, target)


def _blob(store: Objects, name: str, target: Path) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.write_bytes(store.get(name))
    except (NotFoundError, FileNotFoundError):  # deleted since it was named
        return False
    return True
