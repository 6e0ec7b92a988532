"""One process, one device: takes batches from the queue, draws them, and keeps what whoever goes on with them needs.

A batch is a durable workflow (DBOS): groups of sampler steps, after each of which the latents are on disk, then each
video decoded, encoded and put into the store. Killed at any moment, it goes on at the last group, here or in another
process, to the same frames. Progress stays outside of the workflow: losing some of it loses nothing.
"""

import argparse
import gc
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa
import torch
from dbos import DBOS, DBOSClient, DBOSConfig

from worldpatch import config, generate
from worldpatch.config import UserError
from worldpatch.flow.samplers import State
from worldpatch.generate import drawing, lora, preview
from worldpatch.generate.models import fingerprint
from worldpatch.generate.pipeline import Pipeline
from worldpatch.serve import logs, objects, queue, references, tables, weights
from worldpatch.serve.house import House
from worldpatch.serve.kept import Kept
from worldpatch.serve.made import moving, write
from worldpatch.serve.processes import follow
from worldpatch.serve.settings import Settings
from worldpatch.types import Request, Shots

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

VERSION = "1"  # of what a workflow's steps mean: changed only when old jobs could not be gone on with
POLL, BEAT, SHOWN = 0.1, 2.0, 0.5  # seconds between two looks, two heartbeats, two previews
HUNG = 300.0  # seconds within one sampler step, and a worker no longer says that it lives
BEHIND = 10  # niceness: whoever answers clients on the same processors goes first
POOL = drawing.TOKENS  # patches of a batch on a GPU; on a CPU nothing is won by company


class Stopped(Exception):
    """All videos of a batch were cancelled or paused."""


@dataclass
class Desk:
    """A batch in this process's hands: what would have to be made again after a crash. `at` counts groups."""

    batch: str
    members: list[Any]  # rows of `videos` that are drawn
    jobs: list[generate.Job]
    models: Path  # the folder of their model
    marks: Generator[drawing.Mark, None, list[Shots]]
    at: int
    work: float  # patches times calls in all
    done: float = 0.0
    before: float = 0.0  # of that in an earlier life
    mark: drawing.Mark | None = None
    made: list[Shots] | None = None
    denoised: float = 0.0  # seconds
    previews: int = 0


