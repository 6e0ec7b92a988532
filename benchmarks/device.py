"""How much of one GPU a training step uses, and which attention is faster there.

    python benchmarks/device.py [--short] [--depth 6] [-o result.md]

The batch of `recipes/gpu.py` (128 clips of 128 px, 25 frames) under bfloat16 autocast, against the bfloat16 matrix
product of the same device in the same run; "flex" and "sdpa" attention must agree. Waits in docs/gpu-queue.md; the
short form runs on a CPU too, with "sdpa" alone ("flex" has no backward there).
"""

import dataclasses
from collections.abc import Callable

import torch
from _machine import GEMM, GIGA, Report, Work, gemm, parser, race
from train_step import GRIDS, Network, make_batch

from worldpatch.flow.plan import to_device

AGREE = 0.02  # of the gradients' norm, in bfloat16


def finished(call: Callable[[], object], device: str) -> Callable[[], None]:
    """A call that returns when the device has done its work."""

    def whole() -> None:
        call()
        if device == "cuda":
            torch.cuda.synchronize()

    return whole


def gradient_norm(network: Network, step: Callable[[], object]) -> float:
    """Norm of all gradients of one step."""
    squares: list[torch.Tensor] = []
    hooks = [p.register_hook(lambda g: squares.append(g.detach().float().square().sum())) for p in network.parameters()]
    step()
    for hook in hooks:
        hook.remove()
    return float(torch.stack(squares).sum().sqrt())


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--depth", type=int, default=6)
    arguments = made.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not arguments.short:
        made.error("no CUDA device here: run this on a GPU host, or try the script with --short")
    depth, clips, size, seconds = (2, 2, 512, 0.0) if arguments.short else (arguments.depth, 128, 8192, 30.0)
    networks: dict[str, Network] = {}
    for backend in ("flex", "sdpa") if device == "cuda" else ("sdpa",):
        torch.manual_seed(0)
        networks[backend] = Network(depth, backend).to(device)
    patch = next(iter(networks.values())).dit.config.patch
    batch = make_batch(clips, GRIDS["128 px"], patch)
    work = next(iter(networks.values())).flops(batch)
    batch = dataclasses.replace(batch, clean=to_device(batch.clean, device), noise=batch.noise.to(device))
    product = gemm(torch.bfloat16, size, device=device)
    works = {GEMM: Work(finished(product.call, device), product.flops)}
    norms = {}
    for backend, network in networks.items():

        def step(network: Network = network) -> None:
            network.step(batch, autocast=True)

        norms[backend] = gradient_norm(network, step)
        works[f"training step, {backend}"] = Work(finished(step, device), work)
    took = race(works, seconds)
    rates = {name: works[name].flops / took[name] / GIGA for name in works}
    report = Report("One GPU", arguments)
    report.say(f"- device: {torch.cuda.get_device_name() if device == 'cuda' else 'none, the CPU stands in'}")
    report.say(f"\nDepth {depth}, {clips} clips of 128 px, {len(batch.clean.tokens)} tokens; medians.")
    report.table(
        ("what", "ms", "TFLOP/s", "of the product"),
        [(n, f"{1e3 * took[n]:.1f}", f"{rates[n] / 1e3:.2f}", f"{rates[n] / rates[GEMM]:.0%}") for n in works],
    )
    low, high = min(norms.values()), max(norms.values())
    report.bars([("gradients of both backends agree", f"within {AGREE:.0%}", f"{high / low - 1:.2%}",
                  high / low - 1 <= AGREE)])  # fmt: skip
    report.finish()


if __name__ == "__main__":
    main()
