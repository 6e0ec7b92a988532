"""Real servers on other databases and stores, and what happens to them: restarts, drains, other machines."""

import json
import signal
import sqlite3
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


def test_a_drain_keeps_what_is_done_and_nothing_tells_prompts(tmp_path):
    """SIGTERM: the step under way ends, latents are kept, streams end and say when to come again, the status is 0; the
    next start goes on to the same frames. The logs of both lives are JSON and hold no prompt and no key."""
    home, prompt, flags = tmp_path / "home", "an unmistakable zebra", ("--log-format", "json")
    body = SLOW | {"prompt": prompt}
    for server in start(home, "--open", *flags):
        client = server.client()
        whole = client.videos.create_and_poll(**body)
        assert httpx2.post(f"{server.url}/v1/videos", json={"prompt": prompt, "steps": prompt}).status_code == 400
        made = under_way(client, **body)
        with httpx2.stream("GET", f"{server.url}/v1/videos/{made.id}/events", timeout=60) as events:
            begun = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            lines = list(events.iter_lines())
        assert server.process.wait(60) == 0 and time.monotonic() - begun < 30
        assert "retry: 1000" in lines and not any("completed" in line for line in lines)
    (kept,) = {path.parent for path in home.glob("jobs/batch_*/*.mark")}
    marks = sorted(kept.glob("*.mark"))
    lives = [home.with_suffix(".log").read_text()]
    with sqlite3.connect(home / "worldpatch.sqlite") as rows:
        assert rows.execute("select count(*) from workers").fetchone() == (0,)
        assert rows.execute("select status from videos where id = ?", [made.id]).fetchone() == ("in_progress",)
    for server in start(home, "--open", *flags):
        client = server.client()
        made = client.videos.poll(made.id)
        assert (frames(client, made.id, tmp_path) == frames(client, whole.id, tmp_path)).all()
        numbers = httpx2.get(f"{server.url}/metrics").text
    lives.append(home.with_suffix(".log").read_text())
    assert marks and '"from": true' in lives[1], "it began anew"
    told = [json.loads(line) for life in lives for line in life.splitlines() if line.startswith("{")]
    assert {"answers", "worker-0", "serve"} >= {one["process"] for one in told} >= {"answers", "worker-0"}
    posts = [one for one in told if one["message"] == "answered" and one["method"] == "POST"]
    assert {(one["route"], one["status"]) for one in posts} == {("/v1/videos", 200), ("/v1/videos", 400)}
    assert {one["video"] for one in told if one["message"] == "completed"} == {made.id, whole.id}
    assert not any("zebra" in life for life in lives)
    assert 'worldpatch_videos{operation="create",status="completed"} 2.0' in numbers
    assert 'worldpatch_stage_seconds_count{stage="denoise"} 2.0' in numbers
