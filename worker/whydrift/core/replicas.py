"""How each replica does beside the others of the same time: the residuals or latencies of one, against those of the rest.

One odd replica of three moves what the version does in all by a third, which is within the tolerance. So the values of up to
MOST_REPLICAS are compared with those of the rest, pair by pair as they come (`detectors.paired`): what all replicas have in
common, drift, load or noise, cancels.

Replicas run one version, so what remains of answers (residuals, plain and standardised) is who asks them, and of latency where
they run. Health shows whether they are alike: a small margin will then do. Where health did not show it (one replica, no names),
the usual margin is kept; where it shows that they are not alike (one for each region, other hardware), they are not compared.

Replicas come and go: one that answers nothing neither gains nor loses, and gives up its place when another one needs it.

Limits: of two replicas each differs from the other by as much (who is odd is for `faults.replica_disagreement` to find); those
beyond the first MOST_REPLICAS are only part of the rest; one that differs on few kinds of cases shows late or never.
Belongs here: that evidence, and its alarms. Not here: what they mean.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from whydrift.core.alarms import Alarm
from whydrift.core.autocorrelation import integrated_time
from whydrift.core.case import RESIDUALS, SignalEvidence
from whydrift.core.columns import Floats, abridged
from whydrift.core.detectors.bets import Bets
from whydrift.core.detectors.numeric import shapes
from whydrift.core.detectors.paired import BETS_A_SHAPE, SDS, WIDTHS, differences, legendre, paired_log_e
from whydrift.core.evidence import EvidenceProcess, mixture_log10
from whydrift.core.reference import BINS, ColumnReference

PREFIX = "replica."
"""Begins the names of these signals; no column's name with an aspect ends as they do."""
MOST_REPLICAS = 8
BATCH_ROWS = 60
"""Rows that are compared at once."""
_GONE_ROWS = 2_000
"""A replica that answered none of so many rows gives up its place."""
_MOST_ACCEPTED = 16
_LEAST_ROWS = 30
"""Rows of a replica in health that it takes to compare it."""
_UNEVEN = 1e-3
"""Chance, over all replicas and shapes, of a difference in health from which they are not asked the same."""
_LASTING_LOG10 = 1.0
_LASTING_ROWS = 600
"""Evidence is kept for so many of the latest rows, to tell whether a change still lasts."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What of replicas is compared. aspect: ends the names of its signals. columns: of the version's outputs.

    part: of the usual margin, where health shows that they are alike. may_differ: a little, for good: what their centres differ
    by in health, or may for all it shows, is then no news either.
    """

    aspect: str
    columns: tuple[str, ...]
    part: float
    may_differ: bool = False

    @property
    def shapes(self) -> int:
        return len(self.columns) * len(SDS)

    @property
    def bets(self) -> int:
        return self.shapes * BETS_A_SHAPE


ANSWERING = Quantity("residual", RESIDUALS, part=0.25)
"""One function, the same cases: nothing differs."""
LATENCY = Quantity("latency", ("latency",), part=0.5, may_differ=True)
"""One function, but each on a host of its own. Failed calls count as far as their latency is told, as in the column itself."""


@cache
def _own(bets: int) -> Bets:
    """Whose "bins" are the bets themselves, and whose "counts" their logarithms."""
    return Bets(np.eye(bets), np.full(bets, 1 / bets))


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """What health shows of replicas. margin: difference that is no news, in standard deviations of a shape; infinite where they
    are not alike. times: rows that tell as much as one (`autocorrelation`), (shapes,).
    """

    margin: float
    times: Floats

    @property
    def is_even(self) -> bool:
        return bool(np.isfinite(self.margin))

    def snapshot(self) -> dict[str, Any]:
        return {"margin": self.margin, "times": self.times}

    @classmethod
    def restore(cls, state: Mapping[str, Any], quantity: Quantity = ANSWERING) -> "Usual":
        """Raises ValueError where it is not one of ours."""
        found = cls(float(state["margin"]), state["times"])
        if found.times.shape != (quantity.shapes,) or not (found.margin >= 0 and (found.times >= 1).all()):
            raise ValueError("what is usual of replicas is of another shape")
        return found


