"""Captioners: one answer per clip under its own id, errors that stay with their clip, and alarms that go off."""

import base64
import io
import itertools
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.chat import Reply, Server, said, server
from worldpatch import config
from worldpatch.config import UserError
from worldpatch.data.captioners import Captioned, Captioner, Clip, _integrity, create, endpoint, own
from worldpatch.data.captioners._integrity import Canary, checked
from worldpatch.text import _chat, _writer

HUES = {"red": (220, 20, 20), "green": (20, 160, 40), "blue": (30, 50, 220), "yellow": (240, 220, 20),
        "cyan": (20, 200, 220), "purple": (120, 30, 190)}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_chat, "FIRST_WAIT", 0.001)


def clip(colour: str, number: int) -> Clip:
    """A clip of one colour, the corner of which tells clips of a colour apart."""
    frames = np.full((5, 16, 24, 3), HUES[colour], np.uint8)
    frames[:, 0, 0] = number
    return _integrity.clip_id(frames), frames, 8.0


def clips(count: int) -> list[Clip]:
    return [clip(colour, i) for i, colour in zip(range(count), itertools.cycle(HUES), strict=False)]


def canaries() -> list[Canary]:
    return [Canary(clip=clip(colour, 200 + i), colour=colour, shape="ball") for i, colour in enumerate(HUES)]


# ------------------------------------------------------------------------------------------------------------- contract


@pytest.mark.parametrize("name", config.available("data/captioners"))
def test_every_captioner_has_a_config_and_keeps_the_contract(name: str):
    module = config.resolve("data/captioners", name)
    assert module.Config.__dataclass_params__.frozen and callable(module.Captioner.caption) and module.__doc__


def test_captioners_are_made_by_name():
    made = create("endpoint", {"url": "http://127.0.0.1:9/v1", "model": "m", "prices": [1.0, 2.0]})
    assert made.name == "endpoint:m"
    with pytest.raises(UserError, match="known: endpoint, huggingface, own"):
        create("gpt", {})
    with pytest.raises(UserError, match="unknown key 'endpoint.modle'"):
        create("endpoint", {"modle": "m"})


# ------------------------------------------------------------------------------------------------------------- endpoint


def asked_about(values: dict[str, Any]) -> tuple[str, str]:
    """(code, colour of the first frame) that a request is about: what a model would see."""
    text, *images = values["messages"][0]["content"]
    data = base64.b64decode(images[0]["image_url"]["url"].removeprefix("data:image/jpeg;base64,"))
    middle = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float)[8, 12]
    colour = min(HUES, key=lambda name: np.abs(middle - HUES[name]).sum())
    found = re.search(r'"clip": "(\w+)"', text["text"])
    assert found is not None
    return found[1], colour


def told(code: str, colour: str, extra: str = "") -> Reply:
    dense = f"A {colour} sphere stands still on a grey floor.{extra} The camera does not move."
    return said(json.dumps({"clip": code, "terse": f"a {colour} sphere", "dense": dense}))


def truthful(number: int, values: dict[str, Any]) -> Reply:
    code, colour = asked_about(values)
    return told(code, colour, f" It is clip {code}.")


def asking(known: Server, **changes: Any) -> endpoint.Captioner:
    return endpoint.Captioner(endpoint.Config(url=known.url, model="m", timeout=2.0, retries=2, **changes))


def test_an_endpoint_tells_clips_in_order_and_says_what_they_cost():
    with server(truthful) as known:
        captioner = asking(known, prices=(1.0, 5.0), frames=3, concurrency=3)
        answers = captioner.caption(clips(7))
    assert isinstance(captioner, Captioner) and captioner.name == "endpoint:m"
    assert [a.clip_id for a in answers] == [c[0] for c in clips(7)]
    assert all(f"a {c} sphere" == a.captions["terse"] for a, c in zip(answers, itertools.cycle(HUES), strict=False))
    assert {(a.tokens, a.error) for a in answers} == {((100, 20), None)} and answers[0].cost == pytest.approx(2e-4)
    assert len(known.requests[0]["messages"][0]["content"]) == 1 + 3


