"""The address of a model's page: readable where the name allows it, and never another page's.

Belongs here: from names to path segments and back. Not here: routes (`site`).
"""

import re
from hashlib import blake2b
from urllib.parse import quote

_READABLE = re.compile(r"(?!\.+$)(?!~)[^/\\%\x00-\x1f\x7f\ud800-\udfff]{1,100}")
"""Slashes and dots are read as directions by browsers and proxies, percent-encoded or not, and some decode percents twice."""


def segment(name: str) -> str:
    """The path segment of a name, decoded: the name itself, or `~` and its digest where a path could not carry it."""
    if _READABLE.fullmatch(name):
        return name
    return "~" + blake2b(name.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def address(name: str) -> str:
    """The same, percent-encoded for a link."""
    return quote(segment(name), safe="", errors="replace")