class Worker:
    def __init__(self, house: House, id: str, device: str):
        self.house, self.id, self.device = house, id, device
        self.kept, self.watch = Kept(house), queue.Watch()
        self.models: dict[tuple[str, ...], Pipeline] = {}
        self.previews: dict[tuple[str, ...], preview.Preview] = {}
        self.desk: Desk | None = None
        self.speed: float | None = None
        self.moved = time.monotonic()  # when something last happened
        self.shown = 0.0  # when the last preview was
        self.begun: set[str] = set()  # batches whose workflows this process runs
        self.over = threading.Event()  # a group of steps under way ends after the present one
        self.turn = threading.Lock()  # held while a step of a workflow runs

    # ------------------------------------------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Until SIGTERM: then the sampler step under way ends, its latents are kept, and its batch is left to whoever
        comes first, another worker or this one in its next life."""
        url = self.house.settings.workflows
        DBOS(config=_config(url, self.id))
        logs.begin(self.house.settings, self.id)  # again, for DBOS has said by itself where its words go
        DBOS.listen_queues([self.id])  # every process knows all queues, and would take other workers' batches
        DBOS.launch()
        DBOS.register_queue(self.id, worker_concurrency=1, polling_interval_sec=POLL)
        client = DBOSClient(system_database_url=url)
        tables.patient(self._say)()
        threading.Thread(target=self._beat, daemon=True).start()
        for folder in self.house.models.values():
            self._pipeline(folder, [])
        mine = tables.patient(self._open)()
        self.begun = {batch for batch in mine if client.list_workflows(workflow_ids=[batch])}  # recovered by the launch
        while not self.over.wait(POLL):
            try:
                self._look(client)
            except tables.OUT as error:
                log.warning("the database does not answer: %s", tables.told(error))
                self.over.wait(1.0)
        self.turn.acquire()  # for good: no step begins after the one under way
        try:
            queue.leave(self.house.engine, self.id)
        except tables.OUT as error:
            log.warning("left without taking leave: %s", tables.told(error))

    def _look(self, client: DBOSClient) -> None:
        """See what there is to be done, and begin it."""
        for batch in queue.adopt(self.house.engine, self.id, self.watch.silent(self.house.engine)):
            log.warning("going on with a batch whose worker is gone", extra={"batch": batch})
        open = self._open()
        if not open:
            self.moved = time.monotonic()
            found = queue.claim(self.house.engine, self.id, self._fit)
            open = [found[0]] if found else []
        for batch in open:
            if batch not in self.begun:
                self._enqueue(client, batch)
        self.begun = set(open)

    def _open(self) -> list[str]:
        mine = (tables.batches.c.worker == self.id, tables.batches.c.finished_at.is_(None))
        with self.house.engine.connect() as connection:
            return list(connection.scalars(sa.select(tables.batches.c.id).where(*mine)))

    def _enqueue(self, client: DBOSClient, batch: str) -> None:
        """A new workflow, or one of another process or of an earlier life, on this worker's own queue."""
        known = client.list_workflows(workflow_ids=[batch])
        if known:
            client.resume_workflow(batch, queue_name=self.id)
        else:
            options: Any = {
                "workflow_name": "draw", "queue_name": self.id, "workflow_id": batch, "app_version": VERSION,
            }  # fmt: skip
            client.enqueue(options, batch)

    def _fit(self, some: Sequence[queue.Waiting]) -> bool:
        """Whether videos may be drawn together."""
        if self.device == "cpu":
            return False
        own = ("ability", "params", "seed", "variants")
        if any(
            one.request[name] != value for one in some for name, value in some[0].request.items() if name not in own
        ):
            return False
        calls = some[0].request["steps"] * (2 if some[0].request["guidance"] != 1 else 1)
        return sum(one.work for one in some) / calls <= POOL

    def _beat(self) -> None:
        while not self.over.is_set():
            if time.monotonic() - self.moved < HUNG:
                try:
                    self._say()
                except tables.OUT as error:
                    log.warning("the database does not answer: %s", tables.told(error))
            time.sleep(BEAT)

    def _say(self) -> None:
        told = {"device": self.device, "models": list(self.house.models), "speed": self.speed}
        queue.beat(self.house.engine, self.id, **told)

    # ------------------------------------------------------------------------------------------------------ drawing

    def denoise(self, batch: str, at: int) -> str:
        """A group of sampler steps: "more" are to come, all are "drawn", or nobody wants them any more: "stopped"."""
        try:
            desk = self._at(batch, at)
            for _ in range(self.house.settings.group):
                self._heed(desk)
                begun = time.perf_counter()
                try:
                    mark = next(desk.marks)
                except StopIteration as end:
                    desk.made = end.value
                    self._keep(desk, at)
                    return "drawn"
                self._tell(desk, mark, time.perf_counter() - begun)
                if self.over.is_set():
                    break
            self._keep(desk, at)
            desk.at = at + 1
            return "more"
        except Stopped:
            return "stopped"

    def _at(self, batch: str, at: int) -> Desk:
        """The desk with a batch on it, where it stood before this group."""
        if self.desk is None or self.desk.batch != batch or self.desk.at != at or self.desk.made is not None:
            self.desk = None
            self.desk = self._laid(batch, at)
        return self.desk

    def _laid(self, batch: str, at: int) -> Desk:
        folder = self.kept.folder(batch)
        rows = self._members(batch)
        begin = self.kept.newest(batch)
        if begin is None and len(rows) == 1 and rows[0]["kept"]:
            begin = self.kept.newest(rows[0]["kept"])
        members, jobs, models = [], [], Path()
        for row in rows:
            try:
                models = self._models(batch, row)
                pipeline = self._pipeline(models, row["request"]["loras"])
                jobs.append(generate.prepare(self._request(row, folder), pipeline))
                members.append(row)
            except (UserError, MemoryError) as error:
                self._fail(row["id"], error)
        if not members:
            raise Stopped
        pipeline = self._pipeline(models, members[0]["request"]["loras"])
        marks = generate.drawn(jobs, pipeline, begin)
        log.info("drawing", extra={"videos": [row["id"] for row in members], "from": begin is not None})
        desk = Desk(batch, members, jobs, models, marks, at, sum(row["work"] for row in members), mark=begin)
        if begin is not None:
            done = len(begin.drawn) and sum(latents.numel() for latents in begin.drawn) / pipeline.spec.channels
            desk.done = float(done) * self._calls(desk) * members[0]["request"]["steps"]
            if begin.state is not None:
                desk.done += begin.state.done * len(begin.state.x) * self._calls(desk)
        desk.before = desk.done
        return desk

    def _members(self, batch: str) -> list[Any]:
        """The rows of a batch that are still to be drawn, in their order."""
        with self.house.engine.connect() as connection:
            ids = connection.scalar(sa.select(tables.batches.c.videos).where(tables.batches.c.id == batch)) or []
            mine = (tables.videos.c.id.in_(ids), tables.videos.c.status == queue.DRAWN, tables.videos.c.batch == batch)
            found = {row["id"]: row for row in connection.execute(sa.select(tables.videos).where(*mine)).mappings()}
        return [found[id] for id in ids if id in found]

    def _request(self, row: Any, folder: Path) -> Request:
        asked = dict(row["request"])
        kind = config.resolve("generate/ops", asked["ability"]).Params
        asked["params"] = references.local(kind, asked["params"], self.house, folder)
        return config.build(Request, asked)

    def _heed(self, desk: Desk) -> None:
        """Let go of videos that nobody wants now. Raises Stopped where none is left."""
        cancelled, paused = queue.asked_to_stop(self.house.engine, [row["id"] for row in desk.members])
        if not cancelled and not paused:
            return
        for id in cancelled:
            self._fail(id, UserError("canceled as asked"), "canceled")
        alone = len(desk.members) == 1
        if paused and alone:
            self._keep(desk, desk.at)
        with tables.writing(self.house.engine) as connection:
            for id in paused:  # in company its latents are part of a pass that goes on without it
                queue.back(connection, id, desk.batch if alone else None)
        gone = {*cancelled, *paused}
        if len(gone) == len(desk.members):
            self.desk = None
            raise Stopped

    def _keep(self, desk: Desk, at: int) -> None:
        if desk.mark is not None:
            self.kept.keep(desk.batch, at, desk.mark)

    def _tell(self, desk: Desk, mark: drawing.Mark, seconds: float) -> None:
        self.moved = time.monotonic()
        desk.mark, desk.denoised = mark, desk.denoised + seconds
        state: State | None = mark.state
        if state is None:
            return
        work = len(state.x) * self._calls(desk)
        desk.done += work
        if self.speed is None:  # a first guess: what comes after drawing is not in it
            self.speed = work / seconds
        share = min(0.98, desk.done / max(desk.work, desk.done))
        steps = desk.members[0]["request"]["steps"]
        queue.tell(
            self.house.engine, [row["id"] for row in desk.members], stage="denoise", step=state.done, steps=steps,
            share=share, left=max(0.0, desk.work - desk.done) / self.speed, worker=self.id,
            preview=desk.previews,
        )  # fmt: skip
        if time.monotonic() - self.shown > SHOWN:
            self._show(desk, state)
            desk.previews, self.shown = desk.previews + 1, time.monotonic()

    def _show(self, desk: Desk, state: State) -> None:
        """A moving preview of each video, where it can be told which latents are whose."""
        assert state.latents is not None
        latents, first = state.latents(), 0
        if len(latents) != sum(job.request.variants for job in desk.jobs):
            latents = latents[:1] * (len(desk.jobs) == 1)
        for row, job in zip(desk.members, desk.jobs, strict=True):
            if first < len(latents):
                pipeline = self._pipeline(desk.models, row["request"]["loras"])
                name = self._name(desk.models, row["request"]["loras"])
                if name not in self.previews:
                    self.previews[name] = preview.fitted(pipeline)
                frames = self.previews[name].frames(latents[first])
                rate = job.first.rate / pipeline.spec.stride_t
                self.house.objects.put_bytes(objects.shown(row["id"], "preview.webp"), moving(frames, rate))
            first += job.request.variants

    def _calls(self, desk: Desk) -> int:
        asked = desk.members[0]["request"]
        return 2 if asked["guidance"] != 1 and asked["sampler"] != "jump" else 1

    # ------------------------------------------------------------------------------------------------------ publishing

    def publish(self, batch: str) -> None:
        """Decode, write and store every video of a drawn batch, and say that it is there."""
        if self.desk is None or self.desk.batch != batch or self.desk.made is None:
            self.desk = self._laid(batch, self.kept.next(batch))
            while self.desk.made is None:
                try:
                    self.desk.mark = next(self.desk.marks)
                except StopIteration as end:
                    self.desk.made = end.value
        desk, shots, begun = self.desk, iter(self.desk.made), time.perf_counter()
        for row, job in zip(desk.members, desk.jobs, strict=True):
            own = [next(shots) for _ in range(job.request.variants)]
            if self._unfinished(row["id"]):
                try:
                    self._publish(row, job, own, desk)
                except (UserError, MemoryError, OSError, objects.Failed) as error:
                    self._clear(row["id"])
                    self._fail(row["id"], error)
        # Whoever waits, waits for decoding and encoding too.
        self.speed = paced(self.speed, desk.done - desk.before, desk.denoised + time.perf_counter() - begun)

    def _clear(self, id: str) -> None:
        """Nothing stays of a video that could not be kept whole."""
        try:
            self.house.objects.remove(f"videos/{id}")
        except (OSError, objects.Failed) as error:
            log.warning("parts of it stay in the store: %s", tables.told(error), extra={"video": id})

    def _unfinished(self, id: str) -> bool:
        cancelled, paused = queue.asked_to_stop(self.house.engine, [id])
        if cancelled:
            self._fail(id, UserError("canceled as asked"), "canceled")
        with self.house.engine.connect() as connection:
            status = connection.scalar(sa.select(tables.videos.c.status).where(tables.videos.c.id == id))
        return status == queue.DRAWN

    def _publish(self, row: Any, job: generate.Job, shots: list[Shots], desk: Desk) -> None:
        pipeline = self._pipeline(desk.models, row["request"]["loras"])
        self.moved = time.monotonic()
        queue.tell(self.house.engine, [row["id"]], stage="decode", share=0.98, step=0, steps=1, worker=self.id)
        (result,) = generate.developed([job], shots, pipeline)
        begun = time.perf_counter()
        for frames in result.frames.numpy():
            decision = self.house.policy.judge_frames(frames, result.rate)
            self.house.audit.decided(decision, row["id"])
            if not decision.allowed:
                self._fail(row["id"], UserError(decision.reason), "moderation_blocked")
                return
        with tempfile.TemporaryDirectory(dir=self.kept.folder(desk.batch)) as folder:
            parts = Path(folder) / "parts"
            kind = config.resolve("generate/ops", row["request"]["ability"]).Params
            given = references.lineage(kind, row["request"]["params"], self.house, parts)
            made = write(result, row, pipeline, Path(folder) / "made", desk.models, given, self.house)
            for path in sorted((Path(folder) / "made").rglob("*")):
                if path.is_file():
                    name = path.relative_to(Path(folder) / "made").as_posix()
                    self.house.objects.put(f"videos/{row['id']}/{name}", path)
        timings = {
            "queue": row["started_at"] - row["created_at"], "denoise": desk.denoised, **result.seconds,
            "encode": time.perf_counter() - begun,
        }  # fmt: skip
        facts = {**made, "timings": {name: round(value, 4) for name, value in timings.items()}}
        with tables.writing(self.house.engine) as connection:
            if queue.end(connection, row["id"], self.house.settings.keep_hours, result=facts):
                numbers = [{"number": n, "video": row["id"], "variant": k} for k, n in enumerate(made["marks"]) if n]
                if numbers:
                    connection.execute(sa.insert(tables.marks), numbers)
        spent = {name: round(1000 * value) for name, value in timings.items()}
        log.info("completed", extra={"video": row["id"], "milliseconds": spent})

    def _fail(self, id: str, error: BaseException, code: str | None = None) -> None:
        known = {UserError: "invalid_value", MemoryError: "out_of_memory"}
        found = code or next((told for kind, told in known.items() if isinstance(error, kind)), "server_error")
        told = {"code": found, "message": str(error) or type(error).__name__}
        if objects.full(error):
            told = {"code": "disk_full", "message": "there was no room to keep the video: ask again when there is"}
        with tables.writing(self.house.engine) as connection:
            queue.end(connection, id, self.house.settings.keep_hours, error=told)
        log.warning("failed", extra={"video": id, "code": told["code"]})

    def fail(self, batch: str, error: BaseException) -> None:
        """What went wrong is told by each video of a batch, not by the workflow."""
        if isinstance(error, torch.OutOfMemoryError):
            error = MemoryError("there was not enough memory: ask for fewer pixels or seconds")
        for row in self._members(batch):
            self._fail(row["id"], error)

    def close(self, batch: str) -> None:
        """A batch is over: its latents go, unless a paused video goes on from them."""
        self.desk = None
        with tables.writing(self.house.engine) as connection:
            done = {"finished_at": time.time()}
            connection.execute(sa.update(tables.batches).where(tables.batches.c.id == batch).values(**done))
            kept = connection.scalar(sa.select(tables.videos.c.id).where(tables.videos.c.kept == batch))
        if kept is None:
            self.kept.forget(batch)

    # ------------------------------------------------------------------------------------------------------------------

    def _models(self, batch: str, row: Any) -> Path:
        """The folder of the weights that a batch was begun with, in this life or another, or, where it begins, of those
        that its model's name means now. Raises UserError where they are gone."""
        known = tables.batches.c.id, tables.batches.c.weights
        with tables.writing(self.house.engine) as connection:
            found = dict(connection.execute(sa.select(*known).where(known[0].in_([batch, row["kept"]]))).all())
            begun = found[batch] or found.get(row["kept"])
            if begun is None:
                folder = weights.served(connection, self.house.settings).get(row["model"])
                if folder is None:
                    raise UserError(f"the model {row['model']} is no longer served: ask for another one")
            else:
                folder = weights.folder(connection, self.house.settings, row["model"], begun)
            now = sa.update(tables.batches).where(tables.batches.c.id == batch)
            connection.execute(now.values(weights=fingerprint(folder)))
        return folder

    @staticmethod
    def _name(folder: Path, loras: list[str]) -> tuple[str, ...]:
        return fingerprint(folder), *loras

    def _pipeline(self, folder: Path, loras: list[str]) -> Pipeline:
        """A model with its adapters; those asked for last stay in memory."""
        name = self._name(folder, loras)
        if name not in self.models:
            if len(self.models) > 2:
                self.models.pop(next(iter(self.models)))
                gc.collect()
            uses = []
            for text in loras:
                own, _, scale = text.partition(":")
                uses.append(lora.parse(str(self.house.settings.loras[own]) + (f":{scale}" if scale else "")))
            self.models[name] = generate.load(folder, self.device, uses)
        return self.models[name]


