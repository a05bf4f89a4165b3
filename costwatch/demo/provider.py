"""A provider on loopback that speaks both APIs well enough for the real SDKs. For demonstrations and tests.

    with local_provider() as provider:
        client = openai.OpenAI(base_url=provider.openai_base_url, api_key="local")

Everything is made up, and the same for the same request. `costwatch.demo.faults` lists what can be made to go wrong.
"""

from __future__ import annotations

import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from costwatch.demo import anthropic_api, faults, openai_chat, openai_files, openai_media, openai_responses, realtime
from costwatch.demo.shelf import Shelf
from costwatch.demo.wire import Reply, Request, openai_error

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_REQUESTS_KEPT = 10_000
ID = r"([^/]+)"

ROUTES: list[tuple[str, str, Callable[..., Reply]]] = [
    ("POST", "/v1/chat/completions", openai_chat.chat),
    ("GET", f"/v1/chat/completions/{ID}", openai_chat.stored_chat),
    ("POST", "/v1/completions", openai_chat.completions),
    ("POST", "/v1/embeddings", openai_chat.embeddings),
    ("POST", "/v1/moderations", openai_chat.moderations),
    ("GET", "/v1/models", openai_chat.models),
    ("POST", "/v1/responses", openai_responses.create),
    ("POST", "/v1/responses/input_tokens", openai_responses.input_tokens),
    ("POST", "/v1/responses/compact", openai_responses.compact),
    ("GET", f"/v1/responses/{ID}", openai_responses.retrieve),
    ("POST", f"/v1/responses/{ID}/cancel", openai_responses.cancel),
    ("DELETE", f"/v1/responses/{ID}", openai_responses.delete),
    ("POST", "/v1/audio/transcriptions", openai_media.transcription),
    ("POST", "/v1/audio/translations", openai_media.translation),
    ("POST", "/v1/audio/speech", openai_media.speech),
    ("POST", "/v1/images/(?:generations|edits|variations)", openai_media.images),
    ("POST", "/v1/videos", openai_media.video_create),
    ("GET", f"/v1/videos/{ID}", openai_media.video_retrieve),
    ("GET", f"/v1/videos/{ID}/content", openai_media.video_content),
    ("POST", "/v1/files", openai_files.upload),
    ("GET", "/v1/files", openai_files.files),
    ("GET", f"/v1/files/{ID}", openai_files.file),
    ("DELETE", f"/v1/files/{ID}", openai_files.delete),
    ("GET", f"/v1/files/{ID}/content", openai_files.content),
    ("POST", "/v1/batches", openai_files.create),
    ("GET", "/v1/batches", openai_files.batches),
    ("GET", f"/v1/batches/{ID}", openai_files.retrieve),
    ("POST", f"/v1/batches/{ID}/cancel", openai_files.cancel),
    ("POST", "/v1/messages", anthropic_api.messages),
    ("POST", "/v1/messages/count_tokens", anthropic_api.count_tokens),
    ("POST", "/v1/messages/batches", anthropic_api.batch_create),
    ("GET", "/v1/messages/batches", anthropic_api.batches),
    ("GET", f"/v1/messages/batches/{ID}", anthropic_api.batch_retrieve),
    ("GET", f"/v1/messages/batches/{ID}/results", anthropic_api.batch_results),
]
_COMPILED = [(method, re.compile(pattern), handler) for method, pattern, handler in ROUTES]


class LocalProvider:
    """The running provider: where it is, and what it was asked."""

    def __init__(self) -> None:
        #: the requests that came, oldest first, each with the status and the usage of its answer
        self.requests: deque[Request] = deque(maxlen=MAX_REQUESTS_KEPT)
        self.shelf = Shelf()
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="provider", daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def openai_base_url(self) -> str:
        """`base_url=` for the OpenAI SDK; its websockets find their way from here too."""
        return f"{self.base_url}/v1"

    @property
    def anthropic_base_url(self) -> str:
        """`base_url=` for the Anthropic SDK."""
        return self.base_url

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and drop every open connection."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)

    def connected(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)

    def disconnected(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)

    def handle(self, request: Request) -> Reply:
        """The answer to a request, faults included."""
        fault = faults.named(request)
        if reply := faults.refusal(request, fault):
            return reply
        if "authorization" not in request.headers and "x-api-key" not in request.headers:
            return openai_error(401, "No key was given.", code="invalid_api_key")
        for method, pattern, handler in _COMPILED:
            if method == request.method and (match := pattern.fullmatch(request.path)):
                self.stopping.wait(faults.slow_s(fault))
                return faults.spoil(handler(request, self.shelf, *match.groups()), fault)
        return openai_error(404, f"Unknown address: {request.method} {request.path}", code="unknown_url")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], provider: LocalProvider) -> None:
        self.provider = provider
        super().__init__(address, _Handler)

    def handle_error(self, request, client_address) -> None:
        """A client that goes away is part of the game; nothing is printed."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def setup(self) -> None:
        super().setup()
        self.server.provider.connected(self.connection)

    def finish(self) -> None:
        self.server.provider.disconnected(self.connection)
        with suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def _serve(self) -> None:
        request = self._request()
        if request is None:
            return
        provider = self.server.provider
        provider.requests.append(request)
        if self.headers.get("upgrade", "").lower() == "websocket":
            self._converse(request)
            return
        try:
            reply = provider.handle(request)
        except Exception as error:  # what the provider cannot read is the caller's mistake
            reply = openai_error(400, f"Could not understand the request: {type(error).__name__}")
        request.status, request.usage = reply.status, reply.usage
        self._send(request, reply)

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _serve

    def _request(self) -> Request | None:
        length = int(self.headers.get("content-length") or 0)
        if length > MAX_BODY_BYTES:
            self.close_connection = True
            self.send_error(413)
            return None
        body = self._chunked() if "chunked" in self.headers.get("transfer-encoding", "") else self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request.read(method=self.command, target=self.path, headers=headers, body=body)

    def _chunked(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
            if len(body) > MAX_BODY_BYTES:
                raise ValueError("body too large")
        self.rfile.readline()
        return body

    def _converse(self, request: Request) -> None:
        self.close_connection = True
        head = f"{self.requestline}\r\n{self.headers}".encode()
        head = b"\r\n".join(head.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")) + b"\r\n\r\n"
        request.status = 101
        with suppress(OSError):
            reported = realtime.converse(self.connection, head, request, self.server.provider.shelf)
            request.usage = {"sessions": reported}

    def _send(self, request: Request, reply: Reply) -> None:
        prefix = "" if "anthropic-version" in request.headers else "x-"
        self.send_response(reply.status)
        self.send_header("content-type", reply.content_type)
        self.send_header(f"{prefix}request-id", self.server.provider.shelf.new_id("req_"))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.pieces is None:
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
        else:
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self._send_pieces(request, reply)
        if reply.cut:
            self.close_connection = True

    def _send_pieces(self, request: Request, reply: Reply) -> None:
        pause_s = min(float(request.headers.get("x-demo-pause-ms", "0")) / 1000, 5.0)
        for piece in reply.pieces or ():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if pause_s and self.server.provider.stopping.wait(pause_s):
                return
        if not reply.cut:
            self.wfile.write(b"0\r\n\r\n")


@contextmanager
def local_provider() -> Iterator[LocalProvider]:
    """A provider on a free port of this machine, stopped at the end of the block."""
    provider = LocalProvider()
    provider.start()
    try:
        yield provider
    finally:
        provider.stop()
