"""What a fault's file offers, and what it answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from whydrift.core.case import Case
from whydrift_schemas import Fault, RuledOut, Undo


class Rung(IntEnum):
    """The order of elimination (faults.md): a fault on a higher rung (a smaller number) explains away what is below."""

    FEED = 0
    IDENTITY = 1
    SCHEMA = 2
    TRANSFORM = 3
    MARGINAL = 4
    DEPENDENCE = 5
    MIX = 6
    SCORE = 7
    DECISION = 8
    LABEL_FEED = 9
    LABELS = 10
    CONCEPT = 11
    UNKNOWN = 12


@dataclass(frozen=True, slots=True)
class Proposal:
    """A fault that may be what broke.

    fit: how well the data match the fault's own pattern, 0 to 1; 1 = exactly what the fault leaves, nothing else does.
    explains: names of the signals whose alarms follow from it (its own and, for inputs, what they drag along).
    headline: the summary line's first part, such as "income arrives in thousands"; the diagnosis adds since when and how sure.
    explanation: what was seen, with numbers. action: what the person on call does first.
    decider: for look-alikes, the measurement that would decide between this and the other ("" = none needed).
    rows_decide: whether more rows may decide it, too. since_ms: when it began, where that is seen better than by its alarms.
    """

    fault: Fault
    fit: float
    explains: frozenset[str]
    headline: str
    explanation: str
    action: str
    features: tuple[str, ...] = ()
    undo: Undo | None = None
    replica: str | None = None
    segment: Mapping[str, str] | None = None
    decider: str = ""
    rows_decide: bool = True
    since_ms: int | None = None


Row = dict[str, Any]
"""One event of the example world as JSON values: the wire's prediction, or its label under the key "label"."""


@dataclass(frozen=True, slots=True)
class Example:
    """A stream in words and code: `breaks(row, i)` changes the i-th row since the onset, or drops it by returning None.

    named: True = this fault must come out first; False = a look-alike or a healthy change that must not be given its name.
    from_first: True = the onset is the very first event, judged by a reference of training data; False = health went before.
    The world they happen in is `tests/conformance/world.py`.
    """

    says: str
    breaks: Callable[[Row, int], Row | list[Row] | None]
    named: bool = True
    from_first: bool = False


@dataclass(frozen=True, slots=True)
class Runbook:
    """For the person paged: what it means, how to confirm it in two minutes, what to do, what if it is wrong."""

    means: str
    confirm: str
    do: str
    if_wrong: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault's place in the order of elimination, and the pure function that looks for it.

    `examine(case)` returns proposals, and says why not where the fault is a look-alike of what is seen. look_alikes: what else it
    is where it is not this one, most frequent first: faults that few rows cannot tell from it.
    """

    fault: Fault
    rung: Rung
    examine: Callable[[Case], list[Proposal | RuledOut]]
    examples: tuple[Example, ...]
    runbook: Runbook
    look_alikes: tuple[Fault, ...] = ()
