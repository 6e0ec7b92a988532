"""What is taken from a request."""

import pytest

pytest.importorskip("fastapi")
import sqlalchemy as sa  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402

from worldpatch.serve import app, asked, tables  # noqa: E402
from worldpatch.serve.settings import Settings  # noqa: E402

CARDS = [{"text": "{character}: sits", "image": "file-3d2149d19535fe61f07854915c4dbb3c"}]


def test_words_are_judged_and_identifiers_are_not():
    """These identifiers, among one in a hundred, are refused as words."""
    params = {"cards": CARDS, "character": "@char_a6a0671d0d3d795b6709c4d1d04ef0ab"}
    assert asked.texts({"ability": "storyboard", "params": params}) == ["{character}: sits"]
    params = {"cards": CARDS, "character": "a man in a hat"}
    assert sorted(asked.texts({"ability": "storyboard", "params": params})) == ["a man in a hat", "{character}: sits"]
    params = {"prompt": "rolls", "subject": ["@char_316d4dcfb932315e4444781cd9a06355@0.5"]}
    assert asked.texts({"ability": "likeness", "params": params}) == ["rolls"]


def test_no_request_holds_two_connections(tmp_path, monkeypatch):
    """One that waits for a second while it holds a first waits for ever where all do so: 200 clients found that."""
    create = sa.create_engine
    narrow = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 2.0}
    monkeypatch.setattr(tables.sa, "create_engine", lambda url, **given: create(url, **given | narrow))
    client = TestClient(app.make(Settings(home=tmp_path / "home", open=True)))  # without what runs beside
    body = {"prompt": "a red ball falls", "seconds": "1"}
    asked = [
        ("POST", "videos", body), ("POST", "videos", body | {"prompt": "a blue box"}), ("GET", "videos", None),
        ("POST", "videos/estimate", body), ("GET", "models", None), ("GET", "files", None),
        ("GET", "abilities", None), ("GET", "webhook_endpoints", None),
    ]  # fmt: skip
    answers = [client.request(method, f"/v1/{path}", json=content) for method, path, content in asked]
    id = answers[0].json()["id"]
    answers += [client.get(f"/v1/videos/{id}"), client.post(f"/v1/videos/{id}/pause"), client.get("/readyz")]
    answers += [client.post(f"/v1/videos/{id}/cancel"), client.delete(f"/v1/videos/{id}"), client.get("/metrics")]
    assert not [(answer.url.path, answer.text) for answer in answers if "database" in answer.text]
    assert {answer.status_code for answer in answers[:8]} == {200}
