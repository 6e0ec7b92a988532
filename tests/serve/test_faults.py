"""What goes wrong beneath a server - a full disk, damaged latents, a locked database, a clock that jumps - and what is
then done and said. The real code, with a worker driven by hand in the place of its process."""

import errno
import json
import logging
import os
import resource
import sqlite3
import threading
import time
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
import sqlalchemy.event

pytest.importorskip("dbos")
from fastapi.testclient import TestClient  # noqa: E402

from worldpatch.serve import app, expiry, logs, queue, tables, weights  # noqa: E402
from worldpatch.serve.house import House  # noqa: E402
from worldpatch.serve.settings import Settings  # noqa: E402
from worldpatch.serve.worker import Worker  # noqa: E402
from worldpatch.video import read  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("ignore")]
BODY = {"prompt": "a red ball falls", "seconds": "1", "steps": 7, "seed": 3}


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home", open=True, group=2)


@pytest.fixture
def client(settings):
    return TestClient(app.make(settings))


@pytest.fixture
def house(client):
    return client.app.state.house


def ask(client, **body):
    answer = client.post("/v1/videos", json=BODY | body)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


LOADED: dict = {}  # models, once for all workers of these tests


def life(house) -> Worker:
    """A worker that has just been started."""
    worker = Worker(house, "w", "cpu")
    worker.models = LOADED
    return worker


def take(house) -> tuple[Worker, str]:
    """A worker and the batch that it has taken."""
    worker = life(house)
    return worker, queue.claim(house.engine, "w", worker._fit)[0]


def finish(worker, batch, at=0) -> None:
    while (found := worker.denoise(batch, at)) == "more":
        at += 1
    if found == "drawn":
        worker.publish(batch)
    worker.close(batch)


def frames(house, id):
    return read.read(house.objects.path(f"videos/{id}/0/video.mp4"))[0]


def status(client, id):
    found = client.get(f"/v1/videos/{id}").json()
    return found["status"], (found["error"] or {}).get("code")


# ------------------------------------------------------------------------------------------------------------- latents


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The frames of BODY, drawn in one go."""
    client = TestClient(app.make(Settings(home=tmp_path_factory.mktemp("whole") / "home", open=True)))
    id = ask(client)
    finish(*take(client.app.state.house))
    return frames(client.app.state.house, id)


@pytest.mark.parametrize("damaged, begins", [(0, True), (1, True), (2, False)])
def test_damaged_latents(client, house, whole, caplog, damaged, begins):
    """The newest that can be read count; where there are none, the work begins anew. The frames are the same."""
    caplog.set_level(logging.INFO)
    id = ask(client)
    worker, batch = take(house)
    assert [worker.denoise(batch, at) for at in range(2)] == ["more", "more"]
    marks = sorted((house.settings.jobs / batch).glob("*.mark"), reverse=True)
    assert len(marks) == 2
    for mark in marks[:damaged]:
        content = bytearray(mark.read_bytes())
        content[-5] ^= 1  # one bit, in the numbers
        mark.write_bytes(content)
    finish(life(house), batch, 2)
    assert [r.__dict__["from"] for r in caplog.records if r.message == "drawing"] == [False, begins]
    assert sum("bytes have changed" in record.message for record in caplog.records) == damaged
    assert (frames(house, id) == whole).all() and not (house.settings.jobs / batch).exists()


# ---------------------------------------------------------------------------------------------------------------- disk


@contextmanager
def full(limit: int = 64):
    """Files of this process cannot grow beyond so many bytes: the write itself fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_latents_without_room_are_not_kept_and_the_work_goes_on(client, house, whole, monkeypatch, caplog):
    id = ask(client)
    worker, batch = take(house)
    worker.denoise(batch, 0)
    desk, folder = worker.desk, house.settings.jobs / batch
    with full():
        worker.kept.keep(batch, 1, desk.mark)
    assert "cannot be kept" in caplog.text and [path.name for path in folder.iterdir()] == ["000000.mark"]
    finish(worker, batch, 1)
    assert (frames(house, id) == whole).all()


def test_a_video_that_finds_no_room_fails_and_leaves_nothing(client, house, monkeypatch):
    id = ask(client)
    worker, batch = take(house)
    put = house.objects.put

    def put_without_room(name, path):
        if name.endswith("video.mp4"):
            with full():
                return put(name, path)
        return put(name, path)

    monkeypatch.setattr(house.objects, "put", put_without_room)
    finish(worker, batch)
    assert status(client, id) == ("failed", "disk_full")
    assert not [path for path in (house.settings.home / "objects").rglob("*") if path.is_file()]


def test_an_upload_that_finds_no_room(client):
    with full():
        sent = {"files": {"file": ("a.bin", b"x" * 4096)}, "data": {"purpose": "vision"}}
        answer = client.post("/v1/files", **sent)
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "disk_full", answer.text
    assert answer.headers["retry-after"] == "30" and client.get("/v1/files").json()["data"] == []


