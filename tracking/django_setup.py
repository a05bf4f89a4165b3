"""Django in processes that did not set it up: scripts, notebooks, workers that only make calls."""

from __future__ import annotations

import os


def ensure_django() -> None:
    """Set Django up, with Costwatch's own settings unless others are named. Raises what keeps it from being set up."""
    import django
    from django.apps import apps
    from django.conf import settings

    if apps.ready:
        return
    if not settings.configured:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costwatch.settings")
    django.setup()
