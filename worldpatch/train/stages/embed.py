"""The video encoder, trained on what a simulated world knows about its clips, and on damage done to them.

Linear heads on a clip's one vector answer what its truth answers, say how blurred, noisy and shuffled it was made and
whether it runs backwards (`_attributes.py`), and find the other view of the same clip among all views of the
batch (Chen et al. 2020, SimCLR). Linear heads on its tokens say which solid is in each cell of frames and pixels, and
how it moves. The attributes make features readable, the damage makes distances of features grow with it, the other view
keeps what no attribute names, and the cells, a hundred answers per clip, make all of it learn sooner. A share of the
clips is procedural texture, of which only damage is asked (`_views.py`).

Every part of the loss is in units of what guessing costs, so 1 is ignorance and no weights are needed.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from worldpatch import config
from worldpatch.data import bank, textures
from worldpatch.embed import _shipped
from worldpatch.train import checkpoint
from worldpatch.train.stages._attributes import ATTRIBUTES, CELLS, DONE, UNASKED, Heads, labels, losses, right
from worldpatch.train.stages._views import FORMS, View, of_clip, of_texture, pair, stack, window
from worldpatch.types import Clip
from worldpatch.vae._pixels import to_tensor
from worldpatch.video.sheet import contact_sheet

FIRST = 20_000_000  # index of the bank's first clip, far from those of other sets
TEMPERATURE = 0.2
MOST_VIEWS = 24
FITTING = 160  # views that the encoder's statistics begin with
WHITENING = 60  # batches over which exported features are made uncorrelated
FAR = 10**9  # a step that no run reaches: its batches are like those of training, and none of them


@dataclass(frozen=True, kw_only=True)
class Config:
    """`clips` of the tabletop are rendered once for each of `options` and kept in `cache`; a `validation` share is held
    out.

    `budget` is frames per step: the number of views follows from their length. `textures` is their share of the views.
    """

    options: tuple[dict[str, Any], ...] = ({"level": 1}, {"level": 2}, {"level": 3}, {"level": 4})
    clips: tuple[int, ...] = (250, 500, 300, 550)
    cache: str = "out/embed/bank"
    validation: float = 0.12
    budget: int = 168
    textures: float = 0.15
    encoder: str = "conv"
    model: dict[str, Any] = field(default_factory=dict)
    workers: int = 2


class Network(nn.Module):
    """The encoder, which ships, and what reads its features."""

    def __init__(self, encoder: Any):
        super().__init__()
        width = encoder.config.features
        self.encoder = encoder
        self.heads = Heads(width, ATTRIBUTES)
        self.partner = nn.Linear(width, 64)
        self.cells = Heads(encoder.token_width, CELLS)
        self.motion = nn.Linear(encoder.token_width, 2)

    @torch.no_grad()
    def whiten(self, features: Float[Tensor, "n d"]) -> None:
        """Make the encoder's features, of which these are some, uncorrelated and of unit variance; what is read of them
        stays the same."""
        turn, mean = self.encoder.whiten(features)
        for head in (*self.heads.values(), self.partner):
            assert isinstance(head, nn.Linear)
            head.bias += head.weight @ mean
            head.weight.copy_(head.weight @ turn.T)


class Task:
    def __init__(self, options: Config, seed: int, device: str):
        self.options, self.seed, self.device = options, seed, device
        assert len(options.options) == len(options.clips), "as many numbers of clips as kinds"
        self.train: list[tuple[bank.Bank, int]] = []
        self.held_out: list[tuple[bank.Bank, int]] = []
        digest = hashlib.sha256()
        for i, (values, count) in enumerate(zip(options.options, options.clips, strict=True)):
            indices, folder = range(FIRST, FIRST + count), Path(options.cache) / str(i)
            found = bank.load(folder, "tabletop", values, seed, indices, workers=options.workers)
            digest.update(found.frames.data)
            kept = count - round(options.validation * count)
            self.train += [(found, k) for k in range(kept)]
            self.held_out += [(found, k) for k in range(kept, count)]
        self.fingerprint = digest.hexdigest()[:16]
        module = config.resolve("embed", options.encoder)
        self.model = Network(module.Model(config.build(module.Config, options.model, "model.")))
        self.model.encoder.fit(self._some_frames())
        self.spent: dict[int, int] = {}  # frames -> operations to encode them

    def _some_frames(self) -> Tensor:
        rng, parts = np.random.default_rng([self.seed, FAR]), []
        while sum(map(len, parts)) < FITTING:
            parts.append(self._views(rng, self.train, "every other").frames)
        return torch.cat(parts)

    # ------------------------------------------------------------------------------------------------------- batches

    def batch(self, step: int) -> View:
        rng = np.random.default_rng([self.seed, step])
        return self._views(rng, self.train, str(rng.choice(list(FORMS), p=list(FORMS.values()))))

    def _views(self, rng: np.random.Generator, clips: list[tuple[bank.Bank, int]], form: str) -> View:
        """As many views as a step takes, two of each clip, one after the other."""
        generator = Generator().manual_seed(int(rng.integers(2**62)))
        _, length, height, width, _ = clips[0][0].frames.shape
        frames = len(window(rng, form, length))
        pairs = max(2, min(MOST_VIEWS, self.options.budget // frames) // 2)
        drawn = round(pairs * self.options.textures)
        encoder, views = self.model.encoder, []
        for i in rng.integers(len(clips), size=pairs - drawn).tolist():
            found, number = clips[i]
            shown = pair(rng, found, number, form)
            views += [of_clip(rng, generator, view, encoder, whole=form != "half") for view in shown]
        for texture in textures.procedural_batch(generator, drawn, frames, height, width):
            views += [of_texture(rng, generator, texture, encoder) for _ in range(2)]
        return stack(views, self.device)

    # ---------------------------------------------------------------------------------------------------------- loss

    def loss(self, model: Any, batch: View) -> tuple[Tensor, dict[str, float]]:
        tokens = model.encoder.tokens(batch.frames)
        features = model.encoder.pool(tokens)
        parts = losses(model.heads(features), batch.answers)
        answers = {name: value.flatten(0, 1) for name, value in batch.cells.items()}
        parts |= losses(model.cells(tokens.flatten(0, 1)), answers)
        known = batch.motion.isfinite()
        target = batch.motion.nan_to_num(0).clamp(-3, 3)  # things leap where frames are shuffled
        parts["cell motion"] = ((model.motion(tokens).float() - target).square() * known).sum() / known.sum().clamp_min(
            1
        )
        parts["partner"] = find_partner(model.partner(features).float())
        return torch.stack(list(parts.values())).sum(), {name: float(part.detach()) for name, part in parts.items()}

    def size(self, batch: View) -> tuple[int, int, int]:
        b, _, t, h, w = batch.frames.shape
        if t not in self.spent:
            self.spent[t] = 3 * self.model.encoder.flops(t, h, w)
        return b, b * int(np.prod(self.model.encoder.grid(t, h, w))), b * self.spent[t]

    # ---------------------------------------------------------------------------------------------------- validation

    def validate(self, model: Any) -> dict[str, float]:
        """Share of right answers on held-out clips as they are, and about damage on damaged ones."""
        scores = accuracy(model, [found.clip(k) for found, k in self.held_out], self.device)
        rng = np.random.default_rng(self.seed)
        views = [self._views(rng, self.held_out, "every other") for _ in range(12)]
        marks = [right(model.heads(model.encoder.encode(v.frames)), v.answers) for v in views]
        for name in DONE:
            found = torch.cat([m[name] for m in marks])
            scores[name] = float(found[found != UNASKED].float().mean())
        return {f"val/{name}": value for name, value in scores.items()}

    def sheet(self, model: Any, path: Path) -> dict[str, float]:
        """Held-out clips about which something was said wrongly, and what."""
        clips = [found.clip(k) for found, k in self.held_out]
        failed = [(clip, told) for clip, told in zip(clips, failures(model, clips, self.device), strict=True) if told]
        shown = failed[:: -(-len(failed) // 24) or 1]
        if shown:
            contact_sheet([c.frames for c, _ in shown], [f"{c.captions['terse']}\n{told}" for c, told in shown], path)
        return {"sheet/all right": 1 - len(failed) / len(clips)}

    def export(self, model: Any, folder: Path, state: dict[str, Any]) -> None:
        """The encoder and, beside it, the heads, in bfloat16; features uncorrelated over views as in training."""
        folder.mkdir(parents=True, exist_ok=True)
        features = [model.encoder.encode(self.batch(FAR + step).frames) for step in range(WHITENING)]
        model.whiten(torch.cat(features))
        weights = {k: v.detach().cpu().to(torch.bfloat16) for k, v in model.state_dict().items()}
        encoder = {k.removeprefix("encoder."): v for k, v in weights.items() if k.startswith("encoder.")}
        checkpoint.write(folder / "embed.safetensors", encoder)
        heads = {k: v for k, v in weights.items() if not k.startswith("encoder.")}
        checkpoint.write(folder / "heads.safetensors", heads)
        record = {
            "embed": self.options.encoder, "config": config.dump(model.encoder.config),
            "trained_on": config.dump(self.options), "training": state,
        }  # fmt: skip
        (folder / "embed.json").write_text(json.dumps(record, indent=1))


def load(folder: Path) -> Network:
    """An exported encoder with its heads."""
    network = Network(_shipped.load(folder))
    heads = {k: v.float() for k, v in checkpoint.read(folder / "heads.safetensors").items()}
    network.load_state_dict({**network.state_dict(), **heads})
    return network.eval().requires_grad_(False)


def find_partner(projected: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """NT-Xent (Chen et al. 2020, equation 1) of views that come in pairs, in units of what guessing costs."""
    unit = F.normalize(projected, dim=-1)
    alike = (unit @ unit.T / TEMPERATURE).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(unit), device=unit.device) ^ 1
    return F.cross_entropy(alike, partner) / np.log(len(unit) - 1)


# -------------------------------------------------------------------------------------------------- reading of features


@torch.no_grad()
def answered(model: Any, clips: list[Clip], device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Logits "n q k" and true answers "n q" per attribute, of whole clips as they are."""
    frames = [torch.stack([to_tensor(c.frames) for c in clips[i : i + 16]]) for i in range(0, len(clips), 16)]
    features = torch.cat([model.encoder.encode(part.to(device)) for part in frames])
    truth = [labels(clip, whole=True) for clip in clips]
    return model.heads(features), {n: torch.from_numpy(np.stack([a[n] for a in truth])).to(device) for n in ATTRIBUTES}


def accuracy(model: Any, clips: list[Clip], device: str = "cpu") -> dict[str, float]:
    """Share of clips of which all that an attribute asks is answered rightly."""
    found = {}
    for name, marks in right(*answered(model, clips, device)).items():
        asked = (marks != UNASKED).any(1)
        if asked.any():
            found[name] = float((marks[asked] != 0).all(1).float().mean())
    return found


def failures(model: Any, clips: list[Clip], device: str = "cpu") -> list[str]:
    """What was said wrongly about each clip: "event: roll, not hit"; "" where all was right."""
    logits, answers = answered(model, clips, device)
    told: list[list[str]] = [[] for _ in clips]
    for name, marks in right(logits, answers).items():
        attribute = ATTRIBUTES[name]
        for i, q in (marks == 0).nonzero().tolist():
            said, true = (attribute.classes[int(a[i, q])] for a in (logits[name].argmax(-1), answers[name]))
            told[i].append(f"{attribute.questions[q]} {name}: {said or 'none'}, not {true or 'none'}".strip())
    return ["; ".join(lines) for lines in told]
