"""The database is away, or a process is killed: a hard limit refuses within a second, and nothing is lost."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import openai
import pytest

from tests.flows.budgeting import ask, assert_budgets_agree, limit_of, standing


@pytest.fixture(autouse=True)
def clean_memory(transactional_db):
    from budgets import connections, operations

    operations.forget()
    yield
    operations.forget()
    connections.shut_down()


class Cable:
    """A TCP connection to the database that can be cut (refused) or go silent (nothing comes through)."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.silent = threading.Event()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.server.accept()
                if self.silent.is_set():
                    self._kept = client  # accepted, and never answered
                    continue
                upstream = socket.create_connection(self.target)
                for pair in ((client, upstream), (upstream, client)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.silent.is_set():
                    continue
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def cable(transactional_db):
    """The budgets' connections go through a cable; PostgreSQL only."""
    from django.db import connections as databases

    from budgets import connections

    database = databases["default"]
    if database.vendor != "postgresql":
        pytest.skip("SQLite is a file: it cannot be away")
    before = dict(database.settings_dict)
    cable = Cable(before["HOST"] or "127.0.0.1", int(before["PORT"] or 5432))
    connections.shut_down()
    databases.settings["default"].update(HOST="127.0.0.1", PORT=str(cable.port))
    try:
        yield cable
    finally:
        cable.silent.clear()
        databases.settings["default"].update(HOST=before["HOST"], PORT=before["PORT"])
        cable.server.close()
        connections.shut_down()


def seconds_until_refused(client) -> float:
    start = time.monotonic()
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client)
    taken = time.monotonic() - start
    assert caught.value.status_code == 503 and caught.value.code == "budget_unavailable"
    assert caught.value.response.headers["x-should-retry"] == "false"
    return taken


def test_a_database_that_falls_silent_refuses_within_a_second(sdk, provider, cable):
    limit_of("5")
    client = sdk("openai")
    ask(client)
    cable.silent.set()
    provider.requests.clear()
    assert seconds_until_refused(client) < 1.2
    assert seconds_until_refused(client) < 1.2
    assert not provider.requests


def test_a_database_that_cannot_be_reached_refuses_at_once_unless_told_otherwise(
    sdk, provider, settings, monkeypatch, caplog
):
    from budgets import operations
    from budgets.errors import BudgetUnavailable

    limit_of("5")
    client = sdk("openai")

    def away(*args, **kwargs):
        raise BudgetUnavailable("The database is away.")

    monkeypatch.setattr(operations, "run_apart", away)
    assert seconds_until_refused(client) < 1
    assert not provider.requests
    settings.ON_GATE_FAILURE = "allow"
    ask(client)
    assert len(provider.requests) == 1
    assert "ADMITTED UNCHECKED" in caplog.text


def test_a_call_under_no_hard_limit_goes_on_while_the_database_is_away(sdk, provider, owner, member, monkeypatch):
    from budgets import book
    from budgets.errors import BudgetUnavailable

    limit_of("5", scope="user", user=member)
    client = sdk("openai", user=owner.pk)
    ask(client)

    def away(*args, **kwargs):
        raise BudgetUnavailable("The database is away.")

    monkeypatch.setattr(book, "MAX_AGE_S", -1)
    monkeypatch.setattr(book, "run_apart", away)
    ask(client)
    assert len(provider.requests) == 2


def test_a_process_that_starts_during_an_outage_goes_by_what_others_saw(sdk, provider, monkeypatch):
    from budgets import book, operations
    from budgets.errors import BudgetUnavailable
    from tracking import spool

    def away(*args, **kwargs):
        raise BudgetUnavailable("The database is away.")

    def starts_in_an_outage():
        spool.flush()  # or the recorder of this process looks at the limits meanwhile
        operations.forget()
        monkeypatch.setattr(book, "read_apart", away)
        monkeypatch.setattr(book, "run_apart", away)
        monkeypatch.setattr(operations, "run_apart", away)
        return sdk("openai")

    assert seconds_until_refused(starts_in_an_outage()) < 1  # nobody ever saw the limits: there may be a hard one
    monkeypatch.undo()
    ask(sdk("openai"))
    assert len(provider.requests) == 1
    ask(starts_in_an_outage())  # another process saw that there is none
    assert len(provider.requests) == 2
    monkeypatch.undo()
    limit_of("5")
    operations.forget()
    ask(sdk("openai"))
    provider.requests.clear()
    assert seconds_until_refused(starts_in_an_outage()) < 1
    assert not provider.requests


