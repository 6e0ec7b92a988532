"""A small classifier of prompts: hashed character n-grams and logistic regression, in numpy alone.

A text is read in windows of some two hundred characters, since a few words weigh little in a long text; the likeliest
window of any reading decides. `benchmarks/policy/train.py` made the weights, `classifier.npz`, from templates of our
own.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from jaxtyping import Float, Int8

BUCKETS = 1 << 16
LENGTHS = (2, 3, 4, 5)  # of n-grams
WINDOW, STRIDE = 200, 120  # characters
MOST = 40_000  # characters read, over all readings
ORDINARY = "ordinary"


@dataclass(frozen=True)
class Classifier:
    """`weights` in steps of `scale` per class, one class of them ORDINARY."""

    classes: tuple[str, ...]
    weights: Int8[np.ndarray, "classes buckets"]
    bias: Float[np.ndarray, " classes"]
    scale: float

    def probabilities(self, text: str) -> Float[np.ndarray, "windows classes"]:
        """Of each class, for every window of a plain text."""
        size, found = len(text) + 2, grams(text)
        sums = np.zeros((len(self.classes), size + 1), np.float32)
        for buckets in found:
            sums[:, 1 : len(buckets) + 1] += self.weights[:, buckets]
        sums = sums.cumsum(axis=1, dtype=np.float64)
        starts = np.arange(0, max(1, size - WINDOW + STRIDE), STRIDE)
        ends = np.minimum(starts + WINDOW, size)
        norm = np.sqrt(np.maximum(1, len(LENGTHS) * (ends - starts)))
        scores = (sums[:, ends] - sums[:, starts]) * self.scale / norm + self.bias[:, None]
        likely = np.exp(scores - scores.max(axis=0))
        return (likely / likely.sum(axis=0)).T

    def judge(self, texts: list[str], categories: frozenset[str]) -> tuple[str, float]:
        """The likeliest of these categories and the probability of not being ordinary, in the worst window of the
        readings."""
        left, best = MOST, ("", 0.0)
        wanted = [at for at, name in enumerate(self.classes) if name in categories]
        for text in texts:
            if left <= 0 or not wanted:
                break
            likely = self.probabilities(text[:left])[:, wanted]
            left -= len(text)
            worst = likely[likely.sum(axis=1).argmax()]
            if worst.sum() > best[1]:
                best = (self.classes[wanted[int(worst.argmax())]], float(worst.sum()))
        return best


def grams(text: str) -> list[np.ndarray]:
    """The buckets of a text's character n-grams by their beginnings, an array per length; digits are alike."""
    codes = np.frombuffer(f" {text} ".encode("utf-32-le"), np.uint32).astype(np.uint64)
    codes[(codes >= 48) & (codes < 58)] = 48
    found = []
    for length in LENGTHS:
        value = np.full(max(0, len(codes) - length + 1), length, np.uint64)
        for at in range(length):
            value = (value ^ codes[at : at + len(value)]) * np.uint64(0x100000001B3)  # FNV-1a over code points
        found.append(((value ^ (value >> np.uint64(29))) % np.uint64(BUCKETS)).astype(np.int64))
    return found


@lru_cache(1)
def shipped() -> Classifier:
    """The weights that ship."""
    with resources.files("worldpatch.safety.policy").joinpath("classifier.npz").open("rb") as file:
        values = np.load(file)
        return Classifier(tuple(map(str, values["classes"])), values["weights"], values["bias"], float(values["scale"]))
