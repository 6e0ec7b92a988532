"""The environment stays lean: nothing that breaks CPU torch, and nothing heavy behind a plain import."""

import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]

FORBIDDEN = {
    "torchvision": "its PyPI wheel breaks CPU torch (operator torchvision::nms does not exist), then transformers",
    "opencv-python": "it overwrites opencv-python-headless and needs a screen",
}


def installed() -> set[str]:
    return {re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower() for d in distributions()}


def test_nothing_installed_that_breaks_torch_or_opencv():
    found = {name: why for name, why in FORBIDDEN.items() if name in installed()}
    assert not found, f"uninstall these, and find what asked for them: {found}"


def test_no_cuda_packages_without_a_gpu():
    if not torch.cuda.is_available():
        found = sorted(name for name in installed() if name.startswith("nvidia-"))
        assert not found, f"gigabytes that no GPU here can use, from a CUDA build of torch: {found}"


def modules_after(code: str) -> set[str]:
    """Names of the top-level packages that a fresh interpreter holds after running `code`."""
    script = f"{code}\nimport sys\nprint('\\nMODULES', *{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.rpartition("MODULES")[2].split())


def test_importing_the_package_imports_nothing_heavy():
    assert not modules_after("import worldpatch") & {"torch", "numpy", "pydantic", "av", "PIL"}


def test_help_does_not_import_torch():
    call = (
        "import runpy, sys\n"
        "sys.argv = ['worldpatch', '--help']\n"
        "try:\n"
        "    runpy.run_module('worldpatch', run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code"
    )
    assert not modules_after(call) & {"torch", "numpy", "av", "mujoco"}
