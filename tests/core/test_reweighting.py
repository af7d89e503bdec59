"""Black-box shift estimation: the new mix from answers alone, what labels say of it, and the inputs that agree or do not."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from whydrift.core.case import Aligned, AlignedRows, Case, ColumnView, SignalEvidence
from whydrift.core.columns import Column, Floats, Kind
from whydrift.core.detectors.bets import Tolerance
from whydrift.core.faults.reweighting import Mix, mix_of_outcomes
from whydrift.core.reference import learn_column
from whydrift.core.signals import distribution_bets

SEEDS = range(4)
Draw = np.random.Generator


class Picture(SimpleNamespace):
    """Known by identity, as a case is."""

    __hash__ = object.__hash__


def view(name: str, health: Floats, now: Floats, kind: Kind, *, is_alarmed: bool = False) -> ColumnView:
    column = Column(name, kind, {"no": 0.0, "yes": 1.0} if kind.is_coded else {})
    present = np.zeros(len(health), np.int8)
    reference = learn_column(column, health, present)
    signal = SignalEvidence(f"{name}.distribution", name, "distribution", 9.0, 7.0, 0, is_alarmed)
    return ColumnView(
        column=column,
        reference=reference,
        position=0,
        reference_values=health[:500],
        reference_presence=present[:500],
        current_values=now,
        current_presence=np.zeros(len(now), np.int8),
        bets=distribution_bets(reference, Tolerance(reference.rows, 100, 0.2)),
        signals={"distribution": signal},
    )


def rows(x: Floats, z: Floats, score: Floats, actual: Floats) -> AlignedRows:
    nothing = np.full(len(x), np.nan)
    outputs = {"prediction": score, "decision": nothing, "actual": actual, "loss": nothing}
    return AlignedRows(np.arange(len(x), dtype=np.int64), {"x": x, "z": z}, outputs, {})


def made(health: tuple[Floats, ...], now: tuple[Floats, ...], labels: int, kind: Kind, moved: str = "x") -> Case:
    """health, now: x, z, score, actual; the first 500 rows of health and `labels` rows of now have labels."""
    names = ("x", "z", "prediction", "actual")
    kinds = (Kind.NUMERIC, Kind.NUMERIC, Kind.NUMERIC, kind)
    views = {n: view(n, h, c, k, is_alarmed=n == moved) for n, h, c, k in zip(names, health, now, kinds, strict=True)}
    aligned = Aligned(rows(*(part[:500] for part in health)), rows(*(part[:labels] for part in now)))
    case = Picture(
        labelled=aligned,
        features={"x": views["x"], "z": views["z"]},
        segments={},
        outputs={"prediction": views["prediction"]},
        labels={"actual": views["actual"]},
    )
    return cast(Case, case)


def classes(draw: Draw, n: int, share: float) -> tuple[Floats, ...]:
    """Two classes whose x lie apart; the score is that of a model trained where both are as frequent."""
    actual = (draw.random(n) < share).astype(float)
    x = draw.normal(size=n) + 2.0 * actual
    return x, draw.normal(size=n) + 0.8 * actual, 1 / (1 + np.exp(-2.0 * (x - 1.0))), actual


def numbers(draw: Draw, n: int, weight: Callable[[Floats], Floats]) -> tuple[Floats, ...]:
    """An outcome, x and z that follow it; rows are drawn with a weight of the outcome."""
    y = draw.normal(size=6 * n)
    kept = draw.choice(6 * n, n, replace=False, p=weight(y) / weight(y).sum())
    y = y[kept]
    x = y + 0.7 * draw.normal(size=n)
    return x, y + draw.normal(size=n), 0.7 * x, y


def judged(case: Case) -> Mix:
    found = mix_of_outcomes(case)
    assert found is not None
    return found


@pytest.mark.parametrize("labels", [0, 300])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_new_mix_is_found_and_inputs_agree_with_it(seed: int, labels: int) -> None:
    draw = np.random.default_rng(seed)
    found = judged(made(classes(draw, 2_000, 0.3), classes(draw, 600, 0.75), labels, Kind.CATEGORICAL))
    assert found.outcomes == ("no", "yes")
    assert found.now[1] == pytest.approx(0.75, abs=0.08)
    assert found.answers > 10
    assert min(one.p for one in found.columns) > 1e-3
    (moved,) = [one for one in found.columns if one.view.name == "x"]
    assert moved.before > 3 > 1 > moved.after
    assert (found.labels > 3, found.known) == ((True, 300) if labels else (False, 0))


@pytest.mark.parametrize("seed", SEEDS)
def test_an_input_that_drifts_by_itself_fits_no_mix(seed: int) -> None:
    draw = np.random.default_rng(seed)
    x, z, _, actual = classes(draw, 600, 0.3)
    x = x - 2.5
    now = (x, z, 1 / (1 + np.exp(-2.0 * (x - 1.0))), actual)
    found = judged(made(classes(draw, 2_000, 0.3), now, 0, Kind.CATEGORICAL))
    assert min(one.p for one in found.columns) < 1e-4
    assert found.lead < 0


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_new_mix_answers_gain_little(seed: int) -> None:
    draw = np.random.default_rng(seed)
    found = judged(made(classes(draw, 2_000, 0.3), classes(draw, 600, 0.3), 200, Kind.CATEGORICAL))
    assert found.answers < 6
    assert abs(found.now[1] - 0.3) < 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_outcomes_that_follow_the_cases_otherwise_are_no_new_mix(seed: int) -> None:
    """The labels' mix moved, the answers did not, and cases of one outcome get other answers."""
    draw = np.random.default_rng(seed)
    x, z, score, actual = classes(draw, 600, 0.3)
    found = judged(made(classes(draw, 2_000, 0.3), (x, z, score, np.where(x > 0, 1.0, actual)), 500, Kind.CATEGORICAL))
    assert found.now[1] > 0.5
    assert found.answers < 0
    assert found.labels_p < 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_that_changed_whatever_the_answer_are_told_from_other_cases(seed: int) -> None:
    """By the answers that cases of each outcome get, which are few in health, of a rare one: no more than these can tell."""
    draw = np.random.default_rng(seed)
    x, z, score, actual = classes(draw, 600, 0.1)
    wrong = (x, z, score, np.where(draw.random(600) < 0.15, 1.0, actual))
    health = classes(draw, 2_000, 0.1)
    assert judged(made(health, wrong, 400, Kind.CATEGORICAL)).changed < -4
    assert judged(made(health, classes(draw, 600, 0.3), 400, Kind.CATEGORICAL)).changed > 4


