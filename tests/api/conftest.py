"""What tests of the API share: callers, tokens, and a ledger with calls of two users."""

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from budgets import operations
from costwatch.accounts import keys
from tests.workspace import Workspace

DASHBOARD = "/api/cost-monitoring/dashboard"


@pytest.fixture(autouse=True)
def nothing_counted():
    """Throttles and limits start afresh with each test."""
    cache.clear()
    operations.forget()
    yield
    operations.forget()


@dataclass
class Caller:
    """Somebody who calls the API: with a token, a browser session, or without either."""

    name: str
    token: str = ""
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def ask(self, method: str, path: str, body: Any = None, **headers: str):
        """The answer to one request."""
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        return self.client.generic(
            method,
            path,
            b"" if body is None else body if isinstance(body, bytes) else dump(body),
            content_type="application/json",
            headers=headers,
        )

    def get(self, path: str, **params: Any):
        """The JSON that a GET answers; it succeeds."""
        response = self.ask("GET", path + ("?" + query(params) if params else ""))
        assert response.status_code == 200, (response.status_code, response.content)
        return response.json()


def dump(body: Any) -> bytes:
    import json

    return json.dumps(body).encode()


def query(params: dict) -> str:
    from urllib.parse import urlencode

    return urlencode({name.removesuffix("_"): value for name, value in params.items()})


def key_for(user, *scopes: str, **fields: Any) -> str:
    """The secret of a new key."""
    made, secret = keys.create_key(user, name="test", scopes=scopes, now=timezone.now(), **fields)
    return secret


def login_of(user) -> Caller:
    """A user with a login token."""
    _, secret = keys.log_in(user, now=timezone.now(), lifetime=timedelta(hours=1))
    return Caller(user.email, secret)


@pytest.fixture
def anonymous() -> Caller:
    return Caller("anonymous")


@pytest.fixture
def alice(db, owner) -> Caller:
    return login_of(owner)


@pytest.fixture
def bob(db, member) -> Caller:
    return login_of(member)


@pytest.fixture
def dora(db, staff) -> Caller:
    return login_of(staff)


class Ledger(Workspace):
    """A workspace, with calls of another kind."""

    def minute_of_whisper(self, user=None, **fields: Any) -> uuid.UUID:
        """A transcription of a minute: $0.006."""
        usage = {"type": "duration", "seconds": 60}
        return self.call(user, model="whisper-1", operation="transcription", usage=usage, **fields)


@pytest.fixture
def ledger(db) -> Ledger:
    return Ledger()


@pytest.fixture
def month_of_calls(ledger, owner, member) -> dict[str, uuid.UUID]:
    """Alice: two chats and a transcription in an analysis, one call without a price; Bob: a chat; nobody: a chat."""
    return {
        "chat": ledger.call(owner, feature="pitch", analysis="track-1", tags={"team": "blue"}),
        "older": ledger.call(owner, feature="critique", analysis="track-1", days_ago=3),
        "whisper": ledger.minute_of_whisper(owner, analysis="track-1"),
        "unpriced": ledger.call(owner, model="gpt-99"),
        "bob": ledger.call(member, feature="secret-of-bob", analysis="track-of-bob", model="gpt-4o"),
        "nobody": ledger.call(None),
    }
