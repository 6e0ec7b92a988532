"""Samplers: steps of a callable. `model(x, time)` returns the velocity, whatever wraps it (guidance, cache, masks);
`model(x, time, until)` the velocity that leads straight from one time to another, where a network has learned that.

Each step takes the tokens x from one row of a table of times to the next. The table has a column per token, from that
token's start down to 0; so known tokens, late starts (SDEdit) and one time per frame are columns of the table and no
sampler knows of them. Between two steps everything stands in a `State`, which can be kept and gone on from.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

Velocity = Callable[..., Tensor]
"""(x "n c", time "n") -> velocity "n c"; for jumps (x, time, until)."""
Memory = dict[str, Tensor]
"""What a sampler, or what wraps its model, remembers of the steps before."""
Step = Callable[[Velocity, Tensor, Tensor, Tensor, Memory], tuple[Tensor, Memory]]
"""(model, x "n c", time "n", next time "n", memory) -> x at the next time, and the memory then."""


@dataclass(frozen=True)
class State:
    """The tokens "n c" after `done` steps, and what is remembered. `clean` is where they are heading: the last step's
    chord gone on with to time 0; `latents` are those of each plan then. Both are to be looked at, not to be gone on
    from."""

    x: Tensor
    done: int = 0
    memory: Memory = field(default_factory=dict)
    clean: Tensor | None = None
    latents: Callable[[], list[Tensor]] | None = None


def sample(step: Step, model: Velocity, begin: State, times: Float[Tensor, "s n"]) -> Iterator[State]:
    """The state after each step that is left. Whoever stops asking stops the work; in one go or in several, the last
    state is the same to the bit."""
    state = begin
    for i in range(begin.done, len(times) - 1):
        with torch.no_grad():  # not around the loop: it would hold for whoever asks, too
            x, memory = step(model, state.x, times[i], times[i + 1], state.memory)
            clean = _gone_on(state.x, x, times[i], times[i + 1])
        state = State(x, i + 1, memory, clean)
        yield state


def _gone_on(before: Tensor, after: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """From two states of a straight line, the one at time 0; a token that stands still is there."""
    ahead = torch.where(t > s, s / (t - s), torch.zeros_like(s))
    return after + ahead[:, None] * (after - before)


def euler(model: Velocity, x: Tensor, t: Tensor, s: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    """First order: x += v dt."""
    return x + (s - t)[:, None] * model(x, t), memory


def heun(model: Velocity, x: Tensor, t: Tensor, s: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    """Second order, two calls a step but the last (Karras et al. 2022, Algorithm 1, in velocity form)."""
    dt = (s - t)[:, None]
    v = model(x, t)
    ahead = x + dt * v
    return (x + dt * (v + model(ahead, s)) / 2 if s.any() else ahead), memory


def dpmpp_2m(model: Velocity, x: Tensor, t: Tensor, s: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    """DPM-Solver++(2M) (Lu et al. 2022, Algorithm 2): second order, one call a step, on the predicted clean tokens.

    With alpha = 1 - t and sigma = t: x' = (sigma'/sigma) x + (alpha' - alpha sigma'/sigma) D, where D extrapolates the
    clean prediction over lambda = log(alpha / sigma). At lambda = +-infinity (the ends) that is plain first order.
    Remembered are the last clean prediction and the last step in lambda.
    """
    t, s = t[:, None], s[:, None]
    clean = x - t * model(x, t[:, 0])
    step = _log_snr(s) - _log_snr(t)
    guess = clean
    if "clean" in memory:
        ratio = step / (2 * memory["step"])
        guess = clean + torch.where(ratio.isfinite(), ratio, torch.zeros_like(ratio)) * (clean - memory["clean"])
    keep = torch.where(t > 0, s / t, torch.ones_like(t))
    return keep * x + ((1 - s) - (1 - t) * keep) * guess, {"clean": clean, "step": step}


def jump(model: Velocity, x: Tensor, t: Tensor, s: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    """Along the chord from each time to the next: for networks that have learned chords, guidance in them
    (train/stages/distil.py)."""
    return x + (s - t)[:, None] * model(x, t, s), memory


def _log_snr(t: Tensor) -> Tensor:
    return torch.log1p(-t) - torch.log(t)


SAMPLERS: dict[str, Step] = {"euler": euler, "heun": heun, "dpmpp_2m": dpmpp_2m, "jump": jump}
