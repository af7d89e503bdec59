"""What errors follow: the four stories of labelled rows, for classes and for numbers, and where rows do not decide."""

from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from whydrift.core.case import Aligned, AlignedRows, Case, Dimension
from whydrift.core.columns import Column, Floats, Kind
from whydrift.core.faults import misaligned_feature, wrong_model
from whydrift.core.faults.others_values import _Outcomes
from whydrift.core.faults.outcomes import Attribution, attribution, errors

from .columns_of_rows import stand_in_of, view_of

SEEDS = range(5)


class Picture(SimpleNamespace):
    """Known by identity, as a case is."""

    __hash__ = object.__hash__
    guards = ()
    stand_in = None


def rows(x: Floats, z: Floats, answers: Floats, actual: Floats, source: Floats, names: tuple[str, ...]) -> AlignedRows:
    nothing = np.full(len(x), np.nan)
    return AlignedRows(
        times_ms=np.arange(len(x), dtype=np.int64),
        inputs={"x": x, "z": z},
        outputs={"prediction": answers, "decision": nothing, "actual": actual, "loss": nothing},
        dimensions={"source": Dimension(source, names)},
    )


def case_of(before: AlignedRows, now: AlignedRows, kind: Kind) -> Case:
    """Only what `outcomes` looks at."""
    quantity = SimpleNamespace(reference=SimpleNamespace(kind=Kind.NUMERIC))
    actual = SimpleNamespace(
        reference=SimpleNamespace(kind=kind), column=Column("actual", kind, {"no": 0.0, "yes": 1.0})
    )
    made = Picture(
        labelled=Aligned(before, now), labels={"actual": actual}, features={"x": quantity, "z": quantity}, outputs={}
    )
    return cast(Case, made)


def classes(seed: int, n: int, breaks: Any) -> Case:
    """A calibrated model of two classes; `breaks(draw, x, source, actual)` gives the outcomes of now."""
    draw = np.random.default_rng(seed)

    def side(n: int, breaks: Any) -> AlignedRows:
        x, z = draw.normal(size=n), draw.normal(size=n)
        score = 1 / (1 + np.exp(-2.5 * x))
        actual = (draw.random(n) < score).astype(float)
        source = (draw.random(n) < 0.4).astype(float)
        return rows(
            x, z, score, actual if breaks is None else breaks(draw, x, source, actual), source, ("crm", "agency")
        )

    return case_of(side(500, None), side(n, breaks), Kind.CATEGORICAL)


def numbers(seed: int, n: int, breaks: Any) -> Case:
    """A model of a number, which errs more where it answers more."""
    draw = np.random.default_rng(seed)

    def side(n: int, breaks: Any) -> AlignedRows:
        x, z = draw.normal(size=n), draw.normal(size=n)
        answer = 10 + 3 * x
        actual = answer + draw.normal(size=n) * (0.5 + 0.1 * np.abs(answer))
        source = (draw.random(n) < 0.4).astype(float)
        return rows(
            x, z, answer, actual if breaks is None else breaks(draw, x, source, actual), source, ("crm", "agency")
        )

    return case_of(side(500, None), side(n, breaks), Kind.NUMERIC)


def judged(case: Case) -> Attribution:
    found = attribution(case)
    assert found is not None
    assert found.noise + found.by_source + found.drift + found.others + found.answers == pytest.approx(1)
    return found


def with_others_values(seed: int, kind: Kind, breaks: Any, share: float = 1.0) -> Case:
    """A model of two inputs; in a share of today's rows it was given another row's x. `breaks(draw, x, actual)`: as above."""
    draw = np.random.default_rng(seed)

    def side(n: int, *, is_now: bool) -> AlignedRows:
        x, z = draw.normal(size=n), draw.normal(size=n)
        given = np.where(draw.random(n) < share, draw.permutation(x), x) if is_now else x
        noise = draw.normal(size=n)

        def told(x: Floats) -> Floats:
            return 10 + 3 * x + 2 * z if kind is Kind.NUMERIC else 1 / (1 + np.exp(-2 * x - 2 * z))

        actual = told(x) + noise if kind is Kind.NUMERIC else (draw.random(n) < told(x)).astype(float)
        if is_now and breaks is not None:
            actual = breaks(draw, x, actual)
        return rows(given, z, told(given), actual, np.zeros(n), ("crm",))

    case = case_of(side(500, is_now=False), side(400, is_now=True), kind)
    health = side(4_000, is_now=False)
    case.stand_in = stand_in_of(health.inputs, health.outputs["prediction"])  # type: ignore[misc]
    case.features = {  # type: ignore[misc]
        name: view_of(name, values, case.labelled.current.inputs[name])
        for name, values in case.labelled.reference.inputs.items()
    }
    return case


