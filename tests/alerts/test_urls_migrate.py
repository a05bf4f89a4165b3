"""URLs of webhooks that were kept in the clear are encrypted by the migration, and come back by its reverse."""

from importlib import import_module

import pytest
from django.apps import apps
from django.utils import timezone

from alerts.models import Channel
from alerts.secrets import seal, unseal

migration = import_module("alerts.migrations.0005_urls_of_webhooks_are_secrets")
URL = "https://example.com/hook/T0K3N"


@pytest.mark.django_db
def test_urls_are_moved_to_the_secrets_and_back(settings):
    channel = Channel(kind="webhook", name="Hook", config={"url": URL}, secrets=seal({"secret": "whsec_x"}))
    channel.save(at=timezone.now())
    for _ in range(2):  # a second run changes nothing
        migration.encrypt(apps, None)
        channel.refresh_from_db()
        assert channel.config == {"url": "https://example.com/…"}
        assert unseal(channel.secrets) == {"secret": "whsec_x", "url": URL}
    migration.decrypt(apps, None)
    channel.refresh_from_db()
    assert channel.config == {"url": URL} and unseal(channel.secrets) == {"secret": "whsec_x"}
