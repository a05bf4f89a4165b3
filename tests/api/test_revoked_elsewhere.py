"""What one process revokes another refuses at the very next request: a real server, in a process of its own."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from costwatch.accounts.keys import create_key, log_in, revoke_key
from costwatch.accounts.models import ApiKey
from tests.api.conftest import key_for

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.django_db(transaction=True)]
#: Serves this database, by its own connection: nothing is shared with the process that revokes.
SERVE = """
import sys
from django.conf import settings
import django
settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from wsgiref.simple_server import make_server
from costwatch.wsgi import application
make_server("127.0.0.1", int(sys.argv[2]), application).serve_forever()
"""


@pytest.fixture
def other_process(transactional_db) -> Iterator[int]:
    """The port of a server in another process that has this test's database."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT)}
    name = str(connection.settings_dict["NAME"])
    command = [sys.executable, "-c", SERVE, name, str(port)]
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.DEVNULL) as server:  # noqa: S603
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and server.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.2)
            assert server.poll() is None
            yield port
        finally:
            server.terminate()


def status(port: int, secret: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as asked:
        asked.request("GET", "/api/v1/usage", headers={"Authorization": f"Bearer {secret}"})
        return asked.getresponse().status


def test_revoked_here_is_refused_there_at_once(other_process, owner):
    now = timezone.now()
    key, secret = create_key(owner, name="one", scopes=["read"], now=now)
    _, login = log_in(owner, now=now, lifetime=timedelta(hours=1))
    kept = key_for(owner, "read")
    for one in (secret, login, kept):
        assert [status(other_process, one) for _ in range(3)] == [200] * 3, "it knows them well"

    revoke_key(owner, key.public_id, now=timezone.now())
    ApiKey.objects.filter(user=owner, kind=ApiKey.Kind.LOGIN).delete()
    assert (status(other_process, secret), status(other_process, login)) == (401, 401), "by the very next request"
    assert status(other_process, kept) == 200
