"""Who sends a request: an API key or a login token, as `Authorization: Bearer cw_...`."""

from __future__ import annotations

import base64
from hmac import compare_digest
from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.settings import CONSTANTS
from rest_framework.authentication import get_authorization_header
from rest_framework.exceptions import AuthenticationFailed

from costwatch.accounts.keys import note_use, problem_of
from costwatch.accounts.models import ApiKey, User

_WRONG = "This token is not valid. Log in at /api/v1/auth/login, or make a key."
_NO_HEADER = "The header must read `Authorization: Bearer <token>`: one token, without spaces in it."
_MAX_LENGTH = 200


class KeyAuthentication(TokenAuthentication):
    """Looks a token up in the database at every request: one that is revoked is dead at once, in every process."""

    def authenticate(self, request: Any) -> tuple[User, ApiKey] | None:
        """The account and the token; None where the header is missing, or is for something else than Bearer."""
        header = get_authorization_header(request).split()
        if len(header) != 2 and header[:1] and header[0].lower() == b"bearer":
            raise AuthenticationFailed(_NO_HEADER)
        return super().authenticate(request)

    def authenticate_credentials(self, token: bytes) -> tuple[User, ApiKey]:
        """The account and the token. Raises `AuthenticationFailed` saying why it is not accepted."""
        if len(token) > _MAX_LENGTH or not token.isascii():
            raise AuthenticationFailed(_WRONG)
        secret = token.decode("ascii")
        if "\0" in secret:
            raise AuthenticationFailed(_WRONG)
        digest, now = hash_token(secret), timezone.now()
        found = ApiKey.objects.filter(token_key=secret[: CONSTANTS.TOKEN_KEY_LENGTH]).select_related("user")
        for key in found:
            if compare_digest(digest, key.digest):
                if problem := problem_of(key, now=now):
                    raise AuthenticationFailed(problem)
                note_use(key, now=now)
                return key.user, key
        raise AuthenticationFailed(_WRONG)


class KeyAsPassword(KeyAuthentication):
    """The same token as the password of HTTP Basic; the name before it says nothing. For senders that know no other
    way: Langfuse's SDK sends its public and secret key like that.
    """

    def authenticate(self, request: Any) -> tuple[User, ApiKey] | None:
        """The account and the token; None where something else than Basic is used."""
        scheme, _, packed = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            token = base64.b64decode(packed.strip(), validate=True).partition(b":")[2]
        except ValueError:
            raise AuthenticationFailed(_WRONG) from None
        return self.authenticate_credentials(token)


class KeyScheme(OpenApiAuthenticationExtension):
    """How the schema describes it."""

    target_class = KeyAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "a login token or an API key (`cw_...`)"}


class KeyAsPasswordScheme(OpenApiAuthenticationExtension):
    """How the schema describes it."""

    target_class = KeyAsPassword
    name = "password"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "basic", "description": "any name, and an API key (`cw_...`) as the password"}
