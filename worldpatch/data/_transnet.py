"""Shot boundaries by TransNetV2 (Souček & Lokoč 2020), whose weights the user brings as a TorchScript export.

The network tells of every frame, among the frames around it, how likely the shot ends with it. It reads windows of 100
frames, of which the middle 50 count; before the first and after the last frame, these are repeated, as published.
"""

from collections import deque
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from worldpatch.config import UserError
from worldpatch.data.shots import Boundary

HEIGHT, WIDTH = 27, 48  # pixels of what the network sees
STEP, AROUND = 50, 25  # frames of a window that count, and those before and after them
THRESHOLD = 0.4  # probability, as in NeMo's defaults
LONGEST = 100  # frames above it that are told together: what is held must not grow


class Detector:
    """Like `shots.Detector`. `weights` is the file of the export. Raises UserError where it is none."""

    def __init__(self, rate: float, weights: str):
        self.rate, self.settled = rate, 0
        self._network = network(weights)
        self._count = 0  # frames seen
        self._known = 0  # frames with a probability
        self._held: deque[np.ndarray] = deque()  # what the next window shows, from its first frame on
        self._begun: int | None = None  # the first frame of a stretch above the threshold

    def add(self, frame: UInt8[np.ndarray, "h w 3"]) -> list[Boundary]:
        """The next frame, RGB -> the boundaries that are now settled, in order."""
        self._hold(frame)
        self._count += 1
        return self._settle(STEP) if self._count == self._known + STEP + AROUND else []

    def finish(self) -> list[Boundary]:
        """No more frames: the boundaries that were not settled yet. A shot that ends with the last frame is none."""
        told, last = [], self._held[-1] if self._held else None
        while self._known < self._count and last is not None:
            self._held.extend([last] * (STEP + 2 * AROUND - len(self._held)))
            told += self._settle(min(STEP, self._count - self._known))
        self.settled = self._count
        return told

    def _hold(self, frame: UInt8[np.ndarray, "h w 3"]) -> None:
        import cv2

        small = cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        self._held.extend([small] * (1 if self._held else 1 + AROUND))

    def _settle(self, frames: int) -> list[Boundary]:
        """The boundaries that so many more frames bring, from the window that is held; lets go of what is over."""
        chances = probabilities(self._network, np.stack(self._held))[AROUND : AROUND + frames]
        told = [b for chance in chances for b in self._next(bool(chance > THRESHOLD))]
        self.settled = self._known if self._begun is None else self._begun + 1
        for _ in range(STEP):
            self._held.popleft()
        return told

    def _next(self, above: bool) -> list[Boundary]:
        """Takes the next frame's side of the threshold -> the boundary of the stretch above it that has ended."""
        at, begun = self._known, self._begun
        self._known += 1
        if begun is None:
            self._begun = at if above else None
            return []
        if above and at - begun < LONGEST:
            return []
        self._begun = at if above else None
        if at - begun == 1:  # the one frame is the last of the old shot
            return [Boundary(frame=at, time=at / self.rate, kind="cut", start=at, stop=at)]
        frame = (begun + at + 1) // 2
        return [Boundary(frame=frame, time=frame / self.rate, kind="dissolve", start=begun + 1, stop=at - 1)]


@torch.no_grad()
def probabilities(network: Any, frames: UInt8[np.ndarray, "t 27 48 3"]) -> Float[np.ndarray, " t"]:
    """How likely a shot ends with each of these frames. Raises UserError where the network is another one."""
    try:
        output = network(torch.from_numpy(frames)[None])
        logits = output[0] if isinstance(output, tuple) else output
        return torch.sigmoid(logits.float()).reshape(len(frames)).numpy()
    except (torch.jit.Error, RuntimeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(
            f"the weights do not act like TransNetV2, which makes a logit of each frame of (1, n, 27, 48, 3) bytes "
            f"({reason}): export the published network by torch.jit"
        ) from error


@cache
def network(path: str) -> Any:
    """The network in a file, tried on one window. Raises UserError where it is none."""
    if not path or not Path(path).is_file():
        raise UserError(f"no weights of TransNetV2 are in {path!r}: give --weights FILE, a TorchScript export of it")
    try:
        loaded = torch.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path} is no TorchScript file ({reason}): save TransNetV2 by torch.jit.script or trace"
        ) from error
    probabilities(loaded, np.zeros((STEP + 2 * AROUND, HEIGHT, WIDTH, 3), np.uint8))
    return loaded
