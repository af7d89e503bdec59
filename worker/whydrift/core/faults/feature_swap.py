"""Two (or more) features arrive in each other's place.

Told apart: the permutation must fit in every place it touches, in the same rows, and undoing it returns all of them to their
references; two changes of unit fit one column each. Features with equal marginals can only be told by what they depend on:
that is proposed with a lower fit, and said.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import chdtrc

from whydrift.core.case import Case, ColumnView, correlations
from whydrift.core.columns import OVERFLOW, Floats, Presence
from whydrift.core.faults.inputs import (
    Mask,
    chance_of,
    dragged,
    examined,
    explained,
    graded,
    listed,
    match_p,
    new_atoms,
    percent,
    range_p,
    rank_correlation,
    reference_share,
    shares_p,
    undone,
)
from whydrift.core.faults.noise import extremes_gain, holds_against, map_gain, noise_gain
from whydrift.core.faults.outputs import same_p
from whydrift.core.faults.relations import ELSEWHERE_P, fisher, relations, unrelated
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import both, change, swap
from whydrift.core.faults.transforms import density_of, gain_of, onset, share_of
from whydrift_schemas import Fault, RuledOut, Undo

FAULT = Fault("feature_swap")
_MOST_COLUMNS = 12
_MOST_TRIED = 30
"""Quantities of which every pair is tried by rows, those whose relations have changed first."""
_MOST_QUIET = 60
"""Columns without an alarm that are tried as the other half of a pair."""
_MIN_ROWS = 20
_GAIN = 12.0
"""Log-likelihood a permutation must gain over "healthy": e^12 pays for the pairs tried."""
_LEAST_FIT = 0.2
_CLEAR = 0.7
"""Fit from which an exchange explains what inputs have lost of each other."""
_PARTNERS = 60
"""Rows of health whose partner's values stand for any."""
_EACH, _PART = 2.0, 0.2
"""Log-likelihood that an exchange must gain for each of the two, or that one may lose; of categories without a new one, the part
of the greatest gain that each must have: any shift of a flag's shares makes it look like some other flag."""
_SEEN, _NOT_SEEN = 1.0, 0.4
"""Evidence of the rows against health, as a decimal logarithm, that there must be for an undo to show anything where no value is
beyond all of health; factor below: a few rows that are rare in both columns are put back into either."""
_VALUES = 10.0
"""Values that might have come most."""
_LEAST_P = 1e-12
_OFF = 4.0
"""Scatters from the line at which a value does not belong beside its partner's."""
_TELLING, _BY_ROWS = 0.35, 0.92
"""Rank correlation from which a partner tells whose value it is; fit of an exchange that rows show before distributions do."""
_PARTIAL = 0.93
_EQUAL = 0.1
"""Largest distance between two references' distributions that count as equal."""
_DEPENDENCE_ROWS = 80
_DEPENDENCE_GAIN = 12.0


@dataclass(frozen=True, slots=True)
class _Permutation:
    """cycle[k] receives the values of cycle[k + 1] (the last one those of the first)."""

    cycle: tuple[ColumnView, ...]
    gain: float
    share: float
    before: float
    after: float
    fit: float


def examine(case: Case) -> list[Proposal | RuledOut]:
    views = examined(case, "distribution", "out_of_range", "unseen")[:_MOST_COLUMNS]
    found = []
    for is_coded in (False, True):
        group = [view for view in views if view.reference.kind.is_coded == is_coded]
        quiet = [v for v in case.features.values() if v.reference.kind.is_coded == is_coded and v not in views]
        found += _permutations(group, quiet[:_MOST_QUIET])
    chosen: list[_Permutation] = []
    for one in sorted(found, key=lambda p: (-p.fit, -p.gain)):
        taken = {view.name for other in chosen for view in other.cycle}
        if one.fit >= _LEAST_FIT and not taken & {view.name for view in one.cycle}:
            chosen.append(one)
    if chosen:
        return [_proposal(case, one) for one in chosen]
    if not views:
        return [*_by_rows(case)] or _by_dependence(case)
    if len(views) > 1:
        because = f"no exchange among {listed([v.name for v in views])} fits in every place"
        return [RuledOut(fault=FAULT, because=because)]
    return []


