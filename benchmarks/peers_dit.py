"""Our transformer against diffusers' `LatteTransformer3DModel` and `WanTransformer3DModel`, at equal size, in one run.

    pip install 'diffusers>=0.42,<0.43' transformers
    python benchmarks/peers_dit.py [--short] [--depth 6] [--samples 200] [-o result.md]

Parameters are equal to 5%, latent tokens, text tokens and dtype (fp32) the same. Bars: at least as fast per step on
uniform clips; at least twice the samples per second, in training, on a mixed set: sides drawn from 64 to 192 px, aspect
1:2 to 2:1, 1 to 49 frames. There ours packs samples in the order in which they come; the peers bucket by length, take a
bucket's samples in the order in which they come, and pad sides to the largest of the batch, which is filled to the same
number of tokens. Two kinder ways stand beside for information: sorted, where the samples of a bucket are so ordered (in
whichever of three ways) that least is padded, which makes batches of like samples; and each sample alone, unpadded.
"""

import random
from collections.abc import Callable, Sequence

import torch
from _machine import GEMM, GIGA, Report, Work, flops, gemm, interleave, parameters, parser, race
from _peers import PATCH, Contestant, Ours, Sample, draw, latte, wan

UNIFORM = {"64 px": ((7, 8, 8), 16), "128 px": ((7, 16, 16), 4)}  # latent grid and clips; 25 frames
TOKENS = 4096  # of a batch of the mixed set
BAR_UNIFORM, BAR_MIXED = 1.0, 2.0

ORDERS: tuple[Callable[[Sample], tuple], ...] = (  # of the samples of one length
    lambda s: (s.grid[1] * s.grid[2], s.grid),
    lambda s: s.grid,
    lambda s: (max(s.grid[1:]), s.grid),
)


# -------------------------------------------------------------------------------------------------------- uniform clips


def uniform(report: Report, contestants: Sequence[Contestant], short: bool) -> list[float]:
    """Seconds per step of equal clips; returns how much faster ours is than each peer, in each setting."""
    rows, gains = [], []
    for size, (grid, count) in UNIFORM.items():
        samples = draw([grid] * (2 if short else count))
        for kind in ("inference", "training"):
            calls = {c.name: getattr(c, kind)(samples) for c in contestants}
            ours = contestants[0]
            if kind == "inference" and isinstance(ours, Ours):
                calls[f"{ours.name}, no cache"] = ours.inference(samples, cache=False)
            with torch.set_grad_enabled(kind == "training"):
                works = {GEMM: gemm()} | {name: Work(call, flops(call)) for name, call in calls.items()}
                took = race(works, 0.0 if short else 15.0, 1 if short else 5)
            rates = {name: work.flops / took[name] for name, work in works.items()}
            for name in calls:
                gain = took[name] / took[ours.name]
                figures = (f"{1e3 * took[name]:.0f}", f"{works[name].flops / GIGA:.1f}", f"{rates[name] / GIGA:.1f}")
                share = f"{rates[name] / rates[GEMM]:.0%}"
                rows.append((f"{size}, {len(samples)} clips", kind, name, *figures, share, f"{gain:.2f}"))
            gains += [took[c.name] / took[ours.name] for c in contestants[1:]]
    report.say("\n## Uniform clips\n\nOne step of a batch of clips of 25 frames; medians, all in turn.")
    header = ("batch", "step", "network", "ms", "GFLOP", "GFLOP/s", "of the product", "time, ours = 1")
    report.table(header, rows)
    return gains


# ------------------------------------------------------------------------------------------------------------ mixed set


