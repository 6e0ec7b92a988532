"""What the service knows, as tables: SQLite by default, PostgreSQL by one URL.

Times are unix seconds. Everything that belongs to a client has the id of its key in `owner`: no query goes without it.
"""

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import sqlalchemy as sa
import sqlalchemy.event
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError

metadata = MetaData()
log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

LAYING = 0x776F726C64  # PostgreSQL's lock of whoever makes the tables


def _table(name: str, *columns) -> Table:
    return Table(name, metadata, *columns)


keys = _table(
    "api_keys",
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),  # of the secret, which is kept nowhere
    Column("hint", String, nullable=False),  # its last four characters
    Column("scopes", JSON, nullable=False),
    Column("seconds_a_day", Float),  # of video; None: no limit
    Column("requests_a_minute", Integer),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
)

videos = _table(
    "videos",
    Column("id", String, primary_key=True),
    Column("owner", String, ForeignKey("api_keys.id"), nullable=False),
    Column("status", String, nullable=False),  # queued, in_progress, completed, failed
    Column("request", JSON, nullable=False),  # what is drawn: ability, parameters, how to sample
    Column("facts", JSON, nullable=False),  # told again as asked: prompt, size, seconds, operation, parents ...
    Column("model", String, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("round", Integer, nullable=False),  # of fair sharing: a key's next waiting video is a round later
    Column("work", Float, nullable=False),  # patches times calls of the network
    Column("memory", Float, nullable=False),  # estimated bytes
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("completed_at", Float),
    Column("expires_at", Float),
    Column("deleted_at", Float),
    Column("batch", String),  # that it is or was drawn in
    Column("kept", String),  # a batch of it alone whose latents are kept, to go on from
    Column("paused", Boolean, nullable=False, default=False),
    Column("cancelled", Boolean, nullable=False, default=False),
    Column("error", JSON),
    Column("result", JSON),  # names and sizes of what was made, timings, provenance
    Index("videos_of_owner", "owner", "created_at", "id"),
    Index("videos_waiting", "status", "priority", "round", "created_at"),
)

marks = _table(  # the numbers that watermarks hold; two videos may share one
    "marks",
    Column("number", sa.BigInteger, nullable=False),
    Column("video", String, ForeignKey("videos.id", ondelete="CASCADE"), primary_key=True),
    Column("variant", Integer, primary_key=True),
    Index("marks_by_number", "number"),
)

batches = _table(  # what is drawn together; a workflow each
    "batches",
    Column("id", String, primary_key=True),
    Column("worker", String, nullable=False),
    Column("videos", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("weights", String),  # the fingerprint of those it was begun with
)

progress = _table(  # written often and by workers alone: apart from the row that clients wait for
    "progress",
    Column("video", String, ForeignKey("videos.id", ondelete="CASCADE"), primary_key=True),
    Column("stage", String, nullable=False),
    Column("step", Integer, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("share", Float, nullable=False, default=0.0),  # of its work that is done
    Column("left", Float),  # seconds
    Column("preview", Integer, nullable=False, default=0),  # how many previews there have been
    Column("worker", String),
    Column("at", Float, nullable=False),
)

seen = (  # videos as clients see them: each with how far it is, in one query
    sa.select(videos, *(progress.c[name] for name in ("stage", "step", "steps", "share", "left", "preview")))
    .outerjoin(progress, progress.c.video == videos.c.id)
    .subquery("seen")
)

files = _table(
    "files",
    Column("id", String, primary_key=True),
    Column("owner", String, ForeignKey("api_keys.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Index("files_of_owner", "owner", "created_at", "id"),
)

characters = _table(
    "characters",
    Column("id", String, primary_key=True),
    Column("owner", String, ForeignKey("api_keys.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("told", String, nullable=False),  # how prompts call it
    Column("consent", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
)

idempotency = _table(
    "idempotency",
    Column("owner", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("body", String, nullable=False),  # digest
    Column("video", String, nullable=False),
    Column("at", Float, nullable=False),
)

endpoints = _table(
    "webhook_endpoints",
    Column("id", String, primary_key=True),
    Column("owner", String, ForeignKey("api_keys.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("url", Text, nullable=False),
    Column("event_types", JSON, nullable=False),
    Column("secrets", JSON, nullable=False),  # [secret, valid until or null], newest first
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
)

deliveries = _table(
    "deliveries",
    Column("event", String, primary_key=True),  # one id, however often it is sent
    Column("endpoint", String, primary_key=True),
    Column("body", Text, nullable=False),
    Column("due_at", Float),  # None: delivered or given up
    Column("tries", Integer, nullable=False, default=0),
    Column("status", Integer),
    Column("at", Float, nullable=False),
    Index("deliveries_due", "due_at"),
)

models = _table(  # added, removed and chosen while servers run: `weights`
    "models",
    Column("name", String, primary_key=True),
    Column("fingerprint", String, primary_key=True),
    Column("folder", String, nullable=False),
    Column("since", Float, nullable=False),
    Column("gone", Boolean, nullable=False),
    Column("chosen_at", Float),  # when it became what sora-2 means
)

workers = _table(
    "workers",
    Column("id", String, primary_key=True),
    Column("device", String, nullable=False),
    Column("models", JSON, nullable=False),
    Column("speed", Float),  # patches times calls a second, measured
    Column("beat_at", Float, nullable=False),
)


BUSY = 10.0  # seconds that a transaction waits for its turn or for a connection, before it counts as failed
OUT = (OperationalError, InterfaceError, TimeoutError)
"""What a database raises that restarts, is locked, is full or cannot be reached: the same again later may succeed."""


def engine(url: str) -> sa.Engine:
    """A database that many read while one writes: write-ahead logging where it is SQLite. What was asked is never told
    in its errors, for prompts are part of that."""
    if not url.startswith("sqlite"):
        return sa.create_engine(
            sa.make_url(url).set(drivername="postgresql+psycopg"), pool_size=20, max_overflow=20, pool_pre_ping=True,
            pool_timeout=BUSY, connect_args={"connect_timeout": max(1, int(BUSY))}, hide_parameters=True,
        )  # fmt: skip
    made = sa.create_engine(
        url, pool_size=20, pool_timeout=BUSY,
        connect_args={"timeout": BUSY, "check_same_thread": False}, hide_parameters=True,
    )  # fmt: skip

    @sqlalchemy.event.listens_for(made, "connect")
    def pragmas(connection, _) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={1000 * BUSY:.0f}"):
            connection.execute(f"PRAGMA {pragma}")

    return made


def lay(engine: sa.Engine) -> None:
    """Make what is missing in a database: tables, and columns that an older version did not have. Several processes may
    do so at once."""
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LAYING)))
        metadata.create_all(connection)
        for table in metadata.sorted_tables:
            there = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
            for column in table.columns:
                if column.name not in there:
                    kind = column.type.compile(engine.dialect)
                    connection.exec_driver_sql(f'ALTER TABLE {table.name} ADD COLUMN "{column.name}" {kind}')


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that writes. SQLite's waits for its turn at its beginning: one that has read before it writes could
    find that somebody else has written in between, and would fail."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


def patient(call: Callable[P, T]) -> Callable[P, T]:
    """A call that may be repeated is, for as long as the database is out."""

    @wraps(call)
    def until_it_answers(*args: P.args, **kwargs: P.kwargs) -> T:
        for wait in itertools.chain((0.1, 0.3), itertools.repeat(1.0)):
            try:
                return call(*args, **kwargs)
            except OUT as error:
                log.warning("the database is out, and is waited for: %s", told(error))
                time.sleep(wait)
        raise AssertionError("never ends")

    return until_it_answers


def told(error: Exception) -> str:
    """The first line of what a database says."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]
