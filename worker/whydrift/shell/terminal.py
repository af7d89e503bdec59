"""What people see while they wait: a progress bar on a terminal, nothing in a pipe; and texts made safe to print.

Belongs here: consoles and bars. Not here: what is told in the end (`report`).
"""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from whydrift.shell.sources.source import Source

PIPE_WIDTH = 240
"""Columns where nobody's terminal limits them: an incident is one line, for grep."""
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters (escape sequences among them), marks that turn the direction of text, halves of surrogate pairs."""


def output_console() -> Console:
    """Standard output; nothing in a text is taken for markup."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)


def printable_text(text: str) -> str:
    """Names and summaries come from events, so from anybody."""
    return _UNPRINTABLE.sub("�", text)


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        records, elapsed_s = task.fields["records"], task.elapsed or 0.0
        speed = f"{records / elapsed_s:,.0f} events/s" if elapsed_s > 0 else ""
        return Text(f"{records:,} events  {speed}")


@contextmanager
def steps_bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Call what it gives after each of `total` steps."""
    if not (total and sys.stderr.isatty()):
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def progress_bar(title: str, source: Source, *, wanted: bool = True) -> Iterator[Callable[[int], None]]:
    """Call what it gives with the number of records of each batch."""
    if not (wanted and sys.stderr.isatty()):
        yield lambda records: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), _Speed(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=source.progress().total_bytes, records=0)
        seen = 0

        def advance(records: int) -> None:
            nonlocal seen
            seen += records
            bar.update(task, completed=source.progress().read_bytes, records=seen)

        yield advance
