"""Adapters: what peft writes is read, what is written here peft reads, and both give the same outputs."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests import builders
from worldpatch import generate
from worldpatch.config import UserError
from worldpatch.generate import files, lora
from worldpatch.generate.models import fingerprint
from worldpatch.types import Request

TARGETS = ("text.embed", "linear1", "qkv", "out")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builders.exported(tmp_path_factory.mktemp("models") / "tiny")


def network(folder: Path) -> nn.Module:
    return generate.load(folder).network


def adapter(folder: Path, seed: int = 0) -> lora.Adapter:
    """An adapter that changes something."""
    made = builders.perturb(lora.create(network(folder), 3, 6.0, TARGETS, seed), 0.1)
    assert isinstance(made, lora.Adapter)
    return made


def written(folder: Path, out: Path, **base: str) -> Path:
    name = {"name": "tiny", "fingerprint": fingerprint(folder), **base}
    lora.write(out, adapter(folder), network(folder), "tiny", {"base": name, "words": ["zorvish"]})
    return out


def request(**changes) -> Request:
    return Request(ability="text_to_video", params={"prompt": "a red ball falls"}, steps=2, **changes)


def said(net: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return net.eval().text.encode(["a red ball falls"])[0]  # type: ignore[operator, union-attr]


# ---------------------------------------------------------------------------------------------------------- arithmetic


def test_a_new_adapter_changes_nothing(folder: Path):
    net = network(folder)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    lora.merge(net, lora.create(net, 4, 4.0, TARGETS))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_a_merge_adds_the_scaled_product(folder: Path):
    net, found = network(folder), adapter(folder)
    before = net.dit.blocks[0].qkv.weight.clone()  # type: ignore[index, union-attr]
    lora.merge(net, found, 0.5)
    key = "dit/blocks/0/qkv"
    expected = before + 0.5 * (6.0 / 3) * (found.up[key] @ found.down[key])
    assert torch.allclose(net.dit.blocks[0].qkv.weight, expected)  # type: ignore[index, union-attr]
    lora.merge(net, found, -0.5)
    assert torch.allclose(net.dit.blocks[0].qkv.weight, before, atol=1e-6)  # type: ignore[index, union-attr]


def test_every_target_learns(folder: Path):
    names = adapter(folder).modules_changed
    assert {"text.embed", "text.layers.layers.0.linear1", "dit.blocks.1.qkv", "dit.blocks.0.feed.out", "dit.out"} <= {
        *names
    }
    assert not any("linear2" in name for name in names)


# ---------------------------------------------------------------------------------------------------------------- peft


def test_peft_reads_what_is_written_here(folder: Path, tmp_path: Path):
    peft = pytest.importorskip("peft")
    written(folder, tmp_path / "a")
    ours, theirs = network(folder), network(folder)
    lora.merge(ours, lora.read(tmp_path / "a")[0])
    merged = peft.PeftModel.from_pretrained(theirs, str(tmp_path / "a")).merge_and_unload()
    for name, value in ours.state_dict().items():
        assert torch.allclose(value, merged.state_dict()[name], atol=1e-5), name
    assert torch.allclose(said(ours), said(merged), atol=1e-5)
    assert not torch.allclose(said(ours), said(network(folder)), atol=1e-3)


def test_what_peft_writes_is_read_here(folder: Path, tmp_path: Path):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, lora_alpha=6, use_rslora=True, target_modules=["qkv", "linear1", "text.embed"])
    theirs = peft.get_peft_model(network(folder), config)
    builders.perturb(theirs, 0.0)
    with torch.no_grad():
        for name, p in theirs.named_parameters():
            if "lora_" in name:
                p.normal_(std=0.1)
    theirs.save_pretrained(str(tmp_path / "b"))
    ours = network(folder)
    found, record = lora.read(tmp_path / "b")
    lora.merge(ours, found)
    merged = theirs.merge_and_unload()
    assert record == {}
    for name, value in ours.state_dict().items():
        assert torch.allclose(value, merged.state_dict()[name], atol=1e-5), name


# ------------------------------------------------------------------------------------------------------------- generate


def test_an_adapter_is_a_part_of_the_recipe(folder: Path, tmp_path: Path):
    a, b = written(folder, tmp_path / "a"), tmp_path / "b"
    lora.write(b, adapter(folder, seed=5), network(folder), "tiny", {})
    plain = generate.run(request(), generate.load(folder))
    none = generate.run(request(), generate.load(folder, adapters=[lora.parse(f"{a}:0")]))
    full = generate.run(request(), generate.load(folder, adapters=[lora.parse(str(a))]))
    both = generate.run(request(), generate.load(folder, adapters=[lora.parse(str(a)), lora.parse(f"{b}:0.5")]))
    assert torch.equal(plain.latents, none.latents)
    assert not torch.allclose(plain.latents, full.latents, atol=1e-2)
    assert not torch.allclose(full.latents, both.latents, atol=1e-2)
    recipe = files.recipe(request(loras=(str(a), f"{b}:0.5")), folder)
    assert recipe.loras == (lora.fingerprint(a), lora.fingerprint(b)) and len(set(recipe.loras)) == 2


def test_the_words_of_an_adapter_are_known(folder: Path, tmp_path: Path):
    pipeline = generate.load(folder, adapters=[lora.Use(folder=written(folder, tmp_path / "a"))])
    assert pipeline.record is not None and {"zorvish", "red"} <= set(pipeline.record["words"])


@pytest.mark.parametrize(
    ("text", "use"),
    [("x", ("x", 1.0)), ("x:0.5", ("x", 0.5)), ("x:-1", ("x", -1.0)), ("c:/x", ("c:/x", 1.0)), ("x:y", ("x:y", 1.0))],
)
def test_folders_and_scales(text: str, use: tuple[str, float]):
    assert lora.parse(text) == lora.Use(folder=Path(use[0]), scale=use[1])


# ----------------------------------------------------------------------------------------------------------- bad input


def test_what_does_not_fit_is_said(folder: Path, tmp_path: Path):
    strange = written(folder, tmp_path / "strange", name="other", fingerprint="0" * 16)
    with pytest.raises(UserError, match="belongs to the model other"):
        generate.load(folder, adapters=[lora.Use(folder=strange)])
    wide = lora.Adapter(2, 2.0)
    wide.put("dit.blocks.0.qkv", torch.zeros(2, 7), torch.zeros(9, 2))
    lora.write(tmp_path / "wide", wide, network(folder), "tiny", {})
    with pytest.raises(UserError, match="does not fit.*changes 9x7 weights of 'dit.blocks.0.qkv'.*has 576x192"):
        generate.load(folder, adapters=[lora.Use(folder=tmp_path / "wide")])
    for text in ("x:9", "x:nan"):
        with pytest.raises(UserError, match="outside -4 to 4"):
            lora.parse(text)


def test_damaged_adapters_are_said(folder: Path, tmp_path: Path):
    with pytest.raises(UserError, match="so it is no adapter"):
        lora.read(tmp_path)
    out = written(folder, tmp_path / "a")
    values = json.loads((out / lora.CONFIG).read_text())
    for change, message in (({"use_dora": True}, "use_dora True is not read"), ({"peft_type": "IA3"}, "'IA3'")):
        (out / lora.CONFIG).write_text(json.dumps(values | change))
        with pytest.raises(UserError, match=message):
            lora.read(out)
    (out / lora.CONFIG).write_text(json.dumps(values | {"r": 5}))
    with pytest.raises(UserError, match="both factors of rank 5"):
        lora.read(out)
    (out / lora.CONFIG).write_text(json.dumps(values))
    (out / lora.WEIGHTS).write_bytes((out / lora.WEIGHTS).read_bytes()[:100])
    with pytest.raises(UserError, match="is damaged"):
        lora.read(out)
    (out / lora.WEIGHTS).unlink()
    with pytest.raises(UserError, match="is missing"):
        lora.read(out)
