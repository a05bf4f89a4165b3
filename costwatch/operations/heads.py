"""An answer to HEAD: the headers of GET, and nothing of its body."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class HeadMiddleware:
    """Put it outside of what measures the body: servers complain of a body that they must not send."""

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
        return _without_body(request, self.get_response(request))

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        return _without_body(request, await self.get_response(request))


def _without_body(request: HttpRequest, response: Any) -> HttpResponseBase:
    if request.method != "HEAD":
        return response
    if response.streaming:  # nothing of it is made; what it holds is let go when the response is closed
        response.streaming_content = _nothing() if response.is_async else iter(())
    elif response.content:
        response.headers.setdefault("Content-Length", str(len(response.content)))
        response.content = b""
    return response


async def _nothing() -> AsyncIterator[bytes]:
    for part in ():
        yield part
