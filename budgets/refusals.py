"""Refusals as they leave the budgets: in words, and as JSON with money as decimal strings in USD."""

from decimal import Decimal
from typing import Any

from budgets.errors import Refusal
from budgets.policy import NotBounded
from tracking.gate import Refused


def of_refusal(refusal: Refusal) -> Refused:
    """The refusal of a call for which a limit has no room."""
    return Refused(
        refusal.message,
        status=402,
        code="budget_exceeded",
        details=details_of(refusal),
        retry_after_s=refusal.retry_after_s,
        # Where only calls in flight stand in the way, it is no news.
        window=refusal.window_id if refusal.retry_after_s is None else None,
    )


def not_bounded(error: NotBounded, limit: Refusal | None) -> Refused:
    """The refusal of a call of which it is not known what it could cost."""
    name = limit.name if limit is not None else "A hard limit"
    details = details_of(limit) if limit is not None else {}
    details = {name: value for name, value in details.items() if name != "asked"}
    return Refused(
        f"Budget limit: {name} is hard, and {error.reason}. {error.remedy}",
        status=402,
        code=error.code,
        details={**details, "reason": error.reason},
    )


def details_of(refusal: Refusal) -> dict[str, Any]:
    """Which limit stands in the way, how it stands, and when it resets."""
    return {
        "limit": {
            "id": refusal.limit_id,
            "name": refusal.name,
            "scope": refusal.scope,
            "subject": refusal.subject,
            "period": refusal.period,
            "amount": _usd(refusal.limit),
        },
        "spent": _usd(refusal.spent),
        "held": _usd(refusal.held),
        "remaining": _usd(refusal.remaining),
        "asked": _usd(refusal.asked),
        "resets_at": refusal.resets_at.isoformat() if refusal.resets_at is not None else None,
    }


def flat_limit(details: dict[str, Any]) -> dict[str, Any] | None:
    """The limit of a refusal's details with how it stands, as answers over HTTP show it; None where none is named."""
    limit = details.get("limit")
    if not isinstance(limit, dict):
        return limit
    return {**limit, **{name: details.get(name) for name in ("spent", "held", "remaining")}}


def _usd(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
