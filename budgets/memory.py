"""What processes remember of the limits for one that starts while the database is away: that none is hard.

An empty file in `SPOOL_DIR`, touched while some process sees no hard limit and removed when one does. A process that
never reached the database goes by it, so that an outage does not stop the calls of an installation without hard
limits. Where the file is missing or old, a hard limit must be feared, and the gate refuses.
"""

import logging
import time
from pathlib import Path

from django.conf import settings

logger = logging.getLogger(__name__)

#: How long it is believed after the last process saw it confirmed, in seconds; and how often it is confirmed.
BELIEVED_S = 24 * 3600.0
CONFIRMED_EVERY_S = 600.0

_written: tuple[Path, bool] | None = None
_written_at = 0.0


def note(*, any_hard: bool) -> None:
    """Remember whether a hard limit exists. Never raises: what cannot be remembered is feared."""
    global _written, _written_at
    path = _path()
    now = time.monotonic()
    if _written == (path, any_hard) and now - _written_at < CONFIRMED_EVERY_S:
        return
    try:
        if any_hard:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
    except OSError as error:
        logger.warning("What is known of hard limits could not be remembered: %s", error)
    _written, _written_at = (path, any_hard), now


def knows_of_no_hard_limit() -> bool:
    """Whether some process saw, within a day, that there is no hard limit."""
    try:
        return time.time() - _path().stat().st_mtime < BELIEVED_S
    except OSError:
        return False


def forget() -> None:
    """Write it down again at the next look."""
    global _written
    _written = None


def _path() -> Path:
    return Path(settings.SPOOL_DIR) / "no-hard-limits"