# --------------------------------------------------------------------------------------------------------- the workflow

_worker: Worker | None = None  # DBOS calls functions by name


def worker() -> Worker:
    assert _worker is not None
    return _worker


def _step(call: Callable[P, T]) -> Callable[P, T]:
    """A step of a workflow: none begins when the worker ends, and all wait for a database that is out."""

    @DBOS.step(name=call.__name__)
    @wraps(call)
    def step(*args: P.args, **kwargs: P.kwargs) -> T:
        with worker().turn, logs.about(batch=args[0]):
            return tables.patient(call)(*args, **kwargs)

    return step


@_step
def denoise(batch: str, at: int) -> str:
    return worker().denoise(batch, at)


@_step
def publish(batch: str) -> None:
    worker().publish(batch)


@_step
def close(batch: str) -> None:
    worker().close(batch)


@DBOS.workflow(name="draw", max_recovery_attempts=1_000_000)
def draw(batch: str) -> None:
    try:
        at = 0
        while (found := denoise(batch, at)) == "more":
            at += 1
        if found == "drawn":
            publish(batch)
    except Exception as error:
        log.exception("a batch failed")
        with worker().turn:
            tables.patient(worker().fail)(batch, error)
    close(batch)


def paced(former: float | None, work: float, seconds: float) -> float | None:
    """The mean speed after another batch. One that an earlier life had drawn to its end took time for no work, and says
    nothing."""
    if work <= 0:
        return former
    return work / seconds if former is None else 0.8 * former + 0.2 * work / seconds


def _config(url: str, id: str) -> DBOSConfig:
    return {
        "name": "worldpatch", "system_database_url": url, "application_version": VERSION, "executor_id": id,
        "log_level": "WARNING",
    }  # fmt: skip


def main(settings: Settings, id: str, device: str) -> None:
    """A worker of this process, until SIGTERM."""
    global _worker
    logs.begin(settings, id)
    os.nice(BEHIND)
    os.environ["XDG_DATA_HOME"] = str((settings.home / "data").absolute())  # characters of clients lie there
    house = House(settings)
    _worker = Worker(house, id, device)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _worker.over.set() if _worker else None)
    _worker.run()
    sys.stdout.flush()
    os._exit(0)  # what is under way stays where its latents were last kept


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("id")
    parser.add_argument("device")
    arguments = parser.parse_args()
    main(follow(), arguments.id, arguments.device)
