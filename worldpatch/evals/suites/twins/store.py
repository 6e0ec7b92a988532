"""Encoded twins on disk: shards as every encoded data set has them, and one JSON that says what they are.

A record is one twin, `<kind>-<couple>-<pair>-possible` or `-impossible`: the latent of its clip, and its control frame
encoded as an image, as a keyframe is. The JSON (twins.json) holds the form of the clips, the autoencoder's LatentSpec,
and a hash of the code that staged them: figures are comparable where it is the same.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.data import render, shards
from worldpatch.data.loader import LatentSet
from worldpatch.evals.suites._task import Form
from worldpatch.types import Clip, LatentSpec
from worldpatch.vae._load import vae_id
from worldpatch.vae._pixels import to_tensor

PAIRS = 64
PER_SHARD = 5  # couples of every kind
KINDS = ("gravity", "teleport", "energy", "colour", "solidity", "cause", "time")  # named here too: `kinds` needs mujoco
TWINS = ("possible", "impossible")
RECORDS = 2 * len(TWINS)  # of a couple
RECORD = "twins.json"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Two latents of equal size: of twins, or of one frame of each. The two pairs of a couple share its number."""

    kind: str
    couple: int
    rate: float
    possible: Float[Tensor, "c t h w"]
    impossible: Float[Tensor, "c t h w"]


@dataclass(frozen=True, kw_only=True)
class TwinSet:
    """Encoded twins, the two pairs of a couple beside each other, and their one-frame controls in the same order.
    `fingerprint` is a hash of all latents."""

    twins: tuple[Trial, ...]
    controls: tuple[Trial, ...]
    spec: LatentSpec
    form: Form
    version: str
    fingerprint: str

    def first(self, pairs: int) -> "TwinSet":
        """The first so many pairs of each kind, or one less where they would part a couple."""
        keep = [i for i, trial in enumerate(self.twins) if trial.couple < pairs // 2]
        twins, controls = (tuple(of[i] for i in keep) for of in (self.twins, self.controls))
        return replace(self, twins=twins, controls=controls)

    def within(self, evaluations: int) -> "TwinSet":
        """As many pairs of each kind as may be scored once with so many evaluations of the network, and with what is
        left controls, spread over the kinds."""
        chosen = self.first(evaluations // (2 * len(KINDS)))
        couples = len(chosen.controls) // 2
        left = min((evaluations - 2 * len(chosen.twins)) // 4, couples)
        first = [2 * (i * couples // left) for i in range(left)]
        return replace(chosen, controls=tuple(chosen.controls[i + pair] for i in first for pair in (0, 1)))


def version() -> str:
    """A hash of the code that stages twins."""
    files = (Path(__file__).with_name(name) for name in ("kinds.py", "studio.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def build(
    folder: Path,
    vae: Any,
    *,
    pairs: int = PAIRS,
    form: Form | None = None,
    workers: int = 1,
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Render and encode the first `pairs` of every kind. What is there already is kept, so a build that was stopped
    goes on, and a finished one may be made larger.

    Raises UserError on an odd number, and where the folder holds twins of another form, autoencoder or version.
    """
    if pairs < 2 or pairs % 2:
        raise UserError(f"{pairs} pairs of each kind are not couples: choose an even number")
    form = form or Form()
    record = {"version": version(), "form": config.dump(form), "spec": config.dump(vae.spec)}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RECORD
    if path.exists() and _read(path) != json.loads(json.dumps(record)):
        raise UserError(f"{folder} holds other twins (form, autoencoder or version): give another folder, or delete it")
    path.write_text(json.dumps(record, indent=1))
    done = sum(1 for _ in shards.read(folder)) // RECORDS if any(folder.glob("shard-*.tar")) else 0
    jobs = [(kind, number, form) for number in range(pairs // 2) for kind in KINDS][done:]
    if not jobs:
        return
    from worldpatch.evals.suites.twins import kinds  # needs a simulator, which twins already built do not

    writer = shards.Writer(folder, PER_SHARD * len(KINDS) * RECORDS)
    for i, ((kind, number, _), couple) in enumerate(zip(jobs, render.each(kinds.staged, jobs, workers), strict=True)):
        for k, pair in enumerate(couple):
            for twin in TWINS:
                clip = getattr(pair, twin)
                latent = _encode(vae, clip, pair.control, device)
                writer.write(f"{kind}-{number:04d}-{k}-{twin}", shards.members(clip, latent, vae_id(vae.spec)))
        if kind == KINDS[-1]:
            writer.rest()
        if progress:
            progress("twins", done + i + 1, done + len(jobs))
    writer.flush()


@torch.no_grad()
def _encode(vae: Any, clip: Clip, control: int, device: str) -> dict[str, Tensor]:
    """The clip's latent, and its control frame's as the latent of an image, in half precision."""
    frames = to_tensor(clip.frames).to(device)
    image = frames[:, control : control + 1]
    return {
        "latent": vae.encode(frames[None])[0].half().cpu(),
        "keyframes": vae.encode(image[None])[0].half().cpu().movedim(1, 0),
        "times": torch.tensor([control / clip.rate]),
    }


def load(folder: Path, spec: LatentSpec) -> TwinSet:
    """Encoded twins for a model of this LatentSpec.

    Raises UserError where there are none, where they are incomplete, or where another autoencoder encoded them.
    """
    path = folder / RECORD
    if not path.exists():
        raise UserError(f"{folder} holds no twins ({RECORD} is missing): build them with `worldpatch eval twins`")
    record = _read(path)
    if record["spec"] != json.loads(json.dumps(config.dump(spec))):
        raise UserError(f"{folder} holds twins that another autoencoder encoded: build them again in another folder")
    found = LatentSet([folder])
    items = {item.key: item for item in found}
    pairs = [key.removesuffix(f"-{TWINS[0]}") for key in items if key.endswith(f"-{TWINS[0]}")]
    if len(items) != len(TWINS) * len(pairs) or len(pairs) % (2 * len(KINDS)):
        raise UserError(f"{folder} holds {len(items)} twins, not couples of every kind: build them again to go on")
    twins, controls = [], []
    for name in pairs:
        kind, number, _ = name.split("-")
        both = [items[f"{name}-{twin}"] for twin in TWINS]
        for trials, latents in (
            (twins, [item.latent for item in both]), (controls, [item.keyframes[0].latent[:, None] for item in both])
        ):  # fmt: skip
            trials.append(
                Trial(kind=kind, couple=int(number), rate=both[0].rate, possible=latents[0], impossible=latents[1])
            )
    return TwinSet(
        twins=tuple(twins), controls=tuple(controls), spec=spec, form=config.build(Form, record["form"], "form."),
        version=record["version"], fingerprint=found.fingerprint,
    )  # fmt: skip


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
        missing = {"version", "form", "spec"} - set(record)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): delete its folder and build the twins again") from error
    if missing:
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}: delete its folder and build the twins again")
    return record