def clear(case: Case) -> list[Proposal]:
    """Exchanges that fit so well that what inputs have lost of each other follows from them."""
    return [one for one in examine(case) if isinstance(one, Proposal) and one.fit >= _CLEAR]


def _permutations(views: Sequence[ColumnView], quiet: Sequence[ColumnView]) -> list[_Permutation]:
    """Every pair with an alarm (one may show it before the other), and the cycles of the assignment whose distances are least."""
    cycles = [tuple(pair) for pair in [*combinations(views, 2), *product(views, quiet)]]
    cycles += [cycle for cycle in _assigned(views) if len(cycle) > 2]
    return [found for cycle in cycles if (found := _judge(cycle)) is not None]


def _assigned(views: Sequence[ColumnView]) -> list[tuple[ColumnView, ...]]:
    """Cycles of the optimal assignment of current columns to references, by their distances."""
    if len(views) < 3:
        return []
    distance = np.array([[_distance(view, other) for other in views] for view in views])
    _, source = linear_sum_assignment(distance)
    cycles, seen = [], set()
    for start in range(len(views)):
        cycle, place = [], start
        while place not in seen:
            seen.add(place)
            cycle.append(views[place])
            place = int(source[place])
        if cycle:
            cycles.append(tuple(cycle))
    return cycles


