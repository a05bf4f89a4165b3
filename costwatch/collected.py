"""Scripts, styles and pictures by names that hold their hash, so that browsers may keep them for ever."""

from __future__ import annotations

from django.conf import settings
from whitenoise.storage import CompressedManifestStaticFilesStorage


class CollectedFiles(CompressedManifestStaticFilesStorage):
    """The names that `collectstatic` gave. In development a file that was not collected keeps its own name; in
    production it is an error, as it would be cached under a name that never changes.
    """

    def stored_name(self, name: str) -> str:
        try:
            return super().stored_name(name)
        except ValueError:
            if settings.PRODUCTION:
                raise
            return name
