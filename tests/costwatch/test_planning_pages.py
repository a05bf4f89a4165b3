"""Pages that plan: what could be saved, estimates, alerts, keys, and the first hour."""

import json
import re
import subprocess
from datetime import timedelta
from decimal import Decimal
from html import unescape

import pytest
from django.utils import timezone

from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.models import AlertMute, CostAlert
from alerts.operations import raise_alerts
from alerts.queries import unread_count
from budgets.models import BudgetLimit
from costwatch.accounts.models import ApiKey
from tests.budgets.conftest import make_limit
from tracking.models import ApiUsageLog

pytestmark = pytest.mark.django_db
HOSTILE = '<script>alert(1)</script>"\u202e\U0001f4a5'


def page(client, path: str, *, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, path
    return response.content.decode()


def text_of(html: str) -> str:
    """What a reader sees, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def usage(tokens_in: int, tokens_out: int, cached: int = 0) -> dict:
    details = {"prompt_tokens_details": {"cached_tokens": cached}}
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
        **details,
    }


class TestOptimise:
    def test_each_line_has_its_money(self, client, workspace, owner):
        workspace.call(user=owner, model="gpt-4o", feature="digest", usage=usage(10_000, 1_000, cached=4_000))
        workspace.call(user=owner, model="gpt-4o", feature="chat", status="cancelled", stream=True)
        client.force_login(owner)
        seen = text_of(page(client, "/optimise/"))
        # 3,000 tokens at 1.25 per million less for nine in ten; 6,000 fresh ones and 1,000 answered for half as a batch
        assert "digest gpt-4o 1 10 k 40 % $0.0050 $0.00338" in seen
        assert "digest gpt-4o 1 $0.03 $0.0125 –" in seen
        assert re.search(r"chat gpt-4o – \$0.0075 1 call –", seen), "abandoned, and billed"
        assert "2 calls to gpt-4o cost $0.0375" in seen
        # 7,000 fresh, 4,000 cached, 1,500 answered by the smaller model
        assert re.search(r"gpt-4o-mini openai 128 k \$0.00225 -\$0.0352 -94 %", seen)

    def test_shares_filters_and_models_stand_in_the_address(self, client, workspace, owner):
        workspace.call(user=owner, model="gpt-4o", feature="digest", usage=usage(10_000, 0))
        workspace.call(user=owner, model="gpt-4.1", feature="chat", usage=usage(10_000, 0))
        client.force_login(owner)
        seen = text_of(page(client, "/optimise/?share=90&feature=digest&on=openai/gpt-4.1"))
        assert "at 90 % of what was sent afresh" in seen and "1 calls to gpt-4o cost" in seen
        assert "1 calls to gpt-4.1 cost" in text_of(page(client, "/optimise/?on=openai/gpt-4.1"))
        assert "shown is the usual" in text_of(page(client, "/optimise/?share=1e9&period=ever&on=%00"))

    def test_nobody_sees_what_others_spend(self, client, workspace, owner, member, staff):
        workspace.call(user=owner, model="gpt-4o", feature="secret-feature")
        client.force_login(member)
        assert "No calls in this time" in page(client, "/optimise/") + page(client, f"/optimise/?user={owner.pk}")
        client.force_login(staff)
        seen = page(client, "/optimise/")
        assert "secret-feature" in seen and owner.email in seen

    def test_few_queries_however_much_there_is(self, client, workspace, owner, django_assert_max_num_queries):
        for number in range(5):
            workspace.call(user=owner, model=("gpt-4o", "gpt-4.1")[number % 2], feature=f"f{number}")
        client.force_login(owner)
        page(client, "/optimise/")
        with django_assert_max_num_queries(12):
            page(client, "/optimise/")


class TestEstimate:
    def test_models_side_by_side(self, client, owner):
        client.force_login(owner)
        seen = text_of(page(client, "/estimate/"))
        assert "gpt-4o openai $0.0238 a call · $23.75 for 1,000" in seen  # 1,500 in, 2,000 out
        assert "gpt-4o-mini cheapest openai" in seen
        asked = "model=whisper-1&model=gpt-4o-transcribe&minutes_heard=5.5&calls=1&tier=standard"
        assert "whisper-1 openai $0.0330 a call" in text_of(page(client, f"/estimate/?{asked}"))
        batch = "model=anthropic/claude-sonnet-4-5&input_tokens=100000&tier=batch&calls=2"
        assert "$0.15 a call · $0.30 for 2" in text_of(page(client, f"/estimate/?{batch}"))

    def test_typical_sessions_and_the_budgets_that_fit(self, client, owner):
        client.force_login(owner)
        seen = text_of(page(client, "/estimate/"))
        assert "Casual $1.70" in seen and "Active $5.08" in seen and "Professional $10.14" in seen
        assert "Casual 5 $1.70 $8.50 $10.00 a month" in seen
        assert "Active 20 $5.08 $101.60 $125.00 a month" in seen
        assert "Professional 100 $10.14 $1,014.00 $1,250.00 a month" in seen

    @pytest.mark.parametrize(
        ("asked", "says"),
        [
            ("model=gpt-4o&input_tokens=-1", "greater than or equal to 0"),
            ("model=gpt-4o&input_tokens=lots", "Enter a whole number"),
            ("model=gpt-4o&minutes_heard=NaN", "Enter a number"),
            ("model=gpt-4o&tier=never&input_tokens=1", "Select a valid choice"),
            ("model=nobody-knows&input_tokens=1", "no prices for openai model"),
            ("model=whisper-1&characters=5", "no rate for characters"),
        ],
    )
    def test_what_cannot_be_estimated_is_said(self, client, owner, asked, says):
        client.force_login(owner)
        assert says in text_of(page(client, f"/estimate/?{asked}"))

    def test_hostile_names_are_data(self, client, owner):
        client.force_login(owner)
        html = client.get("/estimate/", {"model": HOSTILE, "input_tokens": "1"}).content.decode()
        assert "<script>alert" not in html and "&lt;script&gt;" in html


def told(user=None, *, key: str = "one", **changes) -> CostAlert:
    finding = {
        "type": Type.FORECAST, "severity": Severity.WARNING, "dedupe_key": f"forecast:{key}", "title": f"Alert {key}",
        "text": "More than planned.", "at": timezone.now(), "user_id": user and user.pk, "facts": (("Spent", "$5.00"),),
    }  # fmt: skip
    [alert] = raise_alerts([Finding(**{**finding, **changes})], at=timezone.now())
    return alert


class TestAlerts:
    def test_read_unread_and_all(self, client, owner):
        first, _ = told(owner), told(owner, key="two")
        client.force_login(owner)
        html = page(client, "/alerts/")
        assert "Alert one" in html and "Alert two" in html and "2 unread" in html
        client.post("/alerts/mark/", {"id": first.pk, "what": "read"})
        html = page(client, "/alerts/")
        assert "Alert one" not in html and "Alert two" in html
        assert "Alert one" in page(client, "/alerts/?show=all")
        client.post("/alerts/mark/", {"id": first.pk, "what": "unread"})
        assert unread_count(owner) == 2
        response = client.post("/alerts/mark/", {"what": "all", "next": "/alerts/?show=all"})
        assert response.url == "/alerts/?show=all" and unread_count(owner) == 0
        assert "Nothing unread" in page(client, "/alerts/")
        assert client.post("/alerts/mark/", {"what": "all", "next": "//evil.example/"}).url == "/alerts/"

    def test_by_kind_severity_and_whether_it_still_holds(self, client, owner):
        told(owner)
        critical = told(owner, key="two", type=Type.REFUSED, severity=Severity.CRITICAL)
        CostAlert.objects.filter(pk=critical.pk).update(resolved_at=timezone.now())
        client.force_login(owner)
        assert "Alert one" not in page(client, "/alerts/?severity=critical")
        assert "Alert two" not in page(client, "/alerts/?type=forecast")
        assert "Alert two" not in page(client, "/alerts/?show=open")
        assert "no longer so" in page(client, "/alerts/?show=all&type=nonsense&before=x&everyone=1")

    def test_a_limit_and_a_type_can_be_muted_and_heard_again(self, client, owner):
        limit = make_limit("5", scope="user", user=owner)
        alert = told(owner, limit_id=limit.pk)
        client.force_login(owner)
        assert f"/budgets/{limit.pk}/" in page(client, "/alerts/")
        client.post("/alerts/mute/", {"id": alert.pk, "what": "limit", "days": "7"})
        mute = AlertMute.objects.get()
        assert (mute.user, mute.limit, mute.type) == (owner, limit, "")
        assert timedelta(days=6) < mute.until - timezone.now() < timedelta(days=8)
        assert "Tell me again" in page(client, "/alerts/")
        client.post("/alerts/mute/", {"unmute": mute.pk})
        assert not AlertMute.objects.exists()
        assert client.post("/alerts/mute/", {"id": alert.pk, "days": "0"}).status_code == 404

    def test_others_see_none_of_it(self, client, owner, member, staff):
        alert = told(owner, title=HOSTILE)
        client.force_login(member)
        assert "No such alerts" in page(client, "/alerts/?show=all&everyone=1")
        assert client.post("/alerts/mute/", {"id": alert.pk, "days": "7"}).status_code == 404
        client.post("/alerts/mark/", {"id": alert.pk, "what": "read"})
        assert unread_count(owner) == 1
        client.force_login(staff)
        html = page(client, "/alerts/?show=all&everyone=1")
        assert "<script>alert" not in html and "&lt;script&gt;alert(1)" in html
        assert "No such alerts" in page(client, "/alerts/?show=all")

    def test_pages_of_many(self, client, owner, django_assert_max_num_queries):
        for number in range(35):
            told(owner, key=str(number))
        client.force_login(owner)
        with django_assert_max_num_queries(12):
            html = page(client, "/alerts/")
        [older] = re.findall(r'href="([^"]+)" rel="next"', html)
        html += page(client, older.replace("&amp;", "&"))
        assert {number for number in range(35) if f"Alert {number}<" in html} == set(range(35))


class TestKeys:
    def make(self, client, **fields):
        return client.post("/account/keys/", {"name": "ci", "scopes": ["ingest", "read"], "period": "month", **fields})

    def test_made_shown_once_rotated_and_revoked(self, client, owner):
        client.force_login(owner)
        response = self.make(client, environment="staging", amount="20")
        html = response.content.decode()
        [secret] = re.findall(r'id="secret">(cw_\w+)<', html)
        assert "no-store" in response["Cache-Control"]
        again = page(client, "/account/keys/")
        assert secret not in again and "staging" in again and "$20.00 a month" in again
        ask = {"HTTP_AUTHORIZATION": f"Bearer {secret}"}
        client.logout()
        assert client.get("/api/v1/usage", **ask).status_code == 200
        client.force_login(owner)
        public_id = ApiKey.objects.get(generation=1).public_id
        [second] = re.findall(
            r'id="secret">(cw_\w+)<', client.post(f"/account/keys/{public_id}/rotate/").content.decode()
        )
        assert "Revoke generation" in text_of(
            client.post(f"/account/keys/{public_id}/rotate/", follow=True).content.decode()
        )
        client.post(f"/account/keys/{public_id}/revoke/", {"generation": "1"})
        client.logout()
        assert client.get("/api/v1/usage", **ask).status_code == 401
        assert client.get("/api/v1/usage", HTTP_AUTHORIZATION=f"Bearer {second}").status_code == 200
        client.force_login(owner)
        assert "refused from now on" in client.post(f"/account/keys/{public_id}/revoke/", follow=True).content.decode()
        assert client.post(f"/account/keys/{public_id}/revoke/").status_code == 404

    @pytest.mark.django_db(transaction=True)
    def test_every_line_to_try_works_as_it_is_printed(self, client, owner, live_server):
        client.force_login(owner)
        host = {"HTTP_HOST": live_server.url.removeprefix("http://")}
        made = {"name": "ci", "scopes": ["read", "ingest", "call", "admin"], "period": "month"}
        html = client.post("/account/keys/", made, **host).content.decode()
        lines = dict(re.findall(r'id="try-(\w+)"[^>]*>(.*?)</pre>', html, re.S))
        assert set(lines) == set(made["scopes"])
        for scope, line in lines.items():
            assert f'data-copy="#try-{scope}"' in html
            run = subprocess.run(["bash", "-c", unescape(line)], capture_output=True, text=True, timeout=20)
            answer = json.loads(run.stdout)
            assert answer.get("status") in (None, "recorded") and "detail" not in answer, (scope, run.stdout)
        assert ApiUsageLog.objects.get().cost == Decimal("0.00045"), "only the line for ingest records"

    def test_only_lines_that_the_key_may_use_are_shown(self, client, owner):
        client.force_login(owner)
        html = self.make(client, scopes=["call"]).content.decode()
        assert re.findall(r'<pre class="cw-code" id="try-(\w+)"', html) == ["call"]

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"name": " "}, "This field is required"),
            ({"scopes": []}, "This field is required"),
            ({"scopes": ["everything"]}, "Select a valid choice"),
            ({"expires_at": "2020-01-01T00:00"}, "expired already"),
            ({"amount": "-5"}, "greater than or equal to 0"),
        ],
    )
    def test_what_is_wrong_is_said_and_nothing_made(self, client, owner, fields, says):
        client.force_login(owner)
        assert says in self.make(client, **fields).content.decode()
        assert not ApiKey.objects.exists() and not BudgetLimit.objects.exists()

    def test_others_keys_are_not_there(self, client, owner, member):
        client.force_login(owner)
        self.make(client, name=HOSTILE[:40])
        public_id = ApiKey.objects.get().public_id
        assert "<script>alert" not in page(client, "/account/keys/")
        client.force_login(member)
        assert "No keys yet" in page(client, "/account/keys/")
        assert client.post(f"/account/keys/{public_id}/rotate/").status_code == 404
        assert client.post(f"/account/keys/{public_id}/revoke/").status_code == 404


class TestTheFirstHour:
    @pytest.mark.django_db(transaction=True)
    def test_the_line_to_copy_runs_and_its_call_is_there(self, client, owner, live_server):
        client.force_login(owner)
        assert "Make a key and show the line" in page(client, "/")
        response = client.post("/first-call/", HTTP_HOST=live_server.url.removeprefix("http://"))
        [line] = re.findall(r'<pre class="cw-code" id="snippet-curl"[^>]*>(.*?)</pre>', response.content.decode(), re.S)
        line = line.replace("&quot;", '"').replace("&#x27;", "'")
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=20)
        assert '"status": "recorded"' in done.stdout.replace('":"', '": "'), done.stdout + done.stderr
        row = ApiUsageLog.objects.get()
        assert (row.user_id, row.feature, row.cost) == (owner.pk, "hello", Decimal("0.00045"))
        assert "Make a key and show the line" not in page(client, "/")

    def test_in_a_full_workspace_it_waits_for_nothing(self, client, owner, member, workspace):
        workspace.call(user=member, days_ago=3)
        client.force_login(owner)
        assert "Waiting for the first call" in page(client, "/first-call/"), "those of others are not his"
        workspace.call(user=owner, days_ago=3)
        for html in (page(client, "/first-call/"), client.post("/first-call/").content.decode()):
            assert "Waiting for" not in html and "No calls yet" not in html and "data-live-reload" not in html
            assert "calls here already" in html and "snippet-python" in html
            assert "make demo" not in html, "made-up calls would mix with real ones"

    def test_a_key_is_made_by_a_form_alone(self, client, owner):
        client.force_login(owner)
        page(client, "/first-call/")
        assert not ApiKey.objects.exists()
        client.post("/first-call/")
        assert ApiKey.objects.get().scopes == ["ingest"]
