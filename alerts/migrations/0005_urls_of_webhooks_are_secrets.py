"""The URLs of webhooks may hold tokens: they are encrypted with the other secrets, and only their hosts are shown."""

from django.db import migrations

from alerts import secrets
from alerts.channels.kind import veil


def encrypt(apps, schema_editor):
    channels = apps.get_model("alerts", "Channel").objects.filter(kind="webhook")
    for channel in channels.iterator():
        url = channel.config.get("url")
        if not url or url == veil(url):
            continue
        try:
            channel.secrets = secrets.seal({**secrets.unseal(channel.secrets), "url": url})
        except secrets.SecretsError:  # it stays readable, and is encrypted when the channel is saved
            continue
        channel.config = {**channel.config, "url": veil(url)}
        channel.save(update_fields=["config", "secrets"])


def decrypt(apps, schema_editor):
    channels = apps.get_model("alerts", "Channel").objects.filter(kind="webhook")
    for channel in channels.iterator():
        try:
            opened = secrets.unseal(channel.secrets)
        except secrets.SecretsError:
            continue
        if url := opened.pop("url", None):
            channel.config, channel.secrets = {**channel.config, "url": url}, secrets.seal(opened)
            channel.save(update_fields=["config", "secrets"])


class Migration(migrations.Migration):
    dependencies = [("alerts", "0004_sent_and_refused")]

    operations = [migrations.RunPython(encrypt, decrypt)]
