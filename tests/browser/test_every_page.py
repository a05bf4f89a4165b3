"""Every page on a phone and on a large screen, in light and dark: it fits, and axe finds nothing serious.

A screenshot of each is kept in var/screenshots.
"""

from pathlib import Path

import pytest

from tests.browser.checks import assert_accessible, assert_fits
from tests.browser.pages import OPEN, PAGES

SCREENSHOTS = Path(__file__).resolve().parents[2] / "var" / "screenshots"
SIZES = (390, 1440)
SCHEMES = ("light", "dark")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_in_every_size_and_theme(name, scene, open_page, come_in):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for width in SIZES:
        for scheme in SCHEMES:
            page = open_page(width, scheme)
            if name not in OPEN:
                come_in(page, scene.reader)
            page.goto(PAGES[name].format(**scene.ids))
            page.wait_for_load_state("networkidle")
            page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
            assert_fits(page)
            assert_accessible(page)
            assert page.locator("h1").count() == 1
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(int(part) for part in ground.strip("rgb()").split(",")[:3]) > 384) == (scheme == "light")


@pytest.mark.parametrize("width", [768, 1024, 1920])
def test_pages_fit_between_and_beyond(width, scene, open_page, come_in):
    page = open_page(width)
    come_in(page, scene.reader)
    for name, address in PAGES.items():
        if name not in OPEN and name != "not-found":  # whose answer stands in the console
            page.goto(address.format(**scene.ids))
            assert_fits(page)
