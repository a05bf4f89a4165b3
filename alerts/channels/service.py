"""Other services that Apprise knows, by Apprise's own URL: those whose hosts are fixed.

Left out on purpose: what sends to a host of the user's choice (`json://`, `mailto://`, Mattermost, Gotify, Matrix, a
self-hosted ntfy, ...), for which there is the webhook, whose addresses are checked and whose requests are signed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from alerts.channels import layout
from alerts.channels.errors import ChannelError, Permanent
from alerts.channels.escaping import inert
from alerts.channels.kind import Field, Kind, Preview, Sent
from alerts.messages import Message


@dataclass(frozen=True, slots=True)
class Service:
    """A service: its name, Apprise's module, its only hosts, and the parameters of its URL that may be used."""

    label: str
    module: str
    hosts: str
    parameters: frozenset[str] = frozenset()


_PRIORITY = frozenset({"priority"})
_REGION = frozenset({"region"})
#: By the scheme of Apprise's URL. tests/alerts/test_services.py sends by each and looks where it goes.
SERVICES: dict[str, Service] = {
    "bulksms": Service("BulkSMS", "bulksms", r"api\.bulksms\.com"),
    "clicksend": Service("ClickSend", "clicksend", r"rest\.clicksend\.com"),
    "feishu": Service("Feishu", "feishu", r"open\.feishu\.cn"),
    "firehydrant": Service("FireHydrant", "firehydrant", r"signals\.firehydrant\.com"),
    "flock": Service("Flock", "flock", r"api\.flock\.com"),
    "gchat": Service("Google Chat", "google_chat", r"chat\.googleapis\.com"),
    "ilert": Service("iLert", "ilert", r"api\.ilert\.com"),
    "incidentio": Service("incident.io", "incidentio", r"api\.incident\.io"),
    "lark": Service("Lark", "lark", r"open\.larksuite\.com"),
    "line": Service("LINE", "line", r"api\.line\.me"),
    "msgbird": Service("MessageBird", "messagebird", r"rest\.messagebird\.com"),
    "ntfys": Service("ntfy", "ntfy", r"ntfy\.sh", _PRIORITY),
    "opsgenie": Service("Opsgenie", "opsgenie", r"api\.(eu\.)?opsgenie\.com", _PRIORITY | _REGION),
    "pagertree": Service("PagerTree", "pagertree", r"api\.pagertree\.com"),
    "pbul": Service("Pushbullet", "pushbullet", r"api\.pushbullet\.com"),
    "plivo": Service("Plivo", "plivo", r"api\.plivo\.com"),
    "pover": Service("Pushover", "pushover", r"api\.pushover\.net", _PRIORITY),
    "prowl": Service("Prowl", "prowl", r"api\.prowlapp\.com", _PRIORITY),
    "signl4": Service("SIGNL4", "signl4", r"connect\.signl4\.com"),
    "spike": Service("Spike.sh", "spike", r"api\.spike\.sh"),
    "splunk": Service("Splunk On-Call", "splunk", r"alert\.victorops\.com"),
    "squadcast": Service("Squadcast", "squadcast", r"api\.(eu\.)?squadcast\.com", _REGION),
    "vonage": Service("Vonage", "vonage", r"rest\.nexmo\.com"),
    "webex": Service("Webex", "webexteams", r"webexapis\.com|api\.ciscospark\.com"),
    "zulip": Service("Zulip", "zulip", r"[a-z0-9-]+\.zulipchat\.com"),
}
_VALID = f"One of Apprise's URLs that begins with: {', '.join(f'{scheme}://' for scheme in sorted(SERVICES))}"


def read(url: str) -> Service:
    """The service of a URL. Raises ValueError, in words that do not repeat it."""
    scheme = url.partition("://")[0].lower()
    service = SERVICES.get(scheme)
    if service is None:
        raise ValueError(_VALID)
    try:
        given = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    except ValueError:
        raise ValueError(_VALID) from None
    if unknown := given - service.parameters:
        known = ", ".join(sorted(service.parameters)) or "none"
        raise ValueError(f"Parameters that can be used: {known}; not {', '.join(sorted(unknown))[:100]}.")
    return service


def send(config: Mapping[str, Any], secrets: Mapping[str, Any], message: Message) -> Sent:
    """Send it by Apprise's plugin of the service.

    Never as "info" or "success": services for incidents take these for notes and ends of incidents that they know.
    """
    from apprise import NotifyFormat

    from alerts.channels import bridge

    try:
        service = read(secrets["url"])
    except ValueError as error:
        raise Permanent(str(error)) from None
    return bridge.deliver(
        lambda: bridge.from_url(service.module, secrets["url"]),
        message, who=service.label, hosts=service.hosts, title=inert(layout.headline(message)), body=text(message),
        body_format=NotifyFormat.TEXT, level="failure" if message.severity == "critical" else "warning",
    )  # fmt: skip


def text(message: Message) -> str:
    """What stands under the title: plain text, which Apprise turns into the service's own."""
    link = [message.link] if message.link else []
    return "\n".join([*layout.lines(message, inert, most=1_500), *link])


def preview(message: Message) -> Preview:
    """Title and text."""
    return Preview(layout.headline(message), text(message))


def check(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, str]:
    """Can Apprise read the URL, and would its message go to the service's own host? Nothing is sent."""
    from alerts.channels import bridge

    try:
        service = read(secrets["url"])
    except ValueError as error:
        return {"url": str(error)}
    try:
        host = bridge.destination(service.module, secrets["url"])
    except (ValueError, ChannelError):  # whose words may repeat the URL
        return {"url": "Apprise cannot read this URL; something is missing in it."}
    if not re.fullmatch(service.hosts, host):
        return {"url": f"{service.label} is used at its own address only; for other receivers there is the webhook."}
    return {}


KIND = Kind(
    "service",
    "Another service",
    f"One of: {', '.join(sorted(service.label for service in SERVICES.values()))}.",
    (Field("url", "Apprise URL", "How each service's URL is made: https://appriseit.com/services/", secret=True),),
    send,
    preview,
    check=check,
)
