"""Some frames of a clip, and how a vision model behind an endpoint is shown them and asked for JSON."""

import base64
import io
import json
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def some(frames: UInt8[np.ndarray, "t h w 3"], count: int) -> UInt8[np.ndarray, "n h w 3"]:
    """So many frames, evenly spaced from the first to the last; all of them where there are fewer."""
    return frames[np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))]


def question(text: str, frames: UInt8[np.ndarray, "n h w 3"], side: int) -> list[dict[str, Any]]:
    """The messages that ask this about these frames, none with a side of more than `side` pixels."""
    images = [{"type": "image_url", "image_url": {"url": picture(frame, side)}} for frame in frames]
    return [{"role": "user", "content": [{"type": "text", "text": text}, *images]}]


def picture(frame: UInt8[np.ndarray, "h w 3"], side: int) -> str:
    """A frame as the URL of a JPEG whose longer side has at most `side` pixels."""
    image, file = Image.fromarray(frame), io.BytesIO()
    image.thumbnail((side, side))
    image.save(file, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def answered(text: str) -> dict[str, Any]:
    """The JSON object in an answer, whatever stands around it. Raises ValueError where there is none."""
    return json.loads(text[text.index("{") : text.rindex("}") + 1])
