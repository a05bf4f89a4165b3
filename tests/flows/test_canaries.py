"""Secrets and prompts sent through every entrance are found nowhere: not in the database, the spool, logs or pages.

Every entrance is given texts that nobody else uses (canaries) wherever a key, a password, a prompt or an answer can
stand, also where it does not belong. Afterwards everything that Costwatch keeps or shows is searched for them.
"""

import asyncio
import io
import json
import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from costwatch.logs import JsonFormatter
from tests.api.conftest import key_for
from tests.flows import canary_alerts
from tests.flows.budgeting import limit_of
from tests.tracking.test_imports import LANGFUSE, LITELLM
from tests.tracking.test_ingestion import an_item
from tracking import spool

PROMPT = "Tell nobody, canary-prompt-7f3a9c"
ANSWER = "They said canary-answer-7f3a9c"
PROVIDER_KEY = "sk-canary-provider-7f3a9c"
PASSWORD = "canary-password-7f3a9c"  # noqa: S105
GUESS = "canary-guess-7f3a9c"
STRAY = "canary-stray-7f3a9c"
#: What the SDKs, the HTTP library and the socket library log of themselves is not ours.
NOT_OURS = ("openai", "anthropic", "httpx", "httpcore", "websockets", "asyncio", "faker")
ASK = [{"role": "user", "content": PROMPT}]
V1 = "/api/v1"


