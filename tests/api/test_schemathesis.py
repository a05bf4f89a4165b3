"""Schemathesis reads the schema and tries what it allows, and what it does not: never a 5xx, nothing undocumented."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.conftest import key_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.django_db(transaction=True)]
COMMAND = shutil.which("schemathesis", path=Path(sys.executable).parent)
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
SECONDS_EACH = 20


@pytest.mark.skipif(COMMAND is None, reason="needs schemathesis")
@pytest.mark.parametrize("who", ["everything", "reads", "sends", "staff"])
def test_nothing_is_answered_that_the_schema_does_not_say(live_server, month_of_calls, owner, staff, settings, who):
    settings.API_REQUESTS_PER_MINUTE = settings.LOGINS_PER_MINUTE = settings.LOGINS_PER_MINUTE_AND_ADDRESS = 10**6
    scopes = {"reads": ["read"], "sends": ["ingest", "call"]}.get(who, ["read", "ingest", "call", "admin"])
    key = key_for(staff if who == "staff" else owner, *scopes)
    done = subprocess.run(
        [
            *(COMMAND, "run", f"{live_server.url}/api/schema/?format=json", "--url", live_server.url),
            *("--header", f"Authorization: Bearer {key}", "--checks", CHECKS, "--continue-on-failure"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--max-time", str(SECONDS_EACH), "--no-color"),
            # Revoking or logging out would end the key that is used; a file is read by its own tests.
            *("--exclude-path", "/api/v1/auth/logout", "--exclude-path-regex", "revoke$"),
            *("--generation-database", "none", "--warnings", "off", "--request-timeout", "30"),
        ],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks"},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    assert "Test cases" in done.stdout, "something was tried"
