"""Texts of alerts as one reader reads them."""

from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from costwatch.pages.told import told


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("It resets at 2026-12-01 00:00 UTC.", "It resets at 30 Nov 2026, 16:00."),
        ("until 2026-12-01 00:00 America/Argentina/Buenos_Aires, or", "until 30 Nov 2026, 19:00, or"),
        ("$20.0545 of $40.00 is spent, $1,219.9455 is left", "$20.05 of $40.00 is spent, $1,219.95 is left"),
        ("$0.0042 a call", "$0.0042 a call"),
        ("Dearer since 2026-11-22: gpt-4o-2024-08-06", "Dearer since 22 Nov 2026: gpt-4o-2024-08-06"),
        ("2026-13-45 10:00 UTC", "2026-13-45 10:00 UTC"),
        ("2026-12-01 00:00 Nowhere/Else", "2026-12-01 00:00 Nowhere/Else"),
    ],
)
def test_times_are_the_readers_and_amounts_have_sensible_digits(text, reads):
    with timezone.override(ZoneInfo("America/Los_Angeles")):
        assert told(text) == reads
