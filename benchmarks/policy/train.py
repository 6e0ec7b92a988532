"""Train the policy's small classifier on sentences of our own, and say what it adds to the rules.

    python benchmarks/policy/train.py

Takes a minute of one core and writes worldpatch/safety/policy/classifier.npz. Sentences come from training.toml; terms
of the rules stand in further ones, in all their languages, as do harmless phrases. A fifth of the *templates* is held
out: figures for sentences whose template was seen would say nothing. The red-team list is never read here.

Measured on 2026-11-22, before the rules were mended: 94,654 bytes; from 0.95 on, 0.1% of 4,043 held-out ordinary
sentences are refused and 6% of 2,326 harmful ones. It adds little: from 0.995 on, 0.8 points on the red team
(benchmarks/policy.md).
"""

import itertools
import random
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from worldpatch.safety.policy import rules
from worldpatch.safety.policy.classifier import BUCKETS, LENGTHS, ORDINARY, Classifier, grams
from worldpatch.safety.policy.plain import plain
from worldpatch.safety.policy.readings import common
from worldpatch.safety.policy.settings import Settings

HERE = Path(__file__).parent
WEIGHTS = HERE.parents[1] / "worldpatch" / "safety" / "policy" / "classifier.npz"
EACH = {ORDINARY: 90}  # sentences of a template
OTHERS = 60
MIXED = 5000  # ordinary texts of common words in any order: a window of a long prompt is no sentence
DECAY = 5e-6
TELLING = {  # groups of terms that tell a category by themselves
    "sexual": ("porn", "sex_act", "nudity", "steamy"), "gore": ("gore",), "hate": ("slur", "slogan"),
    "self_harm": ("suicide", "injury", "eating"), "deception": ("scam",), "crime": ("scheme", "assist"),
    "minors": ("abuse",),
    ORDINARY: ("harmless", "person", "minor", "art", "animal", "office", "how_other", "matter", "election",
    "protected"),
}  # fmt: skip

Sample = tuple[str, str, str]
"""Class, template, sentence."""


def sentences(random_: random.Random) -> list[Sample]:
    """All samples, in plain letters."""
    values = tomllib.loads((HERE / "training.toml").read_text("utf-8"))
    parts, found = values.pop("parts"), []
    for name, table in values.items():
        for template in table["sentences"]:
            for _ in range(EACH.get(name, OTHERS) if "{" in template else 20):
                filled = re.sub(r"\{(\w+)\}", lambda part: random_.choice(parts[part[1]]), template)
                found.append((name, template, plain(_worn(filled, random_))))
    around = [t for t in values[ORDINARY]["sentences"] if "{" in t]
    for name, groups in TELLING.items():
        for term in itertools.chain.from_iterable(rules.book().groups[group] for group in groups):
            word = term.replace("*", "").replace("<18", "twelve")
            for _ in range(2):
                filled = re.sub(r"\{(\w+)\}", lambda part: random_.choice(parts[part[1]]), random_.choice(around))
                cut = random_.choice(("", "", filled, filled.split(",")[0]))
                found.append((name, f"term {term}", plain(random_.choice((f"{word} {cut}", f"{cut} {word}")))))
    words = sorted(common())
    mixed = (" ".join(random_.choices(words, k=random_.randrange(4, 36))) for _ in range(MIXED))
    found += [(ORDINARY, f"mixed {number}", text) for number, text in enumerate(mixed)]
    return found


def _worn(text: str, random_: random.Random) -> str:
    """One sentence in five loses, doubles or swaps a letter."""
    if random_.random() < 0.8 or len(text) < 8:
        return text
    at = random_.randrange(1, len(text) - 2)
    return random_.choice((
        text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:], text[:at] + text[at + 1] + text[at] + text[at + 2
        :],
    ))  # fmt: skip


def features(texts: list[str]) -> csr_matrix:
    """A row per text: its n-grams, weighed as the classifier weighs them."""
    rows = [np.concatenate(grams(text)) for text in texts]
    values = np.concatenate(
        [np.full(len(row), (len(LENGTHS) * (len(text) + 2)) ** -0.5) for row, text in zip(rows, texts, strict=True)]
    )
    places = np.concatenate(([0], np.cumsum([len(row) for row in rows])))
    return csr_matrix((values, np.concatenate(rows), places), shape=(len(rows), BUCKETS))


def fit(inputs: csr_matrix, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of multinomial logistic regression with an L2 penalty, every class weighing alike but
    ordinary."""
    counts = np.bincount(labels, minlength=classes)
    share = np.where(np.arange(classes) == 0, 0.5 / counts, 0.5 / (counts * (classes - 1)))[labels]
    target = np.eye(classes)[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = flat[:-classes].reshape(BUCKETS, classes), flat[-classes:]
        scores = inputs @ weights + bias
        scores -= scores.max(axis=1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        off = (np.exp(logs) - target) * share[:, None]
        gradient = np.concatenate([(inputs.T @ off + DECAY * weights).ravel(), off.sum(axis=0)])
        return float(-(share[:, None] * target * logs).sum() + 0.5 * DECAY * (weights**2).sum()), gradient

    found = minimize(loss, np.zeros((BUCKETS + 1) * classes), jac=True, method="L-BFGS-B", options={"maxiter": 150})
    return found.x[:-classes].reshape(BUCKETS, classes), found.x[-classes:]


def main() -> None:
    random_ = random.Random(0)
    samples = sentences(random_)
    names = (ORDINARY, *sorted({name for name, _, _ in samples} - {ORDINARY}))
    templates = sorted({template for _, template, _ in samples})
    held = set(random_.sample(templates, len(templates) // 5))
    learnt = [s for s in samples if s[1] not in held]
    inputs, labels = features([text for _, _, text in learnt]), np.array([names.index(name) for name, _, _ in learnt])
    weights, bias = fit(inputs, labels, len(names))
    scale = float(np.abs(weights).max() / 127)
    values = {"classes": np.array(names), "weights": np.round(weights.T / scale).astype(np.int8)}
    np.savez_compressed(WEIGHTS, **values, bias=bias.astype(np.float32), scale=np.float32(scale))
    made = Classifier(names, values["weights"], bias.astype(np.float32), scale)
    tell(made, [s for s in samples if s[1] in held])


def tell(made: Classifier, held: list[Sample]) -> None:
    """Figures on sentences whose templates were not learnt from."""
    settings = Settings(artists=True)
    book = rules.book()
    judged = [
        (name, made.judge([text], settings.categories)[1], book.broken(text, settings.categories))
        for name, _, text in held
    ]
    ordinary = [likely for name, likely, _ in judged if name == ORDINARY]
    harmful = [(likely, rule) for name, likely, rule in judged if name != ORDINARY]
    missed = [likely for likely, rule in harmful if rule is None]
    print(f"{WEIGHTS.stat().st_size} bytes; held out: {len(ordinary)} ordinary, {len(harmful)} harmful")
    for bar in (0.5, 0.7, 0.8, 0.9, 0.95, 0.98):
        wrong, right = np.mean(np.array(ordinary) >= bar), np.mean([likely >= bar for likely, _ in harmful])
        more = np.mean(np.array(missed) >= bar) if missed else float("nan")
        print(
            f"from {bar}: ordinary refused {wrong:.2%}, harmful refused {right:.1%}, of those the rules miss {more:.1%}"
        )


if __name__ == "__main__":
    sys.exit(main())
