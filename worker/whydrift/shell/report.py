"""What a replay or a profile tells in the end: incidents, rejected lines, models, as tables for people.

Made from the outputs alone, without a clock: the same input prints the same text. Lines are counted from 1, as editors do;
offsets, which diagnoses have, from 0.
Belongs here: collecting and laying out. Not here: what an incident is (the core), where it is printed to (`whydrift.app`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from whydrift.core.records import Emit, Output, Reject
from whydrift.core.status import ModelStatus, PartitionStatus
from whydrift.shell.terminal import printable_text
from whydrift_schemas import Diagnosis, Severity, Status, write_time

MOST_REMARKS = 5
"""Models that are named one by one where the same is said of many."""
STYLES: Mapping[Severity, str] = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.CRITICAL: "bold red"}


@dataclass(slots=True)
class Rejected:
    """Lines refused for one reason; `first` is the first of them."""

    first: Reject
    count: int = 0


@dataclass(slots=True)
class Told:
    """One incident: what was said first, and last."""

    first: Diagnosis
    last: Diagnosis


@dataclass(slots=True)
class Report:
    """Collects outputs as they come. Memory grows with incidents and reasons, not with lines."""

    incidents: dict[str, Told] = field(default_factory=dict)
    rejected: dict[str, Rejected] = field(default_factory=dict)

    def add(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            if isinstance(output, Emit):
                said = output.diagnosis
                self.incidents.setdefault(said.incident_id, Told(said, said)).last = said
            else:
                self.rejected.setdefault(output.reason.value, Rejected(output)).count += 1

    def print_replay(self, console: Console, status: PartitionStatus) -> None:
        if self.incidents:
            console.print(self._incidents(), "")
        print_rejects(console, self.rejected)
        for line in _unfinished(status.models):
            console.print(line, style="yellow")
        console.print(self._summary(status))

    def _incidents(self) -> Table:
        table = _table("model", "since (UTC)", "cause", "summary", "status", "at line")
        table.columns[-1].justify = "right"
        for told in self.incidents.values():
            table.add_row(
                Text(printable_text(told.last.model_id)),
                Text(_time(told.last.onset_at)),
                Text(_cause(told.last)),
                Text(printable_text(told.last.summary), overflow="fold"),
                Text(_status(told.last), style="green" if _is_over(told.last) else STYLES[told.last.severity]),
                Text(str(told.first.detected.offset + 1)),
            )
        return table

    def _summary(self, status: PartitionStatus) -> str:
        still_open = sum(not _is_over(told.last) for told in self.incidents.values())
        events = sum(model.events for model in status.models)
        rejected = sum(one.count for one in self.rejected.values())
        return (
            f"{counted(status.records, 'line')}, {counted(events, 'event')} of {counted(len(status.models), 'model')}: "
            f"{counted(len(self.incidents), 'incident')} ({still_open} still open), {counted(rejected, 'line')} rejected"
        )


def news(diagnosis: Diagnosis) -> Text:
    """One line, while a file is followed."""
    parts = (
        _time(diagnosis.detected_at),
        f"{diagnosis.status.value:8}",
        printable_text(diagnosis.model_id),
        printable_text(diagnosis.summary),
    )
    return Text("  ".join(parts), style="green" if _is_over(diagnosis) else STYLES[diagnosis.severity])


def print_rejects(console: Console, rejected: Mapping[str, Rejected]) -> None:
    if not rejected:
        return
    table = _table("rejected for", "lines", "first at line", "which says")
    table.columns[1].justify = table.columns[2].justify = "right"
    for reason, one in sorted(rejected.items(), key=lambda item: (-item[1].count, item[0])):
        message = Text(printable_text(one.first.message), overflow="fold")
        table.add_row(reason, f"{one.count:,}", str(one.first.record.offset + 1), message)
    console.print(table, "")


def print_models(console: Console, events: Mapping[str, int], features: Mapping[str, int]) -> None:
    table = _table("model", "events", "features")
    table.columns[1].justify = table.columns[2].justify = "right"
    for model_id, count in events.items():
        table.add_row(Text(printable_text(model_id)), f"{count:,}", f"{features.get(model_id, 0):,}")
    console.print(table, "")


def counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def _table(*headers: str) -> Table:
    return Table(*headers, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")


def _unfinished(models: Sequence[ModelStatus]) -> Iterator[str]:
    """Why nothing was found, where that is so."""
    learning = [model for model in models if model.baseline_seen < model.baseline_needed]
    for model in learning[:MOST_REMARKS]:
        yield (
            f"{printable_text(model.model_id)}: its reference rests on {model.baseline_seen:,} of {model.baseline_needed:,} "
            "events, so only gross changes show; give one with --reference, or more events"
        )
    if len(learning) > MOST_REMARKS:
        yield f"... and so it is for {len(learning) - MOST_REMARKS:,} more"


def _is_over(diagnosis: Diagnosis) -> bool:
    return diagnosis.status is Status.RESOLVED


def _status(diagnosis: Diagnosis) -> str:
    return "resolved" if _is_over(diagnosis) else f"open, {diagnosis.severity.value}"


def _cause(diagnosis: Diagnosis) -> str:
    if not diagnosis.causes:
        return "unknown"
    leading = diagnosis.causes[0]
    return f"{leading.fault.value} {leading.probability:.0%}"


def _time(time_ms: int) -> str:
    """To the second, in UTC."""
    return write_time(time_ms)[:19].replace("T", " ")
