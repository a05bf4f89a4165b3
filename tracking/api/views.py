"""What every view of the API is made of: a question that is checked, one domain call, an answer that is documented."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAuthenticated,
    ParseError,
    PermissionDenied,
)
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from tracking.api.access import HasScope
from tracking.api.fields import Question
from tracking.api.parsers import MAX_BODY_BYTES

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


class ProblemAnswer(serializers.Serializer):
    """An error, as RFC 9457 describes it."""

    type = serializers.CharField(help_text="what kind of error; `about:blank`: what the status says")
    title = serializers.CharField(help_text="the kind in words")
    status = serializers.IntegerField(help_text="the HTTP status")
    detail = serializers.CharField(help_text="what is wrong, and what to do next")
    errors = serializers.DictField(
        required=False, help_text="what is wrong, by the name of the field or parameter; names are joined by dots"
    )


_PROBLEMS = {
    400: "A parameter or field is wrong: `errors` names it and what is valid.",
    401: "No token, or one that is wrong, revoked or expired.",
    403: "The key lacks the scope, or the account the permission.",
    404: "It does not exist, or is somebody else's.",
    405: "The method is not one of this address.",
    406: "None of the formats asked for can be given.",
    409: "It contradicts what is there already.",
    413: "The body is too large.",
    415: "The body is of a type that is not read here.",
    429: "Too many requests: `Retry-After` says when to come back, in seconds.",
    503: "The database does not answer: `Retry-After` says when to try again, in seconds.",
}


class RefusedAnswer(serializers.Serializer):
    """A budget refuses the call."""

    error = serializers.CharField(help_text="`Budget limit exceeded`")
    message = serializers.CharField(help_text="what to do next, for an application's own users")
    detail = serializers.CharField(help_text="what stands in the way, in words")
    limit = serializers.DictField(allow_null=True, help_text="the limit in the way, and how it stands")
    resetsAt = serializers.DateTimeField(allow_null=True, help_text="when it resets; null: never")  # noqa: N815


_REFUSED = "A budget has no room for the call, or nothing says what it could cost at most. Nothing is held."


class Unavailable(APIException):
    """The database does not answer now."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "The database does not answer now. Try again shortly."
    default_code = "unavailable"
    wait = 5


class Conflict(APIException):
    """What was asked for contradicts what is there."""

    status_code = 409
    default_detail = "This contradicts what is there already."
    default_code = "conflict"


_NOT_SIGNED_IN = (
    "No token was sent. Send the header `Authorization: Bearer <token>`, with an API key (made at /account/keys/, "
    "or with POST /api/v1/keys) or a login token (of POST /api/v1/auth/login)."
)


class ApiView(APIView):
    """A view of the API: a signed-in account, a key with the right scope, a bounded body."""

    permission_classes = [IsAuthenticated, HasScope]
    #: the scope a key needs, by method; `read` where nothing is said
    scopes: dict[str, str] = {}
    #: the largest body it takes, in bytes
    max_body_bytes = MAX_BODY_BYTES

    def permission_denied(self, request: Any, message: str | None = None, code: str | None = None) -> None:
        if request.authenticators and not request.successful_authenticator:
            raise NotAuthenticated(_NOT_SIGNED_IN)
        super().permission_denied(request, message, code)

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Who is not known or not allowed never gets as far as the throttles: they are asked here whether there were
        too many of such requests already (`refused`), which then is what is answered.
        """
        try:
            super().initial(request, *args, **kwargs)
        except (AuthenticationFailed, NotAuthenticated, PermissionDenied):
            for throttle in self.get_throttles():
                if hasattr(throttle, "refused") and throttle.refused(request):
                    self.throttled(request, throttle.wait())
            raise


def endpoint(
    summary: str,
    *,
    answer: Any = None,
    query: type[serializers.Serializer] | None = None,
    body: type[serializers.Serializer] | None = None,
    code: int = status.HTTP_200_OK,
    problems: tuple[int, ...] = (),
    tags: tuple[str, ...] = (),
    description: str = "",
) -> Callable:
    """Make a method of a view: it is called with the checked `query` and `body` (dicts), and what it returns is
    answered in the shape of the serializer `answer`. All three stand in the schema. A `Response` is passed on as it is.
    """

    def make(method: Callable) -> Callable:
        @wraps(method)
        def answered(self: ApiView, request: Any, **parts: Any) -> Response:
            asked = dict(parts)
            asked["query"] = _checked(query or Question, request.query_params)
            if body is not None:
                if not isinstance(request.data, dict):
                    raise ParseError("The body must be a JSON object.")
                asked["body"] = _checked(body, request.data)
            found = method(self, request, **asked)
            if isinstance(found, Response):
                return found
            return Response(answer(found).data if answer is not None else None, status=code)

        codes = [400, 401, 403, 405, 406, 429, 503, *([413, 415] if body else []), *problems]
        return extend_schema(
            summary=summary,
            description=description or None,  # else what the method says of itself
            parameters=[query] if query is not None and query().fields else [],
            request=body,
            tags=list(tags) or None,
            responses={
                code: answer if answer is not None else OpenApiResponse(description="Done."),
                **({402: OpenApiResponse(RefusedAnswer, description=_REFUSED)} if 402 in problems else {}),
                **{
                    (one, "application/problem+json"): OpenApiResponse(ProblemAnswer, description=_PROBLEMS[one])
                    for one in sorted(set(codes))
                    if one in _PROBLEMS
                },
            },
        )(answered)

    return make


def _checked(kind: type[serializers.Serializer], data: Any) -> dict[str, Any]:
    serializer = kind(data=data)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data
