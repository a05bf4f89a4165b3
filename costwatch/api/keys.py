"""API keys: made, shown, changed, rotated, revoked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied

from budgets.api.shapes import LimitAnswer
from budgets.keys import budgets_of, is_limited
from budgets.models import Period
from costwatch.accounts import keys
from costwatch.accounts.models import ApiKey
from tracking.api.access import SCOPES, key_of
from tracking.api.fields import Choice, ForUser, Moment, Page, Strict, Text, UsdInput, Whole, offset_of
from tracking.api.views import ApiView, endpoint
from tracking.users import emails_of

SEE_ALL, REVOKE = "accounts.view_apikey", "accounts.delete_apikey"
_NO_KEY = "There is no such key."
_NO_ACCOUNT = "There is no such account."


class KeysQuery(ForUser, Page):
    """Whose keys."""


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
    user = serializers.IntegerField(help_text="the account whose key it is")
    name = serializers.CharField(help_text="what it is for")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(list(SCOPES)), help_text="what it may do: read, ingest, call, admin"
    )
    environment = serializers.CharField(help_text="where it is used")
    budget = LimitAnswer(
        allow_null=True, help_text="the budget of its own, and how it stands once a call has counted; null: it has none"
    )
    secrets = KeySecret(many=True, help_text="its secrets, the newest first")


class KeyMade(KeyAnswer):
    """A key that was just made or rotated."""

    key = serializers.CharField(help_text="the secret: shown this once")


class KeysAnswer(serializers.Serializer):
    """A page of keys."""

    keys = KeyAnswer(many=True, help_text="the newest first")
    next = serializers.CharField(allow_null=True, help_text="the cursor of the next page; null: this is the last")


class KeyBudget(Strict):
    """What may be spent with a key."""

    amount = UsdInput(required=False, help_text="USD per period; 0 blocks every call that costs something")
    period = Choice(Period.values, required=False, help_text="how often it begins anew, in the owner's time zone")
    hard = serializers.BooleanField(
        required=False, help_text="refuse calls that could pass the amount (so it is at first), or count only"
    )


class NewKeyBudget(KeyBudget):
    """What may be spent with a new key."""

    amount = UsdInput(help_text="USD per period; 0 blocks every call that costs something")
    period = Choice(Period.values, help_text="how often it begins anew, in the owner's time zone")


class NewKey(Strict):
    """What a new key is for, and may do."""

    name = Text(help_text="what it is for")
    scopes = serializers.ListField(
        child=Choice(list(SCOPES)),
        min_length=1,
        max_length=4,
        error_messages={"min_length": f"Give at least one of: {', '.join(SCOPES)}."},
        help_text="what it may do: read, ingest, call, admin",
    )
    environment = Text(default="", max_length=40, allow_blank=True, help_text="where it is used, such as production")
    expires_at = Moment(default=None, allow_null=True, help_text="when it ends; null: never")
    budget = NewKeyBudget(default=None, allow_null=True, help_text="of its own; null: none")


class KeyChange(Strict):
    """What to change of a key; what is left out stays as it is."""

    name = Text(required=False, help_text="what it is for")
    environment = Text(required=False, max_length=40, allow_blank=True, help_text="where it is used")
    budget = KeyBudget(
        required=False, allow_null=True, help_text="of its own, what is left out of it stays; null: let it end"
    )


class WhichSecret(Strict):
    """Which secret of a key."""

    generation = Whole(
        min_value=1, max_value=1_000_000, default=None, allow_null=True, help_text="one secret only; null: all of them"
    )


class RevokeAnswer(serializers.Serializer):
    """What was revoked."""

    revoked = serializers.IntegerField(help_text="how many secrets were live until now")


class KeyList(ApiView):
    """Keys."""

    scopes = {"GET": "admin", "POST": "admin"}

    @endpoint("List keys", query=KeysQuery, answer=KeysAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """The caller's keys: what they may do and when they were last used. Secrets are not kept. Staff with the
        permission to view keys see all with `user=all`, or those of an account.
        """
        most, offset = query["limit"], offset_of(query["cursor"])
        found = keys.keys_of(_whose(request, query["user"]), limit=most + 1, offset=offset)
        more = str(offset + most) if len(found) > most else None
        return {"keys": _shown(found[:most], at=timezone.now()), "next": more}

    @endpoint("Make a key", body=NewKey, answer=KeyMade, code=201)
    def post(self, request: Any, query: dict, body: dict) -> dict:
        """A new key. Its secret is shown this once. A key cannot make one that may do or spend more than itself."""
        now = timezone.now()
        if request.auth is not None and set(body["scopes"]) - set(request.auth.scopes):
            raise serializers.ValidationError({"scopes": "A key cannot make one that may do more than itself."})
        if _is_limited(request, now):
            raise PermissionDenied("A key that has a budget cannot make others: theirs would come on top.")
        made, secret = keys.create_key(request.user, now=now, **body)
        return {**_one([made], at=now), "key": secret}


class KeyDetail(ApiView):
    """One key."""

    scopes = {"GET": "admin", "PATCH": "admin"}

    @endpoint("One key", answer=KeyAnswer, problems=(404,))
    def get(self, request: Any, query: dict, key_id: str) -> dict:
        """A key, its secrets, and how its budget stands."""
        return _one(_find(request, key_id, SEE_ALL), at=timezone.now())

    @endpoint("Change a key", body=KeyChange, answer=KeyAnswer, problems=(404,))
    def patch(self, request: Any, query: dict, body: dict, key_id: str) -> dict:
        """Change what a key is called, and its budget, which counts at once. No key changes its own budget."""
        now = timezone.now()
        if "budget" in body and _is_limited(request, now):
            raise PermissionDenied("A key that has a budget cannot change those of keys.")
        try:
            keys.change_key(request.user, key_id, now=now, **body)
        except ApiKey.DoesNotExist:
            raise NotFound(_NO_KEY) from None
        return _one(_find(request, key_id), at=now)


class KeyRotate(ApiView):
    """A second secret for a key."""

    scopes = {"POST": "admin"}

    @endpoint("Rotate a key", answer=KeyMade, code=201, problems=(404,))
    def post(self, request: Any, query: dict, key_id: str) -> dict:
        """A second secret under the same id. The one before works until it is revoked; two are live at most. A key
        rotates itself, and those that may do no more than it.
        """
        now, secrets = timezone.now(), _find(request, key_id)
        if request.auth is not None and key_id != key_of(request):
            if set(secrets[0].scopes) - set(request.auth.scopes):
                raise PermissionDenied("A key cannot rotate one that may do more than itself.")
            if _is_limited(request, now):
                raise PermissionDenied("A key that has a budget rotates only itself.")
        try:
            made, secret = keys.rotate_key(request.user, key_id, now=now)
        except ApiKey.DoesNotExist:
            raise NotFound(_NO_KEY) from None
        return {**_one([made], at=now), "key": secret}


class KeyRevoke(ApiView):
    """The end of a key."""

    scopes = {"POST": "admin"}

    @endpoint("Revoke a key", body=WhichSecret, answer=RevokeAnswer, problems=(404,))
    def post(self, request: Any, query: dict, body: dict, key_id: str) -> dict:
        """Revoke a key, or one secret of it. Counts at once, everywhere. With its last secret its own budget ends.
        Staff with the permission to delete keys revoke those of others too.
        """
        owner = _find(request, key_id, REVOKE)[0].user
        return {"revoked": keys.revoke_key(owner, key_id, now=timezone.now(), by=request.user, **body)}


def _is_limited(request: Any, at: datetime) -> bool:
    """Whether the request comes with a key that has a limit: it must not find a way around it."""
    key = key_of(request)
    return bool(key) and is_limited(key, at=at)


def _may(user: Any, permission: str) -> bool:
    return bool(permission and user.is_staff and user.has_perm(permission))


def _whose(request: Any, user: str) -> int | None:
    """The account whose keys are asked for; None: all. Raises `NotFound` for those that the caller may not see."""
    if user in ("", str(request.user.pk)):
        return request.user.pk
    if not _may(request.user, SEE_ALL):
        raise NotFound(_NO_ACCOUNT)
    if user == "all":
        return None
    if not user.isascii() or not user.isdigit() or len(user) > 18 or not emails_of([int(user)]):
        raise NotFound(_NO_ACCOUNT)
    return int(user)


def _find(request: Any, key_id: str, permission: str = "") -> list[ApiKey]:
    """The secrets of a key of the caller's, or of anybody's with the permission. Raises `NotFound`."""
    owner = None if _may(request.user, permission) else request.user.pk
    found = keys.keys_of(owner, public_id=key_id) if "\0" not in key_id else []
    if not found:
        raise NotFound(_NO_KEY)
    return found[0]


def _one(secrets: list[ApiKey], *, at: datetime) -> dict[str, Any]:
    return _shown([secrets], at=at)[0]


def _shown(found: Sequence[list[ApiKey]], *, at: datetime) -> list[dict[str, Any]]:
    budgets = budgets_of([secrets[0].public_id for secrets in found], at=at)
    return [
        {
            "id": newest.public_id,
            "user": newest.user_id,
            "name": newest.name,
            "scopes": newest.scopes,
            "environment": newest.environment,
            "budget": budgets.get(newest.public_id),
            "secrets": secrets,
        }
        for secrets in found
        for newest in secrets[:1]
    ]
