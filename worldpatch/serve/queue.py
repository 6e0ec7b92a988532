"""The queue: who waits, who is next, and what shares a batch.

Order: priority, then rounds, then time. A key's n-th waiting video is in the n-th round from now, so that keys take
turns however many videos each has sent (start-time fair queueing, Goyal et al. 1996). A batch is claimed by one worker
in one transaction; its members stand in the table, so that whoever goes on with it repeats it.
"""

import itertools
import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from worldpatch.serve import webhooks
from worldpatch.serve.errors import invalid
from worldpatch.serve.ids import new
from worldpatch.serve.tables import batches, progress, videos, workers, writing

log = logging.getLogger(__name__)

UNMEASURED = 1000.0  # patches times calls a second, until a worker has measured it
STALE = 15.0  # seconds without a heartbeat until a worker counts as dead
WAITING, DRAWN, DONE, FAILED = "queued", "in_progress", "completed", "failed"


@dataclass(frozen=True)
class Waiting:
    """A video that waits: its id and what it takes."""

    id: str
    request: dict[str, Any]
    model: str
    work: float
    memory: float
    kept: str | None


def submit(connection: sa.Connection, row: dict[str, Any]) -> None:
    """Put a video at the end of its key's line."""
    waiting = videos.c.status == WAITING
    last = connection.scalar(sa.select(sa.func.max(videos.c.round)).where(waiting, videos.c.owner == row["owner"]))
    now = connection.scalar(sa.select(sa.func.min(videos.c.round)).where(waiting)) or 0
    turn = now if last is None else last + 1
    connection.execute(sa.insert(videos).values(**row, status=WAITING, round=turn))
    log.info("queued", extra={"video": row["id"], "key": row["owner"], "prompt": row["facts"].get("prompt")})


def order() -> tuple[sa.ColumnElement, ...]:
    return videos.c.priority.desc(), videos.c.round, videos.c.created_at, videos.c.id


def claim(engine: sa.Engine, worker: str, fits: Callable[[Sequence[Waiting]], bool]) -> tuple[str, list[str]] | None:
    """The next batch for a worker: the first video that waits, and those after it that `fits` says may join. None where
    nothing waits. Two workers never get the same video."""
    with writing(engine) as connection:
        query = sa.select(videos).where(videos.c.status == WAITING, ~videos.c.paused).order_by(*order()).limit(64)
        rows = connection.execute(query.with_for_update(skip_locked=True)).mappings().all()
        chosen: list[Waiting] = []
        for row in rows:
            one = Waiting(row["id"], row["request"], row["model"], row["work"], row["memory"], row["kept"])
            alone = one.kept or (chosen and chosen[0].kept)  # its latents are those of a batch of its own
            if not chosen or not alone and fits([*chosen, one]):
                chosen.append(one)
        if not chosen:
            return None
        batch, members, now = new("batch"), [one.id for one in chosen], time.time()
        connection.execute(sa.insert(batches).values(id=batch, worker=worker, videos=members, created_at=now))
        connection.execute(
            sa.update(videos).where(videos.c.id.in_(members)).values(status=DRAWN, batch=batch, started_at=now)
        )
        return batch, members


class Watch:
    """Tells which workers are silent: those whose heartbeat has not changed for `STALE` seconds of this process's
    looking. No two clocks are compared, so one that jumps or is wrong takes nobody's work away, and seconds in which
    the database was out count for nobody's silence."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[float, float]] = {}  # worker -> (its last heartbeat, seconds of silence since)
        self.looked = time.monotonic()

    def silent(self, engine: sa.Engine) -> list[str]:
        """To be asked again and again, once a second or more often."""
        with engine.connect() as connection:
            rows = connection.execute(sa.select(workers.c.id, workers.c.beat_at)).all()
        now = time.monotonic()
        passed, self.looked = min(1.0, now - self.looked), now
        last, self.seen = self.seen, {}
        for id, beat in rows:
            former, silence = last.get(id, (None, 0.0))
            self.seen[id] = beat, silence + passed if beat == former else 0.0
        return [id for id, (_, silence) in self.seen.items() if silence > STALE]


def adopt(engine: sa.Engine, worker: str, silent: Sequence[str]) -> list[str]:
    """The unfinished batches of workers that are silent, or have taken their leave: they are this worker's now."""
    with engine.connect() as connection:  # mostly there are none: the lock of writers is not taken for that
        if not connection.scalar(sa.select(sa.func.count()).where(*_lost(worker, silent))):
            return []
    with writing(engine) as connection:
        lost = sa.and_(*_lost(worker, silent))
        found = list(connection.scalars(sa.select(batches.c.id).where(lost).with_for_update(skip_locked=True)))
        connection.execute(sa.update(batches).where(batches.c.id.in_(found)).values(worker=worker))
        return found


def _lost(worker: str, silent: Sequence[str]) -> tuple[sa.ColumnElement[bool], ...]:
    own = batches.c.worker
    dead = own.in_(silent) | own.not_in(sa.select(workers.c.id))
    return dead, own != worker, batches.c.finished_at.is_(None)


def leave(engine: sa.Engine, worker: str) -> None:
    """A worker ends by itself: its unfinished batches are free for others at once, and wait for it otherwise."""
    with writing(engine) as connection:
        connection.execute(sa.delete(workers).where(workers.c.id == worker))


def beat(engine: sa.Engine, worker: str, **told: Any) -> None:
    """Say that a worker lives, and what is new of it: device, models, speed."""
    row = {**told, "beat_at": time.time()}
    with writing(engine) as connection:
        if not connection.execute(sa.update(workers).where(workers.c.id == worker).values(**row)).rowcount:
            connection.execute(sa.insert(workers).values(id=worker, **row))


