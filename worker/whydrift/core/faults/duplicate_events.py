"""Events come again: ids or whole payloads repeat, and event time may run backwards.

Told apart: a surge of traffic brings more, but different, events. Event time that runs backwards without repeats is disorder,
not duplication.
"""

from whydrift.core.case import Case
from whydrift.core.columns import Presence
from whydrift.core.faults.inputs import percent
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import fill, scatter
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("duplicate_events")


def examine(case: Case) -> list[Proposal | RuledOut]:
    duplicates, backwards = case.world.get("duplicates"), case.world.get("backwards")
    runs_back = backwards is not None and backwards.is_alarmed
    if duplicates is None or not duplicates.is_alarmed:
        if runs_back:
            return [RuledOut(fault=FAULT, because="event time runs backwards, but neither ids nor payloads repeat")]
        return []
    share = duplicates.current_share or 0.0
    usual = duplicates.reference_share or 0.0
    back = "; event time runs backwards, as in a replay" if runs_back else ""
    return [
        Proposal(
            fault=FAULT,
            fit=0.98,
            explains=_explains(case, runs_back),
            headline=f"events come twice: {percent(share)} of them repeat an id or a payload",
            explanation=(
                f"{percent(share)} of the events repeat an id or a payload seen before, {percent(usual)} in "
                f"health{back}."
            ),
            action="Look for a producer that retries or replays (a reset offset, a restarted job) and stop it.",
        )
    ]


def _explains(case: Case, runs_back: bool) -> frozenset[str]:
    """Repeats in every column follow, and so do more arrivals and a disturbed mix; missing values or types do not."""
    signals = {"duplicates"} | ({"backwards"} if runs_back else set())
    for group in (case.features, case.outputs, case.labels):
        for view in group.values():
            own = {s.signal for aspect, s in view.signals.items() if s.is_alarmed and aspect in _FOLLOWS}
            # A column stuck at its own values in other rows than the repeated ones is another fault.
            signals |= own if view.share(Presence.PRESENT) > 0 else set()
    arrivals = case.arrivals.evidence
    if arrivals is not None and arrivals.is_alarmed:
        signals.add(arrivals.signal)
    return frozenset(signals)


_FOLLOWS = ("repeated", "distribution")


def _again(row: Row, i: int) -> Row | list[Row]:
    return [row, dict(row)] if scatter(i, 11) < 0.25 else row


class _Replay:
    """Sends each block of 40 rows again, after itself: event time jumps back."""

    def __call__(self, row: Row, i: int) -> Row | list[Row] | None:
        block = i // 40
        if i % 40 == 0:
            self._kept: list[Row] = []
        self._kept.append(row)
        return [*self._kept, *(dict(kept) for kept in self._kept)] if i % 40 == 39 and block >= 0 else None


def _new_ids(row: Row, i: int) -> Row | list[Row]:
    return [row, row | {"event_id": f"{row['event_id']}-again"}] if i % 3 == 0 else row


def _shuffled(row: Row, i: int) -> Row:
    row["timestamp"] -= 60_000 if i % 7 == 0 else 0
    return row


RULE = Rule(
    fault=FAULT,
    rung=Rung.FEED,
    examine=examine,
    examples=(
        Example("a quarter of the events come twice", _again),
        Example("every third payload comes again under a new id", _new_ids),
        Example("blocks of events are replayed", _Replay()),
        Example("some events are a minute late", _shuffled, named=False),
        Example("balance is stuck at an everyday value", fill(4_417.22, "balance"), named=False),
    ),
    runbook=Runbook(
        means="A producer or a job sends events again; counts, rates and every statistic are distorted.",
        confirm="Take one repeated event_id: do the records' offsets lie close together (retry) or far apart (replay)?",
        do="Stop the replay; make the producer idempotent; remove duplicates before anything is counted or billed.",
        if_wrong="If clients retry by design with the same id, accept the incident: that rate becomes the reference.",
    ),
)
