"""Detectors: each file turns a reference into bets, or guards one series. A new file here is found by its place.

A file offers `FAMILY`, a `bets.Family`: what it watches, and which bets it makes there. `tests/conformance` proves for
every bet of every family that its expectation stays ≤ 1 over the family's whole tolerance ball. Guards that need no
reference (`adwin.py`, `rate.py`) are classes used by name.
"""

from importlib import import_module
from pkgutil import iter_modules

from whydrift.core.detectors.bets import Family


def families() -> dict[str, Family]:
    """Every bet family of this package by name, in file order."""
    found = {}
    for module in sorted(info.name for info in iter_modules(__path__)):
        family = getattr(import_module(f"{__name__}.{module}"), "FAMILY", None)
        if isinstance(family, Family):
            found[family.name] = family
    return found
