"""Errors of the API as RFC 9457 problem+json; refusals of a budget keep the shapes of their own."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, TooManyFieldsSent
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from budgets.errors import BudgetUnavailable
from budgets.http import answer_to
from tracking.api.views import Unavailable

logger = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
_TITLES = {
    400: "The request is not valid",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    429: "Too many requests",
    500: "Something went wrong here",
    503: "Not available",
}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """For DRF: a problem for every error that is told; None (Django's own handling) for those that are ours."""
    if isinstance(error, BudgetUnavailable) and _is_api(context["request"]):
        error = Unavailable("The budgets cannot be checked: their database does not answer. Try again shortly.")
    refused = answer_to(error)
    if refused is not None:
        status, body, headers = refused
        return Response(body, status=status, headers=headers)
    error = _as_api_exception(error)
    if not isinstance(error, exceptions.APIException):
        return None
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header
    if getattr(error, "wait", None):
        headers["Retry-After"] = str(max(1, round(error.wait)))
    set_rollback()
    errors = error.detail if isinstance(error, exceptions.ValidationError) else None
    detail = "" if errors is not None else str(error.detail)
    if detail.startswith("CSRF Failed"):  # of DRF's, which says no more
        detail += " Send the page's token as X-CSRFToken, or an API key as `Authorization: Bearer <key>`."
    if isinstance(error, exceptions.UnsupportedMediaType) and detail.startswith("Unsupported"):
        types = ", ".join(dict.fromkeys(parser.media_type for parser in context["view"].get_parsers()))
        detail += f" What is read here: {types}."
    body = problem(error.status_code, detail, errors)
    return Response(body, status=error.status_code, headers=headers, content_type=PROBLEM)


def problem(status: int, detail: str = "", errors: Any = None) -> dict[str, Any]:
    """The body of a problem; `errors` as DRF nests them, told by dotted names."""
    title = _TITLES.get(status, "Error")
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail or f"{title}."}
    if errors is not None:
        told = {name or "non_field_errors": texts for name, texts in flattened(errors).items()}
        body["errors"] = told
        body["detail"] = (
            detail
            or " ".join(
                text if name == "non_field_errors" else f"{name}: {text}"
                for name, texts in told.items()
                for text in texts
            )[:1000]
        )
    return body


def flattened(errors: Any, prefix: str = "") -> dict[str, list[str]]:
    """Errors by the dotted name of their field."""
    if isinstance(errors, dict):
        items = [(str(name), value) for name, value in errors.items()]
    elif isinstance(errors, list) and any(isinstance(one, dict | list) for one in errors):
        items = [(str(index), value) for index, value in enumerate(errors)]
    else:
        texts = errors if isinstance(errors, list) else [errors]
        return {prefix: [str(text) for text in texts]} if texts else {}
    found: dict[str, list[str]] = {}
    for name, value in items:
        own = name != "non_field_errors"
        found |= flattened(value, ".".join(filter(None, (prefix, name if own else ""))))
    return found


def _as_api_exception(error: Exception) -> Exception:
    """Errors of Django and of our domain functions, as DRF's."""
    if isinstance(error, Http404):
        return exceptions.NotFound()
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("The database does not answer: %s", type(error).__name__)
        return Unavailable()
    if isinstance(error, DjangoPermissionDenied):
        return exceptions.PermissionDenied()
    if isinstance(error, DjangoValidationError):
        told = error.message_dict if hasattr(error, "error_dict") else {"non_field_errors": error.messages}
        return exceptions.ValidationError({"non_field_errors" if n == "__all__" else n: t for n, t in told.items()})
    if isinstance(error, RequestDataTooBig | TooManyFieldsSent | SuspiciousOperation | UnicodeDecodeError):
        return exceptions.ParseError("The request is not acceptable.")
    return error


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's `handler500`: a problem where the API was asked, a page elsewhere."""
    if not _is_api(request):
        return defaults.server_error(request)
    detail = "It was logged. Try again; if it goes on, tell who runs this installation."
    return JsonResponse(problem(500, detail), status=500, content_type=PROBLEM)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler400`."""
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    return JsonResponse(problem(400), status=400, content_type=PROBLEM)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler404`."""
    if not _is_api(request):
        return defaults.page_not_found(request, exception)
    detail = "There is nothing at this address. /api/docs/ lists what there is."
    return JsonResponse(problem(404, detail), status=404, content_type=PROBLEM)
