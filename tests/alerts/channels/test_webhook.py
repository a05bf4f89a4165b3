"""The generic webhook: what arrives, what the reference verifier says of it, and what answers mean."""

import json
import os
import re
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from alerts.channels import InvalidChannel, send, validate
from alerts.channels.errors import Gone, Permanent, Temporary
from alerts.channels.service import SERVICES
from alerts.channels.webhook import new_secret, signed
from tests.alerts.channels.conftest import a_message

SECRET, OLDER = new_secret(), new_secret()


@pytest.fixture(autouse=True)
def here(settings):
    settings.ALERT_WEBHOOK_ALLOWED_HOSTS = ["127.0.0.1"]


def tell(http, message=None, **secrets):
    secrets = secrets or {"secret": SECRET}
    return send("webhook", config={"url": http.url}, secrets=secrets, message=message or a_message())


def test_what_arrives_is_what_the_guide_says(http, message):
    assert tell(http).answer == "200 OK: ok"
    (taken,) = http.taken
    assert taken.method == "POST" and taken.headers["content-type"] == "application/json"
    assert taken.headers["webhook-id"] == message.delivery_id
    assert abs(int(taken.headers["webhook-timestamp"]) - time.time()) < 5
    body = Webhook(SECRET).verify(taken.body, taken.headers)
    assert (body["type"], body["version"], body["timestamp"]) == ("alert.threshold", 1, "2026-11-22T20:15:00Z")
    data = body["data"]
    assert data["spent_usd"] == "1204.5" and data["limit_usd"] == "1500" and data["severity"] == "warning"
    assert data["facts"][0] == {"label": "Limit", "value": "Marketing, a month"}
    assert data["link"] == message.link and data["count"] == 1 and not data["resolved"] and not data["test"]


def test_every_tampering_is_rejected(http):
    tell(http)
    taken = http.taken[0]
    headers = {name: value for name, value in taken.headers.items() if name.startswith("webhook-")}
    assert Webhook(SECRET).verify(taken.body, headers)
    signature = headers["webhook-signature"]
    swapped = "A" if signature[10] != "A" else "B"
    changes = [
        {"webhook-id": headers["webhook-id"] + "0"},
        {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)},
        {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 3600)},
        {"webhook-signature": signature[:10] + swapped + signature[11:]},
        {"webhook-signature": signature.replace("v1,", "v2,")},
        {"webhook-signature": ""},
    ]
    for change in changes:
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(taken.body, {**headers, **change})
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(taken.body.replace(b"1204.5", b"12.5"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OLDER).verify(taken.body, headers)


def test_an_old_message_is_not_accepted_again(message):
    body, at = b"{}", int(time.time()) - 600
    headers = signed("d1", at, body, [b"k" * 32])
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(b"k" * 32).verify(body, headers)


def test_while_a_secret_is_changed_both_are_accepted(http):
    tell(http, secret=SECRET, previous_secret=OLDER)
    taken = http.taken[0]
    assert len(taken.headers["webhook-signature"].split(" ")) == 2
    for secret in (SECRET, OLDER):
        assert Webhook(secret).verify(taken.body, taken.headers)


def test_a_second_attempt_has_the_same_id_and_body(http):
    http.answer(500, 500, 200)
    for _ in range(2):
        with pytest.raises(Temporary, match="500 Internal Server Error"):
            tell(http)
    tell(http)
    assert len({(taken.headers["webhook-id"], taken.body) for taken in http.taken}) == 1
    assert len(http.taken) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 408, 425, 429, 500, 502, 503, 504])
def test_a_receiver_that_is_not_ready_is_asked_again(http, status):
    http.answer(status)
    with pytest.raises(Temporary) as failed:
        tell(http)
    assert str(status) in str(failed.value) and failed.value.retry_after_s is None


def test_410_ends_it(http):
    http.answer((410, {}, b'{"message": "no longer here"}'))
    with pytest.raises(Gone, match="no longer here"):
        tell(http)


@pytest.mark.parametrize(
    ("asked", "wait"),
    [("7", 7), ("0", 1), ("99999999", 86_400), ("soon", None), ("-5", None), ("", None), ("1e9", None), ("nan", None)],
)
def test_the_wait_that_a_receiver_asks_for_counts(http, asked, wait):
    http.answer((429, {"Retry-After": asked}, b"slow down"))
    with pytest.raises(Temporary) as failed:
        tell(http)
    assert failed.value.retry_after_s == wait


def test_the_wait_may_be_a_date(http):
    http.answer((503, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)}, b""))
    with pytest.raises(Temporary) as failed:
        tell(http)
    assert 80 < failed.value.retry_after_s <= 91


