"""How much of the machine a training step uses: text encoder and transformer, forward and backward.

    python benchmarks/train_step.py [--short] [--depth 6] [-o result.md]

Bar: at least 45% of the fp32 matrix product measured in the same run, at 64 px and at 128 px, on the training mix. Only
the transformer's operations are counted (`Model.flops`, times three), while all of the step's time is. bfloat16 under
autocast stands beside the bfloat16 product, for information. The last table compares attention as two plain products,
which training on a CPU takes (`dit/_attention.py`), with the fused kernel.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from unittest import mock

import torch
from _machine import GEMM, GIGA, Report, Work, gemm, parameters, parser, race
from torch import Generator, nn
from torch.nn import functional as F

from worldpatch.dit import _attention, packed
from worldpatch.flow.loss import flow_matching_loss
from worldpatch.flow.noise import noised, training_plan
from worldpatch.flow.pack import pack
from worldpatch.text import bytepair
from worldpatch.types import Cond, Packed, Plan
from worldpatch.vae import causal

BAR = 0.45
CAPTIONS = (
    "a red ball falls onto the table",
    "a blue box slides to the left and hits a green cylinder, while the camera orbits to the right",
    "two yellow cylinders stand still; a purple ball rolls in from the right and stops",
)
SPEC = causal.Model(causal.Config()).spec
GRIDS = {"64 px": (7, 8, 8), "128 px": (7, 16, 16)}  # latents of clips of 25 frames


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A packed batch of the training mix, with its noise and captions."""

    clean: Packed
    noise: torch.Tensor
    captions: list[str]


def make_batch(count: int, grid: tuple[int, int, int], patch: tuple[int, int, int]) -> Batch:
    """`count` clips of a latent grid (t, h, w), noised as in training."""
    generator = Generator().manual_seed(0)
    captions = [CAPTIONS[i % len(CAPTIONS)] for i in range(count)]
    tokens = grid[0] * grid[1] * grid[2] // (patch[0] * patch[1] * patch[2])
    plans = [
        training_plan(
            Plan(
                start=torch.ones(grid),
                known=torch.randn(SPEC.channels, *grid, generator=generator),
                rate=8.0,
                prompt=caption,
            ),
            generator,
            tokens=tokens,
        )
        for caption in captions
    ]
    clean = pack(plans, patch, SPEC)
    return Batch(clean=clean, noise=torch.randn(clean.tokens.shape, generator=generator), captions=captions)


class Network(nn.Module):
    """What is trained together."""

    def __init__(self, depth: int, backend: str = "auto"):
        super().__init__()
        tokenizer = bytepair.train_tokenizer(CAPTIONS, 1024)
        config = bytepair.Config(vocabulary=tokenizer.get_vocab_size())
        self.text = bytepair.Encoder(config, tokenizer)
        self.dit = packed.Model(packed.Config(depth=depth, text_width=config.width, backend=backend))

    def step(self, batch: Batch, autocast: bool = False) -> None:
        """Forward and backward; gradients are dropped, as an optimiser would."""
        with torch.autocast(batch.noise.device.type, torch.bfloat16, enabled=autocast):
            text, lengths = self.text.encode(batch.captions)
            clean = batch.clean
            cond = Cond(text=text, text_lengths=lengths, hints=clean.hints)
            x, target = noised(clean.tokens, batch.noise, clean.time)
            times, index = torch.unique(clean.time, return_inverse=True)
            velocity = self.dit(x, clean.position, times, index, clean.segments, cond)
            loss = flow_matching_loss(velocity, target, clean.noisy)
        loss.backward()
        self.zero_grad(set_to_none=True)

    def flops(self, batch: Batch) -> float:
        _, lengths = self.text.encode(batch.captions)
        times = len(torch.unique(batch.clean.time))
        return float(self.dit.flops(batch.clean.segments, lengths, times=times, training=True))


def attending(kernel: Callable) -> Callable[[], AbstractContextManager]:
    """Training as it would be with a certain kernel."""
    return lambda: mock.patch.object(_attention, "_kernel", lambda _: kernel)


fused, products = attending(F.scaled_dot_product_attention), attending(_attention._products)


