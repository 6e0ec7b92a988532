"""What may be asked for and shown: a prompt or frames in, a decision with its rule and its reason out.

`Policy(settings).judge(prompt)` asks a chain of judges: readings undo evasions (readings.py), rules look for what is
named in `rules/` (rules.py), a small classifier for what they miss (classifier.py), an endpoint for the rest where one
is set (guard.py). `judge_frames` counts flashes, and asks a CLIP and the endpoint where they are set. `Audit` keeps
every decision.
"""

from worldpatch.safety.policy.audit import Audit
from worldpatch.safety.policy.chain import Policy
from worldpatch.safety.policy.decision import CATEGORIES, Decision
from worldpatch.safety.policy.settings import Settings

__all__ = ["CATEGORIES", "Audit", "Decision", "Policy", "Settings"]
