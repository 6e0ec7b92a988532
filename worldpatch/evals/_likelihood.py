"""How surprised a model is by a finished clip: the loss it was trained by, on the clip's latents with noise added.

The loss bounds the negative log-likelihood from above, as in LikePhys (Yuan et al. 2025). Its level depends on what
there is to see, so it compares clips of one kind, such as the variants of one prompt, at common times and noises.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldpatch.flow.loss import predict
from worldpatch.flow.pack import Patch, pack
from worldpatch.flow.plan import draw_noise, to_device
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Cond, LatentSpec, Plan

TIMES = (0.3, 0.6, 0.8, 0.9)
NOISES = 1


@torch.no_grad()
def losses(
    network: Any, plans: Sequence[Plan], seeds: Sequence[tuple[int, int]], *, spec: LatentSpec, patch: Patch,
    device: str = "cpu",
) -> Float[Tensor, " n"]:  # fmt: skip
    """Each plan's flow-matching loss: its known latents noised to its start times, in one packed pass.

    Plans with the same seed get the same noise. `network` has `text.encode` and `dit`, as a Pipeline's has.
    """
    packed = pack(plans, patch, spec)
    noise = draw_noise(plans, packed, seeds).to(device)
    packed = to_device(packed, device)
    text, lengths = network.text.encode([plan.prompt for plan in plans])
    velocity, target = predict(network.dit, packed, noise, Cond(text=text, text_lengths=lengths))
    error = (velocity.float() - target).square().mean(-1).cpu()
    noisy = [s for s in packed.segments if s.rule == "noisy"]  # one per plan
    return torch.stack([error[s.start : s.stop].mean() for s in noisy])


def surprise(
    pipeline: Pipeline, latents: Sequence[Float[Tensor, "c t h w"]], plan: Plan, times: Sequence[float] = TIMES
) -> Float[Tensor, " n"]:
    """Mean loss of clips that were made by the same plan, over `times` and NOISES noises that all of them share.

    `plan` gives rate, kind and prompt; with an empty prompt the clip is judged alone, whatever it was to show.
    """
    plans, seeds = [], []
    for latent in latents:
        for time in times:
            for noise in range(NOISES):
                start = torch.full(latent.shape[1:], time)
                plans.append(Plan(start=start, rate=plan.rate, kind=plan.kind, prompt=plan.prompt, known=latent.cpu()))
                seeds.append((noise, 0))
    found = losses(pipeline.network, plans, seeds, spec=pipeline.spec, patch=pipeline.patch, device=pipeline.device)
    return found.unflatten(0, (len(latents), -1)).mean(1)
