"""A refused call in a Django or DRF view: 402, also where the refusal arrives as the SDK's own error.

`BudgetMiddleware` answers for every view. A DRF project that has an exception handler of its own may call
`exception_handler` (or name it in `EXCEPTION_HANDLER`), so that the answer is rendered as the client asked.
"""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse, JsonResponse

from budgets.errors import BudgetExceeded, BudgetUnavailable
from budgets.operations import RETRY_AFTER_S
from budgets.refusals import details_of, flat_limit
from tracking.gate import Refused
from tracking.wire.refusals import refusal_in

EXCEEDED = "Budget limit exceeded"
NEXT = "Please increase your budget or wait until the next period."
UNCHECKED = "Budget cannot be checked"


class BudgetMiddleware:
    """Answers 402 (503 where the budget cannot be checked) for calls that were refused and that no view caught."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The answer to a refusal; None for any other error."""
        found = answer_to(exception)
        if found is None:
            return None
        status, body, headers = found
        return JsonResponse(body, status=status, headers=headers)


def exception_handler(error: Exception, context: dict[str, Any]) -> Any:
    """For DRF's `EXCEPTION_HANDLER`: refusals as above, everything else as DRF does."""
    from rest_framework.response import Response
    from rest_framework.views import exception_handler as default_handler

    found = answer_to(error)
    if found is None:
        return default_handler(error, context)
    status, body, headers = found
    return Response(body, status=status, headers=headers)


def answer_to(error: BaseException) -> tuple[int, dict[str, Any], dict[str, str]] | None:
    """Status, body and headers for a refusal of ours (`BudgetExceeded`, or an SDK's status error); None for others."""
    if isinstance(error, BudgetExceeded):
        refusal = error.refusal
        return _exceeded({**details_of(refusal), "message": refusal.message}, refusal.retry_after_s)
    if isinstance(error, BudgetUnavailable):
        return _unchecked()
    if isinstance(error, Refused):
        return _exceeded({**error.details, "message": error.message}, error.retry_after_s)
    inner = refusal_in(error)
    if inner is None:
        return None
    response = error.response  # type: ignore[attr-defined]
    if response.status_code == 503:
        return _unchecked()
    retry_after = response.headers.get("retry-after")
    return _exceeded(inner, int(retry_after) if retry_after else None)


def _exceeded(details: dict[str, Any], retry_after_s: int | None) -> tuple[int, dict[str, Any], dict[str, str]]:
    body = {
        "error": EXCEEDED,
        "message": NEXT,
        "detail": details.get("message", ""),
        "limit": flat_limit(details),
        "resetsAt": details.get("resets_at"),
    }
    return 402, body, {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}


def _unchecked() -> tuple[int, dict[str, Any], dict[str, str]]:
    message = "The budget's database does not answer; the call was not made. Please try again shortly."
    return 503, {"error": UNCHECKED, "message": message}, {"Retry-After": str(RETRY_AFTER_S)}
