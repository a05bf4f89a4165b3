"""The HTTP API where it joins the apps: both documents' endpoints, errors, the schema."""
