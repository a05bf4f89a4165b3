"""Log lines, without what looks like a secret; for people and for machines."""

import json
import logging
import re

#: Tokens of ours (their public beginning is kept), keys of providers, and what an Authorization header holds. None of
#: them is logged on purpose; but somebody may put one where it does not belong, such as into an address.
_SECRETS = re.compile(
    r"(\bcw_[0-9A-Za-z]{12})[0-9A-Za-z]{8,}|(\bsk-)[\w\-]{8,}|(\b[Bb]earer )[\w.~+/=\-]{8,}", re.ASCII
)


def redacted(text: str) -> str:
    """The text with every secret in it cut short."""
    return _SECRETS.sub(lambda found: (found[1] or found[2] or found[3]) + "***", text)


class TextFormatter(logging.Formatter):
    """One line of text."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, process, message; the request's id, and the traceback, if any."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if request_id := getattr(record, "request_id", ""):
            line["request_id"] = request_id
        line |= getattr(record, "request_line", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return redacted(json.dumps(line, ensure_ascii=False))
