"""Plans -> one packed sequence of patches, and back. Training and sampling cut their patches here, with the same lines.

A patch is known, and becomes context, where every latent in it starts at time 0. All others are noisy, each at the
largest start time inside it.
"""

from collections.abc import Sequence

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor

from worldpatch.flow.hints import hints, likeness
from worldpatch.types import Index, Kind, LatentSpec, Packed, Plan, Segment, Segments

Patch = tuple[int, int, int]
PATCHES = "c (t pt) (h ph) (w pw) -> (t h w) (c pt ph pw)"


def patchify(latent: Float[Tensor, "c t h w"], patch: Patch) -> Float[Tensor, "n d"]:
    """Latents -> tokens, in order of time, height, width. Raises ValueError where the patch does not fit the grid."""
    pt, ph, pw = patch
    if any(side % p for side, p in zip(latent.shape[1:], patch, strict=True)):
        raise ValueError(f"latent grid {tuple(latent.shape[1:])} is no multiple of the patch {patch}")
    return rearrange(latent, PATCHES, pt=pt, ph=ph, pw=pw)


def unpatchify(tokens: Float[Tensor, "n d"], grid: tuple[int, int, int], patch: Patch) -> Float[Tensor, "c t h w"]:
    """Inverse of `patchify`; `grid` counts patches."""
    (t, h, w), (pt, ph, pw) = grid, patch
    return rearrange(tokens, f"(t h w) (c pt ph pw) -> {PATCHES.split(' -> ')[0]}", t=t, h=h, w=w, pt=pt, ph=ph, pw=pw)


def seconds(kind: Kind, t: int, stride: int, rate: float) -> Float[Tensor, " t"]:
    """Middle of each latent frame in seconds. A clip's first latent is one frame; later ones span `stride`."""
    index = torch.arange(t, dtype=torch.float32)
    if kind == "continuation":
        return (index * stride + (stride - 1) / 2) / rate
    return torch.where(index == 0, torch.zeros(()), index * stride - (stride - 1) / 2) / rate


def positions(plan: Plan, patch: Patch, spec: LatentSpec) -> Float[Tensor, "n 3"]:
    """Centres of the patches: seconds, latent pixels below and right of the frame's centre."""
    t, h, w = plan.grid
    time = seconds(plan.kind, t, spec.stride_t, plan.rate).unflatten(0, (-1, patch[0])).mean(1)
    down = (torch.arange(h) + 0.5 - h / 2).unflatten(0, (-1, patch[1])).mean(1)
    right = (torch.arange(w) + 0.5 - w / 2).unflatten(0, (-1, patch[2])).mean(1)
    return torch.stack(torch.meshgrid(time, down, right, indexing="ij"), -1).flatten(0, 2)


