"""Logging in and out of the API, and one's keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_variables
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, NotFound, ParseError
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from costwatch.accounts import keys
from costwatch.accounts.models import ApiKey
from costwatch.api.throttles import LoginThrottle
from tracking.api.fields import Moment, Strict
from tracking.api.views import ApiView, endpoint


class Credentials(Strict):
    """Who logs in."""

    email = serializers.CharField(max_length=254, help_text="of the account")
    password = serializers.CharField(max_length=1000, trim_whitespace=False, help_text="of the account")


class LoginAnswer(serializers.Serializer):
    """A token for `Authorization: Bearer`."""

    access_token = serializers.CharField(help_text="shown once; only a hash of it is kept")
    token_type = serializers.CharField(help_text="`bearer`")
    expires_at = Moment(help_text="when it is not accepted any more")


class LoginView(ApiView):
    """Log in by email and password."""

    authentication_classes: list = []
    permission_classes = [AllowAny]
    throttle_classes = [LoginThrottle]
    scopes = {"POST": ""}

    @method_decorator(sensitive_variables("body"))
    @endpoint("Log in", body=Credentials, answer=LoginAnswer)
    def post(self, request: Any, query: dict, body: dict) -> dict:
        """A token for an account, by its email and password. Logins are limited per account and per address."""
        user = authenticate(None, username=body["email"].strip(), password=body["password"])
        if user is None:
            raise AuthenticationFailed("This email address and password do not match an account.")
        token, secret = keys.log_in(user, now=timezone.now(), lifetime=timedelta(hours=settings.LOGIN_HOURS))
        return {"access_token": secret, "token_type": "bearer", "expires_at": token.expiry}

    def get_authenticate_header(self, request: Any) -> str:
        return "Bearer"


class LogoutView(ApiView):
    """End a login."""

    permission_classes = [IsAuthenticated]
    scopes = {"POST": ""}

    @endpoint("Log out", code=204)
    def post(self, request: Any, query: dict) -> None:
        """The login token of this request is dead at once. An API key is not: it is revoked."""
        if request.auth is None or request.auth.kind != ApiKey.Kind.LOGIN:
            raise ParseError("Only a login token logs out here. Revoke a key with POST /api/v1/keys/<id>/revoke.")
        request.auth.delete()


class NothingHere(APIView):
    """Every other address of the API."""

    authentication_classes: list = []
    permission_classes = [AllowAny]
    schema = None

    def _nothing(self, request: Any, **_parts: Any) -> Response:
        raise NotFound("There is nothing at this address. /api/docs/ lists what there is.")

    get = post = put = patch = delete = _nothing
