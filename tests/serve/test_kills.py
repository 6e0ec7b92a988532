"""Processes that are killed in the middle of a video; a hundred times more in `benchmarks/service.py kill`."""

import os
import signal
import time

import pytest

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("what", ["worker", "answers"])
def test_killed_processes_cost_nothing(server, what):
    client = server.client(max_retries=20)
    body = {"prompt": "a red ball falls", "seconds": "6", "extra_body": {"steps": 40, "seed": 7}}
    whole = client.videos.create_and_poll(**body)
    made = client.videos.create(**body)
    _until(lambda: client.videos.retrieve(made.id).progress >= 20)
    (pid,) = server.pids(what)
    os.kill(pid, signal.SIGKILL)
    _until(lambda: server.pids(what) not in ([], [pid]))
    again = client.videos.poll(made.id)
    assert again.status == "completed", again.error
    one, other = (client.videos.download_content(id, variant="frames").read() for id in (whole.id, again.id))
    assert one == other


def _until(true, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.05)