def _distance(view: ColumnView, other: ColumnView) -> float:
    """How far the later half of a column's rows is from another column's reference: mean minus log-likelihood."""
    later = view.current[len(view.current) // 2 :]
    if not len(later):
        return 0.0
    return float(-np.log(_density(other, view, later)).mean())


def _density(reference: ColumnView, view: ColumnView, values: Floats) -> Floats:
    """Density (share, for categories) that `reference` gives to values of `view`."""
    if not view.reference.kind.is_coded:
        return density_of(reference.reference)(values)
    shares = reference.reference.shares
    floor = 0.5 / max(reference.reference.n, 1)
    by_code = {code: max(shares.get(view.column.category(code), 0.0), floor) for code in np.unique(values).tolist()}
    return np.array([by_code[code] for code in values.tolist()])


def _judge(cycle: tuple[ColumnView, ...]) -> _Permutation | None:
    usable = np.all([view.current_presence == Presence.PRESENT for view in cycle], axis=0)
    if usable.sum() < _MIN_ROWS:
        return None
    values = [view.current_values[usable] for view in cycle]
    places = _place_ratios(cycle, values)
    ratio = np.prod(places, axis=0)
    share = share_of(ratio)
    gain = float(np.log(1 - share + share * ratio).sum())
    if gain < _GAIN:
        return None
    first, since = onset(ratio, share)
    swapped: Mask = (np.arange(len(ratio)) >= first) & (since * ratio > 1 - since)
    each = [float(np.log(1 - since + since * own[first:]).sum()) for own in places]
    is_coded = cycle[0].reference.kind.is_coded
    is_flag = is_coded and not any(view.is_alarmed("unseen") for view in cycle)
    if min(each) < (_PART * max(each) if is_flag else -_EACH):
        return None  # a column that is what it always was holds no other one's values
    before = after = 0.0
    p = 1.0 if is_coded else _exchanged_p(cycle, values, swapped, since)
    for place in range(len(cycle)):
        source, restored = cycle[(place + 1) % len(cycle)], values[(place + 1) % len(cycle)].copy()
        restored[swapped] = _as_codes(cycle[place], source, values[place][swapped])
        before += source.log10_evidence(values[(place + 1) % len(cycle)])
        after = max(after, source.log10_evidence(restored))
        late = restored[first:]
        p = min(
            p,
            _variety_p(cycle[place], source, values[place], swapped),
            shares_p(source, late)
            if is_coded
            else min(match_p(late, source.reference), range_p(late, source.reference)),
        )
    sure = (0.98 if since > _PARTIAL else 0.95) * holds_against(gain, _by_itself(cycle))
    if before < _SEEN and not any(view.is_alarmed("out_of_range", "unseen") for view in cycle):
        sure *= _NOT_SEEN
    return _Permutation(cycle, gain, since, before, after, sure * graded(p) * undone(before, after))


def _place_ratios(cycle: tuple[ColumnView, ...], values: Sequence[Floats]) -> list[Floats]:
    """For each place, how much likelier its values, (rows,) each, are those of the column whose they would be than its own."""
    sources = [*cycle[1:], cycle[0]]
    return [
        _density(source, view, own) / _density(view, view, own)
        for view, source, own in zip(cycle, sources, values, strict=True)
    ]


def _exchanged_p(cycle: tuple[ColumnView, ...], values: Sequence[Floats], swapped: Mask, since: float) -> float:
    """See `_picked_p`: of rows that are picked by how likely values are in another place."""
    health = [view.reference_values for view in cycle]
    usable = (
        ~np.any([np.isnan(own) for own in health], axis=0)
        if len({len(own) for own in health}) == 1
        else np.zeros(0, bool)
    )
    if usable.sum() < _MIN_ROWS:
        return 1.0
    exchanged = [own[usable] for own in (*health[1:], health[0])]
    return _picked_p(values, swapped, exchanged, since * np.prod(_place_ratios(cycle, exchanged), axis=0) > 1 - since)


def _picked_p(now: Sequence[Floats], swapped: Mask, exchanged: Sequence[Floats], picked: Mask) -> float:
    """Chance that the rows picked as exchanged hold what health's rows, exchanged and picked likewise, hold: in all places.

    now, exchanged: by place. On rainy days of a closed station each may hold what came on the other's rarest days: that is
    possible there, and not what an exchange brings.
    """
    logs = 0.0
    for values, was in zip(now, exchanged, strict=True):
        some, usual = values[swapped], was[picked]
        some, usual = some[~np.isnan(some)], usual[~np.isnan(usual)]
        if len(some) and len(usual) >= _MIN_ROWS:
            p = 2 * min(same_p(some, usual), _cornered_p(some, usual))
            logs += float(np.log(min(max(p, _LEAST_P), 1.0)))
    return float(chdtrc(2 * len(now), -2 * logs))  # Fisher's


def _cornered_p(some: Floats, usual: Floats) -> float:
    """Chance that all of a few values lie as far towards one end of what is usual."""
    below, above = ((usual <= some.max()).sum() + 1, (usual >= some.min()).sum() + 1)
    return float(min(1.0, 2 * (min(below, above) / (len(usual) + 1)) ** len(some)))


def _by_itself(cycle: tuple[ColumnView, ...]) -> float:
    """Log-likelihood of the best explanation of what moved in one of these columns without the others: a large value may well be
    another column's, but so is all that a change of unit, or noise, throws beyond the range."""
    moved = [view for view in cycle if view.is_alarmed() and not view.reference.kind.is_coded]
    return max((max(map_gain(view), extremes_gain(view), noise_gain(view)) for view in moved), default=0.0)


def _variety_p(view: ColumnView, source: ColumnView, values: Floats, swapped: Mask) -> float:
    """Chance that one value is so many of those that came: a fill brings one value, an exchange all of a column's."""
    if view.reference.kind.is_coded:
        return 1.0
    for atom in new_atoms(view)[:1]:
        ones = int((values[swapped] == atom.value).sum())
        return min(_VALUES * chance_of(ones, int(swapped.sum()), reference_share(source, atom.value)), 1.0)
    return 1.0


def _as_codes(view: ColumnView, source: ColumnView, values: Floats) -> Floats:
    """Values that arrived in `view`, as values of `source`."""
    if not view.reference.kind.is_coded:
        return values
    return np.array([source.column.codes.get(view.column.category(code), OVERFLOW) for code in values.tolist()])


def _proposal(case: Case, one: _Permutation) -> Proposal:
    names = [view.name for view in one.cycle]
    where = "" if one.share > _PARTIAL else f" in {percent(one.share)} of the rows"
    how = f"{names[0]} and {names[1]} are swapped" if len(names) == 2 else f"{listed(names)} are permuted"
    arrows = ", ".join(f"{a} holds {b}" for a, b in zip(names, [*names[1:], names[0]], strict=True))
    return Proposal(
        fault=FAULT,
        fit=one.fit,
        explains=explained(case, one.cycle, "distribution", "out_of_range", "unseen", "repeated"),
        headline=how + where,
        explanation=(
            f"{arrows}{where}: the permutation fits in each place. Put back, evidence {one.before:.1f} "
            f"falls to {max(one.after, 0):.1f} at most."
        ),
        action=f"Compare the order of the inputs at the producer with the model's: {listed(names)}.",
        features=tuple(names),
        undo=Undo(transform=f"{arrows}: put back", evidence_before=one.before, evidence_after=one.after),
    )


# -- before any distribution shows it: what goes with what in each row -----------------------------------------


@lru_cache(maxsize=8)
def _by_rows(case: Case) -> tuple[Proposal, ...]:
    """The pair whose exchange, in some rows, makes most of them likely: each value by itself, and beside its closest partner."""
    suspects = [view for view in unrelated(case) if _has_rows(view)]
    others = [view for view in case.features.values() if _has_rows(view) and view not in suspects]
    views = [*suspects, *others][:_MOST_TRIED]
    if not suspects:
        return ()
    known = np.nan_to_num(np.abs(correlations([view.reference_values for view in views])))
    np.fill_diagonal(known, 0.0)
    is_suspect = np.arange(len(views)) < len(suspects)
    best: tuple[float, _Permutation] | None = None
    for i, j in combinations(range(len(views)), 2):
        # A partner that is itself part of the exchange tells nothing.
        partners = [int(np.argmax(np.where(np.isin(np.arange(len(views)), (i, j)), -1, known[one]))) for one in (i, j)]
        told = known[i, partners[0]], known[j, partners[1]]
        if max(told) < _TELLING or not is_suspect[[i, j, *partners]].any():
            continue
        gain, ratio = _row_gain((views[i], views[j]), (views[partners[0]], views[partners[1]]))
        if gain > _GAIN and (best is None or gain > best[0]):
            start, since = onset(ratio, share_of(ratio))
            swapped: Mask = since * ratio > 1 - since
            fit = _BY_ROWS * _restored(views[i], views[j], views[partners[0]], views[partners[1]], swapped, start)
            fit *= _elsewhere_p(case, views[i], views[j]) >= ELSEWHERE_P
            fit *= graded(_by_rows_p((views[i], views[j]), (views[partners[0]], views[partners[1]]), swapped, since))
            best = gain, _Permutation((views[i], views[j]), gain, since, gain, 0.0, fit)
    return (_proposal(case, best[1]),) if best is not None and best[1].fit >= _LEAST_FIT else ()


def _elsewhere_p(case: Case, first: ColumnView, second: ColumnView) -> float:
    """Chance that what the inputs beside an exchange have to do with each other is as in health: it is none of theirs."""
    seen = relations(case)
    return 1.0 if seen is None else seen.elsewhere_p(*(seen.names.index(one.name) for one in (first, second)))


def _has_rows(view: ColumnView) -> bool:
    """Whether it is a quantity of which rows of health are kept."""
    is_quantity = not view.reference.kind.is_coded and view.reference.spread > 0
    return is_quantity and len(view.reference_values) >= _MIN_ROWS


def _restored(
    first: ColumnView,
    second: ColumnView,
    beside_first: ColumnView,
    beside_second: ColumnView,
    is_swapped: Mask,
    start: int,
) -> float:
    """How well the rows since the exchange began, put back, go with their partners as in health: values that come from other
    rows may lie closer to the other one's than to their own as well, but leave the rest."""
    p = 1.0
    for own, other, partner in ((first, second, beside_first), (second, first, beside_second)):
        values = np.where(is_swapped, other.current_values, own.current_values)
        now = _off_the_line(own, partner, values[start:], partner.current_values[start:])
        health = _off_the_line(own, partner, own.reference_values, partner.reference_values)
        if len(now) and len(health):
            # Rows that are off for another reason are few, and far off.
            usual = (int((np.abs(health) > _OFF).sum()) + 1) / (len(health) + 1)
            p = min(p, same_p(now, health), chance_of(int((np.abs(now) > _OFF).sum()), len(now), usual))
    return graded(p)


def _off_the_line(view: ColumnView, partner: ColumnView, values: Floats, near: Floats) -> Floats:
    """Usable distances of values from what their partner's make expect, in health's scatter."""
    slope, level, scale = _line(view, partner)
    found: Floats = (values - slope * near - level) / scale
    return found[~np.isnan(found)]


def _row_gain(pair: tuple[ColumnView, ColumnView], partners: tuple[ColumnView, ColumnView]) -> tuple[float, Floats]:
    """Log-likelihood by which an exchange in some of the current rows beats none, less what it gains in health; and each row's
    ratio, (rows,). None is gained where one of the two was right beside its partner: then it is the other one that is wrong."""
    now = _row_ratios(pair, partners, "current_values")
    ratio = now[0] * now[1]
    start, since = onset(ratio, share_of(ratio))
    is_swapped: Mask = (since * ratio > 1 - since) & (np.arange(len(ratio)) >= start)
    if min(float(np.log(side[is_swapped]).sum()) for side in now) < _EACH:
        return 0.0, ratio
    gain = gain_of(ratio)[0]
    if gain <= _GAIN:
        return 0.0, ratio
    health = _row_ratios(pair, partners, "reference_values")
    # One of the two from other rows explains each of them that lies near the other's place by chance, and the rest as well.
    joined = max(_joined_gain(view, partner) for view, partner in zip(pair, partners, strict=True))
    return gain - max(gain_of(health[0] * health[1])[0] * len(ratio) / len(health[0]), joined), ratio


def _by_rows_p(
    pair: tuple[ColumnView, ColumnView], partners: tuple[ColumnView, ColumnView], swapped: Mask, since: float
) -> float:
    """See `_picked_p`: of rows that are picked beside partners, whose ratio is turned round where health's are exchanged."""
    first, second = _row_ratios(pair, partners, "reference_values")
    exchanged = [view.reference_values for view in pair[::-1]]
    return _picked_p([view.current_values for view in pair], swapped, exchanged, since > (1 - since) * first * second)


def _joined_gain(view: ColumnView, partner: ColumnView) -> float:
    """Log-likelihood by which values of other rows, in some rows, beat the input's own beside its partner's."""
    beside, near = _beside(view, partner), partner.reference_values
    near, own = near[~np.isnan(near)][:_PARTNERS], view.current_values
    if not len(near):
        return 0.0
    anyone = np.mean([beside(own, np.full(len(own), value)) for value in near.tolist()], axis=0)
    ratio = anyone / beside(own, partner.current_values)
    return gain_of(np.where(np.isfinite(ratio), ratio, 1.0))[0]


def _row_ratios(
    pair: tuple[ColumnView, ColumnView], partners: tuple[ColumnView, ColumnView], of: str
) -> tuple[Floats, Floats]:
    """For each of the two: how much likelier the other one's value is in its place, by itself and beside its partner's."""
    values = [getattr(view, of) for view in pair]
    found = []
    for own, other, view, partner in zip(values, values[::-1], pair, partners, strict=True):
        density, beside, near = density_of(view.reference).smooth, _beside(view, partner), getattr(partner, of)
        ratio = density(other) / density(own) * beside(other, near) / beside(own, near)
        found.append(np.where(np.isfinite(ratio), ratio, 1.0))
    return found[0], found[1]


def _beside(view: ColumnView, partner: ColumnView) -> Callable[[Floats, Floats], Floats]:
    """Density of an input's values beside those of its partner: (values, partner's)."""
    slope, level, scale = _line(view, partner)

    def density(values: Floats, near: Floats) -> Floats:
        # Student's t of four degrees: what is left has heavy ends.
        found: Floats = (1 + ((values - slope * near - level) / scale) ** 2 / 4) ** -2.5
        return found

    return density


@lru_cache(maxsize=256)
def _line(view: ColumnView, partner: ColumnView) -> tuple[float, float, float]:
    """Slope, level and scatter of an input beside its partner in health's rows; without a relation a line without slope."""
    x, y = partner.reference_values, view.reference_values
    usable = ~(np.isnan(x) | np.isnan(y))
    x, y = x[usable], y[usable]
    slope, level = np.polyfit(x, y, 1) if len(x) >= _MIN_ROWS and x.std() > 0 else (0.0, view.reference.median)
    left = y - slope * x - level
    scale = 1.4826 * float(np.median(np.abs(left - np.median(left)))) if len(left) else 0.0
    return float(slope), float(level), max(scale, 0.02 * view.reference.spread)


# -- equal marginals: dependence only ---------------------------------------------------------------------------


def _by_dependence(case: Case) -> list[Proposal | RuledOut]:
    """Pairs whose marginals are equal, when the model errs or answers otherwise though nothing is wrong with any input."""
    if not dragged(case) or case.alarmed_features():
        return []
    numeric = [
        view for view in case.features.values() if not view.reference.kind.is_coded and view.reference.spread > 0
    ]
    found = []
    for first, second in combinations(numeric[:40], 2):
        if _reference_distance(first, second) > _EQUAL or len(first.current) < _DEPENDENCE_ROWS:
            continue
        gain = _exchanged(first, second, [v for v in numeric if v not in (first, second)])
        if gain > _DEPENDENCE_GAIN:
            found.append((gain, first, second))
    return [_ambiguous(case, *max(found, key=lambda item: item[0]))] if found else []


def _reference_distance(first: ColumnView, second: ColumnView) -> float:
    """Largest difference of two references' quantiles, in standard deviations of the first."""
    a, b = (np.array([v.reference.quantile(p) for p in (0.05, 0.25, 0.5, 0.75, 0.95)]) for v in (first, second))
    return float(np.abs(a - b).max() / first.reference.spread) / 2


def _exchanged(first: ColumnView, second: ColumnView, others: Sequence[ColumnView]) -> float:
    """How much better the correlations with all other inputs fit when the two are exchanged (chi-square units)."""
    gain = 0.0
    for other in others:
        was = [_fisher(v.reference_values, other.reference_values) for v in (first, second)]
        now = [_fisher(v.current_values, other.current_values) for v in (first, second)]
        stay = (now[0] - was[0]) ** 2 + (now[1] - was[1]) ** 2
        gone = (now[0] - was[1]) ** 2 + (now[1] - was[0]) ** 2
        gain += (stay - gone) * (len(first.current) - 3)
    return gain


def _fisher(a: Floats, b: Floats) -> float:
    return float(fisher(np.array(rank_correlation(a, b))))


def _ambiguous(case: Case, gain: float, first: ColumnView, second: ColumnView) -> Proposal:
    names = (first.name, second.name)
    return Proposal(
        fault=FAULT,
        fit=0.75,
        explains=explained(case, (first, second)),
        headline=f"{names[0]} and {names[1]} seem to be swapped",
        explanation=(
            f"{names[0]} and {names[1]} are distributed alike, so neither moved; but each now depends on "
            "the other inputs as the other "
            f"one did (χ² better by {gain:.0f}), and the model's answers moved."
        ),
        action=f"Compare the order of the inputs at the producer with the model's: {names[0]}, {names[1]}.",
        features=names,
        decider=f"look at one raw event of the source: which value is {names[0]}, which {names[1]}?",
    )


RULE = Rule(
    fault=FAULT,
    rung=Rung.TRANSFORM,
    examine=examine,
    examples=(
        Example("age and tenure are swapped", swap("age", "tenure_days")),
        Example("income and balance are swapped in a fifth of the rows", swap("income", "balance", share=0.2)),
        Example("age and temperature are swapped in 5 % of the rows", swap("age", "temperature", share=0.05)),
        Example("region and channel are swapped", swap("region", "channel")),
        Example("income, age and tenure move one place on", both(swap("income", "age"), swap("age", "tenure_days"))),
        Example(
            "age and income change their units at once",
            both(change(lambda v, i: v * 24, "age"), change(lambda v, i: v / 1000, "income")),
            named=False,
        ),
        Example("balance arrives with the opposite sign", change(lambda v, i: -v, "balance"), named=False),
        Example(
            "age is overwritten by tenure",
            both(swap("age", "tenure_days"), change(lambda v, i: 600, "tenure_days")),
            named=False,
        ),
    ),
    runbook=Runbook(
        means=(
            "Columns change places between the source and the model: a reordered select, a positional "
            "payload, a renamed pair."
        ),
        confirm="Take one raw event and compare each named feature with what the source holds for it.",
        do="Restore the order, or send features by name. Score again what was decided since the onset.",
        if_wrong="If only one of the places fits, look at the other causes listed.",
    ),
    look_alikes=(Fault.MISALIGNED_FEATURE, Fault.UNIT_CHANGE),
)
