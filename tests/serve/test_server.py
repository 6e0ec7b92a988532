"""The unmodified SDK and plain HTTP against the real server."""

import base64
import io
import json
import time
import zipfile

import httpx2
import numpy as np
import pytest
from PIL import Image

from worldpatch.video import read

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]
openai = pytest.importorskip("openai")
QUICK = {"steps": 2, "seed": 1}


def picture(width: int = 64, height: int = 64) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), (200, 40, 40), np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def client(server):
    return server.client()


@pytest.fixture(scope="module")
def video(client):
    made = client.videos.create_and_poll(prompt="a red ball falls", seconds="2", extra_body=QUICK)
    assert made.status == "completed", made.error
    return made


def frames(client, id, tmp_path, variant="video"):
    path = tmp_path / f"{id}.mp4"
    client.videos.download_content(id, variant=variant).write_to_file(path)
    return read.read(path)


# ------------------------------------------------------------------------------------------------------------- the API


def test_what_is_made_is_what_was_asked_for(client, video, tmp_path):
    shown, rate = frames(client, video.id, tmp_path)
    assert (video.seconds, video.size, video.model) == ("2", "64x64", "tabletop")
    assert len(shown) / rate == 2 and shown.shape[1:] == (64, 64, 3) and video.progress == 100
    assert video.expires_at > video.completed_at >= video.created_at and video.error is None
    assert client.videos.retrieve(video.id) == video


def test_sora_s_sizes_are_shown_and_the_drawn_size_is_told(client, tmp_path):
    made = client.videos.create_and_poll(prompt="a red ball", size="720x1280", seconds="1", extra_body=QUICK)
    shown, _ = frames(client, made.id, tmp_path)
    assert shown.shape[1:3] == (1280, 720) and made.size == "720x1280" and "drawn at" in made.notes[0]


def test_pictures_of_a_video(client, video):
    for variant, kind in (("thumbnail", "WEBP"), ("spritesheet", "JPEG")):
        found = client.videos.download_content(video.id, variant=variant)
        assert Image.open(io.BytesIO(found.read())).format == kind


def test_what_else_can_be_had_of_a_video(client, video, server, tmp_path):
    def fetch(variant):
        return client.videos.download_content(video.id, variant=variant).read()

    shown, _ = frames(client, video.id, tmp_path)
    for variant, frame in (("first_frame", shown[0]), ("last_frame", shown[-1])):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(fetch(variant)))), frame)
    assert len(zipfile.ZipFile(io.BytesIO(fetch("frames"))).namelist()) == len(shown)
    assert Image.open(io.BytesIO(fetch("gif"))).n_frames == len(shown)
    assert b"latents" in fetch("latents")[:4000]
    told = json.loads(fetch("metadata"))
    assert told["video"]["id"] == video.id and told["request"]["params"]["prompt"] == video.prompt


def test_a_video_plays_while_it_is_written(client, server, tmp_path):
    made = client.videos.create(prompt="a red ball", seconds="3", size="360x640", extra_body=QUICK)
    url = f"{server.url}/v1/videos/{made.id}/content?variant=stream"
    with httpx2.stream("GET", url, timeout=60) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"] == "video/mp4"
        live = b"".join(answer.iter_bytes())
    (tmp_path / "live.mp4").write_bytes(live)
    assert np.array_equal(
        read.read(tmp_path / "live.mp4")[0], frames(client, client.videos.poll(made.id).id, tmp_path)[0]
    )
    assert httpx2.get(url, timeout=60).content == live


def test_events_of_all_videos(client, server):
    with httpx2.stream("GET", f"{server.url}/v1/events", timeout=60) as answer:
        ids = {client.videos.create(prompt=f"a {c} ball", seconds="1", extra_body=QUICK).id for c in ("red", "blue")}
        kind, over = "", set()
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            kind = value if name == "event" else kind
            if name == "data" and kind == "video.completed":
                over.add(json.loads(value)["id"])
            if ids <= over:
                break


