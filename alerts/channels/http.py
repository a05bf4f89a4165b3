"""The client that every channel but email goes through: one request, to an address that was checked, in bounded time.

- The name is resolved once; every address it has must be allowed, and the connection is made to one of those very
  addresses. There is no second look-up that could answer differently (DNS rebinding).
- The certificate is checked against the name, with the machine's trusted roots. No redirect is followed, no proxy is
  taken from the environment, no cookie is kept.
- `DEADLINE_S` bounds all of it together: look-up, connecting, TLS, sending, and a receiver that drips its answer.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from typing import Any

import httpcore2

from alerts.channels.addresses import Exceptions, is_public
from alerts.channels.urls import Target

DEADLINE_S = 10.0
#: The most of an answer that is read, in bytes.
ANSWER_BYTES = 65_536
#: Longest wait for one of several addresses to accept a connection.
CONNECT_S = 4.0
#: Addresses tried.
ADDRESSES = 4

SockAddr = tuple[Any, ...]
Resolve = Callable[[str, int], list[tuple[int, SockAddr]]]


class Refused(Exception):
    """The address may not be reached; nothing was connected to. Says why."""


class Unreachable(Exception):
    """No whole answer came: the name, the connection, TLS or the time. Says which."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes  # at most ANSWER_BYTES of it


def resolve(host: str, port: int) -> list[tuple[int, SockAddr]]:
    """(family, address) for each address of `host`, as the machine's resolver says."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def connect(family: int, address: SockAddr, timeout_s: float) -> socket.socket:
    """A TCP connection to exactly this address."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


@dataclass(slots=True)
class Client:
    """One request at a time; cheap to make. `resolve` and `connect` are the seams that tests take hold of."""

    exceptions: Exceptions = field(default_factory=Exceptions)
    deadline_s: float = DEADLINE_S
    resolve: Resolve = field(default=resolve)
    connect: Callable[[int, SockAddr, float], socket.socket] = field(default=connect)
    ssl_context: ssl.SSLContext | None = None  # None: the machine's trusted roots

    def send(self, method: str, target: Target, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """The receiver's answer, whatever its status. Raises `Refused` and `Unreachable`."""
        backend = _Checked(self, target, time.monotonic() + self.deadline_s)
        url = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        sent = {
            **{name: value for name, value in headers.items() if name.lower() not in ("host", "connection")},
            "Host": target.authority,
            "Connection": "close",
            "Content-Length": str(len(body)),
        }
        context = (self.ssl_context or _trusted()) if target.scheme == "https" else None
        try:
            with httpcore2.ConnectionPool(ssl_context=context, network_backend=backend, max_connections=1) as pool:
                ours = [(name.encode("ascii"), value.encode("latin-1")) for name, value in sent.items()]
                with pool.stream(method, url, headers=ours, content=body) as response:
                    return Answer(
                        response.status,
                        {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers},
                        _read(response),
                    )
        except httpcore2.TimeoutException:
            raise Unreachable(f"No answer within {self.deadline_s:g} seconds.") from None
        except httpcore2.ProtocolError:
            raise Unreachable("The receiver does not speak HTTP, or broke off in the middle.") from None
        except httpcore2.NetworkError:
            raise Unreachable("The connection broke before the answer came.") from None


@cache
def _trusted() -> ssl.SSLContext:
    return httpcore2.default_ssl_context()


def _read(response: httpcore2.Response) -> bytes:
    body = b""
    for chunk in response.iter_stream():
        body += chunk
        if len(body) >= ANSWER_BYTES:
            break
    return body[:ANSWER_BYTES]


class _Checked(httpcore2.NetworkBackend):
    """Connects to addresses that were checked, and to nothing else."""

    def __init__(self, client: Client, target: Target, deadline: float) -> None:
        self._client, self._target, self._deadline = client, target, deadline

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore2.NetworkStream:
        if (host, port) != (self._target.host, self._target.port):
            raise Refused("Only the URL's own host is connected to.")
        addresses = self._look_up(host, port)
        for _, address in addresses:
            self._check(str(address[0]))
        failure: OSError | None = None
        for family, address in addresses[:ADDRESSES]:
            left = _left(self._deadline, httpcore2.ConnectTimeout)
            try:
                return _Stream(self._client.connect(family, address, min(left, CONNECT_S)), self._deadline)
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise Unreachable("The receiver takes no connection: it does not answer.")
        refused = isinstance(failure, ConnectionRefusedError)
        raise Unreachable("The receiver refuses connections." if refused else "There is no way to the receiver.")

    def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore2.NetworkStream:
        raise Refused("Only the network is connected to.")

    def _look_up(self, host: str, port: int) -> list[tuple[int, SockAddr]]:
        """In a thread, since a resolver takes its own time and cannot be interrupted."""
        found: list[tuple[int, SockAddr]] = []

        def ask() -> None:
            try:
                found.extend(self._client.resolve(host, port))
            except (OSError, UnicodeError):
                return

        thread = threading.Thread(target=ask, name="alert-resolver", daemon=True)
        thread.start()
        thread.join(_left(self._deadline, httpcore2.ConnectTimeout))
        if thread.is_alive():
            raise httpcore2.ConnectTimeout
        if not found:
            raise Unreachable(f"The host {host} is not known.")
        return found

    def _check(self, text: str) -> None:
        address = ip_address(text)
        if self._client.exceptions.lists(self._target.host, address):
            return
        if not is_public(address):
            # Which address it is stays here: it would tell any account how the inside is built.
            raise Refused(f"{self._target.host} is not a public address. ALERT_WEBHOOK_ALLOWED_HOSTS lists exceptions.")
        if self._target.scheme != "https":
            raise Refused("Only https:// is used outside of ALERT_WEBHOOK_ALLOWED_HOSTS.")
        if self._target.port < 1024 and self._target.port != 443:
            raise Refused(f"Port {self._target.port} belongs to another service; use 443, or one from 1024 on.")


class _Stream(httpcore2.NetworkStream):
    """A socket on which every step ends at the same moment."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            self._sock.settimeout(_left(self._deadline, httpcore2.ReadTimeout))
            return self._sock.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore2.ReadTimeout from error
        except OSError as error:
            raise httpcore2.ReadError from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)
        try:
            while view:
                self._sock.settimeout(_left(self._deadline, httpcore2.WriteTimeout))
                view = view[self._sock.send(view) :]
        except TimeoutError as error:
            raise httpcore2.WriteTimeout from error
        except OSError as error:
            raise httpcore2.WriteError from error

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        try:
            self._sock.settimeout(_left(self._deadline, httpcore2.ConnectTimeout))
            return _Stream(ssl_context.wrap_socket(self._sock, server_hostname=server_hostname), self._deadline)
        except TimeoutError as error:
            self.close()
            raise httpcore2.ConnectTimeout from error
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise Unreachable(f"The receiver's certificate is not accepted: {error.verify_message}.") from None
        except OSError:  # ssl.SSLError is one
            self.close()
            raise Unreachable("The receiver does not speak TLS, or broke off.") from None

    def close(self) -> None:
        self._sock.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object" and isinstance(self._sock, ssl.SSLSocket):
            return self._sock
        return None


def _left(deadline: float, late: type[Exception]) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise late
    return left
