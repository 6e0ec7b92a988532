"""Distances between two sets of features: Frechet's between gaussians, and the kernel's between samples. Float64."""

import numpy as np
from jaxtyping import Float

from worldpatch.config import UserError


def frechet(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> float:
    """Squared Frechet distance of the gaussians fitted to two sets of features (Heusel et al. 2017, section 4).

    |mean_a - mean_b|^2 + tr(A) + tr(B) - 2 tr((A B)^(1/2)) with the unbiased covariances A and B. The last trace is the
    nuclear norm of R_a R_b^T, where R_a is the triangle of the centred features (A = R_a^T R_a): no root of a matrix
    that may be singular is taken, and it is exact where there are fewer features than dimensions.
    """
    a, b = _checked(a, b)
    mean = a.mean(0) - b.mean(0)
    root_a, root_b = _triangle(a), _triangle(b)
    overlap = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    return max(0.0, float(mean @ mean + np.sum(root_a**2) + np.sum(root_b**2) - 2 * overlap))


def polynomial_mmd(
    a: Float[np.ndarray, "n d"],
    b: Float[np.ndarray, "m d"],
    degree: int = 3,
    offset: float = 1.0,
    unbiased: bool = True,
) -> float:
    """Squared maximum mean discrepancy with k(x, y) = (x . y / d + offset)^degree (Binkowski et al. 2018, eq. 4).

    The defaults are those of the kernel inception distance. Of two samples of one distribution the unbiased estimate
    is 0 on average, hence often a little below 0; the biased one, which also counts k(x, x), never is.
    """
    a, b = _checked(a, b)
    mean = _mean_off_diagonal if unbiased else np.mean
    within_a, within_b = (mean(_kernel(x, x, degree, offset)) for x in (a, b))
    return float(within_a + within_b - 2 * _kernel(a, b, degree, offset).mean())


def _checked(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if min(len(a), len(b)) < 2:
        raise UserError(f"{len(a)} and {len(b)} features: a distance of sets needs at least 2 in each, give more clips")
    a, b = a.astype(np.float64), b.astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise UserError("features hold values that are not finite: see what the network makes of these clips")
    return a, b


def _triangle(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "_ d"]:
    """R with R^T R the unbiased covariance."""
    return np.linalg.qr(x - x.mean(0), mode="r") / np.sqrt(len(x) - 1)


def _kernel(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], degree: int, offset: float
) -> Float[np.ndarray, "n m"]:
    return (x @ y.T / x.shape[1] + offset) ** degree


def _mean_off_diagonal(k: Float[np.ndarray, "n n"]) -> float:
    n = len(k)
    return float((k.sum() - np.trace(k)) / (n * (n - 1)))
