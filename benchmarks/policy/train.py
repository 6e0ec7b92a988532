"""Train the policy's small classifier on sentences of our own, and say what it adds to the rules.

    python benchmarks/policy/train.py

Takes three minutes and writes worldpatch/safety/policy/classifier.npz. Sentences come from sentences.jsonl, written by
language models that had not seen the rules: harmful wishes told without telling words, and harmless ones that look
like them; from the first and second red-team lists and ordinary ones; and from training.toml, whose templates are
filled with parts, terms of the rules among them. Figures are of five folds, each learnt without a fifth of the
sentences and of the templates. The third lists are never read here.

Measured on 2026-11-23: from 0.95 on, the default, 48% of held-out paraphrases are refused, with the rules 52%, and 0.4%
of ordinary sentences, with the rules 0.6% (1.9% of those that look harmful).

Of minors there are sentences about violence, neglect and exploitation alone: nobody was asked to write others. What is
sexual and speaks of minors is for the rules, and for the lower bar of the chain (`policy/chain.py`).
"""

import itertools
import json
import random
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from worldpatch.safety.policy import rules
from worldpatch.safety.policy.classifier import BUCKETS, LENGTHS, ORDINARY, WINDOW, Classifier, grams
from worldpatch.safety.policy.plain import plain
from worldpatch.safety.policy.readings import common
from worldpatch.safety.policy.settings import Settings

