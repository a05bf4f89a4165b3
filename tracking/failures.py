"""What metering itself could not do: counted, logged now and then, and never raised into a caller's call."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

logger = logging.getLogger("tracking.metering")

#: one line a minute and kind: a provider that sends garbage must not fill the disk
LOG_EVERY_S = 60.0


@dataclass(slots=True)
class Failure:
    """How often one kind of failure happened in this process, and its latest cause (a class name, no content)."""

    count: int = 0
    cause: str = ""
    logged_at_s: float = float("-inf")


class Failures:
    """Counts failures by kind. Safe to call from any thread, from `__del__` and from signal handlers."""

    def __init__(self) -> None:
        self._kinds: dict[str, Failure] = {}
        self._lock = threading.RLock()

    def note(self, kind: str, error: BaseException | None = None) -> None:
        """Count one failure of `kind`; log it when the last line about it is older than `LOG_EVERY_S`. Never raises."""
        try:
            cause = type(error).__name__ if error is not None else ""
            with self._lock:
                failure = self._kinds.setdefault(kind, Failure())
                failure.count += 1
                failure.cause = cause
                now = time.monotonic()
                due = now - failure.logged_at_s >= LOG_EVERY_S
                if due:
                    failure.logged_at_s = now
            if due:
                # The cause's class and place only: its text may quote a prompt or a key.
                words = "Metering failed (%s: %s at %s; %d so far in this process). The call itself was not touched."
                logger.warning(words, kind, cause or "-", _place(error), failure.count)
        except Exception:  # noqa: S110 - there is nobody left to tell
            pass

    def counts(self) -> dict[str, int]:
        """Failures so far in this process, by kind."""
        with self._lock:
            return {kind: failure.count for kind, failure in self._kinds.items()}

    def clear(self) -> None:
        """Forget everything counted (for tests)."""
        with self._lock:
            self._kinds.clear()


def _place(error: BaseException | None) -> str:
    """Where an error was raised: file and line."""
    traceback = error.__traceback__ if error is not None else None
    if traceback is None:
        return "-"
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"


#: the failures of this process; `manage.py doctor` shows them
failures = Failures()
