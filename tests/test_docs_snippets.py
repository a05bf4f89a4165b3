"""What the documentation tells people to run, runs: against the provider on this machine, with the real SDKs."""

import io
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from django.core.management import call_command

from costwatch.demo.quantities import wav

ROOT = Path(__file__).resolve().parents[1]
MARK = re.compile(r"<!-- run -->\s*\n```(\w*)\n(.*?)^```", re.S | re.M)
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if MARK.search(page.read_text())]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def at_home(provider, transactional_db, owner, tmp_path, monkeypatch):
    """As on a reader's machine: keys and addresses in the environment, a sound file in the folder."""
    for name, value in {
        "OPENAI_API_KEY": "local",
        "OPENAI_BASE_URL": provider.openai_base_url,
        "ANTHROPIC_API_KEY": "local",
        "ANTHROPIC_BASE_URL": provider.anthropic_base_url,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    Path("take.wav").write_bytes(wav(5))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_as_it_stands(at_home, page, provider):
    from tracking import spool
    from tracking.audit import audit
    from tracking.models import ApiUsageLog

    names: dict = {"__name__": "__docs__"}
    for language, snippet in MARK.findall(page.read_text()):
        if language == "python":
            with redirect_stdout(io.StringIO()):
                exec(compile(snippet, str(page), "exec"), names)
            assert spool.flush(20), spool.stats()
        else:
            for line in filter(None, map(str.strip, snippet.splitlines())):
                run(line)
    refused = [request.target for request in provider.requests if request.status and request.status >= 400]
    assert refused == []
    calls = [r for r in provider.requests if r.method == "POST" and not re.search(r"/(files|batches)$", r.path)]
    assert ApiUsageLog.objects.filter(source__in=["sdk", "websocket"]).count() >= len(calls)
    assert audit().ok


def run(line: str) -> None:
    """One command line of `manage.py`; it says something and succeeds (the doctor may find something to say)."""
    program, script, command, *arguments = shlex.split(line, comments=True)
    assert (program, script) == (".venv/bin/python", "manage.py"), line
    arguments = [str(ROOT / one) if (ROOT / one).is_file() else one for one in arguments]  # as from the repository
    said = io.StringIO()
    try:
        call_command(command, *arguments, stdout=said)
    except SystemExit as exit:
        assert command == "doctor" or not exit.code, (line, said.getvalue())
    assert said.getvalue().strip(), line


def test_every_guide_is_listed_and_every_link_leads_somewhere():
    guides = ROOT / "docs" / "guides"
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (guides / "README.md").read_text()))
    assert listed == {page.name for page in guides.glob("*.md")} - {"README.md"}
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"
