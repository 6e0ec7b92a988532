"""One envelope for every error: `{"error": {"message", "type", "param", "code"}}`.

A message says the value, the rule and the remedy. Nothing that a client sends makes a 5xx; what fails while a video is
made is told in the video, not in the status of the answer.
"""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from worldpatch.serve import objects, tables

log = logging.getLogger(__name__)

CODES = {
    400: "invalid_value", 401: "invalid_api_key", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    408: "timeout", 411: "length_required", 413: "too_large", 415: "unsupported_media_type", 416: "invalid_range",
    429: "rate_limit_exceeded",
}  # fmt: skip


class ApiError(Exception):
    """What a client is told instead of an answer."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None,
        headers: dict[str, str] | None = None,
    ):  # fmt: skip
        super().__init__(message)
        self.status, self.message, self.param = status, message, param
        self.code = code or CODES.get(status, "server_error")
        self.headers = headers or {}

    def under(self, names: dict[str, str]) -> "ApiError":
        """The same of the field that the client knows, where one of ours stands for it."""
        known = names.get(self.param or "")
        if known is None or self.param is None:
            return self
        message = self.message.replace(self.param, known, 1)
        return ApiError(self.status, message, code=self.code, param=known, headers=self.headers)

    @property
    def body(self) -> dict[str, Any]:
        kind = {429: "rate_limit_error"}.get(self.status, "invalid_request_error")
        kind = "server_error" if self.status >= 500 else kind
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, self.headers)


def invalid(message: str, param: str | None = None, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, code=code, param=param)


def missing(what: str, name: str, param: str | None = None) -> ApiError:
    why = "it was never made here, was deleted, or belongs to another key"
    return ApiError(404, f"no {what} {name!r}: {why}", param=param)


def install(app: FastAPI) -> None:
    """Every way in which a route may fail, in the one envelope; what nobody expected goes on to `app.Around`."""

    def answer(request: Request, error: ApiError) -> JSONResponse:
        request.scope["code"] = error.code  # for the count of refusals
        return error.response()

    async def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return answer(request, error)

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        told = f"{request.method} {request.url.path}: {error.detail}"
        return answer(request, ApiError(error.status_code, told, headers=dict(error.headers or {})))

    async def fields(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return answer(request, explained(error.errors()[0]))

    async def out(request: Request, error: Exception) -> JSONResponse:
        return answer(request, unavailable(error))

    async def files(request: Request, error: Exception) -> JSONResponse:
        if not objects.full(error):
            raise error
        return await out(request, error)

    app.add_exception_handler(ApiError, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, fields)
    for kind in (*tables.OUT, objects.Failed):
        app.add_exception_handler(kind, out)
    app.add_exception_handler(OSError, files)


def unavailable(error: Exception) -> ApiError:
    """What the server needs is out for a while: 503, and when to ask again. The SDKs do so by themselves."""
    log.warning("%s: %s", type(error).__name__, tables.told(error))
    if objects.full(error):
        told = "the server has no room left: ask again when its keeper has made some"
        return ApiError(503, told, code="disk_full", headers={"retry-after": "30"})
    what = "store" if isinstance(error, objects.Failed) else "database"
    told = f"the server's {what} does not answer or is locked: ask again in a while"
    return ApiError(503, told, code=f"{what}_unavailable", headers={"retry-after": "2"})


def explained(error: Any) -> ApiError:
    """One of pydantic's errors as value, rule and remedy."""
    where = [str(part) for part in error["loc"] if part not in ("body", "query", "path", "header")]
    param = ".".join(where) or None
    if error["type"] == "missing":
        return invalid(f"{param} is missing: it is required", param, "missing_required_parameter")
    if error["type"] == "value_error":  # one of our own checks
        return invalid(str(error["ctx"]["error"]), param)
    rule = error["msg"][0].lower() + error["msg"][1:]
    given = repr(error.get("input"))
    return invalid(f"{param} {given if len(given) < 80 else given[:77] + '...'}: {rule}", param)
