"""Secrets of channels: encrypted, never shown, readable with any of the keys, and what happens without one."""

from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.utils import timezone

from alerts import secrets
from alerts.models import Channel
from costwatch.environment import Environment

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
GIVEN = {"webhook_url": "https://hooks.slack.com/services/T1/B1/verysecret"}


def a_channel(**changes):
    now = timezone.now()
    given = {"kind": "slack", "name": "Team", "secrets": secrets.seal(GIVEN), "created_at": now, "updated_at": now}
    made = Channel(**{**given, **changes})
    Channel.objects.bulk_create([made])
    return made


def test_what_is_stored_tells_nothing_and_is_read_again(settings):
    settings.ALERT_SECRET_KEYS = [NEW]
    sealed = secrets.seal(GIVEN)
    assert "verysecret" not in sealed and "webhook" not in sealed and sealed != secrets.seal(GIVEN)
    assert secrets.unseal(sealed) == GIVEN
    assert secrets.seal({}) == secrets.seal({"a": "", "b": None}) == "" and secrets.unseal("") == {}


def test_a_new_key_in_front_reads_what_the_old_one_wrote(settings):
    settings.ALERT_SECRET_KEYS = [OLD]
    sealed = secrets.seal(GIVEN)
    settings.ALERT_SECRET_KEYS = [NEW, OLD]
    assert secrets.unseal(sealed) == GIVEN
    renewed = secrets.reseal(sealed)
    settings.ALERT_SECRET_KEYS = [NEW]
    assert secrets.unseal(renewed) == GIVEN
    with pytest.raises(secrets.Unreadable, match="Put the key back, or enter the channel's secrets again"):
        secrets.unseal(sealed)


@pytest.mark.parametrize("broken", ["x", "gAAAAA", "ü", "\x00", "[]"])
def test_what_was_never_encrypted_is_unreadable_and_breaks_nothing(broken, settings):
    settings.ALERT_SECRET_KEYS = [NEW]
    with pytest.raises(secrets.Unreadable):
        secrets.unseal(broken)
    assert secrets.masked(broken) == {}


def test_production_without_a_key_says_how_to_make_one(settings):
    settings.PRODUCTION, settings.ALERT_SECRET_KEYS = True, []
    with pytest.raises(secrets.NoKey, match=r"Fernet\.generate_key"):
        secrets.seal(GIVEN)
    assert secrets.seal({}) == ""  # email and in-app need no key
    settings.PRODUCTION = False
    assert secrets.unseal(secrets.seal(GIVEN)) == GIVEN


def test_only_names_are_shown(settings):
    settings.ALERT_SECRET_KEYS = [NEW]
    assert secrets.masked(secrets.seal(GIVEN)) == {"webhook_url": secrets.MASK}
    settings.ALERT_SECRET_KEYS = [OTHER]
    assert secrets.masked(secrets.seal({})) == {}


@pytest.mark.django_db
def test_rotating_encrypts_everything_with_the_newest_key(settings):
    settings.ALERT_SECRET_KEYS = [OLD]
    made = [a_channel(name=f"Team {number}") for number in range(3)]
    without = a_channel(kind="email", secrets="")
    settings.ALERT_SECRET_KEYS = [NEW, OLD]
    said = StringIO()
    call_command("rotate_alert_secrets", stdout=said)
    assert "3 channels' secrets" in said.getvalue()
    settings.ALERT_SECRET_KEYS = [NEW]
    for channel in made:
        channel.refresh_from_db()
        assert secrets.unseal(channel.secrets) == GIVEN
    without.refresh_from_db()
    assert without.secrets == ""


@pytest.mark.django_db
def test_a_lost_key_is_named_and_what_it_wrote_is_kept(settings):
    settings.ALERT_SECRET_KEYS = [OTHER]
    lost = a_channel(name="Lost")
    before = lost.secrets
    settings.ALERT_SECRET_KEYS = [OLD]
    kept = a_channel(name="Kept")
    settings.ALERT_SECRET_KEYS = [NEW, OLD]
    with pytest.raises(CommandError, match=rf"{lost.pk} \(Lost\)"):
        call_command("rotate_alert_secrets", stdout=StringIO())
    lost.refresh_from_db()
    kept.refresh_from_db()
    assert lost.secrets == before
    settings.ALERT_SECRET_KEYS = [NEW]
    assert secrets.unseal(kept.secrets) == GIVEN


def test_keys_that_are_none_stop_costwatch_without_being_repeated(monkeypatch):
    for text in ("short", f"{NEW},short", "Ü" * 44):
        monkeypatch.setenv("ALERT_SECRET_KEYS", text)
        with pytest.raises(ImproperlyConfigured, match="is not a key") as refused:
            Environment().fernet_keys("ALERT_SECRET_KEYS")
        assert text not in str(refused.value)
    monkeypatch.setenv("ALERT_SECRET_KEYS", f" {NEW} , {OLD} ")
    assert Environment().fernet_keys("ALERT_SECRET_KEYS") == [NEW, OLD]


def test_what_a_form_leaves_out_stays_as_it_is(settings):
    settings.ALERT_SECRET_KEYS = [NEW]
    sealed = secrets.seal({"secret": "a", "previous_secret": "b"})
    assert secrets.merged(sealed, {}) == {"secret": "a", "previous_secret": "b"}
    assert secrets.merged(sealed, {"secret": "", "previous_secret": secrets.MASK}) == secrets.unseal(sealed)
    assert secrets.merged(sealed, {"secret": "c", "previous_secret": None}) == {"secret": "c"}
    settings.ALERT_SECRET_KEYS = [OTHER]  # lost: what is entered again counts, and nothing else
    assert secrets.merged(sealed, {"secret": "c"}) == {"secret": "c"}
