"""What was broken when, against what was said when.

Belongs here: the comparison and its table; it knows the schedule and the diagnoses, and nothing of how they came about.
Not here: the screen while the demo runs (`screen`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from rich import box
from rich.table import Table
from rich.text import Text

from whydrift.core.settings import MINUTE_MS
from whydrift.demo.scenario import Breakage
from whydrift.shell.terminal import printable_text
from whydrift_schemas import Diagnosis, Status, write_time

CountEvents = Callable[[int, int], int]
"""Predictions between two event times."""


class Judgement(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    MISSED = "missed"


_STYLES = {Judgement.RIGHT: "bold green", Judgement.WRONG: "bold red", Judgement.MISSED: "bold red"}


@dataclass(slots=True)
class Told:
    """One incident: everything that was published of it."""

    said: list[Diagnosis]

    @property
    def first(self) -> Diagnosis:
        return self.said[0]

    @property
    def last(self) -> Diagnosis:
        return self.said[-1]

    @property
    def is_over(self) -> bool:
        return self.last.status is Status.RESOLVED


@dataclass(slots=True)
class Account:
    """All incidents by id, in the order in which they opened."""

    incidents: dict[str, Told] = field(default_factory=dict)

    def add(self, diagnosis: Diagnosis) -> None:
        self.incidents.setdefault(diagnosis.incident_id, Told([])).said.append(diagnosis)

    @property
    def open(self) -> list[Diagnosis]:
        return [told.last for told in self.incidents.values() if not told.is_over]


@dataclass(frozen=True, slots=True)
class Line:
    """A breakage and the incident that speaks of it best: the first that names it right as it opens, else the first."""

    breakage: Breakage
    judgement: Judgement
    told: Told | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`others`: incidents that are in no line, with what was broken when they opened, if anything was."""

    lines: tuple[Line, ...]
    others: tuple[tuple[Told, Breakage | None], ...]

    @property
    def all_named(self) -> bool:
        return all(line.judgement is Judgement.RIGHT for line in self.lines)


def judge(breakages: Sequence[Breakage], account: Account) -> Verdict:
    """An incident speaks of a breakage if it opens while it lasts."""
    lines = tuple(_line(breakage, list(account.incidents.values())) for breakage in breakages)
    shown = {line.told.first.incident_id for line in lines if line.told is not None}
    others = tuple(
        (told, next((b for b in breakages if b.is_on(told.first.detected_at)), None))
        for incident_id, told in account.incidents.items()
        if incident_id not in shown
    )
    return Verdict(lines, others)


def _line(breakage: Breakage, incidents: Sequence[Told]) -> Line:
    during = [told for told in incidents if breakage.is_on(told.first.detected_at)]
    right = next((told for told in during if _is_right(breakage, told.first)), None)
    if right is not None:
        return Line(breakage, Judgement.RIGHT, right)
    if during:
        return Line(breakage, Judgement.WRONG, during[0])
    return Line(breakage, Judgement.MISSED, None)


def _is_right(breakage: Breakage, diagnosis: Diagnosis) -> bool:
    """The leading cause is the fault, at exactly the features that it is in."""
    leading = diagnosis.causes[0] if diagnosis.causes else None
    if leading is None or leading.fault is not breakage.fault:
        return False
    return set(leading.features) == set(breakage.features)


# --- the table


def table(verdict: Verdict, count_events: CountEvents) -> Table:
    made = Table(
        "what was broken",
        "from – to",
        "what was said",
        "after",
        "over at",
        "named",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        header_style="bold",
    )
    for line in verdict.lines:
        made.add_row(
            line.breakage.what,
            f"{clock(line.breakage.begins_ms)} – {clock(line.breakage.ends_ms)}",
            "nothing" if line.told is None else _said(line.told.first),
            "" if line.told is None else _delay(line.breakage, line.told, count_events),
            "" if line.told is None else _end(line.told),
            Text(line.judgement.value, style=_STYLES[line.judgement]),
        )
    return made


def remarks(verdict: Verdict) -> list[str]:
    """One line for every incident that is not in the table."""
    return [
        f"also said at {clock(told.first.detected_at)}, "
        + (f'during "{breakage.what}": ' if breakage else "with nothing broken at that time: ")
        + printable_text(told.first.summary)
        for told, breakage in verdict.others
    ]


def _said(diagnosis: Diagnosis) -> str:
    if not diagnosis.causes:
        return printable_text(diagnosis.summary)
    leading = diagnosis.causes[0]
    of = f"\nof {', '.join(map(printable_text, leading.features))}" if leading.features else ""
    return f"{leading.fault.value}{of}\nprobability {leading.probability:.2f}"


def _delay(breakage: Breakage, told: Told, count_events: CountEvents) -> str:
    detected_ms = told.first.detected_at
    minutes = (detected_ms - breakage.begins_ms) / MINUTE_MS
    return f"{count_events(breakage.begins_ms, detected_ms):,} events\n{minutes:.1f} min"


def _end(told: Told) -> str:
    """When it was over and, where it changed its mind on the way, what it called it last."""
    last = told.last
    end = clock(last.resolved_at) if last.resolved_at is not None else "not yet"
    if last.causes and told.first.causes and last.causes[0].fault is not told.first.causes[0].fault:
        end += f"\nby then called {last.causes[0].fault.value}"
    return end


def clock(time_ms: int) -> str:
    """Hours and minutes of the laboratory's day."""
    return write_time(time_ms)[11:16]
