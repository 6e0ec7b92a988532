"""The store of blobs: a folder, and a server that speaks S3."""

import asyncio
from datetime import timedelta

import pytest

pytest.importorskip("obstore")
from fastapi.testclient import TestClient  # noqa: E402

from benchmarks._server import free_port  # noqa: E402
from worldpatch.serve import app, objects  # noqa: E402
from worldpatch.serve.ids import new  # noqa: E402
from worldpatch.serve.settings import Settings  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(params=["folder", "s3"])
def settings(tmp_path, request, monkeypatch):
    found = Settings(home=tmp_path / "home", open=True)
    if request.param == "s3":
        for name, value in request.getfixturevalue("s3").environment.items():
            monkeypatch.setenv(name, value)
        found = found.model_copy(update={"objects": f"s3://bucket/{new('prefix')}"})
    return found


@pytest.fixture
def store(settings):
    return objects.Objects(settings)


async def streamed(store, *span) -> list[bytes]:
    return [part async for part in store.stream(*span)]


def test_what_is_put_is_there_until_it_is_removed(store, tmp_path):
    content = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(content)
    store.put("videos/one/0/video.mp4", tmp_path / "a")
    store.put_bytes("videos/one/0/preview.webp", b"first")
    store.put_bytes("videos/one/0/preview.webp", b"second")
    store.put_bytes("videos/oneself/0/preview.webp", b"another's")
    assert store.get("videos/one/0/video.mp4") == content and store.size("videos/one/0/video.mp4") == len(content)
    assert store.get("videos/one/0/preview.webp") == b"second"
    parts = asyncio.run(streamed(store, "videos/one/0/video.mp4", 5, len(content) - 5))
    assert b"".join(parts) == content[5:-5] and len(parts) == 3
    assert len(store.names("videos/one")) == 2
    store.remove("videos/one")
    assert store.size("videos/one/0/video.mp4") is None and store.names("videos/one") == []
    assert store.get("videos/oneself/0/preview.webp") == b"another's"
    store.remove("videos/one")


def test_files_of_clients(settings):
    client = TestClient(app.make(settings))
    sent = {"files": {"file": ("a.bin", b"0123456789")}, "data": {"purpose": "vision"}}
    id = client.post("/v1/files", **sent).json()["id"]
    assert client.get(f"/v1/files/{id}/content").content == b"0123456789"
    assert client.delete(f"/v1/files/{id}").json()["deleted"]
    assert client.app.state.house.objects.names("files") == []


def test_a_store_that_is_out(tmp_path, monkeypatch):
    """503, and when to come again; what needs no store goes on."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(objects, "RETRY", {"max_retries": 1, "retry_timeout": timedelta(seconds=1)})
    client = TestClient(app.make(Settings(home=tmp_path / "home", open=True, objects="s3://bucket")))
    answer = client.post("/v1/files", files={"file": ("a.bin", b"x")}, data={"purpose": "vision"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable"), answer.text
    assert answer.headers["retry-after"] == "2" and client.get("/v1/files").status_code == 200