@pytest.mark.parametrize(
    "body", [b"\xff\xfe" * 1000, b"[" * 100_000, b"<html>" + b"x" * 9999, b'{"message": 5}', b"\x1b[31m"]
)
def test_whatever_a_receiver_says_is_kept_short_and_harmless(http, body):
    http.answer((500, {}, body))
    with pytest.raises(Temporary) as failed:
        tell(http)
    assert len(str(failed.value)) <= 500 and str(failed.value).isprintable()


def test_a_receiver_that_repeats_the_secret_does_not_get_it_shown(http):
    http.answer((500, {}, SECRET.encode()))
    with pytest.raises(Temporary) as failed:
        tell(http)
    assert SECRET[6:] not in str(failed.value)


def test_nobody_there(settings):
    with pytest.raises(Temporary, match="refuses connections"):
        send("webhook", config={"url": "http://127.0.0.1:9/"}, secrets={"secret": SECRET}, message=a_message())


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", "hello", "whsec_" + "-_" * 22, "whsec_" + "A" * 200]
)
def test_a_secret_that_protects_nothing_is_refused(secret):
    with pytest.raises(InvalidChannel) as refused:
        validate("webhook", config={"url": "https://receiver.test/"}, secrets={"secret": secret})
    assert "secret" in refused.value.errors
    with pytest.raises(Permanent):
        send("webhook", config={"url": "https://receiver.test/"}, secrets={"secret": secret}, message=a_message())


def test_secrets_that_are_made_are_accepted():
    config, secrets = validate("webhook", config={"url": " https://receiver.test/ "}, secrets={"secret": new_secret()})
    assert config == {"url": "https://receiver.test/"} and set(secrets) == {"secret", "url"}


def test_of_a_url_only_the_host_is_kept_in_the_clear(http):
    url, given = "https://receiver.test:8443/hook/T0K3N-of-mine?key=abc", {"secret": SECRET}
    config, secrets = validate("webhook", config={"url": url}, secrets=given)
    assert config == {"url": "https://receiver.test:8443/…"} and secrets["url"] == url
    assert validate("webhook", config=config, secrets=secrets) == (config, secrets), "as it is shown it is kept"
    assert validate("webhook", config={}, secrets=secrets) == (config, secrets)
    changed, opened = validate("webhook", config={"url": "https://other.test/x"}, secrets=secrets)
    assert changed == {"url": "https://other.test/…"} and opened["url"] == "https://other.test/x"
    for shown in ("https://other.test/…", "…"):
        with pytest.raises(InvalidChannel, match="whole URL"):
            validate("webhook", config={"url": shown}, secrets=secrets)
    http.answer((500, {}, b"no such hook: /hook/T0K3N-of-mine"))
    whole = {"url": f"http://127.0.0.1:{http.port}/hook/T0K3N-of-mine", "secret": SECRET}
    with pytest.raises(Temporary) as failed:
        send("webhook", config={"url": f"http://127.0.0.1:{http.port}/…"}, secrets=whole, message=a_message())
    assert http.taken[0].path == "/hook/T0K3N-of-mine" and "T0K3N" not in str(failed.value)


def test_names_stay_what_they_are_in_json(http):
    hostile = 'x", "type": "alert.fake", "y": "‮<script>'
    tell(http, a_message(title=hostile, data={"subject": hostile, "severity": "critical"}))
    body = json.loads(http.taken[0].body)
    assert body["type"] == "alert.threshold" and body["data"]["severity"] == "warning"
    assert body["data"]["title"] == 'x", "type": "alert.fake", "y": "<script>'


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs the program openssl")
def test_what_the_guide_tells_receivers_to_do_works(http, tmp_path):
    guide = (Path(__file__).parents[3] / "docs/guides/alert-channels.md").read_text()
    tell(http, secret=SECRET, previous_secret=OLDER)
    taken = http.taken[0]
    names: dict = {}
    exec(re.search(r"```python\n(import base64.*?)```", guide, re.S)[1], names)
    verify = names["verify"]
    assert verify(SECRET, taken.headers, taken.body) and verify(OLDER, taken.headers, taken.body)
    assert not verify(SECRET, taken.headers, taken.body + b" ") and not verify(new_secret(), taken.headers, taken.body)
    (tmp_path / "body.json").write_bytes(taken.body)
    given = {"secret": SECRET, "id": taken.headers["webhook-id"], "timestamp": taken.headers["webhook-timestamp"]}
    lines = re.search(r"```bash\n(.*?)```", guide, re.S)[1]
    said = subprocess.run(
        ["bash", "-ec", lines], cwd=tmp_path, env={**os.environ, **given}, capture_output=True, text=True, check=True
    )
    assert f"v1,{said.stdout.strip()}" in taken.headers["webhook-signature"].split(" ")


def test_the_guide_lists_every_service():
    guide = (Path(__file__).parents[3] / "docs/guides/alert-channels.md").read_text()
    listed = guide.partition("## Other services")[2].partition("## Webhook")[0]
    assert set(re.findall(r"`(\w+)://`", listed)) == set(SERVICES)
