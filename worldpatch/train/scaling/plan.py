"""From a law and a budget to a run: size, tokens, batch, learning rate, hours, price and memory.

What is measured here and what is borrowed stands in every plan's `notes`.
"""

import math
import statistics
from dataclasses import dataclass
from typing import Any

import torch

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.train.scaling.grid import Setting
from worldpatch.train.scaling.law import Law
from worldpatch.types import Segment

GIGA, TERA = 1e9, 1e12
MFU = 0.3
MFU_SOURCE = "assumed; Llama 3 405B reached 0.38 to 0.43 on H100s (Llama team 2024), small models reach less"
BATCH_EXPONENT = 0.3271
BATCH_SOURCE = "its growth with compute is borrowed from language models (DeepSeek-AI 2024, arXiv 2401.02954)"
STATE_BYTES = (
    4 * 5 + 2
)  # per parameter: weight, gradient, Adam's two moments and the average in float32, a bfloat16 copy
BLOCK_BYTES, OUTER_BYTES = (
    95,
    15,
)  # per token and unit of width, in a block and outside: kept for the backward pass, bfloat16
REFERENCE = 8  # depth that others are guessed from
FAR = 10  # times the largest budget measured: beyond it, a plan says so
MANY = 100  # passes over the data: diffusion bears many, and beyond this a plan says so


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """Peak bfloat16 TFLOP/s without sparsity, memory in GB, and US dollars per hour."""

    tflops: float
    memory: float
    price: float


