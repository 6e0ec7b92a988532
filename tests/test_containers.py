"""Dockerfile and compose file, as far as they can be judged where no container can be built."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from worldpatch.serve.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]


def tool(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here: pip install -e '.[dev]'")
    return found


def test_the_dockerfile_is_clean():
    run = subprocess.run([tool("hadolint"), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_compose_file_is_one():
    command = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


def test_containers_know_the_server():
    """Not as root, with the versions of this project, and settings that there are."""
    docker, compose = (ROOT / "Dockerfile").read_text(), (ROOT / "compose.yaml").read_text()
    assert docker.rindex("USER 10001") > docker.rindex("RUN ")
    (pinned,) = re.findall(r"^torch==\S+", (ROOT / "constraints.txt").read_text(), re.M)
    assert pinned in docker
    for name in re.findall(rf"{PREFIX}([A-Z_]+)", docker + compose):
        assert name.lower() in Settings.model_fields, name
    services = yaml.safe_load(compose)["services"]
    ours = [service for service in services.values() if service["image"].startswith("worldpatch")]
    assert len(ours) == 3 and all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in ours)
    kept = yaml.safe_load(compose)["volumes"]
    for service in services.values():
        assert all(volume.partition(":")[0] in kept for volume in service["volumes"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
