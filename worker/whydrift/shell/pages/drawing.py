"""Figures as bytes: SVG that lives inside a page and takes its colours from it, SVG and PNG files with colours of their own.

matplotlib writes style attributes, which a strict Content-Security-Policy forbids, and ids that repeat from figure to figure.
Here both are rewritten: attributes of presentation, and ids that no other figure has.

matplotlib's settings are global: everything is drawn under one lock, in whatever thread asks.

Belongs here: that. Not here: what figures show (`figures`).
"""

import io
import re
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from html import escape
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from whydrift.shell.pages.figures import Paint
from whydrift.shell.pages.plates import ImageFormat

INLINE: Mapping[Paint, str] = {paint: f"#0102{place:02x}" for place, paint in enumerate(Paint)}
"""Colours that occur nowhere else: the page's variables take their place."""
LIGHT: Mapping[Paint, str] = {
    Paint.TEXT: "#1b1f24",
    Paint.MUTED: "#59636e",
    Paint.GRID: "#d1d9e0",
    Paint.REFERENCE: "#6e7781",
    Paint.CURRENT: "#c4320a",
    Paint.THRESHOLD: "#8c3a0b",
    Paint.SECOND: "#0b5cad",
    Paint.THIRD: "#6d3fc0",
    Paint.FOURTH: "#1a7f37",
}
"""The stylesheet's light theme, for files that stand alone."""
PNG_DPI = 160
_SETTINGS: Mapping[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: readable to assistive technology, in the page's font
    "svg.hashsalt": "whydrift",  # the same figure, the same bytes
    "text.parse_math": False,  # names may hold dollar signs
    "axes.unicode_minus": True,
    "path.simplify": False,
}
_LOCK = threading.Lock()
_STYLE = re.compile(r' style="([^"]*)"')
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'(?:url\(#|href="#)([^")]+)')
_HEAD = re.compile(r".*?<svg[^>]*?viewBox=\"([^\"]*)\"[^>]*>", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>|\s*<style type=\"text/css\">.*?</style>", re.DOTALL)
_FONT_SIZE = re.compile(r"([\d.]+)px")

# The page's font draws the letters; matplotlib only measures, and says for each emoji that its own font lacks it.
warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)


def inline_svg(make: Callable[[], Figure], text: str, key: str) -> str:
    """SVG to stand within a page. text: what it shows, for who cannot see it. key: begins its ids, one for each in a page."""
    svg = _METADATA.sub("", _svg(make, INLINE))
    head = _HEAD.match(svg)
    assert head is not None, "matplotlib writes a viewBox"
    body = _without_styles(_with_own_ids(svg[head.end() :], key))
    for paint, colour in INLINE.items():
        body = body.replace(colour, f"var(--{paint.name.lower()})")
    start = f'<svg class="figure" viewBox="{head.group(1)}" role="img" aria-label="{escape(text)}">'
    return start + body.strip()


def file_bytes(make: Callable[[], Figure], kind: ImageFormat) -> bytes:
    """A file by itself, in the light theme."""
    if kind == "svg":
        return _svg(make, LIGHT).encode()
    with _LOCK, _theme(LIGHT):
        target = io.BytesIO()
        canvas = FigureCanvasAgg(make())
        canvas.print_figure(target, format="png", dpi=PNG_DPI, facecolor="white", metadata={"Software": None})
        return target.getvalue()


def _svg(make: Callable[[], Figure], colours: Mapping[Paint, str]) -> str:
    with _LOCK, _theme(colours):
        target = io.StringIO()
        canvas = FigureCanvasSVG(make())
        canvas.print_figure(target, format="svg", dpi=72, metadata={"Date": None, "Creator": None})
        return target.getvalue()


def _theme(colours: Mapping[Paint, str]) -> AbstractContextManager[None]:
    return mpl.rc_context({**_SETTINGS, "axes.prop_cycle": cycler(color=[colours[paint] for paint in Paint])})


def _with_own_ids(svg: str, key: str) -> str:
    used = set(_REFERENCE.findall(svg))
    svg = _ID.sub(lambda found: f' id="{key}-{found.group(1)}"' if found.group(1) in used else "", svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{key}-", svg)


def _without_styles(svg: str) -> str:
    return _STYLE.sub(lambda found: _attributes(found.group(1)), svg)


def _attributes(style: str) -> str:
    """`fill: none; stroke-width: 1` → attributes; a font's family is the page's."""
    found = []
    for declaration in filter(None, (part.strip() for part in style.split(";"))):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            size = _FONT_SIZE.search(value)
            name, value = "font-size", size.group(1) if size else ""
        if name != "font-family" and value:
            found.append(f' {name}="{value}"')
    return "".join(found)
