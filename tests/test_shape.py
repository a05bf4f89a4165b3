"""The shape of the code: it is the tail that rots, so the longest pieces are shown and bounded."""

import ast
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FUNCTION_LINES, FILE_LINES = 60, 400
TEST_FILE_LINES = 500  # stories, read one by one
#: Longer ones, each with its reason.
ALLOWED: dict[str, str] = {}


def our_files() -> list[Path]:
    """The Python files of the project, without migrations; new ones too."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    return [ROOT / name for name in listed if "/migrations/" not in name and (ROOT / name).exists()]


def functions(path: Path) -> list[tuple[int, str]]:
    """Lines and name of every function of a file."""
    tree = ast.parse(path.read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [(n.end_lineno - n.lineno + 1, f"{path.relative_to(ROOT)}:{n.name}") for n in nodes]


def test_functions_are_short():
    longest = sorted((entry for path in our_files() for entry in functions(path)), reverse=True)
    print("\nThe longest functions:", *[f"{lines:5} {name}" for lines, name in longest[:10]], sep="\n")
    too_long = [(lines, name) for lines, name in longest if lines > FUNCTION_LINES and name not in ALLOWED]
    assert not too_long, f"over {FUNCTION_LINES} lines: {too_long}"


def test_files_are_short():
    longest = sorted(((p.read_text().count("\n"), str(p.relative_to(ROOT))) for p in our_files()), reverse=True)
    print("\nThe longest files:", *[f"{lines:5} {name}" for lines, name in longest[:10]], sep="\n")
    bounds = {name: TEST_FILE_LINES if name.startswith("tests/") else FILE_LINES for _, name in longest}
    too_long = [(lines, name) for lines, name in longest if lines > bounds[name] and name not in ALLOWED]
    assert not too_long, too_long


def test_the_root_package_imports_nothing():
    """Celery or Django in `costwatch/__init__.py` would cost every import of the clients."""
    assert (ROOT / "costwatch/__init__.py").read_text() == ""
