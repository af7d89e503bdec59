"""One thing the doctor looked at: how it is, and what mends it.

Belongs here: the value and its words. Not here: looking (`kafka_checks`, `event_checks`, `local_checks`, `push_checks`).
"""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """FAIL: a worker would not run, or not do what is asked of it. WARN: it runs, and somebody should know."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject`: what was looked at. `mend`: the command or setting that mends it, "" where nothing is to be done."""

    subject: str
    verdict: Verdict
    told: str
    mend: str = ""


def ok(subject: str, told: str) -> Finding:
    return Finding(subject, Verdict.OK, told)


def warn(subject: str, told: str, mend: str = "") -> Finding:
    return Finding(subject, Verdict.WARN, told, mend)


def fail(subject: str, told: str, mend: str = "") -> Finding:
    return Finding(subject, Verdict.FAIL, told, mend)


def skip(subject: str, told: str) -> Finding:
    return Finding(subject, Verdict.SKIP, told)
