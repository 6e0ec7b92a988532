"""Any prompt becomes conditioning tokens, whatever stands beside it in the batch."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from worldpatch.config import UserError
from worldpatch.text.bytepair import Config, Encoder, load, train_tokenizer

TOKENIZER = train_tokenizer(builders.CAPTIONS, 300)
CONFIG = Config(vocabulary=TOKENIZER.get_vocab_size(), width=24, depth=2, heads=2, max_tokens=32)


def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(CONFIG, TOKENIZER)


ENCODER = encoder()


@builders.PATIENT
@given(st.lists(st.text(max_size=6), min_size=1, max_size=4))
def test_any_unicode_is_accepted(prompts: list[str]):
    with torch.no_grad():
        tokens, lengths = ENCODER.encode(prompts)
    assert tokens.shape == (sum(lengths), CONFIG.width) and tokens.isfinite().all()
    for prompt, length in zip(prompts, lengths, strict=True):
        assert (length == 0) == (not prompt.strip())


@pytest.mark.parametrize("prompt", ["一个红球落下", "🔴⬇️", "crème brûlée", "a\x00b\n", "Привет"])
def test_bytes_say_every_language(prompt: str):
    assert TOKENIZER.decode(TOKENIZER.encode(prompt).ids).strip() == prompt.strip()


def test_an_empty_prompt_has_no_tokens():
    tokens, lengths = ENCODER.encode(["", "   ", "\n"])
    assert lengths == (0, 0, 0) and tokens.shape == (0, CONFIG.width)
    assert ENCODER.encode([])[1] == ()


def test_case_and_outer_space_are_ignored():
    first, second = (ENCODER.encode([p])[0] for p in ("A Red BALL falls ", "a red ball falls"))
    assert torch.equal(first, second)


def test_an_over_long_prompt_is_refused():
    with pytest.raises(UserError, match=r"tokens \('ball ball.*at most 32: shorten it"):
        ENCODER.encode(["fine", "ball " * 80])


@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_nothing(training: bool):
    model = encoder().train(training)
    prompts = [builders.CAPTIONS[0], "", builders.CAPTIONS[2], "ball"]
    with torch.no_grad():
        tokens, lengths = model.encode(prompts)
        for prompt, part in zip(prompts, tokens.split(lengths), strict=True):
            torch.testing.assert_close(part, model.encode([prompt])[0], rtol=0, atol=1e-5)


def test_words_and_their_order_count():
    with torch.no_grad():
        one, other = (ENCODER.encode([p])[0] for p in ("red ball", "ball red"))
    assert one.shape == other.shape and not torch.allclose(one.mean(0), other.mean(0), atol=1e-3)


def test_gradients_reach_every_parameter():
    model = encoder()
    tokens, _ = model.encode(["a red ball falls", "", "nothing"])
    (tokens * torch.randn_like(tokens)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_the_tokenizer_is_the_same_every_time_and_survives_a_file(tmp_path: Path):
    """A resumed run learns its tokenizer anew from the same captions."""
    assert train_tokenizer(builders.CAPTIONS, 300).to_str() == TOKENIZER.to_str()
    Encoder(Config(vocabulary=300), TOKENIZER).save(tmp_path)
    loaded = load({"vocabulary": 300}, tmp_path).tokenizer
    assert loaded.encode("a blue box").ids == TOKENIZER.encode("a blue box").ids
