"""Django's SMTP backend with one deadline for the whole dialogue.

Each step of smtplib has a timeout of its own, and a server that says a byte now and then never reaches it. So when the
time is over the connection is shut down, by a second handle on it: whatever waits for it fails at once, TLS or not.
"""

import smtplib
import socket
import threading
import time
from typing import Any

from django.core.mail.backends.smtp import EmailBackend

#: For connecting, TLS, login and handing over one message, in seconds. Well below the outbox's lease.
TOTAL_S = 25.0
CONNECT_S = 8.0


class _Watched(smtplib.SMTP):
    """A connection that is shut down when the time is over."""

    ends: float
    watch: threading.Timer | None = None

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = super()._get_socket(host, port, min(timeout, CONNECT_S))  # for each address that the name has
        sock.settimeout(timeout)
        handle = sock.dup()
        self.watch = threading.Timer(max(0.0, self.ends - time.monotonic()), _shut_down, [handle])
        self.watch.daemon = True
        self.watch.start()
        return sock

    def close(self) -> None:
        """As smtplib's; called at every end."""
        super().close()
        if self.watch is not None:
            self.watch.cancel()
            self.watch.args[0].close()
            self.watch = None


class _WatchedTls(smtplib.SMTP_SSL, _Watched):
    """The same, with TLS from the beginning."""


def _shut_down(handle: socket.socket) -> None:
    try:
        handle.shutdown(socket.SHUT_RDWR)
    except OSError:  # it is closed already
        return


class Backend(EmailBackend):
    """One message, sent by `TOTAL_S` after the connection was asked for, or not at all."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.timeout = min(self.timeout or TOTAL_S, TOTAL_S)

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        """A class for this connection alone, which knows when its time is over."""
        return type("Connection", (_WatchedTls if self.use_ssl else _Watched,), {"ends": time.monotonic() + TOTAL_S})
