"""Secrets of channels, encrypted at rest with keys of their own, and never shown again.

`seal` encrypts with the first key of ALERT_SECRET_KEYS; `unseal` tries all of them, so that a new key can be put in
front, `manage.py rotate_alert_secrets` run, and the old one taken out. The keys are not the site's SECRET_KEY: a copy
of the database without them tells nothing, and SECRET_KEY can be changed without losing channels.
"""

import base64
import json
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

#: What stands for a secret where a channel is shown.
MASK = "••••••••"

HOW_TO_MAKE = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"


class SecretsError(Exception):
    """Secrets cannot be written or read. Says what to do; holds no secret."""


class NoKey(SecretsError):
    """There is no key to encrypt with."""

    def __init__(self) -> None:
        super().__init__(
            f"ALERT_SECRET_KEYS is not set, so this channel's secrets cannot be stored. Make a key with {HOW_TO_MAKE}, "
            "set it, and restart web server and worker."
        )


class Unreadable(SecretsError):
    """None of the keys opens what is stored."""

    def __init__(self) -> None:
        super().__init__(
            "The channel's secrets cannot be read with ALERT_SECRET_KEYS: its key is not among them. Put the key back, "
            "or enter the channel's secrets again."
        )


def seal(secrets: Mapping[str, object]) -> str:
    """`secrets`, encrypted, for a text column; "" for none. Raises `NoKey`."""
    filled = {name: value for name, value in secrets.items() if value not in ("", None, [])}
    if not filled:
        return ""
    return _box().encrypt(json.dumps(filled, ensure_ascii=False, sort_keys=True).encode()).decode("ascii")


def unseal(sealed: str) -> dict[str, str]:
    """What `seal` was given. Raises `Unreadable`, and `NoKey` where there is none at all."""
    if not sealed:
        return {}
    try:
        return json.loads(_box().decrypt(sealed.encode()))
    except (InvalidToken, ValueError) as error:
        raise Unreadable from error


def reseal(sealed: str) -> str:
    """The same secrets under the first key. Raises `Unreadable` and `NoKey`."""
    return seal(unseal(sealed))


def masked(sealed: str) -> dict[str, str]:
    """The names of the secrets that are stored, each with `MASK`; {} where they cannot be read."""
    try:
        return dict.fromkeys(unseal(sealed), MASK)
    except SecretsError:
        return {}


def merged(sealed: str, given: Mapping[str, object]) -> dict[str, object]:
    """What a form or an API call makes of stored secrets: what is left out, empty or masked stays as it is.

    None takes a secret away. What cannot be read any more counts as not stored.
    """
    try:
        kept: dict[str, object] = dict(unseal(sealed))
    except SecretsError:
        kept = {}
    for name, value in given.items():
        if value is None:
            kept.pop(name, None)
        elif value not in ("", MASK):
            kept[name] = value
    return kept


def _box() -> MultiFernet:
    keys = [Fernet(key) for key in settings.ALERT_SECRET_KEYS]
    if not keys and not settings.PRODUCTION:  # a development machine works at once; its SECRET_KEY is no secret anyway
        derived = HKDF(hashes.SHA256(), length=32, salt=None, info=b"costwatch alert secrets")
        keys = [Fernet(base64.urlsafe_b64encode(derived.derive(settings.SECRET_KEY.encode())))]
    if not keys:
        raise NoKey
    return MultiFernet(keys)
