"""`manage.py doctor`: what is wrong with this installation, in words, and what to do about it."""

import sys
import textwrap

from django.core.management import BaseCommand
from django.utils import timezone

from costwatch.diagnosis import diagnose

SIGNS = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}


class Command(BaseCommand):
    help = "Look for what keeps calls from being recorded, priced or shown. Exit code 1 if there is a problem."
    requires_system_checks = ()
    requires_migrations_checks = False

    def handle(self, *args, **options):
        problems = 0
        for finding in diagnose(now=timezone.now()):
            problems += finding.level == "problem"
            style = {"problem": self.style.ERROR, "note": self.style.WARNING}.get(finding.level, str)
            self._write(style(SIGNS[finding.level]) + "  ", f"{finding.about}: {finding.text}")
            if finding.todo:
                self._write(" " * 9, f"-> {finding.todo}")
        self.stdout.write("")
        if problems:
            self.stdout.write(f"{problems} problem{'s' if problems > 1 else ''}.")
            sys.exit(1)
        self.stdout.write("No problem found.")

    def _write(self, head: str, text: str) -> None:
        lines = textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)
        self.stdout.write(head + f"\n{' ' * 9}".join(lines))
