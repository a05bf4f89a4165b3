"""The reference of the API as Markdown, made from its schema.

.venv/bin/python -m costwatch.api.reference > docs/reference/api.md
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

INTRODUCTION = """# The HTTP API

Made from the schema (`.venv/bin/python -m costwatch.api.reference > docs/reference/api.md`); the same stands at
`/api/schema/` (OpenAPI 3) and `/api/docs/`. [The guide](../guides/api.md) shows it at work.

- **Families.** `/api/cost-monitoring/` writes names in camelCase, `/api/v1/monitoring/` in snake_case, both with money as
  JSON numbers; the rest of `/api/v1/` writes money as decimal strings, exact to a billionth of a dollar. All in USD.
- **Who asks.** `Authorization: Bearer <token>`, with a login token or an API key, or a browser session (with its CSRF
  token for changes). Without one: 401. A key needs the scope that stands with each operation: 403 without it.
- **Whose rows.** One's own. What is somebody else's is not there: 404. Staff with the permission to view usage logs ask
  for `user=<id>` or `user=all`.
- **Lists** have a `limit` (100 unless given, at most 1000) and a `next`, which goes into `cursor`; `next` is null at the
  end.
- **Times** are ISO 8601 with offset. A day without a time is its beginning. Days, weeks (from Monday) and months are those
  of the site's `TIME_ZONE`; `[since, until)`: `until` is not part of a period.
- **Errors** are problem+json (RFC 9457): `title`, `status`, `detail`, and `errors` by the name of the field. Parameters and
  values that are not known are refused by name, with the valid ones. A call refused by a budget is answered 402 instead,
  and 503 where the budget cannot be checked.
- **Bounds.** Bodies: 64 KiB unless said otherwise. Requests: `API_REQUESTS_PER_MINUTE` of a key or account, and as
  many refused ones (401, 403) of an address; 429 with `Retry-After` beyond.

## What reports are made from

Sums are kept for these dimensions; a report by one or two of them, filtered by any of the same row, reads those sums only
and costs the same whatever the ledger holds:

| sums | dimensions | times |
|---|---|---|
| `daily_model` | provider, model, service | day, week, month |
| `daily_feature` | feature, model | day, week, month |
| `daily_user` | user | day, week, month |
| `daily_key` | user, api_key | day, week, month |
| `hourly_model` | provider, model, service | hour, day, week, month; also in other time zones whose offset is whole hours |
| `daily_user_feature` | user, feature | day, week, month |
| `daily_user_model` | user, provider, model, service | day, week, month |

Whoever sees his own calls only is filtered by user. Everything else (tags, statuses, analyses, hours of one user, parts of
a day) is read from the ledger, for at most `REPORT_MAX_ROWS` calls and `REPORT_MAX_SECONDS`; `source` and `rows_read` say so,
and what would take more is refused with a 400 that says what to ask for instead. The sums of one analysis over all its calls stand at `/api/v1/analyses/<id>`.

"""  # noqa: E501 - its lines are those of the page


def reference() -> str:
    """The page."""
    from drf_spectacular.generators import SchemaGenerator

    schema = SchemaGenerator().get_schema(request=None, public=True)
    parts = [INTRODUCTION, "## Operations\n"]
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            parts.append("\n".join(_operation(path, method, operation)))
    parts.append("## Shapes\n")
    for name, component in sorted(schema["components"]["schemas"].items()):
        if component.get("properties"):
            parts.append("\n".join(_shape(name, component)))
    return "\n".join(parts).rstrip() + "\n"


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`\n"
    yield f"{operation['summary']}. {' '.join(operation.get('description', '').split())}\n"
    parameters = [one for one in operation.get("parameters", []) if one["in"] == "query"]
    if parameters:
        yield "| parameter | meaning |\n|---|---|"
        for one in parameters:
            default = one["schema"].get("default")
            given = f" (default `{default}`)" if default not in (None, "") else ""
            yield f"| `{one['name']}` | {_cell(one.get('description', ''))}{given} |"
        yield ""
    content = operation.get("requestBody", {}).get("content", {})
    sent = " or ".join(dict.fromkeys(_type(one["schema"]) for one in content.values()))
    if sent:
        yield f"Takes {sent}."
    for status, answer in operation["responses"].items():
        if int(status) < 300:
            kinds = [_type(one["schema"]) for one in answer.get("content", {}).values() if "schema" in one]
            yield f"Answers {status}{': ' + kinds[0] if kinds else ''}."
    yield ""


def _shape(name: str, component: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    yield f"{' '.join(component.get('description', '').split())}\n"
    yield "| field | type | meaning |\n|---|---|---|"
    for field, value in component["properties"].items():
        yield f"| `{field}` | {_type(value)} | {_cell(value.get('description', ''))} |"
    yield ""


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("allOf", "oneOf", "anyOf"):
        if several in value:
            return " or ".join(dict.fromkeys(_type(one) for one in value[several]))
    if value.get("type") == "array":
        return f"list of {_type(value['items'])}"
    if isinstance(value.get("additionalProperties"), dict) and value["additionalProperties"]:
        return f"by name: {_type(value['additionalProperties'])}"
    return value.get("format") or value.get("type") or "any"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costwatch.settings")
    django.setup()
    sys.stdout.write(reference())
