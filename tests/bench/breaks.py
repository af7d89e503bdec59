"""Ways to break a stream of a model in service, each at three severities (those of detection.md), with the name it must be given.

A trouble changes a list of events in place: what goes in, what the model answers, what comes true, when, from which replica. What
it is to be called is its first name; further names stand where the data cannot tell, with the reason beside them.
Belongs here: troubles. Not here: tables and models (`real_tables`), running them and counting (`faults`).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from real_tables import Answers, Row

Draw = np.random.Generator
HOUR_MS = 3_600_000
REPLICAS = ("pod-1", "pod-2", "pod-3")


@dataclass(slots=True)
class Served:
    """One prediction and its label. answer: score or value; decision: None = the answer against `threshold` of the service."""

    event_id: str
    row: Row
    answer: float
    truth: float
    latency_ms: float
    at_ms: int
    label_ms: int | None
    replica: str
    decision: int | None = None
    error: str | None = None
    other: dict[str, Any] = field(default_factory=dict)
    """Further fields of the wire."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a trouble may need: the columns to break, values of health, the model and another one."""

    numeric: str
    second: str
    category: str | None
    segment: str | None
    healthy: Sequence[Row]
    healthy_answers: Sequence[float]
    healthy_truth: Sequence[float]
    answers: Answers
    other_model: Answers | None
    is_binary: bool

    def values(self, name: str) -> np.ndarray:
        return np.array([row[name] for row in self.healthy if row[name] is not None], float)

    @property
    def part(self) -> str:
        """The segment's value that comes nearest to a fifth of the rows: what breaks in one segment only breaks there."""
        names, counts = np.unique([str(row[self.segment]) for row in self.healthy if self.segment], return_counts=True)
        return str(names[np.argmin(np.abs(counts / counts.sum() - 0.2))])

    def slice(self, only: Sequence[str]) -> dict[str, str]:
        """What a cause must name where a trouble is confined to: segment, replica, or both."""
        found = {str(self.segment): self.part} if "segment" in only else {}
        return found | ({"replica": REPLICAS[1]} if "replica" in only else {})

    @property
    def scale(self) -> float:
        return float(np.std(self.healthy_answers))


