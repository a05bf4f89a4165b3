"""Receivers on this machine that take what is really sent: HTTP with and without TLS, and mail."""

import datetime
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Taken:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def form(self):
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass
class Receiver:
    """A server and what it got. `answers` are given one after the other, the last one for good."""

    port: int
    taken: list[Taken] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=lambda: [(200, {}, b"ok")])

    def answer(self, *answers):
        self.answers[:] = [answer if isinstance(answer, tuple) else (answer, {}, b"ok") for answer in answers]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def receiver(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """An HTTP server on 127.0.0.1, behind TLS where `context` is given."""
    got = Receiver(0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            got.taken.append(Taken(self.command, self.path, headers, body))
            status, extra, content = got.answers.pop(0) if len(got.answers) > 1 else got.answers[0]
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_DELETE = do_POST

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):  # callers that do not trust us break off
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    got.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield got
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def raw_server(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that does to each connection what `behave` says. Gives its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.05)
    done = threading.Event()

    def serve():
        while not done.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection):
        with connection, suppress(OSError):
            behave(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        done.set()
        thread.join()
        listening.close()


class Traps:
    """Servers on every address of this machine that nobody may reach. They count connections, whatever is sent."""

    def __init__(self) -> None:
        self.connections: list[str] = []
        self._done = threading.Event()
        first = socket.create_server(("127.0.0.1", 0))
        self.port = first.getsockname()[1]
        self._sockets = [first, *(self._listen(host) for host in ("127.0.0.2", "127.1.2.3", "::1"))]
        self.addresses = [s.getsockname()[0] for s in self._sockets if s]
        self._threads = [threading.Thread(target=self._count, args=(s,), daemon=True) for s in self._sockets if s]
        for thread in self._threads:
            thread.start()

    def _listen(self, host: str) -> socket.socket | None:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return socket.create_server((host, self.port), family=family)
        except OSError:
            return None

    def _count(self, listening: socket.socket) -> None:
        listening.settimeout(0.05)
        while not self._done.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            self.connections.append(listening.getsockname()[0])
            connection.close()
        listening.close()

    def close(self) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()


class Authority:
    """A certificate authority of the tests' own."""

    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        self._folder = folder
        builder = self._builder(self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False)
        self.certificate = builder.sign(self._key, hashes.SHA256())
        self.file = folder / "ca.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject, public_key):
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(public_key)
        builder = builder.serial_number(x509.random_serial_number())
        day = datetime.timedelta(days=1)
        return builder.not_valid_before(now - day).not_valid_after(now + day)

    def server(self, *hosts: str) -> ssl.SSLContext:
        """What a server for these hosts shows."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [self._alternative(host) for host in hosts]
        builder = self._builder(x509.Name([]), key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = builder.add_extension(issuer, False).sign(self._key, hashes.SHA256())
        file = self._folder / f"server-{len(list(self._folder.iterdir()))}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def client(self) -> ssl.SSLContext:
        """What a client that trusts this authority alone checks with."""
        return ssl.create_default_context(cafile=str(self.file))

    @staticmethod
    def _alternative(host: str):
        try:
            return x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            return x509.DNSName(host)


class AnyPort(Controller):
    """Listens on a port that the system chose."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class MailServer:
    """A mail server that keeps what it takes. `refuses` maps a recipient's or a sender's address to the answer that it
    gets.
    """

    def __init__(self, **options) -> None:
        self.taken: list[tuple[str, list[str], bytes]] = []
        self.refuses: dict[str, str] = {}
        self.controller = AnyPort(self, hostname="127.0.0.1", port=0, **options)

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
        if address in self.refuses:
            return self.refuses[address]
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.taken.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return "250 OK queued as 42"

    @property
    def mails(self):
        return [message_from_bytes(content, policy=policy.default) for _, _, content in self.taken]


@contextmanager
def mail_server(**options) -> Iterator[MailServer]:
    """A mail server on 127.0.0.1; `.port` tells where."""
    made = MailServer(**options)
    made.controller.start()
    made.port = made.controller.port
    try:
        yield made
    finally:
        made.controller.stop(no_assert=True)
