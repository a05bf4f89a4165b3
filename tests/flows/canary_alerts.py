"""Canaries through the entrances of OpenTelemetry and of alert channels. See `test_canaries.py`."""

from __future__ import annotations

import base64
import gzip
import io
from typing import Any

from django.core.management import call_command
from django.test import Client, override_settings
from django.utils import timezone

from alerts.findings import Finding
from alerts.models import Channel
from alerts.operations import raise_alerts
from tests.costwatch.test_alert_settings import form_of
from tests.tracking.otlp.making import as_json, as_protobuf, span

TOKEN = "CanarySecretOfAChannel7f3a9c"  # noqa: S105
SIGNING = "whsec_" + base64.b64encode(TOKEN.encode()).decode().rstrip("=")
LATER = "whsec_" + base64.b64encode(TOKEN[::-1].encode()).decode().rstrip("=")
#: Nothing listens there: what is said of it may be shown and logged, with nothing of the secret.
NOWHERE = "http://127.0.0.1:9/hook"
#: Kind -> where it goes, its secrets, and what else they hold.
CHANNELS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "webhook": ({"url": NOWHERE}, {"secret": SIGNING, "previous_secret": LATER}),
    "slack": ({}, {"webhook_url": f"https://hooks.slack.com/services/T00/B00/{TOKEN}"}),
    "discord": ({}, {"webhook_url": f"https://discord.com/api/webhooks/123456789/{TOKEN}"}),
    "telegram": ({"chat": "123"}, {"bot_token": f"123456789:{TOKEN}ab"}),
    "pagerduty": ({}, {"integration_key": f"{TOKEN}abcd"}),
    "sms": (
        {"account_sid": "AC" + "0" * 32, "from": "+14155550123", "to": ["+43660555012"]},
        {"auth_token": f"{TOKEN}efgh"},
    ),
}


def otlp(nest: Any, prompt: str, answer: str, provider_key: str) -> None:
    """Spans and metrics that carry everything which the conventions call content."""
    messages = f'[{{"role": "user", "content": "{prompt}"}}]'
    more = {
        "gen_ai.input.messages": messages,
        "gen_ai.output.messages": f"said {answer}",
        "gen_ai.system_instructions": prompt,
        "gen_ai.prompt.0.content": prompt,
        "gen_ai.completion.0.content": answer,
        "langfuse.observation.input": messages,
        "langfuse.observation.output": answer,
        "input.value": prompt,
        "output.value": answer,
        "http.request.header.authorization": f"Bearer {provider_key}",
        "url.full": f"https://api.openai.com/v1/chat?key={provider_key}",
        "error.message": answer,
    }
    events = [{"name": prompt, "attributes": [{"key": "gen_ai.prompt", "value": {"stringValue": prompt}}]}]
    for mark in (prompt, provider_key):
        one = span(at=timezone.now(), more=more, name=mark, events=events, status={"code": 2, "message": mark})
        resource = {"service.name": "canaries", "process.command_args": mark}
        for path in ("/v1/traces", "/api/public/otel/v1/traces"):
            assert nest.send("POST", path, as_json(one, resource=resource)).status_code == 200
        binary = gzip.compress(as_protobuf({**one, "traceId": "6" * 32}, resource=resource))
        packed = {"content_type": "application/x-protobuf", "content-encoding": "gzip"}
        assert nest.send("POST", "/v1/traces", binary, **packed).status_code == 200
        refused = span(at=timezone.now(), more={**more, "costwatch.user": mark, "gen_ai.operation.name": mark})
        nest.send("POST", "/v1/traces", as_json(refused))
    for path in ("/v1/traces", "/v1/metrics", "/v1/logs"):
        nest.send("POST", path, b"{" + prompt.encode())
        nest.send("POST", path, {"resourceLogs": [prompt], "resourceMetrics": [answer], "resourceSpans": [prompt]})


def channels(nest: Any) -> None:
    """Every kind of channel over the API and the page, tried, failing, changed, and sent to."""
    for one in (TOKEN, SIGNING, LATER):
        nest.secret(one)
    nest.secret(TOKEN[::-1])
    browser = Client(raise_request_exception=False)
    browser.force_login(nest.staff)
    # Nothing of this test leaves the machine, and what fails there says so at once.
    with override_settings(ALERT_WEBHOOK_ALLOWED_HOSTS=["127.0.0.1"], ALERT_WEBHOOK_ALLOWED_FOR_EVERYONE=True):
        for kind, (config, secrets) in CHANNELS.items():
            made = nest.send("POST", "/api/v1/channels", {"kind": kind, "config": config, "secrets": secrets})
            assert made.status_code == 201, (kind, made.content)
            address = f"/api/v1/channels/{made.json()['id']}"
            nest.send("PATCH", address, {"secrets": secrets})
            nest.send("PATCH", address, {"secrets": {name: f"not valid {value}" for name, value in secrets.items()}})
            nest.send("PATCH", address, {"config": {"nowhere": TOKEN}})
            if kind == "webhook":
                assert nest.send("POST", f"{address}/test").json()["ok"] is False
            ways = (f"/alerts/settings/add/{kind}/", f"/alerts/settings/add/{kind}/?for=staff")
            for path in ways:
                entered = {f"set_{name}": value for name, value in {**config, **secrets}.items()}
                fields = {**form_of(browser.get(path).content.decode()), "name": kind, **entered}
                # A signing secret is offered by the form, and stays in it for who has not saved it yet.
                if kind != "webhook":
                    refused = browser.post(path, {**fields, "min_severity": "none"})
                    nest.answers.append(f"POST {path}: {refused.content.decode()}")
                saved = browser.post(path, fields, follow=True)
                assert saved.redirect_chain, (kind, saved.content)
                nest.answers.append(f"POST {path}: {saved.content.decode()}")
        finding = Finding(
            type="threshold", severity="critical", dedupe_key="canary", title="a limit", text="is reached",
            at=timezone.now(), user_id=nest.owner.pk,
        )  # fmt: skip
        raise_alerts([finding], at=timezone.now())
        out = io.StringIO()
        call_command("rotate_alert_secrets", stdout=out)
        nest.answers.append(out.getvalue())
    assert Channel.objects.filter(kind__in=CHANNELS).count() == 3 * len(CHANNELS)


def addresses() -> list[str]:
    """Where channels are shown one by one."""
    ids = Channel.objects.values_list("pk", flat=True)
    shown = ("/alerts/settings/channels/{}/", "/api/v1/channels/{}", "/admin/alerts/channel/{}/change/")
    return [one.format(pk) for pk in ids for one in shown]
