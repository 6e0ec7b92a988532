"""Colour-shape pairs that training never sees, so that a suite can ask whether words combine."""

from worldpatch.types import Truth

UNSEEN_PAIRS = frozenset({("purple", "ball"), ("yellow", "box"), ("cyan", "cylinder")})
"""(colour, shape): three of level 1's 18, each of its shapes once; every colour and shape is seen in other pairs."""


def is_held_out(truth: Truth) -> bool:
    """Whether a clip shows an unseen pair; data builders leave such clips out."""
    return any((o["colour"], o["shape"]) in UNSEEN_PAIRS for o in truth.objects)
