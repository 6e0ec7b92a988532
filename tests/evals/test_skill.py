"""Skills: 0 for what a frozen clip gets, 1 for what real ones get, and blind metrics do not count."""

import numpy as np
import pytest

from worldpatch.evals._skill import geometric, summarise
from worldpatch.evals.suites._task import Form, Metric, Task

ERROR = Metric(unit="m", worst=1.0)
BLIND = Metric(unit="m", worst=1.0)


def task(i: int, metrics: dict[str, Metric] | None = None, group: str = "fall", **real: float) -> Task:
    metrics = metrics or {"path": ERROR}
    base = {name: real.get(name, 0.1) for name in metrics}
    return Task(
        key=f"{group}-{i}", prompt="a red ball falls", form=Form(), strata={"scenario": group}, metrics=metrics,
        baselines={"real": base, "copy": dict.fromkeys(metrics, 0.9), "refit": dict.fromkeys(metrics, 0.3)},
    )  # fmt: skip


@pytest.mark.parametrize(("value", "skill"), [(0.9, 0.0), (0.1, 1.0), (0.5, 0.5), (0.02, 1.0), (1.0, 0.0)])
def test_a_skill_lies_between_naive_and_real(value: float, skill: float):
    headline, (group,) = summarise([task(i) for i in range(4)], [[{"path": value}]] * 4, "scenario")
    assert group.metrics[0].skill == pytest.approx(skill)
    assert headline.skill == pytest.approx(skill)
    assert headline.interval == pytest.approx((skill, skill)), "all tasks alike: nothing to resample"
    assert headline.baselines["refit"] == pytest.approx(0.75)


def test_a_blind_metric_is_marked_and_does_not_count():
    tasks = [task(i, {"path": ERROR, "spin": BLIND}, spin=0.5) for i in range(3)]
    _, (group,) = summarise(tasks, [[{"path": 0.1, "spin": 0.9}]] * 3, "scenario")
    assert [m.sees for m in group.metrics] == [True, False]
    assert group.skill == pytest.approx(1.0)


def test_a_family_counts_once():
    twin = Metric(unit="", worst=1.0, family="same")
    metrics = {"path": ERROR, "a": twin, "b": twin}
    _, (group,) = summarise([task(0, metrics)], [[{"path": 0.1, "a": 0.9, "b": 0.9}]], "scenario")
    assert group.skill == pytest.approx(0.5)


def test_metrics_that_no_task_defines_are_left_out():
    _, (group,) = summarise([task(0, {"path": ERROR, "apex": ERROR})], [[{"path": 0.1}]], "scenario")
    assert [m.metric for m in group.metrics] == ["path"]


def test_higher_may_be_better():
    metric = Metric(unit="share", worst=0.0, best=1.0, higher=True, naive=0.0)
    tasks = [task(i, {"colour": metric}, colour=1.0) for i in range(2)]
    _, (group,) = summarise(tasks, [[{"colour": 1.0}, {"colour": 0.0}], [{"colour": 1.0}]], "scenario")
    assert group.metrics[0].value == pytest.approx(0.75), "seeds of a task are averaged before tasks are"


def test_intervals_cover_the_spread_of_tasks():
    rng = np.random.default_rng(0)
    scores = [[{"path": float(v)}] for v in rng.uniform(0.1, 0.9, 50)]
    headline, _ = summarise([task(i) for i in range(50)], scores, "scenario")
    low, high = headline.interval
    assert low < headline.skill < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(1 / 12 / 50), rel=0.25), "uniform skills: variance 1/12"


def test_the_geometric_mean_feels_one_zero():
    assert geometric([0.5, 0.5]) == pytest.approx(0.5)
    assert geometric([1.0, 0.0]) == pytest.approx((np.sqrt(101) - 1) / 100)


@pytest.mark.parametrize(("value", "bound"), [(np.nan, 1.0), (np.inf, 1.0), (7.0, 1.0), (0.2, 0.2)])
def test_what_cannot_be_measured_is_the_worst(value: float, bound: float):
    assert ERROR.bounded(value) == bound