def learn_usual(
    codes: NDArray[np.int64], values: Floats, margin: float, quantity: Quantity = ANSWERING
) -> Usual | None:
    """From rows of health in stream order: the replica of each (`code_of`), values (rows, columns). None where it shows nothing.

    margin: the usual one.
    """
    known = (codes >= 0) & ~np.isnan(values).any(axis=1)
    codes = codes[known]
    names, counts = np.unique(codes, return_counts=True)
    names = names[counts >= _LEAST_ROWS]
    if len(names) < 2:
        return None
    ranks = values[known].argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    phi = legendre((ranks + 0.5) / len(codes)).reshape(len(codes), quantity.shapes)
    sds = np.tile(SDS, len(quantity.columns))
    times, z, error, apart = np.ones(quantity.shapes), 0.0, 0.0, 0.0
    for name in names.tolist():
        mine, theirs = phi[codes == name], phi[codes != name]
        times = np.maximum(times, [integrated_time(series[None, :]) for series in mine.T])
        one = np.sqrt(1 / len(mine) + 1 / len(theirs))
        each = np.abs(mine.mean(axis=0) - theirs.mean(axis=0)) / sds
        z, error = max(z, float((each / np.sqrt(times)).max()) / one), max(error, float(one))
        apart = max(apart, float(each[:: len(SDS)].max()) + float(one))
    if z > -float(ndtri(_UNEVEN / (2 * quantity.shapes * len(names)))):
        return Usual(np.inf, times)
    # What health cannot tell from the same is no news either.
    least = min(max(quantity.part * margin, error), margin)
    return Usual(max(least, apart) if quantity.may_differ else least, times)


def code_of(replica: str | None) -> int:
    """A number that stands for a replica while rows are learnt from; −1 = none."""
    return -1 if replica is None else crc32(replica.encode())


