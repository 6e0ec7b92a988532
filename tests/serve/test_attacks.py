"""What clients of bad will send: each is refused, and nobody else notices."""

import base64
import io
import json
import socket
import struct
import threading
import time
import zlib
from contextlib import suppress

import httpx2
import numpy as np
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image

from worldpatch.serve import app as serving
from worldpatch.serve import keys, tables
from worldpatch.serve.settings import Settings

pytest.importorskip("dbos")
IDS = {
    "video_id": "videos", "file_id": "files", "character_id": "videos/characters", "endpoint_id": "webhook_endpoints",
}  # fmt: skip
BODIES = {"remix": {"prompt": "x"}, "test": {"event_type": "video.completed"}}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    return serving.make(Settings(home=tmp_path_factory.mktemp("home") / "serve", largest_upload=2**20))


@pytest.fixture(scope="module")
def clients(app):
    """Two keys of the same server."""
    with tables.writing(app.state.house.engine) as connection:
        secrets = [keys.make(connection, name)[1] for name in ("one", "two")]
    made = [
        TestClient(app, headers={"authorization": f"Bearer {secret}"}, raise_server_exceptions=False)
        for secret in secrets
    ]
    with made[0], made[1]:
        yield made


@pytest.fixture(scope="module")
def client(clients):
    return clients[0]


@pytest.fixture(scope="module")
def address(app):
    """Of the same application behind a real socket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        here = free.getsockname()
    server = uvicorn.Server(uvicorn.Config(app, port=here[1], log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield here
    server.should_exit = True
    thread.join(20)


def png(width: int = 64, height: int = 64) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), (200, 40, 40), np.uint8)).save(out, "PNG")
    return out.getvalue()


def refused(answer, status: int = 400, code: str | None = None, param: str | None = None):
    error = answer.json()["error"]
    assert answer.status_code == status and set(error) == {"message", "type", "param", "code"}, answer.text
    assert code in (None, error["code"]) and param in (None, error["param"]), answer.text
    return error["message"]


# -------------------------------------------------------------------------------------------------------------- uploads


def bomb() -> bytes:
    """A PNG of 50,000 x 50,000 pixels in some kilobytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(10**7), 9))
        + chunk(b"IEND", b"")
    )


LIES = {
    "a program": b"MZ\x90\x00" + bytes(200),
    "a page": b"<html><script>alert(1)</script></html>",
    "a drawing that reads files": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "a list of files": b"ffconcat version 1.0\nfile upload2\n",
    "a list of files elsewhere": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "a playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n#EXT-X-ENDLIST\n",
    "half a picture": png()[:60],
    "a bomb": bomb(),
}


@pytest.mark.parametrize("what", LIES)
def test_uploads_are_what_they_hold(client, what):
    sent = {"input_reference": ("holiday.png", LIES[what], "image/png")}
    message = refused(
        client.post("/v1/videos", data={"prompt": "x"}, files=sent), 400, "invalid_media", "input_reference"
    )
    assert "holiday.png" in message and "/tmp" not in message


def test_a_list_cannot_name_its_neighbours(tmp_path):
    """FFmpeg would play it, if it were let."""
    from worldpatch.config import UserError
    from worldpatch.video import read, write

    write.write(tmp_path / "secret.mp4", np.zeros((4, 64, 64, 3), np.uint8), 8.0)
    (tmp_path / "list.mp4").write_bytes(b"ffconcat version 1.0\nfile secret.mp4\n")
    with pytest.raises(UserError, match="not a video"):
        read.probe(tmp_path / "list.mp4")


def test_names_are_no_paths(client, app):
    for name in ("../../worldpatch.sqlite", "/etc/passwd", "a\x00b.png", "..\\..\\x", "\u202egnp.exe", "x" * 900):
        answer = client.post("/v1/files", data={"purpose": "vision"}, files={"file": (name, png(), "image/png")})
        kept = answer.json()
        assert answer.status_code == 200, (name[:20], answer.text)
        assert "/" not in kept["filename"] and len(kept["filename"]) < 256 and kept["filename"].isprintable(), kept
        assert client.get(f"/v1/files/{kept['id']}/content").content == png()
    names = {path.name for path in app.state.house.settings.home.rglob("*") if path.is_file()}
    assert not {"passwd", "x"} & names
    for path in ("..%2F..%2Fworldpatch.sqlite", "%2e%2e/%2e%2e/worldpatch.sqlite", "file-" + "0" * 31 + "/../x"):
        assert client.get(f"/v1/files/{path}/content").status_code == 404
        assert client.get(f"/v1/videos/{path}/content").status_code == 404