def test_lists_go_on_where_the_last_page_ended(client, video):
    for k in range(3):
        client.videos.create(prompt=f"ball {k}", extra_body=QUICK | {"metadata": {"k": str(k)}})
    newest = [one.id for one in client.videos.list(limit=2)]
    assert newest == sorted(newest, reverse=True) and video.id in newest and len(set(newest)) == len(newest)
    oldest = [one.id for one in client.videos.list(limit=100, order="asc")]
    assert oldest == sorted(newest)
    with pytest.raises(openai.BadRequestError, match="last_id"):
        list(client.videos.list(after="video_0"))


def test_remix_edit_extension(client, video, tmp_path):
    remix = client.videos.poll(client.videos.remix(video.id, prompt="a blue ball falls").id)
    assert remix.status == "completed" and remix.remixed_from_video_id == video.id and remix.seconds == "2"
    body = {"video": {"id": video.id}} | QUICK
    longer = client.videos.extend(prompt="it rolls", seconds="1", video=openai.omit, extra_body=body)
    longer = client.videos.poll(longer.id)
    assert (longer.status, longer.seconds, longer.parent_video_ids) == ("completed", "3", [video.id]), longer.error
    content = client.videos.download_content(video.id).read()
    edit = client.videos.poll(client.videos.edit(prompt="a green ball", video=content, extra_body=QUICK).id)
    assert edit.status == "completed" and edit.parent_video_ids == []
    old, new = frames(client, video.id, tmp_path)[0], frames(client, longer.id, tmp_path)[0]
    assert np.abs(old[:12].astype(float) - new[:12]).mean() < 3


@pytest.mark.parametrize("way", ["upload", "file", "address"])
def test_a_picture_is_the_first_frame(client, way, tmp_path):
    if way == "upload":
        given = {"input_reference": picture(), "extra_body": QUICK}
    elif way == "file":
        id = client.files.create(file=picture(), purpose="vision").id
        given = {"extra_body": QUICK | {"input_reference": {"file_id": id}}}
    else:
        url = "data:image/png;base64," + base64.b64encode(picture()).decode()
        given = {"extra_body": QUICK | {"input_reference": {"image_url": url}}}
    made = client.videos.create_and_poll(prompt="a ball", seconds="1", **given)
    assert made.status == "completed", made.error
    assert np.abs(frames(client, made.id, tmp_path)[0][0].astype(float).mean((0, 1)) - (200, 40, 40)).max() < 12


def test_characters(client, tmp_path):
    kept = client.videos.create_character(name="Rosy", video=picture(), extra_body={"consent": True})
    assert client.videos.get_character(kept.id).name == "Rosy"
    body = QUICK | {"characters": json.dumps([{"id": kept.id}])}
    made = client.videos.create_and_poll(prompt="Rosy falls", seconds="1", extra_body=body)
    assert made.status == "completed", made.error
    with pytest.raises(openai.NotFoundError):
        client.videos.get_character("char_" + "0" * 32)


def test_every_ability_can_be_asked_for(client, server, video):
    names = [one["id"] for one in httpx2.get(f"{server.url}/v1/abilities").json()["data"]]
    assert {"text_to_video", "loop", "storyboard", "camera"} <= set(names)
    body = QUICK | {"ability": "loop", "parameters": json.dumps({"video": video.id})}
    made = client.videos.create_and_poll(prompt="a red ball", extra_body=body)
    assert made.status == "completed" and made.operation == "loop", made.error
    body = QUICK | {
        "ability": "camera",
        "parameters": json.dumps({"path": [[0, 0, 0, 0, 0, 0, 0, 1], [2, 1, 0, 0, 0, 0, 0, 1]]}),
    }
    assert client.videos.create_and_poll(prompt="a red ball", extra_body=body).status == "completed"


