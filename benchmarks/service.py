"""Does the service hold under load, and does it keep every job through kills?

    python benchmarks/service.py load [--clients 200] [--minutes 10] [--short] [-o benchmarks/service_load.md]
    python benchmarks/service.py kill [--kills 100] [--short] [-o benchmarks/service_kill.md]
    python benchmarks/service.py life [--short] [-o benchmarks/service_life.md]

load: clients create (some twice under one Idempotency-Key, as an SDK does that retries), poll as they are told to,
listen to events, download and delete, all at once. The engine is the shipped model at its least: one step, five frames.

kill: the worker or the answering process gets SIGKILL at random moments while videos are drawn; each video must end
once, with the frames of an undisturbed one, and its webhook must come under one event id.

life: where the time of a job goes, from being claimed to being completed, by size and length.
"""

import asyncio
import hashlib
import http.server
import json
import os
import random
import signal
import ssl
import statistics
import tempfile
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
from _machine import Report, parser
from _server import Server, running

LEAST = {"steps": 1, "ability": "text_to_video", "parameters": {"frames": 5}}
PLAIN = {"WORLDPATCH_SIGN": "0", "WORLDPATCH_WATERMARK": "0"}  # so that the same frames are the same bytes
READ_BAR, LIFE_BAR = 0.1, 0.95
OVER = ("completed", "failed")
STEAL, QUIET = 7, 0.05  # its place among Linux's times of a processor; the share up to which a second counts as quiet
CERTIFICATES = ssl.create_default_context()  # which no client needs here, and each would load for a tenth of a second


# ----------------------------------------------------------------------------------------------------------------- load


class Crowd:
    """Clients, and what they saw."""

    def __init__(self, server: Server, until: float):
        self.url, self.until = f"{server.url}/v1", until
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.stolen: list[float] = []  # of the processors, while each read was waited for or shortly before
        self.taken = 0.0
        self.statuses: Counter[int] = Counter()
        self.created: set[str] = set()
        self.ended: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def ask(self, http: httpx2.AsyncClient, kind: str, method: str, path: str, **options: Any) -> httpx2.Response:
        begun = time.perf_counter()
        answer = await http.request(method, f"{self.url}/{path}", **options)
        self.seconds[kind].append(time.perf_counter() - begun)
        self.statuses[answer.status_code] += 1
        if kind == "read":
            self.stolen.append(self.taken)
        if answer.status_code >= 400 and answer.status_code != 429:  # a full queue is said, not lost
            self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer

    async def client(self, number: int) -> None:
        chance = random.Random(number)
        async with httpx2.AsyncClient(timeout=120, verify=CERTIFICATES) as http:
            while time.monotonic() < self.until:
                await self.one(http, f"{number} {chance.random()}", chance)

    async def one(self, http: httpx2.AsyncClient, name: str, chance: random.Random) -> None:
        """One video from its creation to its end."""
        body, headers = {"prompt": f"a red ball falls {name}", **LEAST}, {}
        if chance.random() < 0.3:
            headers = {"idempotency-key": name}
        ids = set()
        for _ in range(2 if headers else 1):
            answer = await self.ask(http, "create", "POST", "videos", json=body, headers=headers)
            if answer.is_error:
                return await asyncio.sleep(float(answer.headers.get("retry-after", 1)))
            ids.add(answer.json()["id"])
        if len(ids) != 1:
            self.wrong.append(f"{len(ids)} videos of one key")
        (id,) = list(ids)[:1]
        self.created.add(id)
        if chance.random() < 0.2:
            await self.listen(http, id)
        while True:
            answer = await self.ask(http, "read", "GET", f"videos/{id}")
            if answer.is_success and answer.json()["status"] in OVER:
                break
            await asyncio.sleep(float(answer.headers.get("openai-poll-after-ms", 1000)) / 1000)
        self.ended[answer.json()["status"]] += 1
        content = await self.ask(http, "download", "GET", f"videos/{id}/content")
        if content.content[4:8] != b"ftyp":
            self.wrong.append(f"{id} is no MP4")
        if chance.random() < 0.2:
            await self.ask(http, "list", "GET", "videos?limit=20")
        if chance.random() < 0.2:
            await self.ask(http, "delete", "DELETE", f"videos/{id}")

    async def listen(self, http: httpx2.AsyncClient, id: str) -> None:
        async with http.stream("GET", f"{self.url}/videos/{id}/events") as answer:
            self.statuses[answer.status_code] += 1
            async for line in answer.aiter_lines():
                if line.startswith(("event: video.completed", "event: video.failed")):
                    return

    async def run(self, clients: int) -> None:
        watch = asyncio.create_task(self.watch())
        await asyncio.gather(*(self.client(number) for number in range(clients)))
        watch.cancel()

    async def watch(self) -> None:
        """How much of the processors other machines on the same host take."""
        while True:
            before = cpu_times()
            await asyncio.sleep(1)
            spent = [now - then for now, then in zip(cpu_times(), before, strict=True)]
            self.taken = spent[STEAL] / max(sum(spent), 1e-9)


