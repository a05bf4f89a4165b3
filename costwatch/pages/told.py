"""What was told, as one reader reads it: alerts and histories keep plain text, with times in a zone that they name and
more digits than people need. A page shows the reader's times, and amounts like all others.
"""

import re
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils import timezone

from costwatch.formatting import usd

#: `2026-12-01 00:00 Europe/Vienna`, as `alerts.wording.moment` writes it, and days.
_MOMENT = re.compile(r"\b(\d{4}-\d\d-\d\d \d\d:\d\d) ([A-Z][A-Za-z_+-]*(?:/[A-Za-z0-9_+-]+)*)")
_DAY = re.compile(r"(?<![\w/.-])\d{4}-\d\d-\d\d(?![\w-]| \d\d:)")  # names of models have some too
_AMOUNT = re.compile(r"\$(\d[\d,]*\.\d{3,})")


def told(text: str) -> str:
    """The same text with its moments in the zone of this request, its days and amounts as pages write them."""
    text = _MOMENT.sub(_moment, text)
    text = _DAY.sub(_day, text)
    return _AMOUNT.sub(lambda found: usd(Decimal(found[1].replace(",", ""))), text)


def _moment(found: re.Match[str]) -> str:
    try:
        at = datetime.fromisoformat(found[1]).replace(tzinfo=ZoneInfo(found[2]))
    except (ValueError, ZoneInfoNotFoundError):  # it only looked like one
        return found[0]
    return f"{timezone.localtime(at):%-d %b %Y, %H:%M}"


def _day(found: re.Match[str]) -> str:
    try:
        return f"{date.fromisoformat(found[0]):%-d %b %Y}"
    except ValueError:
        return found[0]
