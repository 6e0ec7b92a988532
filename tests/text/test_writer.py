"""The writer of captions: what it learns it says, alone as in company, at once as word by word."""

from pathlib import Path

import pytest
import torch

from worldpatch.config import UserError
from worldpatch.text import _writer
from worldpatch.text._writer import Config, Writer

CAPTIONS = ["A red ball falls. The camera does not move.", "A small blue box slides to the left."]
TINY = {"width": 32, "depth": 2, "heads": 2, "vocabulary": 300}


def writer(**options) -> Writer:
    torch.manual_seed(0)
    return _writer.create(Config(**{**TINY, **options}), CAPTIONS).eval()


def taught(model: Writer, read, captions: list[str], steps: int = 60) -> Writer:
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = model.loss(read(), ["dense"] * len(captions), captions)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model


def test_what_is_learned_of_clips_is_said():
    model, tokens = writer(features=6), torch.randn(2, 12, 6)
    taught(model, lambda: model.read_clips(tokens, (3, 2, 2)), CAPTIONS)
    assert model.write(model.read_clips(tokens, (3, 2, 2)), "dense") == CAPTIONS
    assert model.write(model.read_clips(tokens.flip(0), (3, 2, 2)), "dense") == CAPTIONS[::-1]


def test_what_is_learned_of_prompts_is_said_whatever_their_company():
    model, prompts = writer(), ["red ball falling", "show me a blue box sliding left on a table"]
    taught(model, lambda: model.read_prompts(prompts), CAPTIONS)
    assert model.write(model.read_prompts(prompts), "dense") == CAPTIONS
    assert [model.write(model.read_prompts([p]), "dense")[0] for p in prompts] == CAPTIONS


def test_padding_changes_nothing():
    model, long = writer(), "a small blue box slides to the left and a red ball falls"
    ids = torch.tensor([[model.first["dense"], 5, 6]])
    alone = model(model.read_prompts(["red"]), ids)
    together = model(model.read_prompts(["red", long]), ids.expand(2, -1))
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=0)


def test_a_written_token_sees_no_later_one():
    model = writer(features=6)
    read = model.read_clips(torch.randn(1, 4, 6), (1, 2, 2))
    ids = torch.tensor([[model.first["dense"], 5, 6, 7]])
    whole, changed = model(read, ids), model(read, ids.clone().index_fill_(1, torch.tensor([3]), 9))
    torch.testing.assert_close(whole[:, :3], changed[:, :3])


def test_writing_with_a_cache_is_writing_without():
    model = writer(features=6)
    read = model.read_clips(torch.randn(3, 12, 6), (3, 2, 2))
    ids = torch.full((3, 1), model.first["terse"])
    with torch.no_grad():
        for _ in range(model.config.most):
            ids = torch.cat([ids, model(read, ids)[:, -1:].argmax(-1)], 1)
    assert model.write(read, "terse") == [model._text(row[1:].tolist()) for row in ids]


def test_place_and_moment_are_told_apart():
    waves = _writer._waves((2, 3, 4))[0]
    assert waves.shape == (24, 6 * _writer.WAVES) and len(torch.unique(waves.round(decimals=4), dim=0)) == 24


def test_exported_and_loaded_it_is_the_same(tmp_path: Path):
    model = writer(features=6)
    model.load_state_dict({k: v.bfloat16().float() for k, v in model.state_dict().items()})
    model.save(tmp_path, {"training": 1})
    again, record = _writer.load(tmp_path)
    read, ids = torch.randn(1, 4, 6), torch.tensor([[model.first["dense"], 5]])
    expected = model(model.read_clips(read, (1, 2, 2)), ids)
    torch.testing.assert_close(again(again.read_clips(read, (1, 2, 2)), ids), expected)
    assert record["training"] == 1 and len(_writer.fingerprint(tmp_path)) == 16


@pytest.mark.parametrize("name", ["writer.json", "writer.safetensors", "tokenizer.json"])
def test_a_damaged_one_is_refused(name: str, tmp_path: Path):
    writer().save(tmp_path, {})
    (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match="holds no whole writer"):
        _writer.load(tmp_path)


def test_what_is_too_long_is_refused():
    with pytest.raises(UserError, match="at most 8: shorten it"):
        writer(most=8).read_prompts(["a red ball falls " * 5])