def test_files_come_back_as_bytes_alone(client):
    page = b"<script>alert(1)</script>"
    kept = client.post("/v1/files", data={"purpose": "vision"}, files={"file": ("x.html", page, "text/html")}).json()
    headers = client.get(f"/v1/files/{kept['id']}/content").headers
    assert headers["content-type"] == "application/octet-stream" and headers["x-content-type-options"] == "nosniff"


# --------------------------------------------------------------------------------------------------------------- bodies


def test_bodies_that_are_too_long(client):
    ten = str(10 * 2**30)
    refused(
        client.post("/v1/videos", content=b"{}", headers={"content-length": ten, "content-type": "application/json"}),
        413,
    )


def test_bodies_that_never_end(address, clients):
    key = clients[0].headers["authorization"]
    with socket.create_connection(address) as sender:
        head = f"POST /v1/videos HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\ncontent-type: application/json\r\n"
        sender.sendall(head.encode() + b"transfer-encoding: chunked\r\n\r\n")
        sender.settimeout(20)
        with suppress(OSError):  # closed in the middle
            for _ in range(200):
                sender.sendall(b"10000\r\n" + bytes(2**16) + b"\r\n")
        assert sender.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000, b'{"a":' * 50_000, b'{"prompt": "\\u0000"}', b'{"prompt": "\\ud800"}', b'{"prompt": NaN}',
        b'{"prompt": "x", "seed": 1e999}', b'{"prompt": "x", "seconds": "nan"}',
        b'{"prompt": "x", "n": 1' + b"0" * 5000 + b"}", b"\xff\xfe{}", b'"x"',
        b'{"prompt": "x", "metadata": {"a": "\\u0000"}}', b'{"prompt": "x", "size": "99999999999x2"}',
        b'{"prompt": "x", "ability": "../../etc/passwd"}', b'{"prompt": "x", "ability": "_known"}',
        b'{"prompt": "x", "model": "../../etc"}', b'{"prompt": "x", "loras": ["/etc/passwd"]}',
        b'{"prompt": "x", "ability": "animate", "parameters": {"image": "/etc/passwd"}}',
        b'{"prompt": "x", "ability": "storyboard", "parameters": {"cards": [{"text": "a"}], "character": "@../x"}}',
        b'{"prompt": "x", "ability": "simulate", "parameters": {"save": "/tmp/x"}}',
    ],
)  # fmt: skip
def test_bodies_that_are_nonsense(client, body):
    answer = client.post("/v1/videos", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 404), answer.text
    refused(answer, answer.status_code)


def test_a_slow_sender_is_let_go(address, clients, monkeypatch):
    """And others are answered in the meantime."""
    monkeypatch.setattr(serving, "SLOW", 0.5)
    key = clients[0].headers["authorization"]
    head = f"POST /v1/videos HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\ncontent-type: application/json\r\n"
    with socket.create_connection(address) as slow:
        slow.sendall(head.encode() + b"content-length: 900\r\n\r\n{")
        assert httpx2.get(f"http://127.0.0.1:{address[1]}/healthz").status_code == 200
        slow.settimeout(20)
        assert slow.recv(100).startswith(b"HTTP/1.1 408")


# ------------------------------------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x.png", "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "file:///etc/passwd",
        "gopher://127.0.0.1/", "http://localhost:8000/v1/videos", "http://0x7f000001/", "https://user:word@10.0.0.1/",
    ],
)  # fmt: skip
def test_addresses_do_not_lead_inside(client, url):
    refused(
        client.post("/v1/videos", json={"prompt": "x", "input_reference": {"image_url": url}}),
        400,
        None,
        "input_reference",
    )
    hook = {"name": "x", "url": url, "event_types": ["video.completed"]}
    refused(client.post("/v1/webhook_endpoints", json=hook), 400, None, "url")


# ----------------------------------------------------------------------------------------------------------------- keys


def things(client, app) -> dict[str, str]:
    """One of each kind of thing that a key can own."""
    video = client.post("/v1/videos", json={"prompt": "a ball"}).json()["id"]
    file = client.post("/v1/files", data={"purpose": "vision"}, files={"file": ("x.png", png())}).json()["id"]
    agreed = {"name": "R", "consent": "true"}
    person = client.post("/v1/videos/characters", data=agreed, files={"video": ("x.png", png())}).json()["id"]
    hook = {"name": "x", "url": "https://8.8.8.8/", "event_types": ["video.completed"]}
    return dict(
        zip(IDS, (video, file, person, client.post("/v1/webhook_endpoints", json=hook).json()["id"]), strict=True)
    )


