"""Ratings from matches whose answer is known: planted, symmetric, or too one-sided for plain likelihood."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from worldpatch.config import UserError
from worldpatch.evals import bradley_terry
from worldpatch.evals.bradley_terry import MEAN, Match, chances, fit

PLANTED = {"a": 1150.0, "b": 1000.0, "c": 850.0}
TIE_RATE = 0.3


def matches(rounds: int, rng: np.random.Generator) -> list[Match]:
    """Every pair of the planted ones once a round, each match for a prompt of its own."""
    found = []
    for number in range(rounds):
        for first, second in itertools.combinations(PLANTED, 2):
            probabilities = chances(PLANTED[first], PLANTED[second], TIE_RATE)
            winner = ("first", "second", "neither")[rng.choice(3, p=probabilities)]
            found.append(Match(first=first, second=second, winner=winner, group=f"{number}{first}{second}"))
    return found


def won(winner: str, loser: str, times: int = 1) -> list[Match]:
    return [Match(first=winner, second=loser, winner="first", group=f"{winner}{loser}{i}") for i in range(times)]


def values(found: bradley_terry.Fit) -> dict[str, float]:
    return {name: estimate.value for name, estimate in found.ratings.items()}


# ----------------------------------------------------------------------------------------------------------- the model


def test_400_points_are_ten_to_one_and_equals_tie_at_the_tie_rate():
    first, second, neither = chances(1400.0, 1000.0, TIE_RATE)
    assert first + second + neither == pytest.approx(1)
    assert first / second == pytest.approx(10)
    assert neither == pytest.approx(2 * TIE_RATE / (1 - TIE_RATE) * math.sqrt(first * second))  # Davidson's nu
    assert chances(700.0, 700.0, TIE_RATE)[2] == pytest.approx(TIE_RATE)


def test_two_models_without_ties_differ_by_the_log_of_their_odds():
    found = values(fit(won("a", "b", 3000) + won("b", "a", 1000), resamples=2))
    assert found["a"] - found["b"] == pytest.approx(400 * math.log10(3), abs=0.5)


# ---------------------------------------------------------------------------------------------------------- recovering


def test_planted_strengths_and_tie_rate_are_recovered():
    found = fit(matches(150, np.random.default_rng(0)), resamples=200)
    assert list(found.ratings) == ["a", "b", "c"]
    for estimate, truth in [(found.ratings[n], PLANTED[n]) for n in PLANTED] + [(found.tie_rate, TIE_RATE)]:
        for low, high in (estimate.curvature, estimate.bootstrap):
            assert low < truth < high
            assert low < estimate.value < high


def test_intervals_hold_the_truth_about_95_times_of_100():
    rng = np.random.default_rng(1)
    fits = [fit(matches(30, rng), resamples=60, seed=seed) for seed in range(40)]
    for kind in ("curvature", "bootstrap"):
        held = [low < PLANTED[n] < high for f in fits for n in PLANTED for low, high in [getattr(f.ratings[n], kind)]]
        assert 0.88 <= np.mean(held) <= 0.995, kind


def test_judgements_of_one_prompt_narrow_the_curvature_alone():
    """Nine judges who see the same thing on the same prompts add nothing about other prompts."""
    once = matches(20, np.random.default_rng(2))
    alone, crowd = (fit(once * times, resamples=200).ratings["a"] for times in (1, 9))
    width = {kind: np.ptp(getattr(crowd, kind)) / np.ptp(getattr(alone, kind)) for kind in ("curvature", "bootstrap")}
    assert width["curvature"] < 0.45 and width["bootstrap"] > 0.8


# ---------------------------------------------------------------------------------------------------------- identities


def test_symmetric_matches_make_equals():
    circle = won("a", "b", 5) + won("b", "c", 5) + won("c", "a", 5)
    assert list(values(fit(circle, resamples=2)).values()) == pytest.approx([MEAN] * 3, abs=0.01)


def test_sides_and_order_do_not_matter():
    there = matches(10, np.random.default_rng(3))
    back = [
        replace(
            m, first=m.second, second=m.first, winner={"first": "second", "second": "first"}.get(m.winner, m.winner)
        )
        for m in reversed(there)
    ]
    assert values(fit(there, resamples=2)) == pytest.approx(values(fit(back, resamples=2)), abs=0.01)


def test_the_mean_is_fixed_and_the_seed_repeats():
    some = matches(5, np.random.default_rng(4))
    found = fit(some, resamples=20, seed=3)
    assert np.mean(list(values(found).values())) == pytest.approx(MEAN, abs=0.01)
    assert fit(some, resamples=20, seed=3) == found != fit(some, resamples=20, seed=4)


# ------------------------------------------------------------------------------------------------------- the one-sided


def test_the_unbeaten_has_a_finite_rating_that_grows_with_its_wins():
    others = won("b", "c", 3) + won("c", "b", 3)
    ratings = [values(fit(won("a", "b", n) + others, resamples=20))["a"] for n in (1, 5, 50)]
    assert MEAN < ratings[0] < ratings[1] < ratings[2] < 2000


def test_all_ties_or_none_leave_a_tie_rate_between_0_and_1():
    ties = [replace(m, winner="neither") for m in won("a", "b", 10)]
    for some, low, high in ((ties, 0.5, 1.0), (won("a", "b", 5) + won("b", "a", 5), 0.0, 0.3)):
        rate = fit(some, resamples=20).tie_rate
        assert low < rate.value < high and 0 < rate.curvature[0] < rate.curvature[1] < 1


def test_who_never_met_cannot_be_rated():
    with pytest.raises(UserError, match=r"\{a, b\} and \{c, d\} were never compared"):
        fit(won("a", "b") + won("c", "d"))
    assert len(fit(won("a", "b") + won("b", "c") + won("c", "d"), resamples=2).ratings) == 4


def test_nothing_to_rate():
    with pytest.raises(UserError, match="no pair was judged"):
        fit([])
