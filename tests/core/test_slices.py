"""The guilty slice: found where one part of the traffic carries a departure, and never guessed.

Belongs here: the search on made-up rows, and that a diagnosis names what it finds. Not here: how often it is right on real tables
(`tests/bench/faults.py`).
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))  # the example world and its case builder

from case_builder import case_of

from whydrift.core.case import Aligned, AlignedRows, Dimension
from whydrift.core.columns import Floats
from whydrift.core.diagnose import MAX_HEADLINE, Finding, diagnose
from whydrift.core.faults.rule import Example, Row
from whydrift.core.faults.sketches import Break, change, fail, fill
from whydrift.core.slices import Slice, guilty_slice

from .work import calls_of

HEALTH, NOW = 500, 300
COUNTRIES = ("de", "at", "ch", "fr")
PODS = ("pod-1", "pod-2", "pod-3")
Codes = Mapping[str, NDArray[np.int64]]


def drawn(draw: np.random.Generator, n: int, shares: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)) -> Codes:
    return {"segment.country": draw.choice(4, n, p=shares), "replica": draw.integers(0, 3, n)}


def rows(codes: Codes) -> AlignedRows:
    names = {"segment.country": COUNTRIES, "replica": PODS}
    n = len(next(iter(codes.values())))
    dimensions = {name: Dimension(found.astype(float), names.get(name, COUNTRIES)) for name, found in codes.items()}
    return AlignedRows(np.arange(n, dtype=np.int64), {}, {}, dimensions)


class World:
    """Rows of health and of now, of a standard normal quantity, before anything is broken."""

    def __init__(self, seed: int, now: int = NOW) -> None:
        self.draw = np.random.default_rng(seed)
        self.health, self.today = drawn(self.draw, HEALTH), drawn(self.draw, now)
        self.before: Floats = self.draw.normal(size=HEALTH)
        self.now: Floats = self.draw.normal(size=now)

    def of(self, country: str | None = None, pod: str | None = None) -> NDArray[np.bool_]:
        found = np.ones(len(self.now), bool)
        if country is not None:
            found &= self.today["segment.country"] == COUNTRIES.index(country)
        if pod is not None:
            found &= self.today["replica"] == PODS.index(pod)
        return found

    def guilty(self, *, is_loss: bool = False) -> Slice | None:
        return guilty_slice(Aligned(rows(self.health), rows(self.today)), self.before, self.now, is_loss=is_loss)


def test_one_segment_that_carries_the_departure_is_named_with_its_share() -> None:
    world = World(1)
    world.now[world.of("ch")] += 3
    found = world.guilty()
    assert found is not None
    assert found.parts == (("segment.country", "ch"),)
    assert found.segment == {"country": "ch"}
    assert found.replica is None
    assert found.share == pytest.approx(world.of("ch").mean())
    assert found.told.startswith("Only in country=ch, ")


def test_a_replica_whose_values_are_missing_is_named() -> None:
    world = World(2)
    world.now[world.of(pod="pod-3")] = np.nan
    found = world.guilty()
    assert found is not None
    assert (found.replica, found.segment, found.where) == ("pod-3", None, "on pod-3")


def test_two_dimensions_are_named_only_where_one_does_not_say_all() -> None:
    world = World(3)
    world.now[world.of("de", "pod-2")] *= 10
    found = world.guilty()
    assert found is not None
    assert (found.replica, found.segment, found.where) == ("pod-2", {"country": "de"}, "in country=de on pod-2")


def test_what_departs_everywhere_or_in_two_values_is_nobody_s() -> None:
    world = World(4)
    world.now += 2
    assert world.guilty() is None
    world = World(4)
    world.now[world.of("de") | world.of("at")] += 2
    assert world.guilty() is None


def test_a_mix_that_shifts_makes_nobody_guilty() -> None:
    """Simpson's paradox: countries differ, their shares move, and within each nothing does."""
    draw = np.random.default_rng(5)
    health, today = drawn(draw, HEALTH), drawn(draw, NOW, (0.1, 0.1, 0.1, 0.7))
    level = np.array([0.0, 0.5, 1.0, 6.0])
    before = level[health["segment.country"]] + draw.normal(size=HEALTH)
    now = level[today["segment.country"]] + draw.normal(size=NOW)
    assert guilty_slice(Aligned(rows(health), rows(today)), before, now) is None


