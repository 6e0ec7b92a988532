"""Children of the server are started again; what can never start is said; a batch drawn before tells no speed."""

import os
import sys
import time

import pytest

from worldpatch.config import UserError
from worldpatch.serve import processes
from worldpatch.serve.processes import TRIES, Child
from worldpatch.serve.worker import paced


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(processes, "REST", 0.0)


def child(code: str) -> Child:
    return Child("worker-0", [sys.executable, "-c", code], dict(os.environ))


def until_started(one: Child) -> None:
    one.process.wait()
    former, until = one.process.pid, time.monotonic() + 10
    while one.process.pid == former:
        assert time.monotonic() < until
        one.tend()


def test_who_is_killed_is_started_however_often():
    one = child("import time; time.sleep(60)")
    for _ in range(TRIES + 2):
        one.process.kill()
        until_started(one)
    one.kill()


def test_what_can_never_start_is_said():
    one = child("raise SystemExit(3)")
    with pytest.raises(UserError, match=r"worker-0 cannot be started \(status 3\)"):
        for _ in range(TRIES):
            until_started(one)


def test_who_has_stood_once_is_never_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "YOUNG", 0.2)
    once = tmp_path / "once"  # it stands the first time alone
    code = (
        f"import pathlib, time; p = pathlib.Path({str(once)!r}); new = not p.exists(); p.touch(); time.sleep(9 * new)"
    )
    one = child(code)
    time.sleep(0.3)
    one.tend()
    assert one.stood
    one.process.terminate()
    for _ in range(TRIES + 1):
        until_started(one)
    one.kill()


def test_what_was_drawn_in_an_earlier_life_tells_no_speed():
    assert paced(None, 0.0, 0.2) is None and paced(50.0, 0.0, 0.2) == 50.0
    assert paced(None, 10.0, 0.5) == 20.0 and paced(50.0, 10.0, 0.5) == pytest.approx(44.0)