def turned(chosen: Floats, actual: Floats) -> Floats:
    return np.where(chosen, 1 - actual, actual)


@pytest.mark.parametrize("seed", SEEDS)
def test_classes_turned_round_anywhere_are_noise(seed: int) -> None:
    found = judged(classes(seed, 400, lambda draw, x, source, y: turned(draw.random(len(y)) < 0.25, y)))
    assert found.noise > 0.7
    assert found.source == ""
    assert found.sure[1] > found.sure[0] + 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_classes_turned_round_by_one_source_are_that_source_s(seed: int) -> None:
    found = judged(
        classes(seed, 400, lambda draw, x, source, y: turned((draw.random(len(y)) < 0.4) & (source == 1), y))
    )
    assert found.by_source > 0.8
    assert found.source == "agency"


@pytest.mark.parametrize("seed", SEEDS)
def test_classes_turned_round_where_an_input_is_high_are_drift(seed: int) -> None:
    found = judged(classes(seed, 400, lambda draw, x, source, y: turned((draw.random(len(y)) < 0.5) & (x > 0.8), y)))
    assert found.drift > 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_all_classes_turned_round_are_drift(seed: int) -> None:
    """Labels that are wrong more often than right are no noise."""
    assert judged(classes(seed, 300, lambda draw, x, source, y: turned(np.ones(len(y), bool), y))).drift > 0.7


def test_few_rows_leave_it_open() -> None:
    found = judged(classes(1, 25, lambda draw, x, source, y: turned(draw.random(len(y)) < 0.2, y)))
    assert min(found.quality, found.drift) > 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_that_scatter_wider_are_noise(seed: int) -> None:
    found = judged(numbers(seed, 400, lambda draw, x, source, y: y + 2 * draw.normal(size=len(y))))
    assert found.noise > 0.8
    assert found.sure[1] > 1.3 * found.sure[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_that_scatter_wider_by_one_source_are_that_source_s(seed: int) -> None:
    found = judged(numbers(seed, 400, lambda draw, x, source, y: y + 3 * draw.normal(size=len(y)) * source))
    assert found.by_source > 0.8
    assert found.source == "agency"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("where", ["everywhere", "where x is high", "where x is low"])
def test_numbers_that_moved_are_drift(seed: int, where: str) -> None:
    moved = {
        "everywhere": lambda draw, x, source, y: y + 1.5,
        "where x is high": lambda draw, x, source, y: y + 2 * (x > 0.7),
        "where x is low": lambda draw, x, source, y: y - 2 * (x < -0.7),
    }[where]
    assert judged(numbers(seed, 400, moved)).drift > 0.9


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("kind", [Kind.NUMERIC, Kind.CATEGORICAL])
def test_outcomes_that_have_nothing_to_do_with_an_input_any_more_are_those_of_other_rows(
    kind: Kind, share: float
) -> None:
    """Four hundred classes decide it mostly, as many numbers always."""
    found = [judged(with_others_values(seed, kind, None, share)) for seed in SEEDS]
    assert {one.place for one in found} == {"x"}
    assert sum(one.others > 0.9 for one in found) >= (5 if kind is Kind.NUMERIC else 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_outcomes_that_follow_an_input_otherwise_or_scatter_wider_are_not(seed: int) -> None:
    higher = with_others_values(seed, Kind.NUMERIC, lambda draw, x, y: y + 3 * (x > 0.5), share=0.0)
    assert judged(higher).drift > 0.9
    # A model that leans on an input less than it should errs the other way round.
    steeper = with_others_values(seed, Kind.NUMERIC, lambda draw, x, y: y + 2 * x, share=0.0)
    assert judged(steeper).drift > 0.9
    assert judged(with_others_values(seed, Kind.NUMERIC, lambda draw, x, y: y - 1.5 * x, share=0.0)).others < 0.1
    wider = with_others_values(seed, Kind.NUMERIC, lambda draw, x, y: y + 2 * draw.normal(size=len(y)), share=0.0)
    assert judged(wider).noise > 0.8
    flipped = with_others_values(
        seed, Kind.CATEGORICAL, lambda draw, x, y: turned(draw.random(len(y)) < 0.25, y), share=0.0
    )
    assert judged(flipped).noise > 0.7


@pytest.mark.parametrize("is_troubled", [True, False])
@pytest.mark.parametrize(
    ("rule", "propose", "features"), [(misaligned_feature, "_by_outcomes", ("x",)), (wrong_model, "_by_labels", ())]
)
def test_what_outcomes_tell_is_proposed_and_less_surely_where_labels_may_be_a_selection(
    monkeypatch: pytest.MonkeyPatch, rule: ModuleType, propose: str, features: tuple[str, ...], is_troubled: bool
) -> None:
    case = with_others_values(1, Kind.NUMERIC, None)
    if rule is wrong_model:
        draw = np.random.default_rng(2)
        case.outputs["residual"] = view_of("residual", draw.normal(size=500), 2 * draw.normal(size=400))  # type: ignore[index]
    known = {"errs_more_everywhere": True, "feed_is_troubled": is_troubled, "loss_words": "mae 1 → 2"}
    for name, value in (known | {"loss_signals": frozenset({"loss.mean"})}).items():
        monkeypatch.setattr(rule, name, lambda case, value=value: value)
    (found,) = getattr(rule, propose)(case)
    assert found.features == features
    assert found.explains == {"loss.mean"}
    assert (found.fit > 0.8) != is_troubled
    monkeypatch.setattr(rule, "errs_more_everywhere", lambda case: False)
    assert getattr(rule, propose)(case) == []


def test_an_input_that_goes_with_another_as_ever_is_its_own_though_outcomes_no_longer_follow_it() -> None:
    def world_without_x(draw: np.random.Generator, x: Floats, actual: Floats) -> Floats:
        return (draw.random(len(x)) < 0.5).astype(float)

    case = with_others_values(1, Kind.CATEGORICAL, world_without_x, share=0.0)
    draw = np.random.default_rng(5)
    for name in ("x", "z"):
        both = case.labelled.reference.inputs[name], case.labelled.current.inputs[name]
        beside = (values + 0.3 * draw.normal(size=len(values)) for values in both)
        case.features[f"beside {name}"] = view_of(f"beside {name}", *beside)  # type: ignore[index]
    assert judged(case).others == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_that_come_again_are_known_by_all_rows_that_got_them(seed: int) -> None:
    draw = np.random.default_rng(seed)
    answers = draw.choice([0.1, 0.5, 0.9], 600)
    outcomes = _Outcomes(answers, np.sort(draw.random(600) < answers).astype(float), is_numeric=False)
    same = _Outcomes(np.full(600, 0.3), np.sort(draw.random(600) < 0.3).astype(float), is_numeric=False)
    assert len(set(outcomes.likely(np.array([0.1, 0.5, 0.9]), np.ones(3)).tolist())) == 3
    assert same.likely(np.array([0.3]), np.ones(1))[0] == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("shape", ["normal", "peaked"])
def test_health_s_answers_hardly_ever_seem_to_scatter_wider(shape: str) -> None:
    draw = np.random.default_rng(6)
    seen = []
    for _ in range(60):
        values = draw.normal(size=900) ** (3 if shape == "peaked" else 1)
        case = numbers(1, 60, lambda draw, x, source, y: y)
        case.outputs["residual"] = view_of("residual", values[:500], values[500:])  # type: ignore[index]
        seen.append(judged(case).answers)
    assert np.mean(np.array(seen) > 0.5) <= 0.02


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e300])
def test_outcomes_that_are_exact_or_too_large_to_reckon_with_are_no_trouble(size: float) -> None:
    case = with_others_values(1, Kind.NUMERIC, None)
    for side in (case.labelled.reference, case.labelled.current):
        side.outputs["prediction"][:] *= size
        side.outputs["actual"][:] *= size
    with np.errstate(all="ignore"):
        found = judged(case)
    assert np.isfinite([found.noise, found.drift, found.others]).all()


