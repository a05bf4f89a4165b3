"""Which provider a span speaks of, by the names of the price book."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from tracking.otlp import conventions as names
from tracking.otlp.spans import Span

#: The price book's provider by what instrumentations say.
_NAMES = {
    **dict.fromkeys(
        ("azure.ai.openai", "azure.ai.inference", "az.ai.openai", "az.ai.inference", "azure_openai"), "azure"
    ),
    **dict.fromkeys(("azure_ai", "azure_text"), "azure"),
    **dict.fromkeys(("aws.bedrock", "aws_bedrock", "bedrock", "amazon_bedrock", "amazon-bedrock"), "aws"),
    **dict.fromkeys(("bedrock_converse", "sagemaker"), "aws"),
    **dict.fromkeys(("gcp.gemini", "gcp.vertex_ai", "gcp.gen_ai", "vertex_ai", "vertexai", "gemini"), "google"),
    **dict.fromkeys(("google-gla", "google-vertex", "google_genai", "google-genai", "google-cloud"), "google"),
    **dict.fromkeys(("vertex_ai_beta",), "google"),
    **dict.fromkeys(("fireworks_ai",), "fireworks"),
    **dict.fromkeys(("mistral_ai", "mistralai"), "mistral"),
    **dict.fromkeys(("xai", "x_ai", "grok"), "x-ai"),
    **dict.fromkeys(("together_ai", "togetherai", "together-ai"), "together"),
    **dict.fromkeys(("moonshot_ai", "moonshot"), "moonshotai"),
    **dict.fromkeys(("cohere_chat",), "cohere"),
    **dict.fromkeys(("openai.chat", "openai.responses", "openai-chat", "openai-responses"), "openai"),
    **dict.fromkeys(("text-completion-openai",), "openai"),
    **dict.fromkeys(("anthropic.messages",), "anthropic"),
}
#: Other providers are called with OpenAI's SDK too, and its instrumentations say "openai" of them all.
_HOSTS = (
    (".openai.azure.com", "azure"), (".services.ai.azure.com", "azure"), (".cognitiveservices.azure.com", "azure"),
    ("openrouter.ai", "openrouter"), ("api.groq.com", "groq"), ("api.deepseek.com", "deepseek"),
    ("api.mistral.ai", "mistral"), ("api.x.ai", "x-ai"), ("api.together.xyz", "together"),
    ("api.together.ai", "together"), ("api.fireworks.ai", "fireworks"), ("api.perplexity.ai", "perplexity"),
    ("api.cerebras.ai", "cerebras"), ("api.moonshot.ai", "moonshotai"), ("api.anthropic.com", "anthropic"),
    (".googleapis.com", "google"), (".amazonaws.com", "aws"),
)  # fmt: skip
#: Asked in this order for a model whose provider nobody told (Langfuse does not).
_BY_MODEL = ("anthropic", "openai", "google", "mistral", "cohere", "deepseek", "x-ai", "voyageai", "perplexity")
_OTHER = re.compile(r"[^a-z0-9_.\-]+")


def provider_of(span: Span, model: str, resolves: Callable[[str, str], bool]) -> tuple[str, str]:
    """(provider, model without the provider's name before it). `resolves`: whether the price book has the model."""
    return named(span.text(*names.PROVIDER), model, resolves, host=span.text(*names.HOST))


def named(told: str, model: str, resolves: Callable[[str, str], bool], *, host: str = "") -> tuple[str, str]:
    """(provider, model) by the price book's names, for a provider as others call it ("" where nobody says)."""
    told = _OTHER.sub("_", told.lower().strip())[:40].strip("_")
    provider = _NAMES.get(told, told)
    if provider in ("", "openai"):
        provider = _by_host(host) or provider
    prefix, _, bare = model.partition("/")
    if bare and not provider:
        named = _NAMES.get(prefix.lower(), prefix.lower())
        if resolves(named, bare):
            return named, bare
    if not provider:
        provider = next((one for one in _BY_MODEL if model and resolves(one, model)), "unknown")
    elif bare and prefix.lower() in (told, provider) and not resolves(provider, model):
        return provider, bare
    return provider, model


def _by_host(told: str) -> str:
    """The provider at a host or base URL that is not OpenAI's own; "" for hosts that nobody knows."""
    if not told:
        return ""
    try:
        host = (urlsplit(told if "//" in told else f"//{told}").hostname or "").lower()
    except ValueError:
        return ""
    for known, provider in _HOSTS:
        if host == known or (known[0] == "." and host.endswith(known)):
            return provider
    return ""
