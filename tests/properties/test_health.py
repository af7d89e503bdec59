"""Laws of detection: health raises no alarm, and the shifts of the project's detection study are found about as fast as there.

`python tests/properties/test_health.py` prints the measured delays, those with the default margin too.

The study's table was measured on single streams with margin 0 (its delay of .25 sd follows from a tolerance of 2.24 / √n, which
is one signal's). So the law is held for `signals=1`, and for 200 signals that share the confidence.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from whydrift.core.columns import Column, Floats, Kind, Presence, Presences, encode_column
from whydrift.core.detectors.bets import Bets, Tolerance
from whydrift.core.evidence import EvidenceProcess
from whydrift.core.reference import BINS, REPEAT_WINDOW, Binning, ColumnReference, learn_column, repeats
from whydrift.core.settings import Settings
from whydrift.core.signals import Aspect, distribution_bets, flag_aspects, flag_bets, flag_share

REFERENCE_ROWS = 2_000
CHUNK = 20
SIGNALS = 200

Draw = Callable[[np.random.Generator, int], Floats]
"""Values of a stream; NaN is null. For categories: their numbers."""


@dataclass(frozen=True)
class Stream:
    """Several columns of one kind, side by side: references from their first rows, then `values` (rows, columns)."""

    columns: list[Column]
    references: list[ColumnReference]
    values: Floats
    presence: Presences


def stream(kind: Kind, health: Draw, later: list[tuple[Draw, int]], copies: int, seed: int) -> Stream:
    """`copies` columns that are `health` for their reference, and then each of `later` for so many rows."""
    rng = np.random.default_rng(seed)
    columns = [Column(f"c{i}", kind) for i in range(copies)]
    drawn = [np.stack([draw(rng, rows) for _ in columns], axis=1) for draw, rows in [(health, REFERENCE_ROWS), *later]]
    values = np.concatenate(drawn)
    presence = np.where(np.isnan(values), np.int8(Presence.NULL), np.int8(Presence.PRESENT))
    if kind is Kind.CATEGORICAL:
        for place, column in enumerate(columns):
            names = list(map(str, values[:, place].astype(int).tolist()))
            values[:, place], presence[:, place] = encode_column(column, names)
    n = REFERENCE_ROWS
    learnt = [learn_column(c, values[:n, i], presence[:n, i]) for i, c in enumerate(columns)]
    return Stream(columns, learnt, values[n:], presence[n:])


def evidence(one: Stream, signals: int, margin: float) -> Iterator[tuple[Aspect, NDArray[np.intp], Floats]]:
    """Of each aspect: which columns have it, and its log10 evidence after each chunk (chunks, those columns)."""
    width, chunks = len(one.columns), len(one.values) // CHUNK
    binning = Binning(one.columns, one.references)
    step = 5_000
    bins = np.concatenate([binning.bins(one.values[at : at + step]) for at in range(0, len(one.values), step)])
    slots = (np.arange(len(bins)) // CHUNK * width)[:, None] * (BINS + 1) + np.arange(width) * (BINS + 1) + bins
    counts = np.bincount(slots.ravel(), minlength=chunks * width * (BINS + 1)).reshape(chunks, width, BINS + 1)
    everywhere = np.arange(width)
    bets = [distribution_bets(r, Tolerance(r.rows, signals, margin)) for r in one.references]
    yield Aspect.DISTRIBUTION, everywhere, levels(bets, counts[:, :, :BINS].astype(float))
    present = one.presence == Presence.PRESENT
    flags = {
        Aspect.MISSING: (one.presence == Presence.NULL, np.ones_like(present)),
        Aspect.TYPE: (one.presence == Presence.FOREIGN, np.ones_like(present)),
        Aspect.OUT_OF_RANGE: (binning.out_of_range(one.values), present),
        Aspect.UNSEEN: (binning.unseen(one.values, bins), present),
        Aspect.REPEATED: (repeats(np.full((REPEAT_WINDOW, width), np.nan), one.values), present),
    }
    for aspect, (yes, asked) in flags.items():
        has = np.array([i for i, r in enumerate(one.references) if aspect in flag_aspects(r)], np.intp)
        if len(has):
            shares = [flag_share(one.references[i], aspect) for i in has]
            bets = [flag_bets(ones, Tolerance(n, signals, margin)) for ones, n in shares]
            ones, all_ = (part[:, has].reshape(chunks, CHUNK, len(has)).sum(axis=1) for part in (yes, asked))
            yield aspect, has, levels(bets, np.stack([all_ - ones, ones], axis=2).astype(float))


def levels(bets: list[Bets], counts: Floats) -> Floats:
    process = EvidenceProcess(bets)
    found = np.empty(counts.shape[:2])
    for number, chunk in enumerate(counts):
        process.update(chunk, 0, 0)
        found[number] = process.log10()
    return found


# Health -----------------------------------------------------------------------------------------------------------------------

_ZIPF = 1 / np.arange(1, 1_001) ** 1.2
_ZIPF /= _ZIPF.sum()


def normal(rng: np.random.Generator, rows: int) -> Floats:
    return rng.standard_normal(rows)


def exactly(rng: np.random.Generator, rows: int) -> Floats:
    """Constant but for one value in a thousand."""
    return np.where(rng.random(rows) < 0.001, 1.0, 5.0)


HEALTHY: dict[str, tuple[Kind, Draw]] = {
    "normal": (Kind.NUMERIC, normal),
    "lognormal": (Kind.NUMERIC, lambda rng, rows: rng.lognormal(0, 1, rows)),
    "cauchy": (Kind.NUMERIC, lambda rng, rows: rng.standard_cauchy(rows)),
    "whole exponential": (Kind.NUMERIC, lambda rng, rows: np.floor(rng.exponential(20, rows))),
    "uniform with an atom": (Kind.NUMERIC, lambda rng, rows: np.where(rng.random(rows) < 0.3, 0.0, rng.random(rows))),
    "zipf categories": (Kind.CATEGORICAL, lambda rng, rows: rng.choice(1_000, rows, p=_ZIPF).astype(float)),
    "bernoulli": (Kind.CATEGORICAL, lambda rng, rows: (rng.random(rows) < 0.05).astype(float)),
    "near-constant with nulls": (
        Kind.NUMERIC,
        lambda rng, rows: np.where(rng.random(rows) < 0.1, np.nan, exactly(rng, rows)),
    ),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_200_healthy_signals_of_8_kinds_raise_no_alarm_in_100_000_events(name: str) -> None:
    """25 columns of each kind make 200 distributions, and their flags come on top. H = 10^6; chance allows 1 in 200."""
    kind, draw = HEALTHY[name]
    margin = Settings().margin
    watched = evidence(stream(kind, draw, [(draw, 100_000)], SIGNALS // len(HEALTHY), seed=11), SIGNALS, margin)
    highest = {aspect: float(level.max()) for aspect, _, level in watched}
    assert len(highest) >= 4
    assert {aspect: level for aspect, level in highest.items() if level >= 6} == {}


@pytest.mark.parametrize("categories", [28, 40, 300, 600, 3_000, 10**7])
def test_the_distribution_of_any_number_of_like_categories_raises_no_alarm(categories: int) -> None:
    """The most frequent of many like categories are so by luck: their rate falls back. This alarmed on every such column."""

    def like(rng: np.random.Generator, rows: int) -> Floats:
        return rng.integers(0, categories, rows).astype(float)

    watched = evidence(stream(Kind.CATEGORICAL, like, [(like, 20_000)], 10, seed=12), SIGNALS, 0.0)
    _, _, level = next(watched)
    assert level.max() < 6


# Delays -----------------------------------------------------------------------------------------------------------------------


def _mixed(share: float, other: Draw, rest: Draw = normal) -> Draw:
    return lambda rng, rows: np.where(rng.random(rows) < share, other(rng, rows), rest(rng, rows))


def _shares(*shares: float) -> Draw:
    return lambda rng, rows: rng.choice(len(shares), rows, p=shares).astype(float)


def _value(value: float) -> Draw:
    return lambda rng, rows: np.full(rows, value)


def _bimodal(rng: np.random.Generator, rows: int) -> Floats:
    return rng.choice([-0.9, 0.9], rows) + np.sqrt(1 - 0.81) * rng.standard_normal(rows)


@dataclass(frozen=True)
class Shift:
    """`delay`: events from onset to alarm; the first seven are those of the study's table, the others measured here."""

    delay: int
    later: Draw
    health: Draw = normal
    kind: Kind = Kind.NUMERIC