GPUS = {
    "A100": Gpu(tflops=312.0, memory=80.0, price=1.39),
    "H100": Gpu(tflops=989.0, memory=80.0, price=2.69),
    "H200": Gpu(tflops=989.0, memory=141.0, price=3.59),
    "B200": Gpu(tflops=2250.0, memory=180.0, price=5.98),
    "L40S": Gpu(tflops=362.0, memory=48.0, price=0.79),
    "RTX4090": Gpu(tflops=165.0, memory=24.0, price=0.34),
}
"""Rates and memory from NVIDIA's data sheets, of the SXM versions where there are several. Prices are the lower ones of
RunPod as listed by deploybase.ai/articles/runpod-gpu-pricing on 2026-03-10; give your own."""
PRICE_SOURCE = "RunPod, as listed on 2026-03-10; give yours with --price"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`parameters` are those of the blocks, `total` of the whole backbone; `flops` what the whole steps come to."""

    flops: float
    depth: int
    width: int
    parameters: int
    total: int
    tokens: float
    clips: float
    batch: float
    steps: int
    learning_rate: float
    loss: float
    hours: float
    price: float
    state_bytes: int
    activation_bytes: float
    notes: tuple[str, ...]


def plan(
    law: Law, flops: float, gpu: str = "H200", *, count: int = 1, mfu: float = MFU, price: float | None = None
) -> Plan:
    """The run that the law deems best for so many training FLOPs on `count` GPUs. Raises UserError on bad numbers."""
    machine = _machine(gpu)
    price = machine.price if price is None else price
    limits = {"flops": (flops, 1e9, 1e30), "gpus": (count, 1, 1e6), "mfu": (mfu, 1e-3, 1), "price": (price, 0, 1e6)}
    for name, (value, least, most) in limits.items():
        if not least <= value <= most:
            raise UserError(f"{name} {value:g} is outside {least:g} to {most:g}; choose a number in between")
    setting, measured = law.setting, law.held_out.valley.budget
    depth, width = _size(setting, law.isoflop.parameters(flops))
    parameters, total, per_clip = count_flops(setting, depth, width)
    patches = math.prod(setting.grid)
    clips_per_step = max(1.0, setting.clips * max(1.0, flops / measured) ** BATCH_EXPONENT)
    steps = max(1, round(flops / per_clip / clips_per_step))
    clips = steps * clips_per_step
    spent = clips * per_clip
    seconds = spent / (count * mfu * machine.tflops * TERA)
    batch = clips_per_step * patches
    return Plan(
        flops=spent, depth=depth, width=width, parameters=parameters, total=total, tokens=clips * patches, clips=clips,
        batch=batch, steps=steps, learning_rate=learning_rate(law, width),
        loss=law.parametric.loss(float(parameters), clips * patches), hours=seconds / 3600,
        price=count * seconds / 3600 * price, state_bytes=STATE_BYTES * total,
        activation_bytes=batch * width * (BLOCK_BYTES * depth + OUTER_BYTES),
        notes=_notes(law, flops / measured, clips / setting.data),
    )  # fmt: skip


def _machine(gpu: str) -> Gpu:
    if gpu not in GPUS:
        raise UserError(f"GPU {gpu!r} is unknown; known: {', '.join(GPUS)}")
    return GPUS[gpu]


def _size(setting: Setting, parameters: float) -> tuple[int, int]:
    """Depth and width nearest to a number of parameters, as deep for their width as the sizes of the sweep."""
    ratio = statistics.median(width / depth for depth, width in setting.sizes)
    head = setting.model["head_width"]

    def shape(depth: int) -> tuple[int, int]:
        return depth, max(1, round(ratio * depth / head)) * head

    def counted(depth: int) -> int:
        return count_parameters(setting, *shape(depth))[0]

    # Parameters grow about as the cube of the depth.
    guess = round(REFERENCE * (parameters / counted(REFERENCE)) ** (1 / 3))
    return shape(min(range(max(1, guess - 2), guess + 3), key=lambda d: abs(math.log(counted(d) / parameters))))


def _backbone(setting: Setting, depth: int, width: int) -> Any:
    module = config.resolve("dit", setting.backbone)
    values = config.build(module.Config, {**setting.model, "depth": depth, "width": width}, "model.")
    with torch.device("meta"):  # only counted
        return module.Model(values)


def count_parameters(setting: Setting, depth: int, width: int) -> tuple[int, int]:
    """Parameters of the blocks and of the whole backbone."""
    model = _backbone(setting, depth, width)
    return sum(p.numel() for p in model.blocks.parameters()), sum(p.numel() for p in model.parameters())


def count_flops(setting: Setting, depth: int, width: int) -> tuple[int, int, float]:
    """Parameters of the blocks and of the backbone, and the exact training FLOPs of a usual clip in a usual batch."""
    model, clips, patches = _backbone(setting, depth, width), max(1, round(setting.clips)), math.prod(setting.grid)
    segments = tuple(
        Segment(sample=i, start=i * patches, stop=(i + 1) * patches, grid=setting.grid, rate=setting.rate)
        for i in range(clips)
    )
    flops = model.flops(segments, (setting.text,) * clips, times=clips, training=True)
    return *count_parameters(setting, depth, width), flops / clips


def learning_rate(law: Law, width: int) -> float:
    """The tuned rate, moved to a width: as it is under muP, else by the drift that the sweep over widths has shown."""
    setting = law.setting
    drifting = [t for t in law.transfers if t.base_width == setting.base_width and t.told and not t.transfers]
    if not drifting:
        return setting.learning_rate
    first, last = drifting[0].best[0], drifting[0].best[-1]
    exponent = math.log(last.rate / first.rate) / math.log(last.width / first.width)
    return first.rate * (width / first.width) ** exponent


def _notes(law: Law, beyond: float, epochs: float) -> tuple[str, ...]:
    setting = law.setting
    mup = f"tuned at {setting.base_width} wide, scaled by muP (Optim.base_width)"
    notes = [
        f"law of {len(law.isoflop.valleys)} budgets, checked against one of {law.held_out.valley.budget:.2g} FLOPs",
        f"batch: {setting.batch:.0f} patches were used there; {BATCH_SOURCE}",
        f"learning rate: {mup if setting.base_width else 'by the sweep over widths'}",
    ]
    if beyond > FAR:
        notes.append(f"{beyond:.2g} times beyond what was measured: an extrapolation, not a forecast")
    if epochs > MANY:
        notes.append(f"the law's data set of {setting.data} clips would be seen {epochs:.2g} times: render more")
    return tuple(notes)
