"""Between the ledger and the gate: what the gate is told of the rows that are being written."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain

from tracking import gate
from tracking.gate import Outcome
from tracking.money import from_nanousd
from tracking.rows import Row, from_db_time

logger = logging.getLogger("costwatch.recorder")


def open_ahead(rows: Iterable[Row], *, at: datetime) -> None:
    """Before the transaction that writes these rows. Never raises: the sums do not need it."""
    try:
        gate.current().open_ahead(chain.from_iterable(map(outcomes_of, rows)), at=at)
    except Exception:
        logger.exception("Windows of budgets could not be opened ahead.")


def settle(rows: Sequence[Row], more: Sequence[Outcome] = ()) -> None:
    """Tell the gate what these rows cost, within the caller's transaction. `more` comes last."""
    if rows or more:
        now = from_db_time(rows[0].recorded_at) if rows else more[0].at
        gate.current().settle_many(chain(chain.from_iterable(map(outcomes_of, rows)), more), now=now)


def void(hold_id: str, at: datetime) -> Outcome:
    """Nothing is billed under this id."""
    return Outcome(hold_id, "void", None, at)


def outcomes_of(row: Row) -> Iterator[Outcome]:
    """What a row says of the money that was held for its call."""
    at = from_db_time(row.occurred_at)
    if row.status == "refused":  # nothing was held, and it costs nothing
        if row.source in ("sdk", "websocket") and '"refused_by"' in row.facts:
            yield Outcome(row.id, "refused", None, at, window=json.loads(row.facts).get("refused_by"))
        return
    verb = "ledger"
    if row.status == "unknown":
        verb = "expire"
    elif row.status == "pending":
        verb = "pending"
    elif row.corrects is not None and row.cost is not None:
        verb = "correction"
    yield Outcome(
        id=row.corrects or row.id,
        verb=verb,
        cost=None if row.cost is None else from_nanousd(row.cost),
        at=at,
        user_id=row.user_id,
        provider=row.provider,
        model_asked=row.model_asked,
        model_served=row.model_served,
        feature=row.feature,
        analysis=row.analysis_id,
        tags=json.loads(row.tags) if row.tags != "{}" else {},
        operation=row.operation,
        endpoint=row.endpoint,
    )
    if '"hold"' in row.facts and (hold := json.loads(row.facts).get("hold")):
        # A session held for its next response before that had a name: the response is counted under its own.
        yield Outcome(hold, "ledger" if row.cost is None else "void", None, at)
