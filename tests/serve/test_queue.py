"""The queue, keys and webhooks on both databases."""

import base64
import hashlib
import hmac
import json
import threading
import time

import pytest
import sqlalchemy as sa

from worldpatch.config import UserError
from worldpatch.serve import keys, queue, tables, webhooks
from worldpatch.serve.errors import ApiError
from worldpatch.serve.ids import new
from worldpatch.serve.tables import deliveries, endpoints, videos, writing


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(tmp_path, request):
    url = f"sqlite:///{tmp_path / 'x.sqlite'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").database(new("queue"))
    made = tables.engine(url)
    tables.lay(made)
    yield made
    made.dispose()


@pytest.fixture
def owners(engine):
    with writing(engine) as connection:
        return [keys.make(connection, name)[0] for name in "abc"]


def send(engine, owner, *, priority=0, work=1.0, at=None):
    row = {
        "id": new("video"), "owner": owner, "request": {}, "facts": {"length": 4.0, "variants": 1}, "model": "m",
        "priority": priority, "work": work, "memory": 1.0, "created_at": at or time.time(),
    }  # fmt: skip
    with writing(engine) as connection:
        queue.submit(connection, row)
    return row["id"]


def alone(some):
    return False


def take(engine, worker="w"):
    found = queue.claim(engine, worker, alone)
    return found and found[1][0]


def row_of(engine, id):
    with engine.connect() as connection:
        return connection.execute(sa.select(videos).where(videos.c.id == id)).mappings().one()


# --------------------------------------------------------------------------------------------------------------- order


def test_keys_take_turns_whoever_sent_more(engine, owners):
    a = [send(engine, owners[0]) for _ in range(4)]
    b = [send(engine, owners[1]) for _ in range(2)]
    c = send(engine, owners[2])
    assert [take(engine) for _ in range(8)] == [a[0], b[0], c, a[1], b[1], a[2], a[3], None]


def test_a_late_key_begins_where_the_others_are(engine, owners):
    first = [send(engine, owners[0]) for _ in range(5)]
    assert [take(engine) for _ in range(3)] == first[:3]
    late = [send(engine, owners[1]) for _ in range(2)]
    assert [take(engine) for _ in range(4)] == [first[3], late[0], first[4], late[1]]


def test_priority_comes_before_turns(engine, owners):
    low, normal, high = (send(engine, owners[0], priority=p) for p in (-1, 0, 1))
    with engine.connect() as connection:
        line = queue.line(connection)
    assert [line.position(row_of(engine, id)) for id in (high, normal, low)] == [0, 1, 2]
    assert [take(engine) for _ in range(3)] == [high, normal, low]


def test_paused_ones_are_passed_over_until_they_are_resumed(engine, owners):
    first, second = send(engine, owners[0]), send(engine, owners[0])
    with writing(engine) as connection:
        queue.pause(connection, first)
    assert [take(engine), take(engine)] == [second, None]
    with writing(engine) as connection:
        queue.resume(connection, first)
    assert take(engine) == first


def test_many_workers_never_take_the_same(engine, owners):
    sent = {send(engine, owners[i % 3]) for i in range(60)}
    taken: list[str] = []

    def work(name):
        while (one := take(engine, name)) is not None:
            taken.append(one)

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 60 and set(taken) == sent


def test_a_batch_holds_what_fits_and_nothing_kept(engine, owners):
    sent = [send(engine, owners[0]) for _ in range(4)]
    with writing(engine) as connection:
        connection.execute(sa.update(videos).where(videos.c.id == sent[1]).values(kept="batch_x"))
    _, members = queue.claim(engine, "w", lambda some: len(some) <= 3) or ("", [])
    assert members == [sent[0], sent[2], sent[3]]
    assert queue.claim(engine, "w", lambda some: True)[1] == [sent[1]]  # type: ignore[index]


# --------------------------------------------------------------------------------------------------------- what happens


def test_batches_of_the_dead_are_adopted_once(engine, owners):
    send(engine, owners[0])
    queue.beat(engine, "dead", device="cpu", models=[])
    queue.beat(engine, "alive", device="cpu", models=[])
    batch, _ = queue.claim(engine, "dead", alone) or ("", [])
    assert queue.adopt(engine, "alive", []) == [] and queue.adopt(engine, "dead", ["dead"]) == []
    assert [queue.adopt(engine, "alive", ["dead"]) for _ in range(2)] == [[batch], []]


def test_batches_of_those_who_took_their_leave_are_adopted_at_once(engine, owners):
    send(engine, owners[0])
    for name in ("ends", "alive"):
        queue.beat(engine, name, device="cpu", models=[])
    batch, _ = queue.claim(engine, "ends", alone) or ("", [])
    queue.leave(engine, "ends")
    assert queue.adopt(engine, "alive", []) == [batch]


def test_cancelling(engine, owners):
    waits, drawn, over = (send(engine, owners[0]) for _ in range(3))
    assert [take(engine), take(engine)] == [waits, drawn] and (waits := send(engine, owners[0]))
    with writing(engine) as connection:
        queue.end(connection, drawn, 1.0, result={})
        for id in (waits, over, drawn):
            queue.cancel(connection, id)
    assert (row_of(engine, waits)["status"], row_of(engine, waits)["error"]["code"]) == ("failed", "canceled")
    assert row_of(engine, drawn)["status"] == "completed"
    with writing(engine) as connection, pytest.raises(ApiError, match="over"):
        queue.pause(connection, drawn)


