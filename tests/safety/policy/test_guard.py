"""A guard on loopback is asked, believed, and where it fails nothing else does."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from worldpatch.safety.policy import Policy, Settings

pytest.importorskip("httpx2")

Asked = list[tuple[str, dict[str, Any], str]]
"""Path, body and Authorization of each request."""


@contextmanager
def guard(answer: Callable[[dict[str, Any]], tuple[int, str]]) -> Iterator[tuple[str, Asked]]:
    """A server whose every answer is `answer(body)`: the base of its address, and what it was asked."""
    asked: Asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, body, self.headers.get("Authorization", "")))
            status, text = answer(body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            with suppress(BrokenPipeError):
                self.end_headers()
                self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def moderation(*flagged: str) -> str:
    names = ("sexual", "violence", "hate", "harassment")
    categories = {name: name in flagged for name in (*names, *flagged)}
    return json.dumps({"id": "m", "results": [{"flagged": bool(flagged), "categories": categories}]})


def completion(text: str) -> str:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]})


def test_moderation_is_asked_last_and_believed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GUARD_KEY", "secret")
    with guard(lambda body: (200, moderation("violence") if "duel" in str(body) else moderation())) as (url, asked):
        policy = Policy(Settings(guard_url=url, guard_key="GUARD_KEY", guard_model="m"))
        assert policy.judge("a red ball").as_dict() == {
            "allowed": True,
            "stage": "guard",
            "category": "",
            "rule": "",
            "reason": "",
        }
        refused = policy.judge("a duel")
        assert policy.judge("a naked woman").stage == "rules"
    assert (refused.allowed, refused.category, refused.rule) == (False, "gore", "guard.moderations.violence")
    assert [path for path, _, _ in asked] == ["/v1/moderations"] * 2 and asked[0][2] == "Bearer secret"
    assert asked[0][1] == {"model": "m", "input": [{"type": "text", "text": "a red ball"}]}


def test_categories_that_are_off_are_off_for_the_guard():
    with guard(lambda body: (200, moderation("violence"))) as (url, _):
        assert Policy(Settings(guard_url=url, off=("gore",))).judge("a red ball").allowed
    with guard(lambda body: (200, moderation("violence", "sexual/minors"))) as (url, _):
        assert Policy(Settings(guard_url=url, off=("gore", "sexual"))).judge("a red ball").category == "minors"
    with guard(lambda body: (200, moderation("something/new"))) as (url, _):
        assert Policy(Settings(guard_url=url)).judge("a red ball").category == "something/new"


@pytest.mark.parametrize(("said", "allowed", "category"), [
    ("safe", True, ""), ("\n\nsafe", True, ""), ("unsafe\nS10", False, "hate"), ("unsafe\nS6,S4", False, "minors"),
    ("unsafe", False, "unsafe"), ("Safety: Unsafe\nCategories: Violent", False, "unsafe"),
    ("I cannot help", False, "unanswered"), ("safely said, it is unsafe", False, "unanswered"),
])  # fmt: skip
def test_guard_models_that_chat(said: str, allowed: bool, category: str):
    with guard(lambda body: (200, completion(said))) as (url, asked):
        decision = Policy(Settings(guard_url=url, guard_kind="chat", guard_model="llama-guard")).judge("a red ball")
    assert (decision.allowed, decision.category) == (allowed, category)
    assert asked[0][0] == "/v1/chat/completions" and asked[0][1]["messages"] == [
        {"role": "user", "content": "a red ball"}
    ]


@pytest.mark.parametrize("kind", ["moderations", "chat"])
@pytest.mark.parametrize("answer", [
    (500, "{}"), (429, "busy"), (302, ""), (200, "<html>"), (200, "[]"), (200, "{}"), (200, '{"results": []}'),
    (200, '{"choices": []}'), (200, '{"results": [{"flagged": false}]}'),
    (200, '{"choices": [{"message": {"content": null}}]}'), (200, "null"),
])  # fmt: skip
def test_no_answer_is_closed_or_open_by_setting(kind: str, answer: tuple[int, str]):
    with guard(lambda body: answer) as (url, _):
        closed = Policy(Settings(guard_url=url, guard_kind=kind)).judge("a red ball")
        opened = Policy(Settings(guard_url=url, guard_kind=kind, fail_open=True)).judge("a red ball")
    assert not closed.allowed and opened.allowed
    assert closed.category == opened.category == "unanswered" and closed.rule == opened.rule != "guard."


def test_a_guard_that_is_slow_or_gone_has_not_answered():
    with guard(lambda body: (time.sleep(1.0), (200, moderation()))[1]) as (url, _):
        slow = Policy(Settings(guard_url=url, guard_timeout=0.1)).judge("a red ball")
    gone = Policy(Settings(guard_url=url)).judge("a red ball")
    assert (
        (slow.rule, gone.rule) == ("guard.ReadTimeout", "guard.ConnectError") and not slow.allowed and not gone.allowed
    )


def test_frames_are_sent_one_by_one_until_one_is_refused():
    answers = iter([moderation(), moderation("sexual"), moderation()])
    with guard(lambda body: (200, next(answers))) as (url, asked):
        policy = Policy(Settings(guard_url=url, frames=3))
        decision = policy.judge_frames(np.zeros((9, 600, 800, 3), np.uint8), 8.0)
    assert decision.category == "sexual" and len(asked) == 2
    (part,) = asked[0][1]["input"]
    assert part["type"] == "image_url" and part["image_url"]["url"].startswith("data:image/jpeg;base64,")
