"""Content credentials: what is signed is read back, and whatever was done to it afterwards shows."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worldpatch.config import UserError
from worldpatch.safety import certificates, credentials
from worldpatch.safety.certificates import Signer
from worldpatch.safety.credentials import Claim, Ingredient, SoftBinding, read, sign
from worldpatch.video import read as video
from worldpatch.video import write

c2pa = pytest.importorskip("c2pa")

from tests.safety.authority import KEYS, issued  # noqa: E402

RECIPE = {"request": "any"}


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return certificates.development(tmp_path_factory.mktemp("home") / "credentials")


def claim(ability: str = "text_to_video", *ingredients: Ingredient, **more) -> Claim:
    named = {"title": "ball.mp4", "id": "video_1", "model": "tabletop", "version": "3cd5"}
    return Claim(**(named | {"ability": ability, "ingredients": ingredients} | more))


def clip(path: Path, seed: int = 0) -> Path:
    frames = np.random.default_rng(seed).integers(0, 255, (5, 32, 48, 3), np.uint8)
    if path.suffix == ".jpg":
        Image.fromarray(frames[0]).save(path)
    else:
        write.write(path, frames, 8.0, RECIPE)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".webp", ".gif", ".png", ".jpg"])
def test_what_is_signed_is_read_back(tmp_path: Path, signer: Signer, suffix: str):
    path = clip(tmp_path / f"ball{suffix}")
    before, _ = video.read(path)
    assert read(path) is None
    sign(path, claim(binding=SoftBinding(algorithm="mark", value=b"sixsix")), signer)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert np.array_equal(video.read(path)[0], before)
    assert suffix == ".jpg" or write.read_metadata(path) == RECIPE
    found = read(path, signer.anchors)
    assert found is not None and (found.state, found.failures) == ("trusted", ())
    assert found.signer == signer.name and found.development and found.signed_at is None
    assert found.making == {"id": "video_1", "model": "tabletop", "version": "3cd5", "ability": "text_to_video"}
    assert found.title == "ball.mp4" and found.generator.startswith("worldpatch ")
    (made,) = found.actions
    assert (made.name, made.agent, made.source) == ("c2pa.created", "worldpatch tabletop 3cd5", credentials.GENERATED)
    assert found.bindings == (SoftBinding(algorithm="mark", value=b"sixsix"),)
    stranger = read(path)
    assert stranger is not None and (stranger.state, stranger.failures) == ("valid", ())


@pytest.mark.parametrize("algorithm", KEYS)
def test_certificates_that_were_brought_sign(tmp_path: Path, algorithm: str):
    ann = certificates.from_files(*issued(tmp_path, KEYS[algorithm]()))
    path = clip(tmp_path / "ball.webp")
    sign(path, claim(), ann)
    found = read(path, ann.anchors)
    assert found is not None and (found.state, found.signer, found.development) == ("trusted", "Ann", False)


@pytest.mark.parametrize(("after", "by"), [("mdat", 99), ("stsz", 20), ("c2pa.signature", 150), ("text_to_video", -1)])
def test_a_single_byte_that_was_changed_shows(tmp_path: Path, signer: Signer, after: str, by: int):
    """In the pixels, in the index, in the signature, in what is said."""
    path = clip(tmp_path / "ball.mp4")
    sign(path, claim(), signer)
    content = bytearray(path.read_bytes())
    content[content.index(after.encode()) + len(after) + by] ^= 0x05
    path.write_bytes(content)
    found = read(path, signer.anchors)
    assert found is not None and found.state == "invalid" and found.failures


def test_credentials_that_cannot_be_read_are_damaged_not_absent(tmp_path: Path, signer: Signer):
    path = clip(tmp_path / "ball.mp4")
    sign(path, claim(), signer)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"claim_generator_info", b"\xff" * 20, 1))
    found = read(path, signer.anchors)
    assert found is not None and (found.state, found.signer) == ("invalid", "") and found.failures


def test_encoding_again_takes_credentials_away(tmp_path: Path, signer: Signer):
    path = clip(tmp_path / "ball.mp4")
    sign(path, claim(), signer)
    write.write(path, *video.read(path))
    assert read(path, signer.anchors) is None


def test_a_file_knows_its_ancestors(tmp_path: Path, signer: Signer):
    first, second, third = (clip(tmp_path / f"{name}.mp4", seed) for seed, name in enumerate("abc"))
    sign(first, claim(id="a"), signer)
    sign(second, claim("extend", Ingredient(path=first), id="b", source=credentials.COMPOSITE), signer)
    other = clip(tmp_path / "plain.png")
    foreign = tmp_path / "notes.bin"
    foreign.write_bytes(b"of no known format")
    parts = (
        Ingredient(path=second, relationship="componentOf", title="B"),
        Ingredient(path=other, relationship="componentOf"),
        Ingredient(path=foreign, relationship="inputTo"),
    )
    sign(third, claim("blend", *parts, id="c"), signer)
    found = read(third, signer.anchors)
    assert found is not None and found.state == "trusted"
    assert [action.name for action in found.actions] == ["c2pa.created", "c2pa.placed"]
    b, plain, notes = found.ingredients
    assert (b.title, b.relationship) == ("B", "componentOf")
    assert (plain.title, plain.credentials, notes.title) == ("plain.png", None, "notes.bin")
    assert notes.relationship == "inputTo"
    assert b.credentials is not None and b.credentials.making["id"] == "b" and b.credentials.state == "valid"
    assert [action.name for action in b.credentials.actions] == ["c2pa.opened", "c2pa.edited"]
    assert b.credentials.actions[1].source == credentials.COMPOSITE
    (a,) = b.credentials.ingredients
    assert a.relationship == "parentOf" and a.credentials is not None and a.credentials.making["id"] == "a"


def test_a_parent_that_was_changed_stays_so(tmp_path: Path, signer: Signer):
    parent, child = clip(tmp_path / "a.mp4"), clip(tmp_path / "b.mp4", 1)
    sign(parent, claim(), signer)
    parent.write_bytes(parent.read_bytes()[:-1] + b"?")
    sign(child, claim("remix", Ingredient(path=parent)), signer)
    found = read(child, signer.anchors)
    assert found is not None and found.state == "trusted"
    own = found.ingredients[0].credentials
    assert own is not None and own.state == "invalid" and "bmffHash.mismatch" in own.failures[0]


def test_a_prompt_is_told_only_if_it_is_given(tmp_path: Path, signer: Signer):
    path = clip(tmp_path / "ball.png")
    sign(path, claim(), signer)
    assert "prompt" not in (read(path) or pytest.fail()).making
    sign(path, claim(prompt="a red ball"), signer)
    found = read(path)
    assert found is not None and found.making["prompt"] == "a red ball" and not found.ingredients


def test_a_real_file_of_somebody_else(clips_open: Path):
    found = read(clips_open / "river_vertical.mp4")
    assert found is not None and (found.state, found.signer) == ("valid", "C2PA Signer")
    assert found.signed_at == "2023-12-02T16:34:19+00:00" and not found.making
    assert found.ingredients[0].credentials is not None and found.ingredients[0].credentials.signer == "Bob"
    assert read(clips_open / "img_broken.png") is None and read(clips_open / "alpha_ball.webm") is None


def test_what_a_file_says_cannot_play_tricks(tmp_path: Path, signer: Signer):
    path = clip(tmp_path / "ball.png")
    sign(path, claim(title="\x1b[2J\u202egpj" + "x" * 1000, id="\n"), signer)
    found = read(path)
    assert found is not None and found.title.isprintable() and len(found.title) == credentials.LONGEST
    assert found.making["id"] == "\N{REPLACEMENT CHARACTER}"


# ------------------------------------------------------------------------------------------------------------- refusals


def test_what_cannot_be_signed_stays_as_it_was(tmp_path: Path, signer: Signer):
    text, path = tmp_path / "a.txt", clip(tmp_path / "ball.mp4")
    text.write_text("hello")
    before = path.read_bytes()
    with pytest.raises(UserError, match="none of MP4"):
        sign(text, claim(), signer)
    with pytest.raises(UserError, match="gone.mp4"):
        sign(path, claim("remix", Ingredient(path=tmp_path / "gone.mp4")), signer)
    with pytest.raises(UserError, match="No such file"):
        sign(tmp_path / "gone.mp4", claim(), signer)
    with pytest.raises(UserError, match="No such file"):
        read(tmp_path / "gone.mp4")
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "ball.mp4"]


# ---------------------------------------------------------------------------------------------------------- the network


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine, and the paths that it was asked for."""
    paths: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_error(404)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()