def attention(kernel: Callable, samples: int, heads: int, queries: int, keys: int) -> Callable[[], None]:
    """Forward and backward of one layer's attention problem."""
    q = torch.randn(samples, heads, queries, 64, requires_grad=True)
    k, v = (torch.randn(samples, heads, keys, 64, requires_grad=True) for _ in range(2))
    upstream = torch.randn(samples, heads, queries, 64)
    return lambda: torch.autograd.grad(kernel(q, k, v, None), (q, k, v), upstream)  # type: ignore[return-value]


def steps(report: Report, network: Network, batches: dict[str, Batch], seconds: float) -> None:
    """Each batch in fp32 and bf16, with the kernel taken there and the other one, against both matrix products."""
    bf16_gemm = f"{GEMM}, bf16"
    rows, shares = [], {}
    for size, batch in batches.items():
        flops = network.flops(batch)

        def plain(autocast: bool = False, around: Callable = nullcontext, batch: Batch = batch) -> None:
            with around():
                network.step(batch, autocast)

        works = {
            GEMM: gemm(), "step, fp32": Work(plain, flops),
            "step, fp32, plain products": Work(lambda run=plain: run(around=products), flops),
            bf16_gemm: gemm(torch.bfloat16), "step, bf16 autocast": Work(lambda run=plain: run(autocast=True), flops),
            "step, bf16 autocast, fused attention": Work(lambda run=plain: run(autocast=True, around=fused), flops),
        }  # fmt: skip
        took = race(works, seconds, settle=True)
        rates = {name: works[name].flops / took[name] / GIGA for name in works}
        tokens = f"{size}, {len(batch.captions)} clips, {len(batch.clean.tokens)} tokens"
        for name in works:
            share = rates[name] / rates[bf16_gemm if "bf16" in name else GEMM]
            rows.append((tokens, name, f"{1e3 * took[name]:.0f}", f"{rates[name]:.1f}", f"{share:.0%}"))
        shares[size] = rates["step, fp32"] / rates[GEMM]
    report.table(("batch", "what", "ms", "GFLOP/s", "of the product in its precision"), rows)
    report.bars([(f"training step, {size}, fp32", f">= {BAR:.0%}", f"{s:.0%}", s >= BAR) for size, s in shares.items()])


def kernels(report: Report, problems: list[tuple[int, int, int, int]], seconds: float) -> None:
    """Attention alone, forward and backward."""
    rows = []
    for problem in problems:
        both = {"plain": _attention._products, "fused": F.scaled_dot_product_attention}
        took = race({name: Work(attention(kernel, *problem)) for name, kernel in both.items()}, seconds)
        plain, other = 1e3 * took["plain"], 1e3 * took["fused"]
        rows.append((*problem, f"{plain:.2f}", f"{other:.2f}", f"{other / plain:.2f}x"))
    report.say("\nAttention alone, forward and backward, heads of 64:")
    report.table(("samples", "heads", "queries", "keys", "plain products, ms", "fused, ms", "gain"), rows)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--depth", type=int, default=6, help="of the transformer; 6 is the shipped size")
    arguments = made.parse_args()
    torch.manual_seed(0)
    depth, seconds = (2, 0.0) if arguments.short else (arguments.depth, 20.0)
    network = Network(depth)
    counts = (2, 1) if arguments.short else (48, 12)
    patch = network.dit.config.patch
    batches = {name: make_batch(n, GRIDS[name], patch) for name, n in zip(GRIDS, counts, strict=True)}
    count = parameters(network.dit) / 1e6
    report = Report("Training step", arguments)
    report.say(f"\nTransformer of depth {depth}, {count:.1f}M parameters; clips of 25 frames; medians.")
    steps(report, network, batches, seconds)
    heads = network.dit.config.width // network.dit.config.head_width
    problems = [(counts[0], heads, 112, 112 + 40), (counts[1], heads, 448, 448 + 40), (1, heads, 1872, 1872 + 40)]
    kernels(report, problems[:2] if arguments.short else problems, seconds / 5)
    report.finish()


if __name__ == "__main__":
    main()