def test_an_end_happens_once_and_is_told_once(engine, owners):
    id = send(engine, owners[0])
    _endpoint(engine, owners[0])
    take(engine)
    with writing(engine) as connection:
        assert queue.end(connection, id, 1.0, result={"size": [2, 2]})
        assert not queue.end(connection, id, 1.0, error={"code": "x", "message": "y"})
        rows = connection.execute(sa.select(deliveries)).mappings().all()
    assert [json.loads(row["body"])["type"] for row in rows] == ["video.completed"]
    assert row_of(engine, id)["expires_at"] == pytest.approx(time.time() + 3600, abs=5)


def test_what_comes_before(engine, owners):
    drawn = send(engine, owners[0], work=10)
    take(engine)
    send(engine, owners[0], work=3)
    last = send(engine, owners[0], work=5)
    queue.tell(engine, [drawn], stage="denoise", step=1, steps=2, share=0.5)
    with engine.connect() as connection:
        line = queue.line(connection)
    assert line.seconds_before(row_of(engine, last)) == pytest.approx((5 + 3) / line.speed)
    assert line.position({"priority": 1, "round": 0, "created_at": time.time(), "id": ""}) == 0


# ---------------------------------------------------------------------------------------------------------------- keys


def test_a_key_is_known_by_its_secret_alone(engine):
    with writing(engine) as connection:
        id, secret = keys.make(connection, "me", ("videos",))
        found = keys.find(connection, secret)
        assert found.id == id and secret.encode() not in str(connection.execute(sa.select(tables.keys)).all()).encode()
        found.needs("videos")
        with pytest.raises(ApiError, match="scopes videos"):
            found.needs("files")
        keys.revoke(connection, id)
        for wrong in (secret, secret[:-1], "", "wp-x"):
            with pytest.raises(ApiError) as told:
                keys.find(connection, wrong)
            assert told.value.status == 401 and told.value.code == "invalid_api_key"
        with pytest.raises(UserError, match="no key"):
            keys.revoke(connection, id)
        with pytest.raises(UserError, match="unknown scopes"):
            keys.make(connection, "x", ("all",))


def test_a_days_share(engine):
    with writing(engine) as connection:
        id, secret = keys.make(connection, "me", seconds_a_day=10.0)
        key = keys.find(connection, secret)
    send(engine, id)
    send(engine, id, at=time.time() - 2 * keys.DAY)
    with engine.connect() as connection:
        keys.check_quota(connection, key, 6.0)
        with pytest.raises(ApiError, match="10 s") as told:
            keys.check_quota(connection, key, 6.5)
    assert told.value.status == 429


def test_the_rate_of_a_minute():
    rate, key = keys.Rate(), keys.Key("k", (), None, 2)
    assert [rate.take(key)["x-ratelimit-remaining-requests"] for _ in range(2)] == ["1", "0"]
    with pytest.raises(ApiError) as told:
        rate.take(key)
    assert told.value.status == 429 and 0 < int(told.value.headers["retry-after-ms"]) <= 60_000
    assert rate.take(keys.Key("other", (), None, 1)) and rate.take(keys.Key("free", (), None, None)) == {}


# ------------------------------------------------------------------------------------------------------------ webhooks


def _endpoint(engine, owner, types=("video.completed",)):
    row = {
        "id": new("wh"), "owner": owner, "name": "n", "url": "http://example.org", "event_types": list(types),
        "secrets": [[webhooks.secret(), None]], "created_at": 0.0, "updated_at": 0.0,
    }  # fmt: skip
    with writing(engine) as connection:
        connection.execute(sa.insert(endpoints).values(**row))
    return row


def test_signatures_are_those_of_standard_webhooks():
    """The worked example of the specification's reference library: the same secret, id, time and body."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", '{"test": 2432232314}'
    told = webhooks.sign(body, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, [secret, webhooks.secret()])
    first, second = told["webhook-signature"].split()
    assert first == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" and second != first
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = f"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{body}".encode()
    assert first[3:] == base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def test_only_those_who_asked_are_told(engine, owners):
    mine = _endpoint(engine, owners[0])
    _endpoint(engine, owners[0], ("video.failed",))
    _endpoint(engine, owners[1])
    with writing(engine) as connection:
        webhooks.emit(connection, owners[0], "video.completed", {"id": "video_1"})
        rows = connection.execute(sa.select(deliveries)).mappings().all()
    assert [row["endpoint"] for row in rows] == [mine["id"]]


def test_a_delivery_is_tried_again_under_its_id_and_given_up_at_last(engine, owners, monkeypatch):
    import asyncio

    from worldpatch.serve import net

    _endpoint(engine, owners[0])
    with writing(engine) as connection:
        webhooks.emit(connection, owners[0], "video.completed", {"id": "video_1"})
    answers, seen = [500, 0, 200], []

    async def post(url, body, headers, reach):
        seen.append(headers["webhook-id"])
        status = answers[len(seen) - 1] if len(seen) <= len(answers) else 500
        if status == 0:
            raise OSError
        return status

    monkeypatch.setattr(net, "post", post)

    def go() -> int:
        with writing(engine) as connection:
            due = deliveries.c.due_at.is_not(None)
            connection.execute(sa.update(deliveries).where(due).values(due_at=time.time() - 1))
        return asyncio.run(webhooks.send_due(engine, net.Reach()))

    assert [go() for _ in range(4)] == [1, 1, 1, 0] and len(set(seen)) == 1
    with writing(engine) as connection:
        webhooks.emit(connection, owners[0], "video.completed", {"id": "video_2"})
    assert sum(go() for _ in range(20)) == len(webhooks.BACKOFF) + 1
