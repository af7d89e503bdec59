"""Numbers, times and names in words for people.

Belongs here: pure formatting, used by templates and figures alike. Not here: sentences about faults (the core's).
"""

from math import isfinite

from whydrift.shell.terminal import printable_text
from whydrift_schemas import write_time

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
LONGEST = 300
"""Characters of a name that are shown: names may have thousands."""
_MOST_POWER = 30


def clock(at_ms: int) -> str:
    """2026-11-27 09:12, in UTC."""
    return write_time(at_ms)[:16].replace("T", " ")


def iso(at_ms: int) -> str:
    return write_time(at_ms)


def span(span_ms: int) -> str:
    """How long: 41 min, 3 h 10 min, 5 days."""
    span_ms = max(span_ms, 0)
    if span_ms < 2 * MINUTE_MS:
        return f"{span_ms // SECOND_MS} s"
    if span_ms < 2 * HOUR_MS:
        return f"{span_ms // MINUTE_MS} min"
    if span_ms < 2 * DAY_MS:
        hours, minutes = divmod(span_ms // MINUTE_MS, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{span_ms // DAY_MS} days"


def number(value: float | int | str) -> str:
    """Four significant digits, thousands separated; words as they are."""
    if isinstance(value, str):
        return value
    if not isfinite(value):
        return "not known"
    if value and (abs(value) < 1e-3 or abs(value) >= 1e9):
        return f"{value:.3g}"
    text = f"{value:,.{max(0, 4 - len(str(int(abs(value)))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: float) -> str:
    """38 %; what is not nothing does not read as nothing, nor what is not all as all."""
    if 0 < share < 0.01 or 0.99 < share < 1:
        return f"{100 * share:.1f} %" if 0.0005 <= share <= 0.9995 else ("< 0.1 %" if share < 0.5 else "> 99.9 %")
    return f"{100 * share:.0f} %"


def power(log10: float) -> str:
    """An e-value by its decimal logarithm, as odds: 10¹²; beyond 10³⁰ there is nothing more to say."""
    digits = str(min(round(max(log10, 0.0)), _MOST_POWER)).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"over 10{digits}" if log10 > _MOST_POWER else f"10{digits}"


def words(name: str) -> str:
    """unit_change → unit change."""
    return name.replace("_", " ")


def shown(text: str) -> str:
    """A text from anybody: without control characters and marks that turn its direction, of limited length."""
    text = printable_text(text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def brief(text: str, most: int = 80) -> str:
    """The same, for a list."""
    text = printable_text(text)
    return text if len(text) <= most else text[: most - 1] + "…"