def test_what_one_key_owns_no_other_reaches(clients, app):
    """Every route that takes an id, by every method."""
    mine, other = clients
    owned, tried = things(mine, app), 0
    before = [mine.get(f"/v1/{IDS[kind]}/{id}").json() for kind, id in owned.items()]
    for path, methods in app.openapi()["paths"].items():
        kind = next((kind for kind in IDS if f"{{{kind}}}" in path), None)
        if kind is None:
            continue
        for method in methods:
            url = path.replace(f"{{{kind}}}", owned[kind])
            answer = other.request(
                method, url, json=BODIES.get(path.rpartition("/")[2], {}) if method == "post" else None
            )
            refused(answer, 404, "not_found")
            tried += 1
    assert tried >= 18
    character, video = owned["character_id"], owned["video_id"]
    for body in (
        {"prompt": "x", "input_reference": {"file_id": owned["file_id"]}},
        {"prompt": "x", "characters": [{"id": character}]},
        {"prompt": "x", "characters": [{"id": character}], "seconds": "20"},
        {"ability": "storyboard", "parameters": {"character": f"@{character}", "cards": [{"text": "{character}"}]}},
        {"ability": "extend", "parameters": {"video": video, "seconds": 1.0}},
        {"ability": "animate", "prompt": "x", "parameters": {"image": f"{owned['file_id']}@0.5"}},
    ):
        refused(other.post("/v1/videos", json=body), 404, "not_found")
    refused(other.post("/v1/videos/edits", json={"prompt": "x", "video": {"id": video}}), 404)
    for path in ("videos", "files", "videos/characters", "webhook_endpoints"):
        assert other.get(f"/v1/{path}").json()["data"] == []
    refused(other.get("/v1/videos", params={"after": video}), 400)
    assert [mine.get(f"/v1/{IDS[kind]}/{id}").json() for kind, id in owned.items()] == before


def test_guessing_keys_is_slow_and_tells_nothing(app):
    with TestClient(app, raise_server_exceptions=False) as stranger:
        answers = [
            stranger.get("/v1/videos", headers={"authorization": f"Bearer wp-{n}"})
            for n in range(serving_guesses() + 3)
        ]
    assert {answer.status_code for answer in answers[: serving_guesses()]} == {401}
    assert len({answer.text for answer in answers[: serving_guesses()]}) == 1
    assert answers[-1].status_code == 429 and int(answers[-1].headers["retry-after"]) > 0


def serving_guesses() -> int:
    from worldpatch.serve.keys import GUESSES

    return GUESSES


def test_keys_that_are_none(app):
    with TestClient(app, raise_server_exceptions=False) as stranger:
        for header in ("", "Bearer", "Bearer ", "Basic eDp5", "Bearer \x7f", f"Bearer {'x' * 9000}"):
            answer = stranger.get("/v1/videos", headers={"authorization": header} if header else {})
            assert answer.status_code in (401, 429)


def test_secrets_are_nowhere_in_the_database(app, clients):
    secret = clients[0].headers["authorization"].removeprefix("Bearer ")
    home = app.state.house.settings.home
    with app.state.house.engine.connect() as connection:
        rows = connection.execute(sa.select(tables.keys)).all()
    assert rows and secret not in str(rows)
    assert all(secret.encode() not in path.read_bytes() for path in home.glob("worldpatch.sqlite*"))


def test_a_data_url_may_not_be_a_bomb(client):
    url = "data:image/png;base64," + base64.b64encode(bomb()).decode()
    refused(
        client.post("/v1/videos", json={"prompt": "x", "input_reference": {"image_url": url}}), 400, "invalid_media"
    )


# --------------------------------------------------------------------------------------------------------------- policy


def test_what_the_policy_refuses_is_refused_and_put_on_record(client, app):
    """By every route that takes words, and without the words in the log."""
    bad = "nude children"
    story = {"ability": "storyboard", "parameters": {"cards": [{"text": "a ball"}, {"text": bad, "seconds": 1.0}]}}
    hook = {"data": {"name": bad, "consent": "true"}, "files": {"video": ("x.png", png())}}
    for path, sent in (
        ("videos", {"json": {"prompt": bad}}), ("videos", {"json": story}),
        ("images/generations", {"json": {"prompt": bad}}), ("videos/characters", hook),
    ):  # fmt: skip
        refused(client.post(f"/v1/{path}", **sent), 400, "moderation_blocked", "prompt")
    kept = client.post("/v1/videos", json={"prompt": "a red ball falls"}).json()
    log = app.state.house.settings.audit.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["allowed"] for line in lines[-5:]] == [False] * 4 + [True] and lines[-1]["subject"] == kept["id"]
    assert {line["category"] for line in lines[-5:-1]} == {"minors"} and "children" not in log


def test_foreign_clips_become_characters_by_consent_alone(client):
    sent = {"files": {"video": ("x.png", png())}}
    refused(client.post("/v1/videos/characters", data={"name": "R"}, **sent), 400, "consent_required", "consent")
    assert client.post("/v1/videos/characters", data={"name": "R", "consent": "true"}, **sent).status_code == 200