def remote(path: Path, url: str, signer: Signer) -> Path:
    """A file that only says where its credentials lie."""
    info = c2pa.C2paSignerInfo(signer.algorithm, signer.certificates.encode(), signer.key.encode(), None)
    action = {"action": "c2pa.created", "digitalSourceType": credentials.GENERATED}
    manifest = {"claim_version": 2, "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}]}
    source = clip(path.with_name("plain.png"))
    with c2pa.Signer.from_info(info) as signing, c2pa.Builder(json.dumps(manifest)) as builder:
        builder.set_no_embed()
        builder.set_remote_url(f"{url}/elsewhere")
        builder.sign_file(source, path, signing)
    return path


def test_the_network_is_left_alone(tmp_path: Path, signer: Signer, asked: tuple[str, list[str]]):
    url, paths = asked
    path = remote(tmp_path / "remote.png", url, signer)
    child = clip(tmp_path / "child.png", 1)
    assert read(path) is None
    sign(child, claim("remix", Ingredient(path=path)), signer)
    assert (read(child, signer.anchors) or pytest.fail()).state == "trusted"
    assert not paths
    with pytest.raises(c2pa.C2paError), path.open("rb") as stream:
        c2pa.Reader("image/png", stream)
    assert paths == ["/elsewhere"], "the library itself would have asked"


def test_a_time_stamp_authority_is_asked_if_one_is_named(tmp_path: Path, asked: tuple[str, list[str]]):
    url, paths = asked
    pem = issued(tmp_path / "ann", KEYS["es256"]())
    path = clip(tmp_path / "ball.png")
    before = path.read_bytes()
    with pytest.raises(UserError, match="cannot be signed by Ann"):
        sign(path, claim(), certificates.from_files(*pem, timestamp_url=f"{url}/stamp"))
    assert paths == ["/stamp"] and path.read_bytes() == before
