"""What the services get, through the real Apprise and over TLS; what their answers mean; and where nothing may go."""

import json
import logging
import re
import threading

import pytest

from alerts.channels import Gone, InvalidChannel, Permanent, Temporary, kinds, preview, send, service, validate
from tests.alerts.channels.conftest import PUBLIC, a_message

SLACK = {"webhook_url": "https://hooks.slack.com/services/T1234ABCD/B1234ABCD/abcDEF123ghiJKL456mnoPQ7"}
DISCORD = {"webhook_url": "https://discord.com/api/webhooks/123456789012/" + "aB1-" * 12}
_FLOW = "/workflows/0a1b2c3d4e5f60718293/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Fa&sv=1.0&sig=AbC-1_x"
TEAMS = {"workflow_url": f"https://prod-12.westeurope.logic.azure.com:443{_FLOW}"}
POWER = {
    "workflow_url": "https://default1a2b.4c.environment.api.powerplatform.com/powerautomate/automations/direct"
    + _FLOW.replace("2016-06-01", "1")
}
TELEGRAM = {"bot_token": "123456789:AAabcdefghijklmnopqrstuvwxyz0123456"}
CHAT = {"chat": "-1001234567890"}
PAGERDUTY = {"integration_key": "0123456789abcdef" * 2}
TWILIO = {"auth_token": "0123456789abcdef" * 2}
NUMBERS = {"account_sid": "AC" + "a1" * 16, "from": "+14155550123", "to": ["+43660555012"]}
ALL = {
    "slack": ({}, SLACK), "discord": ({}, DISCORD), "teams": ({}, TEAMS), "telegram": (CHAT, TELEGRAM),
    "pagerduty": ({}, PAGERDUTY), "sms": (NUMBERS, TWILIO),
}  # fmt: skip
#: One URL for each of the other services.
URLS = {
    "bulksms": "bulksms://user:password@+14155550123", "clicksend": "clicksend://user:password@14155550123",
    "feishu": "feishu://tokentokentoken", "firehydrant": "firehydrant://tokentokentoken",
    "flock": "flock://" + "a1" * 18, "gchat": "gchat://workspace/key/token", "ilert": "ilert://il1api0123456789abcdef",
    "incidentio": "incidentio://01ARZ3NDEKTSV4RRFFQ69G5FAV/tokentoken", "lark": "lark://tokentoken",
    "line": "line://token/U1234567890", "msgbird": "msgbird://" + "a" * 25 + "/14155550123/14155550199",
    "ntfys": "ntfys://my-topic", "opsgenie": "opsgenie://" + "a" * 36, "pagertree": "pagertree://int_a1b2c3d4e5",
    "pbul": "pbul://" + "a" * 34, "plivo": f"plivo://{'A' * 20}@{'t' * 40}/14155550123/14155550199",
    "pover": "pover://" + "u" * 30 + "@" + "t" * 30, "prowl": "prowl://" + "a" * 40, "signl4": "signl4://secretsecret",
    "spike": "spike://" + "a1" * 16, "splunk": "splunk://routing@apikeyapikey", "squadcast": "squadcast://" + "a" * 32,
    "vonage": "vonage://a1b2c3d4:" + "s" * 16 + "@14155550123/14155550199", "webex": "webex://" + "a" * 80,
    "zulip": "zulip://bot@acme/" + "a" * 32 + "/general",
}  # fmt: skip
EVIL = (
    "Bob <!channel> <!here> <@U1> <https://evil.test|click> *b* _i_ `c` @everyone @here <@&7> @**all** "
    "[x](https://evil.test) <script>alert(1)</script> <at>all</at> <users/all> & \\<!channel> evil.test/pay "
    "\u202e\u200b\x07"
)


