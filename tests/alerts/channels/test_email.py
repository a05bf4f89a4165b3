"""Mail as a real mail server takes it."""

import re
import socket
import time

import pytest

from alerts.channels import (
    InvalidChannel,
    Ours,
    Permanent,
    Temporary,
    email,
    preview,
    recipients,
    send,
    unavailable,
    validate,
)
from tests.alerts.channels.conftest import a_message
from tests.alerts.channels.receivers import mail_server, raw_server

ALICE = {"to": ["alice@example.com"]}


@pytest.fixture
def mail(settings):
    with mail_server() as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", running.port, 3
        settings.DEFAULT_FROM_EMAIL = "Costwatch <costs@example.org>"
        yield running


def tell(message=None, config=None, **changes):
    return send("email", config=config or ALICE, secrets={}, message=message or a_message(**changes))


def test_a_mail_has_what_people_and_programs_need(mail, message):
    assert tell(message).answer == "The mail server took it for alice@example.com."
    assert mail.taken[0][0] == "costs@example.org" and mail.taken[0][1] == ["alice@example.com"]
    (got,) = mail.mails
    assert got["Subject"] == "80 % spent: Marketing, a month" and got["From"] == "Costwatch <costs@example.org>"
    assert got["Message-ID"] == f"<{message.delivery_id}@example.org>"
    assert got["Auto-Submitted"] == "auto-generated"
    assert got["List-Unsubscribe"] == "<https://costs.example.org/alerts/settings/>"
    assert got.get_content_type() == "multipart/alternative"
    text, html = (part.get_content() for part in got.iter_parts())
    for part in (text, html):
        assert "$1,204.50 of $1,500.00" in part and "https://costs.example.org/alerts/#alert-17" in part
        assert "2026-12-01 00:00 UTC" in part and "22 Nov 2026, 20:15 UTC" in part
    assert "<script" not in html and "<img" not in html and "http://" not in html.replace("http://www.w3.org", "")


def test_every_attempt_has_the_same_message_id(mail, message):
    tell(message)
    tell(message)
    assert len({got["Message-ID"] for got in mail.mails}) == 1


def test_each_recipient_gets_a_mail_of_his_own(mail):
    config = {"to": ["alice@example.com", "bob@example.com"]}
    assert recipients("email", config=config, owner_email="x@example.com") == config["to"]
    assert recipients("email", config={}, owner_email="x@example.com") == ["x@example.com"]
    assert recipients("email", config={}) == []
    for address in config["to"]:
        tell(config=config, recipient=address)
    assert [taken[1] for taken in mail.taken] == [["alice@example.com"], ["bob@example.com"]]


def test_names_put_no_header_and_no_markup_into_a_mail(mail):
    hostile = "Bob\r\nBcc: eve@evil.test\r\n\r\n<img src=x onerror=alert(1)>\u202e <a href='http://evil.test'>x</a>"
    tell(title=hostile, text=hostile, facts=((hostile, hostile),), alert_id=hostile, recipient="alice@example.com")
    (got,) = mail.mails
    assert got["Bcc"] is None and mail.taken[0][1] == ["alice@example.com"]
    assert "\n" not in got["Subject"] and len(got["Subject"]) <= email.SUBJECT_CHARS
    text, html = (part.get_content() for part in got.iter_parts())
    assert "<img" not in html and "<a href='http" not in html and "\u202e" not in html + text + got["Subject"]
    assert not re.search(r"(?<!@)evil\.test", html + text)  # nothing that a mail program makes a link of
    assert re.findall(r'href="(.*?)"', html) == [
        "https://costs.example.org/alerts/#alert-17", "https://costs.example.org/alerts/settings/",
    ]  # fmt: skip


def test_a_hostile_recipient_is_refused(mail):
    for address in ("a@b.test\nBcc: c@b.test", "a@b.test, c@b.test", "not an address", "<a@b.test>"):
        with pytest.raises(InvalidChannel):
            validate("email", config={"to": [address]}, secrets={})
    config, _ = validate("email", config={"to": "a@example.com, b@example.com\na@example.com"}, secrets={})
    assert config == {"to": ["a@example.com", "b@example.com"]}
    with pytest.raises(InvalidChannel, match="At most 20"):
        validate("email", config={"to": [f"u{n}@example.com" for n in range(21)]}, secrets={})


