"""Who a call is for and what it is about: `with track(user=..., feature=..., analysis=..., **tags)`.

What is set here holds for calls of clients that were created without it. What a client was given when it was made is
more deliberate than its surroundings, so it wins; tags of both are merged. Contexts nest (the inner one overrides) and
follow `asyncio` tasks; a plain new thread starts without one, as with every context variable.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

MAX_NAME_LENGTH = 200  # feature, analysis and email, in characters: the width of the ledger's columns
MAX_TAGS = 32
MAX_TAG_KEY_LENGTH = 64
MAX_TAG_VALUE_LENGTH = 200

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who and what for. Bounded: what was too long is cut, and `flags` says so."""

    user: int | str | None = None  # primary key or email address
    feature: str = ""
    analysis: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    def over(self, other: Attribution) -> Attribution:
        """This attribution, completed by `other` where it says nothing."""
        if other is NOBODY:
            return self
        if self is NOBODY:
            return other
        tags, flags = {**other.tags, **self.tags}, self.flags + other.flags
        if len(tags) > MAX_TAGS:
            # What the inner one says is more precise: it goes first.
            tags = dict(
                list({**self.tags, **{k: v for k, v in other.tags.items() if k not in self.tags}}.items())[:MAX_TAGS]
            )
            flags += ("cut:tags",)
        return Attribution(
            user=self.user if self.user is not None else other.user,
            feature=self.feature or other.feature,
            analysis=self.analysis or other.analysis,
            tags=tags,
            flags=tuple(dict.fromkeys(flags)) if flags else (),
        )


NOBODY = Attribution()


class LazyUser(Protocol):
    """The user of the current web request, looked up only when a call is made."""

    def resolve(self) -> int | str | None:
        """Primary key or email address, or None; may query the database."""

    async def aresolve(self) -> int | str | None:
        """The same without blocking the event loop."""


_current: ContextVar[Attribution] = ContextVar("costwatch_attribution", default=NOBODY)
_request_user: ContextVar[LazyUser | None] = ContextVar("costwatch_request_user", default=None)


def attribution(
    *, user: Any = None, feature: Any = None, analysis: Any = None, tags: Mapping[str, Any] | None = None
) -> Attribution:
    """An `Attribution` of what an application passed. Too long is cut and flagged; it never raises.

    `user` is a primary key, an email address, a user object (its `pk`), or None; an anonymous user is none.
    `analysis` is a key, or an object with a `pk`.
    """
    if user is None and feature is None and analysis is None and not tags:
        return NOBODY
    flags: list[str] = []
    return Attribution(
        user=_user(user, flags),
        feature=_name("feature", feature, flags),
        analysis=_name("analysis", analysis, flags),
        tags=_tags(tags, flags) if tags else {},
        flags=tuple(flags),
    )


def current() -> Attribution:
    """What `track` blocks around this point say (without the web request's user)."""
    return _current.get()


def resolve(defaults: Attribution) -> Attribution:
    """The attribution of a call made now by a client with these defaults: its own, else `track`, else the request's."""
    found = defaults.over(_current.get())
    lazy = _request_user.get() if found.user is None else None
    return found if lazy is None else _with_user(found, lazy.resolve())


async def aresolve(defaults: Attribution) -> Attribution:
    """`resolve` for the event loop."""
    found = defaults.over(_current.get())
    lazy = _request_user.get() if found.user is None else None
    return found if lazy is None else _with_user(found, await lazy.aresolve())


def set_request_user(lazy: LazyUser | None) -> Token:
    """For the middleware: the user of calls made in this context from now on; returns what undoes it."""
    return _request_user.set(lazy)


def reset_request_user(token: Token) -> None:
    """Undo `set_request_user`."""
    _request_user.reset(token)


