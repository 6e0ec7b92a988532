"""The ledger counts every clip once, under its licence and source."""

from pathlib import Path

import pytest

from tests import builders
from worldpatch.data import licences, manifest, shards


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = builders.films(tmp_path_factory.mktemp("set"), 5, frames=12)
    writer = shards.Writer(found)
    writer.write("bare", next(builders.clips([(1, 2, 2)]))[1])
    writer.flush()
    manifest.write(found)
    return found


def test_every_clip_stands_under_its_licence(folder: Path):
    first, second, third = licences.ledger(folder)
    assert (first.name, first.clips, first.seconds) == ("CC-BY-4.0", 3, 1.5)
    assert first.sources == {"films/0.mp4": 1, "films/2.mp4": 1, "films/4.mp4": 1}
    assert (second.name, second.clips, second.seconds) == ("CC0-1.0", 2, 1.0)
    assert (third.name, third.clips, third.sources) == ("not stated", 1, {"not stated": 1})


def test_the_page(folder: Path):
    page = licences.markdown(licences.ledger(folder))
    assert page.startswith("# Licences\n\n6 clips, 2.6 seconds.\n")
    assert "| CC-BY-4.0 | 3 | 1.5 | 3 |" in page and "- films/4.mp4: 1 clips" in page


def test_a_page_of_many_sources_is_short():
    entry = licences.Licence(name="a|b", clips=30, seconds=1.0, sources={f"s{i}": 1 for i in range(30)})
    page = licences.markdown([entry])
    assert (
        "| a\\|b | 30 | 1.0 | 30 |" in page and "- and 20 more sources, all in the JSON" in page and "s12" not in page
    )
    assert len(entry.json()["sources"]) == 30
