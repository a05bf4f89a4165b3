"""What every sender asks the providers: plain answers, a prompt that comes from the cache, streams, a failure.

The texts start with "canary", so that a test can look for them where nothing of them may be.
"""

import os
from contextlib import suppress

from anthropic import Anthropic
from openai import APIStatusError, OpenAI

OPENAI_URL, ANTHROPIC_URL = os.environ.get("OPENAI_URL", ""), os.environ.get("ANTHROPIC_URL", "")
LONG = "canary-instructions " + "These are the rules of the house. " * 200
QUESTION = "canary-question: who spent what?"
MESSAGES = [{"role": "system", "content": LONG}, {"role": "user", "content": QUESTION}]


def openai_client() -> OpenAI:
    """The SDK's own client, pointed at the provider of this run."""
    return OpenAI(base_url=OPENAI_URL, api_key="canary-secret", max_retries=0)


def anthropic_client() -> Anthropic:
    """The SDK's own client, pointed at the provider of this run."""
    return Anthropic(base_url=ANTHROPIC_URL, api_key="canary-secret", max_retries=0)


def chats(client: OpenAI) -> None:
    """The same prompt twice (the second comes from the cache), a stream, a reasoning model, and a failure."""
    for _ in range(2):
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    for _ in client.chat.completions.create(
        model="gpt-4o-mini", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    ):
        pass
    client.chat.completions.create(model="o4-mini", messages=[{"role": "user", "content": QUESTION}])
    with suppress(APIStatusError):
        client.chat.completions.create(model="demo-error-429", messages=[{"role": "user", "content": QUESTION}])


def responses(client: OpenAI) -> None:
    """The responses API."""
    client.responses.create(model="gpt-4.1-mini", input=QUESTION, instructions="canary-instructions")


def embeddings(client: OpenAI) -> None:
    """Two texts."""
    client.embeddings.create(model="text-embedding-3-small", input=[QUESTION, "canary-other"])


def messages(client: Anthropic) -> None:
    """A prompt that is written to the cache, read from it, and a stream of the same."""
    system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    asked = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 200,
        "system": system,
        "messages": [{"role": "user", "content": QUESTION}],
    }
    for _ in range(2):
        client.messages.create(**asked)
    for _ in client.messages.create(**asked, stream=True):
        pass
