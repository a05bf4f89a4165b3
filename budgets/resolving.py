"""What becomes of a hold when something is heard of its call. Pure: amounts are nano-USD.

A hold is resolved once. What comes later through `settle`, `void` or `expire` changes nothing and is told what it was;
only the ledger (`ledger`, `correction`) and a late `settle` of an expired hold can still put the truth in its place.

| hold    | settle c       | void     | expire           | ledger row c              | correction d            |
|---------|----------------|----------|------------------|---------------------------|-------------------------|
| none    | (see settling) | -        | -                | settled, c                | settled, d              |
| open    | settled, c     | void, 0  | expired, amount  | settled, c (none: amount) | settled, d              |
| settled | -              | -        | -                | settled, c (none: -)      | settled, cost + d (*)   |
| void    | -              | -        | -                | c > 0: settled, c         | settled, d              |
| expired | settled, c     | void, 0  | -                | settled, c (none: -)      | settled, cost + d       |

(*) d, where the row it corrects had no price: the hold's amount had stood in for it.
"""

from dataclasses import dataclass
from typing import Literal

Verb = Literal["settle", "void", "expire", "ledger", "correction"]


@dataclass(frozen=True, slots=True)
class Resolution:
    """The state of a hold after a verb, and what it did to each window of the hold."""

    state: str
    cost: int
    cost_known: bool
    changed: bool
    held: int = 0  # to add to what is held: 0, or minus the amount
    spent: int = 0  # to add to what is spent

    def is_overrun(self, amount: int) -> bool:
        return self.cost_known and self.cost > amount


def resolve(*, state: str, amount: int, cost: int, cost_known: bool, verb: Verb, value: int | None) -> Resolution:
    """Apply a verb to a hold. `value` is the cost or the difference in nano-USD, None where it is not known."""
    unchanged = Resolution(state, cost, cost_known, changed=False)

    def become(new_state: str, new_cost: int, known: bool = True) -> Resolution:
        return Resolution(
            new_state,
            new_cost,
            known,
            changed=(new_state, new_cost, known) != (state, cost, cost_known),
            held=-amount if state == "open" else 0,
            spent=new_cost - cost,
        )

    if verb == "correction":
        replaces = state in ("open", "void") or (state == "settled" and not cost_known)
        return become("settled", (0 if replaces else cost) + (value or 0))
    if state == "open":
        if verb == "void":
            return become("void", 0)
        if verb == "expire":
            return become("expired", amount, False)
        return become("settled", amount, False) if value is None else become("settled", value)
    if verb == "ledger" and value is not None and (state != "void" or value > 0):
        return become("settled", value)
    if state == "expired" and verb == "settle" and value is not None:
        return become("settled", value)
    if state == "expired" and verb == "void":
        return become("void", 0)
    return unchanged