_CATEGORIES = _shares(0.6, 0.2, 0.1, 0.1)
SHIFTS = {
    "mean .25 sd": Shift(740, lambda rng, rows: normal(rng, rows) + 0.25),
    "mean .5 sd": Shift(160, lambda rng, rows: normal(rng, rows) + 0.5),
    "sd × 1.5": Shift(180, lambda rng, rows: normal(rng, rows) * 1.5),
    "Laplace shape": Shift(1_310, lambda rng, rows: rng.laplace(0, np.sqrt(0.5), rows)),
    "bimodal": Shift(520, _bimodal),
    "5 % outliers (10 sd wide)": Shift(220, _mixed(0.05, lambda rng, rows: 10 * normal(rng, rows))),
    "20 % stuck": Shift(990, _mixed(0.2, _value(0.3))),
    "category share × 2": Shift(540, _shares(0.5, 0.2, 0.2, 0.1), _CATEGORIES, Kind.CATEGORICAL),
    "5 % new category": Shift(120, _shares(0.6, 0.2, 0.1, 0.05, 0.05), _CATEGORIES, Kind.CATEGORICAL),
    "3 % missing": Shift(220, _mixed(0.03, _value(np.nan))),
    "missing .05 → .15": Shift(240, _mixed(0.15, _value(np.nan)), _mixed(0.05, _value(np.nan))),
    "cut at its 90 % quantile": Shift(80, lambda rng, rows: np.minimum(normal(rng, rows), 1.2816)),
}
HEALTHY_ROWS = 500
THRESHOLD = 5.0


