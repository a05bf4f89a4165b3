"""What an HTTP answer means for a delivery, the same for webhooks and for services."""

import json
import re
import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from alerts.channels.errors import ChannelError, Gone, Permanent, Temporary
from alerts.channels.http import Answer
from alerts.messages import clean

#: Of what a provider says, in characters.
EXCERPT = 300
#: The longest wait that a receiver may ask for, in seconds.
MAX_WAIT_S = 24 * 3600
#: Where services put their words.
_WORDS = ("message", "error_description", "description", "detail", "error", "errors", "status")


def in_words(answer: Answer) -> str:
    """`404 Not Found: no_service`"""
    try:
        reason = f" {HTTPStatus(answer.status).phrase}"
    except ValueError:
        reason = ""
    excerpt = _excerpt(answer)
    return f"{answer.status}{reason}{f': {excerpt}' if excerpt else ''}"


def failure(answer: Answer, who: str, *, lasting: bool) -> ChannelError:
    """The error to raise for an answer that is no success.

    `lasting`: the receiver is a service whose refusals do not pass by themselves. A receiver that somebody runs himself
    answers 404 while it is being deployed: it is asked again.
    """
    words = f"{who} answered {in_words(answer)}"
    if answer.status == HTTPStatus.GONE:
        return Gone(words)
    if 300 <= answer.status < 400:
        return Permanent(f"{words}. Redirects are not followed: enter the final address.")
    if answer.status in (408, 425, 429) or answer.status >= 500 or answer.status < 300:
        return Temporary(words, retry_after_s(answer))
    return Permanent(words) if lasting else Temporary(words, retry_after_s(answer))


def retry_after_s(answer: Answer) -> float | None:
    """How long the receiver asks to wait, in seconds, from its header or (Discord, Telegram) its body."""
    text = answer.headers.get("retry-after", "").strip()
    wait: float | None = None
    if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text):
        wait = float(text)
    elif text:
        try:
            wait = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            wait = None
    if wait is None:
        told = _object(answer)
        parameters = told.get("parameters")
        asked = told.get("retry_after", parameters.get("retry_after") if isinstance(parameters, dict) else None)
        wait = float(asked) if isinstance(asked, int | float) and not isinstance(asked, bool) else None
    return min(max(wait, 1.0), float(MAX_WAIT_S)) if wait is not None and wait == wait else None


def _excerpt(answer: Answer) -> str:
    told = _object(answer)
    for name in _WORDS:
        value = told.get(name)
        if isinstance(value, dict):
            value = value.get("message")
        if isinstance(value, list):
            value = "; ".join(str(entry) for entry in value[:5])
        if isinstance(value, str) and value:
            return clean(value, EXCERPT)
    text = answer.body[: EXCERPT * 4].decode("utf-8", "replace")
    if "html" in answer.headers.get("content-type", "") or text.lstrip()[:1] == "<":
        return ""  # a page for people says nothing in so few characters
    return clean(text, EXCERPT)


def _object(answer: Answer) -> dict:
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
