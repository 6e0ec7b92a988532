"""A frozen encoder from Hugging Face (T5, UMT5, Gemma, ...): its last hidden states are the tokens.

Its weights are not part of a checkpoint: they are read from the hub's cache, or from a folder, by name. The backbone
learns only the projection of its tokens, as in Imagen (Saharia et al. 2022) and Wan.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldpatch.config import UserError, build


@dataclass(frozen=True, kw_only=True)
class Config:
    """`name` is a hub id such as "google/t5-v1_1-small" or a folder; `width` is read from it."""

    name: str = ""
    max_tokens: int = 256
    width: int = 0


def create(values: dict[str, Any], captions: Iterable[str]) -> "Encoder":
    """The encoder that `values` name; it knows its words already, so the captions are not read."""
    return Encoder(build(Config, values, "text."))


def load(values: dict[str, Any], folder: Path) -> "Encoder":
    """The encoder of an exported model; `folder` holds nothing of it."""
    return Encoder(build(Config, values, "text."))


class Encoder(nn.Module):
    """Prompts -> the hidden states of a frozen network."""

    def __init__(self, config: Config):
        super().__init__()
        network, self.tokenizer = _pretrained(config.name)
        network.requires_grad_(False).eval()
        self.unsaved = (network,)  # in a tuple, so that a state dict does not hold it
        width = network.config.d_model if hasattr(network.config, "d_model") else network.config.hidden_size
        self.config = Config(name=config.name, max_tokens=config.max_tokens, width=width)
        self.register_buffer("here", torch.zeros(0), persistent=False)  # follows `to`, and so tells the device
        self.here: Tensor

    def _apply(self, function: Callable, recurse: bool = True) -> "Encoder":
        self.unsaved[0]._apply(function)
        return super()._apply(function, recurse)

    def save(self, folder: Path) -> None:
        """Nothing: the name in the record suffices."""

    def lengths(self, prompts: Sequence[str]) -> tuple[int, ...]:
        """How many tokens each prompt has."""
        return tuple(len(self._ids(prompt)) for prompt in prompts)

    def _ids(self, prompt: str) -> list[int]:
        return self.tokenizer(prompt).input_ids if prompt.strip() else []

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> tuple[Float[Tensor, "m d"], tuple[int, ...]]:
        """The tokens of all prompts one after another, and how many each has; "" has none.

        Raises UserError on a prompt of more than `max_tokens` tokens.
        """
        rows, lengths = [self.here.new_zeros(0, self.config.width)], []
        for prompt in prompts:  # one at a time: no padding, so no company can change a prompt's tokens
            ids = self._ids(prompt)
            count = len(ids)
            if count > self.config.max_tokens:
                raise UserError(
                    f"the prompt has {count} tokens ({prompt[:40]!r}...); this model reads at most "
                    f"{self.config.max_tokens}: shorten it"
                )
            if ids:
                batch = torch.tensor([ids], device=self.here.device)
                rows.append(self.unsaved[0](input_ids=batch).last_hidden_state[0].float())
            lengths.append(count)
        return torch.cat(rows), tuple(lengths)


def _pretrained(name: str) -> tuple[Any, Any]:
    """(network, tokenizer), of a family with two halves the encoder alone. Raises UserError where it cannot be had."""
    try:
        import transformers
    except ImportError as error:
        raise UserError(f"text encoder {name!r} needs transformers: pip install 'worldpatch[hub]'") from error
    try:
        family = transformers.AutoConfig.from_pretrained(name).model_type
        halves = {"t5": "T5EncoderModel", "umt5": "UMT5EncoderModel", "mt5": "MT5EncoderModel"}
        network = getattr(transformers, halves.get(family, "AutoModel")).from_pretrained(name)
        return network, transformers.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"text encoder {name!r} cannot be loaded ({reason}): give a hub id or a whole folder"
        ) from error
