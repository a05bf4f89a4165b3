"""Fetch the browser libraries that Costwatch serves itself, at the versions below: `python scripts/vendor.py`.

Needs node and npm, and a network, on the machine of whoever updates them; running Costwatch needs none of these. Every
package comes by `npm pack`, so that no script of a package runs. To update: change a version, run it, look at the
pages, commit. It writes `costwatch/static/vendor/` with `VENDOR.md`, and `tests/browser/vendor/` (axe, for tests).
"""

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SERVED = ROOT / "costwatch" / "static" / "vendor"
FOR_TESTS = ROOT / "tests" / "browser" / "vendor"

VERSIONS = {
    "@tabler/core": "1.6.1",
    "@tabler/icons": "3.51.0",
    "@fontsource-variable/inter": "5.3.0",
    "echarts": "6.1.0",
    "zrender": "6.1.0",
    "tslib": "2.3.0",
    "htmx.org": "2.0.11",
    "@alpinejs/csp": "3.17.4",
    "axe-core": "4.14.1",
    "esbuild": "0.28.2",
}
LICENCES = {
    "@tabler/core": "MIT",
    "@tabler/icons": "MIT",
    "@fontsource-variable/inter": "OFL-1.1",
    "echarts": "Apache-2.0 (with zrender, BSD-3-Clause, and tslib, 0BSD)",
    "htmx.org": "0BSD",
    "@alpinejs/csp": "MIT",
    "axe-core": "MPL-2.0",
}
#: What is copied as it is: our file, the package, the file in it, what it is.
COPIED = (
    ("tabler.css", "@tabler/core", "dist/css/tabler.min.css", "Tabler, the look of the pages"),
    ("htmx.js", "htmx.org", "dist/htmx.min.js", "htmx, for parts that are swapped in"),
    ("alpine-csp.js", "@alpinejs/csp", "dist/cdn.min.js", "Alpine.js, the build without `eval`, for the admin's theme"),
    ("inter-latin.woff2", "@fontsource-variable/inter", "files/inter-latin-wght-normal.woff2", "Inter, the typeface"),
    (
        "inter-latin-ext.woff2",
        "@fontsource-variable/inter",
        "files/inter-latin-ext-wght-normal.woff2",
        "the same, for the letters of more languages",
    ),
)
#: The parts of ECharts that our charts use; the rest stays out of what browsers load.
CHARTS = """
import { use, init, getInstanceByDom } from "echarts/core";
import { BarChart, LineChart } from "echarts/charts";
import { AriaComponent, GridComponent, MarkLineComponent, TooltipComponent } from "echarts/components";
import { CanvasRenderer } from "echarts/renderers";
use([BarChart, LineChart, AriaComponent, GridComponent, MarkLineComponent, TooltipComponent, CanvasRenderer]);
export { init, getInstanceByDom };
"""
#: The icons that templates name (`{% icon "bell" %}`); a test finds those that are missing or not used.
ICONS = (ROOT / "scripts" / "icons.txt").read_text().split()

_HEADING = """# Libraries that are served from here

Fetched from npm by `scripts/vendor.py`, which pins the versions; a test compares the files with the sums below.

| file | library | npm package | licence | from | SHA-256 |
|---|---|---|---|---|---|
"""
_NOTES = """
`alpine-csp.js` takes the place of the build that the admin's theme brings: that one turns text into code, which our
content security policy forbids.

The texts of the licences stand in `licences/`.
"""


