"""What goes over the wire between the local provider and its callers: requests, replies, events, multipart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(slots=True)
class Request:
    """One HTTP request as the provider received it."""

    method: str
    target: str  # path and query
    headers: Mapping[str, str]  # names in lower case
    body: bytes = b""
    json: dict[str, Any] = field(default_factory=dict)  # {} where the body is not a JSON object
    form: dict[str, str] = field(default_factory=dict)  # fields of a multipart body
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # its files: field -> (name, content)
    status: int | None = None  # what it was answered with
    usage: dict[str, Any] | None = None  # the usage that the answer reported: the provider's own books

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def fields(self) -> dict[str, Any]:
        """The parameters, whether they came as JSON or as a form."""
        return self.json or self.form

    @property
    def model(self) -> str:
        return str(self.fields.get("model") or "")

    @classmethod
    def read(cls, *, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
        """Understand a body as far as it can be understood; never raises."""
        request = cls(method=method, target=target, headers=headers, body=body)
        kind = headers.get("content-type", "")
        if "multipart/form-data" in kind:
            request.form, request.files = _multipart(kind, body)
        elif body:
            try:
                parsed = json.loads(body)
            except ValueError:
                parsed = None
            request.json = parsed if isinstance(parsed, dict) else {}
        return request


@dataclass(slots=True)
class Reply:
    """An answer: `body` at once, or `pieces` one after the other (chunked)."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    pieces: Iterable[bytes] | None = None
    usage: dict[str, Any] | None = None
    cut: bool = False  # close the connection in the middle


def answer(value: Any, *, status: int = 200, usage: dict | None = None) -> Reply:
    """A JSON answer. `usage` is noted in the provider's books; by default it is what the answer itself reports."""
    if usage is None and isinstance(value, dict) and isinstance(value.get("usage"), dict):
        usage = value["usage"]
    return Reply(body=json.dumps(value).encode(), status=status, usage=usage)


def text(value: str, content_type: str = "text/plain; charset=utf-8") -> Reply:
    """A plain text answer."""
    return Reply(body=value.encode(), content_type=content_type)


def events(messages: Iterable[Any], *, usage: dict | None = None, named: bool = False, done: bool = False) -> Reply:
    """Server-sent events, one piece each. `named` adds the `event:` line, `done` OpenAI's closing `[DONE]`."""

    def pieces():
        for message in messages:
            name = f"event: {message['type']}\n" if named else ""
            yield f"{name}data: {json.dumps(message)}\n\n".encode()
        if done:
            yield b"data: [DONE]\n\n"

    return Reply(content_type="text/event-stream; charset=utf-8", pieces=pieces(), usage=usage)


def openai_error(status: int, message: str, *, code: str | None = None, kind: str = "invalid_request_error") -> Reply:
    """OpenAI's error envelope."""
    return answer({"error": {"message": message, "type": kind, "param": None, "code": code}}, status=status)


def anthropic_error(status: int, message: str, *, kind: str = "invalid_request_error") -> Reply:
    """Anthropic's error envelope."""
    return answer({"type": "error", "error": {"type": kind, "message": message}}, status=status)


def _multipart(content_type: str, body: bytes) -> tuple[dict[str, str], dict[str, tuple[str, bytes]]]:
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    form: dict[str, str] = {}
    files: dict[str, tuple[str, bytes]] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = str(part.get_param("name", "", header="content-disposition"))
        content = part.get_payload(decode=True) or b""
        if (filename := part.get_filename()) is not None:
            files[name] = (filename, content)
        else:
            form[name] = content.decode(errors="replace")
    return form, files
