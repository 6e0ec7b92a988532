"""Does it help to tell prompts more fully before they are sampled? The shipped model on frozen prompts, both ways.

    python benchmarks/expansion.py [--level 1] [--prompts 48] [--steps 25] [--short] [-o result.md]

The same prompts with the same noise, as they stand and as the shipped expander tells them; the judge is that of the
suites, detectors that see pixels alone. Dense captions are told in full already and stay as they are: the figures of
those that changed are given apart. Intervals are those of a paired bootstrap over prompts.
"""

from collections.abc import Sequence

import numpy as np
import torch
from _machine import Report, parser

from worldpatch import generate
from worldpatch.evals.detect import detect
from worldpatch.evals.metrics.prompt import CRITERIA, judge
from worldpatch.evals.suites import prompts
from worldpatch.generate import expand
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Request

DRAWS = 4000


def verdicts(
    pipeline: Pipeline, texts: Sequence[str], some: Sequence[prompts.Prompt], numbers: Sequence[int], steps: int
) -> np.ndarray:
    """(prompt, criterion), 1 where it is fulfilled, of the prompts of these numbers, each with its number's noise."""
    found = np.zeros((len(numbers), len(CRITERIA)))
    for row, i in enumerate(numbers):
        request = Request(ability="text_to_video", params={"prompt": texts[i]}, steps=steps, seed=i)
        seen = judge(detect(generate.run(request, pipeline).frames[0].numpy()), some[i].truth)
        found[row] = [seen[name] for name in CRITERIA]
    return found


def gain(before: np.ndarray, after: np.ndarray) -> str:
    """Points gained by the mean, and where 95% of resampled sets of prompts lie."""
    difference = 100 * (after - before)
    rng = np.random.default_rng(0)
    drawn = [difference[rng.integers(len(difference), size=len(difference))].mean() for _ in range(DRAWS)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{difference.mean():+.1f} ({low:+.1f} to {high:+.1f})"


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--level", type=int, default=1)
    made.add_argument("--prompts", type=int, default=48)
    made.add_argument("--steps", type=int, default=25)
    arguments = made.parse_args()
    torch.set_num_threads(1)
    report = Report("Prompts told in full", arguments)
    some = prompts.load(arguments.level)[: 3 if arguments.short else arguments.prompts]
    pipeline, own = generate.load(generate.find("tabletop")), expand.Own()
    words = (pipeline.record or {}).get("words", [])
    made_of = [expand.expand(prompt.caption, own, words) for prompt in some]
    texts = [expansion.text for expansion in made_of]
    changed = np.array([text != prompt.caption for text, prompt in zip(texts, some, strict=True)])
    steps = 2 if arguments.short else arguments.steps
    before = verdicts(pipeline, [prompt.caption for prompt in some], some, range(len(some)), steps)
    after = before.copy()
    after[changed] = verdicts(pipeline, texts, some, np.flatnonzero(changed).tolist(), steps)
    report.say(f"- model and expander: tabletop, {own.name}; level {arguments.level}, {steps} steps")
    refused = sum("would say" in expansion.note for expansion in made_of)
    report.say(f"\n{len(some)} prompts, {changed.sum()} told more fully, {refused} refused by the check.")
    rows = [(name, *_row(before[:, i], after[:, i], changed)) for i, name in enumerate(CRITERIA)]
    rows.append(("**all, mean**", *_row(before.mean(1), after.mean(1), changed)))
    report.table(("criterion", "as it stands", "told in full", "gain, points", "gain where it changed"), rows)
    report.say("\nExamples:\n")
    for expansion in [e for e in made_of if e.text != e.prompt][:6]:
        report.say(f"- {expansion.prompt} -> {expansion.text}")
    report.finish()


def _row(before: np.ndarray, after: np.ndarray, changed: np.ndarray) -> tuple[str, str, str, str]:
    where = gain(before[changed], after[changed]) if changed.any() else "none"
    return f"{before.mean():.0%}", f"{after.mean():.0%}", gain(before, after), where


if __name__ == "__main__":
    main()
