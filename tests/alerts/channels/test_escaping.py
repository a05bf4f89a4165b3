"""No name becomes a link, a mention or a command, whatever channel tells it."""

import html
import json
import re

import pytest

from alerts.channels import preview
from alerts.channels.escaping import in_discord, in_html, in_slack, in_sms, inert, unlinked
from tests.alerts.channels.conftest import a_message
from tests.alerts.channels.test_email import mail, tell  # noqa: F401  a mail server
from tests.alerts.channels.test_services import ALL, texts
from tests.alerts.channels.test_services import tell as tell_service

#: Names that mail programs, telephones and chats make links of.
LINKS = (
    "https://evil.example.com/login?u=a@b.co", "https://evil/login?u=a@b.co", "https://accounts.google.com@evil.com",
    "http://evil.com:8080/@b.co", "HTTPS://EVIL.EXAMPLE/PAY", "https:\\\\evil.com\\login", "//evil.com/@b.co",
    "evil.com/pay?to=a@b.co", "www.evil.com", "evil.com", "evil.xn--p1ai/pay", "evil.рф", "evil.भारत", "evil。com",
    "\N{PILE OF POO}.la/pay", "203.0.113.9/login", "http://203.0.113.9", "https://[2001:db8::1]/", "ftp://evil.com",
    "\\\\evil\\share", "file:\\\\evil", "javascript:alert(1)", "mailto:eve@evil.com?subject=hi", "tel:+1900123456",
    "data:text/html,x", "(https://evil.com/?a@b.co)", "<https://evil.com/?a@b.co>", "a@b.co,https://evil.com",
    "a@b.co/../evil.com", "tg://resolve?domain=evil", "x@evil.com:8080/login",
)  # fmt: skip
#: What such programs look for: a scheme, a share, a host by its name or number.
LINKED = re.compile(
    r"(?i)[a-z]:[/\\]{2}|\\\\|\b(javascript|mailto|tel|data|file):(?=[!-~])|\b\d{1,3}(\.\d{1,3}){3}\b"
    r"|[^\s.][.\u3002\uff0e\uff61][^\W\d_]([^\W\d_]|[^\x00-\x7f])"
)


@pytest.mark.parametrize("escape", [unlinked, in_html, in_slack, in_discord, inert, in_sms])
@pytest.mark.parametrize("name", LINKS)
def test_no_name_becomes_a_link(escape, name):
    assert LINKED.search(name), "the test sees it where nothing is done"
    shown = escape(f"feature {name} spent")
    if escape in (in_discord, in_slack):
        shown = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", shown)  # as it is shown there
    assert not LINKED.search(html.unescape(shown)), shown


@pytest.mark.parametrize("kind", ALL)
def test_only_our_link_is_live_in_what_services_get(services, kind, settings):
    settings.SITE_URL = "https://costs.example.org"
    names = " ".join(LINKS)
    services.answer(201 if kind == "sms" else 200)
    tell_service(kind, a_message(title=LINKS[0], text=names, facts=((LINKS[1], LINKS[2]), ("Name", names[:190]))))
    taken = services.taken[0]
    body = taken.form["Body"] if kind == "sms" else "\n".join(texts(told_by_us(taken.json)))
    assert "https://costs.example.org/alerts/" in body
    assert not re.search(r"(?i)evil\.[a-z]|google\.com|https?://(?!costs\.)", body), body


def told_by_us(payload):
    """A payload without the addresses of the service itself."""
    said = json.dumps(payload)
    said = re.sub(r'"(https?://(?:adaptivecards|schema)[^"]*|http://adaptivecards[^"]*)"', '""', said)
    return json.loads(said)


def test_only_our_link_is_live_in_mail(mail):  # noqa: F811
    tell(title=LINKS[0], text=" ".join(LINKS), facts=((LINKS[1], LINKS[2]), ("Name", LINKS[3])))
    for part in mail.mails[0].iter_parts():
        told = html.unescape(part.get_content())
        assert not re.search(r"(?i)evil\.[a-z]|google\.com|https?://(?!costs\.)", told.split("</style>")[-1]), told


@pytest.mark.parametrize(
    "name", ["@durov", "@channel_name", "/start", "/kick@thebot", "#pay", "$TSLA", "a @b", "bob/@eve", "/7days"]
)
def test_telegram_mentions_nobody_and_offers_no_command(name):
    assert not re.search(r"[@/#$](?=[^\W\d]|\d+[^\W\d])", in_html(f"feature {name} spent").replace("</", ""))
    assert in_html("$12.50 of $50.00") == "$12.50 of $50.00"


@pytest.mark.parametrize("address", ["alice@example.com", "(bob.x+y@mail.example.org)", "eve@example.com."])
def test_an_address_can_be_read_and_copied_in_mail(address):
    assert unlinked(f"{address} has spent") == f"{address} has spent"
    shown = preview("email", a_message(title=f"{address} asks"))
    assert address in shown.text
