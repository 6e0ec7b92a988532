"""Small layers that every backbone shares."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class SwiGLU(nn.Module):
    """Gated feed-forward (Shazeer 2020): W_out(silu(W_gate x) * W_up x), hidden width 8/3 of the model's."""

    def __init__(self, width: int):
        super().__init__()
        hidden = -(-width * 8 // 3 // 32) * 32
        self.into = nn.Linear(width, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        gate, up = self.into(x).chunk(2, dim=-1)
        return self.out(F.silu(gate) * up)


class TimeEmbedding(nn.Module):
    """Noise times in [0, 1] -> vectors: sinusoids (DiT, Peebles & Xie 2022) through a two-layer perceptron."""

    def __init__(self, width: int, bands: int = 64):
        super().__init__()
        # 1 to 1000 radians over the unit interval: fine enough for 1000 distinct times, smooth enough to interpolate.
        self.register_buffer("frequency", torch.logspace(0, 3, bands), persistent=False)
        self.frequency: Tensor
        self.mlp = nn.Sequential(nn.Linear(2 * bands, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Float[Tensor, " u"]) -> Float[Tensor, "u d"]:
        angle = time.float()[:, None] * self.frequency
        return self.mlp(torch.cat((angle.cos(), angle.sin()), dim=-1))


def norm(x: Float[Tensor, "*n e"], scale: Float[Tensor, " e"] | None = None) -> Float[Tensor, "*n e"]:
    """Layer normalisation (Ba et al. 2016) without a bias; where no `scale` is given, the modulation scales.

    Not the root mean square alone: on a CPU that one has no kernel of its own and takes several times as long.
    """
    return F.layer_norm(x, x.shape[-1:], None if scale is None else scale.to(x.dtype), eps=1e-6)


def init_linear(module: nn.Module) -> None:
    """Normal weights with fan-in variance and zero bias, so that activations keep their size at every width."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=1 / math.sqrt(module.in_features))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
