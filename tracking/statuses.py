"""Calls by how they ended, as it is known by now."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from tracking.models import ApiUsageLog
from tracking.truth import UNKNOWN


def known_as(rows: QuerySet, status: str) -> QuerySet:
    """Of the rows, those of calls that are known to have ended so by now, with all that corrects them.

    A result that came later, or the truth about a call that nobody had heard of, tells how the call ended; other
    corrections say nothing of it.
    """
    siblings = ApiUsageLog.objects.filter(occurred_at=OuterRef("occurred_at"))
    told = siblings.filter(corrects=Coalesce(OuterRef("corrects"), OuterRef("id"))).exclude(status="correction")
    first = siblings.filter(id=OuterRef("corrects"), status=status)
    waiting = Q(status__in=("pending", UNKNOWN))
    return rows.filter(
        (Q(corrects=None, status=status) & (~waiting | ~Exists(told)))
        | (Q(corrects=None) & waiting & Exists(told.filter(status=status)))
        | (Q(corrects__isnull=False) & (Exists(told.filter(status=status)) | (~Exists(told) & Exists(first))))
    )