Change = Callable[[list[Served], Draw, int, Scene], Sequence[str]]
"""(events, draw, severity 0 … 2, scene) → names of the broken inputs; () where it cannot be done here or has none."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """`names`: the right name first. answers_anew: the model answers on what it was given then."""

    change: Change
    names: tuple[str, ...]
    answers_anew: bool = True
    binary: bool | None = None
    """Only for classifiers, only for regressions."""
    needs: str = ""
    """Attribute of the scene without which it cannot be done."""
    only: tuple[str, ...] = ()
    """Where the change is made: in one value of `segment`, on one `replica`, or where both meet; () = everywhere."""


def some(events: Sequence[Served], draw: Draw, share: float) -> list[Served]:
    return [events[place] for place in np.flatnonzero(draw.random(len(events)) < share)]


# -- inputs


def _set(share: Sequence[float], value: Sequence[object], attribute: str = "numeric") -> Change:
    def change(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
        name = getattr(scene, attribute)
        for one in some(events, draw, share[severity]):
            one.row[name] = value[severity]
        return (name,)

    return change


def _fill(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    value = (0, -1, -999)[severity]
    if np.mean(scene.values(scene.numeric) == value) > 0.01:
        value = -1  # 0 is an ordinary value there
    for one in some(events, draw, (0.03, 0.1, 0.5)[severity]):
        one.row[scene.numeric] = value
    return (scene.numeric,)


def _map(formula: Callable[[np.ndarray, np.ndarray, Draw, int], np.ndarray], share: float = 1.0) -> Change:
    """formula(values, healthy values, draw, severity) of the quantity."""

    def change(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
        there = [one.row for one in some(events, draw, share) if one.row[scene.numeric] is not None]
        values = np.array([row[scene.numeric] for row in there], float)
        changed = formula(values, scene.values(scene.numeric), draw, severity)
        for row, value, was in zip(there, changed.tolist(), values.tolist(), strict=True):
            if value != was:
                row[scene.numeric] = round(value, 6)
        return (scene.numeric,)

    return change


def _ramp(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    """The world moves slowly: its values have the digits they always had."""
    rows, healthy = (2_000, 1_000, 500)[severity], scene.values(scene.numeric)
    sd, digits = healthy.std(), _digits(healthy)
    for place, one in enumerate(events):
        if one.row[scene.numeric] is not None:
            moved = min(1.0, place / rows) * (0.5, 1.0, 1.5)[severity] * sd * draw.uniform(0, 2)
            one.row[scene.numeric] = round(float(one.row[scene.numeric] + moved), digits)
    return (scene.numeric,)


def _digits(values: np.ndarray) -> int:
    """After the point, at most six."""
    return next(n for n in range(7) if n == 6 or np.allclose(values, values.round(n)))


def _clip(v: np.ndarray, healthy: np.ndarray, draw: Draw, severity: int) -> np.ndarray:
    return np.minimum(v, np.quantile(healthy, (0.9, 0.75, 0.5)[severity]))


def _round(v: np.ndarray, healthy: np.ndarray, draw: Draw, severity: int) -> np.ndarray:
    step = (0.5, 1.0, 2.0)[severity] * healthy.std()
    return np.round(v / step) * step


def _outliers(v: np.ndarray, healthy: np.ndarray, draw: Draw, severity: int) -> np.ndarray:
    wild = draw.random(len(v)) < (0.01, 0.03, 0.1)[severity]
    far = healthy.mean() + draw.uniform(8, 40, len(v)) * healthy.std() * draw.choice((-1, 1), len(v))
    return np.where(wild, far, v)


def _stuck(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    value = events[0].row[scene.numeric]
    for one in some(events, draw, (0.1, 0.3, 1.0)[severity]):
        one.row[scene.numeric] = value
    return (scene.numeric,)


def _joined(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    chosen = some(events, draw, (0.2, 0.5, 1.0)[severity])
    values = [chosen[place].row[scene.numeric] for place in draw.permutation(len(chosen))]
    for one, value in zip(chosen, values, strict=True):
        one.row[scene.numeric] = value
    return (scene.numeric,)


def _lagged(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    lag = (1, 5, 50)[severity]
    values = [one.row[scene.numeric] for one in events]
    for place, one in enumerate(events):
        one.row[scene.numeric] = values[place - lag]
    return (scene.numeric,)


def _unrelated(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    """Several quantities come from other rows, each from its own: each alone is as ever, together they are not."""
    first = scene.healthy[0]
    names = [name for name in first if isinstance(first[name], int | float) and len(set(scene.values(name))) > 20][:5]
    for name in names:
        chosen = some(events, draw, (0.2, 0.5, 1.0)[severity])
        values = [chosen[place].row[name] for place in draw.permutation(len(chosen))]
        for one, value in zip(chosen, values, strict=True):
            one.row[name] = value
    return names


def _region(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    """A part of the events is of a kind that health does not have: two values go together, each common, that never did."""
    corner = _empty_corner(scene, draw)
    if corner is None:
        return ()
    (first, is_first), (second, is_second) = corner
    pool = [one for one in events if is_first(one.row[first])]
    values = [one.row[second] for one in events if is_second(one.row[second])]
    donors = [(dict(pool[place].row), pool[place].truth) for place in draw.permutation(len(pool)).tolist()]
    for place, one in enumerate(some(events, draw, (0.03, 0.1, 0.3)[severity])):
        row, one.truth = donors[place % len(donors)]
        one.row = row | {second: values[int(draw.integers(len(values)))]}
    return (first, second)


Part = tuple[str, Callable[[Any], bool]]
"""A column, and which of its values."""


def _empty_corner(scene: Scene, draw: Draw) -> tuple[Part, Part] | None:
    """Of two columns a part each, which 3 % of the rows would have together by chance and less than one in a thousand has."""
    parts = [(name, test) for name in scene.healthy[0] for test in _parts_of(name, scene)]
    which = np.array([[test(row[name]) for row in scene.healthy] for name, test in parts], float)
    together, each = which @ which.T / which.shape[1], which.mean(axis=1)
    is_empty = (together < 0.001) & (np.outer(each, each) > 0.03)
    pairs = [(a, b) for a, b in np.argwhere(is_empty).tolist() if parts[a][0] != parts[b][0]]
    if not pairs:
        return None
    a, b = pairs[int(draw.integers(len(pairs)))]
    return parts[a], parts[b]


def _parts_of(name: str, scene: Scene) -> list[Callable[[Any], bool]]:
    """The lower and the upper third of a quantity, the common values of a category."""
    values = [row[name] for row in scene.healthy if row[name] is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        low, high = np.quantile(values, [1 / 3, 2 / 3])
        return [lambda v: v is not None and v < low, lambda v: v is not None and v > high]
    names, counts = np.unique(np.array(values, str), return_counts=True)
    common = names[counts > 0.1 * len(values)].tolist()
    return [lambda v, mine=mine: str(v) == mine for mine in common]


def _swapped(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    first, second = scene.numeric, scene.second
    for one in some(events, draw, (0.05, 0.2, 1.0)[severity]):
        one.row[first], one.row[second] = one.row[second], one.row[first]
    return (first, second)


def _recoded(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    name = scene.category
    assert name is not None
    for one in some(events, draw, (0.05, 0.3, 1.0)[severity]):
        value = one.row[name]
        # What is in capitals already would be as it was.
        other = f"{value}".lower() if f"{value}".isupper() else f"{value}".upper()
        one.row[name] = (f"{value} ", other, f"{value}".swapcase())[severity] if value else value
    return (name,)


def _renamed(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    name = scene.numeric
    for one in events:
        value = one.row.pop(name)
        if severity == 1:
            one.row[f"{name}_v2"] = value
        elif severity == 2:
            one.row[name] = None if value is None else str(value)
    return (name,)


def _source(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    """Several inputs of one source are null together."""
    names = [name for name in scene.healthy[0] if all(row[name] is not None for row in scene.healthy[:500])][:4]
    for one in some(events, draw, (0.05, 0.2, 1.0)[severity]):
        one.row.update(dict.fromkeys(names))
    return names


def _repeated(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    twice = some(events, draw, (0.05, 0.2, 0.6)[severity])
    events += [replace(one, row=dict(one.row), at_ms=one.at_ms + 40, label_ms=None) for one in twice]
    events.sort(key=lambda one: one.at_ms)
    return ()


# -- the world


def _oversampled(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    assert scene.category is not None
    return _more_of_one(scene.category, events, draw, severity, scene)


def _segment(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    assert scene.segment is not None
    _more_of_one(scene.segment, events, draw, severity, scene)
    return ()


def _more_of_one(name: str, events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    """One value of a category takes the place of a part of the others."""
    values = [row[name] for row in scene.healthy]
    counts = Counter(value for value in values if value is not None)
    # Of values that enough cases have: a handful of cases again and again would be repeated events.
    common = sorted((count, value) for value, count in counts.items() if count >= 100)
    if len(common) < 2:
        return ()
    chosen = common[(len(common) - 1) // 2][1]
    pool = [place for place, value in enumerate(values) if value == chosen]
    _others_instead(some(events, draw, (0.1, 0.25, 0.6)[severity]), pool, draw, scene)
    return (name,)


def _label_shift(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    """Cases of the high outcome take the place of a part of the others."""
    high = sum(truth > 0.5 for truth in scene.healthy_truth) if scene.is_binary else len(scene.healthy_truth) // 4
    pool = np.argsort(scene.healthy_truth, kind="stable")[-high:].tolist()
    _others_instead(some(events, draw, (0.1, 0.25, 0.5)[severity]), pool, draw, scene)
    return ()


def _others_instead(events: Sequence[Served], pool: Sequence[int], draw: Draw, scene: Scene) -> None:
    """Other cases of health, those of these places, come instead of these: each once, until all have come."""
    order = [place for _ in range(0, len(events), len(pool)) for place in draw.permutation(pool).tolist()]
    for one, place in zip(events, order, strict=False):
        one.row = dict(scene.healthy[place])
        one.truth, one.answer = scene.healthy_truth[place], float(scene.healthy_answers[place])


def _flipped(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    for one in some(events, draw, (0.03, 0.1, 0.3)[severity]):
        one.truth = 1 - one.truth
    return ()


def _concept(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    """What came true depends otherwise on an input than it did: where the quantity is high."""
    cut = float(np.quantile(scene.values(scene.numeric), 0.6))
    moved = _moved([one.truth for one in events], (0.15, 0.5, 1.5)[severity])
    for one in events:
        value = one.row[scene.numeric]
        if value is not None and value > cut:
            if scene.is_binary:
                one.truth = 1 - one.truth if draw.random() < (0.1, 0.3, 0.8)[severity] else one.truth
            else:
                one.truth = moved(one.truth)
    return ()


def _local(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    """Other outcomes: for classes a part of them turns round, for numbers all move."""
    moved = _moved([one.truth for one in events], (0.05, 0.15, 0.5)[severity])
    chosen = some(events, draw, (0.05, 0.15, 0.4)[severity]) if scene.is_binary else events
    for one in chosen:
        one.truth = 1 - one.truth if scene.is_binary else moved(one.truth)
    return ()


def _moved(truth: Sequence[float], by: float) -> Callable[[float], float]:
    """Outcomes a part of their standard deviation up, with the digits that outcomes have."""
    sd, digits = float(np.std(truth)), _digits(np.array(truth))
    return lambda value: round(float(value) + by * sd, digits)


# -- the model


def _answer(formula: Callable[[np.ndarray, Draw, int, Scene], np.ndarray]) -> Change:
    def change(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
        changed = formula(np.array([one.answer for one in events]), draw, severity, scene)
        changed = np.clip(changed, 0, 1) if scene.is_binary else changed
        for one, answer in zip(events, changed.tolist(), strict=True):
            one.answer = answer
        return ()

    return change


def _bias(a: np.ndarray, draw: Draw, severity: int, scene: Scene) -> np.ndarray:
    return a + (0.03, 0.1, 0.3)[severity] if scene.is_binary else a + (0.1, 0.3, 1.0)[severity] * scene.scale


def _constant(a: np.ndarray, draw: Draw, severity: int, scene: Scene) -> np.ndarray:
    return np.where(draw.random(len(a)) < (0.02, 0.1, 1.0)[severity], np.mean(scene.healthy_answers), a)


def _sharpened(a: np.ndarray, draw: Draw, severity: int, scene: Scene) -> np.ndarray:
    logit = np.log(np.clip(a, 1e-6, 1 - 1e-6) / (1 - np.clip(a, 1e-6, 1 - 1e-6)))
    return 1 / (1 + np.exp(-(logit * (1.3, 2.0, 0.4)[severity] + (0.2, 0.5, 0.0)[severity])))


def _corrupted(a: np.ndarray, draw: Draw, severity: int, scene: Scene) -> np.ndarray:
    return a + (0.2, 0.6, 2.0)[severity] * scene.scale * draw.normal(size=len(a))


def _other_model(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    assert scene.other_model is not None
    chosen = some(events, draw, (0.1, 0.5, 1.0)[severity])
    for one, answer in zip(chosen, scene.other_model([one.row for one in chosen]), strict=True):
        one.answer = answer
    return ()


def _mixed(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    """The model is not given what is logged: what it reacts to most in the place of what has least to do with that, the
    former the same for everybody, all quantities in another order.

    Scaled before they are mixed up: each value stands where it stood among those of its own column.
    """
    quantities = [n for n, one in scene.healthy[0].items() if isinstance(one, int | float) and len(scene.values(n))]
    # Where one value stands in most rows, hardly an answer would change.
    counts = {name: np.unique(scene.values(name), return_counts=True)[1] for name in quantities}
    varied = [name for name in quantities if counts[name].max() <= 0.5 * len(scene.healthy)]
    rows = np.array([[row[name] for name in varied] for row in scene.healthy], float)
    table = np.column_stack([rows, scene.healthy_answers])
    ranks = table[~np.isnan(table).any(axis=1)].argsort(axis=0).argsort(axis=0)
    together = np.abs(np.corrcoef(ranks.T))
    most = int(np.argmax(together[-1, :-1]))
    first, second = varied[most], varied[int(np.argmin(together[most, :-1]))]
    order = {first: first} if severity == 1 else {first: second, second: first}
    if severity == 2:
        order = dict(zip(quantities, [*quantities[1:], quantities[0]], strict=True))
    sorted_values = {name: np.sort(scene.values(name)) for name in quantities}

    def given(row: Row) -> Row:
        found = dict(row)
        for name, other in order.items():
            if row[other] is not None:
                rank = np.searchsorted(sorted_values[other], row[other]) / len(sorted_values[other])
                mine = sorted_values[name]
                found[name] = float(mine[min(int((0.5 if severity == 1 else rank) * len(mine)), len(mine) - 1)])
        return found

    for one, answer in zip(events, scene.answers([given(one.row) for one in events]), strict=True):
        one.answer = answer
    return ()


def _one_replica(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    assert scene.other_model is not None
    chosen = [one for one in events if one.replica == REPLICAS[1]]
    others = scene.other_model([one.row for one in chosen])
    for one, answer in zip(chosen, others, strict=True):
        one.answer = one.answer + (0.3, 0.6, 1.0)[severity] * (answer - one.answer)
    return ()


def _threshold(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    for one in events:
        one.decision = int(one.answer > (0.45, 0.35, 0.2)[severity])
    return ()


def _permuted(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    for one in some(events, draw, (0.05, 0.3, 1.0)[severity]):
        one.answer = 1 - one.answer
    return ()


# -- infrastructure


def _slower(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    for one in events:
        one.latency_ms *= (1.15, 1.5, 4.0)[severity]
    return ()


def _slow_ones(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    for one in some(events, draw, (0.01, 0.03, 0.1)[severity]):
        one.latency_ms *= 20
    return ()


def _errors(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    for one in some(events, draw, (0.01, 0.05, 0.3)[severity]):
        one.error = "TimeoutError"
    return ()


def _traffic(faster: bool) -> Change:
    def change(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
        factor = (1.3, 2.0, 10.0)[severity]
        start = events[0].at_ms
        for one in events:
            waited = None if one.label_ms is None else one.label_ms - one.at_ms
            one.at_ms = start + int((one.at_ms - start) * (1 / factor if faster else factor))
            one.label_ms = None if waited is None else one.at_ms + waited
        return ()

    return change


def _no_labels(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    for one in events if severity == 2 else some(events, draw, (0.5, 0.8)[severity]):
        one.label_ms = None
    return ()


def _skewed(events: list[Served], draw: Draw, severity: int, scene: Scene) -> Sequence[str]:
    for one in events:
        if one.replica == REPLICAS[1]:
            one.other["timestamp"] = one.at_ms + (-HOUR_MS, HOUR_MS, 24 * HOUR_MS)[severity]
    return ()


def confined(events: Sequence[Served], only: Sequence[str], scene: Scene) -> list[Served]:
    """The events of the slice that a trouble is confined to; all of them where it is not."""
    if "segment" in only:
        events = [one for one in events if str(one.row[scene.segment or ""]) == scene.part]
    return [one for one in events if "replica" not in only or one.replica == REPLICAS[1]]


_NULL_THERE = _set((0.1, 0.3, 1.0), (None,) * 3)
TROUBLES: dict[str, Trouble] = {
    "null": Trouble(_set((0.03, 0.1, 0.5), (None,) * 3), ("missing_values",)),
    "category null": Trouble(_set((0.03, 0.1, 0.5), (None,) * 3, "category"), ("missing_values",), needs="category"),
    "source null": Trouble(_source, ("missing_values",)),
    "fill": Trouble(_fill, ("default_fill",)),
    "scale": Trouble(_map(lambda v, h, d, s: v * (1.2, 2.54, 1_000.0)[s]), ("unit_change",)),
    # A world that moved as a whole by a part of its spread leaves the same values.
    "offset": Trouble(_map(lambda v, h, d, s: v + (0.2, 0.5, 1.5)[s] * h.std()), ("unit_change", "covariate_drift")),
    "sign": Trouble(_map(lambda v, h, d, s: -v, 1.0), ("unit_change",)),
    "ramp": Trouble(_ramp, ("covariate_drift",)),
    "noise": Trouble(
        _map(lambda v, h, d, s: v + (0.3, 0.7, 2.0)[s] * h.std() * d.normal(size=len(v))), ("noisy_feature",)
    ),
    "clip": Trouble(_map(_clip), ("precision_loss",)),
    "round": Trouble(_map(_round), ("precision_loss",)),
    "outliers": Trouble(_map(_outliers), ("outliers",)),
    "stuck": Trouble(_stuck, ("stale_feature",)),
    "join": Trouble(_joined, ("misaligned_feature",)),
    "lag": Trouble(_lagged, ("misaligned_feature",)),
    "swap": Trouble(_swapped, ("feature_swap",)),
    "new category": Trouble(_set((0.01, 0.05, 0.3), ("zebra",) * 3, "category"), ("new_category",), needs="category"),
    "recoding": Trouble(_recoded, ("category_recoding",), needs="category"),
    "schema": Trouble(_renamed, ("schema_change",)),
    "repeated": Trouble(_repeated, ("duplicate_events",)),
    # Which of the two it is depends on whether the column is declared as a segment.
    "oversampled": Trouble(
        _oversampled, ("segment_mix_shift", "covariate_drift"), answers_anew=False, needs="category"
    ),
    "segment": Trouble(_segment, ("segment_mix_shift",), answers_anew=False, needs="segment"),
    "label shift": Trouble(_label_shift, ("label_shift",), answers_anew=False),
    "flips": Trouble(_flipped, ("label_quality",), answers_anew=False, binary=True),
    "concept": Trouble(_concept, ("concept_drift", "local_concept_drift"), answers_anew=False),
    # Weights that shift every answer: whose they are shows in no output.
    "bias": Trouble(_answer(_bias), ("wrong_model", "parameter_corruption", "calibration_change"), answers_anew=False),
    "corrupted": Trouble(_answer(_corrupted), ("parameter_corruption", "wrong_model"), answers_anew=False),
    "constant": Trouble(_answer(_constant), ("fallback_answers",), answers_anew=False),
    "calibration": Trouble(_answer(_sharpened), ("calibration_change",), answers_anew=False, binary=True),
    "other model": Trouble(
        _other_model, ("wrong_model", "parameter_corruption"), answers_anew=False, needs="other_model"
    ),
    "replica": Trouble(_one_replica, ("replica_disagreement",), answers_anew=False, needs="other_model"),
    "threshold": Trouble(_threshold, ("threshold_change",), answers_anew=False, binary=True),
    "permuted": Trouble(_permuted, ("output_permutation",), answers_anew=False, binary=True),
    "latency": Trouble(_slower, ("latency_degradation",), answers_anew=False),
    "slow ones": Trouble(_slow_ones, ("latency_degradation",), answers_anew=False),
    "errors": Trouble(_errors, ("error_surge",), answers_anew=False),
    "surge": Trouble(_traffic(True), ("traffic_change",), answers_anew=False),
    "fall": Trouble(_traffic(False), ("traffic_change",), answers_anew=False),
    "no labels": Trouble(_no_labels, ("label_feed_stopped",), answers_anew=False),
    "clock": Trouble(_skewed, ("clock_skew",), answers_anew=False),
    "unrelated": Trouble(_unrelated, ("dependence_drift",)),
    "mixed inputs": Trouble(_mixed, ("preprocessing_mismatch",), answers_anew=False, needs="other_model"),
    "null in segment": Trouble(_NULL_THERE, ("missing_values",), needs="segment", only=("segment",)),
    "null on replica": Trouble(_NULL_THERE, ("missing_values",), only=("replica",)),
    "null in both": Trouble(_NULL_THERE, ("missing_values",), needs="segment", only=("segment", "replica")),
    "fill in segment": Trouble(_fill, ("default_fill",), needs="segment", only=("segment",)),
    "scale in segment": Trouble(
        _map(lambda v, h, d, s: v * (1.2, 2.54, 1_000.0)[s]), ("unit_change",), needs="segment", only=("segment",)
    ),
    "errors on replica": Trouble(_errors, ("error_surge",), answers_anew=False, only=("replica",)),
    "latency on replica": Trouble(_slower, ("latency_degradation",), answers_anew=False, only=("replica",)),
    "concept in segment": Trouble(
        _local, ("local_concept_drift",), answers_anew=False, needs="segment", only=("segment",)
    ),
    "novel region": Trouble(_region, ("novel_region",)),
}
