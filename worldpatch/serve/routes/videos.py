"""Videos: made, listed, fetched, changed, deleted - OpenAI's routes, and what we add to them."""

import asyncio
import hashlib
import json
import time
from typing import Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from worldpatch.safety.policy.decision import Decision
from worldpatch.serve import asked, keys, queue, tables
from worldpatch.serve.asked import Draft
from worldpatch.serve.errors import ApiError, invalid
from worldpatch.serve.house import House
from worldpatch.serve.ids import new
from worldpatch.serve.keys import Key
from worldpatch.serve.routes.context import Home, Videos, accepts, body, own, page
from worldpatch.serve.schemas import (
    ById,
    Create,
    Deleted,
    Edit,
    Estimate,
    Extend,
    Failure,
    Ours,
    Page,
    Remix,
    Video,
)
from worldpatch.serve.tables import idempotency, seen, videos

router = APIRouter(tags=["videos"])

RETRY = 15.0  # seconds within which the same body, sent again by an SDK that retries, is the same request
SOON, SELDOM = 250, 5000  # milliseconds between two polls, at least and at most


# ------------------------------------------------------------------------------------------------------------- made


@router.post("/videos", openapi_extra=accepts(Create))
async def create(request: Request, response: Response, home: Home, key: Videos) -> Video:
    """Make a video of a prompt, perhaps beginning with a picture."""
    fields: Create = await body(request, Create)
    return await submit(request, response, fields, asked.created(fields, home), fields.model, home, key)


@router.post("/videos/estimate", openapi_extra=accepts(Create))
async def estimate(request: Request, home: Home, key: Videos) -> Estimate:
    """What making a video would take, without making it."""
    fields: Create = await body(request, Create)
    found = await asked.asked(asked.created(fields, home), fields, fields.model, home, key.id)
    await run_in_threadpool(asked.admit, found, home)
    with home.engine.connect() as connection:
        line = home.line(connection)
    place = {"priority": found.priority, "round": 0, "created_at": time.time(), "id": ""}
    wait = line.seconds_before(place)
    return Estimate(seconds=found.work / line.speed, wait_seconds=wait, memory_bytes=int(found.memory), work=found.work)


@router.post("/videos/edits", openapi_extra=accepts(Edit))
async def edit(request: Request, response: Response, home: Home, key: Videos) -> Video:
    """A video drawn anew to another prompt: remix, unless `ability` says otherwise."""
    fields: Edit = await body(request, Edit)
    draft = await _of_video(fields.ability or "remix", fields.video, fields.prompt, home, key)
    draft.operation = "edit"
    return await submit(request, response, fields, draft, fields.model, home, key)


@router.post("/videos/extensions", openapi_extra=accepts(Extend))
async def extend(request: Request, response: Response, home: Home, key: Videos) -> Video:
    """A video that goes on; `seconds` of the result are those of all of it."""
    fields: Extend = await body(request, Extend)
    draft = await _of_video("extend", fields.video, fields.prompt, home, key)
    draft.params["seconds"] = fields.seconds
    draft.seconds += fields.seconds
    draft.operation = "extend"
    return await submit(request, response, fields, draft, fields.model, home, key)


@router.post("/videos/{video_id}/remix", openapi_extra=accepts(Remix))
async def remix(video_id: str, request: Request, response: Response, home: Home, key: Videos) -> Video:
    fields: Remix = await body(request, Remix)
    draft = await _of_video("remix", ById(id=video_id), fields.prompt, home, key)
    draft.operation = "remix"
    return await submit(request, response, fields, draft, None, home, key)


async def _of_video(ability: str, video: Any, prompt: str, home: House, key: Key) -> Draft:
    """A draft that begins with a video: one of ours, or one that comes with the request."""
    known = asked.params_of(ability).model_fields
    params = {name: value for name, value in {"video": video, "prompt": prompt}.items() if name in known}
    draft = Draft(ability=ability, params=params, prompt=prompt, seconds=0.0)
    if isinstance(video, ById):
        with home.engine.connect() as connection:
            row = own(connection, videos, video.id, key, "video")
        if row["status"] != queue.DONE:
            raise invalid(
                f"video {video.id} is {row['status']}; wait until it is completed", "video", "video_not_ready"
            )
        draft.params["video"] = {"id": video.id}
        draft.seconds, draft.size, draft.parents = row["result"]["seconds"], row["facts"]["size"], [video.id]
    return draft


async def submit(
    request: Request, response: Response, fields: Ours, draft: Draft, model: str | None, home: House, key: Key
) -> Video:
    """Put what was asked for in line, once however often it is sent."""
    found = await asked.asked(draft, fields, model, home, key.id)
    id = new("video")
    said = [found.request | {"seed": fields.seed}, draft.prompt, draft.seconds, draft.size]
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    named, again = request.headers.get("idempotency-key"), request.headers.get("x-stainless-retry-count", "0")
    row = {
        "id": id, "owner": key.id, "request": found.request, "facts": found.facts, "model": found.model,
        "priority": found.priority, "work": found.work, "memory": found.memory, "created_at": time.time(),
    }  # fmt: skip

    def put() -> Video:
        asked.admit(found, home)
        judged([draft.prompt, *asked.texts(found.request)], id, home)
        there = _enqueue(row, named or digest, digest, bool(named) or again not in ("", "0"), home, key)
        return _told(there["id"], home, key, response)

    async with request.app.state.turns:
        return await run_in_threadpool(put)


def judged(texts: list[str], subject: str, home: House) -> None:
    """What a client writes, before the policy. Raises ApiError 400 where it refuses."""
    decision = Decision(allowed=True, stage="all")
    for text in dict.fromkeys(filter(None, texts)):
        decision = home.policy.judge(text)
        if not decision.allowed:
            break
    home.audit.decided(decision, subject)
    if not decision.allowed:
        raise invalid(decision.reason, "prompt", "moderation_blocked")


