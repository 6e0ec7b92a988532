"""What clients of OpenAI's Videos API do, by whichever version of its SDK is found: prints what went well."""

import json
import sys
import tempfile
import warnings
from pathlib import Path

import openai

warnings.simplefilter("ignore")
url, picture = sys.argv[1], Path(sys.argv[2]).read_bytes()
client = openai.OpenAI(base_url=f"{url}/v1", api_key="any")
quick = {"steps": 2, "seed": 1}

made = client.videos.create_and_poll(prompt="a red ball falls", seconds="1", size="96x160", extra_body={"steps": 1})
assert (made.status, made.seconds, made.size, made.progress, made.error) == ("completed", "1", "96x160", 100, None)
again = client.videos.retrieve(made.id)
assert again.id == made.id and again.model == made.model and again.object == "video"

small = client.videos.create(
    prompt="a red ball falls", input_reference=picture, extra_body=quick | {"size": "64x64", "seconds": "1"}
)
small = client.videos.poll(small.id, poll_interval_ms=100)
assert small.status == "completed", small.error
content = client.videos.download_content(small.id)
with tempfile.TemporaryDirectory() as folder:
    content.write_to_file(Path(folder) / "video.mp4")
    video = (Path(folder) / "video.mp4").read_bytes()
assert video[4:8] == b"ftyp"
assert client.videos.download_content(small.id, variant="thumbnail").read()[8:12] == b"WEBP"
assert client.videos.download_content(small.id, variant="spritesheet").read()[:2] == b"\xff\xd8"

remix = client.videos.poll(client.videos.remix(small.id, prompt="a blue ball falls").id)
assert (remix.status, remix.remixed_from_video_id) == ("completed", small.id), remix.error
ids = [one.id for one in client.videos.list(limit=1)]
assert {made.id, small.id, remix.id} <= set(ids) and len(ids) == len(set(ids))
done = ["create", "retrieve", "poll", "content", "remix", "list"]

if hasattr(client.videos, "extend"):
    omit = getattr(openai, "omit", None) or openai.NOT_GIVEN
    for call, more in ((client.videos.edit, {}), (client.videos.extend, {"seconds": "1"})):
        by_upload = call(prompt="a green ball", video=video, extra_body={"steps": 1}, **more)
        body = {"video": {"id": small.id}, "steps": 1}
        by_id = call(prompt="a green ball", video=omit, extra_body=body, **more)
        empty = call(prompt="a green ball", video=b"", extra_body=body, **more)
        for one in (by_upload, by_id, empty):
            one = client.videos.poll(one.id)
            assert one.status == "completed", one.error
    person = client.videos.create_character(name="Rosy", video=video)
    assert client.videos.get_character(person.id).name == "Rosy"
    shown = {"characters": [{"id": person.id}], **quick}
    cast = client.videos.create_and_poll(
        prompt="Rosy rolls", extra_body={**shown, "characters": json.dumps(shown["characters"])}
    )
    assert cast.status == "completed", cast.error
    done += ["edit", "extend", "characters"]

for wrong, kind, param in (
    ({"seconds": "no"}, openai.BadRequestError, "seconds"),
    ({"size": "1x1"}, openai.BadRequestError, "size"),
):
    try:
        client.videos.create(prompt="a ball", extra_body=wrong)
        raise AssertionError(wrong)
    except kind as error:
        assert error.param == param and error.type == "invalid_request_error" and error.request_id, error
try:
    client.videos.download_content("video_" + "0" * 32)
    raise AssertionError("found")
except openai.NotFoundError as error:
    assert error.code == "not_found"
assert client.videos.delete(small.id).deleted
done += ["errors", "delete"]

if hasattr(client.webhooks, "create"):
    endpoint = client.webhooks.create(name="mine", url="https://8.8.8.8/hook", event_types=["video.completed"])
    assert client.webhooks.retrieve(endpoint.id).name == "mine" and client.webhooks.delete(endpoint.id).deleted
    done.append("webhooks")

file = client.files.create(file=picture, purpose="vision")
assert client.files.retrieve(file.id).bytes == len(picture) and client.files.delete(file.id).deleted
assert "sora-2" in [model.id for model in client.models.list()]
image = client.images.generate(prompt="a red ball", model="gpt-image-1", size="1024x1024", extra_body=quick)
assert image.data[0].b64_json
done += ["files", "models", "images"]
print(openai.__version__, *done)