@pytest.mark.parametrize("labels", [0, 300])
@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_are_reweighted_by_bins_of_the_outcome(seed: int, labels: int) -> None:
    draw = np.random.default_rng(seed)
    health = numbers(draw, 2_000, np.ones_like)
    now = numbers(draw, 600, lambda y: np.where(y > 0.5, 12.0, 1.0))
    found = judged(made(health, now, labels, Kind.NUMERIC))
    assert len(found.outcomes) == 5
    assert found.outcomes[0].startswith("below")
    assert found.moved == 4 or found.now[4] > 0.35
    assert min(one.p for one in found.columns) > 1e-4
    (moved,) = [one for one in found.columns if one.view.name == "x"]
    assert moved.before > max(2, 10 * moved.after)


def test_too_few_labels_of_health_or_one_outcome_only_tell_nothing() -> None:
    draw = np.random.default_rng(1)
    health, now = classes(draw, 2_000, 0.3), classes(draw, 300, 0.3)
    few: Any = made(tuple(part[:2_000] for part in health), now, 0, Kind.CATEGORICAL)
    few.labelled = Aligned(rows(*(part[:50] for part in health)), few.labelled.current)
    assert mix_of_outcomes(few) is None
    only = classes(draw, 2_000, 0.0)
    assert mix_of_outcomes(made(only, now, 0, Kind.CATEGORICAL)) is None
