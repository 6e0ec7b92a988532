"""Best rates over widths: what drifts is told from what does not."""

import dataclasses
import math

import pytest

from tests import builders
from worldpatch.train.scaling import rates


def test_a_drift_is_measured():
    (found,) = rates.transfers(builders.rate_points(exponent=-1.0))
    assert [best.width for best in found.best] == [64, 128, 256] and all(best.inside for best in found.best)
    assert [best.rate for best in found.best] == pytest.approx([8e-3, 4e-3, 2e-3])
    assert found.drift == pytest.approx(4) and found.step == pytest.approx(2)
    assert not found.transfers and found.penalty == pytest.approx(0.05 * 4)


def test_parametrisations_are_told_apart():
    plain, mup = rates.transfers([*builders.rate_points(-1.0), *builders.rate_points(0.0, base_width=64)])
    assert (plain.base_width, plain.transfers) == (0, False)
    assert (mup.base_width, mup.transfers) == (64, True)
    assert mup.drift == pytest.approx(1) and mup.penalty == pytest.approx(0)


def test_diverged_runs_and_edges_do_no_harm():
    points = [
        dataclasses.replace(p, loss=math.nan) if p.rate > 0.05 else p
        for p in builders.rate_points(0.0)
        if p.rate >= 8e-3
    ]
    (found,) = rates.transfers(points)
    assert [best.rate for best in found.best] == [8e-3] * 3 and not any(best.inside for best in found.best)
    assert found.drift == 1 and not found.told and not found.transfers, "nobody knows what lies beyond the grid"


def test_one_width_tells_nothing():
    assert rates.transfers([p for p in builders.rate_points(0.0) if p.width == 64]) == []
    assert rates.transfers([]) == []
