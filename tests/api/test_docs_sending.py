"""The guide to sending usage runs as it stands: its curl and its Python lines, against a real server."""

import json
import os
import re
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from tests.api.conftest import key_for
from tracking.audit import audit
from tracking.models import ApiUsageLog

PAGE = Path(__file__).resolve().parents[2] / "docs/guides/ingestion.md"
SNIPPETS = re.findall(r"<!-- send -->\s*\n```(\w*)\n(.*?)^```", PAGE.read_text(), re.S | re.M)


@pytest.mark.django_db(transaction=True)
def test_the_guide_runs_as_it_stands(live_server, owner, monkeypatch):
    monkeypatch.setenv("COSTWATCH", live_server.url)
    monkeypatch.setenv("COSTWATCH_KEY", key_for(owner, "ingest", "call"))
    names: dict = {}
    for language, snippet in SNIPPETS:
        if language == "python":
            exec(compile(snippet, str(PAGE), "exec"), names)
            continue
        ran = subprocess.run(["sh", "-c", snippet], env=os.environ, capture_output=True, text=True, timeout=30)
        assert json.loads(ran.stdout)["status"] == "recorded", ran
    assert names["answer"]["recorded"] == 3 and names["settled"]["state"] == "none"
    rows = ApiUsageLog.objects.filter(user_id=owner.pk)
    assert rows.count() == 5 and not rows.filter(price_status="unpriced").exists()
    assert rows.get(feature="summary").cost == Decimal("0.00045")
    assert audit().ok
