"""Meter the websocket sessions (realtime, live, responses) of metered clients."""


def watch() -> None:
    """Be there when a metered client opens a websocket."""
