"""What is seen while the demo runs: a live picture on a terminal, plain lines elsewhere.

Belongs here: layout. Not here: where the numbers come from (`command`), the table at the end (`verdict`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from whydrift.demo.scenario import Breakage
from whydrift.demo.verdict import clock
from whydrift.shell.report import STYLES
from whydrift.shell.terminal import printable_text
from whydrift_schemas import Diagnosis, Status

_PICTURES_PER_SECOND = 8.0


@dataclass(frozen=True, slots=True)
class Picture:
    """The demo at one moment. `day_fraction`: how much of the day is over; `broken`: what is broken now, in words."""

    event_time_ms: int
    day_fraction: float
    events: int
    events_per_s: float
    labels_joined: int
    broken: tuple[str, ...]
    open_incidents: tuple[Diagnosis, ...]
    metrics_url: str


@dataclass(frozen=True, slots=True)
class News:
    """One thing that happened, and when in the laboratory's day (None where that is not told)."""

    time_ms: int | None
    what: str
    text: str
    style: str

    @property
    def when(self) -> str:
        return "     " if self.time_ms is None else clock(self.time_ms)


class Screen(Protocol):
    def say(self, one: News) -> None:
        """Something that stays."""
        ...

    def show(self, picture: Picture) -> None:
        """The present, which does not."""
        ...


class PlainScreen:
    """Lines for a pipe or a log file: changes only."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, one: News) -> None:
        # One thing is one line, however long: for grep.
        self._console.print(f"{one.when}  {one.what:8}  {one.text}", soft_wrap=True)

    def show(self, picture: Picture) -> None:
        """Whoever reads a file sees no present."""


class LiveScreen:
    """Lines that stay scroll away above a picture that is drawn again and again."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def say(self, one: News) -> None:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=5)
        grid.add_column(width=8)
        grid.add_row(one.when, Text(one.what, style=one.style), Text(one.text, style=one.style))
        self._live.console.print(grid)

    def show(self, picture: Picture) -> None:
        # Not over the full width: the ^C that a terminal echoes at its end must not break the line.
        self._live.update(_drawn(picture, self._live.console.width - 4))


@contextmanager
def screen(console: Console) -> Iterator[Screen]:
    """The one that fits; the live one leaves nothing but its lines."""
    if not console.is_terminal:
        yield PlainScreen(console)
        return
    with Live(console=console, refresh_per_second=_PICTURES_PER_SECOND, transient=True) as live:
        yield LiveScreen(live)


def news(diagnosis: Diagnosis) -> News:
    """A change of an incident. When it was updated is not part of a diagnosis."""
    times_ms = {Status.OPENED: diagnosis.detected_at, Status.RESOLVED: diagnosis.resolved_at}
    style = "green" if diagnosis.status is Status.RESOLVED else STYLES[diagnosis.severity]
    text = printable_text(diagnosis.summary)
    return News(times_ms.get(diagnosis.status), diagnosis.status.value, text, style)


def steps(breakages: Sequence[Breakage]) -> list[News]:
    """What the demo itself does, in order."""
    begun = [News(one.begins_ms, "BROKEN", one.story, "magenta") for one in breakages]
    ended = [News(one.ends_ms, "MENDED", one.what, "magenta") for one in breakages]
    return sorted(begun + ended, key=lambda one: one.time_ms or 0)


def _drawn(picture: Picture, width: int) -> RenderableType:
    numbers = Table.grid(padding=(0, 3))
    numbers.add_row(
        Text(clock(picture.event_time_ms), style="bold"),
        f"{picture.events:,} events",
        Text(f"{picture.events_per_s:,.0f} events/s", style="bold"),
        f"{picture.labels_joined:,} labels joined",
    )
    broken = " and ".join(picture.broken) or "nothing"
    parts: list[RenderableType] = [
        numbers,
        _bar(picture.day_fraction),
        Text(f"broken now: {broken}", style="magenta"),
        _incidents(picture.open_incidents),
        Text(f"metrics: {picture.metrics_url}", style="dim"),
    ]
    return Panel(Group(*parts), title="whydrift demo", title_align="left", box=box.ROUNDED, width=width)


def _bar(fraction: float) -> RenderableType:
    # By itself it does not end its line.
    grid = Table.grid(expand=True)
    grid.add_row(ProgressBar(total=1.0, completed=fraction))
    return grid


def _incidents(diagnoses: Sequence[Diagnosis]) -> RenderableType:
    if not diagnoses:
        return Text("no open incident", style="green")
    made = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for diagnosis in diagnoses:
        style = STYLES[diagnosis.severity]
        made.add_row(Text(diagnosis.severity.value, style=style), Text(printable_text(diagnosis.summary), style=style))
    return made
