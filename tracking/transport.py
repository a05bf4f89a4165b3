"""httpx2 transports that let a meter see requests and answers go by. They decide nothing."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx2

from tracking import context, guarding
from tracking.context import NOBODY, Attribution
from tracking.failures import failures
from tracking.gate import Admitted, Refused
from tracking.meter import Attempt, Meter

#: how far a stream that the caller left just before its usage is read on
TAIL_PIECES = 8
TAIL_S = 1.0
#: answers with which a server may say that it does not know `stream_options`
_REFUSALS = frozenset({400, 422})
#: hosts known to report it, so that a caller's own mistake is not sent twice
_REPORTS_USAGE = frozenset({"api.openai.com"})
#: headers that belong to the body we replaced
_BODY_HEADERS = frozenset({b"content-length", b"accept-encoding"})


class _Metered:
    """What both transports share."""

    def __init__(self, inner: Any, *, meter: Meter, attribution: Attribution = NOBODY) -> None:
        self.inner = inner
        self.meter = meter
        self.attribution = attribution
        #: origins that refused to report the usage of a stream, and those that did not
        self.refuses: set[str] = set()
        self.accepts: set[str] = set()

    def _to_send(self, attempt: Attempt, request: httpx2.Request) -> httpx2.Request:
        """The request that goes out: the caller's own, or one that also asks for a stream's usage."""
        try:
            if _origin(request) in self.refuses:
                attempt.answer.flag("usage_not_offered")
                return request
            body = attempt.usage_request()
            if body is None:
                return request
            # An encoded stream could not be shown without its extra chunk unless it were decoded: ask for a plain one.
            headers = [pair for pair in request.headers.raw if pair[0].lower() not in _BODY_HEADERS]
            headers.append((b"accept-encoding", b"identity"))
            return httpx2.Request(
                request.method, request.url, headers=headers, content=body, extensions=request.extensions
            )
        except Exception as error:
            failures.note("ask_for_usage", error)
            attempt.asks_usage = False
            return request

    def _refused(self, attempt: Attempt, response: httpx2.Response, request: httpx2.Request) -> bool:
        """Whether this answer may be about what we added, so that the caller's own request must be sent."""
        if not attempt.asks_usage:
            return False
        if response.status_code in _REFUSALS:
            return request.url.host not in _REPORTS_USAGE and _origin(request) not in self.accepts
        if response.status_code < 300 and len(self.accepts) < 1000:
            self.accepts.add(_origin(request))
        return False

    def _sent_again(self, attempt: Attempt, response: httpx2.Response, request: httpx2.Request) -> None:
        attempt.asks_usage = False
        if response.status_code < 300:
            attempt.answer.flag("usage_not_offered")
            if len(self.refuses) < 1000:
                self.refuses.add(_origin(request))

    def _refusal(self, attempt: Attempt, request: httpx2.Request, refused: Refused) -> httpx2.Response:
        """What the caller gets in place of an answer; nothing has left the process."""
        from tracking.wire.refusals import response_of

        attempt.refused(refused)
        return response_of(refused, kind=self.meter.kind, request=request)

    def _show(self, attempt: Attempt, response: httpx2.Response, tee: type) -> httpx2.Response:
        """The response with a body that is seen as it goes by."""
        decoded = attempt.answered(response)
        stream = tee(response.stream, attempt)
        if not decoded and not response.is_stream_consumed:
            response.stream = stream
            return response
        # Decoded by us, or (test doubles) read already: the same response, around the new body.
        headers = response.headers
        if decoded:
            headers = httpx2.Headers([pair for pair in headers.raw if pair[0].lower() != b"content-encoding"])
        return httpx2.Response(response.status_code, headers=headers, stream=stream, extensions=response.extensions)


class MeteredTransport(_Metered, httpx2.BaseTransport):
    """Around the transport of a synchronous client."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send `request` on; raises what the inner transport raises, and nothing else."""
        attempt = self.meter.open(request)
        if attempt is None:
            return self.inner.handle_request(request)
        try:
            attempt.attribute(context.resolve(self.attribution))
        except Exception as error:
            failures.note("attribution", error)
        try:
            request = _as_admitted(attempt, request, guarding.admit(attempt, self.meter.gate))
        except Refused as refused:
            return self._refusal(attempt, request, refused)
        try:
            response = self.inner.handle_request(sent := self._to_send(attempt, request))
            if sent is not request and self._refused(attempt, response, request):
                response.close()
                response = self.inner.handle_request(request)
                self._sent_again(attempt, response, request)
        except BaseException as error:
            attempt.failed(error)
            raise
        return self._show(attempt, response, SyncTee)

    def close(self) -> None:
        """Close the inner transport."""
        self.inner.close()


