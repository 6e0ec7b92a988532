"""Metrics that need what the user brings, on small stand-ins for it."""

import hashlib
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import builders
from worldpatch.config import UserError
from worldpatch.evals.metrics import _brought, clip_score, fvd, jedi, vbench


def clips(count: int = 4, side: int = 20, frames: int = 12) -> list[np.ndarray]:
    rng = np.random.default_rng(count)
    return [rng.integers(40, 200, (frames, side, side, 3)).astype(np.uint8) for _ in range(count)]


def vbench_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vbench", types.SimpleNamespace(VBench=builders.Bench))


@pytest.mark.parametrize("metric", [fvd, jedi, clip_score])
def test_absent_weights_are_asked_for(metric, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv(metric.VARIABLE, raising=False)
    reference = ["a red ball"] * 4 if metric is clip_score else clips()
    with pytest.raises(UserError, match=f"give `weights`, or set {metric.VARIABLE}, to "):
        metric.score(clips(), reference)
    with pytest.raises(UserError, match="no weights lie at .*nowhere"):
        metric.score(clips(), reference, weights=tmp_path / "nowhere")
    (tmp_path / "wrong").write_text("no network")
    with pytest.raises(UserError, match="is no TorchScript|cannot be loaded"):
        metric.score(clips(), reference, weights=tmp_path / "wrong")


# ------------------------------------------------------------------------------------------------------------------ FVD


def test_fvd_of_clips_that_are_brighter(tmp_path: Path):
    path = builders.i3d(tmp_path)
    dark = clips()
    bright = [clip + np.uint8(10) for clip in dark]
    result = fvd.score(bright, dark, weights=path)
    assert result.value == pytest.approx(3 * (10 / 127.5) ** 2, rel=1e-3)  # equal spread, means shifted in 3 channels
    assert 0 <= result.floor < 1e-4 and result.per_clip == ()
    assert result.version == f"I3D i3d_torchscript.pt sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_fvd_wants_one_length(tmp_path: Path):
    path = builders.i3d(tmp_path)
    with pytest.raises(UserError, match=r"\[12, 14\]"):
        fvd.score(clips(), clips(frames=14), weights=path)
    with pytest.raises(UserError, match="at least 10 frames"):
        fvd.score(clips(frames=9), clips(frames=9), weights=path)


# ----------------------------------------------------------------------------------------------------------------- JEDi


@pytest.mark.parametrize("probe", [True, False])
def test_jedi_is_the_kernel_on_the_features(probe: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("transformers")
    monkeypatch.setenv("WORLDPATCH_VJEPA", str(builders.vjepa(tmp_path, probe)))
    a, b = clips(3), [255 - clip for clip in clips(4, side=28, frames=30)]
    result = jedi.score(a, b)
    network = _brought.pretrained(tmp_path, (jedi.PROBED, jedi.BARE))
    x, y = jedi.features(network, a, "cpu").astype(float), jedi.features(network, b, "cpu").astype(float)
    within, across = [np.mean((z @ z.T / 24) ** 2) for z in (x, y)], np.mean((x @ y.T / 24) ** 2)
    assert result.value == pytest.approx(100 * (sum(within) - 2 * across), abs=1e-6) and result.value > 0
    assert jedi.score(b, b).value == pytest.approx(0, abs=1e-9) and result.floor < result.value
    assert result.version.startswith("VJEPA2ForVideoClassification " if probe else "VJEPA2Model ")


def test_a_folder_of_another_network_is_refused(tmp_path: Path):
    pytest.importorskip("transformers")
    folder = builders.clip_network(tmp_path)
    with pytest.raises(UserError, match="CLIPModel.*not VJEPA2ForVideoClassification or VJEPA2Model"):
        jedi.score(clips(), clips(), weights=folder)


# ----------------------------------------------------------------------------------------------------------- CLIP score


def test_clip_score_is_the_mean_cosine(tmp_path: Path):
    pytest.importorskip("transformers")
    folder = builders.clip_network(tmp_path)
    network, words = _brought.pretrained(folder, ("CLIPModel",)), _brought.tokenizer(folder)
    clip, caption = clips(1, side=16, frames=3)[0], "a red ball falls"
    result = clip_score.score([clip], [caption], weights=folder)
    pixels = (
        torch.tensor(clip).permute(0, 3, 1, 2) / 255 - torch.tensor(clip_score.MEAN)[:, None, None]
    ) / torch.tensor(clip_score.STD)[:, None, None]
    output = network(**words([caption], return_tensors="pt"), pixel_values=pixels)
    cosine = torch.nn.functional.cosine_similarity(output.image_embeds, output.text_embeds)
    assert result.value == pytest.approx(100 * cosine.clamp(min=0).mean().item(), abs=1e-3)
    assert result.version.startswith("CLIPModel ")


def test_a_long_caption_is_cut_and_an_empty_one_refused(tmp_path: Path):
    pytest.importorskip("transformers")
    folder = builders.clip_network(tmp_path)
    long = clip_score.score(clips(1), ["a red ball falls " * 60], weights=folder)
    assert np.isfinite(long.value)
    with pytest.raises(UserError, match="none of them empty"):
        clip_score.score(clips(1), [" "], weights=folder)


def test_squares_are_the_middle_of_the_frame():
    clip = np.zeros((2, 8, 16, 3), np.uint8)
    clip[:, :, 4:12] = 255
    x = _brought.squares(clip, 8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "cpu", "bicubic")
    assert x.shape == (2, 3, 8, 8) and bool((x == 1).all())
    assert _brought.squares(clip, 32, (0.5,) * 3, (0.5,) * 3, "cpu", "bilinear").shape == (2, 3, 32, 32)


# --------------------------------------------------------------------------------------------------------------- VBench


@pytest.mark.parametrize("dimension", ["aesthetic_quality", "imaging_quality"])
def test_vbench_is_asked_once_for_clips_and_their_noisy_copies(dimension: str, monkeypatch: pytest.MonkeyPatch):
    vbench_of(monkeypatch)
    generated = [np.full((4, 16, 16, 3), grey, np.uint8) for grey in (51, 204)]
    result = vbench.score(generated, ["dark", "bright"], dimension)
    assert result.per_clip == pytest.approx((0.2, 0.8), abs=0.02) and result.value == pytest.approx(0.5, abs=0.02)
    assert result.floor == pytest.approx(0.5, abs=0.02)
    assert result.version == f"vbench of unknown version {dimension}"


def test_vbench_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "vbench", None)
    with pytest.raises(UserError, match="pip install vbench"):
        vbench.score(clips(1), ["a ball"])
    with pytest.raises(UserError, match="no spatial_relationship; choose from subject_consistency"):
        vbench.score(clips(1), ["a ball"], "spatial_relationship")


def test_a_figure_that_vbench_could_not_make_is_refused(monkeypatch: pytest.MonkeyPatch):
    vbench_of(monkeypatch)
    monkeypatch.setattr(builders, "_brightness", lambda path: float("nan"))
    with pytest.raises(UserError, match="no motion_smoothness for 00000.mp4"):
        vbench.score(clips(1), ["a ball"], "motion_smoothness")
