"""Apprise's services, with their requests sent by our client.

Apprise knows the services' formats; what it lacks is told here. Its plugins call `requests` directly: they follow
redirects, read what answers without bound, and tell only whether it worked. So the name `requests` in the modules of
the plugins that are used is bound to `_Requests`. Inside `deliver`, it lets a request go to the hosts of that service
and to no other, over our client (addresses checked, no redirects, bounded in time and size), and keeps the answer: the
channel's owner sees what the provider said, and `Retry-After` counts. Outside of `deliver` nothing is different.
"""

import contextvars
import importlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from apprise import AppriseAsset, NotifyBase, NotifyFormat, NotifyType
from apprise.exception import AppriseException
from apprise.utils.parse import parse_list
from django.conf import settings

from alerts.channels import answers
from alerts.channels.errors import Permanent, Temporary
from alerts.channels.http import Answer, Client, Refused, Unreachable
from alerts.channels.kind import Sent
from alerts.channels.urls import BadUrl, Target, read_url
from alerts.messages import Message

_PLUGINS = "apprise.plugins."
#: All requests of one message together, in seconds.
TOTAL_S = 12.0


@dataclass(slots=True)
class _Exchange:
    """What one delivery asked and was told."""

    hosts: re.Pattern[str]
    client: Client
    end: float = field(default_factory=lambda: time.monotonic() + TOTAL_S)
    asked: list[str] = field(default_factory=list)  # hosts
    answers: list[Answer] = field(default_factory=list)
    failure: Exception | None = None

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """What `requests.request` does, for the services' hosts. After a failure nothing more is sent."""
        if self.failure or (self.answers and self.answers[-1].status >= 400):
            raise requests.ConnectionError("an earlier request of this message failed")
        kept = {name: options[name] for name in ("headers", "params", "data", "json", "auth") if name in options}
        ready = requests.Request(method.upper(), url, **kept).prepare()
        try:
            target = read_url(ready.url or "")
            if target.scheme != "https" or target.port != 443 or not self.hosts.fullmatch(target.host):
                raise Refused(f"This service is not at {target.host}; only its own address is used.")
            self.asked.append(target.host)
            self.client.deadline_s = min(self.client.deadline_s, max(0.1, self.end - time.monotonic()))
            body = ready.body.encode() if isinstance(ready.body, str) else ready.body or b""
            answer = self.client.send(ready.method or "POST", target, headers=dict(ready.headers), body=body)
        except (BadUrl, Refused, Unreachable) as error:
            self.failure = error
            raise requests.ConnectionError("not sent") from None
        self.answers.append(answer)
        response = requests.Response()
        response.status_code, response.url, response._content = answer.status, ready.url, answer.body
        response.headers.update(answer.headers)
        return response


_exchange: contextvars.ContextVar[_Exchange | None] = contextvars.ContextVar("alert_exchange", default=None)


class _Requests:
    """Stands where a plugin looks for the module `requests`."""

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """As `requests.request`."""
        exchange = _exchange.get()
        return exchange.request(method, url, **options) if exchange else requests.request(method, url, **options)  # noqa: S113

    def __getattr__(self, name: str) -> Any:
        if name in ("get", "post", "put", "patch", "delete", "head", "options"):
            return lambda url, **options: self.request(name, url, **options)
        if name in ("Session", "session") and _exchange.get():
            raise requests.RequestException("sessions are not used")
        return getattr(requests, name)


def _unheard(record: logging.LogRecord) -> bool:
    """Apprise's log repeats tokens. What happened is in the error that `deliver` raises."""
    return _exchange.get() is None


logging.getLogger("apprise").addFilter(_unheard)


def asset() -> AppriseAsset:
    """Apprise's settings for our messages: no pictures from elsewhere, no templates, no redirects, no retries."""
    return AppriseAsset(
        app_id="Costwatch", app_desc="Costwatch", app_url=settings.SITE_URL, http_redirects=False, image_url_mask="",
        image_url_logo="", interpret_emojis=False, default_service_retry=0, allow_templates=False,
    )  # fmt: skip


