"""A provider that misbehaves on the wire: it sends exactly the bytes it is told, when it is told, and then cuts.

    with upstream(head("text/event-stream"), b"data: ...", CUT) as url: ...

Each connection gets the same script. Steps: bytes to send, a number of seconds to wait, `CUT` (reset), `END` (close),
or a function `(socket) -> None`.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

CUT = object()
END = object()
Step = bytes | float | object | Callable[[socket.socket], None]


def head(content_type: str = "application/json", *, status: str = "200 OK", **headers: str) -> bytes:
    """The head of an answer whose body ends with the connection."""
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\n{named}connection: close\r\n\r\n".encode()


@contextlib.contextmanager
def upstream(*steps: Step) -> Iterator[str]:
    """Its address, `http://127.0.0.1:port`."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            read_request(connection)
            for step in steps:
                if step is CUT:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                if step is END:
                    return
                if isinstance(step, bytes):
                    connection.sendall(step)
                elif callable(step):
                    step(connection)
                else:
                    stopping.wait(step)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stopping.set()
        listener.close()


def read_request(connection: socket.socket) -> bytes:
    """The whole request, as far as its content-length says."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
    top, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in top.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += connection.recv(65536)
    return top + b"\r\n\r\n" + body


def wait_for(condition: Callable[[], object], timeout_s: float = 3.0) -> bool:
    """Wait until `condition()` holds, at most `timeout_s`; whether it does."""
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
