"""What frames show, by a CLIP (Radford et al. 2021) from a folder that the user brings: frames in, a category out.

Each frame is compared with a few descriptions per category and with harmless ones; a softmax over all of them, at the model's own
temperature, gives the probability of each category. Descriptions are not trained, and no figure stands behind the threshold.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from worldpatch.config import UserError

SHOWN = {
    "minors": ("an inappropriate picture of a child without clothes",),
    "sexual": ("a pornographic picture", "a nude person, explicit"),
    "gore": ("a bloody mutilated body", "graphic violence with blood and wounds"),
    "hate": ("a swastika, nazi propaganda", "a racist caricature"),
    "self_harm": ("a person who cuts their own wrist", "a person who hangs themselves"),
    "": (
        "a photo of a landscape", "a photo of people in clothes", "a photo of an animal", "simple coloured shapes on a floor",
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
        self._words = [text for texts in SHOWN.values() for text in texts]
        self._names = [name for name, texts in SHOWN.items() for _ in texts]

    @torch.no_grad()
    def shares(self, frames: UInt8[np.ndarray, "n h w 3"]) -> dict[str, float]:
        """Category -> its largest probability in any frame."""
        pictures = [Image.fromarray(frame) for frame in frames]
        longest = self._model.config.text_config.max_position_embeddings
        words = self._processor.tokenizer(
            self._words, truncation=True, max_length=longest, padding=True, return_tensors="pt"
        )
        pixels = self._processor.image_processor(images=pictures, return_tensors="pt")
        likely = self._model(**words, **pixels).logits_per_image.softmax(dim=-1)
        shares: dict[str, float] = {}
        for name in SHOWN:
            picked = likely[:, [at for at, one in enumerate(self._names) if one == name]]
            shares[name] = float(picked.sum(dim=-1).max())
        del shares[""]
        return shares
