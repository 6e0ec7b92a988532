"""Asking an endpoint: it is asked again where that may help, as it wishes, and what is no answer is an error."""

import email.utils
import json
import time

import pytest

from tests.chat import Reply, Server, said, server
from worldpatch.config import UserError
from worldpatch.text import _chat
from worldpatch.text._chat import Answer, Chat, ChatError, Endpoint

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_chat, "FIRST_WAIT", 0.001)


def _at(known: Server, **changes) -> Endpoint:
    return Endpoint(**{"url": known.url, "model": "m", "timeout": 1.0, **changes})


def ask(known: Server, **changes) -> Answer:
    with Chat(_at(known, **changes)) as chat:
        return chat.ask(HELLO, 50)


def test_an_answer_and_what_it_costs():
    with server(lambda n, asked: said(" yes ")) as known:
        answer = ask(known, prices=(3.0, 10.0), body={"top_p": 0.5})
    assert answer == Answer(text="yes", tokens=(100, 20), cost=5e-4)
    assert known.requests == [{"model": "m", "messages": HELLO, "max_tokens": 50, "top_p": 0.5}]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_who_is_busy_is_asked_again(status: int):
    with server(lambda n, asked: Reply("busy", status) if n < 2 else said("yes")) as known:
        assert ask(known).text == "yes"
    assert len(known.requests) == 3


def test_who_refuses_is_not_asked_again():
    with server(lambda n, asked: Reply("no such model", 404)) as known, pytest.raises(ChatError, match="404: 'no such"):
        ask(known)
    assert len(known.requests) == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(form: str):
    def answer(n: int, asked: dict) -> Reply:
        later = "0.3" if form == "seconds" else email.utils.formatdate(time.time() + 2, usegmt=True)
        return Reply("", 429, {"Retry-After": later}) if n == 0 else said("yes")

    begun = time.monotonic()
    with server(answer) as known:
        assert ask(known).text == "yes"
    assert time.monotonic() - begun > 0.25


def test_a_timeout_is_asked_again():
    def answer(n: int, asked: dict) -> Reply:
        if n == 0:
            time.sleep(0.5)
        return said("yes")

    with server(answer) as known, Chat(_at(known, timeout=0.2)) as chat:
        assert chat.ask(HELLO, 50).text == "yes"
    assert len(known.requests) == 2


def test_who_is_gone_is_soon_tried_only_once():
    begun = time.monotonic()
    with Chat(Endpoint(url="http://127.0.0.1:9/v1", model="m", retries=3)) as chat:
        for _ in range(50):
            with pytest.raises(ChatError, match="cannot be reached"):
                chat.ask(HELLO, 50)
    assert time.monotonic() - begun < 5


def test_rate_is_limited():
    begun = time.monotonic()
    with server(lambda n, asked: said("yes")) as known, Chat(_at(known, per_minute=1200.0)) as chat:
        for _ in range(5):
            chat.ask(HELLO, 50)
    assert time.monotonic() - begun >= 0.2


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply("<html>welcome</html>"), "no chat completion: '<html>"),
        (Reply("[]"), "no chat completion"),
        (Reply('{"choices": []}'), "no chat completion"),
        (Reply(b"\xff\xfe"), "no chat completion"),
        (Reply("no gzip", headers={"Content-Encoding": "gzip"}), "cannot be reached"),
        (Reply("", 301, {"Location": "/login"}), "answered 301"),
        (Reply('{"choices": [{"message": {"content": [1]}}], "usage": {"prompt_tokens": "many"}}'), "answered nothing"),
        (said(""), "answered nothing"),
        (Reply(json.dumps({"choices": [{"message": {"content": None}}]})), "answered nothing"),
        (Reply(json.dumps({"choices": [{"message": "yes"}]})), "answered nothing"),
        (said("I\u2019m sorry, but I can't help with that."), "refused"),
        (Reply(json.dumps({"choices": [{"message": {"content": None, "refusal": "no"}}]})), "refused: 'no'"),
        (said("well", finish_reason="content_filter"), "content filter"),
        (said("a red", finish_reason="length"), "cut off"),
    ],
)
def test_nonsense_is_an_error_with_its_reason(reply: Reply, reason: str):
    with server(lambda n, asked: reply) as known, pytest.raises(ChatError, match=reason):
        ask(known)


def test_the_key_goes_into_one_header_and_no_message(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    caplog.set_level("DEBUG")
    with server(lambda n, asked: Reply("bad key sk-secret", 401)) as known, pytest.raises(ChatError) as caught:
        ask(known, key="MY_KEY")
    assert known.headers[0]["Authorization"] == "Bearer sk-secret"
    assert "401" in str(caught.value) and "sk-secret" not in str(caught.value) + caplog.text


@pytest.mark.parametrize(
    ("changes", "rule"),
    [({"url": "localhost:8000"}, "no address"), ({"model": ""}, "no model"), ({"timeout": 0.0}, "positive")],
)
def test_bad_settings_are_refused(changes: dict, rule: str):
    with pytest.raises(UserError, match=rule):
        Endpoint(**{"url": "http://127.0.0.1:9/v1", "model": "m", **changes})