CHILD = """
import os, signal, sys
sys.path.insert(0, {root!r})
from costwatch.clients import openai_client
assert "django" not in sys.modules, "Django is set up by the first guarded call"
if {when!r} == "after the hold":
    from tracking import gate
    gate.current()
    from budgets import operations
    reserve = operations.reserve
    def reserve_and_die(*args, **kwargs):
        reserve(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
    operations.reserve = reserve_and_die
else:
    from tracking import spool
    spool.emit = lambda event: os.kill(os.getpid(), signal.SIGKILL)
client = openai_client(base_url={base_url!r}, api_key="local", feature="killed")
client.chat.completions.create(
    model="gpt-4o", messages=[{{"role": "user", "content": "What did we spend?"}}], max_completion_tokens=100
)
"""


def database_url() -> str:
    from django.db import connections as databases

    database = databases["default"].settings_dict
    if databases["default"].vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    account = f"{database['USER']}:{database['PASSWORD']}"
    return f"postgres://{account}@{database['HOST']}:{database['PORT']}/{database['NAME']}"


@pytest.mark.parametrize("when", ["after the hold", "before the event"])
def test_a_process_killed_between_hold_and_row_is_counted_by_the_sweeper(ledger, provider, settings, when):
    from budgets.models import Hold
    from budgets.sweeping import sweep_holds

    limit_of("5")
    root = str(Path(__file__).resolve().parents[2])
    code = CHILD.format(root=root, when=when, base_url=provider.openai_base_url)
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "SPOOL_DIR": str(settings.SPOOL_DIR),
        "DATABASE_URL": database_url(),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    assert len(provider.requests) == (0 if when == "after the hold" else 1)
    hold = Hold.objects.get()
    assert hold.state == "open" and standing() == (0, hold.amount)
    assert sweep_holds(now=datetime.now(UTC)) == 0, "its call may still be in flight"
    assert sweep_holds(now=datetime.now(UTC) + timedelta(hours=1)) == 1
    row = ledger.row()
    assert (row.id, row.status, row.cost, row.price_status) == (hold.pk, "unknown", hold.amount, "assumed")
    assert (row.feature, row.quality) == ("killed", "estimated")
    assert standing() == (hold.amount, Decimal(0))
    assert_budgets_agree(ledger)


def test_calls_that_wait_for_their_turn_are_not_taken_for_an_outage(ledger, provider, settings, monkeypatch):
    """Many coroutines, one thread to hold for them: the last one waits far longer than a second, and is admitted."""
    import asyncio

    from budgets import connections, gate
    from costwatch.clients import async_openai_client

    connections.shut_down()
    settings.BUDGET_THREADS = 1
    limit_of("5")
    decide = gate._decide

    def slowly(*args):
        time.sleep(0.25)
        return decide(*args)

    monkeypatch.setattr(gate, "_decide", slowly)
    blocked = []

    async def watch() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            blocked.append(time.monotonic() - before)

    async def ask_all() -> list:
        watching = asyncio.create_task(watch())
        async with async_openai_client(base_url=provider.openai_base_url, api_key="local") as client:
            answers = await asyncio.gather(*(ask(client) for _ in range(6)))
        watching.cancel()
        return answers

    assert len(asyncio.run(ask_all())) == 6
    assert sorted(blocked)[len(blocked) // 2] < 0.1, "the event loop goes on meanwhile"
    connections.shut_down()
    assert_budgets_agree(ledger)
