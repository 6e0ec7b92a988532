"""Distances between sets of features, on sets whose distance is known."""

import numpy as np
import pytest
import scipy.linalg

from worldpatch.config import UserError
from worldpatch.evals.metrics._distances import frechet, polynomial_mmd


def whitened(n: int, d: int, seed: int = 0) -> np.ndarray:
    """A sample whose mean is exactly 0 and whose unbiased covariance is exactly the identity."""
    x = np.random.default_rng(seed).standard_normal((n, d))
    x -= x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T


def test_frechet_of_gaussians_in_closed_form():
    x = whitened(200, 4)
    scale, shift = np.array([0.5, 1, 2, 3]), np.array([1, -2, 0, 0.5])
    assert frechet(x, x + shift) == pytest.approx(shift @ shift)
    assert frechet(x, x * scale) == pytest.approx(np.sum((scale - 1) ** 2))
    assert frechet(x, whitened(90, 4, seed=1) * scale + shift) == pytest.approx(
        shift @ shift + np.sum((scale - 1) ** 2)
    )


def test_frechet_of_covariances_that_do_not_commute():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((50, 5)) @ rng.standard_normal((5, 5)), rng.standard_normal((40, 5)) + 1
    root = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    assert frechet(a, b) == pytest.approx(expected)
    assert frechet(b, a) == pytest.approx(expected)


def test_frechet_with_fewer_features_than_dimensions():
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((6, 40)), rng.standard_normal((9, 40))
    assert frechet(a, a[::-1]) == pytest.approx(0, abs=1e-12)
    turn = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    assert frechet(a @ turn, b @ turn) == pytest.approx(frechet(a, b))  # it knows no axes


def test_mmd_by_hand():
    a, b = np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]])
    # k(x, y) = (x y + 1)^3; within: k(0, 2) = 1 and k(1, 3) = 64; across: 1, 1, 27 and 343
    assert polynomial_mmd(a, b) == pytest.approx(1 + 64 - 2 * (1 + 1 + 27 + 343) / 4)
    assert polynomial_mmd(a, b, degree=1) == pytest.approx(1 + 4 - 2 * (1 + 1 + 3 + 7) / 4)
    # (x y)^2 with each feature's kernel with itself: (0 + 0 + 0 + 16), (1 + 9 + 9 + 81), across 0, 0, 4 and 36
    assert polynomial_mmd(a, b, 2, offset=0.0, unbiased=False) == pytest.approx((16 + 100 - 2 * 40) / 4)


def test_mmd_is_unbiased():
    rng = np.random.default_rng(5)
    same = [polynomial_mmd(*rng.standard_normal((2, 20, 8))) for _ in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(200) and min(same) < 0
    # degree 1, shift s: E|mean difference|^2 / d = s^2
    shifted = [polynomial_mmd(rng.standard_normal((20, 8)), rng.standard_normal((20, 8)) + 0.5, 1) for _ in range(200)]
    assert np.mean(shifted) == pytest.approx(0.25, abs=3 * np.std(shifted) / np.sqrt(200))


@pytest.mark.parametrize("distance", [frechet, polynomial_mmd])
def test_what_cannot_be_compared_is_refused(distance):
    x = np.ones((3, 4))
    with pytest.raises(UserError, match="at least 2"):
        distance(x, x[:1])
    with pytest.raises(UserError, match="not finite"):
        distance(x, np.full((3, 4), np.nan))
