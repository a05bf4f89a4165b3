"""A workspace with calls in its ledger, made through the recorder."""

import pytest

from tests.workspace import Workspace


@pytest.fixture
def workspace(db) -> Workspace:
    return Workspace()
