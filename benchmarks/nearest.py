"""Does the model remember or compose? Its samples beside the nearest training clip, in latent space.

    python benchmarks/nearest.py MODEL DATA... --held-out FOLDER [-o sheet.png]

Prints the median distance (root mean square over a latent) of samples to their nearest training clip, and the same for
held-out real clips: a model that copies would be far nearer than those are.
"""

import argparse
from itertools import islice
from pathlib import Path

import torch

from worldpatch.data.loader import Item, LatentSet
from worldpatch.evals.suites import prompts
from worldpatch.generate import find, load, run_many
from worldpatch.types import Plan, Request
from worldpatch.video.sheet import contact_sheet


def nearest(latent: torch.Tensor, items: list[Item]) -> tuple[float, Item]:
    distances = [float((item.latent.float() - latent).square().mean().sqrt()) for item in items]
    distance, index = min(zip(distances, range(len(items)), strict=True))
    return distance, items[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--level", type=int, default=1)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/nearest.png"))
    arguments = parser.parse_args()

    pipeline = load(find(arguments.model))
    items = list(LatentSet(arguments.data))
    held_out = list(islice(LatentSet([arguments.held_out]), 4 * arguments.count))
    chosen = prompts.load(arguments.level)[: arguments.count]
    requests = [Request(ability="text_to_video", params={"prompt": p.caption}, seed=i) for i, p in enumerate(chosen)]
    results = list(run_many(requests, pipeline))

    found = [nearest(result.latents[0], items) for result in results]
    real = [nearest(item.latent.float(), items)[0] for item in held_out]
    strips, captions = [], []
    for result, prompt, (distance, item) in zip(results, chosen, found, strict=True):
        plan = Plan(start=torch.zeros(item.latent.shape[1:]), rate=item.rate)
        strips += [result.frames[0].numpy(), pipeline.decode([plan], [item.latent.float()])[0].numpy()]
        caption = next(iter(item.captions.values()))
        captions += [f"sample: {prompt.caption}", f"nearest training clip ({distance:.2f}): {caption}"]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(strips, captions, arguments.output, columns=2)
    sampled = torch.tensor([distance for distance, _ in found])
    print(f"samples to the nearest of {len(items)} clips: median {sampled.median():.3f}, least {sampled.min():.3f}")
    print(f"held-out real clips to nearest: median {torch.tensor(real).median():.3f}, least {min(real):.3f}")


if __name__ == "__main__":
    main()
