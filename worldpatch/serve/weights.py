"""Which weights are served under which name: those of the flags, and those of a table that changes while servers run.

What a batch has begun with is told by the fingerprint of its weights, so that whoever goes on with it finds the same
ones though the name means others by now.
"""

import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from worldpatch.config import UserError
from worldpatch.generate import models as trained
from worldpatch.generate.pipeline import outline
from worldpatch.serve.settings import Settings
from worldpatch.serve.tables import models, writing

FLAG = ""  # the fingerprint of a row that only takes a flag's model away, or makes it the default


def served(connection: sa.Connection, settings: Settings) -> dict[str, Path]:
    """Name -> folder of what new videos are made with, the default first: what the table says last of a name, and what
    the flags say where it says nothing."""
    found = _flags(settings)
    chosen: tuple[float, str] = (0.0, next(iter(found)))
    for row in _rows(connection):
        if row["gone"]:
            found.pop(row["name"], None)
        elif row["fingerprint"] != FLAG:
            found[row["name"]] = Path(row["folder"])
        chosen = max(chosen, (row["chosen_at"] or 0.0, row["name"]))
    first = chosen[1] if chosen[1] in found else next(iter(found))
    return {first: found[first], **found}


def add(engine: sa.Engine, name: str, folder: str) -> str:
    """New videos of `name` are made with a folder's weights from now on; returns their fingerprint. Raises UserError
    where the folder holds no model."""
    where = trained.find(folder).absolute()
    outline(where)
    values = {"folder": str(where), "since": time.time(), "gone": False}
    fingerprint = trained.fingerprint(where)
    _put(engine, name, fingerprint, **values)
    return fingerprint


def remove(engine: sa.Engine, settings: Settings, name: str) -> None:
    """No new videos of `name`; those under way are finished. Raises UserError where it is not served, or is the only
    one."""
    with engine.connect() as connection:
        found = served(connection, settings)
    _known(found, name)
    if len(found) == 1:
        raise UserError(f"{name} is the only model that is served: add another one first")
    _put(engine, name, FLAG, folder="", since=time.time(), gone=True)


def choose(engine: sa.Engine, settings: Settings, name: str) -> None:
    """From now on sora-2 means `name`. Raises UserError where it is not served."""
    with engine.connect() as connection:
        _known(served(connection, settings), name)
        last: Any = next((row for row in reversed(_rows(connection)) if row["name"] == name), None)
    if last is None:  # a flag's
        _put(engine, name, FLAG, folder="", since=time.time(), gone=False, chosen_at=time.time())
    else:
        _put(engine, name, last["fingerprint"], chosen_at=time.time())


def folder(connection: sa.Connection, settings: Settings, name: str, fingerprint: str) -> Path:
    """Where the weights of a fingerprint lie. Raises UserError where they are gone."""
    added = [Path(row["folder"]) for row in _rows(connection) if row["fingerprint"] == fingerprint]
    for found in (*added, *_flags(settings).values()):
        if (found / "model.json").exists() and trained.fingerprint(found) == fingerprint:
            return found
    raise UserError(f"the weights {fingerprint} of {name}, which this was begun with, are gone: make the video again")


def _rows(connection: sa.Connection) -> list[Any]:
    return list(connection.execute(sa.select(models).order_by(models.c.since)).mappings())


def _flags(settings: Settings) -> dict[str, Path]:
    return {Path(name).name: trained.find(name) for name in (settings.model, *settings.models)}


def _known(found: dict[str, Path], name: str) -> None:
    if name not in found:
        raise UserError(f"no model {name!r} is served; served are {', '.join(found)}")


def _put(engine: sa.Engine, name: str, fingerprint: str, **values: Any) -> None:
    with writing(engine) as connection:
        mine = (models.c.name == name, models.c.fingerprint == fingerprint)
        if not connection.execute(sa.update(models).where(*mine).values(**values)).rowcount:
            connection.execute(sa.insert(models).values(name=name, fingerprint=fingerprint, **values))
