"""Names to modules, JSON to dataclasses, and errors that say what is known."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from worldpatch import config
from worldpatch.config import UserError


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    inner: Inner = Inner()
    patch: tuple[int, ...] = (1, 2, 2)
    parts: tuple[Inner, ...] = ()


def test_plug_ins_are_files():
    assert "packed" in config.available("dit") and "causal" in config.available("vae")
    assert not any(
        name.startswith("_") for kind in ("dit", "worlds", "evals/suites") for name in config.available(kind)
    )
    assert config.available("no/such/room") == []


@pytest.mark.parametrize("kind", ["dit", "vae", "text", "worlds", "train/stages", "evals/metrics"])
def test_every_plug_in_resolves(kind: str):
    assert config.available(kind)
    for name in config.available(kind):
        module = config.resolve(kind, name)
        assert module.__name__ == f"worldpatch.{kind.replace('/', '.')}.{name}"


@pytest.mark.parametrize("name", ["pakced", "_rope", "../config", ""])
def test_an_unknown_name_lists_the_known(name: str):
    with pytest.raises(UserError, match="no dit is named .*known: .*packed"):
        config.resolve("dit", name)


def test_an_unknown_key_lists_the_known():
    with pytest.raises(UserError, match="unknown key 'nmae' for Outer; known: name, inner, patch, parts"):
        config.build(Outer, {"nmae": "x"})
    with pytest.raises(UserError, match="unknown key 'inner.raet' for Inner; known: rate, betas"):
        config.build(Outer, {"name": "x", "inner": {"raet": 1}})
    with pytest.raises(UserError, match="'options.parts.depth'"):
        config.build(Outer, {"name": "x", "parts": [{"depth": 1}]}, "options.")


def test_lists_become_tuples_and_dicts_become_records():
    values = {"name": "x", "inner": {"betas": [0.5, 0.6]}, "patch": [2, 2], "parts": [{"rate": 1.0}]}
    built = config.build(Outer, values)
    assert built == Outer(name="x", inner=Inner(betas=(0.5, 0.6)), patch=(2, 2), parts=(Inner(rate=1.0),))
    assert hash(built)


numbers = st.floats(allow_nan=False, allow_infinity=False)
inners = st.builds(Inner, rate=numbers, betas=st.tuples(numbers, numbers))


@builders.PATIENT
@given(st.builds(Outer, name=st.text(), inner=inners, parts=st.lists(inners, max_size=2).map(tuple)))
def test_dump_and_build_round_trip(value: Outer):
    assert config.build(Outer, config.dump(value)) == value
