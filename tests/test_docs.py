"""What exists is documented, and what is documented exists."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

ROOT = Path(__file__).resolve().parents[1]
OURS = ("costwatch", "tracking", "budgets", "alerts")


def our_commands() -> dict[str, str]:
    """Our own management commands, with the app each is in."""
    return {name: app for name, app in get_commands().items() if str(app).split(".")[0] in OURS}


def options_of(app: str, name: str) -> set[str]:
    """The long options of a command."""
    parser = load_command_class(app, name).create_parser("manage.py", name)
    return {option for action in parser._actions for option in action.option_strings if option.startswith("--")}


def described() -> dict[str, str]:
    """The commands that the reference describes, with the text of each."""
    page = (ROOT / "docs/reference/commands.md").read_text()
    parts = re.split(r"^## `(\w+)`.*$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_stands_in_the_reference():
    assert set(our_commands()) == set(described())


def test_every_option_of_a_command_is_described_with_it():
    common = options_of("django.core", "migrate") & options_of("django.core", "flush")
    missing = [
        f"{name} {option}"
        for name, app in our_commands().items()
        for option in options_of(app, name) - common
        if option not in described()[name]
    ]
    assert not missing


def test_every_scheduled_task_stands_in_the_reference():
    from costwatch.celery import app

    page = (ROOT / "docs/reference/tasks.md").read_text()
    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert scheduled == set(re.findall(r"^\| `([\w.]+)` \|", page, flags=re.MULTILINE))


@pytest.mark.parametrize("name", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md"))])
def test_links_between_pages_lead_somewhere(name):
    page = ROOT / name
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    broken = [
        target
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken


def test_every_direct_dependency_has_its_reason():
    page = (ROOT / "docs/dependencies.md").read_text().lower()
    for file in ("requirements.txt", "requirements-dev.txt"):
        direct = (ROOT / file).read_text().partition("# --- direct")[2].partition("# ---")[0]
        names = [re.split(r"[=\[]", line)[0].lower() for line in direct.split() if "==" in line]
        assert names
        assert [name for name in names if name not in page] == []


def test_every_package_is_pinned_exactly():
    for file in ("requirements.txt", "requirements-dev.txt"):
        lines = [line for line in (ROOT / file).read_text().splitlines() if line and line[0] not in "#-"]
        assert [line for line in lines if not re.match(r"^[\w.\-]+(\[\w+\])?==[\w.]+(; .*)?$", line)] == []