HERE = Path(__file__).parent
WEIGHTS = HERE.parents[1] / "worldpatch" / "safety" / "policy" / "classifier.npz"
LEARNT = ("first", "second")  # of the lists; what others say is only ever judged
EACH, OTHERS = {ORDINARY: 12}, 8  # sentences of a template
MIXED = 1500  # ordinary texts of common words in any order: a window of a long prompt is no sentence
CODED = 1500  # ordinary texts with numbers and identifiers
LONG = 2000  # windows of long prompts, ordinary and not
FOLDS, DECAY = 5, 2e-6
PLAIN = ("plain", "paraphrase", "euphemism", "role play", "translated", "code-switched")  # ways to say a thing uncoded
TELLING = {  # groups of terms that tell a category by themselves
    "sexual": ("porn", "sex_act", "nudity", "steamy"), "gore": ("gore",), "hate": ("slur", "slogan"),
    "self_harm": ("suicide", "injury", "eating"), "deception": ("scam",), "crime": ("scheme", "assist"),
    "minors": ("abuse",),
    ORDINARY: ("harmless", "person", "minor", "art", "animal", "office", "how_other", "matter", "election",
    "protected"),
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A sentence in plain letters. Those of one `origin` are alike; `weight` is that of the sentence."""

    category: str
    origin: str
    text: str
    how: str
    weight: float = 1.0


def written(random_: random.Random) -> list[Sample]:
    """Sentences that somebody wrote."""
    names = ("sentences", *(f"{name}/red_team" for name in LEARNT))
    rows = [json.loads(line) for name in names for line in _lines(HERE / f"{name}.jsonl")]
    found = [
        Sample(row["category"], row["text"], plain(row["text"]), row["how"])
        for row in rows
        if row["how"] in (*PLAIN, "near", "general")
    ]
    lines = (line for name in LEARNT for line in _lines(HERE / name / "ordinary.txt"))
    found += [Sample(ORDINARY, line, plain(line), "general") for line in lines]
    calm = [one.text for one in found if one.category == ORDINARY]
    for number in range(CODED):
        base, code = random_.choice(calm).split(), _code(random_)
        base.insert(random_.randrange(len(base) + 1), code)
        text = code if number % 10 == 0 else " ".join(base)
        found.append(Sample(ORDINARY, f"coded {number}", plain(text), "coded", 0.3))
    return found + windows(found, calm, random_)


def windows(found: list[Sample], calm: list[str], random_: random.Random) -> list[Sample]:
    """Parts of long prompts, as the classifier reads them: ordinary ones, and ones that hold a harmful sentence."""
    bad, made = [one for one in found if one.category != ORDINARY], []
    for number in range(LONG):
        text = " ".join(random_.choices(calm, k=6))
        at = random_.randrange(max(1, len(text) - WINDOW))
        made.append(Sample(ORDINARY, f"long {number}", text[at : at + WINDOW], "long", 0.3))
        one = random_.choice(bad)
        before = random_.randrange(max(1, WINDOW - len(one.text)))
        text = f"{text[at : at + before]} {one.text} {random_.choice(calm)} {random_.choice(calm)}"
        made.append(Sample(one.category, one.origin, text[:WINDOW], "long", 0.3))
    return made


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if line.strip()]


def _code(random_: random.Random) -> str:
    digits = f"{random_.getrandbits(128):032x}"
    return random_.choice((
        digits, digits[:8], f"char_{digits}", str(random_.random()), str(random_.randrange(10**9)),
        f"{random_.randrange(4000)}x{random_.randrange(4000)}", f"seed={random_.randrange(10**6)}",
        "".join(random_.choices("bcdfghjklmnpqrstvwxz", k=random_.randrange(4, 20))),
    ))  # fmt: skip


def templates(random_: random.Random) -> list[Sample]:
    """Sentences made of parts and of the rules' terms."""
    values = tomllib.loads((HERE / "training.toml").read_text("utf-8"))
    parts, found = values.pop("parts"), []
    for name, table in values.items():
        for template in table["sentences"]:
            for _ in range(EACH.get(name, OTHERS) if "{" in template else 1):
                filled = re.sub(r"\{(\w+)\}", lambda part: random_.choice(parts[part[1]]), template)
                found.append(Sample(name, template, plain(_worn(filled, random_)), "template", 0.1))
    around = [t for t in values[ORDINARY]["sentences"] if "{" in t]
    for name, groups in TELLING.items():
        for term in itertools.chain.from_iterable(rules.book().groups[group] for group in groups):
            word = term.replace("*", "").replace("<18", "twelve")
            filled = re.sub(r"\{(\w+)\}", lambda part: random_.choice(parts[part[1]]), random_.choice(around))
            cut = random_.choice(("", "", filled, filled.split(",")[0]))
            text = plain(random_.choice((f"{word} {cut}", f"{cut} {word}")))
            found.append(Sample(name, f"term {term}", text, "term", 0.1))
    words = sorted(common())
    mixed = (" ".join(random_.choices(words, k=random_.randrange(4, 36))) for _ in range(MIXED))
    found += [Sample(ORDINARY, f"mixed {number}", text, "mixed", 0.3) for number, text in enumerate(mixed)]
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


# ------------------------------------------------------------------------------------------------------------ learning


def features(texts: list[str]) -> csr_matrix:
    """A row per text: its n-grams, weighed as the classifier weighs them."""
    rows = [np.concatenate(grams(text)) for text in texts]
    values = np.concatenate(
        [np.full(len(row), (len(LENGTHS) * (len(text) + 2)) ** -0.5) for row, text in zip(rows, texts, strict=True)]
    )
    places = np.concatenate(([0], np.cumsum([len(row) for row in rows])))
    return csr_matrix((values, np.concatenate(rows), places), shape=(len(rows), BUCKETS))


def fit(inputs: csr_matrix, labels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of multinomial logistic regression with an L2 penalty, every class weighing alike but
    ordinary."""
    classes = int(labels.max()) + 1
    totals = np.bincount(labels, weights)
    share = weights * np.where(np.arange(classes) == 0, 0.5, 0.5 / (classes - 1))[labels] / totals[labels]
    target = np.eye(classes)[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = flat[:-classes].reshape(BUCKETS, classes), flat[-classes:]
        scores = inputs @ weights + bias
        scores -= scores.max(axis=1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        off = (np.exp(logs) - target) * share[:, None]
        gradient = np.concatenate([(inputs.T @ off + DECAY * weights).ravel(), off.sum(axis=0)])
        return float(-(share[:, None] * target * logs).sum() + 0.5 * DECAY * (weights**2).sum()), gradient

    found = minimize(loss, np.zeros((BUCKETS + 1) * classes), jac=True, method="L-BFGS-B", options={"maxiter": 100})
    return found.x[:-classes].reshape(BUCKETS, classes), found.x[-classes:]


def learnt(samples: list[Sample], names: tuple[str, ...]) -> Classifier:
    """A classifier of these samples, its weights in steps as they ship."""
    labels = np.array([names.index(one.category) for one in samples])
    weights, bias = fit(features([one.text for one in samples]), labels, np.array([one.weight for one in samples]))
    scale = float(np.abs(weights).max() / 127)
    return Classifier(names, np.round(weights.T / scale).astype(np.int8), bias.astype(np.float32), scale)


def main() -> None:
    random_ = random.Random(0)
    samples = written(random_) + templates(random_)
    names = (ORDINARY, *sorted({one.category for one in samples} - {ORDINARY}))
    origins = sorted({one.origin for one in samples})
    fold = {origin: number % FOLDS for number, origin in enumerate(random_.sample(origins, len(origins)))}
    judged = []
    for number in range(FOLDS):
        made = learnt([one for one in samples if fold[one.origin] != number], names)
        unseen = (one for one in samples if fold[one.origin] == number)
        judged += [(one, made.judge([one.text], Settings().categories)[1]) for one in unseen]
    tell(judged)
    made = learnt(samples, names)
    values = {"weights": made.weights, "bias": made.bias, "scale": np.float32(made.scale)}
    np.savez_compressed(WEIGHTS, classes=np.array(names), **values)
    print(f"{WEIGHTS.stat().st_size} bytes")


def tell(judged: list[tuple[Sample, float]]) -> None:
    """Figures on sentences that were not learnt from, by how they are told, alone and with the rules."""
    book, every = rules.book(), Settings().categories
    ruled = {one.text: book.broken(one.text, every) is not None for one, _ in judged}
    kinds = sorted({(one.category == ORDINARY, one.how) for one, _ in judged})
    for bar in (0.5, 0.8, 0.9, 0.95, 0.98, 0.99):
        print(f"from {bar}:")
        for calm, how in kinds:
            some = [(one, p) for one, p in judged if (one.category == ORDINARY, one.how) == (calm, how)]
            alone, both = (np.mean([p >= bar or ok and ruled[one.text] for one, p in some]) for ok in (False, True))
            told = "ordinary" if calm else "harmful"
            print(f"  {told}, {how}: {alone:.1%}, with the rules {both:.1%} of {len(some)}")


if __name__ == "__main__":
    sys.exit(main())