class track:  # noqa: N801 - reads as a verb: `with track(feature="chat"):`
    """Attribute the calls made inside: `with track(...)`, `async with track(...)`, or `@track(...)` on a function.

    `user`, `feature` and `analysis` as in `attribution`; every other keyword is a tag. Nothing given here can make a
    call fail. The function decorated may be plain, a coroutine, or a generator of either kind.
    """

    def __init__(self, *, user: Any = None, feature: Any = None, analysis: Any = None, **tags: Any) -> None:
        self._attribution = attribution(user=user, feature=feature, analysis=analysis, tags=tags)
        self._tokens: list[Token] = []

    def __enter__(self) -> track:
        self._tokens.append(_current.set(self._attribution.over(_current.get())))
        return self

    def __exit__(self, *exc: object) -> None:
        # Left in another context than it was entered (an async generator closed by the event loop): that context never
        # saw our value, so there is nothing to undo.
        with contextlib.suppress(ValueError):
            _current.reset(self._tokens.pop())

    async def __aenter__(self) -> track:
        return self.__enter__()

    async def __aexit__(self, *exc: object) -> None:
        self.__exit__()

    def _again(self) -> track:
        fresh = track()
        fresh._attribution = self._attribution
        return fresh

    def __call__(self, function: F) -> F:
        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            async def wrapped(*args, **kwargs):
                items = function(*args, **kwargs)
                try:
                    while True:
                        # Only while it runs: between two items the generator's consumer is on its own account.
                        with self._again():
                            try:
                                item = await anext(items)
                            except StopAsyncIteration:
                                return
                        yield item
                finally:
                    await items.aclose()

        elif asyncio.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapped(*args, **kwargs):
                with self._again():
                    return await function(*args, **kwargs)

        elif inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def wrapped(*args, **kwargs):
                items = function(*args, **kwargs)
                try:
                    while True:
                        with self._again():
                            try:
                                item = next(items)
                            except StopIteration as end:
                                return end.value
                        yield item
                finally:
                    items.close()

        else:

            @functools.wraps(function)
            def wrapped(*args, **kwargs):
                with self._again():
                    return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


def _with_user(found: Attribution, user: int | str | None) -> Attribution:
    return found if user is None else replace(found, user=user)


def _user(user: Any, flags: list[str]) -> int | str | None:
    try:
        if hasattr(user, "pk"):
            foreign = getattr(getattr(user, "_meta", None), "label_lower", "accounts.user") != "accounts.user"
            # Another application's user: its primary key names somebody else here.
            user = getattr(user, "email", None) if foreign else user.pk
        if user is None or isinstance(user, bool):
            return None
        if isinstance(user, int):
            return user
        text = str(user).strip()
    except Exception:
        flags.append("unreadable:user")
        return None
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    return _name("user", text, flags) or None


def _name(what: str, value: Any, flags: list[str]) -> str:
    if value is None:
        return ""
    try:
        text = str(value.pk if hasattr(value, "pk") else value)
    except Exception:
        flags.append(f"unreadable:{what}")
        return ""
    text = _printable(text)
    if len(text) > MAX_NAME_LENGTH:
        flags.append(f"cut:{what}")
        return text[:MAX_NAME_LENGTH]
    return text


def _printable(text: str) -> str:
    # PostgreSQL stores neither NUL nor lone surrogates.
    if "\x00" in text:
        text = text.replace("\x00", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _tags(tags: Mapping[str, Any], flags: list[str]) -> dict[str, str]:
    bounded: dict[str, str] = {}
    cut = False
    for key, value in tags.items():
        if value is None:
            continue
        if len(bounded) == MAX_TAGS:
            cut = True
            break
        try:
            name, text = _printable(str(key)), _printable(str(value))
        except Exception:
            cut = True
            continue
        cut = cut or len(name) > MAX_TAG_KEY_LENGTH or len(text) > MAX_TAG_VALUE_LENGTH
        bounded[name[:MAX_TAG_KEY_LENGTH]] = text[:MAX_TAG_VALUE_LENGTH]
    if cut:
        flags.append("cut:tags")
    return bounded
