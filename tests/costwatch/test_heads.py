"""HEAD as servers get it: the headers of GET, without a body that they would have to drop."""

import asyncio

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import RequestFactory

from tests.api.conftest import key_for

PATHS = [
    "/api/v1/usage",
    "/api/v1/budgets",
    "/api/v1/usage/export?format=csv",
    "/api/v1/nowhere",
    "/login/",
    "/healthz",
]


def asked(method: str, path: str, token: str) -> tuple[str, dict[str, str], bytes]:
    """Status, headers and body as the web server gets them."""
    got = []
    request = RequestFactory().generic(method, path, headers={"authorization": f"Bearer {token}"})
    body = WSGIHandler()(request.environ, lambda status, headers: got.append((status, dict(headers))))
    try:
        return *got[0], b"".join(body)
    finally:
        body.close()


@pytest.mark.django_db
@pytest.mark.parametrize("path", PATHS)
def test_the_headers_are_those_of_get_and_nothing_follows(owner, path):
    token = key_for(owner, "read")
    status, headers, body = asked("GET", path, token)
    assert body
    head_status, head_headers, nothing = asked("HEAD", path, token)
    assert (head_status, nothing) == (status, b"")
    assert head_headers.get("Content-Type") == headers.get("Content-Type")
    assert "Content-Length" not in headers or int(head_headers["Content-Length"]) > 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/api/v1/nowhere", "/login/"])
def test_under_asgi_too(path):
    async def head() -> list[dict]:
        scope = {
            "type": "http", "method": "HEAD", "path": path, "query_string": b"", "headers": [(b"host", b"testserver")],
            "http_version": "1.1", "asgi": {"version": "3.0"},
        }  # fmt: skip
        sent: list[dict] = []
        ended = asyncio.Event()

        async def receive() -> dict:
            if not sent and not ended.is_set():
                ended.set()
                return {"type": "http.request", "body": b"", "more_body": False}
            await asyncio.Event().wait()
            return {}

        async def send(message: dict) -> None:
            sent.append(message)

        await asyncio.wait_for(ASGIHandler()(scope, receive, send), 20)
        return sent

    sent = asyncio.run(head())
    assert sent[0]["type"] == "http.response.start"
    assert b"".join(message.get("body", b"") for message in sent) == b""
