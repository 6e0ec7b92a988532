"""One server for all tests of a process: the real one, its processes and the shipped model, on loopback."""

from collections.abc import Iterator

import pytest

from benchmarks._server import Server, running
from tests.serve import peers


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """Without keys."""
    pytest.importorskip("dbos")
    with running(tmp_path_factory.mktemp("serve") / "home", "--open") as found:
        yield found


@pytest.fixture(scope="session")
def postgres() -> Iterator[peers.Postgres]:
    with peers.postgres() as found:
        yield found


@pytest.fixture(scope="session")
def s3() -> Iterator[peers.S3]:
    with peers.s3() as found:
        yield found
