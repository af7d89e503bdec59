"""Two things that break at once: each has its incident where data can tell them apart, and no two of them stop the worker.

Belongs here: pairs of the rules' examples through the real pipeline. Not here: one fault at a time (`test_faults`), faults one
after the other (`tests/core/test_incidents.py`).
"""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import world
from streams import Said, broken, learnt, said

from whydrift.core.faults import rules
from whydrift.core.faults.rule import Example
from whydrift.core.faults.sketches import both, change, predict
from whydrift_schemas import Status

SEED = 1
ROWS, LONG = 600, 2_500
EXAMPLES = {example.says: example for rule in rules() for example in rule.examples}
TOLD_APART = (
    (
        "region is null in a tenth of the rows",
        "odds are six times what they were",
        "missing_values",
        "calibration_change",
    ),
    ("a tenth of the regions are unknown", "odds are six times what they were", "default_fill", "calibration_change"),
    ("a new region", "every score is 1 − score", "new_category", "output_permutation"),
    (
        "balance is −99999 in a tenth of the rows",
        "odds are six times what they were",
        "default_fill",
        "calibration_change",
    ),
    ("a few absurd incomes", "every score is 1 − score", "outliers", "output_permutation"),
    (
        "region arrives in capitals",
        "every answer is 0.2, in a fraction of the time",
        "category_recoding",
        "fallback_answers",
    ),
    (
        "age and tenure arrive swapped",
        "every answer is 0.2, in a fraction of the time",
        "feature_swap",
        "fallback_answers",
    ),
)
"""A broken input, a broken model, and their names: the input does not hide what answers do in rows that it has not touched."""
ALONE = (
    "region is null in a tenth of the rows",
    "a tenth of the regions are unknown",
    "a new region",
    "balance is −99999 in a tenth of the rows",
    "income is −1 in a third of the rows",
    "a few absurd incomes",
    "region arrives in capitals",
)
DRAWN, DRAWN_BY = 18, 3
ONCE_STOPPED_IT = (("region arrives in capitals", "incomes fall"),)
"""Rows all of whose answers nothing is expected of: there was no middle half of none of them."""


def told(*names: str, rows: int = ROWS) -> list[Said]:
    breaks = both(*(EXAMPLES[name].breaks for name in names))
    return list(said(learnt(SEED).pipeline(), broken(Example(" and ".join(names), breaks), rows, SEED)))


@pytest.mark.parametrize(
    ("of_input", "of_model", "first", "second"), TOLD_APART, ids=[" and ".join(pair[:2]) for pair in TOLD_APART]
)
def test_a_broken_model_is_told_beside_a_broken_input(of_input: str, of_model: str, first: str, second: str) -> None:
    latest = {one.diagnosis.incident_id: one.fault for one in told(of_input, of_model)}
    assert sorted(latest.values()) == sorted([first, second])


def test_both_incidents_last_as_long_as_what_broke() -> None:
    """The broken input's is judged again and again, and does not take the answers back."""
    found = told("region is null in a tenth of the rows", "odds are six times what they were", rows=LONG)
    assert len({one.diagnosis.incident_id for one in found}) == 2
    assert {one.diagnosis.status for one in found} <= {Status.OPENED, Status.UPDATED}


@pytest.mark.parametrize("says", ALONE)
def test_nothing_is_told_of_the_model_beside_an_input_that_breaks_alone(says: str) -> None:
    assert len({one.diagnosis.incident_id for one in told(says)}) == 1


def drawn() -> list[tuple[str, str]]:
    """Pairs of faults of different rules whose breaks can be made one after the other."""
    draw = random.Random(DRAWN_BY)
    names = [(rule.fault, example.says) for rule in rules() for example in rule.examples if example.named]
    found: list[tuple[str, str]] = []
    while len(found) < DRAWN:
        (one, first), (other, second) = draw.sample(names, 2)
        if one != other and _can_be_made(first, second):
            found.append((first, second))
    return found


def _can_be_made(first: str, second: str) -> bool:
    """Whether the second finds what it breaks: an income that the first leaves out cannot be multiplied."""
    try:
        for i, row in enumerate(world.healthy_rows(SEED, 60)):
            both(EXAMPLES[first].breaks, EXAMPLES[second].breaks)(row, i)
    except (KeyError, TypeError):
        return False
    return True


@pytest.mark.parametrize("pair", [*ONCE_STOPPED_IT, *drawn()], ids=" and ".join)
def test_no_two_faults_at_once_stop_the_worker_or_go_unseen(pair: tuple[str, str]) -> None:
    assert told(*pair)


def test_an_input_that_drives_every_answer_to_an_end_is_one_incident() -> None:
    """What no broken input does is to bring one and the same everyday answer."""
    breaks = both(change(lambda v, i: v * 1_000, "income"), predict(lambda s, f: 1.0))
    found = list(
        said(learnt(SEED).pipeline(), broken(Example("income in thousandths, all scores 1", breaks), ROWS, SEED))
    )
    assert {one.fault for one in found} == {"unit_change"}
