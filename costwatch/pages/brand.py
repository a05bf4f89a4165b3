"""Name, logo and accent colour of an installation: from the settings to what pages show."""

import colorsys
import hashlib
from pathlib import Path

from django.conf import settings
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.http import require_safe

#: What text and lines of the accent colour stand on, in light and dark.
LIGHT_GROUND, DARK_GROUND = "#ffffff", "#171f1c"
#: The contrast of text in WCAG 2, level AA.
READABLE = 4.5
#: Kinds of pictures that a logo may be.
LOGO_TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg"}
_DAY_S = 86_400


def luminance(colour: str) -> float:
    """The relative luminance of "#rrggbb", as WCAG 2 defines it: 0 for black, 1 for white."""
    parts = (part / 255 for part in _rgb(colour))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, ground: str) -> str:
    """The colour itself where it can be read on the ground; else the nearest that can, darker or lighter."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(part / 255 for part in _rgb(colour)))
    step = -0.01 if luminance(ground) > 0.2 else 0.01
    while contrast(colour, ground) < READABLE and 0 <= lightness + step <= 1:
        lightness += step
        colour = _hex(*colorsys.hls_to_rgb(hue, lightness, saturation))
    return colour


def style_sheet(accent: str) -> str:
    """The colours that follow from the accent, for pages and admin, in light and dark."""
    light, dark = readable(accent, LIGHT_GROUND), readable(accent, DARK_GROUND)
    on_light, on_dark = ("#ffffff" if contrast("#ffffff", c) >= READABLE else "#0b1512" for c in (light, dark))
    mix = "color-mix(in oklab, {} {}%, {})".format
    shades = {
        f"--color-primary-{name}": mix(light, share, ground)
        for name, share, ground in (
            (50, 6, "white"), (100, 14, "white"), (200, 30, "white"), (300, 50, "white"), (700, 82, "black"),
            (800, 66, "black"), (900, 52, "black"), (950, 34, "black"),
        )
    }  # fmt: skip
    shades |= {"--color-primary-400": dark, "--color-primary-500": dark, "--color-primary-600": light}
    lines = {
        "--cw-accent": f"light-dark({light}, {dark})",
        "--cw-on-accent": f"light-dark({on_light}, {on_dark})",
        **shades,
    }
    return ":root {\n" + "".join(f"  {name}: {value};\n" for name, value in lines.items()) + "}\n"


def context(request: HttpRequest) -> dict:
    """What every template knows of the brand; see `settings.TEMPLATES`."""
    return {"brand": {"name": settings.BRAND_NAME, "logo": logo_url(), "style": style_url()}}


def logo_url(request: HttpRequest | None = None) -> str:
    """Where the logo is: our own, one given as an address, or the file that the settings name."""
    if not settings.BRAND_LOGO:
        return static("costwatch/icon.svg")
    if settings.BRAND_LOGO.startswith("https://"):
        return settings.BRAND_LOGO
    return reverse("brand_logo")


def style_url(request: HttpRequest | None = None) -> str:
    """Where the style sheet of the accent colour is; another colour has another address."""
    return f"{reverse('brand_style')}?{_mark()}"


@require_safe
def style(request: HttpRequest) -> HttpResponse:
    """The style sheet of the accent colour: the same for everybody, kept by browsers."""
    mark = f'"{_mark()}"'
    if request.headers.get("If-None-Match") == mark:
        return HttpResponseNotModified()
    headers = {"Cache-Control": f"public, max-age={_DAY_S * 30}", "ETag": mark}
    return HttpResponse(style_sheet(settings.BRAND_ACCENT), content_type="text/css; charset=utf-8", headers=headers)


@require_safe
def logo(request: HttpRequest) -> HttpResponse:
    """The file of the logo."""
    path = Path(settings.BRAND_LOGO)
    if not settings.BRAND_LOGO or path.suffix.lower() not in LOGO_TYPES or not path.is_file():
        raise Http404
    headers = {"Cache-Control": f"public, max-age={_DAY_S}", "X-Content-Type-Options": "nosniff"}
    return FileResponse(path.open("rb"), content_type=LOGO_TYPES[path.suffix.lower()], headers=headers)


def _mark() -> str:
    return hashlib.sha256(style_sheet(settings.BRAND_ACCENT).encode()).hexdigest()[:12]


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _hex(red: float, green: float, blue: float) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in (red, green, blue))
