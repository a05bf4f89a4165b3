"""The quick way to a receipt's JSON text says what the plain way says."""

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tracking.pricing import Line, Receipt, receipt_json, receipt_text

decimals = st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=0, max_value=10**9)
odd = st.sampled_from([Decimal("1E+3"), Decimal("0E-9"), Decimal("1E-12"), Decimal("100")])
texts = st.text(max_size=20)
lines = st.builds(
    Line,
    meter=texts,
    quantity=st.integers(0, 10**15) | decimals,
    rate=st.none() | decimals | odd,
    per=st.integers(1, 10**6),
    amount_usd=st.none() | decimals | odd,
    rate_id=st.none() | st.integers(1, 2**63),
    model=texts,
    variant=texts,
)
receipts = st.builds(
    Receipt,
    lines=st.lists(lines, max_size=4).map(tuple),
    total_nanousd=st.none() | st.integers(-(2**63), 2**63),
    status=st.sampled_from(["priced", "unpriced", "free", "assumed"]),
    reason=texts,
    tier=texts,
    region=texts,
)


@given(receipts)
def test_both_say_the_same(receipt):
    assert json.loads(receipt_text(receipt)) == receipt_json(receipt)