class ReplicaWatch:
    """The replicas of one version, by one quantity. margin: the usual one, in standard deviations."""

    def __init__(self, margin: float, quantity: Quantity = ANSWERING) -> None:
        self._margin = margin
        self.quantity = quantity
        self._own = _own(quantity.bets)
        self.usual: Usual | None = None
        self.log10_threshold = 6.0
        self.alarms: dict[str, Alarm] = {}
        self.rows_seen = 0
        self._names: list[str | None] = [None] * MOST_REPLICAS
        """Replica in each place; its number is that of the signal."""
        self._seen_row = [0] * MOST_REPLICAS
        self._accepted: list[str] = []
        """Of which somebody said that they may differ; they are not compared, nor compared with."""
        self._evidence = EvidenceProcess([self._own] * MOST_REPLICAS)
        self._slots: list[NDArray[np.int64]] = []
        self._phi: list[Floats] = []
        """Rows that wait for the rest of their batch: place of the replica (−1 = none of ours), shapes."""
        self._first = (0, 0, 0)
        """Time, offset, running number of the first of them."""
        self._recent: list[Floats] = []
        """Evidence of the latest batches: (replicas, bets)."""
        self._tables: tuple[tuple[ColumnReference | None, ...], Floats] | None = None

    # -- rows -------------------------------------------------------------------------------------------------------

    def learn(self, codes: NDArray[np.int64], values: Floats) -> None:
        """Take from rows of health what is usual (`learn_usual`). While one of them is odd nothing is learnt."""
        if not self.alarms:
            self.usual = learn_usual(codes, values, self._margin, self.quantity)

    def update(
        self,
        replicas: Sequence[str | None],
        bins: NDArray[np.intp],
        references: tuple[ColumnReference | None, ...],
        at: tuple[int, int],
    ) -> None:
        """Take a chunk. bins: of the columns by these references, (rows, columns). at: time and offset of its first row."""
        if self.usual is not None and not self.usual.is_even:
            return
        if len(set(replicas)) == 1 and not self._slots and self._is_alone(replicas[0]):
            self.rows_seen += len(replicas)
            return
        phi = self._shapes_of(references)[np.arange(bins.shape[1]), bins].reshape(len(bins), self.quantity.shapes)
        if not self._slots:
            self._first = (*at, self.rows_seen)
        self.rows_seen += len(replicas)
        slots = self._places(replicas)
        usable = (slots >= -1) & ~np.isnan(phi).any(axis=1)
        self._slots.append(slots[usable])
        self._phi.append(phi[usable])
        if sum(map(len, self._slots)) >= BATCH_ROWS or self.rows_seen - self._first[2] >= 4 * BATCH_ROWS:
            self._close(references)

    def _is_alone(self, name: str | None) -> bool:
        """Whether there is nobody to be compared with."""
        return name is None or all(other in (None, name) for other in self._names)

    def _places(self, replicas: Sequence[str | None]) -> NDArray[np.int64]:
        """Place of each row's replica; −1 = among the rest only, −2 = not to be compared."""
        found: dict[str | None, int] = {None: -2}
        for name in dict.fromkeys(replicas):
            if name is not None:
                found[name] = self._place(abridged(name))
        return np.array([found[name] for name in replicas], np.int64)

    def _place(self, name: str) -> int:
        if name in self._accepted:
            return -2
        place = self._names.index(name) if name in self._names else self._free_place(name)
        if place >= 0:
            self._seen_row[place] = self.rows_seen
        return place

    def _free_place(self, name: str) -> int:
        free = [place for place, other in enumerate(self._names) if other is None]
        gone = [
            place
            for place, other in enumerate(self._names)
            if other is not None
            and self.rows_seen - self._seen_row[place] > _GONE_ROWS
            and self._signal(other) not in self.alarms
        ]
        place = next(iter(free or sorted(gone, key=lambda one: self._seen_row[one])), -1)
        if place >= 0:
            self._names[place] = name
            self._evidence.reset(place)
            for batch in self._recent:
                batch[place] = 0.0
        return place

    def _shapes_of(self, references: tuple[ColumnReference | None, ...]) -> Floats:
        """Shapes of each bin of each column: (columns, BINS + 1, 3), NaN where there is no such bin."""
        if self._tables is None or any(a is not b for a, b in zip(self._tables[0], references, strict=True)):
            table = np.full((len(references), BINS + 1, len(SDS)), np.nan)
            for place, reference in enumerate(references):
                if reference is None:
                    # What was learnt before residuals were standardised: nothing to compare.
                    table[place] = 0.0
                    continue
                used = reference.used_bins
                table[place, used] = np.stack(list(shapes(reference.masses[used]).values()), axis=1)
            self._tables = references, table
        return self._tables[1]

    def _close(self, references: tuple[ColumnReference | None, ...]) -> None:
        slots, phi = np.concatenate(self._slots), np.concatenate(self._phi)
        self._slots, self._phi = [], []
        times = self._times(references)
        margin = self._margin if self.usual is None else self.usual.margin
        columns = len(references)
        tolerance, widths = np.tile(margin * SDS, columns), np.tile(WIDTHS, columns)
        log_e, told = np.zeros((MOST_REPLICAS, self.quantity.bets)), np.zeros(MOST_REPLICAS, bool)
        for place in np.unique(slots[slots >= 0]).tolist():
            mine = slots == place
            if not mine.all():
                told[place] = True
                log_e[place] = paired_log_e(differences(phi[mine], phi[~mine]), tolerance, widths) / times
        self._evidence.update(log_e, *self._first, told=told)
        self._recent = [*self._recent, log_e][-_LASTING_ROWS // BATCH_ROWS :]
        self._review()

    def _times(self, references: tuple[ColumnReference | None, ...]) -> Floats:
        """Rows that tell as much as one, of each bet: as health's replicas and all rows together show."""
        found = np.ones(self.quantity.shapes) if self.usual is None else self.usual.times
        known = [{} if reference is None else reference.times for reference in references]
        own = [times.get(group, 1.0) for times in known for group in ("centre", "spread", "form")]
        return np.repeat(np.maximum(found, own), BETS_A_SHAPE)

    # -- alarms -----------------------------------------------------------------------------------------------------

    def _review(self) -> None:
        values = self._evidence.values()
        for place, name in enumerate(self._names):
            if name is None:
                continue
            signal = self._signal(name)
            alarm = self.alarms.get(signal)
            if alarm is None:
                if values[place] >= 10.0**self.log10_threshold:
                    self.alarms[signal] = Alarm.raised(signal, place, self._evidence, self.rows_seen)
            elif alarm.is_over(place, self._evidence, self.rows_seen, self.log10_threshold):
                del self.alarms[signal]

    def lasts(self, signal: str) -> bool:
        """Whether the latest rows still speak for this alarm."""
        if signal not in self.alarms or not self._recent:
            return False
        place = self._names.index(self._replica(signal))
        log_e = np.sum([batch[place] for batch in self._recent], axis=0)
        return mixture_log10(self._own, log_e) > _LASTING_LOG10

    @property
    def signal_count(self) -> int:
        """0 where there is nobody to compare with."""
        known = sum(name is not None for name in self._names)
        return known if known > 1 else 0

    def levels(self) -> dict[str, float]:
        """log10 evidence of each replica's signal, in order of their names."""
        if not self.signal_count and not self.alarms:
            return {}
        known = [(name, place) for place, name in enumerate(self._names) if name is not None]
        levels = self._evidence.log10()
        return {self._signal(name): float(levels[place]) for name, place in sorted(known)}

    def evidence(self) -> tuple[SignalEvidence, ...]:
        """Those that have an alarm."""
        levels, aspect = self.levels(), self.quantity.aspect
        return tuple(
            SignalEvidence(
                name, PREFIX + self._replica(name), aspect, levels[name], self.log10_threshold, alarm.onset_ms, True
            )
            for name, alarm in sorted(self.alarms.items())
        )

    def accept(self, signals: Collection[str]) -> None:
        """These may differ: they are not compared any more."""
        for signal in sorted({*signals} & {self._signal(name) for name in self._names if name is not None}):
            place = self._names.index(self._replica(signal))
            self._accepted = [*self._accepted, self._replica(signal)][-_MOST_ACCEPTED:]
            self._names[place] = None
            self._evidence.reset(place)
            self.alarms.pop(signal, None)
        self._slots, self._phi = [], []

    def anew(self) -> "ReplicaWatch":
        """One that has compared nothing yet, for columns that are learnt anew. Who may differ still may."""
        fresh = ReplicaWatch(self._margin, self.quantity)
        fresh.log10_threshold = self.log10_threshold
        fresh._accepted = list(self._accepted)
        return fresh

    # -- state ------------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        return {
            "usual": None if self.usual is None else self.usual.snapshot(),
            "log10_threshold": self.log10_threshold,
            "alarms": [alarm.snapshot() for alarm in self.alarms.values()],
            "rows_seen": self.rows_seen,
            "names": self._names,
            "seen_row": self._seen_row,
            "accepted": self._accepted,
            "evidence": self._evidence.snapshot(),
            "slots": np.concatenate([np.empty(0, np.int64), *self._slots]),
            "phi": np.concatenate([np.empty((0, self.quantity.shapes)), *self._phi]),
            "first": list(self._first),
            "recent": np.array(self._recent).reshape(-1, MOST_REPLICAS, self.quantity.bets),
        }

    @classmethod
    def restore(cls, margin: float, state: Mapping[str, Any] | None, quantity: Quantity = ANSWERING) -> "ReplicaWatch":
        """Of states from before replicas were compared by this quantity there is none."""
        watch = cls(margin, quantity)
        if state is None:
            return watch
        watch.usual = None if state["usual"] is None else Usual.restore(state["usual"], quantity)
        watch.log10_threshold, watch.rows_seen = state["log10_threshold"], state["rows_seen"]
        watch.alarms = {alarm[0]: Alarm.restore(alarm) for alarm in state["alarms"]}
        watch._names, watch._seen_row = list(state["names"]), list(state["seen_row"])
        watch._accepted = list(state["accepted"])
        watch._evidence.restore(state["evidence"])
        watch._slots = [state["slots"]] if len(state["slots"]) else []
        watch._phi = [state["phi"]] if len(state["slots"]) else []
        watch._first = (state["first"][0], state["first"][1], state["first"][2])
        watch._recent = list(state["recent"])
        return watch

    def _signal(self, replica: str) -> str:
        return f"{PREFIX}{replica}.{self.quantity.aspect}"

    def _replica(self, signal: str) -> str:
        return signal.removeprefix(PREFIX).removesuffix(f".{self.quantity.aspect}")


def is_of_replica(signal: str, quantity: Quantity = ANSWERING) -> bool:
    """Whether this is the name of one of these signals."""
    return signal.startswith(PREFIX) and signal.endswith(f".{quantity.aspect}")