def tell(engine: sa.Engine, members: Sequence[str], **row: Any) -> None:
    """How far a batch is: stage, step, steps, seconds left, number of previews."""
    with writing(engine) as connection:
        for video in members:
            values = {**row, "at": time.time()}
            if not connection.execute(sa.update(progress).where(progress.c.video == video).values(**values)).rowcount:
                connection.execute(sa.insert(progress).values(video=video, **values))


def waiting(connection: sa.Connection) -> int:
    """How many videos wait."""
    return connection.scalar(sa.select(sa.func.count()).where(videos.c.status == WAITING)) or 0


def speed(connection: sa.Connection) -> float:
    """Patches times calls a second of the fastest worker."""
    return connection.scalar(sa.select(sa.func.max(workers.c.speed))) or UNMEASURED


@dataclass(frozen=True)
class Line:
    """All that waited at a moment, in its order: a place for each, and the patches times calls up to there, of those
    drawn too. `workers` live, and make `speed` patches times calls a second each."""

    places: list[tuple[int, int, float, str]]
    work: list[float]  # one more than places
    workers: int
    speed: float

    def position(self, row: Any) -> int:
        """How many waiting videos come before this one."""
        return bisect_left(self.places, _place(row))

    def seconds_before(self, row: Any) -> float:
        """Until this one is begun."""
        return self.work[self.position(row)] / self.workers / self.speed


def line(connection: sa.Connection) -> Line:
    """What waits now. Paused videos are passed over."""
    drawn = sa.select(sa.func.sum(videos.c.work * (1 - sa.func.coalesce(progress.c.share, 0.0)))).select_from(
        videos.outerjoin(progress, progress.c.video == videos.c.id)
    )
    under_way = connection.scalar(drawn.where(videos.c.status == DRAWN)) or 0.0
    columns = (videos.c.priority, videos.c.round, videos.c.created_at, videos.c.id, videos.c.work)
    query = sa.select(*columns).where(videos.c.status == WAITING, ~videos.c.paused)
    rows = sorted(connection.execute(query).mappings(), key=_place)
    alive = sa.select(sa.func.count()).where(workers.c.beat_at > time.time() - STALE)
    return Line(
        places=[_place(row) for row in rows],
        work=list(itertools.accumulate((row["work"] for row in rows), initial=under_way)),
        workers=max(1, connection.scalar(alive) or 0), speed=speed(connection),
    )  # fmt: skip


def _place(row: Any) -> tuple[int, int, float, str]:
    return -row["priority"], row["round"], row["created_at"], row["id"]


# ------------------------------------------------------------------------------------------------- stopped, and gone on


def cancel(connection: sa.Connection, id: str) -> None:
    """A video that waits fails at once; one that is drawn, when its worker sees the mark. One that is over stays."""
    told = {"code": "canceled", "message": "canceled as asked"}
    mine = videos.c.id == id
    ended = {"status": FAILED, "error": told, "completed_at": time.time(), "paused": False}
    connection.execute(sa.update(videos).where(mine, videos.c.status == WAITING).values(**ended))
    connection.execute(sa.update(videos).where(mine, videos.c.status == DRAWN).values(cancelled=True))


def pause(connection: sa.Connection, id: str) -> None:
    """A video is passed over until it is resumed. Raises ApiError where it is over."""
    _waiting_or_drawn(connection, id, paused=True)


def resume(connection: sa.Connection, id: str) -> None:
    _waiting_or_drawn(connection, id, paused=False)


def _waiting_or_drawn(connection: sa.Connection, id: str, *, paused: bool) -> None:
    open = videos.c.status.in_((WAITING, DRAWN))
    if not connection.execute(sa.update(videos).where(videos.c.id == id, open).values(paused=paused)).rowcount:
        raise invalid(f"video {id} is over: it can be neither paused nor resumed")


def asked_to_stop(engine: sa.Engine, members: Sequence[str]) -> tuple[list[str], list[str]]:
    """(cancelled, paused) of the videos of a batch."""
    with engine.connect() as connection:
        query = sa.select(videos.c.id, videos.c.cancelled, videos.c.paused).where(videos.c.id.in_(members))
        rows = connection.execute(query).all()
    return [id for id, cancelled, _ in rows if cancelled], [id for id, gone, paused in rows if paused and not gone]


def back(connection: sa.Connection, id: str, kept: str | None) -> None:
    """A video that was being drawn waits again; `kept` is the batch whose latents it goes on from."""
    mine = (videos.c.id == id, videos.c.status == DRAWN)
    connection.execute(sa.update(videos).where(*mine).values(status=WAITING, batch=None, kept=kept))


def end(connection: sa.Connection, id: str, keep_hours: float, **values: Any) -> bool:
    """A video that was being drawn is completed (`result`) or failed (`error`); False where it was over already. Its
    owner's webhooks are put in line in the same transaction."""
    now, status = time.time(), FAILED if "error" in values else DONE
    row = {**values, "status": status, "completed_at": now, "expires_at": now + 3600 * keep_hours, "paused": False}
    mine = (videos.c.id == id, videos.c.status == DRAWN)
    if not connection.execute(sa.update(videos).where(*mine).values(**row)).rowcount:
        return False
    owner = connection.scalar(sa.select(videos.c.owner).where(videos.c.id == id))
    webhooks.emit(connection, str(owner), f"video.{status}", {"id": id})
    return True
