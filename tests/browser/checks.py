"""What holds for every page, asked in the browser."""

from pathlib import Path

from playwright.sync_api import Page

_AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
#: axe's words for what must not be; "minor" and "moderate" are its advice.
SERIOUS = ("serious", "critical")

#: The innermost elements that stick out, for whoever has to mend it.
_WIDEST = """[...document.querySelectorAll("body *")]
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
  .filter((one) => ![...one.children].some((inner) => inner.getBoundingClientRect().right > innerWidth + 1))
  .slice(0, 4).map((one) => one.outerHTML.slice(0, 160)).join(" | ")"""


def assert_fits(page: Page) -> None:
    """Nothing is wider than the window."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{page.url} is {wide} pixels too wide: {page.evaluate(_WIDEST)}"


def assert_accessible(page: Page) -> None:
    """axe finds nothing serious. It comes by the debugger, past the content policy, which stays in force."""
    page.evaluate(_AXE + "; undefined")
    rules = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']"
    found = page.evaluate(f"axe.run(document, {{resultTypes: ['violations'], runOnly: {rules}}})")
    serious = [
        f"{one['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"][:3]
    ]
    assert not serious, page.url + "\n" + "\n".join(serious)
