"""OpenTelemetry in: spans of calls to models become calls in the ledger.

`spans` what is kept of a span · `protobuf`, `otlp_json` the two encodings · `conventions` which attribute says what ·
`tokens` its usage · `calls` whether it is a call that is billed, and which · `once` the same call told by several spans
· `intake` the whole walk, which ends where every source does, in `tracking.ingestion` · `views` the addresses.

Names, ids and numbers are read. Prompts, answers, tools, events, links and status messages are never looked at.
"""