def test_a_segment_that_health_does_not_know_is_not_compared_with_others() -> None:
    world = World(6)
    of_ch = world.of("ch")
    world.now[of_ch] += 3
    known = world.health["segment.country"] != COUNTRIES.index("ch")
    health = {name: codes[known] for name, codes in world.health.items()}
    found = guilty_slice(Aligned(rows(health), rows(world.today)), world.before[known], world.now)
    assert found is None


def test_a_new_replica_is_compared_with_all_of_health() -> None:
    world = World(7)
    world.now[world.of(pod="pod-2")] += 3
    known = world.health["replica"] != PODS.index("pod-2")
    health = {name: codes[known] for name, codes in world.health.items()}
    found = guilty_slice(Aligned(rows(health), rows(world.today)), world.before[known], world.now)
    assert found is not None
    assert found.replica == "pod-2"


def test_few_rows_are_not_guessed_from() -> None:
    world = World(8, now=20)
    world.now[world.of("fr")] += 3
    assert world.of("fr").sum() < 6
    assert world.guilty() is None


def test_slices_of_the_same_rows_are_said_to_be() -> None:
    world = World(9)
    for side in (world.health, world.today):
        side["segment.region"] = side["segment.country"]  # type: ignore[index]
    world.now[world.of("at")] += 3
    found = world.guilty()
    assert found is not None
    assert {found.parts[0][0], found.twins[0][0]} == {"segment.country", "segment.region"}
    assert "the same rows" in found.told


def test_a_loss_that_rises_in_one_segment_is_told_and_one_that_falls_is_not() -> None:
    world = World(10)
    world.before, world.now = world.before**2, world.now**2
    world.now[world.of("de")] += 2
    world.now[:20] = np.nan
    found = world.guilty(is_loss=True)
    assert found is not None
    assert found.segment == {"country": "de"}
    world.now[world.of("de")] = 0.0
    assert world.guilty(is_loss=True) is None


