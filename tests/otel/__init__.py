"""Real instrumentation libraries, in an environment of their own, sending to the real endpoint."""
