"""Recorded Realtime sessions: a local websocket server says again what the provider said."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.server import serve

from costwatch.clients import openai_client
from tests.replay import recorded
from tests.replay.run import caught_events
from tracking.context import track
from tracking.events import CallEvent

SAYS_USAGE = ("response.done", "conversation.item.input_audio_transcription.completed")


def usages(session: dict[str, Any]) -> list[dict[str, Any]]:
    """The usages in the raw events, in their order."""
    said = [event["data"] for event in session["events"] if event["direction"] == "received"]
    found = [(e.get("response") or e).get("usage") for e in said if e["type"] in SAYS_USAGE]
    return [usage for usage in found if usage]


@contextmanager
def served(session: dict[str, Any]) -> Iterator[str]:
    """A server that says the session's events to whoever comes. Yields its address."""

    def say(connection) -> None:
        for event in session["events"]:
            if event["direction"] == "received":
                connection.send(json.dumps(event["data"]))

    with serve(say, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/v1"
        server.shutdown()
        thread.join(5)


def replay_sessions() -> list[tuple[dict[str, Any], list[str], list[CallEvent]]]:
    """Each session, the types of the events that the caller saw, and the events that metering left."""
    played = []
    with caught_events() as caught:
        for session in recorded.sessions():
            with (
                served(session) as address,
                openai_client(api_key="local", websocket_base_url=address) as client,
                track(session=session["id"]),
            ):
                seen = _listen(client, session)
            mine = [e for events in caught.values() for e in events if e.tags.get("session") == session["id"]]
            for number, event in enumerate(mine):
                event.tags["exchange"] = f"{session['id']} {number}"
            played.append((session, seen, mine))
    return played


def _listen(client: Any, session: dict[str, Any]) -> list[str]:
    with client.realtime.connect(model=session["model"] or "gpt-realtime") as connection:
        return [event.type for event in connection]
