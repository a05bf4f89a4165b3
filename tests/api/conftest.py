"""What tests of the API share: callers, tokens, and a ledger with calls of two users."""

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from alerts.findings import Finding
from alerts.models import Channel
from alerts.operations import mute, raise_alerts
from budgets import operations
from budgets.models import BudgetIncrease, BudgetLimit, Hold
from costwatch.accounts import keys
from tests.workspace import Workspace
from tracking.analyses import create_analysis

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


@pytest.fixture
def world(db, ledger, owner, member, staff):
    """Rows of Alice's, and everybody who asks."""
    now = timezone.now()
    for name in ("alice-only-track", "alice-only-track/close"):
        create_analysis(user_id=owner.pk, title="alice-only-title", analysis_id=name, now=now)
    call = ledger.call(owner, feature="alice-only-feature", analysis="alice-only-track")
    limit = BudgetLimit(
        scope="user", user=owner, owner=owner, period="week", amount=5, name="alice-only-limit", time_zone="UTC"
    )
    limit.save()
    staffs = BudgetLimit(scope="user", user=owner, period="month", amount=50, name="alice-only-limit of staff")
    staffs.save()
    key, _ = keys.create_key(owner, name="alice-only-key", scopes=["read"], now=now)
    increase = BudgetIncrease.objects.create(
        limit=limit, amount=1, until=now.replace(year=2199), why="alice-only-limit", asked_by=owner, asked_at=now
    )
    revoked, dead = keys.create_key(owner, name="alice-only-key revoked", scopes=["read", "admin"], now=now)
    keys.revoke_key(owner, revoked.public_id, now=now)
    held = {"user": owner.pk, "provider": "openai", "model": "gpt-4o-mini", "feature": "alice-only-feature"}
    hold = Hold.objects.create(state="open", amount=1, call_at=now, expires_at=now.replace(year=2199), call=held)
    operations.forget()
    everything = ("read", "ingest", "call", "admin")
    return {
        "rows": {
            "call": call,
            "limit": limit.pk,
            "staffs": staffs.pk,
            "key": key.public_id,
            "increase": increase.pk,
            "hold": hold.pk,
            **alert_rows(owner, limit, now),
        },
        "anonymous": Caller("anonymous"),
        "revoked": Caller("revoked", dead),
        "alice": Caller("alice", key_for(owner, *everything)),
        "bob": Caller("bob", key_for(member, *everything)),
        "read": Caller("read", key_for(owner, "read")),
        "ingest": Caller("ingest", key_for(owner, "ingest")),
        "dora": Caller("dora", key_for(staff, *everything)),
    }


def alert_rows(owner, limit, now) -> dict:
    """An alert of Alice's, a channel and a mute."""
    finding = Finding(
        type="threshold", severity="warning", dedupe_key="alice-only", title="alice-only-limit", text="", at=now,
        user_id=owner.pk, limit_id=limit.pk,
    )  # fmt: skip
    (alert,) = raise_alerts([finding], at=now)
    channel = Channel(owner=owner, kind="in_app", name="alice-only-title")
    channel.save()
    muted = mute(owner, limit_id=limit.pk, until=now.replace(year=2199))
    return {"alert": alert.pk, "channel": channel.pk, "mute": muted.pk}
