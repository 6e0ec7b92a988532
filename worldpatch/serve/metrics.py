"""Numbers for Prometheus: of requests as they are answered, of all else from the database at the moment of asking, for
workers are processes of their own and come and go."""

import shutil
import time
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, SummaryMetricFamily

from worldpatch.serve import queue
from worldpatch.serve.house import House
from worldpatch.serve.tables import deliveries, videos, workers

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds
STAGES = ("queue", "denoise", "decode", "encode")


class Metrics:
    """Of one process that answers."""

    def __init__(self, house: House):
        self.registry = CollectorRegistry()
        names = ("route", "method", "status")
        self.requests = Counter("worldpatch_requests", "Requests that were answered", names, registry=self.registry)
        self.refusals = Counter("worldpatch_refusals", "Requests that were refused", ["code"], registry=self.registry)
        self.seconds = Histogram(
            "worldpatch_request_seconds", "From a request to the end of its answer", ["route", "method"],
            buckets=BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.registry.register(_House(house))

    def answered(self, route: str, method: str, status: int, seconds: float, code: str | None) -> None:
        """`route` is a template, so that ids make no series of their own; `code` is that of a refusal."""
        method = method if method in METHODS else "other"
        self.requests.labels(route, method, status).inc()
        self.seconds.labels(route, method).observe(seconds)
        if code is not None:
            self.refusals.labels(code).inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _House:
    """What the database and the disk know, asked anew at each look."""

    def __init__(self, house: House):
        self.house = house

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[Any]:
        with self.house.engine.connect() as connection:
            yield _videos(connection)
            yield from _queue(connection)
            yield _stages(connection)
            yield from _workers(connection)
            yield _deliveries(connection)
        disk = shutil.disk_usage(self.house.settings.home)
        yield GaugeMetricFamily("worldpatch_disk_free_bytes", "Room left under home", disk.free)
        yield GaugeMetricFamily("worldpatch_disk_bytes", "Of the disk under home", disk.total)


def _videos(connection: sa.Connection) -> GaugeMetricFamily:
    operation = videos.c.facts["operation"].as_string()
    query = sa.select(videos.c.status, operation, sa.func.count()).group_by(videos.c.status, operation)
    told = GaugeMetricFamily("worldpatch_videos", "Videos ever asked for", labels=["status", "operation"])
    for status, kind, count in connection.execute(query):
        told.add_metric([status, kind or "unknown"], count)
    return told


def _queue(connection: sa.Connection) -> Iterator[GaugeMetricFamily]:
    waiting = videos.c.status == queue.WAITING
    oldest = connection.scalar(sa.select(sa.func.min(videos.c.created_at)).where(waiting, ~videos.c.paused))
    age = 0.0 if oldest is None else max(0.0, time.time() - oldest)
    yield GaugeMetricFamily("worldpatch_queue_videos", "Videos that wait", queue.waiting(connection))
    yield GaugeMetricFamily("worldpatch_queue_age_seconds", "That the oldest has waited", age)


def _stages(connection: sa.Connection) -> SummaryMetricFamily:
    spent = [videos.c.result[("timings", stage)].as_float() for stage in STAGES]
    columns = [column for one in spent for column in (sa.func.count(one), sa.func.coalesce(sa.func.sum(one), 0.0))]
    row = connection.execute(sa.select(*columns).where(videos.c.status == queue.DONE)).one()
    told = SummaryMetricFamily("worldpatch_stage_seconds", "Of completed videos, by stage", labels=["stage"])
    for k, stage in enumerate(STAGES):
        told.add_metric([stage], count_value=row[2 * k], sum_value=row[2 * k + 1])
    return told


def _workers(connection: sa.Connection) -> Iterator[GaugeMetricFamily]:
    silent = GaugeMetricFamily("worldpatch_worker_silent_seconds", "Since a worker's heartbeat", labels=["worker"])
    speed = GaugeMetricFamily("worldpatch_worker_speed", "Patches times calls a second", labels=["worker", "device"])
    for row in connection.execute(sa.select(workers)).mappings():
        silent.add_metric([row["id"]], max(0.0, time.time() - row["beat_at"]))
        if row["speed"] is not None:
            speed.add_metric([row["id"], row["device"]], row["speed"])
    yield from (silent, speed)


def _deliveries(connection: sa.Connection) -> GaugeMetricFamily:
    delivered = deliveries.c.status.between(200, 299)
    state = sa.case((deliveries.c.due_at.is_not(None), "due"), (delivered, "delivered"), else_="given_up")
    told = GaugeMetricFamily("worldpatch_webhook_deliveries", "Webhooks by what became of them", labels=["state"])
    for name, count in connection.execute(sa.select(state, sa.func.count()).group_by(state)):
        told.add_metric([name], count)
    return told
