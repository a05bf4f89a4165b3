"""What Schemathesis is told of the API: how lines of JSON are written."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    """Each entry of a list on a line of its own."""
    return "\n".join(json.dumps(one) for one in (value if isinstance(value, list) else [value])).encode()
