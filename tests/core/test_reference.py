"""What a reference remembers of a column, and into which bins live values fall."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whydrift.core.columns import Column, Floats, Kind, Presence, encode_column
from whydrift.core.reference import (
    BINS,
    MAX_CATEGORIES,
    NO_BIN,
    REPEAT_WINDOW,
    UNSEEN,
    Binning,
    ColumnReference,
    learn_column,
    repeats,
)
from whydrift.core.state import pack, unpack

RNG = np.random.default_rng(3)
NORMAL = RNG.standard_normal(2_000)


def learnt(values: Floats | list[float], kind: Kind = Kind.NUMERIC) -> ColumnReference:
    values = np.asarray(values, float)
    presence = np.where(np.isnan(values), np.int8(Presence.NULL), np.int8(Presence.PRESENT))
    return learn_column(Column("x", kind), values, presence)


def learnt_categories(names: list[str]) -> tuple[Column, ColumnReference]:
    column = Column("x", Kind.CATEGORICAL)
    values, presence = encode_column(column, names)
    return column, learn_column(column, values, presence)


def bins_of(reference: ColumnReference, column: Column, values: list[float]) -> list[int]:
    """By both ways of binning, which must agree."""
    alone = reference.bins(column, np.array(values)).tolist()
    together = Binning([column], [reference]).bins(np.array(values)[:, None])[:, 0].tolist()
    assert alone == together
    return alone


# Counting ---------------------------------------------------------------------------------------------------------------------


def test_what_is_not_a_value_is_counted_by_its_kind() -> None:
    presence = np.array([0, 1, 1, 2, 3, 3, 3, 0, 0], np.int8)
    values = np.where(presence == 0, 7.0, np.nan)
    reference = learn_column(Column("x", Kind.NUMERIC), values, presence)
    assert (reference.rows, reference.null, reference.absent, reference.foreign, reference.n) == (9, 2, 1, 3, 3)
    assert reference.repeated == 2


def test_a_value_repeats_when_one_of_the_32_before_it_was_the_same() -> None:
    values = np.array([1.0, *range(100, 100 + REPEAT_WINDOW - 1), 1.0, np.nan, np.nan, 1.0])
    before = np.full((REPEAT_WINDOW, 1), np.nan)
    found = repeats(before, values[:, None])[:, 0]
    assert np.flatnonzero(found).tolist() == [REPEAT_WINDOW, REPEAT_WINDOW + 3]
    late = np.array([1.0, *range(100, 100 + REPEAT_WINDOW), 1.0])
    assert not repeats(before, late[:, None]).any()


def test_repeats_are_the_same_however_the_rows_are_cut() -> None:
    values = RNG.integers(0, 40, (200, 3)).astype(float)
    before = np.full((REPEAT_WINDOW, 3), np.nan)
    whole = repeats(before, values)
    parts = []
    for at in (0, 1, 18, 50, 130):
        part = values[at : {0: 1, 1: 18, 18: 50, 50: 130, 130: 200}[at]]
        parts.append(repeats(before, part))
        before = np.concatenate([before, part])[-REPEAT_WINDOW:]
    assert np.array_equal(np.concatenate(parts), whole)


# Quantities -------------------------------------------------------------------------------------------------------------------


def test_masses_are_the_shares_of_the_reference_in_its_own_bins() -> None:
    reference = learnt(NORMAL)
    found = np.bincount(reference.bins(Column("x", Kind.NUMERIC), NORMAL), minlength=BINS)
    assert reference.masses == pytest.approx(found / 2_000)
    assert reference.masses.sum() == pytest.approx(1)
    assert reference.masses[0] == pytest.approx(0.002, abs=1e-3)
    assert len(reference.used_bins) == 24
    assert reference.quantile(0.5) == reference.median == pytest.approx(np.median(NORMAL))
    assert reference.spread == pytest.approx(1, abs=0.1)


def test_a_heavy_value_amid_a_continuous_distribution_has_a_bin_of_its_own() -> None:
    values = np.where(RNG.random(2_000) < 0.3, 0.0, RNG.standard_normal(2_000))
    reference = learnt(values)
    own, below, above = bins_of(reference, Column("x", Kind.NUMERIC), [0.0, -1e-9, 1e-9])
    assert len({own, below, above}) == 3
    assert reference.masses[own] == pytest.approx((values == 0).mean())
    assert reference.atoms[0.0] == pytest.approx((values == 0).mean())


def test_many_heavy_values_leave_room_for_all_of_the_scale() -> None:
    """Twenty atoms of 4.5 % and a tail above: the tail must not fall into one bin with an atom."""
    values = np.concatenate([np.repeat(np.arange(20.0), 90), np.linspace(100, 200, 200)])
    reference = learnt(values)
    middle, low, high = bins_of(reference, Column("x", Kind.NUMERIC), [10.0, 19.0, 160.0])
    assert middle < low < high
    assert len(reference.edges) <= BINS - 1


def test_a_quantity_of_few_values_is_discrete_and_tells_values_it_never_had() -> None:
    reference = learnt([0.0, 1.0, 1.0, 2.0] * 50)
    assert reference.is_discrete
    assert not learnt(NORMAL).is_discrete
    column = Column("x", Kind.NUMERIC)
    binning = Binning([column, column], [reference, learnt(NORMAL)])
    values = np.array([[0.0, 9.0], [1.5, 9.0], [-1.0, 9.0], [3.0, 9.0], [2.0, 9.0], [np.nan, 9.0]])
    unseen = binning.unseen(values, binning.bins(values))
    assert unseen[:, 0].tolist() == [False, True, True, True, False, False]
    assert not unseen[:, 1].any(), "of a continuous quantity every value is new"


def test_out_of_range_is_beyond_everything_seen_and_not_a_missing_value() -> None:
    column, reference = Column("x", Kind.NUMERIC), learnt([1.0, 5.0, 3.0])
    _, coded = learnt_categories(["a"])
    binning = Binning([column, column], [reference, coded])
    values = np.array([[1.0, 0.0], [5.0, 0.0], [0.99, 0.0], [5.01, 99.0], [np.nan, np.nan]])
    assert binning.out_of_range(values)[:, 0].tolist() == [False, False, True, True, False]
    assert not binning.out_of_range(values)[:, 1].any(), "categories have no range"


@given(
    st.lists(
        st.sampled_from([0.0, 1.0, -1.0, 2.0, 1e300, -1e300, 5e-324])
        | st.floats(allow_nan=False, allow_infinity=False),
        max_size=60,
    ),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_finite_values_make_a_reference_that_bins_any_finite_values(seen: list[float], later: list[float]) -> None:
    reference = learnt(seen)
    assert reference.masses.sum() == pytest.approx(1 if seen else 0)
    assert len(reference.edges) < BINS
    assert (np.diff(reference.edges) > 0).all()
    found = bins_of(reference, Column("x", Kind.NUMERIC), [*seen, *later, np.nan])
    assert found[-1] == NO_BIN
    assert set(found[:-1]) <= set(reference.used_bins.tolist())


def test_a_column_without_any_value_has_a_reference_that_says_so() -> None:
    reference = learnt([np.nan] * 10)
    assert (reference.n, reference.null, reference.distinct) == (0, 10, 0)
    assert reference.masses.sum() == 0
    assert bins_of(reference, Column("x", Kind.NUMERIC), [3.0, np.nan]) == [0, NO_BIN]


# Categories -------------------------------------------------------------------------------------------------------------------


def test_few_categories_have_a_bin_each_and_new_ones_are_unseen() -> None:
    column, reference = learnt_categories(["b"] * 6 + ["a"] * 3 + ["c"])
    assert list(reference.shares) == ["b", "a", "c"]
    assert reference.singletons == 1
    new = column.code("d")
    assert bins_of(reference, column, [column.code(name) for name in "bac"] + [new]) == [0, 1, 2, UNSEEN]


def test_the_order_of_equally_frequent_categories_does_not_depend_on_which_came_first() -> None:
    _, one = learnt_categories(["b", "a", "c", "a", "b", "c"])
    _, other = learnt_categories(["c", "a", "b", "c", "b", "a"])
    assert list(one.shares) == list(other.shares) == ["a", "b", "c"]


def test_a_category_that_appears_later_is_unseen_to_every_column_that_knows_the_vocabulary() -> None:
    column, reference = learnt_categories(["a", "b"] * 5)
    binning = Binning([column], [reference])
    assert binning.bins(np.array([[0.0]]))[0, 0] == 0
    late = column.code("late")
    bins = binning.bins(np.array([[late], [1.0]]))
    assert bins[:, 0].tolist() == [UNSEEN, 1]
    assert binning.unseen(np.array([[late], [1.0]]), bins)[:, 0].tolist() == [True, False]


def test_of_many_categories_heavy_ones_keep_a_bin_and_the_others_share_bins_by_name() -> None:
    names = ["big"] * 400 + [f"v{i}" for i in range(200) for _ in range(8)]
    column, reference = learnt_categories(names)
    rest = bins_of(reference, column, [column.code(f"v{i}") for i in range(200)])
    assert bins_of(reference, column, [column.code("big")]) == [0]
    assert 0 not in rest
    assert UNSEEN not in rest
    assert len(set(rest)) > 20
    assert reference.masses[:UNSEEN].sum() == pytest.approx(1)


def test_more_categories_than_are_kept_count_as_never_seen() -> None:
    """Their values come again: a reference that took their rate for 0 would alarm at once."""
    names = [f"v{i}" for i in range(800) for _ in range(5)]
    column, reference = learnt_categories(names)
    assert len(reference.shares) == MAX_CATEGORIES
    assert reference.singletons == 300 * 5
    cut = next(name for name in names if name not in reference.shares)
    assert bins_of(reference, column, [column.code(cut)]) == [UNSEEN]
    assert reference.masses[UNSEEN] >= 300 * 5 / 4_000


def test_ids_that_never_come_twice_are_all_expected_to_be_unseen() -> None:
    column, reference = learnt_categories([f"id-{i}" for i in range(2_000)])
    assert reference.repeated == 0
    assert reference.unseen_ones == reference.singletons == 2_000
    assert bins_of(reference, column, [column.code("id-x")]) == [UNSEEN]
    assert reference.masses[:UNSEEN].sum() == 0, "nothing is known of single ones"


def test_where_most_categories_were_seen_twice_more_unseen_ones_are_allowed_for() -> None:
    _, single = learnt_categories([f"v{i}" for i in range(10)] + ["big"] * 100)
    _, twice = learnt_categories([f"v{i}" for i in range(100) for _ in (0, 1)])
    assert single.unseen_ones == single.singletons == 10
    assert twice.singletons == 0
    assert 20 < twice.unseen_ones <= 200


@pytest.mark.parametrize("kind", [Kind.NUMERIC, Kind.CATEGORICAL])
def test_a_reference_through_bytes_is_the_same(kind: Kind) -> None:
    if kind is Kind.NUMERIC:
        column, reference = Column("x", kind), learnt(np.round(NORMAL, 1))
    else:
        column, reference = learnt_categories([f"v{i % 70}" for i in range(2_000)])
    again = ColumnReference.restore(unpack("reference", pack("reference", reference.snapshot())))
    assert pack("reference", again.snapshot()) == pack("reference", reference.snapshot())
    values = [0.0, 1.0, 5.0, 69.0, np.nan]
    assert bins_of(again, column, values) == bins_of(reference, column, values)
    assert again.masses.tolist() == reference.masses.tolist()