class Nest:
    """Where canaries are sent from, and looked for."""

    def __init__(self, provider: Any, owner: Any, staff: Any) -> None:
        self.provider, self.owner, self.staff = provider, owner, staff
        self.secrets = {text.split()[-1] for text in (PROMPT, ANSWER, PROVIDER_KEY, PASSWORD, GUESS, STRAY)}
        self.spooled: list[bytes] = []
        self.logged = io.StringIO()
        self.answers: list[str] = []
        self.key = self.secret(key_for(owner, "read", "ingest", "call", "admin"))
        self.staff_key = self.secret(key_for(staff, "read", "ingest", "call", "admin"))

    def secret(self, text: str) -> str:
        self.secrets.add(text)
        return text

    def send(self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str) -> Any:
        """One request to the API, by the owner's key; what is answered is searched too."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        token = self.key if token is None else token
        response = Client(raise_request_exception=False).generic(
            method,
            path,
            content,
            content_type=headers.pop("content_type", "application/json"),
            headers={**({"authorization": f"Bearer {token}"} if token else {}), **headers},
        )
        text = response.getvalue() if response.streaming else response.content
        self.answers.append(f"{method} {path}: {text.decode('utf-8', 'replace')}")
        return response

    def sdk(self, kind: str) -> Any:
        from costwatch import clients

        base_url = self.provider.anthropic_base_url if "anthropic" in kind else self.provider.openai_base_url
        make = getattr(clients, f"{kind}_client")
        return make(base_url=base_url, api_key=PROVIDER_KEY, max_retries=0, user=self.owner.pk, feature="canaries")


@pytest.fixture
def nest(transactional_db, provider, owner, staff, monkeypatch) -> Iterator[Nest]:
    owner.set_password(PASSWORD)
    owner.save()
    nest = Nest(provider, owner, staff)
    append = spool.Spool.append
    monkeypatch.setattr(spool.Spool, "append", lambda self, line: nest.spooled.append(line) or append(self, line))
    handler = logging.StreamHandler(nest.logged)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(lambda record: not record.name.startswith(NOT_OURS))
    names = ["", *configured.LOGGING["loggers"], "budgets", "alerts", "django.request", "django.db.backends"]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.INFO if name == "django.template" else logging.DEBUG)
    logging.getLogger().addHandler(handler)
    limit_of("1000")
    yield nest
    logging.getLogger().removeHandler(handler)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


# --- Entrances ------------------------------------------------------------------------------------------------------

ENTRANCES: list[Callable[[Nest], None]] = []


def entrance(function: Callable[[Nest], None]) -> Callable[[Nest], None]:
    ENTRANCES.append(function)
    return function


@entrance
def openai_calls(nest: Nest) -> None:
    with nest.sdk("openai") as client:
        told = {"model": "gpt-4o", "messages": ASK, "user": STRAY, "metadata": {"note": STRAY}}
        client.chat.completions.create(**told)
        for _ in client.chat.completions.create(**told, stream=True):
            pass
        client.responses.create(model="gpt-4o", input=PROMPT, instructions=PROMPT, previous_response_id=None)
        client.embeddings.create(model="text-embedding-3-small", input=[PROMPT])
        client.moderations.create(input=PROMPT)
        client.images.generate(model="dall-e-3", prompt=PROMPT)
        client.audio.speech.create(model="tts-1", voice="alloy", input=PROMPT)
        for model in ("demo-error-500", "demo-error-400", "demo-cut", "demo-garbled", "no-model"):
            with suppress(Exception):
                client.chat.completions.create(model=model, messages=ASK)


@entrance
def openai_async(nest: Nest) -> None:
    async def run() -> None:
        async with nest.sdk("async_openai") as client:
            await client.chat.completions.create(model="gpt-4o", messages=ASK)
            async for _ in await client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True):
                pass

    asyncio.run(run())


@entrance
def anthropic_calls(nest: Nest) -> None:
    told = {"model": "claude-sonnet-4-6", "max_tokens": 50, "messages": ASK, "system": PROMPT}
    with nest.sdk("anthropic") as client:
        client.messages.create(**told, metadata={"user_id": STRAY})
        with client.messages.stream(**told) as stream:
            stream.get_final_text()
        one = {"custom_id": "one", "params": told}
        batch = client.messages.batches.create(requests=[one])
        with suppress(Exception):
            list(client.messages.batches.results(batch.id))

    async def run() -> None:
        async with nest.sdk("async_anthropic") as client:
            await client.messages.create(**told)

    asyncio.run(run())


@entrance
def openai_batches(nest: Nest) -> None:
    body = {"model": "gpt-4o-mini", "messages": ASK, "max_tokens": 20}
    line = {"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": body}
    with nest.sdk("openai") as client:
        file = client.files.create(file=("in.jsonl", json.dumps(line).encode()), purpose="batch")
        with suppress(Exception):
            made = client.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
            for _ in range(20):
                made = client.batches.retrieve(made.id)
                if made.output_file_id:
                    client.files.content(made.output_file_id).text  # noqa: B018
                    break


@entrance
def realtime(nest: Nest) -> None:
    with nest.sdk("openai") as client, client.realtime.connect(model="gpt-realtime") as session:
        session.session.update(session={"type": "realtime", "instructions": PROMPT})
        content = [{"type": "input_text", "text": PROMPT}]
        session.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        session.response.create()
        for event in session:
            if event.type == "response.done":
                break


@entrance
def usage_over_http(nest: Nest) -> None:
    item = an_item(id=..., at=timezone.now().isoformat())
    bad = [
        {**item, "prompt": PROMPT},
        {**item, PROMPT: 1},
        {**item, "usage": {**item["usage"], "note": PROMPT, "deep": {"answer": ANSWER, PROMPT: 3}}},
        {**item, "usage": PROMPT},
        {**item, "usage": None, "facts": {"messages": PROMPT}},
        {**item, "usage": None, "meters": {PROMPT: 1}},
        {**item, "error": f"{ANSWER} said the model"},
        {**item, "endpoint": f"/v1/chat?key={PROVIDER_KEY}"},
        {**item, "operation": PROMPT},
        {**item, "status": ANSWER},
        {**item, "cost_usd": PROMPT},
        {**item, "at": PROMPT},
        {**item, "tags": PROMPT},
        {**item, "user": PROMPT},
        PROMPT,
        [PROMPT],
    ]
    for one in bad:
        nest.send("POST", f"{V1}/usage", one)
    nest.send("POST", f"{V1}/usage", bad)
    lines = [json.dumps(one) for one in bad] + ["{" + PROMPT, f'{{"provider": "{PROMPT}']
    nest.send("POST", f"{V1}/usage", "\n".join(lines).encode(), content_type="application/x-ndjson")


@entrance
def plans_over_http(nest: Nest) -> None:
    asked = {
        "provider": "openai",
        "endpoint": "/v1/chat/completions",
        "request": {"model": "gpt-4o", "messages": ASK, "user": STRAY, "max_tokens": 10},
    }
    nest.send("POST", f"{V1}/check", asked)
    held = nest.send("POST", f"{V1}/holds", asked)
    assert held.status_code == 201, held.content
    used = {"usage": {"prompt_tokens": 5, "completion_tokens": 5, "text": ANSWER}, "messages": PROMPT}
    nest.send("POST", f"{V1}/holds/{held.json()['id']}/settle", used)
    nest.send("POST", f"{V1}/holds/{held.json()['id']}/settle", {"usage": {**used["usage"]}})
    for path in ("check", "holds", "estimates", "budgets", "keys", "analyses"):
        nest.send("POST", f"{V1}/{path}", {**asked, "request": PROMPT, "prompt": PROMPT, PROMPT: ANSWER})
    nest.send("POST", f"{V1}/estimates", {"items": [{"provider": "openai", "model": "gpt-4o", "messages": ASK}]})


@entrance
def files(nest: Nest) -> None:
    folder = Path(configured.SPOOL_DIR).parent
    rows = {
        "litellm": {**LITELLM, "messages": PROMPT, "response": ANSWER, "api_key": PROVIDER_KEY, "proxy": STRAY},
        "langfuse": {**LANGFUSE, "input": PROMPT, "output": {"text": ANSWER}, "metadata": {"key": PROVIDER_KEY}},
        "ours": an_item(prompt=PROMPT),
        "unknown": {"prompt": PROMPT, "answer": ANSWER},
    }
    for name, row in rows.items():
        file = folder / f"{name}.ndjson"
        file.write_text(json.dumps(row) + "\n{" + PROMPT + "\n")
        out = io.StringIO()
        with suppress(CommandError):
            call_command("import_usage", str(file), stdout=out, stderr=out)
        nest.answers.append(f"import {name}: {out.getvalue()}")


@entrance
def logins(nest: Nest) -> None:
    login = {"email": nest.owner.email, "password": PASSWORD}
    told = nest.send("POST", f"{V1}/auth/login", login, token="").json()
    nest.answers.pop()  # the one answer that shows a secret
    token = nest.secret(told["access_token"])
    nest.send("POST", f"{V1}/auth/logout", token=token)
    nest.send("GET", f"{V1}/usage", token=token)
    for body in ({**login, "password": GUESS}, {"email": GUESS, "password": GUESS}, {**login, "password": [GUESS]}):
        nest.send("POST", f"{V1}/auth/login", body, token="")
    browser = Client()
    for fields in ({"username": nest.owner.email, "password": GUESS}, {"username": GUESS, "password": GUESS}):
        page = browser.post("/login/", fields)
        if fields["username"] != GUESS:  # what was typed as the name is shown again to who typed it
            nest.answers.append(page.content.decode())
    browser.post("/login/", {"username": nest.owner.email, "password": PASSWORD})
    change = {"old_password": GUESS, "new_password1": STRAY + "-Xy9", "new_password2": STRAY + "-Xy8"}
    nest.answers.append(browser.post("/account/password/", change).content.decode())


@entrance
def keys(nest: Nest) -> None:
    made = nest.send("POST", f"{V1}/keys", {"name": "one", "scopes": ["read"]}).json()
    nest.answers.pop()
    second = nest.send("POST", f"{V1}/keys/{made['id']}/rotate").json()
    nest.answers.pop()
    for secret in (nest.secret(made["key"]), nest.secret(second["key"])):
        nest.send("GET", f"{V1}/usage", token=secret)
    nest.send("POST", f"{V1}/keys/{made['id']}/revoke", {})
    nest.send("GET", f"{V1}/usage", token=made["key"])
    nest.send("GET", f"{V1}/usage", token=GUESS)
    # By mistake, where its id belongs: not even the line of the log may have it.
    nest.send("POST", f"{V1}/keys/{second['key']}/revoke", {})
    nest.answers.pop()


@entrance
def what_belongs_nowhere(nest: Nest) -> None:
    body = json.dumps({"messages": ASK, "password": GUESS, "api_key": PROVIDER_KEY}).encode()
    headers = {"x-api-key": PROVIDER_KEY, "cookie": f"session={STRAY}", "referer": f"https://x/?q={STRAY}"}
    paths = ("/nowhere/", f"{V1}/nowhere", "/v1/chat/completions", "/api/cost-monitoring/budget", f"{V1}/usage", "/")
    for path in paths:
        for method in ("POST", "PUT", "DELETE", "GET"):
            nest.send(method, f"{path}?token={STRAY}&prompt={PROMPT}", body, **headers)
    for broken in (b"{" + PROMPT.encode(), PROMPT.encode(), b'"' + PROMPT.encode() + b"\xff", b"[" * 99999 + b"canary"):
        for path in (f"{V1}/usage", f"{V1}/check", f"{V1}/auth/login", "/api/cost-monitoring/budget"):
            nest.send("POST" if "budget" not in path else "PUT", path, broken)
        nest.send("POST", f"{V1}/usage", broken, content_type=f"text/{STRAY}")


@entrance
def opentelemetry(nest: Nest) -> None:
    canary_alerts.otlp(nest, PROMPT, ANSWER, PROVIDER_KEY)


@entrance
def alert_channels(nest: Nest) -> None:
    canary_alerts.channels(nest)


@entrance
def what_goes_wrong_here(nest: Nest) -> None:
    """Errors of our own: the traceback in the log, and the answer."""

    def fail(*args: Any, **more: Any) -> None:
        raise RuntimeError("something went wrong")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("costwatch.api.auth.authenticate", fail)
        patch.setattr("tracking.api.ingest.ingest", fail)
        patch.setattr("budgets.quoting.check", fail)
        codes = [
            nest.send("POST", f"{V1}/auth/login", {"email": "x@example.com", "password": GUESS}, token=""),
            nest.send("POST", f"{V1}/usage", an_item(prompt=PROMPT)),
            nest.send("POST", f"{V1}/check", {"provider": "openai", "model": "gpt-4o", "tags": {"a": STRAY}}),
        ]
    assert [response.status_code for response in codes] == [500, 500, 500]


# --- Where they are looked for --------------------------------------------------------------------------------------


def database() -> Iterator[tuple[str, str]]:
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            for row in cursor.fetchall():
                yield f"table {table}", " ".join(_readable(value) for value in row)


def _readable(value: Any) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)


def database_file() -> Iterator[tuple[str, str]]:
    """Also what was deleted, and what is not yet moved out of the log of SQLite."""
    if connection.vendor == "sqlite":
        name = connection.settings_dict["NAME"]
        with closing(sqlite3.connect(name)) as found:
            found.execute("PRAGMA wal_checkpoint(FULL)")
        for path in Path(name).parent.glob(Path(name).name + "*"):
            yield f"file {path.name}", path.read_bytes().decode("latin-1")


def pages(nest: Nest) -> Iterator[tuple[str, str]]:
    """Every page and list without an argument, and every call's own, for the owner and for staff."""
    from tracking.models import ApiUsageLog

    addresses = [path for path in _addresses() if not re.search(r"log(in|out)|i18n|jsi18n|autocomplete", path)]
    addresses += [f"/calls/{row.pk}/" for row in ApiUsageLog.objects.all()[:40]]
    addresses += canary_alerts.addresses()
    for user, key in ((nest.owner, nest.key), (nest.staff, nest.staff_key)):
        browser = Client(raise_request_exception=False)
        browser.force_login(user)
        for path in addresses:
            api = path.startswith(("/api/", "/v1"))
            response = browser.get(path, headers={"authorization": f"Bearer {key}"} if api else {})
            body = response.getvalue() if response.streaming else response.content
            yield f"GET {path} ({response.status_code})", body.decode("utf-8", "replace")