def cpu_times() -> list[int]:
    with suppress(OSError):
        return [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return [0] * 8


def load(report: Report, clients: int, minutes: float) -> None:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "home", "--open") as server:
        crowd = Crowd(server, time.monotonic() + 60 * minutes)
        begun = time.monotonic()
        asyncio.run(crowd.run(clients))
        spent, total = time.monotonic() - begun, sum(crowd.statuses.values())
        known = set()
        for page in server.client().videos.list(limit=100):
            known.add(page.id)
    for told in crowd.wrong[:20]:
        print(told)
    rows = []
    for kind, seconds in sorted(crowd.seconds.items()):
        at = statistics.quantiles(seconds, n=100) if len(seconds) > 1 else seconds * 99
        rows.append(
            (kind, len(seconds), *(f"{1000 * at[k - 1]:.0f}" for k in (50, 95, 99)), f"{1000 * max(seconds):.0f}")
        )
    report.table(("request", "number", "median, ms", "95th", "99th", "longest"), rows)
    report.say(
        f"\n{clients} clients, {spent:.0f} s, {total} requests ({total / spent:.0f}/s), {len(crowd.created)} videos "
        f"({len(crowd.created) / spent:.2f}/s); statuses {dict(crowd.statuses)}; ended {dict(crowd.ended)}."
    )
    reads = crowd.seconds["read"]
    slowest = statistics.quantiles(reads, n=100)[98] if len(reads) > 1 else max(reads)
    quiet = [seconds for seconds, taken in zip(reads, crowd.stolen, strict=True) if taken <= QUIET]
    if len(quiet) > 1:
        at = statistics.quantiles(quiet, n=100)
        report.say(
            f"In seconds of which other machines on this host took at most {QUIET:.0%}: {len(quiet)} reads "
            f"({len(quiet) / len(reads):.0%}), median {1000 * at[49]:.0f} ms, 99th percentile {1000 * at[98]:.0f} ms."
        )
    faults = sum(count for status, count in crowd.statuses.items() if status >= 500)
    lost = len(crowd.created) - sum(crowd.ended.values())
    extra = len(known - crowd.created)
    report.bars(
        [
            ("videos lost", "0", str(lost + crowd.ended["failed"]), lost + crowd.ended["failed"] == 0),
            ("videos that nobody asked for", "0", str(extra), extra == 0),
            ("wrong answers, content, or two videos of one key", "0", str(len(crowd.wrong)), not crowd.wrong),
            ("answers of 500 and above", "0", str(faults), faults == 0),
            ("99th percentile of status reads", "100 ms", f"{1000 * slowest:.0f} ms", slowest < READ_BAR),
        ]
    )


# ----------------------------------------------------------------------------------------------------------------- kill


class Hooks(http.server.ThreadingHTTPServer):
    """Takes webhooks, and refuses every fourth event the first time, so that it is sent again."""

    def __init__(self) -> None:
        self.seen: dict[str, set[str]] = defaultdict(set)  # video -> ids of its events
        self.known: set[str] = set()  # events that have been sent at all
        self.calls = 0
        hooks = self

        class Take(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                hooks.calls += 1
                event = self.headers["webhook-id"]
                refused = event not in hooks.known and len(hooks.known) % 4 == 3
                hooks.known.add(event)
                if not refused:
                    hooks.seen[body["data"]["id"]].add(event)
                self.send_response(503 if refused else 204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Take)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def kill(report: Report, kills: int) -> None:
    chance = random.Random(20261122)
    hooks = Hooks()
    asked = [
        {"prompt": "a red ball falls", "seed": seed, "steps": steps, "seconds": "2"}
        for seed, steps in ((1, 10), (2, 25), (3, 40))
    ]
    wrong: list[str] = []
    done, rose = 0, []
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "home", "--open", **PLAIN) as server:
        http_ = httpx2.Client(base_url=f"{server.url}/v1", timeout=30)
        hook = {"name": "all", "url": f"http://127.0.0.1:{hooks.server_port}/", "event_types": ["video.completed"]}
        assert http_.post("/webhook_endpoints", json=hook).status_code == 200
        right = {body["seed"]: digest(http_, finished(http_, make(http_, body))["id"]) for body in asked}
        for number in range(kills):
            ids = {make(http_, body): body["seed"] for body in asked[: 1 + number % 3]}
            victim = chance.choice(("worker", "answers"))
            time.sleep(chance.uniform(0.0, 2.5))
            for pid in server.pids(victim):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            begun = time.monotonic()
            time.sleep(0.3)
            server.wait()
            rose.append(time.monotonic() - begun)
            for id, seed in ids.items():
                video = finished(http_, id)
                if video["status"] != "completed" or digest(http_, id) != right[seed]:
                    wrong.append(f"kill {number} of the {victim}: {video['status']} {video['error']}")
                done += 1
            print(f"{number + 1}/{kills} kills, {done} videos, {len(wrong)} wrong", flush=True)
        everyone = [video["id"] for video in listed(http_)]
        until = time.monotonic() + 300
        while time.monotonic() < until and any(len(hooks.seen[id]) == 0 for id in everyone):
            time.sleep(0.5)
    lost = [id for id in everyone if not hooks.seen[id]]
    twice = [id for id in everyone if len(hooks.seen[id]) > 1]
    report.say(
        f"\n{kills} kills by SIGKILL of the worker or of the answering process at random moments, {done} videos of "
        f"2 s (10, 25 and 40 steps, latents kept every 5); ready again after {statistics.median(rose):.1f} s in the "
        f"median, {max(rose):.1f} s at most; {hooks.calls} webhooks; every fourth event was refused the first time."
    )
    report.bars(
        [
            (
                "one result each, with the frames of an undisturbed one",
                "all",
                f"{done - len(wrong)} of {done}",
                not wrong,
            ),
            (
                "videos beside those asked for",
                "0",
                str(len(everyone) - done - len(asked)),
                len(everyone) == done + len(asked),
            ),
            ("webhooks that never came", "0", str(len(lost)), not lost),
            ("webhooks under two event ids", "0", str(len(twice)), not twice),
        ]
    )
    for line in wrong:
        report.say(f"- {line}")


