"""Flow matching: the mean squared error of the velocity (Lipman et al. 2022), whole and per bin of noise time."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldpatch.flow.noise import noised
from worldpatch.flow.pack import distinct
from worldpatch.types import Cond, Packed


def predict(
    network: Callable, packed: Packed, noise: Float[Tensor, "n c"], text: Cond
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c"]]:
    """(velocity that the network predicts, true velocity) of clean content noised to its own times, all on one device.

    `text` holds the text of all samples; the hints are those of the packed sequence.
    """
    x, target = noised(packed.tokens, noise, packed.time)
    times, index, _ = distinct(packed.time)
    cond = replace(text, hints=packed.hints)
    return network(x, packed.position, times, index, packed.segments, cond), target


def flow_matching_loss(
    velocity: Float[Tensor, "n c"], target: Float[Tensor, "n c"], noisy: Bool[Tensor, " n"]
) -> Float[Tensor, ""]:
    """Mean over the noisy tokens; context tokens are given, not predicted."""
    return (velocity[noisy].float() - target[noisy].float()).square().mean()


def loss_per_bin(
    velocity: Float[Tensor, "n c"],
    target: Float[Tensor, "n c"],
    noisy: Bool[Tensor, " n"],
    time: Float[Tensor, " n"],
    bins: int = 10,
) -> tuple[Float[Tensor, " bins"], Float[Tensor, " bins"]]:
    """(sum of per-token errors, number of tokens) per equal bin of noise time, to be added over batches."""
    error = (velocity[noisy].float() - target[noisy].float()).square().mean(-1)
    index = (time[noisy] * bins).long().clamp(max=bins - 1)
    zero = error.new_zeros(bins)
    return zero.index_add(0, index, error), zero.index_add(0, index, torch.ones_like(error))
