"""One server for all tests of a process: the real one, its processes and the shipped model, on loopback."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.serve import peers
from tests.serve.peers import free_port

ROOT = Path(__file__).parents[2]


@dataclass
class Server:
    url: str
    home: Path
    process: subprocess.Popen

    def client(self, key: str = "any", **options):
        openai = pytest.importorskip("openai")
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, **options)

    def pids(self, what: str) -> list[int]:
        """Of its processes of a kind: "worker", "answers"."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        told = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in children}
        return [pid for pid, line in told.items() if f"worldpatch.serve.{what}" in line]


def start(home: Path, *flags: str, **variables: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "worldpatch", "serve", "--home", str(home), "--port", str(port), *flags]
    log = (home.parent / f"{home.name}.log").open("wb")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WORLDPATCH_PRIVATE_ADDRESSES": "1", **variables}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    server = Server(f"http://127.0.0.1:{port}", home, process)
    try:
        until = time.monotonic() + 120
        while not _ready(server.url):
            assert process.poll() is None and time.monotonic() < until, Path(log.name).read_text()[-2000:]
            time.sleep(0.2)
        yield server
    finally:
        process.terminate()
        process.wait(60)


def _ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz").status_code == 200
    except httpx2.HTTPError:
        return False


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """Without keys."""
    pytest.importorskip("dbos")
    yield from start(tmp_path_factory.mktemp("serve") / "home", "--open")


@pytest.fixture(scope="session")
def postgres() -> Iterator[peers.Postgres]:
    with peers.postgres() as found:
        yield found


@pytest.fixture(scope="session")
def s3() -> Iterator[peers.S3]:
    with peers.s3() as found:
        yield found
