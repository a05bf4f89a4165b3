"""Clients are tested here by what they see and hand over: without a database, and so without a gate."""

import pytest


@pytest.fixture(autouse=True)
def no_gate(settings):
    settings.GATE = ""
