"""Recorded traffic of the real providers, sent once more through the metered clients."""