@pytest.mark.parametrize("size", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("now", [60, 300])
def test_of_departures_that_are_everywhere_hardly_any_is_called_one_slice_s(size: float, now: int) -> None:
    named = 0
    for seed in range(200):
        world = World(seed, now)
        world.now += size * (world.draw.random(now) < 0.5)
        named += world.guilty() is not None
    assert named <= 2


@pytest.mark.parametrize("country", COUNTRIES)
def test_most_departures_of_one_slice_are_named_and_hardly_any_is_another_s(country: str) -> None:
    right = wrong = 0
    for seed in range(50):
        world = World(seed)
        world.now[world.of(country)] += 2.5
        found = world.guilty()
        right += found is not None and found.parts == (("segment.country", country),)
        wrong += found is not None and found.parts != (("segment.country", country),)
    assert right >= 40
    assert wrong <= 1


def test_losses_of_half_of_the_rows_are_told_by_a_few_hundred_labels_and_those_of_all_are_nobody_s() -> None:
    """Four in ten outcomes turn, of one country or of both."""
    right = wrong = everywhere = 0
    for seed in range(50):
        draw = np.random.default_rng(seed)
        then, now = draw.integers(0, 2, HEALTH), draw.integers(0, 2, NOW)
        before, after, turned = draw.exponential(size=HEALTH), draw.exponential(size=NOW), draw.random(NOW) < 0.4
        sides = Aligned(rows({"segment.country": then}), rows({"segment.country": now}))
        found = guilty_slice(sides, before, after + 3 * (turned & (now == 0)), is_loss=True)
        right += found is not None and found.segment == {"country": "de"}
        wrong += found is not None and found.segment != {"country": "de"}
        everywhere += guilty_slice(sides, before, after + 3 * turned, is_loss=True) is not None
    assert right >= 30
    assert wrong + everywhere <= 1


def test_a_loss_that_falls_clearly_elsewhere_is_no_rise_of_one_slice() -> None:
    world = World(10, 600)
    world.now[world.of("de")] += 2
    for country in COUNTRIES[1:]:
        world.now[world.of(country)] -= 2
    assert world.guilty(is_loss=True) is None


def few_turned(seed: int, expected: str, *, everywhere: bool) -> Slice | None:
    """What is told where fifteen outcomes in a hundred turn, of one country or of both, and one loss in fourteen was large."""
    draw = np.random.default_rng(seed)
    then, now = draw.integers(0, 2, HEALTH), draw.integers(0, 2, 2 * NOW)
    before, after = (draw.exponential(0.1, n) + 3 * (draw.random(n) < 0.07) for n in (HEALTH, 2 * NOW))
    turned = (draw.random(2 * NOW) < 0.15) & (everywhere | (now == 0))
    sides = Aligned(rows({"segment.country": then}), rows({"segment.country": now}))
    return guilty_slice(sides, before, np.where(turned, 3.0, after), is_loss=True, expected=expected)


def test_few_outcomes_that_turn_in_one_slice_are_told_of_a_dimension_that_errors_follow() -> None:
    told = [few_turned(seed, "segment.country", everywhere=False) for seed in range(50)]
    right = sum(one is not None and one.segment == {"country": "de"} for one in told)
    assert right >= 20
    assert right >= 2 * sum(few_turned(seed, "", everywhere=False) is not None for seed in range(50))
    assert sum(one is not None for one in told) == right
    assert sum(few_turned(seed, "segment.country", everywhere=True) is not None for seed in range(50)) <= 1


def test_thousands_of_values_in_ten_dimensions_are_no_more_work_to_search_than_dozens() -> None:
    def work(values: int) -> int:
        draw = np.random.default_rng(11)
        names = tuple(f"v{i}" for i in range(values))

        def side(n: int) -> AlignedRows:
            columns = {f"segment.{d}": np.floor(values * draw.random(n) ** (1 + d)) for d in range(10)}
            dimensions = {name: Dimension(codes, names) for name, codes in columns.items()}
            return AlignedRows(np.arange(n, dtype=np.int64), {}, {}, dimensions)

        both = Aligned(side(500), side(600))
        before, now = draw.normal(size=500), draw.normal(size=600) + 1
        return calls_of(lambda: guilty_slice(both, before, now))

    assert work(5_000) < 2 * work(50)


# -- in a diagnosis


def only(key: str, value: str, breaks: Break) -> Break:
    def confined(row: Row, i: int) -> Row | list[Row] | None:
        is_it = (row["segment"]["market"] if key == "market" else row[key]) == value
        return breaks(row, i) if is_it else row

    return confined


def first_finding(breaks: Break) -> Finding:
    case = case_of(Example("", breaks))
    assert case is not None
    return diagnose(case)[0]


@pytest.mark.parametrize(
    ("breaks", "fault"),
    [
        (fill(None, "income"), "missing_values"),
        (fill(-1, "balance"), "default_fill"),
        (change(lambda v, i: v / 1000, "tenure_days"), None),
    ],
)
def test_a_cause_names_the_segment_it_is_confined_to(breaks: Break, fault: str | None) -> None:
    found = first_finding(only("market", "america", breaks))
    cause = found.causes[0]
    assert fault in (None, cause.fault)
    assert cause.segment == {"market": "america"}
    assert cause.replica is None
    assert found.headline.endswith(", only in market=america")
    assert len(found.headline) <= MAX_HEADLINE
    assert "the rest is as before" in cause.explanation


def test_a_cause_names_the_replica_it_is_confined_to() -> None:
    found = first_finding(only("replica", "pod-1", fail("TimeoutError", 0.5)))
    assert found.causes[0].fault == "error_surge"
    assert found.causes[0].replica == "pod-1"


@pytest.mark.parametrize("breaks", [fill(None, "income", share=0.3), change(lambda v, i: v / 1000, "income")])
def test_a_cause_that_is_everywhere_names_no_slice(breaks: Break) -> None:
    found = first_finding(breaks)
    assert found.causes[0].segment is None
    assert found.causes[0].replica is None
    assert "only" not in found.headline
