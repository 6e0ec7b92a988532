"""The command line and Python against the real server."""

import numpy as np
import pytest

from worldpatch import cli
from worldpatch.client import Client
from worldpatch.config import UserError
from worldpatch.video import read, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
OPTIONS = {"seed": 1, "steps": 2}


@pytest.fixture(scope="module")
def client(server):
    with Client(f"{server.url}/v1", "any") as client:
        yield client


def test_every_ability_has_its_schema(client):
    found = client.abilities()
    assert found["extend"]["properties"]["video"]["format"] == "file-media" and "text_to_video" in found


def test_a_video_is_made_followed_and_fetched(client, tmp_path):
    told = []
    ball = client.make(prompt="a red ball falls", frames=9, options=OPTIONS).wait(
        lambda now: told.append(now["status"])
    )
    assert told[-1] == "completed" and ball["progress"] == 100
    frames, rate = read.read(ball.save(tmp_path / "ball.mp4"))
    assert len(frames) == 9
    longer = client.make("extend", video=ball, seconds=1.0, options=OPTIONS).wait()
    again = client.make("extend", video=tmp_path / "ball.mp4", seconds=1.0, options=OPTIONS).wait()
    for video in (longer, again):
        assert len(read.read(video.save(tmp_path / "long.mp4"))[0]) == 9 + rate
    assert client.make("recut", video=tmp_path / "ball.mp4", speed=2.0).wait()["prompt"] is None


def test_what_is_refused_is_told_in_the_server_s_words(client, tmp_path):
    with pytest.raises(UserError, match="frames"):
        client.make(prompt="a ball", frames=-1)
    with pytest.raises(UserError, match="seed -1 is outside"):
        client.make(prompt="a ball", options={"seed": -1})
    with pytest.raises(UserError, match="worldpatch serve"):
        Client("http://127.0.0.1:9/v1").abilities()


def test_stopped_and_gone_on(client):
    video = client.make(prompt="a ball", seconds=2.0, options={"steps": 400}).pause()
    assert video["paused"] and not video.resume()["paused"]
    video.cancel()
    with pytest.raises(UserError, match="canceled"):
        video.wait()
    video.delete()
    with pytest.raises(UserError, match="404"):
        client.video(video.id)


def test_the_command_line_lets_a_server_draw(server, tmp_path, capsys):
    given = ["--server", server.url, "--steps", "2", "--seed", "1"]
    assert cli.main(["generate", "a red ball falls", "--frames", "9", "-o", str(tmp_path / "a.mp4"), *given]) == 0
    assert cli.main(["generate", "a red ball falls", "--frames", "9", "-o", str(tmp_path / "b.mp4"), *given[2:]]) == 0
    there, here = (read.read(tmp_path / name)[0] for name in ("a.mp4", "b.mp4"))
    assert np.abs(there.astype(float) - here).mean() < 2  # the server encodes faster, and so a little otherwise
    write.write(tmp_path / "first.png", here[:1], 8.0)
    animate = [
        "animate",
        str(tmp_path / "first.png"),
        "a red ball falls",
        "--variants",
        "2",
        "--frames",
        "9",
        "--latents",
    ]
    assert cli.main([*animate, "-o", str(tmp_path / "c.gif"), *given]) == 0
    assert {path.name for path in tmp_path.iterdir()} >= {"c-1.gif", "c-2.gif", "c-2.latents.safetensors"}
    assert cli.main(["generate", "a ball", "--threads", "1", *given]) == 2
    assert "--threads" in capsys.readouterr().err
