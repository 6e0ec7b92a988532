"""A byte-level BPE tokenizer and a small transformer encoder, trained together with the backbone.

Bytes, so that any Unicode prompt is accepted (Radford et al. 2019); a few layers, because captions of a small world
need binding ("red" goes with "ball") more than knowledge.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F

from worldpatch.config import UserError, build


@dataclass(frozen=True, kw_only=True)
class Config:
    vocabulary: int = 1024
    width: int = 192
    depth: int = 3
    heads: int = 4
    max_tokens: int = 128


def train_tokenizer(captions: Iterable[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE merges learned from captions; all 256 bytes are in, so nothing is ever unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator((caption.lower() for caption in captions), trainer)
    return tokenizer


def create(values: dict[str, Any], captions: Iterable[str]) -> "Encoder":
    """An untrained encoder whose tokenizer has learned these captions; `values` are fields of Config."""
    wished = build(Config, values, "text.")
    tokenizer = train_tokenizer(captions, wished.vocabulary)
    return Encoder(replace(wished, vocabulary=tokenizer.get_vocab_size()), tokenizer)


def load(values: dict[str, Any], folder: Path) -> "Encoder":
    """The encoder of an exported model, its weights still to be loaded. Raises UserError on a bad tokenizer.json."""
    path = folder / "tokenizer.json"
    if not path.exists():
        raise UserError(f"{path} is missing: fetch the model folder again")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower type
        raise UserError(f"{path} is damaged ({error}): fetch the model folder again") from error
    return Encoder(build(Config, values, "text."), tokenizer)


class Encoder(nn.Module):
    """Prompts -> one vector per token, attending both ways."""

    def __init__(self, config: Config, tokenizer: Tokenizer):
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.embed = nn.Embedding(config.vocabulary, config.width)
        self.place = nn.Embedding(config.max_tokens, config.width)
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            4 * config.width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(
            layer, config.depth, norm=nn.LayerNorm(config.width), enable_nested_tensor=False
        )
        nn.init.normal_(self.embed.weight, std=1 / math.sqrt(config.width))
        nn.init.normal_(self.place.weight, std=1 / math.sqrt(config.width))

    def save(self, folder: Path) -> None:
        """What `load` needs besides the weights."""
        self.tokenizer.save(str(folder / "tokenizer.json"))

    def lengths(self, prompts: Sequence[str]) -> tuple[int, ...]:
        """How many tokens each prompt has."""
        return tuple(map(len, self._ids(prompts)))

    def _ids(self, prompts: Sequence[str]) -> list[list[int]]:
        return [self.tokenizer.encode(p.strip().lower()).ids if p.strip() else [] for p in prompts]

    def encode(self, prompts: Sequence[str]) -> tuple[Float[Tensor, "m d"], tuple[int, ...]]:
        """The tokens of all prompts one after another, and how many each has; "" has none. Case is ignored.

        Raises UserError on a prompt of more than `max_tokens` tokens.
        """
        ids = self._ids(prompts)
        for prompt, tokens in zip(prompts, ids, strict=True):
            if len(tokens) > self.config.max_tokens:
                raise UserError(
                    f"the prompt has {len(tokens)} tokens ({prompt[:40]!r}...); this model reads at most "
                    f"{self.config.max_tokens}: shorten it"
                )
        lengths = tuple(len(tokens) for tokens in ids)
        device = self.embed.weight.device
        if not any(lengths):
            return torch.zeros(0, self.config.width, device=device), lengths
        real = torch.arange(max(lengths), device=device) < torch.tensor(lengths, device=device)[:, None]
        padded = torch.zeros(real.shape, dtype=torch.long, device=device)
        padded[real] = torch.tensor([t for tokens in ids for t in tokens], device=device)
        some = real.any(1)  # a softmax over no key is not a number: empty prompts stay out
        encoded = self(padded[some], real[some])
        return encoded[real[some]].float(), lengths

    def forward(self, ids: Tensor, real: Bool[Tensor, "b m"]) -> Float[Tensor, "b m d"]:
        x = self.embed(ids) + self.place.weight[: ids.shape[1]]
        mask = torch.zeros_like(real, dtype=x.dtype).masked_fill(~real, -math.inf)
        return self.layers(F.layer_norm(x, x.shape[-1:]), src_key_padding_mask=mask)
