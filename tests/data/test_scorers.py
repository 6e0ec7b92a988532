"""Learned scorers with tiny weights made here, whose answers are known; TransNetV2's windows; what is missing."""

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests import builders
from tests.chat import Reply, said, server
from worldpatch import config
from worldpatch.cli import main
from worldpatch.config import UserError
from worldpatch.data import _transnet, shots
from worldpatch.data.curate import limits, pipeline, score
from worldpatch.data.curate.split import Settings, Shape
from worldpatch.data.scorers import _clip, aesthetic, clip_match, ocr, vlm
from worldpatch.text import _chat
from worldpatch.video import write

RATE = 24.0
NAMES = config.available("data/scorers")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_chat, "FIRST_WAIT", 0.001)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 20, 28, 3), dtype=np.uint8)


# ------------------------------------------------------------------------------------------------------------ contract


@pytest.mark.parametrize("name", NAMES)
def test_every_scorer_keeps_the_contract_and_names_the_option_it_lacks(name: str):
    module = config.resolve("data/scorers", name)
    assert module.Config.__dataclass_params__.frozen and callable(module.Scorer.score) and module.__doc__
    with pytest.raises(UserError, match=rf"--score {name}\.\w+="):
        score.check(name, {})
    with pytest.raises(UserError, match=f"unknown key '{name}.nothing'"):
        score.check(name, {"nothing": 1})
    with pytest.raises(UserError, match="at least 1"):
        score.check(
            name, {"frames": 0, "url": "http://127.0.0.1:9/v1", "model": "m"} if name == "vlm" else {"frames": 0}
        )


def test_every_score_has_a_limit():
    judged = {name for name, *_ in limits.RULES}
    assert {"aesthetic", "clip_match", "text", "quality"} <= judged
    assert limits.verdict({"quality": 3.0}, limits.Limits()) == ""
    assert limits.verdict({"quality": 3.0}, limits.Limits(quality_min=5.0)) == "judged to be poor: quality 3 is below 5"


# ---------------------------------------------------------------------------------------------------------------- CLIP


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP with random weights and 768 numbers per picture, as the folder of a real one."""
    pytest.importorskip("transformers")
    return builders.clip_network(tmp_path_factory.mktemp("clip"), 768)


def head(path: Path, along: Tensor, bias: float) -> Path:
    """A head of the published shape that gives the embedding's share along a vector, plus `bias`."""
    sizes = {0: (1024, 768), 2: (128, 1024), 4: (64, 128), 6: (16, 64), 7: (1, 16)}
    weights = {f"layers.{i}.weight": torch.zeros(shape) for i, shape in sizes.items()}
    weights |= {f"layers.{i}.bias": torch.zeros(shape[0]) for i, shape in sizes.items()}
    for i in sizes:
        weights[f"layers.{i}.weight"][0, 0] = 1.0
    weights["layers.0.weight"][0] = along
    weights["layers.7.bias"][0] = bias
    torch.save(weights, path)
    return path


def test_aesthetic_is_the_head_of_the_worst_frame(clip: Path, tmp_path: Path):
    frames = noise(5)
    seen = _clip.Clip(str(clip), "cpu", "x").pictures(frames[[0, 2, 4]])
    assert seen.shape == (3, 768) and torch.allclose(seen.norm(dim=-1), torch.ones(3))
    path = head(tmp_path / "head.pt", seen[1] - seen[0], 4.0)
    scorer = aesthetic.Scorer(aesthetic.Config(head=str(path), clip=str(clip), frames=3))
    due = 4.0 + (seen @ (seen[1] - seen[0])).min()
    assert scorer.score(frames, RATE, "") == pytest.approx({"aesthetic": float(due)}, abs=1e-4)
    constant = aesthetic.Scorer(aesthetic.Config(head=str(head(path, torch.zeros(768), 6.25)), clip=str(clip)))
    assert constant.score(frames[:1], RATE, "") == {"aesthetic": 6.25}


def test_a_head_may_be_safetensors(clip: Path, tmp_path: Path):
    safetensors = pytest.importorskip("safetensors.torch")
    weights = torch.load(head(tmp_path / "head.pt", torch.zeros(768), 5.5), weights_only=True)
    safetensors.save_file(weights, tmp_path / "head.safetensors")
    options = {"head": str(tmp_path / "head.safetensors"), "clip": str(clip)}
    assert aesthetic.Scorer(aesthetic.Config(**options)).score(noise(2), RATE, "") == {"aesthetic": 5.5}


