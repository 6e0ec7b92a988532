"""Any endpoint that speaks OpenAI's protocol as one more judge: a prompt or frames in, a decision out.

Two kinds are spoken: `/moderations` (OpenAI's own shape, texts and pictures) and chat models that answer "safe", or
"unsafe" and a line of categories, as Llama Guard does. An endpoint that is gone, slow, or answers anything else has
not answered: then nothing is allowed, or everything with `fail_open`. It is asked once; it never raises.
"""

import base64
import io
import os
import re
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from worldpatch.config import UserError
from worldpatch.safety.policy.decision import CATEGORIES, Decision
from worldpatch.safety.policy.settings import Settings

LONGEST_SIDE = 512  # pixels of a frame that is sent
VERDICT = re.compile(r"(?:safety:\s*)?(safe|unsafe)\b[\s:]*(.*)", re.IGNORECASE | re.DOTALL)
OWN = {
    "sexual/minors": "minors", "sexual": "sexual", "violence/graphic": "gore", "violence": "gore", "hate": "hate",
    "hate/threatening": "hate", "harassment": "hate", "harassment/threatening": "hate", "self-harm": "self_harm",
    "self-harm/intent": "self_harm", "self-harm/instructions": "self_harm", "illicit": "crime",
    "illicit/violent": "crime",
    # Llama Guard 3, after the taxonomy of MLCommons
    "S1": "crime", "S2": "crime", "S3": "sexual", "S4": "minors", "S5": "real_people", "S7": "real_people",
    "S9": "crime", "S10": "hate", "S11": "self_harm", "S12": "sexual", "S13": "deception", "S14": "crime",
}  # fmt: skip
"""A guard's categories and ours; others of a guard count as always on."""


class NoAnswer(Exception):
    """The endpoint gave none. The message says why, in a few words, without the key."""


class Guard:
    """A connection to the endpoint of `settings`, for any number of threads. Raises UserError where httpx2 is
    missing."""

    def __init__(self, settings: Settings):
        try:
            import httpx2
        except ImportError as error:
            raise UserError("asking a guard needs httpx2: pip install 'worldpatch[endpoint]'") from error
        self._settings, self._lost = settings, (httpx2.HTTPError, httpx2.InvalidURL)
        key = os.environ.get(settings.guard_key, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx2.Client(timeout=settings.guard_timeout, headers=headers)

    def prompt(self, prompt: str) -> Decision:
        """What the endpoint says of a prompt."""
        content = prompt if self._settings.guard_kind == "chat" else [{"type": "text", "text": prompt}]
        return self._decision([content])

    def pictures(self, frames: UInt8[np.ndarray, "n h w 3"]) -> Decision:
        """What the endpoint says of frames, asked about one by one until it refuses one."""
        return self._decision([[{"type": "image_url", "image_url": {"url": _address(frame)}}] for frame in frames])

    def _decision(self, contents: list[Any]) -> Decision:
        for content in contents:
            try:
                flagged = self._chat(content) if self._settings.guard_kind == "chat" else self._moderation(content)
            except NoAnswer as error:
                return Decision(
                    allowed=self._settings.fail_open, stage="guard", category="unanswered", rule=f"guard.{error}",
                    reason="The check of what was asked for is out of order: try again later.",
                )  # fmt: skip
            wanted = [name for name in flagged if self._counts(OWN.get(name, name))]
            if wanted:
                name = min(wanted, key=_seriousness)
                reason = "The request was refused by this service's content check."
                category, rule = OWN.get(name, name), f"guard.{self._settings.guard_kind}.{name}"
                return Decision(allowed=False, stage="guard", category=category, rule=rule, reason=reason)
        return Decision(allowed=True, stage="guard")

    def _counts(self, category: str) -> bool:
        return category in self._settings.categories or category not in CATEGORIES

    def _moderation(self, content: Any) -> list[str]:
        """The categories that OpenAI's moderation flags."""
        values = self._post("moderations", {"model": self._settings.guard_model, "input": content})
        try:
            results = values["results"]
            flagged = [n for result in results for n, found in result["categories"].items() if found is True]
            unnamed = any(result["flagged"] is True for result in results)
        except (KeyError, TypeError, AttributeError):
            raise NoAnswer("not_a_moderation") from None
        if not results:
            raise NoAnswer("not_a_moderation")
        return flagged or (["flagged"] if unnamed else [])

    def _chat(self, content: Any) -> list[str]:
        """The categories that a guard model names, or "unsafe" where it names none."""
        messages = [{"role": "user", "content": content}]
        body = {"model": self._settings.guard_model, "messages": messages, "max_tokens": 64, "temperature": 0.0}
        values = self._post("chat/completions", body)
        try:
            said = VERDICT.match(values["choices"][0]["message"]["content"].strip())
        except (KeyError, IndexError, TypeError, AttributeError):
            raise NoAnswer("not_a_completion") from None
        if said is None:
            raise NoAnswer("neither_safe_nor_unsafe")
        if said[1].lower() == "safe":
            return []
        return [name for name in re.split(r"[,\s]+", said[2]) if re.fullmatch(r"S\d{1,2}", name)] or ["unsafe"]

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        try:
            response = self._client.post(f"{self._settings.guard_url.rstrip('/')}/{path}", json=body)
        except self._lost as error:
            raise NoAnswer(type(error).__name__) from None
        if not response.is_success:
            raise NoAnswer(f"status_{response.status_code}")
        try:
            return response.json()
        except ValueError:
            raise NoAnswer("not_json") from None


def _seriousness(name: str) -> int:
    category = OWN.get(name, name)
    return CATEGORIES.index(category) if category in CATEGORIES else len(CATEGORIES)


def _address(frame: UInt8[np.ndarray, "h w 3"]) -> str:
    """A frame as a data URL, made smaller where it is large."""
    picture, file = Image.fromarray(frame), io.BytesIO()
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    picture.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