def test_pictures_by_the_image_routes(client):
    import base64

    made = client.images.generate(prompt="a red ball", n=2, size="64x64", extra_body=QUICK)
    assert [Image.open(io.BytesIO(base64.b64decode(one.b64_json))).size for one in made.data] == [(64, 64)] * 2
    changed = client.images.edit(image=picture(), prompt="a blue box", extra_body=QUICK)
    assert Image.open(io.BytesIO(base64.b64decode(changed.data[0].b64_json))).size == (64, 64)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_pictures_come_in_parts(client, kind):
    asked = {"prompt": "a red ball", "model": "gpt-image-2.6-flare", "stream": True, "partial_images": 1}
    parts = list(client.images.generate(**asked, output_format=kind, quality="low", extra_body={"steps": 60}))
    assert [part.type.rpartition(".")[2] for part in parts] == ["partial_image", "completed"]
    assert {Image.open(io.BytesIO(base64.b64decode(part.b64_json))).format for part in parts} == {kind.upper()}


def test_a_mask_is_transparent_where_to_draw(client):
    mask = np.full((64, 64, 4), 255, np.uint8)
    mask[:, :32, 3] = 0
    out = io.BytesIO()
    Image.fromarray(mask).save(out, "PNG")
    asked = {"image": [picture()], "prompt": "a blue box", "size": "64x64", "extra_body": QUICK}
    made = client.images.edit(mask=out.getvalue(), **asked)
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(made.data[0].b64_json))))
    assert (found[:, 40:] == (200, 40, 40)).all() and (found[:, :24] != (200, 40, 40)).any()
    with pytest.raises(openai.BadRequestError, match="transparent") as refused:
        client.images.edit(mask=picture(), **asked)
    assert refused.value.param == "mask"


def test_models(client):
    assert [model.id for model in client.models.list()] == ["tabletop", "sora-2", "sora-2-pro"]
    assert client.models.retrieve("sora-2-2025-10-06").object == "model"


@pytest.mark.parametrize(
    "given, param, said",
    [
        ({"prompt": ""}, "prompt", "1 to 32000"),
        ({"prompt": "x" * 32001}, "prompt", "1 to 32000"),
        ({"prompt": "x", "seconds": "soon"}, "seconds", "a number"),
        ({"prompt": "x", "size": "big"}, "size", "720x1280"),
        ({"prompt": "x", "size": "64x64", "stpes": 3}, "stpes", "extra"),
        ({"prompt": "x", "steps": 0}, "steps", "greater than"),
        ({"prompt": "x", "ability": "fly"}, "ability", "known: animate"),
        ({"prompt": "x", "ability": "loop", "parameters": {"video": "/etc/passwd"}}, "video", "id of a file"),
        ({"prompt": "x", "ability": "simulate", "parameters": {"save": "/tmp/x"}}, "save", "command line"),
        ({"prompt": "x", "ability": "storyboard", "parameters": {"story": "x.json"}}, "story", "command line"),
        ({"prompt": "x", "input_reference": {"file_id": "a", "image_url": "b"}}, "input_reference", ""),
        ({"prompt": "x", "loras": ["../../x"]}, "loras", "unknown"),
        ({"seconds": "4"}, "prompt", "missing"),
    ],
)
def test_bad_fields_are_named(server, given, param, said):
    answer = httpx2.post(f"{server.url}/v1/videos", json=given)
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["type"] == "invalid_request_error" and said in error["message"], error
    assert error["param"].startswith(param)


def test_other_errors(client, server, video):
    with pytest.raises(openai.NotFoundError) as told:
        client.videos.create(prompt="x", model="wan")
    assert told.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError) as told:
        client.videos.download_content(client.videos.create(prompt="x", seconds="8", extra_body=QUICK).id)
    assert told.value.code == "video_not_ready"
    with pytest.raises(openai.BadRequestError) as told:
        client.videos.edit(prompt="x", video=b"no video at all")
    assert told.value.code == "invalid_media"
    assert httpx2.get(f"{server.url}/v1/nowhere").json()["error"]["code"] == "not_found"
    assert httpx2.put(f"{server.url}/v1/videos").json()["error"]["code"] == "method_not_allowed"


