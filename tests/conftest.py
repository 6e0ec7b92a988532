"""What every test shares: headless drawing, one thread, fixed seeds, and the clips handed to the project."""

import os
import random
import sys
from ctypes.util import find_library
from pathlib import Path

if sys.platform == "linux":  # read when mujoco is first imported, which is not before this
    os.environ.setdefault("MUJOCO_GL", "osmesa" if find_library("OSMesa") else "egl")
    os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa's software renderer; the test workers share the cores

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Sums are then taken in one order, and parallel test workers do not fight for cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What commands keep for their user, they do not keep for this one."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def clips_open() -> Path:
    """Real clips and pictures, broken ones among them, that lie beside the checkout on some machines."""
    folder = ROOT.parent / "shared" / "clips" / "open"
    if not folder.is_dir():
        pytest.skip(f"the real clips are not on this machine ({folder})")
    return folder
