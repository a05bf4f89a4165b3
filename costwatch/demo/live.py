"""Calls that really happen: the real SDKs, metered, talk to the local provider. Each scene is a few lines to copy.

The last two scenes are the examples of the documents that Costwatch started from.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anthropic
import openai

from costwatch.clients import (
    anthropic_client,
    async_openai_client,
    create_cost_tracked_client,
    openai_client,
)
from costwatch.demo.provider import LocalProvider
from costwatch.demo.quantities import wav
from tracking.ai_cost_tracker import AICostTracker, track_ai_cost
from tracking.context import track

HOUSE_RULES = "Answer as the house band would: short, warm, exact. " * 120
QUESTION = [{"role": "user", "content": "What did we spend on pitches this week?"}]
UNKNOWN_MODEL = "lyrics-13b-house-blend"
ANALYSIS = "demo-session"


@dataclass(frozen=True, slots=True)
class Stage:
    """The provider, the user whose calls these are, and the clients that the scenes share."""

    provider: LocalProvider
    user: Any
    openai: openai.OpenAI
    claude: anthropic.Anthropic


def chat(stage: Stage) -> None:
    """a chat with OpenAI"""
    stage.openai.chat.completions.create(model="gpt-4o", messages=QUESTION)


def stream(stage: Stage) -> None:
    """a streamed chat: usage is asked for and stripped"""
    for _chunk in stage.openai.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, stream=True):
        pass


def async_stream(stage: Stage) -> None:
    """the same, async, by the Responses API"""

    async def ask() -> None:
        async with async_openai_client(
            user=stage.user, feature="support_chat", base_url=stage.provider.openai_base_url, api_key="local"
        ) as client:
            async for _event in await client.responses.create(model="gpt-5-mini", input="Hello", stream=True):
                pass

    asyncio.run(ask())


def transcription(stage: Stage) -> None:
    """a sound file made here, transcribed: 95 seconds"""
    with track(feature="transcription"):
        stage.openai.audio.transcriptions.create(
            model="whisper-1", file=("take-1.wav", wav(95)), response_format="text"
        )


def speech(stage: Stage) -> None:
    """a text spoken: billed by its characters"""
    with track(feature="voice_sample"):
        stage.openai.audio.speech.create(
            model="tts-1-hd", voice="alloy", input="Five thousand and no more. " * 20
        ).read()


def embeddings(stage: Stage) -> None:
    """two texts embedded"""
    stage.openai.embeddings.create(model="text-embedding-3-small", input=["verse", "chorus"])


def claude_with_caching(stage: Stage) -> None:
    """Claude twice with the same long prompt: written to the cache, then read from it"""
    system = [{"type": "text", "text": HOUSE_RULES, "cache_control": {"type": "ephemeral"}}]
    with track(feature="lyric_critique"):
        for _turn in range(2):
            stage.claude.messages.create(model="claude-sonnet-4-6", max_tokens=400, system=system, messages=QUESTION)


def claude_stream(stage: Stage) -> None:
    """a streamed answer of Claude"""
    with stage.claude.messages.stream(model="claude-haiku-4-5", max_tokens=300, messages=QUESTION) as answer:
        answer.get_final_message()


def realtime(stage: Stage) -> None:
    """a realtime session: what was heard and what was answered"""
    heard = {"type": "realtime", "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}}
    two_seconds = base64.b64encode(bytes(96_000)).decode()
    with track(feature="voice_coaching"), stage.openai.realtime.connect(model="gpt-realtime") as session:
        session.session.update(session=heard)
        session.input_audio_buffer.append(audio=two_seconds)
        session.input_audio_buffer.commit()
        session.response.create()
        while session.recv().type != "response.done":
            pass


def an_error(stage: Stage) -> None:
    """a call that fails, after a retry that fails too"""
    try:
        stage.openai.with_options(max_retries=1).chat.completions.create(model="demo-error-500", messages=QUESTION)
    except openai.InternalServerError:
        return


def an_unknown_model(stage: Stage) -> None:
    """a model without a price: recorded, and shown as unpriced"""
    stage.openai.chat.completions.create(model=UNKNOWN_MODEL, messages=QUESTION)


def first_document(stage: Stage) -> None:
    """the first document's client: a chat, a transcription, a speech"""
    client = create_cost_tracked_client(stage.user, base_url=stage.provider.openai_base_url, api_key="local")
    client.create_chat_completion([{"role": "user", "content": "Hello"}])
    client.transcribe_audio(("rehearsal.wav", wav(30)))
    client.create_speech("The take is good.")


def second_document(stage: Stage) -> None:
    """the second document's tracker: a cost calculated and recorded by hand"""
    cost_info = AICostTracker.calculate_anthropic_cost(
        input_tokens=1_200, output_tokens=640, model="claude-3-5-sonnet-20241022"
    )
    track_ai_cost(
        analysis_id=ANALYSIS,
        feature="pitch_generation",
        cost=cost_info["cost"],
        model=cost_info["model"],
        tokens=cost_info["tokens"],
        user=stage.user,
    )


SCENES: list[Callable[[Stage], None]] = [
    chat,
    stream,
    async_stream,
    transcription,
    speech,
    embeddings,
    claude_with_caching,
    claude_stream,
    realtime,
    an_error,
    an_unknown_model,
    first_document,
    second_document,
]


def play(provider: LocalProvider, *, user: Any) -> list[str]:
    """Play every scene for `user` (primary key or email). Returns what was done, in words, one line a scene."""
    with (
        openai_client(user=user, base_url=provider.openai_base_url, api_key="local") as openai_sdk,
        anthropic_client(user=user, base_url=provider.anthropic_base_url, api_key="local") as claude,
        track(feature="demo", analysis=ANALYSIS),
    ):
        stage = Stage(provider=provider, user=user, openai=openai_sdk, claude=claude)
        for scene in SCENES:
            scene(stage)
    return [scene.__doc__ or "" for scene in SCENES]
