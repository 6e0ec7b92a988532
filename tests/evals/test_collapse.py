"""The alarm for a collapse: clips all alike, blurred, pale or still are told from those drawn in full."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from worldpatch.evals import collapse

FULL = [
    [np.random.default_rng([p, v]).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8) for v in range(3)] for p in range(2)
]


def through(change) -> list[list[np.ndarray]]:
    return [[change(clip) for clip in group] for group in FULL]


def test_another_draw_of_the_same_is_well():
    other = [[group[-1], *group[:-1]] for group in FULL]
    ratios = collapse.compare(other, FULL)
    assert set(ratios) == {"spread", "sharpness", "brightness", "contrast", "saturation", "motion"}
    assert all(ratio == pytest.approx(1, abs=1e-6) for ratio in ratios.values()) and not collapse.alarms(ratios)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("sharpness", lambda clip: gaussian_filter(clip, (0, 2, 2, 0))),
        ("contrast", lambda clip: (100 + 0.3 * clip).astype(np.uint8)),
        ("saturation", lambda clip: np.repeat(clip[..., :1], 3, -1)),
        ("motion", lambda clip: np.repeat(clip[:1], len(clip), 0)),
    ],
)
def test_what_is_lost_is_named(name: str, change):
    alarms = collapse.alarms(collapse.compare(through(change), FULL))
    assert any(alarm.startswith(f"{name} is 0.") for alarm in alarms)


def test_clips_of_a_prompt_that_are_all_alike_are_a_collapse():
    alike = [[group[0]] * len(group) for group in FULL]
    assert [a.split()[0] for a in collapse.alarms(collapse.compare(alike, FULL))] == ["spread"]


def test_a_single_clip_has_no_spread():
    with pytest.raises(ValueError, match="draw at least two"):
        collapse.compare([group[:1] for group in FULL], FULL)


def test_pictures_have_no_motion():
    pictures = through(lambda clip: clip[:1])
    assert "motion" not in collapse.compare(pictures, pictures)