def delays(shift: Shift, signals: int, margin: float, copies: int, rows: int) -> Floats:
    """Events until the first alarm of any signal of the column; infinite where there was none in so many rows."""
    later = [(shift.health, HEALTHY_ROWS), (shift.later, rows // CHUNK * CHUNK)]
    first = np.full(copies, np.inf)
    for _, has, level in evidence(stream(shift.kind, shift.health, later, copies, seed=5), signals, margin):
        alarmed = level[HEALTHY_ROWS // CHUNK :] >= THRESHOLD
        chunk = np.where(alarmed.any(axis=0), alarmed.argmax(axis=0) + 1.0, np.inf)
        first[has] = np.minimum(first[has], chunk * CHUNK)
    return first


@pytest.mark.parametrize(("signals", "slower"), [(1, 1.5), (SIGNALS, 2.0)])
@pytest.mark.parametrize("name", SHIFTS)
def test_the_twelve_shifts_are_found_within_one_and_a_half_times_their_delay(
    name: str, signals: int, slower: float
) -> None:
    """With 200 signals, within twice: the tolerance then pays for 200 times the chance to be too small."""
    shift = SHIFTS[name]
    limit = round(slower * shift.delay)
    assert np.median(delays(shift, signals, 0.0, copies=60, rows=limit)) <= limit


def main() -> None:
    print(f"{'median delay':28}{'known':>7}{'1 signal':>10}{'200':>7}{'200, default margin':>21}")
    for name, shift in SHIFTS.items():
        cases = [(1, 0.0), (SIGNALS, 0.0), (SIGNALS, Settings().margin)]
        found = [float(np.median(delays(shift, signals, margin, 200, 5_000))) for signals, margin in cases]
        print(f"{name:28}{shift.delay:7}{found[0]:10.0f}{found[1]:7.0f}{found[2]:21.0f}")


if __name__ == "__main__":
    main()