def test_the_subject_is_short_whatever_a_name_is(mail):
    tell(title="ü" * 500)
    assert mail.mails[0]["Subject"].strip() == "ü" * (email.SUBJECT_CHARS - 1) + "…"


def test_what_the_server_refuses_for_good_and_for_now(mail):
    mail.refuses = {"alice@example.com": "550 no such mailbox"}
    with pytest.raises(Permanent, match="550 no such mailbox"):
        tell()
    mail.refuses = {"alice@example.com": "451 greylisted, come back"}
    with pytest.raises(Temporary, match="451 greylisted"):
        tell()


@pytest.mark.parametrize(
    ("who", "answer", "error"),
    [
        ("alice@example.com", "550 5.1.1 no such user", Permanent),
        ("alice@example.com", "552 5.2.2 mailbox full", Permanent),
        ("alice@example.com", "553 mailbox name not there", Permanent),
        ("alice@example.com", "550 5.7.1 Unable to relay", Ours),
        ("alice@example.com", "550 relaying denied", Ours),
        ("alice@example.com", "530 5.7.0 Authentication required", Ours),
        ("alice@example.com", "554 5.7.1 blocked by policy", Ours),
        ("alice@example.com", "550 5.1.8 bad sender's domain", Ours),
        ("costs@example.org", "530 5.7.0 Authentication required", Ours),
        ("costs@example.org", "550 no such sender", Ours),
        ("costs@example.org", "451 later", Ours),
    ],
)
def test_only_a_word_about_the_mailbox_is_the_channels_affair(mail, who, answer, error):
    mail.refuses = {who: answer}
    with pytest.raises((Permanent, Temporary)) as refused:
        tell()
    assert type(refused.value) is error and answer in str(refused.value)


def test_a_server_that_is_not_there_or_says_nothing(mail, settings):
    settings.EMAIL_TIMEOUT = 0.3
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_PORT = silent.getsockname()[1]
        with pytest.raises(Temporary, match="cannot be reached"):
            tell()
    with pytest.raises(Temporary, match="cannot be reached"):
        tell()


@pytest.mark.parametrize("tls", [False, True])
def test_a_server_that_drips_is_left_when_the_time_is_over(settings, monkeypatch, tls):
    def drip(connection):
        for _ in range(60):
            connection.sendall(b"\x16" if tls else b"2")
            time.sleep(0.1)

    monkeypatch.setattr("alerts.channels.smtp.TOTAL_S", 1.0)
    with raw_server(drip) as port:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", port, 120
        settings.EMAIL_USE_SSL = tls
        begun = time.monotonic()
        with pytest.raises(Ours):
            tell()
        assert time.monotonic() - begun < 3


def test_a_wrong_password_is_said_to_be_one(settings):
    def never(server, session, envelope, mechanism, data):
        from aiosmtpd.smtp import AuthResult

        return AuthResult(success=False, handled=False)

    with mail_server(authenticator=never, auth_require_tls=False) as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", running.port
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "costs", "wrong"
        with pytest.raises(Temporary, match="user and password of EMAIL_URL"):
            tell()


def test_without_a_mail_server_it_says_so(settings):
    settings.EMAIL_BACKEND, settings.EMAIL_HOST = "django.core.mail.backends.smtp.EmailBackend", ""
    assert unavailable("email") == "No mail is sent: EMAIL_URL is not set."
    with pytest.raises(Ours, match="EMAIL_URL is not set"):
        tell()
    settings.EMAIL_HOST = "mail.example.org"
    assert unavailable("email") == ""


def test_the_preview_is_what_is_sent(mail, message):
    shown = preview("email", message)
    tell(message)
    (got,) = mail.mails
    text, html = (part.get_content().replace("\r\n", "\n").strip() for part in got.iter_parts())
    assert (shown.subject, shown.text.strip(), shown.html.strip()) == (got["Subject"], text, html)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"severity": "critical"}, "Critical"), ({"severity": "info"}, "Info"), ({"resolved": True}, "Resolved"),
        ({"test": True}, "Test"), ({"link": "", "settings_link": "", "facts": (), "text": ""}, "Warning"),
    ],
)  # fmt: skip
def test_every_form_of_a_mail_renders(changes, shown):
    made = preview("email", a_message(**changes))
    assert f">{shown}</span>" in made.html
    assert ("Open in Costwatch" in made.html) == bool(changes.get("link", True))
