"""The open fault bench in short, with floors: every trouble at medium severity on the rows in `sample`, boosted trees, one seed.

The floors are a little below what is reached (README.md has the whole bench), so a change that finds or names less is seen; the
table is printed at the end of the test run. Nothing here waits for a clock, and no time is asserted.

Belongs here: those floors. Not here: the bench itself (`faults`), each fault's examples (`tests/conformance`).
"""

import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from statistics import median

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from breaks import TROUBLES
from faults import WARMED_UP, Stage, Trial, lines_of, stage, trials_of
from sample import SAMPLE

TABLES = ("adult", "diamonds")
"""Those of which the project contains rows."""
SEED = 0
MEDIUM = 1
ROWS = 2_000
"""Broken ones, of the bench's 3,000: what is not found by then is NOT_YET."""
LEAST_FOUND = 0.83
LEAST_FIRST, LEAST_AMONG_THREE = 0.9, 0.93
"""Of those that were found."""
LEAST_INPUTS = 0.95
LEAST_SLICES = 0.5
"""Of those that are confined to a segment, a replica, or both."""
MOST_DELAY_ROWS = 120
"""Median."""
NOT_YET = frozenset({"join", "lag", "other model", "replica", "recoding", "label shift", "stuck", "concept in segment"})
"""Troubles that are not found on each table; every other must be."""
NO_FLOOR = frozenset({"mixed inputs", "unrelated"})
"""Left out: the first is not solved, the second leaves no mark on adult, whose quantities hardly hang together (README.md)."""


@cache
def stages() -> Sequence[Stage]:
    return [stage(table, SAMPLE, "boosted", SEED, broken_rows=ROWS) for table in TABLES]


@cache
def trials() -> Sequence[Trial]:
    faults = TROUBLES.keys() - NO_FLOOR
    return [trial for one in stages() for _, trial in trials_of(one, SEED, faults, severities=[MEDIUM], later_rows=0)]


def found() -> Sequence[Trial]:
    return [one for one in trials() if one.delay is not None]


def share(holds: Callable[[Trial], bool], of: Sequence[Trial]) -> float:
    return sum(map(holds, of)) / len(of)


def test_nothing_is_said_of_the_healthy_rows_before_a_break_nor_of_their_unbroken_twin() -> None:
    assert all(len(one.before) == WARMED_UP and len(one.after) == ROWS for one in stages())
    assert [(one.table, said.summary) for one in stages() for said in one.false] == []


def test_most_troubles_are_found_and_named_rightly_at_first_in_time(
    record_property: Callable[[str, object], None],
) -> None:
    record_property("table", "\n".join(lines_of(trials())))
    assert share(lambda one: one.delay is not None, trials()) >= LEAST_FOUND
    assert share(lambda one: one.is_first, found()) >= LEAST_FIRST
    assert share(lambda one: one.is_among_three, found()) >= LEAST_AMONG_THREE
    assert share(lambda one: one.has_features, [one for one in found() if one.features]) >= LEAST_INPUTS
    assert median(one.delay for one in found() if one.delay is not None) <= MOST_DELAY_ROWS


def test_the_slice_that_a_trouble_is_confined_to_is_mostly_named_at_once_and_never_another_one() -> None:
    """What opens after few rows may name none yet."""
    there = [one for one in found() if one.slice]
    assert share(lambda one: one.named_slice == one.slice, there) >= LEAST_SLICES
    assert [one for one in there if not set(one.named_slice) <= set(one.slice)] == [], (
        "another slice; a wider one may be all that few rows tell"
    )


@pytest.mark.parametrize("table", TABLES)
def test_each_trouble_is_found_on_each_table_but_for_those_known_not_to_be(table: str) -> None:
    missed = {one.trouble for one in trials() if one.table == table and one.delay is None}
    assert missed <= NOT_YET
