"""Samplers: functions of a callable. `model(x, time)` returns the velocity, whatever wraps it (guidance, cache, masks);
`model(x, time, until)` the velocity that leads straight from one time to another, where a network has learned that.

Each takes the noised tokens x and a table of times, one column per token, from that token's start down to 0; so known
tokens, late starts (SDEdit) and one time per frame are columns of the table and no sampler knows of them.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Velocity = Callable[..., Tensor]
"""(x "n c", time "n") -> velocity "n c"; for jumps (x, time, until)."""
Progress = Callable[[int, Tensor], None]
"""Called after each step with the number of finished steps and the tokens; raising stops the sampler."""


def ignore(step: int, x: Tensor) -> None:
    """No progress wanted."""


def sample_euler(
    model: Velocity, x: Float[Tensor, "n c"], times: Float[Tensor, "s n"], progress: Progress = ignore
) -> Float[Tensor, "n c"]:
    """First order: x += v dt."""
    for i in range(len(times) - 1):
        x = x + (times[i + 1] - times[i])[:, None] * model(x, times[i])
        progress(i + 1, x)
    return x


def sample_heun(
    model: Velocity, x: Float[Tensor, "n c"], times: Float[Tensor, "s n"], progress: Progress = ignore
) -> Float[Tensor, "n c"]:
    """Second order, two calls a step but the last (Karras et al. 2022, Algorithm 1, in velocity form)."""
    for i in range(len(times) - 1):
        dt = (times[i + 1] - times[i])[:, None]
        v = model(x, times[i])
        ahead = x + dt * v
        last = i == len(times) - 2
        x = ahead if last else x + dt * (v + model(ahead, times[i + 1])) / 2
        progress(i + 1, x)
    return x


def sample_dpmpp_2m(
    model: Velocity, x: Float[Tensor, "n c"], times: Float[Tensor, "s n"], progress: Progress = ignore
) -> Float[Tensor, "n c"]:
    """DPM-Solver++(2M) (Lu et al. 2022, Algorithm 2): second order, one call a step, on the predicted clean tokens.

    With alpha = 1 - t and sigma = t: x' = (sigma'/sigma) x + (alpha' - alpha sigma'/sigma) D, where D extrapolates the
    clean prediction over lambda = log(alpha / sigma). At lambda = +-infinity (the ends) that is plain first order.
    """
    before: tuple[Tensor, Tensor] | None = None  # the last clean prediction and the last step in lambda
    for i in range(len(times) - 1):
        t, s = times[i][:, None], times[i + 1][:, None]
        clean = x - t * model(x, times[i])
        step = _log_snr(s) - _log_snr(t)
        guess = clean
        if before is not None:
            ratio = step / (2 * before[1])
            guess = clean + torch.where(ratio.isfinite(), ratio, torch.zeros_like(ratio)) * (clean - before[0])
        keep = torch.where(t > 0, s / t, torch.ones_like(t))
        x = keep * x + ((1 - s) - (1 - t) * keep) * guess
        before = (clean, step)
        progress(i + 1, x)
    return x


def sample_jump(
    model: Velocity, x: Float[Tensor, "n c"], times: Float[Tensor, "s n"], progress: Progress = ignore
) -> Float[Tensor, "n c"]:
    """From each time to the next along the chord between them: for networks that have learned chords, guidance in them
    (train/stages/distil.py)."""
    for i in range(len(times) - 1):
        x = x + (times[i + 1] - times[i])[:, None] * model(x, times[i], times[i + 1])
        progress(i + 1, x)
    return x


def _log_snr(t: Tensor) -> Tensor:
    return torch.log1p(-t) - torch.log(t)


SAMPLERS = {"euler": sample_euler, "heun": sample_heun, "dpmpp_2m": sample_dpmpp_2m, "jump": sample_jump}