@pytest.mark.parametrize("wider", [1.0, 1.6])
def test_answers_that_scatter_wider_than_in_health_tell_of_another_model_before_that_is_an_alarm(wider: float) -> None:
    case = numbers(1, 400, lambda draw, x, source, y: y + 2 * draw.normal(size=len(y)))
    draw = np.random.default_rng(2)
    residual = view_of("residual", draw.normal(size=500), wider * draw.normal(size=400))
    case.outputs["residual"] = residual  # type: ignore[index]
    found = judged(case)
    assert (found.answers > 0.9) == (wider > 1)
    assert (found.noise > 0.8) == (wider == 1)


def test_too_few_rows_or_none_that_compare_are_no_story() -> None:
    assert attribution(classes(1, 10, None)) is None
    unknown = classes(1, 100, lambda draw, x, source, y: np.full(len(y), np.nan))
    assert attribution(unknown) is None


def test_answers_without_a_spread_are_no_trouble() -> None:
    draw = np.random.default_rng(3)

    def constant(n: int) -> AlignedRows:
        actual = draw.normal(size=n)
        return rows(np.ones(n), np.full(n, np.nan), np.full(n, 4.0), actual, np.zeros(n), ("crm",))

    found = errors(case_of(constant(100), constant(60), Kind.NUMERIC))
    assert found is not None
    assert np.isfinite(found.now).all()
    assert np.isfinite(judged(case_of(constant(100), constant(60), Kind.NUMERIC)).noise)
