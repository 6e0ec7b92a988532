"""What frames show, by a CLIP (Radford et al. 2021) from a folder that the user brings: frames in, a category out.

Each frame is compared with a few descriptions per category and with harmless ones; a softmax over all of them, at the
model's own temperature, gives the probability of each category. Descriptions are not trained, and no figure stands
behind the threshold.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from worldpatch.config import UserError

SHOWN = {
    "minors": ("an inappropriate picture of a child without clothes",),
    "sexual": ("a pornographic picture", "a nude person, explicit"),
    "gore": ("a bloody mutilated body", "graphic violence with blood and wounds"),
    "hate": ("a swastika, nazi propaganda", "a racist caricature"),
    "self_harm": ("a person who cuts their own wrist", "a person who hangs themselves"),
    "": (
        "a photo of a landscape", "a photo of people in clothes", "a photo of an animal", "coloured shapes on a floor",
        "a cartoon", "a photo of food", "a photo of a street", "an abstract pattern", "a blurred picture",
        "a classical sculpture in a museum", "a portrait of a person", "children playing, fully dressed",
    ),
}  # fmt: skip


class Eyes:
    """The model in a folder as `transformers` saves it. Raises UserError where it cannot be loaded."""

    def __init__(self, folder: str):
        if not Path(folder).is_dir():
            raise UserError(f"no CLIP is in {folder!r}: give clip=FOLDER, one with a config.json and weights")
        try:
            import transformers
        except ImportError as error:
            raise UserError("judging frames by a CLIP needs transformers: pip install 'worldpatch[hub]'") from error
        try:
            self._processor: Any = transformers.CLIPProcessor.from_pretrained(folder, local_files_only=True)
            self._model: Any = transformers.CLIPModel.from_pretrained(folder, local_files_only=True).eval()
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"{folder} cannot be loaded as a CLIP ({reason}): give clip=FOLDER another") from error
        self._names = [name for name, texts in SHOWN.items() for _ in texts]
        self._words = torch.stack([self._said(text) for texts in SHOWN.values() for text in texts])

    @torch.no_grad()
    def shares(self, frames: UInt8[np.ndarray, "n h w 3"]) -> dict[str, float]:
        """Category -> its largest probability in any frame."""
        inputs = self._processor(images=[Image.fromarray(frame) for frame in frames], return_tensors="pt")
        pictures = _unit(self._model.get_image_features(**inputs).pooler_output)
        likely = (self._model.logit_scale.exp() * pictures @ self._words.T).softmax(dim=-1)
        shares: dict[str, float] = {}
        for name in SHOWN:
            picked = likely[:, [at for at, one in enumerate(self._names) if one == name]]
            shares[name] = float(picked.sum(dim=-1).max())
        del shares[""]
        return shares

    @torch.no_grad()
    def _said(self, text: str) -> Float[Tensor, " width"]:
        """The vector of a text, of length 1."""
        longest = self._model.config.text_config.max_position_embeddings
        inputs = self._processor.tokenizer([text], truncation=True, max_length=longest, return_tensors="pt")
        return _unit(self._model.get_text_features(**inputs).pooler_output)[0]


def _unit(vectors: Float[Tensor, "n width"]) -> Float[Tensor, "n width"]:
    return torch.nn.functional.normalize(vectors.float(), dim=-1)
