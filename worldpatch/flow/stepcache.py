"""Steps that cost nothing: where the velocity changes evenly it is forecast from the last two that were computed.

Forecasting instead of reusing features is TaylorSeer's idea (Liu et al. 2025, arXiv 2503.06923); here it is the
velocity itself, and the forecast's own error, seen whenever one is computed after all, says when the next is needed.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from worldpatch.flow.samplers import Memory, Velocity

LONGEST = 3  # steps in a row that are forecast


class StepCache:
    """Wraps a velocity for one sampling. `tolerance` is the relative error that a forecast may be expected to have.

    A straight line through two values errs as (t - t1)(t - t0) times a half of the curvature: the curvature is what the
    last computed velocity showed it to be. `computed` and `forecast` count the steps.
    """

    def __init__(self, model: Velocity, tolerance: float, memory: Memory | None = None):
        """`memory` is what another one, that is gone, has left."""
        self.model, self.tolerance = model, tolerance
        self.past: list[tuple[float, Tensor]] = []  # the mean time and the velocity of those computed last
        self.curvature = torch.inf
        self.computed = self.forecast = self.row = 0
        if memory and "forecast" in memory:
            self.past = list(zip(memory["past_times"].tolist(), memory["past_velocities"], strict=True))
            self.curvature = float(memory["curvature"])
            self.computed, self.forecast, self.row = memory["forecast"].tolist()

    @property
    def memory(self) -> Memory:
        times, velocities = zip(*self.past, strict=True)
        return {
            "past_times": torch.tensor(times, dtype=torch.float64), "past_velocities": torch.stack(velocities),
            "curvature": torch.tensor(self.curvature, dtype=torch.float64),
            "forecast": torch.tensor([self.computed, self.forecast, self.row]),
        }  # fmt: skip

    def __call__(self, x: Float[Tensor, "n c"], time: Float[Tensor, " n"]) -> Float[Tensor, "n c"]:
        now = float(time.mean())
        guess, spread = self._line(now)
        if guess is not None and self.row < LONGEST and self.curvature * spread <= self.tolerance:
            self.row, self.forecast = self.row + 1, self.forecast + 1
            return guess
        velocity = self.model(x, time)
        if guess is not None:
            self.curvature = float((velocity - guess).norm() / velocity.norm()) / max(spread, 1e-12)
        self.past = [*self.past[-1:], (now, velocity)]
        self.row, self.computed = 0, self.computed + 1
        return velocity

    def _line(self, now: float) -> tuple[Tensor | None, float]:
        """The forecast for a time, and how far it is from what it was drawn through."""
        if len(self.past) < 2 or self.past[0][0] == self.past[1][0]:
            return None, 0.0
        (then, early), (last, late) = self.past
        share = (now - last) / (last - then)
        return late + share * (late - early), abs((now - last) * (now - then))
