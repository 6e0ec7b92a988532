"""The page of abilities can be made again: its script in its short form, every ability and every trial once."""

import subprocess
import sys
from pathlib import Path

from worldpatch.cli import ABILITIES, PLAIN
from worldpatch.cli._listing import first_lines

ROOT = Path(__file__).parents[1]


def test_the_page_of_abilities_is_made(tmp_path: Path):
    page = tmp_path / "abilities.md"
    script = [sys.executable, str(ROOT / "benchmarks" / "abilities.py"), "--short", "-o", str(page)]
    subprocess.run(script, check=True, capture_output=True, cwd=ROOT)
    told, sheet = page.read_text(), page.with_suffix(".png")
    missing = [name for name in first_lines(ABILITIES) if name != PLAIN and f"| {name} |" not in told]
    assert not missing and sheet.stat().st_size > 10_000
    for claim in ("animate: identity", "camera: error", "motion: paths", "storyboard: the character", "60 s: last"):
        assert claim in told
