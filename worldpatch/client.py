"""A server's videos from Python: every ability with its parameters, previews and events, whoever's machine it is.

    with Client() as client:                                # OPENAI_BASE_URL and OPENAI_API_KEY say where
        ball = client.make("text_to_video", prompt="a red ball falls", seconds=2, seed=3)
        longer = client.make("extend", video=ball, seconds=2)
        longer.wait(lambda video: print(video["progress"])).save("ball.mp4")

OpenAI's own SDK works with the same server; this is for what that does not know.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

import httpx2

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.generate.ops._files import FileMark, with_files
from worldpatch.types import Request
from worldpatch.video._atomic import atomic

HERE = "http://127.0.0.1:8000/v1"
CALM, TRIES = 60.0, 5  # seconds without a word until events are asked for again; so often in a row without any
SAMPLING = {"steps", "guidance", "guidance_interval", "guidance_rescale", "sampler", "step_cache", "seed", "model"}


class Client:
    """`url` ends in /v1. Raises UserError with the server's own words on what it refuses, and where there is none."""

    def __init__(self, url: str | None = None, key: str | None = None):
        self.url = (url or os.environ.get("OPENAI_BASE_URL") or HERE).rstrip("/")
        headers = {"authorization": f"Bearer {key or os.environ.get('OPENAI_API_KEY') or 'none'}"}
        self.http = httpx2.Client(headers=headers, timeout=httpx2.Timeout(60.0, connect=5.0))

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: Any) -> None:
        self.http.close()

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of an answer."""
        try:
            answer = self.http.request(method, f"{self.url}/{path}", **options)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        return self._judged(answer).json()

    def abilities(self) -> dict[str, dict[str, Any]]:
        """JSON schema of the parameters of every ability, by its name."""
        return {one["id"]: one["parameters"] for one in self.ask("GET", "abilities")["data"]}

    def upload(self, path: str | Path) -> str:
        """The id of a file that is kept for later use."""
        path = Path(path)
        try:
            with path.open("rb") as file:
                return self.ask("POST", "files", files={"file": (path.name, file)}, data={"purpose": "vision"})["id"]
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}; give a file that is there") from error

    def make(self, ability: str = "text_to_video", *, options: dict[str, Any] | None = None, **params: Any) -> "Video":
        """Put a video in line. `params` are those of the ability (files are paths, ids or a `Video`); `options` are the
        server's further fields, such as seed, n, steps, priority, metadata."""
        return Video(self, self.ask("POST", "videos", json=self._body(ability, params, options or {})))

    def estimate(self, ability: str = "text_to_video", **params: Any) -> dict[str, Any]:
        """Seconds, seconds of waiting and bytes that it would take."""
        return self.ask("POST", "videos/estimate", json=self._body(ability, params, {}))

    def draw(self, request: Request) -> "Video":
        """Put in line what the command line and Python call a request."""
        asked = {one.name: getattr(request, one.name) for one in fields_of(request) if one.name in SAMPLING}
        return self.make(
            request.ability, options=asked | {"n": request.variants, "loras": list(request.loras)}, **request.params
        )

    def video(self, id: str) -> "Video":
        return Video(self, self.ask("GET", f"videos/{id}"))

    def _body(self, ability: str, params: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        known = config.resolve("generate/ops", ability).Params
        sent = with_files(known, params, self._sent)
        told = {name: sent.pop(name) for name in ("prompt", "seconds") if sent.get(name) is not None}
        return {"ability": ability, "parameters": sent} | told | options

    def _sent(self, mark: FileMark, value: Any, where: str) -> Any:
        """A file of this machine becomes one of the server's."""
        if isinstance(value, Video):
            return value.id
        if mark.kind == "who":
            return value
        if mark.kind == "local":
            raise UserError(f"{where} {value}: a file of this machine, which a server does not write; leave it out")
        if mark.kind == "json":
            return json.loads(Path(value).read_text()) if isinstance(value, str | Path) else value
        text, place = str(value), ""
        if not Path(text).exists() and "@" in text[1:]:
            text, _, place = text.rpartition("@")
        if Path(text).is_file():
            text = self.upload(text)
        return text + (f"@{place}" if place else "")

    def _judged(self, answer: httpx2.Response) -> httpx2.Response:
        if answer.is_success:
            return answer
        answer.read()
        try:
            told = answer.json()["error"]["message"]
        except (ValueError, KeyError, TypeError):
            told = answer.text[:200] or "no reason given"
        raise UserError(f"{self.url} refuses ({answer.status_code}): {told}")

    def _unreachable(self, error: Exception) -> UserError:
        return UserError(f"{self.url} does not answer ({error}): look whether `worldpatch serve` runs there")


@dataclass
class Video:
    """A video of a server. `told` is what the server last said of it."""

    client: Client
    told: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.told[name]

    @property
    def id(self) -> str:
        return self.told["id"]

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(kind, data), such as "video.progress" with the video as it is then, until it is over; a line that breaks is
        taken up again."""
        silent = 0
        while silent < TRIES:
            with suppress(httpx2.HTTPError):
                for kind, data in self._listen():
                    silent = 0
                    if "status" in data:
                        self.told = data
                    yield kind, data
            if self["status"] in ("completed", "failed"):
                return
            silent += 1
        raise self.client._unreachable(ConnectionError("its events break off"))

    def _listen(self) -> Iterator[tuple[str, dict[str, Any]]]:
        url, kind = f"{self.client.url}/videos/{self.id}/events", ""
        with self.client.http.stream("GET", url, timeout=CALM) as answer:
            for line in self.client._judged(answer).iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    yield kind, json.loads(value)

    def wait(self, progress: Callable[["Video"], None] = lambda video: None) -> "Video":
        """This video, once it is made. Raises UserError where it fails."""
        for kind, _ in self.events():
            if kind != "video.preview":
                progress(self)
        if self["status"] == "failed":
            raise UserError(f"{self.id} failed: {self['error']['message']}")
        return self

    def save(self, path: str | Path, variant: str = "video", index: int = 0) -> Path:
        """Write what was made, or another form of it, to a file, whole or not at all."""
        path, asked = Path(path), {"variant": variant, "index": index}
        try:
            with self.client.http.stream("GET", f"{self.client.url}/videos/{self.id}/content", params=asked) as answer:
                self.client._judged(answer)
                with atomic(path) as temporary, temporary.open("wb") as out:
                    out.writelines(answer.iter_bytes())
        except httpx2.HTTPError as error:
            raise self.client._unreachable(error) from error
        return path

    def cancel(self) -> "Video":
        return self._changed("cancel")

    def pause(self) -> "Video":
        return self._changed("pause")

    def resume(self) -> "Video":
        return self._changed("resume")

    def delete(self) -> None:
        self.client.ask("DELETE", f"videos/{self.id}")

    def _changed(self, how: str) -> "Video":
        self.told = self.client.ask("POST", f"videos/{self.id}/{how}")
        return self
