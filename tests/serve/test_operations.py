"""Real servers on other databases and stores, and what happens to them: restarts, drains, other machines."""

import json
import signal
import sqlite3
import subprocess
import sys
import time

import httpx2
import pytest

from benchmarks._server import ROOT, running
from worldpatch.video import read

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
pytest.importorskip("openai")
SLOW = {"prompt": "a red ball falls", "seconds": "4", "extra_body": {"steps": 50, "seed": 7}}


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
    with running(tmp_path / "home", "--open", "--database", database) as server:
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
    with running(home, "--open", *flags) as server:
        client = server.client()
        whole = client.videos.create_and_poll(**body)
        assert httpx2.post(f"{server.url}/v1/videos", json={"prompt": prompt, "steps": prompt}).status_code == 400
        made = under_way(client, **body)
        with httpx2.stream("GET", f"{server.url}/v1/videos/{made.id}/events", timeout=60) as events:
            begun = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            lines = list(events.iter_lines())
        assert server.process.wait(60) == 0 and time.monotonic() - begun < 30
        assert "retry: 1000" in lines and "event: video.completed" not in lines
    (kept,) = {path.parent for path in home.glob("jobs/batch_*/*.mark")}
    marks = sorted(kept.glob("*.mark"))
    lives = [home.with_suffix(".log").read_text()]
    with sqlite3.connect(home / "worldpatch.sqlite") as rows:
        assert rows.execute("select count(*) from workers").fetchone() == (0,)
        assert rows.execute("select status from videos where id = ?", [made.id]).fetchone() == ("in_progress",)
    with running(home, "--open", *flags) as server:
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


def test_two_machines_share_a_database_and_a_store(postgres, s3, tmp_path):
    """Each has a home of its own. When the one that draws is gone, the other goes on from the latents in the store, to
    the same frames; and what one has made, the other hands out and makes videos of."""
    flags = ("--open", "--database", postgres.database("shared"), "--objects", "s3://bucket/shared")
    flags = (*flags, "--log-format", "json")
    first, second = (
        running(tmp_path / name, *flags, WORLDPATCH_NAME=name, **s3.environment) for name in ("one", "two")
    )
    with first as server:
        client = server.client()
        whole = client.videos.create_and_poll(**SLOW)
        made = under_way(client, 30)
        server.process.kill()  # its processes follow
    with second as server:
        client = server.client(max_retries=20)
        made = client.videos.poll(made.id)
        assert made.status == "completed", made.error
        assert (frames(client, made.id, tmp_path) == frames(client, whole.id, tmp_path)).all()
        log = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
        assert [line["from"] for line in log if line["message"] == "drawing"] == [True], "it began anew"
        part = httpx2.get(f"{server.url}/v1/videos/{whole.id}/content", headers={"range": "bytes=4-7"})
        assert part.status_code == 206 and part.content == b"ftyp"
        remix = client.videos.poll(client.videos.remix(whole.id, prompt="a blue ball falls").id)
        assert remix.status == "completed", remix.error
        for machine in ("one", "two"):
            assert not list((tmp_path / machine).rglob("*.mp4")), "all is in the store"


def test_a_backup_of_a_server_that_works(tmp_path):
    """Restored into an empty home, what was there is there, and what was under way goes on."""
    home, copy, again = tmp_path / "home", tmp_path / "copy", tmp_path / "again"
    with running(home, "--open") as server:
        client = server.client()
        whole = client.videos.create_and_poll(**SLOW)
        made, waits = under_way(client, 30), client.videos.create(prompt="a box", seconds="1", extra_body={"steps": 2})
        run("serve", "backup", str(copy), "--home", str(home))
        assert client.videos.poll(made.id).status == "completed"
    run("serve", "restore", str(copy), "--home", str(again))
    with running(again, "--open") as server:
        client = server.client()
        assert {video.id for video in client.videos.list()} == {whole.id, made.id, waits.id}
        assert client.videos.poll(waits.id).status == "completed"
        assert (frames(client, client.videos.poll(made.id).id, tmp_path) == frames(client, whole.id, tmp_path)).all()
    assert "from=True" in again.with_suffix(".log").read_text(), "it began anew"


def run(*command: str) -> None:
    subprocess.run([sys.executable, "-m", "worldpatch", *command], check=True, cwd=ROOT, timeout=60)
