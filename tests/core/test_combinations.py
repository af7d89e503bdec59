"""How new combinations of values are: quiet in health, plain for a cluster in an empty corner, the same after a restart.

Belongs here: the table and its scores, on arrays and in a pipeline. Not here: naming the region (`tests/conformance`).
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Column, Floats, Kind
from whydrift.core.combinations import (
    COMBINATIONS,
    can_combine,
    groups_of,
    indicators,
    learn_combinations,
    news_of,
    pair_times,
)
from whydrift.core.pipeline import Pipeline
from whydrift.core.records import Record
from whydrift.core.reference import NO_BIN, ColumnReference, learn_column
from whydrift.core.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))

SEEN = 2_000
COLUMN = Column("a", Kind.NUMERIC)


def related(n: int, seed: int) -> Floats:
    """Two quantities that hang together, and one that does not: (n, 3)."""
    draw = np.random.default_rng(seed)
    common = draw.normal(size=n)
    return np.column_stack(
        [common + 0.2 * draw.normal(size=n), common + 0.2 * draw.normal(size=n), draw.normal(size=n)]
    )


def references(values: Floats) -> list[ColumnReference]:
    there = np.zeros(len(values), np.int8)
    return [learn_column(COLUMN, one, there) for one in values.T]


def binned(known: list[ColumnReference], values: Floats) -> NDArray[np.intp]:
    return np.stack([reference.bins(COLUMN, one) for reference, one in zip(known, values.T, strict=True)], axis=1)


def test_healthy_rows_score_as_the_reference_says_by_either_half() -> None:
    healthy = related(SEEN, 1)
    known = references(healthy)
    found, reference = learn_combinations(known, binned(known, healthy))
    rows = binned(known, related(SEEN, 2))
    for offset in range(40):
        scores = found.scores(rows[50 * offset : 50 * offset + 50], offset)
        assert (scores > np.quantile(reference, 0.99)).mean() <= 0.1
    now = np.concatenate([found.scores(rows[place : place + 20], place) for place in range(0, SEEN, 20)])
    assert abs((now > 0).mean() - (reference > 0).mean()) < 0.02


def test_a_table_of_few_rows_finds_as_much_news_in_health_as_in_what_comes() -> None:
    """Where each row is counted in the table that it is judged by, health knows no news."""
    healthy = np.random.default_rng(1).normal(size=(400, 30))
    known = references(healthy)
    found, reference = learn_combinations(known, binned(known, healthy))
    rows = binned(known, np.random.default_rng(2).normal(size=(4_000, 30)))
    now = np.concatenate([found.scores(rows[place : place + 20], place) for place in range(0, 4_000, 20)])
    assert abs(now.mean() / reference.mean() - 1) < 0.2


def test_an_event_of_everyday_values_that_never_went_together_scores_above_all_of_health() -> None:
    healthy = related(SEEN, 1)
    known = references(healthy)
    found, reference = learn_combinations(known, binned(known, healthy))
    corner = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.5], [1.0, 1.0, 0.0], [np.nan, 1.0, 0.0]])
    above, below, usual, missing = found.scores(binned(known, corner), 0)
    assert min(above, below) > reference.max()
    assert usual == missing == 0.0


def test_a_score_does_not_depend_on_what_else_is_in_the_chunk() -> None:
    draw = np.random.default_rng(1)
    healthy = draw.normal(size=(400, 1)) + 0.2 * draw.normal(size=(400, 30))
    known = references(healthy)
    found, _ = learn_combinations(known, binned(known, healthy))
    rows = binned(known, np.random.default_rng(3).normal(size=(400, 30)))
    assert found.scores(rows, 7).tolist() == [float(found.scores(row[None, :], 7)[0]) for row in rows]


def test_a_column_of_one_value_has_no_combinations() -> None:
    there = np.zeros(SEEN, np.int8)
    assert not can_combine(learn_column(Column("a", Kind.NUMERIC), np.ones(SEEN), there))
    assert can_combine(learn_column(Column("a", Kind.NUMERIC), np.arange(SEEN) % 2.0, there))
    assert NO_BIN not in references(related(SEEN, 1))[0].used_bins


# -- in a pipeline ---------------------------------------------------------------------------------------------------


def records(values: Floats, first: int) -> list[Record]:
    """An event a second."""
    found = []
    for place, row in enumerate(values.tolist(), start=first):
        event: dict[str, Any] = {"kind": "prediction", "event_id": f"e{place}", "model_id": "m", "model_version": "1"}
        event |= {"timestamp": 1_795_437_000_000 + 1_000 * place, "features": dict(zip("abc", row, strict=True))}
        found.append(Record("events", 0, place, json.dumps(event | {"prediction": {"value": row[0]}}).encode()))
    return found


def level(pipeline: Pipeline) -> float:
    (model,) = pipeline._models.values()
    return float(model.levels()[f"{COMBINATIONS}.distribution"])


def test_a_cluster_in_an_empty_corner_gains_evidence_and_a_restart_changes_nothing() -> None:
    settings = Settings(baseline_events=1_000)
    pipeline = Pipeline(settings, "events", 0)
    pipeline.process(records(related(1_600, 1), 0))
    assert level(pipeline) < 1.0
    cluster = related(400, 2)
    cluster[::5, :2] = [1.0, -1.0]
    first, second = records(cluster[:210], 1_600), records(cluster[210:], 1_810)
    pipeline.process(first)
    restored = Pipeline.restore(settings, "events", 0, {}, pipeline.snapshot())
    pipeline.process(second)
    restored.process(second)
    assert level(pipeline) > 5.0
    assert level(restored) == level(pipeline)


def test_answers_to_a_kind_of_events_that_health_hardly_has_say_nothing_of_the_model() -> None:
    pipeline = Pipeline(Settings(baseline_events=1_000), "events", 0)
    pipeline.process(records(related(1_600, 1), 0))
    rows, is_odd = related(200, 2), np.arange(200) % 5 == 0
    rows[is_odd, :2] = [1.0, -1.0]
    pipeline.process(records(rows, 1_600))
    (model,) = pipeline._models.values()
    outputs = model.versions["1"].outputs
    residuals = outputs.recent().values[-200:, [column.name for column in outputs.columns].index("residual")]
    assert np.isnan(residuals[is_odd]).all()
    assert np.isnan(residuals[~is_odd]).mean() < 0.1


def test_two_that_wander_come_to_new_places_together_and_one_beside_what_does_not_wander_to_none() -> None:
    draw = np.random.default_rng(3)

    def walk(n: int) -> Floats:
        steps = np.cumsum(draw.normal(0, 0.05, n)) + draw.uniform(-1, 1)
        return np.abs((steps + 2) % 8 - 4) - 2 + 0.2 * draw.normal(size=n)

    healthy = np.column_stack([walk(SEEN), walk(SEEN), draw.normal(size=SEEN)])
    known = references(healthy)
    assert all(reference.times["centre"] > 100 for reference in known[:2])
    times = pair_times(known, SEEN)
    assert times[0, 1] > 100
    assert (times[2] == 1).all()
    is_in = indicators(np.array([groups_of(one) for one in known]), binned(known, healthy))
    assert news_of(is_in, np.ones((3, 3))).max() > 0, "corners that no event has had"
    assert news_of(is_in, times).max() == 0


def test_of_a_sample_from_all_of_health_more_rows_tell_than_of_neighbours() -> None:
    draw = np.random.default_rng(4)
    walk = np.cumsum(draw.normal(size=(SEEN, 2)), axis=0)
    known = references(walk)
    assert 1 <= pair_times(known, 40)[0, 1] < pair_times(known, SEEN)[0, 1] / 40
