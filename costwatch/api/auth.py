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
from costwatch.api.throttles import LoginAccountThrottle, LoginAddressThrottle
from tracking.api.access import SCOPES
from tracking.api.fields import Choice, Moment, Strict, Text, Whole
from tracking.api.views import ApiView, endpoint

_NO_KEY = "There is no such key."


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
    throttle_classes = [LoginAddressThrottle, LoginAccountThrottle]
    scopes = {"POST": ""}

    @method_decorator(sensitive_variables("body"))
    @endpoint("Log in", body=Credentials, answer=LoginAnswer)
    def post(self, request: Any, query: dict, body: dict) -> dict:
        """A token for an account, by its email and password. Logins are limited per account and per address."""
        user = authenticate(request, username=body["email"].strip(), password=body["password"])
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


class KeySecret(serializers.Serializer):
    """One secret of a key; two of them where it is being rotated."""

    generation = serializers.IntegerField(help_text="counts the rotations of the key, from 1")
    prefix = serializers.CharField(source="token_key", help_text="how the secret begins")
    created_at = Moment(source="created", help_text="when it was made")
    expires_at = Moment(source="expiry", allow_null=True, help_text="when it ends; null: never")
    last_used_at = Moment(allow_null=True, help_text="when it was last used, to the minute; null: never")
    revoked_at = Moment(allow_null=True, help_text="when it was revoked; null: it was not")


class KeyAnswer(serializers.Serializer):
    """An API key."""

    id = serializers.CharField(help_text="its public id, by which limits and reports name it")
    name = serializers.CharField(help_text="what it is for")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(list(SCOPES)), help_text="what it may do: read, ingest, call, admin"
    )
    environment = serializers.CharField(help_text="where it is used")
    secrets = KeySecret(many=True, help_text="its secrets, the newest first")


class KeyMade(KeyAnswer):
    """A key that was just made or rotated."""

    key = serializers.CharField(help_text="the secret: shown this once")


class KeysAnswer(serializers.Serializer):
    """The keys of the caller."""

    keys = KeyAnswer(many=True, help_text="the newest first")


class NewKey(Strict):
    """What a new key is for, and may do."""

    name = Text(help_text="what it is for")
    scopes = serializers.ListField(
        child=Choice(list(SCOPES)), min_length=1, max_length=4, help_text="what it may do: read, ingest, call, admin"
    )
    environment = Text(default="", max_length=40, allow_blank=True, help_text="where it is used, such as production")
    expires_at = Moment(default=None, allow_null=True, help_text="when it ends; null: never")


class WhichSecret(Strict):
    """Which secret of a key."""

    generation = Whole(
        min_value=1, max_value=1_000_000, default=None, allow_null=True, help_text="one secret only; null: all of them"
    )


class RevokeAnswer(serializers.Serializer):
    """What was revoked."""

    revoked = serializers.IntegerField(help_text="how many secrets were live until now")


class KeyList(ApiView):
    """The caller's keys."""

    scopes = {"GET": "admin", "POST": "admin"}

    @endpoint("List keys", answer=KeysAnswer)
    def get(self, request: Any, query: dict) -> dict:
        """The caller's keys: what they may do and when they were last used. Secrets are not kept."""
        return {"keys": [_shown(secrets) for secrets in keys.keys_of(request.user)]}

    @endpoint("Make a key", body=NewKey, answer=KeyMade, code=201)
    def post(self, request: Any, query: dict, body: dict) -> dict:
        """A new key. Its secret is shown this once. A key cannot make one that may do more than itself."""
        if request.auth is not None and set(body["scopes"]) - set(request.auth.scopes):
            raise serializers.ValidationError({"scopes": "A key cannot make one that may do more than itself."})
        made, secret = keys.create_key(request.user, now=timezone.now(), **body)
        return {**_shown([made]), "key": secret}


class KeyRotate(ApiView):
    """A second secret for a key."""

    scopes = {"POST": "admin"}

    @endpoint("Rotate a key", answer=KeyMade, code=201, problems=(404,))
    def post(self, request: Any, query: dict, key_id: str) -> dict:
        """A second secret under the same id. The one before works until it is revoked; two are live at most."""
        try:
            made, secret = keys.rotate_key(request.user, key_id, now=timezone.now())
        except ApiKey.DoesNotExist:
            raise NotFound(_NO_KEY) from None
        return {**_shown([made]), "key": secret}


class KeyRevoke(ApiView):
    """The end of a key."""

    scopes = {"POST": "admin"}

    @endpoint("Revoke a key", body=WhichSecret, answer=RevokeAnswer, problems=(404,))
    def post(self, request: Any, query: dict, body: dict, key_id: str) -> dict:
        """Revoke a key, or one secret of it. Counts at once, everywhere."""
        if not any(secrets[0].public_id == key_id for secrets in keys.keys_of(request.user)):
            raise NotFound(_NO_KEY)
        return {"revoked": keys.revoke_key(request.user, key_id, now=timezone.now(), **body)}


def _shown(secrets: list[ApiKey]) -> dict[str, Any]:
    newest = secrets[0]
    return {
        "id": newest.public_id,
        "name": newest.name,
        "scopes": newest.scopes,
        "environment": newest.environment,
        "secrets": secrets,
    }


class NothingHere(APIView):
    """Every other address of the API."""

    authentication_classes: list = []
    permission_classes = [AllowAny]
    schema = None

    def _nothing(self, request: Any, **_parts: Any) -> Response:
        raise NotFound("There is nothing at this address. /api/docs/ lists what there is.")

    get = post = put = patch = delete = _nothing
