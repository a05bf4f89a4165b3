"""Static files: hashed once they are collected, and there without that in development."""

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from whitenoise.middleware import WhiteNoiseMiddleware

from costwatch.collected import CollectedFiles

NAME = "costwatch/charts.js"


@pytest.fixture
def root(tmp_path, settings):
    settings.STATIC_ROOT = str(tmp_path / "collected")
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": "costwatch.collected.CollectedFiles"}}
    return settings.STATIC_ROOT


def test_what_was_not_collected_is_served_in_development_from_where_it_stands(root, settings, rf, recwarn):
    storage = CollectedFiles()
    assert storage.url(NAME) == f"/static/{NAME}"
    settings.WHITENOISE_USE_FINDERS = True
    served = WhiteNoiseMiddleware(lambda request: None)(rf.get(storage.url(NAME)))
    assert served.status_code == 200 and b"data-chart" in b"".join(served.streaming_content)
    settings.PRODUCTION = True
    with pytest.raises(ValueError, match="manifest"):
        storage.url(NAME)


@pytest.mark.django_db
def test_pages_open_before_collectstatic(root):
    assert Client().get(reverse("login")).status_code == 200


@pytest.mark.slow
def test_collected_files_have_their_hash_in_their_name(root):
    call_command("collectstatic", interactive=False, verbosity=0)
    url = CollectedFiles().url(NAME)
    assert url != f"/static/{NAME}" and url.startswith("/static/costwatch/charts.") and url.endswith(".js")
