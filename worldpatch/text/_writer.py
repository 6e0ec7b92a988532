"""A small transformer that writes captions: of a clip, from a video encoder's tokens, or of a prompt, in fuller words.

What it reads (the tokens of a clip, each with its place and moment, or those of a prompt) comes first and sees itself
both ways; what it writes comes after, sees all that was read and itself up to here (a prefix language model, Raffel et
al. 2020). So what is read is worked on once, and a word costs one place. The first written token names a style.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from worldpatch import config as configs
from worldpatch.config import UserError
from worldpatch.text.bytepair import train_tokenizer

STYLES = ("terse", "dense")
WAVES = 4  # of place and moment: sines and cosines of half to four periods across a clip
MOMENTS = 8  # groups of frames that a position of 1 means, a little more than those of a clip of training
NAME = "writer"  # stem of an exported writer's files

Cache = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Config:
    """`features` is the width of a clip's tokens, 0 for a writer that reads prompts; `most` how many tokens it writes
    (and, of a prompt, reads)."""

    vocabulary: int = 512
    width: int = 192
    depth: int = 4
    heads: int = 6
    features: int = 0
    most: int = 128
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Read:
    """What is read, embedded; `real` is False where a row is filled up."""

    x: Float[Tensor, "b n d"]
    real: Bool[Tensor, "b n"]


class Block(nn.Module):
    """Attention, then a wider layer, each on normalised input and added to it."""

    def __init__(self, config: Config):
        super().__init__()
        width = config.width
        self.heads, self.dropout = config.heads, nn.Dropout(config.dropout)
        self.attend, self.widen = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        nn.init.normal_(self.out.weight, std=0.5 / math.sqrt(width * config.depth))
        nn.init.normal_(self.down.weight, std=0.5 / math.sqrt(4 * width * config.depth))

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b 1 n s"], past: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Float[Tensor, "b n d"], tuple[Tensor, Tensor]]:
        """x after this block, and the keys and values of all so far: those of `past` and of x."""
        q, k, v = self.qkv(self.attend(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.dropout(self.out(found.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.down(F.gelu(self.up(self.widen(x))))), (k, v)


class Writer(nn.Module):
    """Reads clips or prompts, writes captions; see the module."""

    def __init__(self, config: Config, tokenizer: Tokenizer):
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.end = config.vocabulary
        self.first = {style: config.vocabulary + 1 + i for i, style in enumerate(STYLES)}
        self.words = nn.Embedding(config.vocabulary + 1 + len(STYLES), config.width)
        self.place = nn.Embedding(config.most + 1, config.width)
        self.source = nn.Parameter(torch.zeros(config.width))  # marks what is read
        self.see = nn.Linear(config.features + 6 * WAVES, config.width) if config.features else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        for table in (self.words, self.place):
            nn.init.normal_(table.weight, std=1 / math.sqrt(config.width))

    # ------------------------------------------------------------------------------------------------------- reading

    def read_clips(self, tokens: Float[Tensor, "b n e"], grid: tuple[int, int, int]) -> Read:
        """A batch of clips of one size, as a video encoder's tokens on a grid (t, h, w)."""
        assert self.see is not None, "a writer of prompts reads no clips"
        places = _waves(grid).to(tokens).expand(len(tokens), -1, -1)
        x = self.see(torch.cat([tokens, places], -1)) + self.source
        return Read(x=x, real=torch.ones(x.shape[:2], dtype=torch.bool, device=x.device))

    def read_prompts(self, prompts: Sequence[str]) -> Read:
        """Prompts; case is ignored. Raises UserError on one of more than `most` tokens."""
        ids, real = self._padded([self.ids(prompt) for prompt in prompts])
        return Read(x=self.words(ids) + self.place.weight[: ids.shape[1]] + self.source, real=real)

    def ids(self, text: str) -> list[int]:
        """The tokens of a text. Raises UserError where there are more than `most`."""
        found = self.tokenizer.encode(text.strip().lower()).ids
        if len(found) > self.config.most:
            raise UserError(
                f"{text[:40]!r}... has {len(found)} tokens; this model takes at most {self.config.most}: shorten it"
            )
        return found

    def _padded(self, rows: list[list[int]]) -> tuple[Int[Tensor, "b m"], Bool[Tensor, "b m"]]:
        device = self.words.weight.device
        lengths = torch.tensor([len(row) for row in rows], device=device)
        real = torch.arange(max(map(len, rows)), device=device) < lengths[:, None]
        ids = torch.full(real.shape, self.end, device=device)
        ids[real] = torch.tensor([t for row in rows for t in row], device=device)
        return ids, real

    # ------------------------------------------------------------------------------------------------------- writing

    def forward(self, read: Read, ids: Int[Tensor, "b m"]) -> Float[Tensor, "b m v"]:
        """What comes after each of the tokens written so far, the first of which is a style's."""
        n, m = read.x.shape[1], ids.shape[1]
        x = torch.cat([read.x, self._written(ids, 0)], 1)
        mask = torch.ones(n + m, n + m, dtype=torch.bool, device=x.device).tril()
        mask[:n, :n] = True
        seen = torch.cat([read.real, torch.ones_like(ids, dtype=torch.bool)], 1)
        whole = mask & seen[:, None, None]
        for block in self.blocks:
            x, _ = block(x, whole)
        return self._logits(x[:, n:])

    def loss(self, read: Read, styles: Sequence[str], captions: Sequence[str]) -> Float[Tensor, ""]:
        """Cross-entropy per token of these captions, each in its style."""
        rows = [[self.first[style], *self.ids(text)] for style, text in zip(styles, captions, strict=True)]
        ids, real = self._padded(rows)
        wanted = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], self.end)], 1).masked_fill(~real, -100)
        return F.cross_entropy(self(read, ids).float().flatten(0, 1), wanted.flatten(), ignore_index=-100)

    @torch.no_grad()
    def write(self, read: Read, style: str) -> list[str]:
        """The caption of each row, word by word the likeliest."""
        b, n = read.real.shape
        mask = read.real[:, None, None]
        cache: Cache = []
        x = read.x
        for block in self.blocks:
            x, kept = block(x, mask.expand(-1, -1, n, -1))
            cache.append(kept)
        ids = torch.full((b, 1), self.first[style], device=x.device)
        written = []
        for place in range(self.config.most):
            mask = F.pad(mask, (0, 1), value=True)
            x = self._written(ids, place)
            for i, block in enumerate(self.blocks):
                x, cache[i] = block(x, mask, cache[i])
            ids = self._logits(x).argmax(-1)
            ids = ids.where(~_ended(written, self.end, ids), torch.full_like(ids, self.end))
            written.append(ids)
            if bool((ids == self.end).all()):
                break
        rows = torch.cat(written, 1).tolist()
        return [self._text(row) for row in rows]

    def _written(self, ids: Int[Tensor, "b m"], place: int) -> Float[Tensor, "b m d"]:
        return self.words(ids) + self.place.weight[place : place + ids.shape[1]]

    def _logits(self, x: Float[Tensor, "b m d"]) -> Float[Tensor, "b m v"]:
        return F.linear(self.norm(x), self.words.weight)

    def _text(self, ids: list[int]) -> str:
        """Tokens up to the end as text; where it has full stops, sentences with capitals."""
        whole = ids[: ids.index(self.end)] if self.end in ids else ids
        text = self.tokenizer.decode([t for t in whole if t < self.end]).strip()
        if not text.endswith("."):
            return text
        return " ".join(f"{s[0].upper()}{s[1:]}" for s in text.replace(". ", ".\n").split("\n") if s)

    # --------------------------------------------------------------------------------------------------------- files

    def save(self, folder: Path, record: dict[str, Any]) -> None:
        """The writer in bfloat16, its tokenizer, and a record of how it was made."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {k: v.detach().cpu().to(torch.bfloat16).contiguous().clone() for k, v in self.state_dict().items()}
        save_file(weights, folder / f"{NAME}.safetensors")
        (folder / f"{NAME}.safetensors").chmod(0o644)
        self.tokenizer.save(str(folder / "tokenizer.json"))
        (folder / f"{NAME}.json").write_text(json.dumps({"config": configs.dump(self.config), **record}, indent=1))


def create(config: Config, captions: Iterable[str]) -> Writer:
    """An untrained writer whose tokenizer has learned these captions."""
    tokenizer = train_tokenizer(captions, config.vocabulary)
    return Writer(replace(config, vocabulary=tokenizer.get_vocab_size()), tokenizer)


def find(name: str) -> Path:
    """The folder of a shipped writer. Raises UserError where there is none."""
    for home in configs.homes("checkpoints"):
        if (home / name / f"{NAME}.json").exists():
            return home / name
    raise UserError(f"no checkpoints/{name} here or beside the package: fetch it, or train it with recipes/{name}.py")


def load(folder: Path) -> tuple[Writer, dict[str, Any]]:
    """An exported writer, ready to write, and its record. Raises UserError where it is damaged."""
    try:
        record = json.loads((folder / f"{NAME}.json").read_text())
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        writer = Writer(configs.build(Config, record["config"], "config."), tokenizer)
        weights = load_file(folder / f"{NAME}.safetensors")
        writer.load_state_dict({name: value.float() for name, value in weights.items()})
    except Exception as error:  # safetensors and tokenizers raise their own types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{folder} holds no whole writer ({reason}): fetch it again") from error
    return writer.eval().requires_grad_(False), record


def fingerprint(folder: Path) -> str:
    """Identity of an exported writer's weights: the same 16 characters, the same captions."""
    return hashlib.sha256((folder / f"{NAME}.safetensors").read_bytes()).hexdigest()[:16]


def _waves(grid: tuple[int, int, int]) -> Float[Tensor, "1 n _"]:
    """Where and when each token is: moments of MOMENTS, places as shares of the sides."""
    t, h, w = (torch.arange(count) for count in grid)
    axes = ((t + 0.5) / MOMENTS, (h + 0.5) / len(h), (w + 0.5) / len(w))
    at = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(1, -1, 3, 1)
    angle = at * math.pi * 2.0 ** torch.arange(WAVES)
    return torch.cat([angle.sin(), angle.cos()], -1).flatten(2)


def _ended(written: list[Tensor], end: int, like: Tensor) -> Bool[Tensor, "b 1"]:
    return written[-1] == end if written else torch.zeros_like(like, dtype=torch.bool)
