"""Chunk summaries add up: what two halves, or two partitions, say together is what all their rows say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whydrift.core.columns import Column, Floats, Kind, Presence, Rows
from whydrift.core.monitor import Monitor
from whydrift.core.settings import Settings
from whydrift.core.state import pack, unpack
from whydrift.core.summary import ChunkSummary

SETTINGS = Settings(baseline_events=500, first_stage_events=250)


def rows(start: int, stop: int, seed: int = 0) -> Rows:
    """Numbers, categories, a discrete number, and all ways of not being there."""
    draw = np.random.default_rng((seed, start))
    n = stop - start
    values = np.column_stack(
        [
            draw.normal(size=n),
            draw.integers(4, size=n),
            draw.integers(3, size=n),
            np.round(draw.normal(size=n), 2),
            draw.normal(size=n),
        ]
    )
    presence = np.where(draw.random(values.shape) < 0.1, draw.integers(1, 4, values.shape), 0).astype(np.int8)
    values[presence > 0] = np.nan
    offsets = np.arange(start, stop)
    return Rows(values, presence, 10 * offsets, offsets)


def monitor() -> Monitor:
    kinds = {"x": Kind.NUMERIC, "c": Kind.CATEGORICAL, "d": Kind.NUMERIC, "z": Kind.NUMERIC, "empty": Kind.NUMERIC}
    found = Monitor(SETTINGS, [Column(name, kind) for name, kind in kinds.items()], ("odd", "late"))
    for code in "wxyz":
        found.columns[1].code(code)
    learnt = rows(0, 500)
    learnt.values[:, 4], learnt.presence[:, 4] = (
        np.nan,
        Presence.NULL,
    )  # a column without a reference is counted nowhere
    odd_once = np.zeros((20, 2), bool)
    odd_once[0, 0] = True
    for first in range(0, 500, 20):
        found.update(learnt.take(slice(first, first + 20)), odd_once)
    return found


MONITOR = monitor()


def summary(of: Rows, yes: int = 0) -> ChunkSummary:
    flags: Floats = np.array([[len(of) - yes, yes], [len(of), 0]], float)
    return MONITOR.summarise(of, flags, MONITOR.binning.bins(of.values[:, MONITOR.known_columns]))


def same(first: ChunkSummary, second: ChunkSummary, *, but_repeats: bool = False) -> bool:
    names = list(MONITOR.levels())[-len(first.flags) :]
    kept = [place for place, name in enumerate(names) if not (but_repeats and name.endswith(".repeated"))]
    return (
        (first.rows, first.first_ms, first.first_offset) == (second.rows, second.first_ms, second.first_offset)
        and np.array_equal(first.numeric, second.numeric)
        and np.array_equal(first.coded, second.coded)
        and np.array_equal(first.flags[kept], second.flags[kept])
    )


def test_a_summary_counts_every_row_once() -> None:
    one = rows(600, 640)
    counted = summary(one, yes=3)
    usable = (one.presence == Presence.PRESENT).sum(axis=0)
    assert counted.rows == 40
    assert counted.numeric.sum(axis=1).tolist() == [usable[0], usable[2], usable[3]]
    assert counted.coded.sum(axis=1).tolist() == [usable[1]]
    assert counted.flags[-2:].tolist() == [[37, 3], [40, 0]]
    assert (counted.first_ms, counted.first_offset) == (6_000, 600)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 39), st.integers(0, 5))
def test_the_summaries_of_two_halves_add_up_to_that_of_all_rows_but_for_repeats(cut: int, seed: int) -> None:
    whole = rows(600, 640, seed)
    halves = summary(whole.take(slice(0, cut)), 1) + summary(whole.take(slice(cut, None)), 2)
    assert same(halves, summary(whole, 3), but_repeats=True)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.booleans(), min_size=40, max_size=40), st.integers(0, 5))
def test_the_summaries_of_two_partitions_add_up_to_that_of_all_rows_but_for_repeats(
    owner: list[bool], seed: int
) -> None:
    whole, mine = rows(600, 640, seed), np.array(owner)
    if mine.all() or not mine.any():
        return
    parts = summary(whole.take(mine)) + summary(whole.take(~mine))
    assert same(parts, summary(whole), but_repeats=True)


def test_adding_does_not_depend_on_order_or_grouping() -> None:
    a, b, c = (summary(rows(first, first + 20), yes) for first, yes in ((600, 1), (620, 0), (640, 5)))
    assert same((a + b) + c, a + (b + c))
    assert same(a + b, b + a)
    assert (b + a).first_offset == 600, "it begins with the earlier one"


def test_repeats_are_counted_where_the_rows_before_are_known() -> None:
    value = rows(600, 620)
    value.values[:, 0], value.presence[:, 0] = np.arange(20.0) % 10, Presence.PRESENT
    place = list(MONITOR.levels()).index("x.repeated") - len(MONITOR.levels())
    assert summary(value).flags[place].tolist() == [10, 10]
    halves = summary(value.take(slice(0, 10))) + summary(value.take(slice(10, None)))
    assert halves.flags[place].tolist() == [20, 0], "each half by itself repeats nothing"


@pytest.mark.parametrize("n", [1, 20])
def test_a_summary_survives_its_bytes(n: int) -> None:
    one = summary(rows(600, 600 + n))
    back = ChunkSummary.restore(unpack("chunk", pack("chunk", one.snapshot())))
    assert same(back, one)
    assert same(back + one, one + one)


def test_two_chunks_summed_are_evidence_like_one_chunk_of_all_their_rows() -> None:
    shifted = rows(600, 640)
    shifted.values[:, 0] += 2
    apart, together = monitor(), monitor()
    together.detect(summary(shifted))
    apart.detect(summary(shifted.take(slice(0, 20))) + summary(shifted.take(slice(20, None))))
    levels = together.levels()
    assert levels["x.distribution"] > 3
    assert {n: v for n, v in apart.levels().items() if not n.endswith(".repeated")} == {
        n: v for n, v in levels.items() if not n.endswith(".repeated")
    }