def mixed_grids(count: int, seed: int, largest: int = 192, frames: int = 49) -> list[tuple[int, int, int]]:
    """Latent grids of clips with sides from 64 px on, aspect 1:2 to 2:1, and 1 frame on, drawn evenly."""
    rng, grids = random.Random(seed), []
    sides = range(64, largest + 1, 8 * PATCH)
    while len(grids) < count:
        h, w = rng.choice(sides), rng.choice(sides)
        if max(h, w) <= 2 * min(h, w):
            grids.append((1 + rng.randrange(1 + (frames - 1) // 4), h // 8, w // 8))
    return grids


def packed_batches(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Batches filled in the order of the samples, up to the number of tokens."""
    batches: list[list[Sample]] = [[]]
    for s in samples:
        if batches[-1] and sum(x.tokens for x in batches[-1]) + s.tokens > TOKENS:
            batches.append([])
        batches[-1].append(s)
    return batches


def padded(batch: Sequence[Sample]) -> int:
    """Tokens of a batch padded to its largest length and sides."""
    t, h, w = (max(sides) for sides in zip(*(s.grid for s in batch), strict=True))
    return len(batch) * t * (h // PATCH) * (w // PATCH)


def bucketed_batches(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Buckets by length, each cut into batches of up to the number of tokens, in the order of the samples."""
    return [batch for bucket in _buckets(samples) for batch in _cut(bucket)]


def sorted_batches(samples: Sequence[Sample]) -> list[list[Sample]]:
    """The same, each bucket in the order that pads least."""
    batches = []
    for bucket in _buckets(samples):
        batches += min((_cut(sorted(bucket, key=order)) for order in ORDERS), key=lambda cut: sum(map(padded, cut)))
    return batches


def _buckets(samples: Sequence[Sample]) -> list[list[Sample]]:
    return [[s for s in samples if s.grid[0] == length] for length in sorted({s.grid[0] for s in samples})]


def _cut(samples: Sequence[Sample]) -> list[list[Sample]]:
    batches: list[list[Sample]] = [[]]
    for s in samples:
        if batches[-1] and padded([*batches[-1], s]) > TOKENS:
            batches.append([])
        batches[-1].append(s)
    return batches


def mixed(report: Report, contestants: Sequence[Contestant], samples: Sequence[Sample]) -> list[float]:
    """Samples per second; returns how much faster ours trains than each peer that buckets and pads."""
    ours, peers = contestants[0], contestants[1:]
    cuts = {"bucketed": bucketed_batches(samples), "sorted": sorted_batches(samples), "alone": [[s] for s in samples]}
    ways = {ours.name: (ours, packed_batches(samples), "packed")}
    ways |= {f"{c.name}, {way}": (c, batches, way) for way, batches in cuts.items() for c in peers}
    real, rows, gains = sum(s.tokens for s in samples), [], []
    for kind in ("training", "inference"):
        with torch.set_grad_enabled(kind == "training"):
            jobs = {name: [getattr(c, kind)(batch) for batch in batches] for name, (c, batches, _) in ways.items()}
            for calls in jobs.values():
                calls[0]()  # the first call allocates
            took = interleave(jobs)
        for name, seconds in took.items():
            (_, batches, way), gain = ways[name], seconds / took[ours.name]
            tokens = real if way == "packed" else sum(map(padded, batches))
            figures = (f"{tokens / real:.2f}", f"{seconds:.1f}", f"{len(samples) / seconds:.2f}", f"{gain:.2f}")
            rows.append((kind, name, len(batches), *figures))
            if kind == "training" and way == "bucketed":
                gains.append(gain)
    report.say(
        f"\n## Mixed set\n\n{len(samples)} samples, {real} tokens, batches of up to {TOKENS}; whoever has run for the "
        "shortest time is next."
    )
    report.table(("step", "network", "batches", "tokens, real = 1", "seconds", "samples/s", "time, ours = 1"), rows)
    return gains


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--depth", type=int, default=6, help="of our transformer; 6 is the shipped size")
    made.add_argument("--samples", type=int, default=200, help="of the mixed set")
    made.add_argument("--seed", type=int, default=0, help="of the mixed set")
    arguments = made.parse_args()
    torch.manual_seed(0)
    depth = 2 if arguments.short else arguments.depth
    ours = Ours(depth)
    count = parameters(ours.network)
    contestants: list[Contestant] = [ours, latte(depth, count), wan(depth, count)]
    report = Report("Transformers at equal size", arguments)
    counts = {c.name: parameters(c.network) for c in contestants}
    report.table(("network", "parameters", "ours = 1"), [(n, f"{k:,}", f"{k / count:.3f}") for n, k in counts.items()])
    steps = uniform(report, contestants, arguments.short)
    grids = mixed_grids(6, 0, 96, 9) if arguments.short else mixed_grids(arguments.samples, arguments.seed)
    mixes = mixed(report, contestants, draw(grids))
    bars = [("uniform clips, against the faster peer, any step", BAR_UNIFORM, min(steps)),
            ("mixed set, training, against the faster peer, bucketed", BAR_MIXED, min(mixes))]  # fmt: skip
    report.bars([(claim, f">= {bar:.1f}x", f"{gain:.2f}x", gain >= bar) for claim, bar, gain in bars])
    report.finish()


if __name__ == "__main__":
    main()
