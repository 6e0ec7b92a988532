"""Real servers on other databases and stores, and what happens to them: restarts, drains, other machines."""

import signal
import time

import httpx2
import pytest

from tests.serve.conftest import start
from worldpatch.video import read

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
pytest.importorskip("openai")
SLOW = {"prompt": "a red ball falls", "seconds": "6", "extra_body": {"steps": 60, "seed": 7}}


def frames(client, id, folder):
    path = folder / f"{id}.mp4"
    client.videos.download_content(id).write_to_file(path)
    return read.read(path)[0]


def until(true, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.05)


def quick(client):
    return client.videos.create_and_poll(prompt="a ball", seconds="1", extra_body={"steps": 2, "seed": 1})


def under_way(client, progress=10, **body):
    made = client.videos.create(**(body or SLOW))
    until(lambda: client.videos.retrieve(made.id).progress >= progress)
    return made


def test_postgresql_restarts_in_the_middle(postgres, tmp_path):
    """What is asked meanwhile is answered 503 and when to come again; the video is made, with the same frames."""
    database = postgres.database("live")
    for server in start(tmp_path / "home", "--open", "--database", database):
        client = server.client(max_retries=20)
        assert quick(client).status == "completed"
        whole = client.videos.create_and_poll(**SLOW)
        made, begun = under_way(client), server.pids("worker")
        postgres.stop()
        seen = []
        for _ in range(10):
            answer = httpx2.get(f"{server.url}/v1/videos/{made.id}", timeout=30)
            seen.append((answer.status_code, answer.headers.get("retry-after"), answer.json()["error"]["code"]))
            time.sleep(0.3)
        postgres.start()
        assert set(seen) == {(503, "2", "database_unavailable")}
        assert httpx2.get(f"{server.url}/healthz").status_code == 200
        made = client.videos.poll(made.id)
        assert made.status == "completed", made.error
        assert server.pids("worker") == begun, "no worker had to die for it"
        assert (frames(client, made.id, tmp_path) == frames(client, whole.id, tmp_path)).all()
        assert not list(server.home.glob("*.sqlite"))
