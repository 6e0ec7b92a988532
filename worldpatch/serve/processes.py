"""The server as a family of processes: one that answers, a worker per device, and this one, which starts them again.

A worker that has died is started anew under its name and goes on where it was. One that no longer says that it lives,
though it does, hangs: it is ended first.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from worldpatch.config import UserError
from worldpatch.serve import queue, tables
from worldpatch.serve.house import House
from worldpatch.serve.settings import Settings

log = logging.getLogger(__name__)

TOLD = "WORLDPATCH_TOLD"  # the variable that holds a child's settings
LOOK = 0.5  # seconds between two looks at the processes
PATIENCE = 60.0  # seconds that a worker has for loading its models before its silence counts
DRAIN = 30.0  # seconds that processes have for ending by themselves
REST, LONGEST = 1.0, 30.0  # seconds before what has ended is started again, doubled while it ends young, up to this
YOUNG, TRIES = 20.0, 3  # so often a process may end by itself before it has ever been so many seconds old


class Child:
    """A process that is started again whenever it ends."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str]):
        self.name, self.command, self.environment = name, command, environment
        self.stood, self.early = False, 0  # whether it has ever grown old; how often it has ended young since
        self._start()

    def _start(self) -> None:
        self.process, self.begun = subprocess.Popen(self.command, env=self.environment), time.monotonic()
        self.due: float | None = None  # when it is started again

    @property
    def age(self) -> float:
        """Seconds since its last start."""
        return time.monotonic() - self.begun

    def tend(self) -> None:
        """To be called again and again. Raises UserError where it cannot be started at all: it has ended by itself,
        young, as often as it may. SIGKILL comes from others (the kernel, short of memory; somebody): it never counts.
        """
        status = self.process.poll()
        if status is None:
            if self.age > YOUNG:
                self.stood, self.early = True, 0
        elif self.due is None:
            self.early += status != -signal.SIGKILL
            if self.early >= TRIES and not self.stood:
                raise UserError(f"{self.name} cannot be started (status {status}): its words are above")
            rest = min(LONGEST, REST * 2**self.early)
            log.warning("%s has ended with status %s: it is started again in %g s", self.name, status, rest)
            self.due = time.monotonic() + rest
        elif time.monotonic() >= self.due:
            self._start()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def run(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C: requests under way are answered, videos under way stay where their latents were
    last kept, and go on with the next start. Raises UserError where a process cannot be started at all."""
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    house, watch = House(settings), queue.Watch()
    environment = {**os.environ, TOLD: settings.model_dump_json()}  # not as an argument, which everybody can read
    commands = {"answers": _command("answers")}
    for i, device in enumerate(_devices(settings.workers)):
        name = f"{settings.name}-{i}"
        commands[name] = _command("worker", name, device)
    children = [Child(name, command, environment) for name, command in commands.items()]
    try:
        while not over.wait(LOOK):
            silent = _silent(house, watch)
            for child in children:
                if child.name in silent and child.age > PATIENCE and child.process.poll() is None:
                    log.warning("%s hangs: it is ended and started again", child.name)
                    child.kill()
                child.tend()
    finally:
        _end([child.process for child in children])


def follow() -> Settings:
    """Begin as a child: with the parent's settings, and to end when it ends, however that is."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    return Settings.model_validate_json(os.environ.pop(TOLD))


def _command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"worldpatch.serve.{module}", *arguments]


def _devices(count: int) -> list[str]:
    """A device for each worker: GPUs in turn where there are any."""
    import torch

    found = [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]
    return [found[i % len(found)] for i in range(count)]


def _silent(house: House, watch: queue.Watch) -> list[str]:
    """Workers that have been silent for long; nobody is, while the database is out."""
    try:
        return watch.silent(house.engine)
    except tables.OUT:
        return []


def _end(children: Sequence[subprocess.Popen]) -> None:
    for child in children:
        child.terminate()
    until = time.monotonic() + DRAIN
    for child in children:
        try:
            child.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
