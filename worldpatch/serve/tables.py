"""What the service knows, as tables: SQLite by default, PostgreSQL by one URL.

Times are unix seconds. Everything that belongs to a client has the id of its key in `owner`: no query goes without it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

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

metadata = MetaData()


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

batches = _table(  # what is drawn together; a workflow each
    "batches",
    Column("id", String, primary_key=True),
    Column("worker", String, nullable=False),
    Column("videos", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float),
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

workers = _table(
    "workers",
    Column("id", String, primary_key=True),
    Column("device", String, nullable=False),
    Column("models", JSON, nullable=False),
    Column("speed", Float),  # patches times calls a second, measured
    Column("beat_at", Float, nullable=False),
)


def engine(url: str) -> sa.Engine:
    """A database that many read while one writes: write-ahead logging where it is SQLite."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_size=20, max_overflow=20, pool_pre_ping=True)
    made = sa.create_engine(url, connect_args={"timeout": 30, "check_same_thread": False})

    @sqlalchemy.event.listens_for(made, "connect")
    def pragmas(connection, _) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
            connection.execute(f"PRAGMA {pragma}")

    return made


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that writes. SQLite's waits for its turn at its beginning: one that has read before it writes could
    find that somebody else has written in between, and would fail."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection
