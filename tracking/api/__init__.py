"""The HTTP API of the ledger: parse, one domain call, format."""
