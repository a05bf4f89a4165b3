"""The front door: the providers' own SDK clients, metered.

    from costwatch.clients import openai_client, track

    client = openai_client(feature="summary")
    with track(analysis="A-17", user="alice@example.com"):
        client.chat.completions.create(...)

What is returned is the SDK's own client: every method works as documented there. Metering adds nothing to what the
caller sees, and never makes a call fail. Events go to the spool (`SPOOL_DIR`); the recorder's thread sets Django up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from tracking.context import attribution, track

if TYPE_CHECKING:
    from anthropic import Anthropic, AsyncAnthropic
    from openai import AsyncOpenAI, OpenAI

__all__ = [
    "CostTrackedClient",
    "anthropic_client",
    "async_anthropic_client",
    "async_openai_client",
    "budget_refusal",
    "create_cost_tracked_client",
    "openai_client",
    "track",
    "wrap",
]

C = TypeVar("C")
Tags = Mapping[str, Any] | None


def openai_client(
    user: Any = None, feature: str | None = None, analysis: Any = None, tags: Tags = None, **sdk_kwargs: Any
) -> OpenAI:
    """An `openai.OpenAI(**sdk_kwargs)` whose calls are metered.

    `user` (primary key, email address or user object), `feature`, `analysis` and `tags` attribute its calls; what is
    not given here comes from `track` and from the web request (tags of both are merged). Raises what the SDK raises.
    """
    import openai

    return _made(openai.OpenAI, user, feature, analysis, tags, sdk_kwargs)


def async_openai_client(
    user: Any = None, feature: str | None = None, analysis: Any = None, tags: Tags = None, **sdk_kwargs: Any
) -> AsyncOpenAI:
    """An `openai.AsyncOpenAI(**sdk_kwargs)` whose calls are metered; arguments as for `openai_client`."""
    import openai

    return _made(openai.AsyncOpenAI, user, feature, analysis, tags, sdk_kwargs)


def anthropic_client(
    user: Any = None, feature: str | None = None, analysis: Any = None, tags: Tags = None, **sdk_kwargs: Any
) -> Anthropic:
    """An `anthropic.Anthropic(**sdk_kwargs)` whose calls are metered; arguments as for `openai_client`."""
    import anthropic

    return _made(anthropic.Anthropic, user, feature, analysis, tags, sdk_kwargs)


def async_anthropic_client(
    user: Any = None, feature: str | None = None, analysis: Any = None, tags: Tags = None, **sdk_kwargs: Any
) -> AsyncAnthropic:
    """An `anthropic.AsyncAnthropic(**sdk_kwargs)` whose calls are metered; arguments as for `openai_client`."""
    import anthropic

    return _made(anthropic.AsyncAnthropic, user, feature, analysis, tags, sdk_kwargs)


def wrap(client: C, user: Any = None, feature: str | None = None, analysis: Any = None, tags: Tags = None) -> C:
    """Meter a client that the application already has (any class of either SDK, Azure's too), and return it.

    Wrapping twice meters once; attribution given the second time replaces the first. An HTTP client that the
    application shares with others is metered for this client only. The module `openai` itself may be wrapped too: its
    module-level client is. Raises `TypeError` for what is not a client of the OpenAI or Anthropic SDK.
    """
    from tracking.instrument import instrument

    who = attribution(user=user, feature=feature, analysis=analysis, tags=tags)
    if getattr(client, "__name__", "") == "openai" and hasattr(client, "_load_client"):
        instrument(client._load_client(), attribution=who)
        return client
    return instrument(client, attribution=who)


def budget_refusal(error: BaseException) -> dict[str, Any] | None:
    """What stands in the way of a call that was refused before it was sent, from the SDK's status error; else None.

    `code` (budget_exceeded, unpriced_model, no_upper_bound, budget_unavailable), `message`, `limit`, and as decimal
    strings in USD `spent`, `held`, `remaining`; `resets_at` is ISO 8601.
    """
    from tracking.wire.refusals import refusal_in

    return refusal_in(error)


class CostTrackedClient:
    """OpenAI calls of one user, in three methods. `openai` is the SDK client behind it, for everything else."""

    def __init__(self, openai: OpenAI) -> None:
        self.openai = openai

    def create_chat_completion(
        self, messages: Sequence[Mapping[str, Any]], model: str = "gpt-4o", **kwargs: Any
    ) -> Any:
        """Answer `messages`: `chat.completions.create` of the SDK, its result and its errors."""
        return self.openai.chat.completions.create(messages=list(messages), model=model, **kwargs)  # type: ignore[arg-type]

    def transcribe_audio(self, file: Any, model: str = "whisper-1", **kwargs: Any) -> Any:
        """The text of a sound: an open file, a path, bytes, or an upload of Django. Raises what the SDK raises."""
        return self.openai.audio.transcriptions.create(file=_upload(file), model=model, **kwargs)

    def create_speech(self, text: str, model: str = "tts-1-hd", voice: str = "alloy", **kwargs: Any) -> Any:
        """`text` spoken: the SDK's binary response (`.content`, `.write_to_file`). Raises what the SDK raises."""
        return self.openai.audio.speech.create(input=text, model=model, voice=voice, **kwargs)


def create_cost_tracked_client(
    user: Any, feature: str | None = None, analysis: Any = None, tags: Tags = None, **sdk_kwargs: Any
) -> CostTrackedClient:
    """A `CostTrackedClient` for this user: every call is recorded and priced by itself."""
    return CostTrackedClient(openai_client(user, feature, analysis, tags, **sdk_kwargs))


def _made(cls: type, user: Any, feature: Any, analysis: Any, tags: Tags, sdk_kwargs: dict[str, Any]) -> Any:
    from tracking.instrument import instrument

    client = cls(**sdk_kwargs)
    return instrument(
        client,
        attribution=attribution(user=user, feature=feature, analysis=analysis, tags=tags),
        owned=sdk_kwargs.get("http_client") is None,
    )


def _upload(file: Any) -> Any:
    """What the SDK takes as a file: it needs a name to tell the format."""
    import pathlib

    if isinstance(file, str):
        return pathlib.Path(file)
    if isinstance(file, (bytes, bytearray)):
        return ("audio.wav" if file[:4] == b"RIFF" else "audio.mp3", bytes(file))
    if hasattr(file, "chunks") and hasattr(file, "read"):  # Django's UploadedFile is no io.IOBase
        return (getattr(file, "name", None) or "audio.mp3", file.read())
    return file