def test_ranges_and_heads(server, video):
    url = f"{server.url}/v1/videos/{video.id}/content"
    whole = httpx2.get(url)
    assert whole.headers["content-type"] == "video/mp4" and whole.headers["accept-ranges"] == "bytes"
    part = httpx2.get(url, headers={"range": "bytes=4-11"})
    assert part.status_code == 206 and part.content == whole.content[4:12]
    assert part.headers["content-range"] == f"bytes 4-11/{len(whole.content)}"
    head = httpx2.head(url)
    assert head.content == b"" and head.headers["content-length"] == str(len(whole.content))
    assert httpx2.get(url, headers={"range": "bytes=999999999-"}).status_code == 416
    assert whole.headers["x-request-id"] != head.headers["x-request-id"]


def test_deleting_takes_all_of_it(client, server):
    made = client.videos.create_and_poll(prompt="a ball", seconds="1", extra_body=QUICK)
    assert list((server.home / "objects/videos" / made.id).rglob("*.mp4"))
    assert client.videos.delete(made.id).deleted
    assert not list((server.home / "objects/videos" / made.id).rglob("*.mp4"))
    for call in (client.videos.retrieve, client.videos.delete, client.videos.download_content):
        with pytest.raises(openai.NotFoundError):
            call(made.id)


# ------------------------------------------------------------------------------------------------------ beyond OpenAI's


def test_events_tell_what_happens(server, client):
    made = client.videos.create(prompt="a ball", seconds="1", extra_body={"steps": 100})
    seen = []
    with httpx2.stream("GET", f"{server.url}/v1/videos/{made.id}/events", timeout=60) as answer:
        for line in answer.iter_lines():
            if line.startswith("event:"):
                seen.append(line.split()[1])
    assert seen[-1] == "video.completed" and "video.progress" in seen, seen


def test_the_same_sent_again_is_one_video(server):
    body = {"prompt": "a ball", "seconds": "1"} | QUICK
    post = lambda headers, body=body: httpx2.post(f"{server.url}/v1/videos", json=body, headers=headers)  # noqa: E731
    first, again = post({"x-stainless-retry-count": "0"}), post({"x-stainless-retry-count": "1"})
    assert first.json()["id"] == again.json()["id"] != post({}).json()["id"]
    named = [post({"idempotency-key": "k1"}).json()["id"] for _ in range(2)]
    assert named[0] == named[1]
    assert (
        post({"idempotency-key": "k1"}, body | {"prompt": "another"}).json()["error"]["code"] == "idempotency_conflict"
    )


def test_pause_resume_cancel(server, client):
    url = f"{server.url}/v1/videos"
    one = httpx2.post(url, json={"prompt": "a ball", "seconds": "8", "steps": 60, "seed": 3}).json()["id"]
    _until(lambda: client.videos.retrieve(one).status == "in_progress")
    httpx2.post(f"{url}/{one}/pause")
    _until(lambda: client.videos.retrieve(one).status == "queued")
    assert client.videos.retrieve(one).paused
    httpx2.post(f"{url}/{one}/resume")
    other = httpx2.post(url, json={"prompt": "a box", "seconds": "8", "steps": 200}).json()["id"]
    assert client.videos.poll(one).status == "completed"
    _until(lambda: client.videos.retrieve(other).status == "in_progress")
    httpx2.post(f"{url}/{other}/cancel")
    _until(lambda: client.videos.retrieve(other).status == "failed", 10)
    assert client.videos.retrieve(other).error.code == "canceled"
    assert httpx2.post(f"{url}/{other}/pause").status_code == 400


def _until(true, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.05)
