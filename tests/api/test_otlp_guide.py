"""The curl line of the guide runs as it stands, and every attribute that is read is named there."""

import os
import re
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from tests.api.conftest import key_for
from tracking.models import ApiUsageLog
from tracking.otlp import conventions

PAGE = (Path(__file__).resolve().parents[2] / "docs/guides/opentelemetry.md").read_text()


@pytest.mark.django_db(transaction=True)
def test_the_lines_of_curl(live_server, owner):
    (line,) = re.findall(r"<!-- send -->\s*\n```\n(.*?)^```", PAGE, re.S | re.M)
    environment = {**os.environ, "COSTWATCH": live_server.url, "COSTWATCH_KEY": key_for(owner, "ingest")}
    for _ in range(2):
        ran = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, timeout=30)
        assert ran.stdout == "{}", ran
    row = ApiUsageLog.objects.get(source="otel")
    assert (row.cost, row.feature, row.user_id) == (Decimal("0.00045"), "summary", owner.pk)


def test_every_attribute_that_is_read_is_named():
    assert [name for name in sorted(conventions.READ) if f"`{name}`" not in PAGE] == []
    read = {
        name
        for line in PAGE.splitlines()
        if line.startswith("| ")
        for name in re.findall(r"`([a-z_]+\.[\w.\-]+)`", line)
    }
    assert {name for name in read if name.startswith(("gen_ai.usage", "llm.", "langfuse."))} <= conventions.READ
