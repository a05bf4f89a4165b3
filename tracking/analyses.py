"""Analyses: made ahead, listed, closed. (Calls that name one make it by themselves: see `tracking.recording`.)"""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q

from tracking.calls import bounded_limit
from tracking.models import Analysis


class AnalysisExists(Exception):
    """There is an analysis of this key already."""


@dataclass(frozen=True, slots=True)
class AnalysisPage:
    """Analyses, the newest first, and the cursor of the next page (None at the end)."""

    analyses: list[Analysis]
    next: str | None


def list_analyses(
    *, user_id: int | None = None, is_open: bool | None = None, limit: int = 100, before: str = ""
) -> AnalysisPage:
    """Analyses, the newest first; with a user, those that he made or that began with a call of his.

    `before` is the cursor that the page before gave. Raises `ValueError` for one that is none.
    """
    rows = Analysis.objects.all() if user_id is None else Analysis.objects.filter(user_id=user_id)
    if is_open is not None:
        rows = rows.filter(closed_at__isnull=is_open)
    if before:
        at, name = _read_cursor(before)
        rows = rows.filter(Q(created_at__lt=at) | Q(created_at=at, pk__gt=name))
    most = bounded_limit(limit)
    found = list(rows.order_by("-created_at", "pk")[: most + 1])
    more, found = len(found) > most, found[:most]
    last = found[-1] if more else None
    return AnalysisPage(found, _cursor(last) if last else None)


def _cursor(last: Analysis) -> str:
    """Where the next page begins, in characters that an address takes as they are."""
    return base64.urlsafe_b64encode(f"{last.created_at.isoformat()} {last.pk}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    text, _, name = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(" ")
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or not 1970 <= at.year < 9999 or "\0" in name:
        raise ValueError("not a cursor")
    return at, name


def find_analysis(analysis_id: str, *, user_id: int | None = None) -> Analysis | None:
    """An analysis by its key; None where there is none, or it is not this user's."""
    found = Analysis.objects.filter(pk=analysis_id).first()
    return None if found is None or user_id not in (None, found.user_id) else found


def create_analysis(*, user_id: int, title: str, now: datetime, analysis_id: str = "") -> Analysis:
    """A new analysis, of a key that is made up where none is given. Raises `AnalysisExists`."""
    try:
        with transaction.atomic():
            return Analysis.objects.create(
                id=analysis_id or uuid.uuid4().hex, title=title, user_id=user_id, created_at=now
            )
    except IntegrityError:
        raise AnalysisExists(analysis_id) from None


def close_analysis(analysis: Analysis, *, now: datetime) -> Analysis:
    """Say that an analysis is over. Calls that name it still count in it; closing it again changes nothing."""
    Analysis.objects.filter(pk=analysis.pk, closed_at=None).update(closed_at=now)
    analysis.refresh_from_db()
    return analysis