def _addresses(resolver: Any = None, prefix: str = "/") -> Iterator[str]:
    for one in (resolver or get_resolver()).url_patterns:
        path = prefix + str(one.pattern)
        if hasattr(one, "url_patterns"):
            yield from _addresses(one, path)
        elif not re.search(r"[<^(\\]", path):
            yield path


def leaks(nest: Nest) -> list[str]:
    """Where a canary is, and which: every place that Costwatch keeps or shows anything in."""
    spool.flush(20)
    kept = [path for path in Path(configured.DATA_DIR).rglob("*") if path.is_file() and "sqlite3" not in path.name]
    places = [
        *database(),
        *database_file(),
        *pages(nest),
        *(("the spool", line.decode("latin-1")) for line in nest.spooled),
        *(
            (f"file {path.name}", path.read_bytes().decode("latin-1"))
            for path in [*kept, *Path(configured.SPOOL_DIR).rglob("*")]
            if path.is_file()
        ),
        ("the log", nest.logged.getvalue()),
    ]
    assert len(places) > 100 and nest.logged.getvalue(), "nothing was looked at"
    found = {f"{_shown(secret)} in {place}" for place, text in places for secret in nest.secrets if secret in text}
    # Who sends a prompt may be told of it; a secret is not told even to him.
    secret = nest.secrets - {text.split()[-1] for text in (PROMPT, ANSWER, STRAY)}
    answers = [(text.partition(": ")[0][:80], text) for text in nest.answers]
    found |= {f"{_shown(one)} in the answer to {what}" for what, text in answers for one in secret if one in text}
    return sorted(found)


def _shown(secret: str) -> str:
    return secret if "canary" in secret else "a token"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_that_was_sent_through_any_entrance_is_found_anywhere(nest):
    from tracking.models import ApiUsageLog

    for send in ENTRANCES:
        send(nest)
    assert spool.flush(20)
    assert ApiUsageLog.objects.count() > 20 and nest.spooled, "the calls themselves are recorded"
    found = leaks(nest)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("way", ["row", "log", "spool", "answer"])
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_search_finds_what_is_there(nest, way):
    """A canary that was let through on purpose."""
    from tracking.models import ApiUsageLog

    openai_async(nest)
    spool.flush(20)
    if way == "row":
        with connection.cursor() as cursor:
            cursor.execute("UPDATE tracking_apiusagelog SET error = %s", [PROMPT])
        assert ApiUsageLog.objects.exists()
    elif way == "log":
        logging.getLogger("tracking.meter").debug("asked: %s", PROMPT)
    elif way == "spool":
        nest.spooled.append(PROMPT.encode())
    else:
        nest.answers.append(PASSWORD)
    found = leaks(nest)
    assert found and all("canary-prompt" in place or "canary-password" in place for place in found)