def make(client: httpx2.Client, body: dict[str, Any]) -> str:
    """The id of a new video; sent again until it is answered, under one key."""
    headers = {"idempotency-key": f"{time.time_ns()}"}
    return again(lambda: client.post("/videos", json=body, headers=headers))["id"]


def finished(client: httpx2.Client, id: str) -> dict[str, Any]:
    while (video := again(lambda: client.get(f"/videos/{id}")))["status"] not in OVER:
        time.sleep(0.2)
    return video


def listed(client: httpx2.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    more, after = True, {}
    while more:
        page = again(lambda after=after: client.get("/videos", params={"limit": 100, **after}))
        found += page["data"]
        more, after = page["has_more"], {"after": page["last_id"]}
    return found


def digest(client: httpx2.Client, id: str) -> str:
    for _ in range(100):
        with suppress(httpx2.HTTPError):
            answer = client.get(f"/videos/{id}/content")
            if answer.status_code == 200:
                return hashlib.sha256(answer.content).hexdigest()
        time.sleep(0.3)
    return "nothing"


def again(call: Any) -> dict[str, Any]:
    for _ in range(200):
        with suppress(httpx2.HTTPError):
            answer = call()
            if answer.status_code < 500:
                answer.raise_for_status()
                return answer.json()
        time.sleep(0.3)
    raise TimeoutError("no answer for a minute")


# ----------------------------------------------------------------------------------------------------------------- life


def life(report: Report, short: bool) -> None:
    asked = [
        ("64x64", "4", 25),
        ("256x256", "4", 25),
        ("720x1280", "4", 25),
        ("720x1280", "8", 25),
        ("1280x720", "4", 50),
    ]
    rows, shares = [], []
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "home", "--open") as server:
        http_ = httpx2.Client(base_url=f"{server.url}/v1", timeout=30)
        finished(
            http_, make(http_, {"prompt": "a red ball falls", "seconds": "1"})
        )  # the first one warms the worker up
        for size, seconds, steps in asked[:1] if short else asked:
            body = {"prompt": "a red ball falls", "size": size, "seconds": seconds, "steps": steps, "seed": 1}
            spent = finished(http_, make(http_, body))["timings"]
            whole = sum(value for name, value in spent.items() if name != "queue")
            share = (spent["denoise"] + spent["decode"]) / whole
            shares.append(share)
            told = (f"{spent.get(name, 0.0):.2f}" for name in ("queue", "denoise", "decode", "encode"))
            rows.append((size, seconds, steps, *told, f"{share:.0%}"))
    report.table(("size", "seconds", "steps", "queue, s", "denoise", "decode", "encode, mark, sign", "share"), rows)
    told = f"{min(shares):.0%} to {max(shares):.0%}"
    report.bars([("denoising and decoding, of a job's life", "95%", told, min(shares) >= LIFE_BAR)])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("what", choices=("load", "kill", "life"))
    arguments.add_argument("--clients", type=int, default=200)
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--kills", type=int, default=100)
    given = arguments.parse_args()
    report = Report(f"The service: {given.what}", given)
    if given.what == "load":
        load(report, 5 if given.short else given.clients, 0.1 if given.short else given.minutes)
    elif given.what == "kill":
        kill(report, 1 if given.short else given.kills)
    else:
        life(report, given.short)
    report.finish()


if __name__ == "__main__":
    main()
