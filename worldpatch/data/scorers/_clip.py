"""A CLIP (Radford et al. 2021) from a folder: pictures and words as points of one sphere."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from worldpatch.config import UserError


class Clip:
    """The model in a folder as `transformers` saves it. `option` is what the user names the folder by, for errors.

    Raises UserError where the folder, its contents or `transformers` is missing.
    """

    def __init__(self, folder: str, device: str, option: str):
        if not folder or not Path(folder).is_dir():
            raise UserError(
                f"no CLIP is in {folder!r}: give --score {option}=FOLDER, one with a config.json and weights"
            )
        try:
            import transformers
        except ImportError as error:
            raise UserError("scores by a CLIP need transformers: pip install 'worldpatch[hub]'") from error
        try:
            self._processor: Any = transformers.CLIPProcessor.from_pretrained(folder, local_files_only=True)
            model: Any = transformers.CLIPModel.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"{folder} cannot be loaded as a CLIP ({reason}): give another --score {option}=FOLDER"
            ) from error
        self._model = model.to(device).eval()
        self.width: int = model.config.projection_dim

    @torch.no_grad()
    def pictures(self, frames: UInt8[np.ndarray, "n h w 3"]) -> Float[Tensor, "n width"]:
        """One vector of length 1 per frame."""
        inputs = self._processor(images=[Image.fromarray(frame) for frame in frames], return_tensors="pt")
        return _unit(self._model.get_image_features(**inputs.to(self._model.device)).pooler_output)

    @torch.no_grad()
    def words(self, text: str) -> Float[Tensor, " width"]:
        """The vector of a text, of length 1; what is too long for the model is cut off."""
        longest = self._model.config.text_config.max_position_embeddings
        inputs = self._processor.tokenizer([text], truncation=True, max_length=longest, return_tensors="pt")
        return _unit(self._model.get_text_features(**inputs.to(self._model.device)).pooler_output)[0]


def _unit(vectors: Float[Tensor, "n width"]) -> Float[Tensor, "n width"]:
    return torch.nn.functional.normalize(vectors.float().cpu(), dim=-1)
