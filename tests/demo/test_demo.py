"""`manage.py demo` fills a workspace with real calls and a believable past, once."""

import io
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from costwatch.demo.past import past_calls
from tracking.audit import audit
from tracking.models import Analysis, ApiUsageLog

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def demo(**options) -> str:
    said = io.StringIO()
    call_command("demo", stdout=said, **options)
    return said.getvalue()


def test_it_fills_the_workspace_once(transactional_db, django_user_model, settings):
    settings.DEMO_PASSWORD = "a-demo-password"
    said = demo(days=10)
    assert "Their password: a-demo-password" in said and "http://127.0.0.1:" in said
    alice, dora = (django_user_model.objects.get(email=f"{name}@example.com") for name in ("alice", "dora"))
    assert alice.check_password("a-demo-password") and not alice.is_staff and dora.is_superuser

    live = ApiUsageLog.objects.filter(analysis_id="demo-session")
    assert {"chat", "transcription", "speech", "embeddings", "realtime"} == set(
        live.values_list("operation", flat=True)
    )
    assert set(live.values_list("price_status", flat=True)) == {"priced", "unpriced", "free", "assumed"} - {"assumed"}
    assert live.filter(status="error").count() == 2
    assert live.filter(cache_write_tokens__gt=0).exists() and live.filter(cache_read_tokens__gt=0).exists()
    assert set(live.values_list("user_id", flat=True)) == {alice.pk}
    past = ApiUsageLog.objects.filter(source="demo")
    assert past.count() > 300 and past.values("user_id").distinct().count() == 4
    assert Analysis.objects.count() > 20

    before = past.count()
    again = demo(days=10, no_live=True)
    assert "password" in again and "a-demo-password" not in again
    added = past.count() - before
    assert added <= 5 and f"{added} calls added" in again  # only what became past in the meantime
    assert audit().ok


def test_production_refuses_it(transactional_db, settings):
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="--force"):
        demo()
    assert ApiUsageLog.objects.count() == 0


def test_the_past_has_the_shape_of_a_working_week_and_grows():
    first = date(2026, 3, 2)  # a Monday
    until = datetime(2026, 5, 1, tzinfo=UTC)
    calls = list(past_calls(first_day=first, until=until, users=[1, 2, 3, 4]))
    again = list(past_calls(first_day=first, until=until, users=[1, 2, 3, 4]))
    assert calls == again and len({call.id for call in calls}) == len(calls) > 4_000

    days = Counter((datetime.fromtimestamp(call.at_us / 1e6, UTC).date() - first).days for call in calls)
    weekdays = sum(n for day, n in days.items() if day % 7 < 5) / 5
    weekends = sum(n for day, n in days.items() if day % 7 >= 5) / 2
    assert weekdays > 2 * weekends
    assert sum(days[day] for day in range(49, 56)) > 1.3 * sum(days[day] for day in range(7))
    later = list(past_calls(first_day=first, until=until + timedelta(days=1), users=[1, 2, 3, 4]))
    assert later[: len(calls)] == calls and len(later) > len(calls)