def pack(plans: Sequence[Plan], patch: Patch, spec: LatentSpec) -> Packed:
    """One packed sequence: for each plan its references, its known and its noisy patches, holding clean content.

    Noise is added by `noise.noised`; where a plan knows nothing the content is zero.
    """
    tokens, position, time, said, segments = [], [], [], [], []
    at = 0

    def add(
        sample: int, rule, grid, rate: float, kind: Kind, content: Tensor, place: Tensor, t: Tensor, hint: Tensor
    ) -> None:
        nonlocal at
        tokens.append(content)
        position.append(place)
        time.append(t)
        said.append(hint)
        segments.append(
            Segment(sample=sample, start=at, stop=at + len(place), grid=grid, rate=rate, kind=kind, rule=rule)
        )
        at += len(place)

    for i, plan in enumerate(plans):
        grid = tuple(side // p for side, p in zip(plan.grid, patch, strict=True))
        image = Plan(start=torch.zeros(1, *plan.grid[1:]), rate=plan.rate, kind="image")
        for reference in plan.references:
            content = patchify(reference.latent[:, None], patch)
            place = positions(image, patch, spec)
            place[:, 0] = reference.time or 0
            if reference.role == "keyframe":
                hint = hints(plan, place, spec.stride_t, spec.stride_s)
            else:
                hint = likeness(reference.role, len(place))
            add(i, "context", (1, *grid[1:]), plan.rate, "image", content, place, torch.zeros(len(place)), hint)
        start = _patch_start(plan, patch)
        content = torch.zeros(spec.channels, *plan.grid) if plan.known is None else plan.known
        content, place = patchify(content, patch), positions(plan, patch, spec)
        hint = hints(plan, place, spec.stride_t, spec.stride_s)
        for rule, chosen in (("context", start == 0), ("noisy", start > 0)):
            if chosen.any():
                values = (content[chosen], place[chosen], start[chosen], hint[chosen])
                add(i, rule, grid, plan.rate, plan.kind, *values)
    return Packed(
        tokens=torch.cat(tokens),
        position=torch.cat(position),
        time=torch.cat(time),
        hints=torch.cat(said),
        segments=tuple(segments),
    )


def padding(tokens: int, patch: Patch) -> Plan:
    """A plan of so many patches that are attended to by none but themselves and predicted by none: one shape for all
    batches is what compiled kernels want."""
    pt, ph, pw = patch
    return Plan(start=torch.ones(pt, ph, tokens * pw), rate=1.0, kind="padding")


def unpack(
    packed: Packed, tokens: Float[Tensor, "n d"], plans: Sequence[Plan], patch: Patch
) -> list[Float[Tensor, "c t h w"]]:
    """Tokens of a packed sequence -> each plan's whole latent grid, known patches in their places."""
    latents = []
    for i, plan in enumerate(plans):
        t, h, w = (side // p for side, p in zip(plan.grid, patch, strict=True))
        start = _patch_start(plan, patch)
        whole = tokens.new_zeros(t * h * w, tokens.shape[1])
        for s in [s for s in packed.segments if s.sample == i][len(plan.references) :]:
            whole[(start == 0) if s.rule == "context" else (start > 0)] = tokens[s.start : s.stop]
        latents.append(unpatchify(whole, (t, h, w), patch))
    return latents


def _patch_start(plan: Plan, patch: Patch) -> Float[Tensor, " n"]:
    """Start time of each patch: the largest in it, so that a patch is known only where all of it is."""
    return reduce(plan.start, "(t pt) (h ph) (w pw) -> (t h w)", "max", pt=patch[0], ph=patch[1], pw=patch[2])


def noisy_only(packed: Packed) -> Packed:
    """The noisy patches alone, renumbered: what a backbone reads once the context is cached."""
    keep, segments, at = packed.noisy, [], 0
    for s in packed.segments:
        if s.rule == "noisy":
            segments.append(
                Segment(sample=s.sample, start=at, stop=at + s.length, grid=s.grid, rate=s.rate, kind=s.kind)
            )
            at += s.length
    return Packed(
        tokens=packed.tokens[keep],
        position=packed.position[keep],
        time=packed.time[keep],
        hints=packed.hints[keep],
        segments=tuple(segments),
    )


def distinct(
    time: Float[Tensor, " n"], until: Float[Tensor, " n"] | None = None
) -> tuple[Float[Tensor, " u"], Index, Float[Tensor, " u"] | None]:
    """(times that differ, which of them is each token's, and where each leads, if anywhere): modulation is computed
    once for each."""
    if until is None:
        times, index = torch.unique(time, return_inverse=True)
        return times, index, None
    pairs, index = torch.unique(torch.stack((time, until), 1), dim=0, return_inverse=True)
    return pairs[:, 0], index, pairs[:, 1]


def twice(segments: Segments, tokens: int, samples: int) -> Segments:
    """Segments of a sequence followed by itself: the conditional and the unconditional half of guidance."""
    again = tuple(
        Segment(
            sample=s.sample + samples,
            start=s.start + tokens,
            stop=s.stop + tokens,
            grid=s.grid,
            rate=s.rate,
            kind=s.kind,
            rule=s.rule,
        )
        for s in segments
    )
    return segments + again