def plugin(module: str, name: str) -> Callable[..., NotifyBase]:
    """Apprise's class `name` out of `apprise.plugins.<module>`, its requests going through us."""
    found = importlib.import_module(_PLUGINS + module)
    _take_over(found)
    return getattr(found, name)


def from_url(module: str, url: str) -> NotifyBase:
    """The service that one of Apprise's URLs stands for. Raises ValueError where it cannot be read.

    Its class is looked for in its own module: `Apprise.instantiate` would load all 255 of them.
    """
    found = importlib.import_module(_PLUGINS + module)
    _take_over(found)
    scheme = url.partition("://")[0].lower()
    for made in vars(found).values():
        if isinstance(made, type) and issubclass(made, NotifyBase) and scheme in parse_list(made.secure_protocol):
            break
    else:
        raise ValueError
    given = made.parse_url(url)
    if not given:
        raise ValueError
    return made(**{**given, "asset": asset()})


def _take_over(module: Any) -> None:
    if not isinstance(module.requests, _Requests):
        module.requests = _Requests()


def deliver(
    make: Callable[[], NotifyBase],
    message: Message,
    *,
    who: str,
    hosts: str,
    body: str,
    title: str = "",
    body_format: NotifyFormat | None = None,
    level: str = "",
) -> Sent:
    """Send `body` by the plugin that `make` makes. `hosts`: a pattern of the hosts that the service has.

    `level`: Apprise's "info", "success", "warning" or "failure"; else by the message's severity.

    Raises `Permanent`, `Gone` and `Temporary` in words that `who`, the service's name, begins.
    """
    exchange = _Exchange(re.compile(hosts), new_client())
    token = _exchange.set(exchange)
    try:
        try:
            made = make()
        except ValueError:  # AppriseException is one, too; its text repeats tokens
            raise Permanent(f"{who} cannot be used with these settings; check each field.") from None
        made.throttle = lambda *_, **__: None  # type: ignore[method-assign]  # waiting is the outbox's business
        took = made.notify(
            body=body, title=title, notify_type=NotifyType(level or _level(message)), body_format=body_format
        )
    except AppriseException:  # its text repeats tokens
        raise Permanent(f"{who} cannot be used with these settings; check each field.") from None
    finally:
        _exchange.reset(token)
    if isinstance(exchange.failure, Unreachable):
        raise Temporary(f"{who}: {exchange.failure}")
    if exchange.failure:
        raise Permanent(f"{who}: {exchange.failure}")
    if not exchange.answers:
        raise Permanent(f"{who} cannot be used with these settings; check each field.")
    if took:
        return Sent(answers.in_words(exchange.answers[-1]))
    raise answers.failure(exchange.answers[-1], who, lasting=True)


def destination(module: str, url: str) -> str:
    """The host that a message by this URL would go to first. Nothing is sent. Raises ValueError and `ChannelError`."""
    exchange = _Exchange(re.compile(r"[^/]*"), _Nowhere())
    token = _exchange.set(exchange)
    try:
        made = from_url(module, url)
        made.throttle = lambda *_, **__: None  # type: ignore[method-assign]
        made.notify(body="test", title="test", notify_type=NotifyType.WARNING, body_format=NotifyFormat.TEXT)
    except AppriseException:
        raise ValueError from None
    finally:
        _exchange.reset(token)
    if not exchange.asked:
        raise ValueError
    return exchange.asked[0]


class _Nowhere(Client):
    """A client that reaches nothing."""

    def send(self, method: str, target: Target, *, headers: Mapping[str, str], body: bytes) -> Answer:
        raise Unreachable("nothing is sent")


def new_client() -> Client:
    """The client of one delivery. (Services have public addresses: no exceptions.)"""
    return Client()


def _level(message: Message) -> str:
    return "success" if message.resolved else {"critical": "failure"}.get(message.severity, message.severity)