def main() -> int:
    """Fetch, build, and write what was written where."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name in VERSIONS:
            _fetch(name, VERSIONS[name], work)
        compiler = _compiler(work)
        SERVED.mkdir(parents=True, exist_ok=True)
        FOR_TESTS.mkdir(parents=True, exist_ok=True)
        rows = []
        for file, package, source, what in COPIED:
            (SERVED / file).write_bytes(_without_source_map((_place(work, package) / source).read_bytes()))
            rows.append((file, what, package, f"`{source}`"))
        _bundle_charts(work, compiler)
        rows.append(("echarts.js", "Apache ECharts: bars and lines on a canvas", "echarts", "built by `esbuild`"))
        _write_icons(work)
        rows.append(("icons.svg", "Tabler Icons, those that pages use", "@tabler/icons", "`icons/outline`"))
        _write_licences(work)
        _write_list(rows)
        (FOR_TESTS / "axe.min.js").write_bytes((_place(work, "axe-core") / "axe.min.js").read_bytes())
        (FOR_TESTS / "LICENSE").write_bytes((_place(work, "axe-core") / "LICENSE").read_bytes())
    print(*(f"{path.relative_to(ROOT)} {path.stat().st_size}" for path in sorted(SERVED.glob("*.*"))), sep="\n")  # noqa: T201
    return 0


def _place(work: Path, package: str) -> Path:
    return work / "node_modules" / package


def _fetch(package: str, version: str, work: Path) -> Path:
    """The files of a package, where a bundler looks for them."""
    command = ["npm", "pack", "--silent", "--pack-destination", str(work), f"{package}@{version}"]
    packed = subprocess.run(command, cwd=work, check=True, capture_output=True, text=True)  # noqa: S603
    archive, place = work / packed.stdout.split()[-1], _place(work, package)
    with tarfile.open(archive) as files:
        files.extractall(work / "unpacked" / package, filter="data")
    place.parent.mkdir(parents=True, exist_ok=True)
    (next((work / "unpacked" / package).iterdir())).rename(place)
    return place


def _compiler(work: Path) -> Path:
    """The program of esbuild for this machine, which comes as a package of its own."""
    script = "console.log(`@esbuild/${process.platform}-${process.arch}`)"
    name = subprocess.run(["node", "-e", script], check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603, S607
    program = _fetch(name, VERSIONS["esbuild"], work) / "bin" / "esbuild"
    program.chmod(0o755)
    return program


def _bundle_charts(work: Path, compiler: Path) -> None:
    entry = work / "charts.js"
    entry.write_text(CHARTS)
    options = ["--bundle", "--minify", "--format=iife", "--global-name=echarts", "--target=es2020"]
    command = [str(compiler), str(entry), *options, "--legal-comments=inline", f"--outfile={SERVED / 'echarts.js'}"]
    subprocess.run([*command, "--log-level=warning"], cwd=work, check=True)  # noqa: S603


def _without_source_map(data: bytes) -> bytes:
    """Their maps are not served, and would be looked for."""
    return re.sub(rb"\n?(/\*# sourceMappingURL=\S+ \*/|//# sourceMappingURL=\S+)\s*$", b"\n", data)


def _write_icons(work: Path) -> None:
    """One file with a symbol for each icon; stroke and size come from our style sheet."""
    symbols = []
    for name in sorted(set(ICONS)):
        drawing = (_place(work, "@tabler/icons") / "icons" / "outline" / f"{name}.svg").read_text()
        inside = re.search(r"<svg[^>]*>(.*)</svg>", drawing, re.DOTALL).group(1)
        drawn = "".join(line.strip() for line in inside.splitlines())
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{drawn}</symbol>')
    (SERVED / "icons.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n")


def _write_licences(work: Path) -> None:
    folder = SERVED / "licences"
    folder.mkdir(exist_ok=True)
    for package in (*LICENCES, "zrender"):
        if package == "axe-core":
            continue
        files = (path for path in _place(work, package).iterdir() if path.is_file())
        found = [path for path in files if path.name.lower().startswith(("licen", "notice"))]
        text = (
            "\n\n".join(path.read_text() for path in sorted(found)) or f"{LICENCES[package]}; no text in the package.\n"
        )
        (folder / f"{package.strip('@').replace('/', '-')}.txt").write_text(text)


def _write_list(rows: list[tuple[str, str, str, str]]) -> None:
    lines = []
    for file, what, package, source in rows:
        digest = hashlib.sha256((SERVED / file).read_bytes()).hexdigest()
        lines.append(
            f"| `{file}` | {what} | `{package}` {VERSIONS[package]} | {LICENCES[package]} | {source} | `{digest}` |\n"
        )
    (SERVED / "VENDOR.md").write_text(_HEADING + "".join(lines) + _NOTES)


if __name__ == "__main__":
    sys.exit(main())
