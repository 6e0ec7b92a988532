"""How much of the picture is text: boxes of a DBNet detector (Liao et al. 2020), run by OpenCV.

Any export that makes of a picture a map of probabilities of its size will do: those of OpenCV's tutorial, say, or
PP-OCR's detectors from its model zoo. A clip has as much text as the fullest frame looked at.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from worldpatch.config import UserError
from worldpatch.data import _frames

MEAN = (122.67891434, 116.66876762, 104.00698793)  # taken off the channels in this order, as in the detectors' training
UNCLIP = 2.0  # by how much a box is larger than the heart of a text that the detector marks: area by perimeter
SMALLEST = 3.0  # pixels of a box's shorter side


@dataclass(frozen=True, kw_only=True)
class Config:
    """`model` is the detector, an ONNX file; frames are stretched to `height` x `width`, multiples of 32, for it.
    `binary` is the least probability of a pixel, `polygon` that of a box. `frames` of a clip are looked at."""

    model: str = ""
    height: int = 736
    width: int = 736
    binary: float = 0.3
    polygon: float = 0.5
    frames: int = 4

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise UserError(f"ocr.frames {self.frames} must be at least 1")
        if min(self.height, self.width) < 32 or self.height % 32 or self.width % 32:
            raise UserError(
                f"ocr.height {self.height} and ocr.width {self.width} must be multiples of 32 of at least 32"
            )


class Scorer:
    def __init__(self, config: Config):
        self.config = config
        self._network = _network(config)

    def score(self, frames: UInt8[np.ndarray, "t h w 3"], rate: float, caption: str) -> dict[str, float]:
        chosen = _frames.some(frames, self.config.frames)
        return {"text": max(covered(_chances(self._network, frame, self.config), self.config) for frame in chosen)}


def covered(chances: Float[np.ndarray, "h w"], config: Config) -> float:
    """The share of a picture within boxes of text, of the probability of each pixel to be the heart of one.

    As in the detector's own post-processing. OpenCV's `TextDetectionModel_DB` does the same, but (5.0) fails where the
    network's output has a batch and a channel, as that of most exports.
    """
    mask = np.zeros(chances.shape, np.uint8)
    contours, _ = cv2.findContours((chances > config.binary).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        centre, (width, height), angle = cv2.minAreaRect(contour)
        if min(width, height) < SMALLEST or _mean(chances, contour) < config.polygon:
            continue
        grown = 2 * width * height * UNCLIP / (2 * (width + height))
        corners = cv2.boxPoints((centre, (width + grown, height + grown), angle))
        cv2.fillPoly(mask, [corners.round().astype(np.int32)], 1)
    return float(mask.mean())


def _mean(chances: Float[np.ndarray, "h w"], contour: np.ndarray) -> float:
    """The mean probability within a contour."""
    left, top, width, height = cv2.boundingRect(contour)
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [contour - np.array([left, top])], 1)
    return cv2.mean(chances[top : top + height, left : left + width], inside)[0]


def _chances(
    network: cv2.dnn.Net, frame: UInt8[np.ndarray, "h w 3"], config: Config
) -> Float[np.ndarray, "height width"]:
    """The network's probability of each pixel of the stretched frame."""
    size = config.width, config.height
    network.setInput(cv2.dnn.blobFromImage(np.ascontiguousarray(frame[..., ::-1]), 1 / 255, size, MEAN))
    return np.asarray(network.forward(), np.float32).reshape(config.height, config.width)


def _network(config: Config) -> cv2.dnn.Net:
    """The detector, tried on one picture. Raises UserError where its file is missing, or is something else."""
    if not config.model or not Path(config.model).is_file():
        raise UserError(f"no text detector is in {config.model!r}: give --score ocr.model=FILE, a DBNet as ONNX")
    try:
        network = cv2.dnn.readNetFromONNX(config.model)
        _chances(network, np.zeros((config.height, config.width, 3), np.uint8), config)
    except (cv2.error, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{config.model} cannot be run as a DBNet text detector on {config.width}x{config.height} pixels "
            f"({reason}): give another --score ocr.model=FILE, or the ocr.height and ocr.width that it was exported for"
        ) from error
    return network