def test_a_database_without_room(client, house):
    """What is written is refused; what is read goes on."""
    id = ask(client)

    @sqlalchemy.event.listens_for(house.engine, "begin")
    def no_more(connection):
        connection.exec_driver_sql("PRAGMA max_page_count = 1")

    for _ in range(200):
        answer = client.post("/v1/videos", json=BODY | {"prompt": "a red ball " * 300})
        if answer.status_code != 200:
            break
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "disk_full")
    assert status(client, id) == ("queued", None)


# ------------------------------------------------------------------------------------------------------------ database


@contextmanager
def locked(house, seconds: float):
    """Somebody else writes, and takes that long."""
    other = sqlite3.connect(house.settings.home / "worldpatch.sqlite", check_same_thread=False, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(seconds, lambda: other.execute("ROLLBACK"))
    timer.start()
    try:
        yield
    finally:
        timer.join()
        other.close()


@pytest.mark.parametrize("held, answers", [(0.5, 200), (2.5, 503)])
def test_a_locked_database(settings, monkeypatch, held, answers):
    """For less than `BUSY` seconds: waited for. For longer: 503 and when to come again. Reading goes on all along."""
    monkeypatch.setattr(tables, "BUSY", 1.0)
    client = TestClient(app.make(settings))
    id = ask(client)
    with locked(client.app.state.house, held):
        begun = time.monotonic()
        assert status(client, id) == ("queued", None) and time.monotonic() - begun < 0.4
        answer = client.post(f"/v1/videos/{id}/cancel")
    assert answer.status_code == answers, answer.text
    if answers == 503:
        assert answer.json()["error"]["code"] == "database_unavailable" and answer.headers["retry-after"] == "2"


def test_a_worker_waits_for_a_locked_database(settings, monkeypatch):
    monkeypatch.setattr(tables, "BUSY", 0.2)
    client = TestClient(app.make(settings))
    house, id = client.app.state.house, ask(client)
    worker, batch = take(house)
    with locked(house, 1.0):
        assert tables.patient(worker.denoise)(batch, 0) == "more"
    finish(worker, batch, 1)
    assert status(client, id) == ("completed", None)


def test_columns_that_an_older_version_did_not_have(settings):
    settings.home.mkdir()
    with sqlite3.connect(settings.home / "worldpatch.sqlite") as old:
        old.execute("CREATE TABLE batches (id VARCHAR PRIMARY KEY, worker VARCHAR NOT NULL)")
    columns = {column["name"] for column in sa.inspect(House(settings).engine).get_columns("batches")}
    assert columns == set(tables.batches.c.keys())


# -------------------------------------------------------------------------------------------------------------- clocks


class Clocks:
    """Both clocks, moved by hand: the wall's and the one that only goes forwards."""

    def __init__(self, monkeypatch, module):
        self.wall, self.steady = time.time(), 0.0
        monkeypatch.setattr(module, "time", self)

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def run(self, seconds: float) -> None:
        self.wall, self.steady = self.wall + seconds, self.steady + seconds


@pytest.mark.parametrize("jump", [0.0, 86400.0, -86400.0])
def test_a_clock_that_jumps_takes_nobody_s_work_away(house, monkeypatch, jump):
    clocks, watch = Clocks(monkeypatch, queue), queue.Watch()
    for second in range(40):
        if second == 20:
            clocks.wall += jump
        if second % 2 == 0:
            queue.beat(house.engine, "alive", device="cpu", models=[])
        if second < 22:
            queue.beat(house.engine, "dies", device="cpu", models=[])
        assert watch.silent(house.engine) == (["dies"] if second > 21 + queue.STALE else []), second
        clocks.run(1.0)


def test_the_outage_of_a_database_is_nobody_s_silence(house, monkeypatch):
    clocks, watch = Clocks(monkeypatch, queue), queue.Watch()
    queue.beat(house.engine, "alive", device="cpu", models=[])
    for _ in range(3):
        assert watch.silent(house.engine) == []
        clocks.run(600.0)


def test_nothing_expires_by_a_clock_that_has_just_jumped(monkeypatch):
    clocks = Clocks(monkeypatch, expiry)
    steady = expiry.Steady()
    clocks.run(60)
    assert steady()
    clocks.wall += 7200
    assert not steady()
    clocks.run(expiry.TRUST - 1)
    assert not steady()
    clocks.run(2)
    assert steady()


# ------------------------------------------------------------------------------------------------------------- weights


@pytest.fixture
def other(tmp_path):
    """The shipped model with one bit of it changed."""
    import shutil

    from worldpatch.generate import models

    folder = tmp_path / "other"
    shutil.copytree(models.find("tabletop"), folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-2] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    return folder


def test_models_are_swapped_while_videos_are_drawn(client, house, other, whole):
    old = ask(client)
    worker, batch = take(house)
    worker.denoise(batch, 0)
    weights.add(house.engine, "tabletop", str(other))
    weights.add(house.engine, "second", str(other))
    time.sleep(1.1)  # within a moment
    assert house.models == {"tabletop": other, "second": other}
    new = ask(client, model="second")
    finish(life(house), batch, 1)  # another life, which has seen only the new ones
    assert (frames(house, old) == whole).all(), "finished with those it was begun with"
    finish(*take(house))
    assert status(client, new) == ("completed", None)
    weights.choose(house.engine, house.settings, "second")
    weights.remove(house.engine, house.settings, "tabletop")
    time.sleep(1.1)
    assert list(house.models) == ["second"] and house.named("sora-2") == "second"
    with pytest.raises(ValueError, match="only model"):
        weights.remove(house.engine, house.settings, "second")


def test_weights_that_are_gone_fail_what_was_begun_with_them(client, house, other):
    import shutil

    weights.add(house.engine, "second", str(other))
    time.sleep(1.1)
    id = ask(client, model="second")
    worker, batch = take(house)
    worker.denoise(batch, 0)
    shutil.rmtree(other)
    finish(life(house), batch, 1)
    assert status(client, id) == ("failed", "invalid_value")
    assert "are gone" in client.get(f"/v1/videos/{id}").json()["error"]["message"]


# ---------------------------------------------------------------------------------------------------------------- logs


@pytest.mark.parametrize("prompts", [False, True])
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_prompt_is_logged_unless_allowed(client, house, form, prompts, capsys, monkeypatch):
    settings = house.settings.model_copy(update={"log_format": form, "log_prompts": prompts})
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.begin(settings, "test")
    try:
        id = ask(client, prompt="an unmistakable zebra")
        logging.getLogger("uvicorn.error").error("by a library")
        with logs.about(video=id):
            try:
                raise RuntimeError("of an unmistakable zebra")
            except RuntimeError:
                logging.getLogger("x").exception("it failed")
        client.get("/v1/an unmistakable zebra?zebra=1")
    finally:
        root.handlers, root.level = before
        logging.captureWarnings(False)
    told = capsys.readouterr().err.splitlines()
    assert any("zebra" in line for line in told) == prompts, told
    assert any("RuntimeError" in line and "test_faults.py" in line and id in line for line in told) or prompts
    if form == "json":
        lines = [json.loads(line) for line in told]
        queued = next(line for line in lines if line["message"] == "queued")
        assert queued["video"] == id and queued["request"].startswith("req_") and queued["process"] == "test"
        routes = [(line["route"], line["status"]) for line in lines if line["message"] == "answered"]
        assert routes == [("/v1/videos", 200), ("none", 404)]


# ------------------------------------------------------------------------------------------------------------- numbers


def test_numbers(client, house):
    finish(*((id := ask(client)) and take(house)))
    ask(client)
    client.get(f"/v1/videos/{id}")
    client.get("/v1/videos/video_0")
    client.request("BREW", "/v1/videos")
    queue.beat(house.engine, "w", device="cpu", models=[], speed=123.0)
    told = client.get("/metrics").text.splitlines()
    for line in (
        'worldpatch_videos{operation="create",status="completed"} 1.0', "worldpatch_queue_videos 1.0",
        'worldpatch_requests_total{method="GET",route="/v1/videos/{video_id}",status="200"} 1.0',
        'worldpatch_requests_total{method="GET",route="/v1/videos/{video_id}",status="404"} 1.0',
        'worldpatch_requests_total{method="other",route="/v1/videos",status="405"} 1.0',
        'worldpatch_refusals_total{code="not_found"} 1.0', 'worldpatch_stage_seconds_count{stage="encode"} 1.0',
        'worldpatch_worker_speed{device="cpu",worker="w"} 123.0',
    ):  # fmt: skip
        assert line in told, (line, told)


def test_numbers_are_for_keys_of_their_scope(settings):
    from worldpatch.serve import keys

    client = TestClient(app.make(settings.model_copy(update={"open": False})))
    with tables.writing(client.app.state.house.engine) as connection:
        secrets = {scope: keys.make(connection, scope, (scope,))[1] for scope in ("videos", "metrics")}
    assert client.get("/metrics").status_code == 401
    for scope, expected in (("videos", 403), ("metrics", 200)):
        answer = client.get("/metrics", headers={"authorization": f"Bearer {secrets[scope]}"})
        assert answer.status_code == expected


def test_an_error_that_nobody_expected_has_an_id_and_no_details(client, house, monkeypatch, caplog):
    def broken(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/secret/place")

    monkeypatch.setattr(house.objects, "size", broken)
    id = ask(client)
    answer = client.get(f"/v1/videos/{id}/content", params={"variant": "preview"})
    assert answer.status_code == 500 and answer.headers["x-request-id"].startswith("req_")
    assert answer.json()["error"]["code"] == "server_error" and "secret" not in answer.text
