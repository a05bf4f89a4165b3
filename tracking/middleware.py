"""Django middleware: calls made while a request is served belong to its user, unless something else says whose."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from tracking import context
from tracking.failures import failures


class TrackingMiddleware:
    """Put it after the authentication middleware. It queries nothing: the user is looked up when a call is made."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        if self._is_async:
            return self._acall(request)
        token = context.set_request_user(RequestUser(request))
        try:
            return _attributed(self.get_response(request), request)
        finally:
            context.reset_request_user(token)

    async def _acall(self, request: Any) -> Any:
        token = context.set_request_user(RequestUser(request))
        try:
            return _attributed(await self.get_response(request), request)
        finally:
            context.reset_request_user(token)


class RequestUser:
    """The user of one request; looked up at most once, and again only while nobody has logged in."""

    def __init__(self, request: Any) -> None:
        self._request = request

    def resolve(self) -> int | str | None:
        """The user's key; may query the database. None for an anonymous user, or when the lookup fails."""
        try:
            return _key(self._known() or self._lookup())
        except Exception as error:
            failures.note("request_user", error)
            return None

    async def aresolve(self) -> int | str | None:
        """The same for the event loop: whatever has to be queried is awaited."""
        try:
            user = self._known()
            if user is None:
                find = getattr(self._request, "auser", None)
                user = await find() if find is not None else None
            return _key(user)
        except Exception as error:
            failures.note("request_user", error)
            return None

    def _known(self) -> Any:
        """The user, if somebody has looked it up already (the view, an API's authentication)."""
        from django.utils.functional import LazyObject, empty

        user = self._request.__dict__.get("user")
        if not isinstance(user, LazyObject):
            return user
        return None if user._wrapped is empty else user

    def _lookup(self) -> Any:
        from django.core.exceptions import SynchronousOnlyOperation

        try:
            user = getattr(self._request, "user", None)
            return user if user is None or user.pk is not None else None
        except SynchronousOnlyOperation:
            # A synchronous client on the event loop: it blocks the loop for a whole call anyway.
            return self._lookup_elsewhere()

    def _lookup_elsewhere(self) -> Any:
        found: list[Any] = []

        def look() -> None:
            from django.db import connections

            try:
                found.append(self._request.user)
                bool(found[0].pk)
            except Exception as error:
                found.clear()
                failures.note("request_user", error)
            finally:
                connections.close_all()

        thread = threading.Thread(target=look, name="costwatch-request-user", daemon=True)
        thread.start()
        thread.join(timeout=5.0)
        return found[0] if found else None


def _key(user: Any) -> int | str | None:
    """How the ledger knows a user: by its key, where the users are Costwatch's own, else by email address."""
    if user is None or not getattr(user, "is_authenticated", False):
        return None
    from django.conf import settings

    if settings.AUTH_USER_MODEL == "accounts.User":
        return user.pk
    # A user of the application's own: its primary key names somebody else in Costwatch.
    return getattr(user, "email", None) or None


def _attributed(response: Any, request: Any) -> Any:
    """A streaming response calls the provider after the middleware has returned: its iterator keeps the user."""
    if not getattr(response, "streaming", False) or hasattr(response, "file_to_stream"):
        return response  # a file calls nobody, and the server may send it by other means
    content = response.streaming_content
    user = RequestUser(request)
    response.streaming_content = _aiterate(content, user) if response.is_async else _iterate(content, user)
    return response


def _iterate(content: Any, user: RequestUser) -> Any:
    items = iter(content)
    try:
        while True:
            token = context.set_request_user(user)
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                context.reset_request_user(token)
            yield item
    finally:
        if hasattr(items, "close"):
            items.close()


async def _aiterate(content: Any, user: RequestUser) -> Any:
    items = aiter(content)
    try:
        while True:
            token = context.set_request_user(user)
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
            finally:
                context.reset_request_user(token)
            yield item
    finally:
        if hasattr(items, "aclose"):
            await items.aclose()
