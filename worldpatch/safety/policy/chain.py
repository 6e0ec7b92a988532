"""The chain of judges: a prompt or frames in, one decision out, by the first judge that refuses.

Prompts go to the rules, the classifier and the guard; frames to the counter of flashes, a CLIP and the guard. Without
a CLIP or a guard nothing tells what frames show: then only flashes are found in them.
"""

from functools import cached_property

import numpy as np
from jaxtyping import UInt8

from worldpatch.safety.policy import classifier
from worldpatch.safety.policy.decision import Decision
from worldpatch.safety.policy.flashing import flashes
from worldpatch.safety.policy.guard import Guard
from worldpatch.safety.policy.readings import readings
from worldpatch.safety.policy.rules import book
from worldpatch.safety.policy.settings import Settings

FLASHING = "The clip flashes more than three times a second, which can cause seizures."
NEAR_MINORS = 0.7  # the probability of "sexual" from which the classifier refuses what speaks of somebody under age
SHOWN = "The clip shows what this service does not make: {}."


class Policy:
    """What a service refuses, by its settings. Any number of threads may ask. Raises UserError where a library is
    missing."""

    def __init__(self, settings: Settings | None = None):
        self.settings = settings or Settings()
        self._guard = Guard(self.settings) if self.settings.enabled and self.settings.guard_url else None
        if self.settings.enabled and self.settings.clip:
            self._eyes.shares(np.zeros((1, 32, 32, 3), np.uint8))  # what is wrong with the weights shows now

    def judge(self, prompt: str) -> Decision:
        """May this be made? `prompt` is any text a client sends."""
        settings = self.settings
        if not settings.enabled:
            return Decision(allowed=True, stage="off", rule="policy.off")
        texts = readings(prompt, book().vocabulary) if settings.rules or settings.classifier else []
        if settings.rules:
            for text in texts:
                if rule := book().broken(text, settings.categories):
                    reason = book().reasons[rule.category]
                    return Decision(
                        allowed=False, stage="rules", category=rule.category, rule=rule.title, reason=reason
                    )
        if settings.classifier and (category := self._classified(texts)):
            rule, reason = f"classifier.{category}", book().reasons[category]
            return Decision(allowed=False, stage="classifier", category=category, rule=rule, reason=reason)
        return self._guard.prompt(prompt) if self._guard else Decision(allowed=True, stage="all")

    def _classified(self, texts: list[str]) -> str:
        """The category that the classifier finds in the readings of a prompt; empty for none."""
        made, settings = classifier.shipped(), self.settings
        if any(book().speaks_of(text, "minor") for text in texts):
            _, likely = made.judge(texts, frozenset({"sexual"}))
            if likely >= min(NEAR_MINORS, settings.threshold):
                return "minors"
        category, likely = made.judge(texts, settings.categories)
        return category if likely >= settings.threshold else ""

    def judge_frames(self, frames: UInt8[np.ndarray, "t h w 3"], rate: float) -> Decision:
        """May this be shown? `rate` is frames per second."""
        settings = self.settings
        if not settings.enabled:
            return Decision(allowed=True, stage="off", rule="policy.off")
        if settings.flashing and (kind := flashes(frames, rate)):
            rule = f"flashing.{kind}"
            return Decision(allowed=False, stage="frames", category="flashing", rule=rule, reason=FLASHING)
        picked = frames[np.unique(np.linspace(0, len(frames) - 1, settings.frames).round().astype(int))]
        if settings.clip:
            shares = {name: p for name, p in self._eyes.shares(picked).items() if name in settings.categories}
            category = max(shares, key=lambda name: shares[name])
            if shares[category] >= settings.clip_threshold:
                told, rule = SHOWN.format(category.replace("_", " ")), f"clip.{category}"
                return Decision(allowed=False, stage="frames", category=category, rule=rule, reason=told)
        return self._guard.pictures(picked) if self._guard else Decision(allowed=True, stage="all")

    @cached_property
    def _eyes(self):
        from worldpatch.safety.policy.seen import Eyes  # brings torch and transformers

        return Eyes(self.settings.clip)
