"""What a server may stand on beside its folder: a PostgreSQL of its own and a server that speaks S3, on loopback."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks._server import free_port

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@dataclass
class Postgres:
    """A cluster in a folder; it refuses to be root's, so root starts it as its package's user."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen | None = None

    def __post_init__(self):
        self.bin = BINARIES[-1].parent
        self.user: list[str] = []
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._call("initdb", "-A", "trust", "-U", "worldpatch", "-D", self.folder / "data", "--no-sync")

    def _call(self, program: str, *arguments) -> None:
        command = [*self.user, self.bin / program, *arguments]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, timeout=60)

    def start(self) -> None:
        command = [
            "postgres",
            "-D",
            "data",
            "-p",
            str(self.port),
            "-k",
            self.folder,
            "-h",
            "127.0.0.1",
            "-c",
            "fsync=off",
        ]
        command = [*self.user, self.bin / command[0], *command[1:]]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        until = time.monotonic() + 30
        ready = [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready).returncode:
            assert self.process.poll() is None and time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        """As a restart does: connections are cut."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
            self.process = None

    def database(self, name: str) -> str:
        """The URL of a new one."""
        self._call("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "worldpatch", name)
        return f"postgresql://worldpatch@127.0.0.1:{self.port}/{name}"


@contextmanager
def postgres() -> Iterator[Postgres]:
    if not BINARIES:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="worldpatch-postgres-"))
    made = Postgres(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


@dataclass
class S3:
    url: str  # of the server

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
        }  # fmt: skip


@contextmanager
def s3() -> Iterator[S3]:
    """moto's server, with a bucket named "bucket"."""
    pytest.importorskip("moto.server")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        made = S3(f"http://127.0.0.1:{port}")
        until = time.monotonic() + 60
        while not _bucket(port):
            assert process.poll() is None and time.monotonic() < until, "moto does not start"
            time.sleep(0.2)
        yield made
    finally:
        process.terminate()
        process.wait(30)


def _bucket(port: int) -> bool:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("PUT", "/bucket")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
