"""Every request has an id: taken over from the proxy or made here, told in the answer and in every line of the log."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse

logger = logging.getLogger("costwatch.requests")

HEADER = "X-Request-ID"
#: What is taken over; anything else could not be told apart from another line of the log.
_VALID = re.compile(r"[A-Za-z0-9_.\-]{8,64}")
_request_id: ContextVar[str] = ContextVar("costwatch_request_id", default="")


def request_id() -> str:
    """The id of the request that is being served; "" outside of one."""
    return _request_id.get()


class RequestIdFilter(logging.Filter):
    """Puts the id of the request on each record: `request_id`, and `of_request` for lines of text."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id()
        record.of_request = f" [{record.request_id}]" if record.request_id else ""
        return True


class RequestIdMiddleware:
    """Put it first, so that whatever the others log has the id."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self._is_async:
            return self._acall(request)
        token, began = _begin(request), time.perf_counter()
        try:
            return _end(request, self.get_response(request), began)
        finally:
            _request_id.reset(token)

    async def _acall(self, request: HttpRequest) -> HttpResponse:
        token, began = _begin(request), time.perf_counter()
        try:
            return _end(request, await self.get_response(request), began)
        finally:
            _request_id.reset(token)


def _begin(request: HttpRequest) -> Any:
    given = request.headers.get(HEADER, "")
    request.id = given if _VALID.fullmatch(given) else uuid.uuid4().hex  # type: ignore[attr-defined]
    return _request_id.set(request.id)  # type: ignore[attr-defined]


def _end(request: HttpRequest, response: HttpResponse, began: float) -> HttpResponse:
    response[HEADER] = request_id()
    if settings.LOG_REQUESTS:
        # The path alone: what stands behind a question mark may be anybody's.
        told = {
            "method": request.method,
            "path": request.path[:200],
            "status": response.status_code,
            "duration_ms": round((time.perf_counter() - began) * 1000, 1),
        }
        logger.info("%(method)s %(path)s %(status)d", told, extra={"request_line": told})
    return response
