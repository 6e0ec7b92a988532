"""What the policy has to say: the categories it knows, and a decision with its rule and its reason."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

CATEGORIES = ("minors", "sexual", "gore", "hate", "self_harm", "real_people", "deception", "crime", "artists")
"""Most serious first: where several rules are broken, the first one is told."""
Stage = Literal["off", "rules", "classifier", "guard", "frames", "all"]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether something may be made or shown. It never holds the prompt.

    `category` is one of CATEGORIES, one of a guard's own, "flashing", "unanswered" (a guard that gave no answer) or
    empty; `rule` names what decided, `reason` is what a client is told, `stage` the part of the chain that spoke last
    ("all": everything that is on, "off": nobody was asked).
    """

    allowed: bool
    stage: Stage
    category: str = ""
    rule: str = ""
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For logs and for answers: always the same keys."""
        return asdict(self)
