"""What a story asks of the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


class Ledger:
    """Reads what landed. Every read waits until everything that was emitted is recorded."""

    def settle(self) -> None:
        from tracking import spool

        assert spool.flush(20), f"not recorded in time: {spool.stats()}"

    def rows(self, **filters: Any) -> list:
        """The rows in the order in which the attempts began."""
        from tracking.models import ApiUsageLog

        self.settle()
        return list(ApiUsageLog.objects.filter(**filters).order_by("occurred_at", "id"))

    def row(self, **filters: Any):
        """The only row."""
        (row,) = self.rows(**filters)
        return row

    def total(self, **filters: Any) -> Decimal:
        """The cost of the rows, in USD; unpriced ones count as nothing."""
        return sum((row.cost for row in self.rows(**filters) if row.cost is not None), Decimal(0))

    def audit(self) -> None:
        """The ledger, the rollups and the analyses say the same."""
        from tracking.audit import audit

        report = audit()
        assert report.ok, report


def billed_tokens(provider) -> tuple[int, int]:
    """Input and output tokens that the provider's own books hold, for both APIs."""
    read = written = 0
    for request in provider.requests:
        usage = request.usage or {}
        cached = usage.get("cache_read_input_tokens", 0) + usage.get("cache_creation_input_tokens", 0)
        read += usage.get("prompt_tokens", usage.get("input_tokens", 0)) + cached
        written += usage.get("completion_tokens", usage.get("output_tokens", 0))
    return read, written