def mostly_slow(names, *, quick):
    """Each as a parameter: some in every run, the others, which go the same way, in the long one."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in sorted(names)]


def hostile():
    return a_message(title=f"80 % spent: {EVIL}", text=f"{EVIL} has spent $5.00.", facts=((EVIL, EVIL),))


def tell(kind, message=None):
    config, secrets = ALL[kind]
    return send(kind, config=config, secrets=secrets, message=message or a_message())


def texts(value):
    """Every text of a payload, as the service reads it."""
    if isinstance(value, dict):
        return [text for entry in value.values() for text in texts(entry)]
    if isinstance(value, list):
        return [text for entry in value for text in texts(entry)]
    return [value] if isinstance(value, str) else []


def test_slack_gets_title_text_facts_and_link(services):
    assert tell("slack").answer == "200 OK: ok"
    (got,) = services.taken
    assert got.headers["host"] == "hooks.slack.com" and got.path.startswith("/services/T1234ABCD/B1234ABCD/")
    (attached,) = got.json["attachments"]
    assert attached["title"] == "80 % spent: Marketing, a month"
    assert "$1,204.50 of $1,500.00 is spent" in attached["text"] and "Limit: Marketing, a month" in attached["text"]
    assert attached["text"].endswith("<https://costs.example.org/alerts/#alert-17|Open in Costwatch>")
    assert {address for address, _ in services.dialled} == {PUBLIC}


def test_discord_gets_an_embed(services):
    tell("discord")
    (embed,) = services.taken[0].json["embeds"]
    assert embed["title"] == "80 % spent: Marketing, a month" and embed["url"].endswith("#alert-17")
    assert "content" not in services.taken[0].json and "avatar_url" not in services.taken[0].json


@pytest.mark.parametrize("secrets", [TEAMS, POWER])
def test_teams_gets_a_card_at_the_address_of_its_workflow(services, secrets):
    services.answer(202)
    send("teams", config={}, secrets=secrets, message=a_message())
    (got,) = services.taken
    assert (
        f"https://{got.headers['host']}{got.path}".split("?")[0]
        == secrets["workflow_url"].replace(":443", "").split("?")[0]
    )
    assert "sig=AbC-1_x" in got.path and "api-version=" in got.path
    card = got.json["attachments"][0]["content"]
    assert [block["text"] for block in card["body"]][0] == "80 % spent: Marketing, a month"
    assert "[Open in Costwatch](https://costs.example.org/alerts/#alert-17)" in card["body"][1]["text"]


def test_telegram_gets_html(services):
    tell("telegram")
    got = services.taken[0]
    assert got.path == f"/bot{TELEGRAM['bot_token']}/sendMessage" and got.json["chat_id"] == -1001234567890
    assert got.json["parse_mode"] == "HTML" and got.json["disable_web_page_preview"] is True
    assert got.json["text"].startswith("<b>80 % spent: Marketing, a month</b>")


def test_pagerduty_opens_one_incident_and_resolves_it(services):
    services.answer(202)
    tell("pagerduty", a_message(severity="critical"))
    tell("pagerduty", a_message(resolved=True))
    opened, resolved = (taken.json for taken in services.taken)
    assert opened["event_action"] == "trigger" and opened["payload"]["severity"] == "critical"
    assert opened["payload"]["custom_details"]["Spent"] == "$1,204.50 of $1,500.00 (80.3 %)"
    assert opened["links"] == [{"href": "https://costs.example.org/alerts/#alert-17"}]
    assert resolved["event_action"] == "resolve" and resolved["dedup_key"] == opened["dedup_key"] == "costwatch-17"


def test_a_text_message_is_short(services):
    services.answer(201)
    tell("sms")
    form = services.taken[0].form
    assert form["To"] == "+43660555012" and form["From"] == "+14155550123"
    assert form["Body"].startswith("Costwatch: 80 % spent: Marketing, a month. $1,204.50") and len(form["Body"]) <= 306
    tell("sms", hostile())
    assert len(services.taken[1].form["Body"]) <= 306 and services.taken[1].form["Body"].endswith("#alert-17")


@pytest.mark.parametrize("kind", ALL)
def test_hostile_names_mention_nobody_and_make_no_link(services, kind):
    services.answer(201 if kind == "sms" else 200)
    tell(kind, hostile())
    taken = services.taken[0]
    shown = [taken.form["Body"]] if kind == "sms" else texts(taken.json)
    for text in shown:
        assert not re.search("[\u202e\x07]", text)
        assert not re.search(r"https?://evil|\bevil\.test", text), text
        if kind == "slack":
            assert not re.search(r"<(?!https://costs\.example\.org/)", text), text
        if kind == "discord":
            assert not re.search(r"@(everyone|here|&|U1|\*)|<@|(?<!\\)[*_`]", text), text
        if kind == "teams":
            assert not re.search(r"<at>|\]\((?!https://costs\.)", text), text
        if kind == "telegram":
            assert not re.search(r"<(?!/?b>|/?a\b)", text), text
    if kind == "discord":
        assert "allow_mentions" not in taken.json and "content" not in taken.json


@pytest.mark.parametrize("kind", mostly_slow(ALL, quick=("slack", "telegram")))
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((401, {}, b'{"message": "invalid token"}'), Permanent), ((404, {}, b"no_service"), Permanent),
        ((410, {}, b"channel_is_archived"), Gone), ((429, {"Retry-After": "3"}, b"slow"), Temporary),
        ((500, {}, b"<html>oops</html>"), Temporary), ((302, {"Location": "http://127.0.0.1/"}, b""), Permanent),
    ],
)  # fmt: skip
def test_what_a_service_answers_is_told(services, kind, answer, error):
    services.answer(answer)
    with pytest.raises(error) as failed:
        tell(kind)
    assert type(failed.value) is error
    assert str(answer[0]) in str(failed.value) and len(services.taken) == 1
    if answer[0] == 401:
        assert "invalid token" in str(failed.value)
    if answer[0] == 429:
        assert failed.value.retry_after_s == 3


def test_the_wait_in_the_body_counts_too(services):
    for body, wait in ((b'{"retry_after": 1.5}', 1.5), (b'{"parameters": {"retry_after": 9}}', 9)):
        services.answer((429, {}, body))
        with pytest.raises(Temporary) as failed:
            tell("telegram")
        assert failed.value.retry_after_s == wait


@pytest.mark.parametrize("scheme", mostly_slow(service.SERVICES, quick=("gchat", "ntfys", "opsgenie", "zulip")))
def test_each_other_service_is_sent_to_its_own_host(services, scheme):
    services.answer((200, {}, json.dumps({"result": "success", "code": 0, "requestId": "r"}).encode()))
    try:
        send("service", config={}, secrets={"url": URLS[scheme]}, message=hostile())
    except (Permanent, Temporary) as error:  # it wants another answer than ours; it was asked
        assert "answered 200" in str(error)
    assert services.taken
    for taken in services.taken:
        assert re.fullmatch(service.SERVICES[scheme].hosts, taken.headers["host"])
        assert b"<users/all>" not in taken.body and b"<!channel>" not in taken.body and b"@everyone" not in taken.body
    assert validate("service", config={}, secrets={"url": URLS[scheme]})[1] == {"url": URLS[scheme]}


@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1/", "jsons://receiver.test", "xml://127.0.0.1", "form://127.0.0.1", "mailto://a:b@mail.test",
        "ntfys://ntfy.internal/topic", "ntfys://127.0.0.1:8080/topic", "gotify://127.0.0.1/token", "matrix://a:b@host",
        "mmost://127.0.0.1/token", "rocket://127.0.0.1/x", "zulip://bot@127.0.0.1/" + "a" * 32 + "/general",
        "zulip://bot@acme.evil.test/" + "a" * 32 + "/general", "betterstack://127.0.0.1/token", "file:///etc/passwd",
        "pover://u@t?verify=no", "pover://" + "u" * 30 + "@" + "t" * 30 + "?verify=no",
        "pover://" + "u" * 30 + "@" + "t" * 30 + "?redirect=yes", "spike://" + "a1" * 16 + "?rto=9999",
        "spike://" + "a1" * 16 + "?cto=9999&retry=99", "lark://tokentoken?template=/etc/passwd", "syslog://", "dbus://",
        "gchat://workspace/key/token?attach=/etc/passwd", "slack://T/B/C?template=http://127.0.0.1/", "windows://", "",
        "windowss://x", "apprise://127.0.0.1/token", "custom://x", "pover://", "opsgenie://" + "a" * 36 + "?:info=new",
    ],
)  # fmt: skip
def test_services_with_other_hosts_and_parameters_are_refused(services, url):
    with pytest.raises(InvalidChannel) as refused:
        validate("service", config={}, secrets={"url": url})
    assert url == "" or url not in str(refused.value)
    with pytest.raises(Permanent):
        send("service", config={}, secrets={"url": url}, message=a_message())
    assert services.taken == [] and services.dialled == []


@pytest.mark.parametrize(
    ("kind", "config", "secrets", "field"),
    [
        ("slack", {}, {"webhook_url": "https://hooks.slack.com.evil.test/services/T1/B1/x"}, "webhook_url"),
        ("slack", {}, {"webhook_url": "https://hooks.slack.com@evil.test/services/T1/B1/x"}, "webhook_url"),
        ("slack", {}, {"webhook_url": SLACK["webhook_url"] + "?x=1"}, "webhook_url"),
        ("slack", {}, {}, "webhook_url"),
        ("discord", {}, {"webhook_url": "https://evil.test/api/webhooks/123456/" + "a" * 60}, "webhook_url"),
        ("teams", {}, {"workflow_url": "https://evil.test" + _FLOW}, "workflow_url"),
        ("teams", {}, {"workflow_url": "https://logic.azure.com.evil.test" + _FLOW}, "workflow_url"),
        ("teams", {}, {"workflow_url": "https://a.logic.azure.com:8443" + _FLOW}, "workflow_url"),
        ("teams", {}, {"workflow_url": "https://u@a.logic.azure.com" + _FLOW}, "workflow_url"),
        ("telegram", {"chat": "1/../2"}, TELEGRAM, "chat"),
        ("telegram", CHAT, {"bot_token": "1/../getMe"}, "bot_token"),
        ("pagerduty", {"region": "mars"}, PAGERDUTY, "region"),
        ("pagerduty", {}, {"integration_key": "short"}, "integration_key"),
        ("sms", {**NUMBERS, "account_sid": "AC/../x"}, TWILIO, "account_sid"),
        ("sms", {**NUMBERS, "to": ["0660"]}, TWILIO, "to"),
        ("sms", {**NUMBERS, "to": []}, TWILIO, "to"),
        ("slack", {"channel": "#a"}, SLACK, "channel"),
        ("email", {"to": 7}, {}, "to"),
        ("smoke", {}, {}, "kind"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_field(kind, config, secrets, field):
    with pytest.raises(InvalidChannel) as refused:
        validate(kind, config=config, secrets=secrets)
    assert set(refused.value.errors) == {field}


@pytest.mark.parametrize("kind", ALL)
def test_no_secret_is_shown_or_logged(services, kind, caplog):
    config, secrets = ALL[kind]
    caplog.set_level(logging.DEBUG)
    token = re.split("[/=]", next(iter(secrets.values())))[-1]
    services.answer((403, {}, f"{token} is wrong".encode()))
    with pytest.raises(Permanent) as failed:
        tell(kind)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert len(token) < 8 or token not in str(failed.value) + logged


def test_several_threads_send_at_once_and_each_gets_its_own_answer(services):
    said = {}

    def one(number):
        said[number] = tell("slack", a_message(title=f"Number {number}")).answer

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 8 and len({taken.json["attachments"][0]["title"] for taken in services.taken}) == 8


def test_apprise_is_as_it_was_for_others():
    """An application in the same process that uses Apprise by itself is not held to our hosts."""
    import apprise
    import requests

    from alerts.channels import bridge

    slack = bridge.plugin("slack", "NotifySlack")
    assert slack.__module__ == "apprise.plugins.slack" and apprise.Apprise().notify is not None
    assert bridge._exchange.get() is None
    with pytest.raises(requests.ConnectionError):
        bridge._Requests().post("http://127.0.0.1:9/", timeout=1)


def test_an_address_that_is_not_public_is_not_reached_by_a_service_either(services, monkeypatch):
    from alerts.channels import bridge
    from alerts.channels.http import Client

    monkeypatch.setattr(bridge, "new_client", lambda: Client(resolve=lambda host, port: [(2, ("10.0.0.1", port))]))
    with pytest.raises(Permanent, match="not a public address"):
        tell("slack")


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_every_kind_has_a_preview_and_words_for_its_fields(kind):
    shown = preview(kind, hostile())
    assert shown.text and "\u202e" not in shown.text + shown.subject + shown.html
    assert kinds()[kind].label and kinds()[kind].about.endswith(".")
    for field in kinds()[kind].fields:
        assert field.label and (field.help or field.choices)
