"""The shipped models: what a sentence names is seen in the pixels of the file; what a clip shows is in its features."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from worldpatch import config, generate
from worldpatch.cli import main
from worldpatch.data.captioners import _integrity, own
from worldpatch.embed import _shipped
from worldpatch.evals import _told, card, evaluate
from worldpatch.evals.detect import detect
from worldpatch.evals.suites import prompts
from worldpatch.evals.suites._task import Choice
from worldpatch.evals.suites.twins import store
from worldpatch.generate import expand
from worldpatch.generate.models import fingerprint
from worldpatch.text import _writer
from worldpatch.train.stages import embed as stage
from worldpatch.video.read import read
from worldpatch.worlds import tabletop

ROOT = Path(__file__).parents[1]
SEEDS = 2


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(("prompt", "colour", "channel"), [("a red ball", "red", 0), ("a blue box", "blue", 2)])
def test_the_colour_that_is_named_is_seen(prompt: str, colour: str, channel: int, tmp_path: Path):
    """By the detectors, and without them: the most saturated pixels have most of the channel that is named."""
    for seed in range(SEEDS):
        path = tmp_path / f"{seed}.mp4"
        assert main(["generate", prompt, "--seed", str(seed), "-o", str(path), "--quiet"]) == 0
        frames = read(path)[0]
        assert colour in detect(frames).colours, f"seed {seed}"
        pixels = frames.reshape(-1, 3).astype(float)
        vivid = pixels[np.argsort(np.ptp(pixels, axis=1))[-len(pixels) // 50 :]].mean(0)
        assert vivid.argmax() == channel and np.ptp(vivid) > 80, f"seed {seed}: {vivid.round()}"


def test_the_video_encoder_is_small_and_reads_colours_and_patterns():
    folder = _shipped.find()
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) < 4e6
    clips = [tabletop.clip(tabletop.Config(level=1), 77, i) for i in range(16)]
    right = stage.accuracy(stage.load(folder), clips)
    assert right["colours"] >= 0.6 and right["pattern"] >= 0.8, right


def test_the_captioner_is_small_and_tells_what_is_there():
    folder = _writer.find("captioner")
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) < 5e6
    clips = [tabletop.clip(tabletop.Config(level=1), 77, i) for i in range(16)]
    answers = own.Captioner(own.Config()).caption([(str(i), c.frames, c.rate) for i, c in enumerate(clips)])
    truths = [clip.truth for clip in clips if clip.truth is not None]
    rates = _told.rates([_told.marks(a.captions["dense"], t) for a, t in zip(answers, truths, strict=True)])
    assert rates["colour"] >= 0.8 and rates["event"] >= 0.8 and rates["camera"] >= 0.8, rates


def test_the_captioner_tells_the_canaries():
    captioner, known = own.Captioner(own.Config()), _integrity.canaries()
    assert not _integrity.checked(captioner, [], known)[1]


def test_the_expander_is_small_and_loses_nothing(tmp_path: Path):
    folder = _writer.find("expander")
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) < 2e6
    short = [p.caption for p in prompts.load(1) if p.style != "dense"]
    made = [expand.expand(prompt, expand.Own(), cache=tmp_path) for prompt in short[:24]]
    assert sum(e.text != e.prompt for e in made) >= 20, [e.note for e in made]


def test_two_seeds_are_two_videos(tmp_path: Path):
    made = []
    for seed in range(SEEDS):
        path = tmp_path / f"{seed}.mp4"
        assert main(["generate", "a red ball falls", "--seed", str(seed), "-o", str(path), "--quiet"]) == 0
        made.append(read(path)[0].astype(float))
    assert np.abs(made[0] - made[1]).mean() > 2


CARDS = sorted(p for p in (ROOT / "checkpoints").glob("*/cards/*.json") if p.stem != "twins")


@pytest.mark.parametrize("path", CARDS, ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_cards_belong_to_their_checkpoint(path: Path):
    """A small part of the card made again; whoever replaces a checkpoint runs `runs/cards.sh`."""
    old = card.load(path)
    name = path.parts[-3]
    assert old["subject"]["name"] == name and old["subject"]["fingerprint"] == fingerprint(generate.find(name))
    suite, count = evaluate.find(old["suite"]), 1 if old["suite"] == "physics" else 4
    only = (old["groups"][0]["name"],) if old["suite"] == "physics" else ()
    choice = replace(config.build(Choice, old["protocol"]["choice"]), count=count, only=only)
    sampling = evaluate.Sampling(**old["protocol"]["sampling"])
    found = card.reproduction(old, evaluate.model(name, suite, choice, seeds=1, sampling=sampling).card)
    assert found.samples >= 4
    assert found.equal >= found.samples / 2, f"{found}: other weights, other code or another suite than the card's"


def test_every_model_has_its_card():
    for model in (ROOT / "checkpoints").glob("*/model.json"):
        assert {p.stem for p in (model.parent / "cards").glob("*.json")} == {*evaluate.suites(), "twins"}
        twins = json.loads((model.parent / "cards" / "twins.json").read_text())
        assert twins["weights"] == fingerprint(model.parent), "other weights than the card's: run runs/cards.sh"
        assert twins["version"] == store.version(), "other twins than the card's: run runs/cards.sh"
