"""Distances between sets of clips, in the features of the video encoder that ships."""

import numpy as np
import pytest
import torch

from worldpatch.config import UserError
from worldpatch.data import damage, textures
from worldpatch.evals import _features
from worldpatch.evals.metrics import frechet, kernel
from worldpatch.vae._pixels import to_tensor

METRICS = pytest.mark.parametrize("metric", [frechet, kernel], ids=lambda m: m.__name__.rsplit(".", 1)[-1])


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    """As many as the stricter of the two needs, twice."""
    count = 2 * max(frechet.LEAST, kernel.LEAST)
    drawn = textures.procedural_batch(torch.Generator().manual_seed(0), count, 4, 32, 32)
    return [(127.5 * (clip.movedim(0, -1).numpy() + 1)).round().astype(np.uint8) for clip in drawn]


@pytest.fixture(scope="module", autouse=True)
def remembered(clips: list[np.ndarray]):
    """Features of each clip are computed once in this file."""
    seen: dict[bytes, np.ndarray] = {}

    def features(wanted: list[np.ndarray]) -> np.ndarray:
        new = [c for c in wanted if c.tobytes() not in seen]
        if new:
            seen.update(zip((c.tobytes() for c in new), _features.features(new), strict=True))
        return np.stack([seen[c.tobytes()] for c in wanted])

    with pytest.MonkeyPatch.context() as patch:
        for metric in (frechet, kernel):
            patch.setattr(metric, "features", features)
        yield


def noisy(clips: list[np.ndarray], deviation: float) -> list[np.ndarray]:
    generator = torch.Generator().manual_seed(0)
    made = [damage.noise(to_tensor(clip), deviation, generator).movedim(0, -1).numpy() for clip in clips]
    return [(127.5 * (clip + 1)).round().astype(np.uint8) for clip in made]


@METRICS
def test_equal_sets_are_no_distance_apart(metric, clips: list[np.ndarray]):
    result = metric.score(clips, clips)
    assert result.value == pytest.approx(0, abs=1e-6) or (metric is kernel and result.value < 0)
    assert result.value <= result.floor and result.per_clip == ()


@METRICS
def test_two_halves_are_at_about_the_floor(metric, clips: list[np.ndarray]):
    half = len(clips) // 2
    result = metric.score(clips[:half], clips[half:])
    assert abs(result.value) < 2 * result.floor + 0.1


@METRICS
def test_noise_drives_sets_apart(metric, clips: list[np.ndarray]):
    half = len(clips) // 2
    values = [metric.score(noisy(clips[:half], d), clips[half:]).value for d in (0.0, 0.1, 0.3)]
    floor = metric.score(clips[:half], clips[half:]).floor
    assert values[0] < values[1] < values[2] and values[2] > floor


@METRICS
def test_too_few_clips_are_refused(metric, clips: list[np.ndarray]):
    few, enough = clips[: metric.LEAST - 1], clips[: metric.LEAST]
    for generated, reference in ((few, enough), (enough, few), ([], enough)):
        with pytest.raises(UserError, match=f"needs {metric.LEAST} of each"):
            metric.score(generated, reference)


def test_clips_of_any_size_and_length_keep_their_places(clips: list[np.ndarray]):
    mixed = [clips[0], np.zeros((1, 48, 20, 3), np.uint8), clips[1], np.zeros((9, 64, 64, 3), np.uint8)]
    found = _features.features(mixed)
    assert found.shape[0] == 4 and np.isfinite(found).all()
    alone = np.concatenate([_features.features([clip]) for clip in mixed])
    np.testing.assert_allclose(found, alone, atol=1e-3)
