"""Replay everything that was recorded: what the caller saw, bare and metered, and the events that the metering left."""

from __future__ import annotations

import asyncio
import warnings
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import anthropic
import openai

from costwatch import clients
from tests.replay import drive, recorded
from tests.replay.recorded import Exchange
from tracking.context import track
from tracking.events import CallEvent

BARE = {
    ("openai", False): openai.OpenAI,
    ("openai", True): openai.AsyncOpenAI,
    ("anthropic", False): anthropic.Anthropic,
    ("anthropic", True): anthropic.AsyncAnthropic,
}
METERED = {
    ("openai", False): clients.openai_client,
    ("openai", True): clients.async_openai_client,
    ("anthropic", False): clients.anthropic_client,
    ("anthropic", True): clients.async_anthropic_client,
}
CONCURRENT_STREAMS = 8


@dataclass(slots=True)
class Replayed:
    """One exchange sent by a metered client, and perhaps by the bare SDK too."""

    exchange: Exchange
    way: str  # sdk | post, and "async" where it was
    metered: Any  # what the caller saw
    bare: Any = None
    events: list[CallEvent] = field(default_factory=list)


@contextmanager
def caught_events():
    """Events by the tag `exchange`, taken where they enter the spool."""
    caught: dict[str, list[CallEvent]] = defaultdict(list)
    with patch("tracking.spool.emit", lambda event: caught[event.tags.get("exchange", "")].append(event)):
        yield caught


class Clients:
    """One bare and one metered client for each address and SDK, made when first used."""

    def __init__(self) -> None:
        self._made: dict[tuple, Any] = {}

    def get(self, makers: dict, exchange: Exchange, *, is_async: bool = False) -> Any:
        key = (id(makers), exchange.raw["provider"], drive.address(exchange), is_async)
        if key not in self._made:
            maker = makers[exchange.raw["provider"], is_async]
            self._made[key] = maker(base_url=drive.address(exchange), api_key="local", max_retries=0)
        return self._made[key]

    def close(self) -> None:
        for key, client in self._made.items():
            if not key[-1]:
                client.close()

    async def aclose(self) -> None:
        for key, client in self._made.items():
            if key[-1]:
                await client.close()


def replay_all(*, bare: bool = False) -> list[Replayed]:
    """Every exchange with sync clients, and every stream with async ones too; `bare`: also without metering."""
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        caught = stack.enter_context(caught_events())
        exchanges = stack.enter_context(recorded.served())
        shared = Clients()
        stack.callback(shared.close)
        done = [_sync(shared, exchange, bare=bare) for exchange in exchanges]
        done += asyncio.run(_streams([exchange for exchange in exchanges if exchange.is_stream], bare=bare))
    for one in done:
        one.events = caught[f"{one.exchange.id} {one.way}"]
    return done


def _sync(shared: Clients, exchange: Exchange, *, bare: bool) -> Replayed:
    client = shared.get(METERED, exchange)
    way = "sdk" if drive.method(client, exchange) else "post"
    with track(exchange=f"{exchange.id} {way}"):
        one = Replayed(exchange, way, drive.outcome(client, exchange))
    if bare:
        one.bare = drive.outcome(shared.get(BARE, exchange), exchange)
    return one


async def _streams(exchanges: list[Exchange], *, bare: bool) -> list[Replayed]:
    shared, room = Clients(), asyncio.Semaphore(CONCURRENT_STREAMS)

    async def one(exchange: Exchange) -> Replayed:
        async with room:
            async with track(exchange=f"{exchange.id} async sdk"):
                client = shared.get(METERED, exchange, is_async=True)
                done = Replayed(exchange, "async sdk", await drive.async_outcome(client, exchange))
            if bare:
                done.bare = await drive.async_outcome(shared.get(BARE, exchange, is_async=True), exchange)
            return done

    try:
        return await asyncio.gather(*map(one, exchanges))
    finally:
        await shared.aclose()