def test_clip_match_is_the_cosine_of_the_mean_picture_and_the_caption(clip: Path):
    frames, caption = noise(4, seed=3), "a red ball rolls"
    scorer = clip_match.Scorer(clip_match.Config(clip=str(clip), frames=4))
    reader = _clip.Clip(str(clip), "cpu", "x")
    seen, words = reader.pictures(frames).mean(0), reader.words(caption)
    assert words.norm() == pytest.approx(1.0)
    due = float(seen @ words / seen.norm())
    assert scorer.score(frames, RATE, caption) == pytest.approx({"clip_match": due}, abs=1e-5)
    assert scorer.score(frames, RATE, " ") == {}
    assert scorer.score(frames, RATE, "word " * 500).keys() == {"clip_match"}


def test_embeddings_are_those_of_the_model_itself(clip: Path):
    """A picture of the model's size needs no resizing, and a caption goes in by its tokens."""
    import transformers

    model = transformers.CLIPModel.from_pretrained(clip)
    frame = noise(1, seed=5)[:, :16, :16]
    mean, std = (torch.tensor(v) for v in ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]))
    pixels = ((torch.from_numpy(frame).float() / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.no_grad():
        due = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
    made = _clip.Clip(str(clip), "cpu", "x").pictures(frame)
    assert torch.allclose(made, nn.functional.normalize(due, dim=-1), atol=1e-4)


def test_wrong_weights_are_said(clip: Path, tmp_path: Path):
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(UserError, match="junk.pt does not hold the layers.*--score aesthetic.head=FILE"):
        score.check("aesthetic", {"head": str(tmp_path / "junk.pt"), "clip": str(clip)})
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="does not hold the layers"):
        score.check("aesthetic", {"head": str(tmp_path / "other.pt"), "clip": str(clip)})
    good = str(head(tmp_path / "head.pt", torch.zeros(768), 1.0))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty cannot be loaded as a CLIP.*--score aesthetic.clip=FOLDER"):
        score.check("aesthetic", {"head": good, "clip": str(tmp_path / "empty")})
    small = builders.clip_network(tmp_path / "small")
    (small / "preprocessor_config.json").write_text((clip / "preprocessor_config.json").read_text())
    with pytest.raises(UserError, match="makes 8 numbers of a picture, and the head reads 768"):
        score.check("aesthetic", {"head": good, "clip": str(small)})
    with pytest.raises(UserError, match="of the wrong kind"):
        score.check("clip_match", {"clip": str(clip), "frames": "many"})


# ----------------------------------------------------------------------------------------------------------------- OCR


def message(field: int, *parts: bytes | str) -> bytes:
    """A field of a protocol buffer that holds others, or text."""
    body = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def constant(name: str, kind: int, values: np.ndarray) -> bytes:
    dims = [number(1, d) for d in values.shape]
    return message(5, *dims, number(2, kind), message(8, name), message(9, values.tobytes()))


def named(field: int, name: str, dims: tuple[int, ...]) -> bytes:
    shape = message(2, *[message(1, number(1, d)) for d in dims])
    return message(field, message(1, name), message(2, message(1, number(1, 1), shape)))


def node(kind: str, inputs: list[str], output: str) -> bytes:
    return message(1, *[message(1, i) for i in inputs], message(2, output), message(4, kind))


def white_is_text(path: Path, side: int, shape: tuple[int, ...]) -> Path:
    """An ONNX network that takes white pixels for text, with an output of this shape."""
    graph = message(
        7,
        node("Conv", ["picture", "weight", "bias"], "logits"), node("Sigmoid", ["logits"], "chances"),
        node("Reshape", ["chances", "shape"], "map"), message(2, "white"),
        constant("weight", 1, np.full((1, 3, 1, 1), 40 / 3, "<f4")), constant("bias", 1, np.full(1, -10, "<f4")),
        constant("shape", 7, np.array(shape, "<i8")),
        named(11, "picture", (1, 3, side, side)), named(12, "map", shape),
    )  # fmt: skip
    path.write_bytes(number(1, 8) + graph + message(8, message(1, ""), number(2, 13)))
    return path


def written(*corners: tuple[int, int, int, int]) -> np.ndarray:
    frame = np.zeros((128, 128, 3), np.uint8)
    for top, bottom, left, right in corners:
        frame[top:bottom, left:right] = 255
    return frame


def test_text_is_the_share_of_its_boxes_in_the_fullest_frame(tmp_path: Path):
    model = white_is_text(tmp_path / "white.onnx", 128, (1, 1, 128, 128))
    scorer = ocr.Scorer(ocr.Config(model=str(model), height=128, width=128, frames=3))
    black, line = written(), written((60, 71, 40, 81))
    assert scorer.score(np.stack([black] * 3), RATE, "") == {"text": 0.0}
    # A heart of 10 x 40 pixels between its outermost ones; its box is larger by twice area / perimeter on each side,
    # and drawn with its border.
    grown = 2 * (10 * 40 / 100) * ocr.UNCLIP
    due = (11 + grown) * (41 + grown) / 128**2
    assert scorer.score(np.stack([black, line, black]), RATE, "")["text"] == pytest.approx(due, rel=0.01)
    doubled = cv2.resize(line, (256, 256), interpolation=cv2.INTER_NEAREST)
    assert scorer.score(doubled[None], RATE, "")["text"] == pytest.approx(due, rel=0.1)
    assert scorer.score(written((10, 12, 10, 60))[None], RATE, "") == {"text": 0.0}, "a hairline is no text"


def test_boxes_are_those_of_opencv_where_it_can_run_the_network(tmp_path: Path):
    model = white_is_text(tmp_path / "flat.onnx", 128, (128, 128))
    frame = written((20, 32, 15, 70), (80, 95, 50, 110), (84, 90, 8, 20))
    theirs = cv2.dnn.TextDetectionModel_DB(cv2.dnn.readNetFromONNX(str(model)))
    theirs.setBinaryThreshold(0.3).setPolygonThreshold(0.5).setUnclipRatio(ocr.UNCLIP)
    theirs.setInputParams(1 / 255, (128, 128), ocr.MEAN)
    mask = np.zeros((128, 128), np.uint8)
    for box in theirs.detect(frame)[0]:
        cv2.fillPoly(mask, [np.asarray(box, np.int32)], 1)
    mine = ocr.Scorer(ocr.Config(model=str(model), height=128, width=128)).score(frame[None], RATE, "")
    assert mask.mean() > 0.2 and mine["text"] == pytest.approx(float(mask.mean()), rel=0.05)


def test_what_is_no_text_detector_is_said(tmp_path: Path):
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(UserError, match="junk.onnx cannot be run as a DBNet.*ocr.model=FILE"):
        score.check("ocr", {"model": str(tmp_path / "junk.onnx")})
    other = white_is_text(tmp_path / "fixed.onnx", 128, (1, 1, 128, 128))
    with pytest.raises(UserError, match="on 64x64 pixels"):
        score.check("ocr", {"model": str(other), "height": 64, "width": 64})
    with pytest.raises(UserError, match="multiples of 32"):
        ocr.Config(height=100)


# ----------------------------------------------------------------------------------------------------------------- VLM


def test_a_vision_model_is_shown_frames_and_judges():
    def answer(count: int, values: dict) -> Reply:
        _, *images = values["messages"][0]["content"]
        return said(f"```json\n{json.dumps({'quality': len(images) + 4})}\n```")

    with server(answer) as known:
        scorer = vlm.Scorer(vlm.Config(url=known.url, model="m", frames=3))
        assert scorer.score(noise(9), RATE, "") == {"quality": 7.0}
        assert scorer.score(noise(2), RATE, "") == {"quality": 6.0}


@pytest.mark.parametrize(
    "reply, reason",
    [
        (said("lovely"), "no JSON object"), (said('{"quality": 11}'), "no number from 1 to 10"),
        (said('{"quality": "good"}'), "no number"), (said('{"quality": true}'), "no number"),
        (said("{}"), "None is no number"), (said("I cannot judge this."), "refused"),
        (Reply("no", 401), "answered 401"),
    ],
)  # fmt: skip
def test_nonsense_is_no_score_and_a_warning(reply: Reply, reason: str, caplog: pytest.LogCaptureFixture):
    with server(lambda *_: reply) as known, caplog.at_level(logging.WARNING):
        assert vlm.Scorer(vlm.Config(url=known.url, model="m")).score(noise(1), RATE, "") == {}
    assert reason in caplog.text


def test_an_endpoint_that_is_down_is_no_score_and_a_warning(caplog: pytest.LogCaptureFixture):
    scorer = vlm.Scorer(vlm.Config(url="http://127.0.0.1:9/v1", model="m", retries=1))
    assert scorer.score(noise(1), RATE, "") == {} and "cannot be reached" in caplog.text


# ---------------------------------------------------------------------------------------------------------- in a build


def scene(seed: int, frames: int) -> np.ndarray:
    """A disc that wanders over clouds."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.integers(40, 220, (5, 8, 3), dtype=np.uint8), (96, 64), interpolation=cv2.INTER_CUBIC)
    clip = np.repeat(ground[None], frames, 0)
    for t, frame in enumerate(clip):
        cv2.circle(
            frame, (10 + 2 * t % 70, 20 + seed), 12, rng.integers(0, 256, 3).tolist() if t == 0 else (250, 9, 9), -1
        )
    return clip


def plan(folder: Path, settings: Settings, **fields) -> pipeline.Plan:
    return pipeline.Plan(sources=(str(folder),), settings=settings, workers=0, copies=True, **fields)


LOOSE = limits.Limits(overlay_max=None, motion_min=None, sharpness_min=None, flicker_max=None)


def test_a_build_leaves_out_what_is_judged_poor_and_asks_again_where_nothing_was_said(tmp_path: Path):
    pytest.importorskip("scenedetect")
    pytest.importorskip("pyarrow")
    films, out = tmp_path / "films", tmp_path / "set"
    films.mkdir()
    write.write(films / "a.mp4", scene(1, 36), RATE)
    replies = [said("no idea"), said('{"quality": 2}')]
    with server(lambda count, _: replies[count]) as known:
        settings = Settings(shape=Shape(side=96), limits=LOOSE)
        scored = {"vlm": {"url": known.url, "model": "m", "frames": 1}}
        first = pipeline.build(plan(films, settings, scorers=scored), out)
        assert len(first.kept) == 1 and "quality" not in first.kept[0].cut.scores
        settings = Settings(
            shape=Shape(side=96), limits=config.build(limits.Limits, {**vars(LOOSE), "quality_min": 5.0})
        )
        second = pipeline.build(plan(films, settings, scorers=scored), out)
        assert not second.kept and "judged to be poor" in second.decisions[0].reason
        pipeline.build(plan(films, settings, scorers=scored), out)
    assert len(known.requests) == 2, "what was said is not asked again"


def test_other_captions_are_other_scores():
    assert score.key("c", "clip_match", {}, "a") != score.key("c", "clip_match", {}, "b")
    assert score.key("c", "vlm", {"frames": 1}, "") != score.key("c", "vlm", {"frames": 2}, "")


def test_the_command_checks_scorers_before_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("pyarrow")
    pytest.importorskip("scenedetect")
    Image.fromarray(noise(1)[0]).save(tmp_path / "a.png")
    out = tmp_path / "set"
    start = ["data", "build", str(tmp_path / "a.png"), "--out", str(out), "--workers", "0"]
    for options, error in [
        (["--scorer", "aesthetic"], "--score aesthetic.head=FILE"),
        (["--scorer", "ocr", "--score", "ocr.model=/nowhere"], "no text detector is in '/nowhere'"),
        (["--score", "ocr.model=x"], "--scorer"),
        (["--scorer", "ocr", "--score", "ocr=x"], "write ocr.key=value"),
        (["--scorer", "beauty"], "known: aesthetic, clip_match, ocr, vlm"),
        (["--set", "shots=transnetv2"], "no weights of TransNetV2"),
        (["--set", "shots=eye"], "known: adaptive, transnetv2"),
    ]:
        assert main([*start, *options]) == 2 and error in capsys.readouterr().err
    assert not (out / "ledger.jsonl").exists()


# ---------------------------------------------------------------------------------------------------------- TransNetV2


class Differences(nn.Module):
    """Answers like TransNetV2: a shot ends with a frame where the next is far brighter or darker. Sees one frame on."""

    def forward(self, frames: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        light = frames.float().mean(dim=(2, 3, 4))
        change = (light[:, 1:] - light[:, :-1]).abs()
        logits = torch.cat([change, torch.zeros_like(light[:, :1])], 1)[:, :, None] - 10.0
        return logits, {"many_hot": logits}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("transnet") / "differences.pt"
    torch.jit.script(Differences()).save(str(path))
    return str(path)


def lit(light: np.ndarray) -> np.ndarray:
    return np.broadcast_to(light.astype(np.uint8)[:, None, None, None], (len(light), 27, 48, 3)).copy()


def steps(count: int, seed: int) -> np.ndarray:
    """Light that rests, jumps and now and then grows over some frames."""
    rng = np.random.default_rng(seed)
    jumps = np.where(rng.random(count) < 0.05, 60, 0)
    for at in rng.integers(0, count, count // 40):
        jumps[at : at + 6] = 30
    return np.cumsum(jumps) % 200


def found(frames: np.ndarray, weights: str) -> tuple[list[shots.Boundary], list[int]]:
    """All boundaries; and how many frames were settled after each that was added."""
    detector, told, settled = shots.create("transnetv2", weights, RATE), [], []
    for frame in frames:
        early = detector.add(frame)
        assert all(b.start >= (settled or [0])[-1] for b in early), "none begins among frames that were settled"
        told, settled = told + early, [*settled, detector.settled]
    told += detector.finish()
    assert detector.settled == len(frames)
    return told, settled


def at_once(frames: np.ndarray, weights: str) -> list[tuple[int, int, int, str]]:
    """The published rule on one pass over everything: a scene ends with the first frame above the threshold, the next
    one begins with the first below it."""
    above = _transnet.probabilities(_transnet.network(weights), frames) > _transnet.THRESHOLD
    edges = np.flatnonzero(np.diff(np.concatenate([[False], above, [False]]).astype(int)))
    pairs = [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b < len(frames)]
    return [(b, b, b, "cut") if b - a == 1 else ((a + b + 1) // 2, a + 1, b - 1, "dissolve") for a, b in pairs]


@pytest.mark.parametrize("count", [1, 2, 49, 50, 51, 74, 75, 76, 100, 124, 125, 126, 150, 331])
def test_windows_tell_what_one_pass_over_everything_does(count: int, weights: str):
    frames = lit(steps(count, count))
    told, settled = found(frames, weights)
    assert [(b.frame, b.start, b.stop, b.kind) for b in told] == at_once(frames, weights)
    assert all(n - s < 75 + _transnet.LONGEST for n, s in enumerate(settled)), "what is held is bounded"
    assert count < 300 or {"cut", "dissolve"} == {b.kind for b in told}


def test_more_frames_change_no_boundary_that_was_told(weights: str):
    frames = lit(steps(260, 9))
    whole = found(frames, weights)[0]
    for count in (60, 120, 175, 200):
        part = found(frames[:count], weights)[0]
        assert part == [b for b in whole if b.stop < count][: len(part)] and len(part) > 0


def test_a_cut_is_the_first_frame_of_the_new_shot_and_a_stretch_dissolves(weights: str):
    light = np.concatenate([np.full(40, 20), np.full(40, 90), np.linspace(90, 220, 11), np.full(40, 220)])
    cut, dissolve = found(lit(light), weights)[0]
    assert (cut.frame, cut.kind, cut.time) == (40, "cut", 40 / RATE)
    assert (dissolve.kind, dissolve.start, dissolve.stop) == ("dissolve", 81, 89) and dissolve.frame == 85


def test_what_never_rests_is_told_in_parts(weights: str):
    frames = lit(np.arange(420) % 2 * 100)
    told, settled = found(frames, weights)
    assert len(told) == 5 and {b.kind for b in told} == {"dissolve"} and settled[-1] > 280


def test_no_frames_are_no_trouble(weights: str):
    assert shots.create("transnetv2", weights, RATE).finish() == []


def test_weights_that_are_none_are_said(tmp_path: Path, weights: str):
    with pytest.raises(UserError, match="--weights FILE"):
        shots.create("transnetv2", str(tmp_path / "none.pt"), RATE)
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(UserError, match="junk.pt is no TorchScript file"):
        shots.create("transnetv2", str(tmp_path / "junk.pt"), RATE)
    with pytest.raises(UserError, match="do not act like TransNetV2"):
        shots.create("transnetv2", str(builders.i3d(tmp_path)), RATE)
    with pytest.raises(UserError, match="take transnetv2"):
        shots.create("adaptive", weights, RATE)


def test_commands_take_the_weights(tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("pyarrow")
    pytest.importorskip("scenedetect")
    film = tmp_path / "film.mp4"
    write.write(film, np.concatenate([scene(1, 40) // 4, scene(2, 40)]), RATE)
    assert main(["data", "shots", str(film), "--detector", "transnetv2", "--weights", weights, "--json"]) == 0
    (cut,) = json.loads(capsys.readouterr().out)["boundaries"]
    assert (cut["frame"], cut["kind"]) == (40, "cut")
    settings = Settings(shape=Shape(side=96), limits=LOOSE, shots="transnetv2", weights=weights)
    built = pipeline.build(plan(film, settings), tmp_path / "set")
    assert {d.cut.shot for d in built.decisions} == {0, 1} and settings.fingerprint != Settings().fingerprint
