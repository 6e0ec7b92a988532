"""Frames as autoencoders take and give them."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def to_tensor(frames: UInt8[np.ndarray, "t h w 3"]) -> Float[Tensor, "3 t h w"]:
    """Grey levels, 0 to 255 -> [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, 0).float().div(127.5).sub(1)


def to_uint8(frames: Float[Tensor, "3 t h w"]) -> UInt8[np.ndarray, "t h w 3"]:
    """[-1, 1] -> grey levels; what lies beyond is clipped."""
    return frames.add(1).mul(127.5).round().clamp(0, 255).byte().movedim(0, -1).cpu().numpy()
