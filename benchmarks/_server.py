"""A `worldpatch serve` of one's own on loopback, with its processes in sight."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[1]


@dataclass
class Server:
    url: str
    home: Path
    process: subprocess.Popen

    def client(self, key: str = "any", **options: Any):
        """OpenAI's."""
        import openai

        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, **options)

    def pids(self, what: str) -> list[int]:
        """Of its processes of a kind: "worker", "answers"."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        told = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in children}
        return [pid for pid, line in told.items() if f"worldpatch.serve.{what}" in line]

    def ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz").status_code == 200
        except httpx2.HTTPError:
            return False

    def wait(self, seconds: float = 120.0) -> None:
        """Until it answers and a worker lives."""
        until = time.monotonic() + seconds
        while not self.ready():
            assert self.process.poll() is None and time.monotonic() < until, self.log.read_text()[-2000:]
            time.sleep(0.2)

    @property
    def log(self) -> Path:
        return self.home.parent / f"{self.home.name}.log"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def running(home: Path, *flags: str, **variables: str) -> Iterator[Server]:
    """A server with its data in `home`, until the block ends; `variables` are its environment's."""
    port = free_port()
    command = [sys.executable, "-m", "worldpatch", "serve", "--home", str(home), "--port", str(port), *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WORLDPATCH_PRIVATE_ADDRESSES": "1", **variables}
    with (home.parent / f"{home.name}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    server = Server(f"http://127.0.0.1:{port}", home, process)
    try:
        server.wait()
        yield server
    finally:
        process.terminate()
        process.wait(60)
