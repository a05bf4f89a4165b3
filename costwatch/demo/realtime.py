"""Websocket sessions of the local provider: Realtime (voice and transcription) and Responses."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from math import ceil
from typing import Any

from websockets.frames import OP_BINARY, OP_CLOSE, OP_CONT, OP_PING, OP_TEXT
from websockets.protocol import State
from websockets.server import ServerProtocol

from costwatch.demo import openai_responses
from costwatch.demo.quantities import seed, tokens, wav, words
from costwatch.demo.shelf import Shelf
from costwatch.demo.wire import Request

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
PCM_BYTES_PER_S = 48_000  # 24 kHz, 16 bit
AUDIO_TOKENS_PER_S_IN, AUDIO_TOKENS_PER_S_OUT = 10, 20
IDLE_S = 60.0


class Session:
    """One Realtime conversation. `answer` maps what the client sent to what the server says."""

    def __init__(self, request: Request, shelf: Shelf) -> None:
        self._shelf = shelf
        self._heard = b""  # audio since the last commit
        self._context = {"text": 12, "audio": 0}  # tokens of the conversation so far; the session's own to begin with
        self._cached = {"text": 0, "audio": 0}  # those that the last response read
        kind = "transcription" if request.query.get("intent") == "transcription" else "realtime"
        self._session: dict[str, Any] = {
            "type": kind,
            "object": f"realtime.{'transcription_session' if kind == 'transcription' else 'session'}",
            "id": shelf.new_id("sess_"),
            "model": request.query.get("model"),
            "output_modalities": ["audio"],
            "audio": {
                "input": {"format": {"type": "audio/pcm", "rate": 24000}, "transcription": None},
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"},
            },
        }

    def begin(self) -> Iterator[dict]:
        yield {"type": "session.created", "session": self._session}

    def answer(self, message: dict[str, Any]) -> Iterator[dict]:
        kind = message.get("type")
        if kind == "session.update":
            _merge(self._session, message.get("session") or {})
            yield {"type": "session.updated", "session": self._session}
        elif kind == "conversation.item.create":
            item = {"id": self._shelf.new_id("item_"), "object": "realtime.item", **message["item"]}
            self._context["text"] += tokens([p.get("text") for p in item.get("content") or []]) + 3
            yield from self._added(item)
        elif kind == "input_audio_buffer.append":
            self._heard += base64.b64decode(message.get("audio") or "")
        elif kind == "input_audio_buffer.commit":
            yield from self._committed()
        elif kind == "response.create":
            yield from self._respond(message.get("response") or {})
        else:
            error = {"type": "invalid_request_error", "code": "unknown_event", "message": f"unknown event {kind!r}"}
            yield {"type": "error", "error": error}

    def _added(self, item: dict[str, Any]) -> Iterator[dict]:
        for what in ("added", "done"):
            yield {"type": f"conversation.item.{what}", "previous_item_id": None, "item": item}

    def _committed(self) -> Iterator[dict]:
        seconds = len(self._heard) / PCM_BYTES_PER_S
        self._heard = b""
        audio = ceil(seconds * AUDIO_TOKENS_PER_S_IN)
        self._context["audio"] += audio
        item = {"id": self._shelf.new_id("item_"), "object": "realtime.item", "type": "message", "role": "user"}
        yield {"type": "input_audio_buffer.committed", "previous_item_id": None, "item_id": item["id"]}
        yield from self._added(
            {**item, "status": "completed", "content": [{"type": "input_audio", "transcript": None}]}
        )
        model = (self._session["audio"]["input"].get("transcription") or {}).get("model")
        if not model:
            return
        spoken = "".join(words(["heard", audio], at_most=max(1, audio)))
        if model.startswith("whisper"):
            usage: dict[str, Any] = {"type": "duration", "seconds": ceil(seconds)}
        else:
            said = len(spoken.split())
            details = {"audio_tokens": audio, "text_tokens": 0}
            usage = {"type": "tokens", "input_tokens": audio, "input_token_details": details, "output_tokens": said}
            usage["total_tokens"] = audio + said
        done = {"type": "conversation.item.input_audio_transcription.completed", "item_id": item["id"]}
        yield {**done, "content_index": 0, "transcript": spoken, "usage": usage}

    def _respond(self, asked: dict[str, Any]) -> Iterator[dict]:
        speaks = "audio" in (asked.get("output_modalities") or self._session["output_modalities"])
        spoken = words([self._context, asked])
        response = {"object": "realtime.response", "id": self._shelf.new_id("resp_"), "status": "in_progress"}
        yield {"type": "response.created", "response": {**response, "output": [], "usage": None}}
        item = {"id": self._shelf.new_id("item_"), "object": "realtime.item", "type": "message", "role": "assistant"}
        place = {"response_id": response["id"], "output_index": 0}
        at = {**place, "item_id": item["id"], "content_index": 0}
        yield {"type": "response.output_item.added", **place, "item": {**item, "status": "in_progress", "content": []}}
        name = "response.output_audio_transcript" if speaks else "response.output_text"
        for word in spoken:
            yield {"type": f"{name}.delta", **at, "delta": word}
        if speaks:
            yield {"type": "response.output_audio.delta", **at, "delta": base64.b64encode(wav(0.1)).decode()}
            yield {"type": "response.output_audio.done", **at}
        text = "".join(spoken)
        part = {"type": "output_audio", "transcript": text} if speaks else {"type": "output_text", "text": text}
        yield {"type": f"{name}.done", **at, ("transcript" if speaks else "text"): text}
        done = {**item, "status": "completed", "content": [part]}
        yield {"type": "response.output_item.done", **place, "item": done}
        usage = self._usage(len(spoken), AUDIO_TOKENS_PER_S_OUT * ceil(len(spoken) / 3) if speaks else 0)
        response |= {"status": "completed", "status_details": None, "output": [done], "usage": usage}
        yield {"type": "response.done", "response": response}

    def _usage(self, said: int, audio_out: int) -> dict[str, Any]:
        read, cached = dict(self._context), dict(self._cached)
        self._cached = read
        self._context = {"text": read["text"] + said, "audio": read["audio"] + audio_out}
        cached_details = {"text_tokens": cached["text"], "audio_tokens": cached["audio"], "image_tokens": 0}
        return {
            "total_tokens": sum(read.values()) + said + audio_out,
            "input_tokens": sum(read.values()),
            "output_tokens": said + audio_out,
            "input_token_details": {
                "text_tokens": read["text"],
                "audio_tokens": read["audio"],
                "image_tokens": 0,
                "cached_tokens": sum(cached.values()),
                "cached_tokens_details": cached_details,
            },
            "output_token_details": {"text_tokens": said, "audio_tokens": audio_out},
        }


class ResponsesSession:
    """Responses over a websocket: each `response.create` is answered with the events of a streamed response."""

    def __init__(self, request: Request, shelf: Shelf) -> None:
        self._shelf = shelf

    def begin(self) -> Iterator[dict]:
        return iter(())

    def answer(self, message: dict[str, Any]) -> Iterator[dict]:
        given = {k: v for k, v in message.items() if k != "type"}
        inner = Request(method="POST", target="/v1/responses", headers={}, json={**given, "stream": True})
        for piece in openai_responses.create(inner, self._shelf).pieces or ():
            yield json.loads(piece.split(b"data: ", 1)[1])


def _merge(into: dict[str, Any], update: dict[str, Any]) -> None:
    for key, value in update.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def converse(connection: socket.socket, head: bytes, request: Request, shelf: Shelf) -> list[dict]:
    """Hold one websocket session until the client leaves. Returns the usages that the server reported.

    `head` is the HTTP request that asks for the upgrade, as it came.
    """
    protocol = ServerProtocol(max_size=MAX_MESSAGE_BYTES)
    session = (ResponsesSession if request.path.endswith("/responses") else Session)(request, shelf)
    reported: list[dict] = []
    unfinished = b""
    connection.settimeout(IDLE_S)

    def say(messages: Iterator[dict]) -> None:
        for message in messages:
            protocol.send_text(json.dumps({"event_id": f"event_{seed(message):08x}", **message}).encode())
            if usage := message.get("usage") or (message.get("response") or {}).get("usage"):
                reported.append(usage)

    def flush() -> None:
        for data in protocol.data_to_send():
            if data:
                connection.sendall(data)

    protocol.receive_data(head)
    protocol.send_response(protocol.accept(protocol.events_received()[0]))
    say(session.begin())
    flush()
    while protocol.state is State.OPEN and (data := connection.recv(65536)):
        protocol.receive_data(data)
        for frame in protocol.events_received():
            if frame.opcode in (OP_TEXT, OP_BINARY, OP_CONT):
                unfinished += frame.data
                if frame.fin:
                    say(session.answer(json.loads(unfinished)))
                    unfinished = b""
            elif frame.opcode in (OP_CLOSE, OP_PING):
                continue  # the protocol answers these itself
        flush()
    return reported
