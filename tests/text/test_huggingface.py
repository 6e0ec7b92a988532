"""The frozen encoder, on a tiny T5 that the test makes: nothing is downloaded."""

import pytest

from tests import builders
from worldpatch.config import UserError
from worldpatch.text import huggingface

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return builders.huggingface_encoder(tmp_path_factory.mktemp("t5"))


def test_it_is_frozen_and_not_in_a_checkpoint(folder):
    encoder = huggingface.create({"name": str(folder)}, [])
    assert not list(encoder.parameters()) and not encoder.state_dict()
    assert not encoder.encode(["a red ball"])[0].requires_grad


def test_an_unknown_name_is_a_user_error(folder):
    with pytest.raises(UserError, match="cannot be loaded"):
        huggingface.create({"name": str(folder / "nothing")}, [])