def test_what_goes_wrong_with_one_clip_stays_with_it():
    """Every third answer is nonsense of some kind; the others stand."""
    code = "x" * endpoint.CODE
    nonsense = [
        (said("what a lovely clip"), "no JSON object"),
        (said(json.dumps({"clip": code, "terse": "a", "dense": "b"})), "about another clip"),
        (Reply("<html></html>"), "no chat completion"),
        (said(""), "answered nothing"),
        (said("I cannot describe this."), "refused"),
        (said('{"clip": "CODE", "terse": "a ball"}'), "has no dense caption"),
        (said('{"clip": "CODE", "terse": "a ball", "dense": "' + "very " * 2000 + '"}'), "has 10000 characters"),
    ]
    asked = clips(3 * len(nonsense))
    bad = {c[0]: nonsense[i // 3] for i, c in enumerate(asked) if i % 3 == 0}

    def answer(number: int, values: dict[str, Any]) -> Reply:
        found = asked_about(values)[0]
        reply = next((r for i, (r, _) in bad.items() if endpoint.code(i) == found), None)
        if reply is None:
            return truthful(number, values)
        assert isinstance(reply.body, str)
        return Reply(reply.body.replace("CODE", found), reply.status)

    with server(answer) as known:
        answers = asking(known).caption(asked)
    for a in answers:
        if a.clip_id in bad:
            assert not a.captions and a.error is not None and bad[a.clip_id][1] in a.error
        else:
            assert a.captions and a.error is None
    assert sum(a.tokens[0] for a in answers) == 100 * (len(asked) - 1), "what was thrown away was paid for all the same"


def test_fenced_json_is_read():
    fenced = '```json\n{"clip": "ab", "terse": "a  b", "dense": "c"}\n```'
    assert endpoint.read(fenced, "ab") == {"terse": "a b", "dense": "c"}


def test_an_endpoint_that_is_down_is_an_error_of_every_clip():
    answers = endpoint.Captioner(endpoint.Config(url="http://127.0.0.1:9/v1", model="m", retries=1)).caption(clips(9))
    assert len(answers) == 9 and all("cannot be reached" in (a.error or "") for a in answers)


def test_the_address_is_needed():
    with pytest.raises(UserError, match="--caption-url"):
        endpoint.Config(model="m")


# ------------------------------------------------------------------------------------------------------------ integrity


class Scripted:
    """A captioner whose answers a function makes of the true ones."""

    name = "scripted"

    def __init__(self, change):
        self.change = change

    def caption(self, clips) -> list[Captioned]:
        said = []
        for clip_id, frames, _ in clips:
            colour = min(HUES, key=lambda name: np.abs(frames[0, 8, 12].astype(float) - HUES[name]).sum())
            caption = f"A {colour} ball, number {frames[0, 0, 0, 0]}."
            said.append(Captioned(clip_id=clip_id, captions={"dense": caption}))
        return self.change(said)


def test_a_truthful_captioner_raises_no_alarm():
    answers, alarms = checked(Scripted(lambda said: said), clips(40), canaries())
    assert not alarms and list(answers) == [c[0] for c in clips(40)], "canaries are taken out again"


def test_order_does_not_matter_where_ids_are_right():
    answers, alarms = checked(Scripted(lambda said: said[::-1]), clips(20), canaries())
    assert not alarms and answers == checked(Scripted(lambda said: said), clips(20))[0]


def shuffled(said: list[Captioned]) -> list[Captioned]:
    """Right ids, the captions of others."""
    captions = [a.captions for a in said]
    random.Random(1).shuffle(captions)
    return [Captioned(clip_id=a.clip_id, captions=c) for a, c in zip(said, captions, strict=True)]


def test_captions_of_other_clips_are_caught_by_canaries():
    _, alarms = checked(Scripted(shuffled), clips(40), canaries())
    assert [a.kind for a in alarms] == ["canaries"] and "trust no caption" in alarms[0].text


def test_one_caption_for_all_is_caught_twice():
    _, alarms = checked(Scripted(lambda said: [Captioned(clip_id=a.clip_id, captions=said[0].captions) for a in said]),
                        clips(40), canaries())  # fmt: skip
    assert sorted(a.kind for a in alarms) == ["canaries", "duplicates"]
    repeated = next(a for a in alarms if a.kind == "duplicates")
    assert "40 of 40 clips have one caption" in repeated.text and set(repeated.clips) == {c[0] for c in clips(40)}


def test_missing_foreign_and_contradicting_answers_are_caught():
    asked = clips(10)

    def change(said: list[Captioned]) -> list[Captioned]:
        twice = Captioned(clip_id=said[1].clip_id, captions={"dense": "Something else."})
        return [*said[1:], twice, Captioned(clip_id="f" * 64, captions={"dense": "A dog."})]

    answers, alarms = checked(Scripted(change), asked)
    assert len(answers) == 10 and sum(a.error is not None for a in answers.values()) == 2
    assert [a.kind for a in alarms] == ["ids", "ids"] and alarms[1].clips == ("f" * 64,)


def test_a_few_equal_captions_are_no_alarm():
    def change(said: list[Captioned]) -> list[Captioned]:
        return [Captioned(clip_id=a.clip_id, captions=said[0].captions) for a in said[:5]] + said[5:]

    assert not checked(Scripted(change), clips(40))[1]


def test_canaries_are_told_in_any_words():
    canary = Canary(clip=clip("cyan", 0), colour="cyan", shape="box")
    assert canary.told({"dense": "There is a Turquoise cube."}) and not canary.told({"dense": "a cyan ball"})
    assert not canary.told({"dense": "A dog.", "terse": "a cyan box"}), "the fullest caption counts"


def test_rendered_canaries_are_what_they_say_and_the_same_every_time():
    from worldpatch.evals.detect import detect

    found = _integrity.canaries(side=64, frames=5)
    assert {c.colour for c in found} == set(_integrity.COLOURS)
    assert all(c.colour in detect(c.clip[1]).colours and c.clip[0] == _integrity.clip_id(c.clip[1]) for c in found)
    assert [c.clip[0] for c in _integrity.canaries(side=64, frames=5)] == [c.clip[0] for c in found]


@pytest.mark.parametrize("fault", ["none", "shuffles", "repeats"])
def test_an_endpoint_end_to_end(fault: str):
    """A server that mixes up its answers: caught by the code where it repeats whole answers, by canaries where only
    the words are another clip's."""
    before: list[str] = []

    def answer(number: int, values: dict[str, Any]) -> Reply:
        code, colour = asked_about(values)
        before.append(colour)
        if fault == "shuffles":
            return told(code, list(HUES)[(list(HUES).index(colour) + 1 + number % 5) % 6], f" It is clip {code}.")
        return told("0" * endpoint.CODE if fault == "repeats" else code, colour, f" It is clip {code}.")

    with server(answer) as known:
        answers, alarms = checked(asking(known), clips(18), canaries())
    wrong = [a for a in answers.values() if a.error]
    assert (len(wrong), [a.kind for a in alarms]) == {
        "none": (0, []), "shuffles": (0, ["canaries"]), "repeats": (18, []),
    }[fault]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------ own


def folder_of_a_writer(path: Path) -> Path:
    torch.manual_seed(0)
    tiny = _writer.Config(width=16, depth=1, heads=2, features=192, vocabulary=300, most=12)
    _writer.create(tiny, ["a red ball falls."]).save(path, {})
    return path


def test_our_own_tells_clips_of_any_size_alone_as_in_company(tmp_path: Path):
    captioner = own.Captioner(own.Config(folder=str(folder_of_a_writer(tmp_path)), together=3))
    rng = np.random.default_rng(0)
    some = [(str(i), rng.integers(0, 255, (t, h, w, 3), np.uint8), 8.0)
            for i, (t, h, w) in enumerate([(25, 64, 64), (1, 40, 80), (25, 64, 64), (9, 90, 64)])]  # fmt: skip
    together = captioner.caption(some)
    assert [a.clip_id for a in together] == ["0", "1", "2", "3"] and captioner.name.startswith("own:")
    assert together == [captioner.caption([one])[0] for one in some]


@pytest.mark.parametrize(
    ("count", "rate", "expected"),
    [
        (25, 8.0, list(range(25))),
        (73, 24.0, list(range(0, 73, 3))),
        (97, 8.0, list(range(0, 97, 4))),
        (9, 8.0, [*range(9), *[8] * 16]),
        (1, 8.0, [0] * 25),
    ],
)
def test_clips_are_seen_at_the_rate_of_training(count: int, rate: float, expected: list[int]):
    frames = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(3, -1)
    assert own.resampled(frames, rate)[:, 0, 0, 0].tolist() == expected


def test_unknown_kinds_are_refused():
    with pytest.raises(UserError, match="known: terse, dense"):
        own.Config(kinds=("long",))


# ---------------------------------------------------------------------------------------------------------- huggingface


def test_a_model_of_transformers_from_a_folder(tmp_path: Path):
    """A LLaVA of some thousand random weights: what it says is noise, but it is said about every clip."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from worldpatch.data.captioners import huggingface

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    words.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet, special = pre_tokenizers.ByteLevel.alphabet(), ["<pad>", "<s>", "</s>", "<image>"]
    words.train_from_iterator(
        ["a red ball falls"],
        trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=special, show_progress=False),
    )
    named = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, **named)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**sizes, image_size=32, patch_size=16),
        text_config=transformers.LlamaConfig(**sizes, vocab_size=len(tokenizer), num_key_value_heads=2),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"), vision_feature_layer=-1,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlavaForConditionalGeneration(shape).save_pretrained(tmp_path)
    template = (
        "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>{% else %}"
        "{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
    )
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    transformers.LlavaProcessor(
        image_processor=images, tokenizer=tokenizer, patch_size=16, vision_feature_select_strategy="default",
        chat_template=template, image_token="<image>", num_additional_image_tokens=1,
    ).save_pretrained(tmp_path)  # fmt: skip

    captioner = huggingface.Captioner(huggingface.Config(model=str(tmp_path), most_tokens=4, frames=2))
    answers = captioner.caption(clips(2))
    assert [a.clip_id for a in answers] == [c[0] for c in clips(2)]
    assert all((set(a.captions) == {"terse", "dense"}) != (a.error is not None) for a in answers)
    assert answers[0].tokens[0] > 2 * 2 * 4 and answers[0].tokens[1] <= 8


def test_a_model_that_is_not_there_is_refused(tmp_path: Path):
    pytest.importorskip("transformers")
    from worldpatch.data.captioners import huggingface

    with pytest.raises(UserError, match="give a hub id or a folder"):
        huggingface.Captioner(huggingface.Config(model=str(tmp_path / "none")))
    with pytest.raises(UserError, match="--caption-model"):
        huggingface.Config()
