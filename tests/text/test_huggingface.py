"""The frozen encoder, on a tiny T5 that the test makes: nothing is downloaded."""

import pytest
import torch

from tests import builders
from worldpatch.config import UserError
from worldpatch.text import bytepair, huggingface

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("t5")
    tokenizer = bytepair.train_tokenizer(builders.CAPTIONS, 300)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    shape = transformers.T5Config(vocab_size=300, d_model=32, d_ff=64, d_kv=8, num_layers=2, num_heads=4)
    transformers.T5EncoderModel(shape).save_pretrained(folder)
    return folder


def test_tokens_do_not_depend_on_company_and_empty_prompts_have_none(folder):
    encoder = huggingface.create({"name": str(folder)}, [])
    tokens, lengths = encoder.encode(["a red ball falls", "", "a blue box"])
    alone, _ = encoder.encode(["a blue box"])
    assert lengths == encoder.lengths(["a red ball falls", "", "a blue box"])
    assert lengths[1] == 0 and tokens.shape == (sum(lengths), encoder.config.width) == (sum(lengths), 32)
    torch.testing.assert_close(tokens[-lengths[2] :], alone)


def test_it_is_frozen_and_not_in_a_checkpoint(folder):
    encoder = huggingface.create({"name": str(folder)}, [])
    assert not list(encoder.parameters()) and not encoder.state_dict()
    assert not encoder.encode(["a red ball"])[0].requires_grad


def test_an_unknown_name_and_a_long_prompt_are_user_errors(folder):
    with pytest.raises(UserError, match="cannot be loaded"):
        huggingface.create({"name": str(folder / "nothing")}, [])
    with pytest.raises(UserError, match="at most 2"):
        huggingface.create({"name": str(folder), "max_tokens": 2}, []).encode(["a red ball falls"])
