"""From JSON values to columns: kinds, what is not there, categories without end, embeddings."""

from typing import Any

import numpy as np
import pytest

from whydrift.core.columns import (
    ABSENT,
    MAX_VOCABULARY,
    OVERFLOW,
    Column,
    Kind,
    Presence,
    Rows,
    encode_column,
    infer_kind,
)
from whydrift.core.reference import REPEAT_WINDOW, repeats


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5, None], Kind.NUMERIC),
        ([True, False], Kind.BOOLEAN),
        (["a", None, "b"], Kind.CATEGORICAL),
        ([[0.1, 2]], Kind.EMBEDDING),
        (["a", "b", 1], Kind.CATEGORICAL),
        ([1, "a"], Kind.NUMERIC),
        ([True, 1, 1], Kind.NUMERIC),
        ([None, ABSENT], None),
        ([], None),
    ],
)
def test_the_kind_of_a_column_is_that_of_most_values(values: list[Any], kind: Kind | None) -> None:
    assert infer_kind(values) is kind


def encoded(column: Column, values: list[Any]) -> list[float | Presence]:
    """Values where present, else what is the matter."""
    numbers, presence = encode_column(column, values)
    pairs = zip(numbers.tolist(), presence.tolist(), strict=True)
    assert all(np.isnan(number) == (p != Presence.PRESENT) for number, p in zip(numbers, presence, strict=True))
    return [number if p == Presence.PRESENT else Presence(p) for number, p in pairs]


def test_null_absent_and_foreign_values_are_told_apart() -> None:
    column = Column("x", Kind.NUMERIC)
    assert encoded(column, [1, None, ABSENT, "1", True, [1.0], 2.5]) == [
        1.0, Presence.NULL, Presence.ABSENT, Presence.FOREIGN, Presence.FOREIGN, Presence.FOREIGN, 2.5,
    ]  # fmt: skip


@pytest.mark.parametrize("kind", Kind)
def test_one_odd_value_does_not_change_how_the_others_are_read(kind: Kind) -> None:
    """The quick path for clean columns and the careful one must agree."""
    values: list[Any] = {
        Kind.NUMERIC: [1, 2.5, -3],
        Kind.CATEGORICAL: ["b", "a", "b"],
        Kind.BOOLEAN: [True, False, True],
        Kind.EMBEDDING: [[3.0, 4.0], [0, 1], [1, 0]],
    }[kind]
    clean, mixed = Column("x", kind), Column("x", kind)
    assert encoded(mixed, [*values, None])[:-1] == encoded(clean, values) == encoded(clean, values)
    assert mixed.codes == clean.codes


def test_booleans_are_the_categories_false_and_true_and_numbers_are_not_booleans() -> None:
    column = Column("x", Kind.BOOLEAN)
    assert encoded(column, [True, False, 1, "true"]) == [0.0, 1.0, Presence.FOREIGN, Presence.FOREIGN]
    assert [column.category(code) for code in (0.0, 1.0)] == ["true", "false"]


def test_integers_may_be_categories_where_the_column_is_declared_so_but_no_other_numbers() -> None:
    column = Column("x", Kind.CATEGORICAL)
    assert encoded(column, ["3", 3, 3.0, True]) == [0.0, 0.0, Presence.FOREIGN, Presence.FOREIGN]


def test_categories_beyond_the_vocabulary_share_a_code_and_known_ones_keep_theirs() -> None:
    column = Column("x", Kind.CATEGORICAL)
    numbers, _ = encode_column(column, [f"v{i}" for i in range(MAX_VOCABULARY + 50)])
    assert numbers[:MAX_VOCABULARY].tolist() == list(range(MAX_VOCABULARY))
    assert set(numbers[MAX_VOCABULARY:].astype(int)) == {int(OVERFLOW)}
    assert len(column.codes) == MAX_VOCABULARY
    assert column.category(float(numbers[-1])) == "(further values)"
    assert encoded(column, ["v7"]) == [7.0]


def test_beyond_the_vocabulary_only_equal_values_repeat() -> None:
    """Ids that never come twice must not look like one value that always comes."""
    column = Column("x", Kind.CATEGORICAL, {f"v{i}": float(i) for i in range(MAX_VOCABULARY)})
    numbers, _ = encode_column(column, ["new1", "new2", "new1", "new3"])
    before = np.full((REPEAT_WINDOW, 1), np.nan)
    assert repeats(before, numbers[:, None])[:, 0].tolist() == [False, False, True, False]


def test_an_embedding_stands_for_its_norm() -> None:
    column = Column("x", Kind.EMBEDDING)
    assert encoded(column, [[3.0, 4.0], [0, 0]]) == [5.0, 0.0]
    assert column.dimension == 2


def test_an_embedding_of_another_length_is_foreign_and_one_with_nulls_is_null() -> None:
    column = Column("x", Kind.EMBEDDING)
    assert encoded(column, [[3.0, 4.0], [1.0], [1.0, None], [], None]) == [
        5.0, Presence.FOREIGN, Presence.NULL, Presence.FOREIGN, Presence.NULL,
    ]  # fmt: skip


def test_an_embedding_whose_norm_no_float_can_hold_is_foreign() -> None:
    column = Column("x", Kind.EMBEDDING)
    assert encoded(column, [[1.7e308, 1.7e308], [1e200, 1e200]]) == [
        Presence.FOREIGN,
        pytest.approx(np.sqrt(2) * 1e200),
    ]


def test_an_empty_embedding_does_not_set_the_length_of_all_others() -> None:
    column = Column("x", Kind.EMBEDDING)
    assert encoded(column, [[], [3.0, 4.0]]) == [Presence.FOREIGN, 5.0]


def test_rows_are_joined_selected_and_restored_as_they_were() -> None:
    def rows(*offsets: int) -> Rows:
        n = len(offsets)
        return Rows(
            np.arange(2.0 * n).reshape(n, 2), np.zeros((n, 2), np.int8), np.array(offsets) * 10, np.array(offsets)
        )

    joined = Rows.concat([rows(1, 2), rows(5)], 2)
    assert len(joined) == 3
    assert joined.take(joined.offsets >= 2).times_ms.tolist() == [20, 50]
    assert Rows.concat([], 3).values.shape == (0, 3)
    again = Rows.restore(joined.snapshot())
    assert again.values.tolist() == joined.values.tolist()
