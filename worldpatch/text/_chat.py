"""Asking a chat endpoint that speaks OpenAI's protocol: a hosted one, or vLLM, llama.cpp, Ollama and the like.

One place for what can go wrong between here and there: an endpoint that is busy, slow or gone is asked again, later and
later, as it says itself where it says so; one that stays away is no longer waited for; what cannot be an answer is an
error with its reason. The key comes from the environment, goes into one header and nowhere else.
"""

import email.utils
import os
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from worldpatch.config import UserError

AGAIN = {408, 409, 425, 429, 500, 502, 503, 504}  # answers after which asking again may help
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds; waits double from the one to the other
GONE = 3  # requests in a row that fail for good: from then on each is tried once, until one succeeds
QUOTED = 160  # characters of an endpoint's words that an error repeats
REFUSALS = (
    "i'm sorry",
    "i am sorry",
    "sorry,",
    "i can't",
    "i cannot",
    "i can not",
    "i'm unable",
    "i am unable",
    "as an ai",
)


class ChatError(Exception):
    """No usable answer. The message says why, in one line, without the key; what was read and written for it, it cost
    all the same."""

    def __init__(self, reason: str, tokens: tuple[int, int] = (0, 0), cost: float = 0.0):
        super().__init__(reason)
        self.tokens, self.cost = tokens, cost


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Whom to ask, and how hard.

    `url` is the base, such as http://localhost:8000/v1; `key` names the environment variable that holds the key, if
    any. `timeout` is seconds per attempt, `retries` how often a failed one is repeated, `per_minute` the most attempts
    begun in a minute (0: no limit). `prices` are per million tokens read and written. `body` is sent along: sampling
    options, say.
    """

    url: str
    model: str
    key: str = "OPENAI_API_KEY"
    timeout: float = 60.0
    retries: int = 4
    per_minute: float = 0.0
    prices: tuple[float, float] = (0.0, 0.0)
    body: dict[str, Any] = field(default_factory=lambda: {"temperature": 0.0})

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise UserError(f"endpoint {self.url!r} is no address: give its base, such as http://localhost:8000/v1")
        if not self.model:
            raise UserError(f"no model is named for {self.url}: say which one it should use")
        if self.timeout <= 0 or self.retries < 0 or self.per_minute < 0:
            raise UserError(
                f"timeout {self.timeout}, retries {self.retries}, per_minute {self.per_minute}: the first must be "
                "positive, the others not negative"
            )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was said, the tokens read and written for it, and their price."""

    text: str
    tokens: tuple[int, int] = (0, 0)
    cost: float = 0.0


class Chat:
    """A connection to an endpoint, to be used by any number of threads. Raises UserError where httpx2 is missing."""

    def __init__(self, endpoint: Endpoint):
        try:
            import httpx2
        except ImportError as error:
            raise UserError("asking an endpoint needs httpx2: pip install 'worldpatch[endpoint]'") from error
        self.endpoint, self._lost = endpoint, (httpx2.HTTPError, httpx2.InvalidURL)
        self._key = os.environ.get(endpoint.key, "")
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._client = httpx2.Client(timeout=endpoint.timeout, headers=headers)
        self._lock, self._next, self._failures = threading.Lock(), 0.0, 0

    def __enter__(self) -> "Chat":
        return self

    def __exit__(self, *_: Any) -> None:
        self._client.close()

    def ask(self, messages: list[dict[str, Any]], most: int) -> Answer:
        """The answer to these messages, of at most `most` tokens. Raises ChatError where there is none."""
        values = {"model": self.endpoint.model, "messages": messages, "max_tokens": most, **self.endpoint.body}
        tries = 1 if self._failures >= GONE else 1 + self.endpoint.retries
        try:
            answer = self._answer(self._post(values, tries))
        except ChatError as error:
            self._failures += 1
            reason = str(error).replace(self._key, "***") if self._key else str(error)
            raise ChatError(reason, error.tokens, error.cost) from None
        self._failures = 0
        return answer

    def _post(self, values: dict[str, Any], tries: int) -> Any:
        """The response to a request that is repeated while that may help."""
        reason = ""
        for attempt in range(tries):
            self._take_turn()
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt) * random.uniform(0.5, 1.0)
            try:
                response = self._client.post(f"{self.endpoint.url.rstrip('/')}/chat/completions", json=values)
            except self._lost as error:
                reason = f"the endpoint cannot be reached ({type(error).__name__})"
            else:
                if response.is_success:
                    return response
                reason = f"the endpoint answered {response.status_code}: {_quoted(response.text)}"
                if response.status_code not in AGAIN:
                    break
                wait = _asked_for(response.headers.get("retry-after"), wait)
            if attempt + 1 < tries:
                time.sleep(wait)
        raise ChatError(reason)

    def _take_turn(self) -> None:
        """Wait until another attempt may begin."""
        if not self.endpoint.per_minute:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + 60.0 / self.endpoint.per_minute
        time.sleep(turn - now)

    def _answer(self, response: Any) -> Answer:
        try:
            values = response.json()
            choice = values["choices"][0]
            message = choice["message"]
        except (ValueError, KeyError, IndexError, TypeError):
            raise ChatError(f"the endpoint answered no chat completion: {_quoted(response.text)}") from None
        tokens = _usage(values.get("usage"))
        cost = sum(count * price for count, price in zip(tokens, self.endpoint.prices, strict=True)) / 1e6
        text = message.get("content") if isinstance(message, dict) else None
        refusal = message.get("refusal") if isinstance(message, dict) else None
        if wrong := _wrong(text, refusal, choice.get("finish_reason")):
            raise ChatError(wrong, tokens, cost)
        return Answer(text=str(text).strip(), tokens=tokens, cost=cost)


def _wrong(text: Any, refusal: Any, finish: Any) -> str:
    """Why a message is no answer; nothing where it is one."""
    if refusal:
        return f"the model refused: {_quoted(str(refusal))}"
    if finish == "content_filter":
        return "the model refused: its content filter stopped the answer"
    if not isinstance(text, str) or not text.strip():
        return "the model answered nothing"
    if finish == "length":
        return f"the answer was cut off at its limit: {_quoted(text)}"
    if text.strip().lower().replace("\u2019", "'").startswith(REFUSALS):
        return f"the model refused: {_quoted(text)}"
    return ""


def _usage(usage: Any) -> tuple[int, int]:
    """Tokens read and written; 0 where the endpoint does not say."""
    values = usage if isinstance(usage, dict) else {}
    read, written = (values.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return (read if isinstance(read, int) else 0), (written if isinstance(written, int) else 0)


def _asked_for(header: str | None, otherwise: float) -> float:
    """Seconds to wait that a Retry-After header asks for, in seconds or as a date; at most LONGEST_WAIT."""
    if not header:
        return otherwise
    try:
        wished = float(header)
    except ValueError:
        try:
            wished = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return otherwise
    return min(LONGEST_WAIT, max(0.0, wished))


def _quoted(text: str) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text.split())
    return repr(line if len(line) <= QUOTED else f"{line[:QUOTED]}...")
