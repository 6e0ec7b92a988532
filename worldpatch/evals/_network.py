"""A small network in numpy: what the detectors learned from renders, read from `detectors.npz`.

`worldpatch.evals._fit` trains and writes the file; running it needs numpy alone.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

FILE = Path(__file__).parent / "detectors.npz"


@dataclass(frozen=True, kw_only=True)
class Network:
    """One hidden layer of ReLUs over standardised features; the output is a log-probability per class."""

    classes: tuple[str, ...]
    mean: Float[np.ndarray, " f"]
    scale: Float[np.ndarray, " f"]
    inner: Float[np.ndarray, "f d"]
    inner_bias: Float[np.ndarray, " d"]
    outer: Float[np.ndarray, "d k"]
    outer_bias: Float[np.ndarray, " k"]

    def __call__(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n k"]:
        hidden = np.maximum((features - self.mean) / self.scale @ self.inner + self.inner_bias, 0)
        logits = hidden @ self.outer + self.outer_bias
        logits -= logits.max(-1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@functools.cache
def load(name: str) -> Network:
    """The stored network of that name: "shape", "event" or "camera"."""
    with np.load(FILE) as stored:
        parts = {key.split("/")[1]: stored[key] for key in stored.files if key.startswith(f"{name}/")}
    classes = tuple(str(c) for c in parts.pop("classes"))
    return Network(classes=classes, **{key: value.astype(np.float32) for key, value in parts.items()})
