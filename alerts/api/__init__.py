"""`/api/v1/alerts` and `/api/v1/channels`: parse, one domain call, format."""
