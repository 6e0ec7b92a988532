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
REST = 1.0  # seconds before what has died is started again
YOUNG, TRIES = 20.0, 3  # so often a process may die before it is so many seconds old


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
    children = {name: subprocess.Popen(command, env=environment) for name, command in commands.items()}
    begun, early = dict.fromkeys(children, time.monotonic()), dict.fromkeys(children, 0)
    try:
        while not over.wait(LOOK):
            for name in _hung(house, watch, [n for n in children if time.monotonic() - begun[n] > PATIENCE]):
                log.warning("%s hangs: it is ended and started again", name)
                children[name].kill()
                children[name].wait()
            for name, child in children.items():
                if child.poll() is not None and not over.wait(REST):
                    early[name] = early[name] + 1 if time.monotonic() - begun[name] < YOUNG else 0
                    if early[name] == TRIES:
                        raise UserError(f"{name} cannot be started (status {child.returncode}): its words are above")
                    log.warning("%s has ended with status %s: it is started again", name, child.returncode)
                    children[name] = subprocess.Popen(commands[name], env=environment)
                    begun[name] = time.monotonic()
    finally:
        _end(list(children.values()))


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


def _hung(house: House, watch: queue.Watch, names: Sequence[str]) -> list[str]:
    """Those of the workers that have been silent for long; nobody is, while the database is out."""
    try:
        return [name for name in watch.silent(house.engine) if name in names]
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
