"""Which relations among inputs changed, and whether one input, a group of them or the world is behind it.

Belongs here: `Relations` and groups, on arrays. Not here: the rules' examples through the pipeline (`tests/conformance`).
"""

import numpy as np
import pytest

from whydrift.core.columns import Floats
from whydrift.core.faults.relations import ELSEWHERE_P, Relations, joined_group, related

NAMES = ("a", "b", "c", "d")


def rows(n: int, seed: int) -> Floats:
    """Four inputs that all hang on one thing: (n, 4)."""
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, 1)) + 0.7 * draw.normal(size=(n, 4))


def other_rows(values: Floats, *groups: tuple[int, ...]) -> Floats:
    """The same values; each group of columns is that of other rows, as a whole."""
    found = values.copy()
    for shift, group in enumerate(groups, start=1):
        found[:, list(group)] = np.roll(values[:, list(group)], 7 * shift, axis=0)
    return found


def seen(now: Floats) -> Relations:
    return related(NAMES, list(rows(500, 1).T), list(now.T))


@pytest.mark.parametrize("guilty", range(4))
def test_without_the_input_that_is_joined_wrongly_everything_goes_together_as_in_health(guilty: int) -> None:
    found = seen(other_rows(rows(200, 2), (guilty,)))
    assert [place for place in range(4) if found.elsewhere_p(place) >= ELSEWHERE_P] == [guilty]


def test_in_health_no_input_is_needed_to_explain_anything() -> None:
    assert all(seen(rows(200, 3)).elsewhere_p(place) >= ELSEWHERE_P for place in range(4))


def test_where_several_inputs_lost_each_other_none_of_them_explains_it() -> None:
    found = seen(other_rows(rows(200, 4), (0,), (1,), (2,)))
    assert all(found.elsewhere_p(place) < ELSEWHERE_P for place in range(4))
    assert joined_group(found) == []


def test_a_group_that_keeps_together_but_lost_all_others_is_one_source_that_is_joined_wrongly() -> None:
    assert joined_group(seen(other_rows(rows(300, 5), (2, 3)))) in (["a", "b"], ["c", "d"])
