"""Bodies as clients put them on the wire; ranges of bytes."""

import json

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import PATIENT
from worldpatch.serve import errors, ranges, wire
from worldpatch.serve.errors import ApiError


@pytest.fixture(scope="module")
def client():
    app = FastAPI()
    errors.install(app)

    @app.post("/")
    async def echo(request: Request):
        found = await wire.fields(request)
        return {k: {"upload": v.name, "size": v.size} if isinstance(v, wire.Upload) else v for k, v in found.items()}

    return TestClient(app)


def form(client, *parts):
    """A multipart body with parts in this order, names as given."""
    files = [(name, (None, value) if isinstance(value, str) else value) for name, value in parts]
    return client.post("/", files=files)


def test_dicts_lists_and_columns(client):
    parts = [
        ("prompt", "a ball"), ("video[id]", "video_1"), ("refs[]", "a"), ("refs[]", "b"),
        ("cards[][t]", "0"), ("cards[][t]", "2"), ("cards[][text]", "x"), ("cards[][text]", "y"),
        ("lora[deep][er]", "1"),
    ]  # fmt: skip
    assert form(client, *parts).json() == {
        "prompt": "a ball", "video": {"id": "video_1"}, "refs": ["a", "b"],
        "cards": [{"t": "0", "text": "x"}, {"t": "2", "text": "y"}], "lora": {"deep": {"er": "1"}},
    }  # fmt: skip


@pytest.mark.parametrize("turned", [False, True])
def test_an_id_wins_over_an_empty_part_and_over_a_file(client, turned):
    for content in (b"", b"bytes"):
        parts = [("video[id]", "video_1"), ("video", ("upload", content, "application/octet-stream"))]
        assert form(client, *(reversed(parts) if turned else parts)).json()["video"] == {"id": "video_1"}


def test_a_file_is_a_file(client):
    parts = [("video", ("../../etc/passwd", b"12345", "text/plain"))]
    assert form(client, *parts).json() == {"video": {"upload": "../../etc/passwd", "size": 5}}


@pytest.mark.parametrize(
    "parts, said",
    [
        ([("a[", "1")], "brackets"),
        ([("cards[][t]", "0"), ("cards[][t]", "2"), ("cards[][text]", "x")], "JSON string"),
        ([("a", "1"), ("a[b]", "2")], "does not go with"),
        ([("a[b]", "1"), ("a[]", "2")], "does not go with"),
    ],
)
def test_forms_that_say_two_things(client, parts, said):
    answer = form(client, *parts)
    assert answer.status_code == 400 and said in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "content, kind, status, code",
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"[1]", "application/json", 400, "invalid_json"),
        (b"[" * 100_000, "application/json", 400, "invalid_json"),
        (b"\xff\xfe", "application/json", 400, "invalid_json"),
        (b"<a/>", "text/xml", 415, "unsupported_media_type"),
        (b"no form", "multipart/form-data; boundary=x", 400, "invalid_form"),
        (b"x", "multipart/form-data", 400, "invalid_form"),
    ],
)
def test_bodies_that_are_none(client, content, kind, status, code):
    answer = client.post("/", content=content, headers={"content-type": kind})
    assert answer.status_code == status and answer.json()["error"]["code"] == code
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_an_empty_body_has_no_fields(client):
    assert client.post("/", headers={"content-type": "application/json"}).json() == {}


@PATIENT
@given(
    st.dictionaries(
        st.text(st.characters(categories=["L"]), min_size=1),
        st.text(st.characters(exclude_categories=["C"])) | st.integers() | st.none(),
    )
)
def test_json_comes_as_it_is(client, values):
    answer = client.post("/", content=json.dumps(values), headers={"content-type": "application/json"})
    assert answer.json() == values


@pytest.mark.parametrize(
    "header, found",
    [
        (None, None), ("bytes=0-3", (0, 4)), ("bytes=4-", (4, 10)), ("bytes=-3", (7, 10)), ("bytes=0-99", (0, 10)),
        ("bytes=-99", (0, 10)), ("bytes=5-2", None), ("lines=0-3", None), ("bytes=0-1,3-4", None), ("bytes=-", None),
    ],
)  # fmt: skip
def test_ranges(header, found):
    assert ranges.asked(header, 10) == found


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_ranges_of_nothing(header):
    with pytest.raises(ApiError) as told:
        ranges.asked(header, 10)
    assert told.value.status == 416 and told.value.headers == {"content-range": "bytes */10"}
