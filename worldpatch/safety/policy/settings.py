"""What of the policy is on, and whom else to ask: settings in, checked; what is turned off is named for the log."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

from worldpatch.config import UserError
from worldpatch.safety.policy.decision import CATEGORIES


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`off` are categories that are not looked for; "minors" cannot be among them while the policy is on.

    `artists` refuses the styles of living artists. `threshold` is the probability from which the classifier refuses.
    `guard_url` is the base of an endpoint that speaks OpenAI's protocol, such as http://localhost:8000/v1; `guard_kind`
    says whether it is asked as moderation or as a chat model that answers "safe" or "unsafe"; `guard_key` names the
    environment variable that holds its key, `guard_timeout` is in seconds. Where it gives no answer, nothing is
    allowed, or with `fail_open` everything. `clip` is a folder with a CLIP for frames, as `transformers` saves it, and
    `clip_threshold` the probability from which a frame is refused. Up to `frames` frames of a clip are looked at by
    CLIP and guard; flashes are looked for in all. Raises UserError.
    """

    enabled: bool = True
    rules: bool = True
    classifier: bool = True
    flashing: bool = True
    off: tuple[str, ...] = ()
    artists: bool = False
    threshold: float = 0.95
    guard_url: str = ""
    guard_kind: Literal["moderations", "chat"] = "moderations"
    guard_model: str = "omni-moderation-latest"
    guard_key: str = "OPENAI_API_KEY"
    guard_timeout: float = 10.0
    fail_open: bool = False
    clip: str = ""
    clip_threshold: float = 0.95
    frames: int = 8

    def __post_init__(self) -> None:
        optional = [category for category in CATEGORIES if category not in ("minors", "artists")]
        for category in self.off:
            if category not in optional:
                rule = (
                    "cannot be turned off while the policy is on"
                    if category == "minors"
                    else "is no category to turn off"
                )
                raise UserError(f"off: {category!r} {rule}; these can be: {', '.join(optional)}")
        if self.guard_url and not self.guard_url.startswith(("http://", "https://")):
            raise UserError(
                f"guard_url {self.guard_url!r} is no address: give its base, such as http://localhost:8000/v1"
            )
        if self.guard_kind not in ("moderations", "chat"):
            raise UserError(f"guard_kind {self.guard_kind!r} is not known: give moderations or chat")
        if not (0 < self.threshold <= 1 and 0 < self.clip_threshold <= 1):
            raise UserError(
                f"threshold {self.threshold} and clip_threshold {self.clip_threshold} must lie above 0, up to 1"
            )
        if self.guard_timeout <= 0 or self.frames < 1:
            raise UserError(f"guard_timeout {self.guard_timeout} must be positive, frames {self.frames} at least 1")

    @property
    def categories(self) -> frozenset[str]:
        """What is refused."""
        left_out = {*self.off, *(() if self.artists else ("artists",))}
        return frozenset(CATEGORIES) - left_out

    @property
    def turned_off(self) -> tuple[str, ...]:
        """What is on by default and off here: "policy" for all of it, stages and categories by name, else nothing."""
        if not self.enabled:
            return ("policy",)
        stages = [f"stage.{name}" for name in ("rules", "classifier", "flashing") if not getattr(self, name)]
        return (*stages, *(f"category.{category}" for category in self.off))

    @property
    def digest(self) -> str:
        """Twelve letters that differ where the settings do."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]
