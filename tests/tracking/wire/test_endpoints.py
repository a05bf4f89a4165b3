"""Which requests leave an event, wherever the provider is reached."""

import pytest

from tracking.wire import endpoints
from tracking.wire.endpoints import cloud_model


def find(path, method="POST", kind="openai"):
    return endpoints.find(kind=kind, method=method, path=path)


@pytest.mark.parametrize(
    "prefix",
    [
        "/v1",
        "",
        "/openai/v1",
        "/api/proxy/v1",
        "/openai/deployments/my-gpt",
        "/v1/accounts/9f8e7d6c/gateways/main/openai",
        "/responses-proxy/v1",
    ],
)
@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("chat/completions", "chat"),
        ("completions", "text_completion"),
        ("embeddings", "embeddings"),
        ("responses", "chat"),
        ("audio/transcriptions", "transcription"),
        ("images/generations", "image_generation"),
        ("moderations", "moderation"),
        ("threads/thread_1a2b/runs", "chat"),
    ],
)
def test_a_prefix_does_not_matter(prefix, path, operation):
    found = find(f"{prefix}/{path}")
    assert found.operation == operation
    assert found.name == "/v1/" + path.replace("thread_1a2b", "{id}")


MANAGEMENT = """
    files uploads vector_stores vector_stores/vs_1/search assistants threads threads/thread_1/messages conversations
    containers skills evals evals/eval_1 audio/voices realtime/sessions realtime/calls realtime/client_secrets
    chat/completions/chatcmpl-1 fine_tuning/jobs/ftjob-1/cancel organization/projects/p/service_accounts
"""


@pytest.mark.parametrize("path", MANAGEMENT.split())
def test_managing_is_not_billed(path):
    assert find(f"/v1/{path}") is None


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH"])
def test_only_posts_cost(method):
    assert find("/v1/chat/completions", method) is None
    assert find("/v1/unheard/of", method) is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/holograms", "/v1/holograms"),
        ("/v1/holograms/holo_0a1b2c3d/render", "/v1/holograms/{id}/render"),
        ("/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs"),
        ("/v1/evals/eval_123456789/runs", "/v1/evals/{id}/runs"),
        ("/x/" + "a" * 40, "/v1/x/{id}"),
    ],
)
def test_what_nobody_told_us_about_leaves_an_event_without_ids(path, name):
    found = find(path)
    assert (found.name, found.operation) == (name, "other")


@pytest.mark.parametrize(
    ("path", "name", "model"),
    [
        ("/v1/messages", "/v1/messages", ""),
        ("/v1/messages/count_tokens", "/v1/messages/count_tokens", ""),
        (
            "/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-sonnet-4@1:streamRawPredict",
            "/v1/messages",
            "claude-sonnet-4@1",
        ),
        ("/model/anthropic.claude-sonnet-4-v1:0/invoke", "/v1/messages", "anthropic.claude-sonnet-4-v1:0"),
        ("/model/us.claude/invoke-with-response-stream", "/v1/messages", "us.claude"),
    ],
)
def test_anthropic_wherever_it_runs(path, name, model):
    assert find(path, kind="anthropic").name == name
    assert cloud_model(path) == model


def test_results_that_may_be_billed_when_they_are_read():
    assert find("/v1/responses/resp_1", "GET").action == endpoints.GET_RESPONSE
    assert find("/v1/files/file-1/content", "GET").ids == ("file-1",)
    assert find("/v1/messages/batches/msgbatch_1/results", "GET", "anthropic").ids == ("msgbatch_1",)
    assert find("/v1/models", "GET") is None