class AsyncMeteredTransport(_Metered, httpx2.AsyncBaseTransport):
    """Around the transport of an asynchronous client."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send `request` on; raises what the inner transport raises, and nothing else."""
        attempt = self.meter.open(request)
        if attempt is None:
            return await self.inner.handle_async_request(request)
        try:
            attempt.attribute(await context.aresolve(self.attribution))
        except Exception as error:
            failures.note("attribution", error)
        try:
            request = _as_admitted(attempt, request, await guarding.aadmit(attempt, self.meter.gate))
        except Refused as refused:
            return self._refusal(attempt, request, refused)
        try:
            response = await self.inner.handle_async_request(sent := self._to_send(attempt, request))
            if sent is not request and self._refused(attempt, response, request):
                await response.aclose()
                response = await self.inner.handle_async_request(request)
                self._sent_again(attempt, response, request)
        except BaseException as error:
            attempt.failed(error)
            raise
        return self._show(attempt, response, AsyncTee)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self.inner.aclose()


class _Tee:
    """A response body that an attempt sees go by."""

    def __init__(self, inner: Any, attempt: Attempt) -> None:
        self._inner = inner
        self._attempt = attempt
        self._pieces: Any = None

    def __del__(self) -> None:
        attempt = getattr(self, "_attempt", None)
        if attempt is None or attempt.closed:
            return
        try:
            # Nobody closed it. This may run inside any lock of this thread: hand over from another one.
            _thread.start_new_thread(attempt.close, ())
        except RuntimeError:  # the interpreter is ending
            attempt.close()


class SyncTee(_Tee, httpx2.SyncByteStream):
    """The body of a synchronous response."""

    def __iter__(self) -> Iterator[bytes]:
        attempt = self._attempt
        feed = attempt.feed
        self._pieces = iter(self._inner)
        try:
            for chunk in self._pieces:
                if shown := feed(chunk):
                    yield shown
        except GeneratorExit:
            raise
        except Exception as error:
            attempt.broke(error)
            if rest := attempt.held_back():
                yield rest  # it came before the body broke off
            raise
        except BaseException as error:
            attempt.broke(error)
            raise
        if rest := attempt.end():
            yield rest

    def close(self) -> None:
        """Close the answer; its attempt is over."""
        attempt = self._attempt
        if self._pieces is not None and attempt.wants_tail():
            self._close_after_tail()
            return
        try:
            self._inner.close()
        finally:
            attempt.close()

    def _close_after_tail(self) -> None:
        """Read on to the usage, for a moment, on a thread of its own: a read that hangs must not hold the caller."""
        done = threading.Event()
        thread = threading.Thread(target=self._read_tail, args=(done,), name="costwatch-tail", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._read_tail(done)
        done.wait(TAIL_S)
        self._attempt.close()

    def _read_tail(self, done: threading.Event) -> None:
        attempt = self._attempt
        try:
            until = time.monotonic() + TAIL_S
            for _ in range(TAIL_PIECES):
                chunk = next(self._pieces, None)
                if chunk is None or attempt.closed:
                    break
                attempt.feed(chunk)
                if attempt.knows_usage() or time.monotonic() > until:
                    break
        except Exception as error:
            failures.note("tail", error)
        finally:
            try:
                self._inner.close()
            except Exception as error:
                failures.note("tail", error)
            done.set()


class AsyncTee(_Tee, httpx2.AsyncByteStream):
    """The body of an asynchronous response."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        attempt = self._attempt
        feed = attempt.feed
        self._pieces = self._inner.__aiter__()
        try:
            async for chunk in self._pieces:
                if shown := feed(chunk):
                    yield shown
        except GeneratorExit:
            raise
        except Exception as error:
            attempt.broke(error)
            if rest := attempt.held_back():
                yield rest  # it came before the body broke off
            raise
        except BaseException as error:
            attempt.broke(error)
            raise
        if rest := attempt.end():
            yield rest

    async def aclose(self) -> None:
        """Close the answer; its attempt is over."""
        attempt = self._attempt
        try:
            if self._pieces is not None and attempt.wants_tail():
                await self._read_tail()
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await self._inner.aclose()
            finally:
                attempt.close()

    async def _read_tail(self) -> None:
        attempt = self._attempt
        try:
            with anyio.move_on_after(TAIL_S):
                for _ in range(TAIL_PIECES):
                    attempt.feed(await anext(self._pieces))
                    if attempt.knows_usage():
                        break
        except StopAsyncIteration:
            pass
        except Exception as error:
            failures.note("tail", error)


def _as_admitted(attempt: Attempt, request: httpx2.Request, admitted: Admitted) -> httpx2.Request:
    """The request as the gate admitted it: with the maximum of output that it set."""
    if admitted.flags:
        attempt.event.flags.extend(admitted.flags)
    if admitted.max_tokens is None:
        return request
    sent = attempt.sent
    sent.content = guarding.with_maximum(sent.content, sent.fields, admitted)
    sent.fields = {**sent.fields, admitted.field: admitted.max_tokens}
    headers = [pair for pair in request.headers.raw if pair[0].lower() != b"content-length"]
    return httpx2.Request(
        request.method, request.url, headers=headers, content=sent.content, extensions=request.extensions
    )


def _origin(request: httpx2.Request) -> str:
    url = request.url
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}{url.path}"
