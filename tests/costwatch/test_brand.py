"""Name, logo and accent colour of an installation, and colours that can be read whatever the accent."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from costwatch.environment import Environment
from costwatch.pages.brand import DARK_GROUND, LIGHT_GROUND, READABLE, contrast, readable, style_sheet


@pytest.mark.parametrize("accent", ["#1f6f5c", "#ffff00", "#000000", "#ffffff", "#0000ff", "#ff0000", "#7f7f7f"])
def test_text_in_the_accent_can_be_read_in_light_and_dark(accent):
    for ground in (LIGHT_GROUND, DARK_GROUND):
        assert contrast(readable(accent, ground), ground) >= READABLE
    assert "--cw-accent: light-dark(" in style_sheet(accent)


def test_contrast_is_that_of_wcag():
    assert round(contrast("#000000", "#ffffff"), 1) == 21 and contrast("#777777", "#777777") == 1
    assert round(contrast("#767676", "#ffffff"), 2) == 4.54  # the lightest grey that passes
    assert readable("#1f6f5c", LIGHT_GROUND) == "#1f6f5c", "what can be read stays as it is"


def test_the_style_sheet_is_kept_by_browsers_and_has_another_address_for_another_colour(client, settings):
    from costwatch.pages.brand import style_url

    before = style_url()
    first = client.get(before)
    assert first.status_code == 200 and first.headers["Content-Type"].startswith("text/css")
    assert client.get(before, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    settings.BRAND_ACCENT = "#aa0000"
    assert style_url() != before and b"#aa0000" in client.get(style_url()).content


@pytest.mark.django_db
def test_pages_show_name_and_logo(client, settings, tmp_path):
    logo = tmp_path / "ours.svg"
    logo.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    settings.BRAND_NAME, settings.BRAND_LOGO = "Spend & <Co>", str(logo)
    html = client.get("/login/").content.decode()
    assert "Spend &amp; &lt;Co&gt;" in html and 'src="/brand/logo"' in html
    answer = client.get("/brand/logo")
    assert b"".join(answer.streaming_content) == logo.read_bytes()
    assert answer.headers["Content-Type"] == "image/svg+xml" and answer.headers["X-Content-Type-Options"] == "nosniff"
    settings.BRAND_LOGO = ""
    assert client.get("/brand/logo").status_code == 404


@pytest.mark.parametrize(
    ("name", "value"),
    [("BRAND_ACCENT", "green"), ("BRAND_ACCENT", "#12345"), ("BRAND_ACCENT", "#1f6f5c;}"), ("BRAND_LOGO", "logo.svg"),
     ("BRAND_LOGO", "http://example.org/a.svg"), ("BRAND_LOGO", "https://a.example; script-src *"),
     ("BRAND_LOGO", "/etc/passwd")],
)  # fmt: skip
def test_what_cannot_be_a_colour_or_a_picture_is_refused_by_name(monkeypatch, tmp_path, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=name):
        if name == "BRAND_LOGO":
            Environment().logo(name, base=tmp_path)
        else:
            Environment().colour(name, "#1f6f5c")