def _enqueue(row: dict[str, Any], mark: str, digest: str, same: bool, home: House, key: Key) -> dict[str, Any]:
    """The row that is in line now: this one, or, where the same was sent before, that one."""
    with tables.writing(home.engine) as connection:
        both = (idempotency.c.owner == key.id, idempotency.c.key == mark)
        former: Any = connection.execute(sa.select(idempotency).where(*both)).mappings().first()
        fresh = former is not None and (mark != digest or former["at"] > time.time() - RETRY)
        if former is not None and same and fresh:
            if former["body"] != digest:
                raise invalid(
                    "this Idempotency-Key was sent with another body: use a new key", code="idempotency_conflict"
                )
            return {"id": former["video"]}
        if queue.waiting(connection) >= home.settings.queue:
            raise ApiError(
                429, f"{home.settings.queue} videos wait already: come back in a while", code="queue_full",
                headers={"retry-after": "30"},
            )  # fmt: skip
        keys.check_quota(connection, key, row["facts"]["length"] * row["facts"]["variants"])
        queue.submit(connection, row)
        connection.execute(sa.delete(idempotency).where(*both))
        values = {"owner": key.id, "key": mark, "body": digest, "video": row["id"], "at": time.time()}
        connection.execute(sa.insert(idempotency).values(**values))
    return row


# ------------------------------------------------------------------------------------------------------------- told


@router.get("/videos")
def videos_of_key(
    home: Home, key: Videos, limit: int = Query(20, ge=0, le=100), order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
) -> Page:  # fmt: skip
    with home.engine.connect() as connection:
        rows, more = page(connection, seen, key, limit=limit, order=order, after=after)
        data = [tell(row, connection, home) for row in rows]
    return Page.of(data, more)


@router.get("/videos/{video_id}")
def retrieve(video_id: str, response: Response, home: Home, key: Videos) -> Video:
    return _told(video_id, home, key, response)


def _told(id: str, home: House, key: Key, response: Response) -> Video:
    with home.engine.connect() as connection:
        video = tell(own(connection, seen, id, key, "video"), connection, home)
    if video.status in (queue.WAITING, queue.DRAWN):
        wait = 1000 * (video.eta_seconds or 1.0) / 4  # a few looks until it is there
        response.headers["openai-poll-after-ms"] = str(round(min(SELDOM, max(SOON, wait))))
    return video


def tell(row: Any, connection: sa.Connection, home: House) -> Video:
    """A row of `seen` as clients see it."""
    facts, status, done = row["facts"], row["status"], row["share"] or 0.0
    left, place = None, None
    if status == queue.WAITING:
        line = home.line(connection)
        place = line.position(row)
        left = None if row["paused"] else line.seconds_before(row) + row["work"] / line.speed
    elif status == queue.DRAWN:
        left = row["left"]
    share = {queue.DONE: 1.0, queue.FAILED: done}.get(status, min(0.99, done))
    result = row["result"] or {}
    size = facts["size"] or result.get("size")
    whole = [row[name] and int(row[name]) for name in ("created_at", "completed_at", "expires_at")]
    return Video(
        id=row["id"], model=row["model"], status=status, progress=int(100 * share), created_at=whole[0],
        completed_at=whole[1], expires_at=whole[2], prompt=facts["prompt"] or None, size="x".join(map(str, size or [])),
        seconds=f"{result.get('seconds', facts['seconds'] or facts['length']):g}",
        remixed_from_video_id=facts["parents"][0] if facts["parents"] and facts["operation"] != "extend" else None,
        error=Failure(**row["error"]) if row["error"] else None, operation=facts["operation"],
        parent_video_ids=facts["parents"], paused=row["paused"],
        queue_position=place, eta_seconds=left,
        previews=row["preview"] or 0,
        stage=row["stage"], step=row["step"], steps=row["steps"], seed=facts["seed"],
        variants=facts["variants"], metadata=facts["metadata"], notes=facts["notes"] + result.get("notes", []),
        provenance=result.get("provenance"), timings=result.get("timings", {}),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- changed


@router.delete("/videos/{video_id}")
async def delete(video_id: str, home: Home, key: Videos) -> Deleted:
    """A video and all that was kept of it; one that is being made is cancelled first."""

    def forget() -> None:
        with tables.writing(home.engine) as connection:
            own(connection, videos, video_id, key, "video")
            queue.cancel(connection, video_id)
            gone = {"deleted_at": time.time()}
            connection.execute(sa.update(videos).where(videos.c.id == video_id).values(**gone))
        home.objects.remove(f"videos/{video_id}")

    await asyncio.to_thread(forget)
    return Deleted(id=video_id, object="video.deleted")


@router.post("/videos/{video_id}/cancel")
def cancel(video_id: str, home: Home, key: Videos) -> Video:
    """Stop making a video, within one sampler step; what is done already stays as it is."""
    return _changed(video_id, queue.cancel, home, key)


@router.post("/videos/{video_id}/pause")
def pause(video_id: str, home: Home, key: Videos) -> Video:
    """Let a video wait, within one sampler step; its latents are kept."""
    return _changed(video_id, queue.pause, home, key)


@router.post("/videos/{video_id}/resume")
def resume(video_id: str, home: Home, key: Videos) -> Video:
    """Put a paused video in line again; it goes on where it was."""
    return _changed(video_id, queue.resume, home, key)


def _changed(id: str, change: Any, home: House, key: Key) -> Video:
    with tables.writing(home.engine) as connection:
        own(connection, videos, id, key, "video")
        change(connection, id)
        return tell(own(connection, seen, id, key, "video"), connection, home)
