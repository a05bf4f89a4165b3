"""Real parts from end to end: the real SDKs, a provider on this machine, the spool, the recorder, the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.flows.ledger import Ledger


@pytest.fixture
def ledger(transactional_db) -> Iterator[Ledger]:
    """The ledger with its price book; at the end of every story its sums must agree."""
    found = Ledger()
    yield found
    found.settle()
    found.audit()


@pytest.fixture
def sdk(provider) -> Callable[..., Any]:
    """Make a metered client of the local provider: `sdk("openai", user=...)`; closed at the end."""
    from costwatch import clients

    makers = {
        "openai": clients.openai_client,
        "async_openai": clients.async_openai_client,
        "anthropic": clients.anthropic_client,
        "async_anthropic": clients.async_anthropic_client,
        "first_document": clients.create_cost_tracked_client,
    }
    with ExitStack() as stack:

        def make(kind: str, *args: Any, **kwargs: Any) -> Any:
            base_url = provider.anthropic_base_url if "anthropic" in kind else provider.openai_base_url
            client = makers[kind](*args, **{"base_url": base_url, "api_key": "local", **kwargs})
            if hasattr(client, "__exit__"):
                stack.callback(client.close)
            return client

        yield make
