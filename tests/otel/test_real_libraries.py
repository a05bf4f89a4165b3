"""The libraries themselves, sending to a running Costwatch: the ledger agrees with the provider's own books."""

import os
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from tests.api.conftest import key_for
from tests.otel import running
from tests.tracking.otlp.recordings import LIBRARIES, expected, money, rows
from tracking.audit import audit
from tracking.models import ApiUsageLog

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.django_db(transaction=True)]
PAGE = Path(__file__).parents[2] / "docs/guides/opentelemetry.md"
SNIPPETS = re.findall(r"<!-- library -->\s*\n```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """A Python with the libraries, or the tests are skipped. OTEL_SENDERS_PYTHON names one that is there already."""
    if known := os.environ.get("OTEL_SENDERS_PYTHON"):
        return Path(known)
    try:
        return running.make_environment(tmp_path_factory.mktemp("senders"))
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"the libraries of tests/otel/requirements.txt cannot be installed here: {error}")


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_sends_and_the_ledger_agrees_with_the_provider(python, name, live_server, provider, owner):
    done = running.run(python, name, endpoint=live_server.url, key=key_for(owner, "ingest"), provider=provider)
    assert done.returncode == 0, done.stderr
    found = rows(ApiUsageLog.objects.filter(source="otel"))
    assert set(ApiUsageLog.objects.values_list("user_id", flat=True)) == {owner.pk}
    told = [
        {"path": asked.path, "model": asked.model, "status": asked.status, "usage": asked.usage}
        for asked in provider.requests
    ]
    wanted = expected(name, told, now=timezone.now() - timedelta(seconds=1))
    assert found == wanted and money(found) > 0, done.stderr
    assert audit().ok


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: re.findall(r"\w+_\w+|langfuse", text)[-1])
def test_the_lines_of_the_guide(python, snippet, live_server, provider, owner, tmp_path):
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LANGFUSE_"))}
    (tmp_path / "snippet.py").write_text(snippet)
    done = subprocess.run(
        [str(python), "snippet.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100,
        env={
            **plain,
            "OPENAI_API_KEY": "local",
            "OPENAI_BASE_URL": provider.openai_base_url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": live_server.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{key_for(owner, 'ingest')}",
            "LANGFUSE_BASE_URL": live_server.url,
            "LANGFUSE_PUBLIC_KEY": "x",
            "LANGFUSE_SECRET_KEY": "wrong",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    row = ApiUsageLog.objects.get()
    assert (row.source, row.user_id, row.price_status) == ("otel", owner.pk, "priced"), done.stderr
    assert row.output_tokens == provider.requests[-1].usage["completion_tokens"]
