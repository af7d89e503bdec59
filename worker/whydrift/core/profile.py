"""The reference as a file: what a model's healthy events taught, to be used by every worker from the first event on.

MessagePack with a header (`state`), compressed; no pickle. It holds quantiles, shares and counts; rows only as a bounded sample,
which may be left out (diagnosis can then not use relations between features).

Belongs here: the file's content, and making it from events. Not here: reading or writing files (`whydrift.app`).
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whydrift.core.bias import Groups
from whydrift.core.blind_spots import Blindness, BlindSpot, blind_spots
from whydrift.core.columns import Column, Rows
from whydrift.core.conditional import HOURS, Conditional
from whydrift.core.estimator import Estimator
from whydrift.core.learning import MonitorProfile
from whydrift.core.reference import BINS, NO_BIN, QUANTILES, ColumnReference
from whydrift.core.replicas import LATENCY, Usual
from whydrift.core.settings import Settings
from whydrift.core.signals import Aspect, flag_aspects
from whydrift.core.state import StateError, pack, unpack
from whydrift.core.surrogate import Surrogate

KIND = "profile"
_PARTS = ("inputs", "dependence", "outputs", "losses", "labels", "delays", "segments", "who", "labelled")
_NOTHING: Mapping[str, Any] = MonitorProfile((), {}, Rows.concat([], 0)).snapshot()
_BEFORE_SIZES = ("prediction", "decision", "residual", "latency", "errors", "contradiction")
_COLUMNS: dict[str, list[tuple[str, ...]]] = {
    "outputs": [(*_BEFORE_SIZES, "standardised_residual"), _BEFORE_SIZES],
    "losses": [("loss",)],
    "labels": [("actual",), ()],
    "delays": [("label_delay",)],
}
"""What the columns of our own parts may be."""
_NO_LABELS = (
    "hardly any labels among its events: how well the model does is learnt from those to come, be it well or not"
)
_NO_ROWS = "no rows in it: relations between inputs, and whether undoing a change mends it, are not known at first"
MAX_BYTES = 64 * 1024 * 1024
"""A file said to be larger when decompressed was not written by us."""


class ProfileError(Exception):
    """The operator must act: these events make no reference. The message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """One model in health. `keys`: feature keys in the order of `inputs.columns`; the outputs are those of `version`."""

    model_id: str
    version: str
    task: str | None
    conventions: Mapping[str, Any] | None
    """How the answers are to be read: see `Performance.conventions`."""
    events: int
    keys: tuple[str, ...]
    inputs: MonitorProfile
    dependence: MonitorProfile
    """Residuals of inputs given the others; nothing where there is no sample."""
    outputs: MonitorProfile
    losses: MonitorProfile
    labels: MonitorProfile
    delays: MonitorProfile
    segments: MonitorProfile
    """Columns `segment.<key>`."""
    who: MonitorProfile
    """Replica and version of rows of health: a sample only."""
    labelled: MonitorProfile
    """Rows with their labels: a sample only; the column is that of the labels' sources."""
    surrogate: Surrogate | None
    bias: Groups | None
    """How errors lie in groups of labelled rows; None where that is not known."""
    replicas: Usual | None
    """What is usual of the answers of replicas beside each other; None where it shows nothing."""
    paces: Usual | None
    """The same of their latencies."""
    estimate: Mapping[str, Any] | None
    """What the estimator of performance without labels has learnt, as it wrote it (`Estimator.snapshot_references`)."""

    def blind_spots(self, settings: Settings) -> tuple[BlindSpot, ...]:
        """What it cannot show of the inputs, and of the whole."""
        parts = (getattr(self, name) for name in _PARTS)
        signals = sum(1 + len(one.given) + len(flag_aspects(one)) for part in parts for one in part.references.values())
        found = [*blind_spots(_Part.of(self.inputs), settings.margin, max(signals, 1))]
        if not self.losses.references:
            found.append(BlindSpot(Blindness.NO_LABELS, (), _NO_LABELS))
        if not len(self.inputs.sample):
            found.append(BlindSpot(Blindness.NO_ROWS, (), _NO_ROWS))
        return tuple(found)

    def snapshot(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).snapshot() for name in _PARTS}
        return {
            "model_id": self.model_id,
            "version": self.version,
            "task": self.task,
            "conventions": None if self.conventions is None else dict(self.conventions),
            "events": self.events,
            "keys": list(self.keys),
            "surrogate": None if self.surrogate is None else self.surrogate.snapshot(),
            "bias": None if self.bias is None else self.bias.snapshot(),
            "replicas": None if self.replicas is None else self.replicas.snapshot(),
            "paces": None if self.paces is None else self.paces.snapshot(),
            "estimate": self.estimate,
            **parts,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Profile":
        """Raises what damaged values raise, ValueError where the parts do not fit together."""
        state = {"dependence": _NOTHING, **state}  # files from before it was learnt have none
        parts = {name: MonitorProfile.restore(state[name]) for name in _PARTS}
        surrogate = None if state["surrogate"] is None else Surrogate.restore(state["surrogate"])
        if len(state["keys"]) != len(parts["inputs"].columns):
            raise ValueError(f"{len(state['keys'])} keys of {len(parts['inputs'].columns)} inputs")
        if surrogate is not None and surrogate.inputs != len(parts["inputs"].references):
            raise ValueError("a surrogate of other inputs")
        for name, part in parts.items():
            _check_fit(name, part)
        # Files from before replicas were compared (by latency: later), and errors by groups, have none of it.
        replicas, paces, bias = (state.get(name) for name in ("replicas", "paces", "bias"))
        estimate = state.get("estimate")  # files from before it was learnt have none
        Estimator(Settings(), _Part.of(parts["inputs"]), _Part.of(parts["outputs"])).install(estimate)  # raises
        return cls(
            model_id=state["model_id"],
            version=state["version"],
            task=state["task"],
            conventions=state["conventions"],
            events=state["events"],
            keys=tuple(state["keys"]),
            surrogate=surrogate,
            bias=None if bias is None else Groups.restore(bias),
            replicas=None if replicas is None else Usual.restore(replicas),
            paces=None if paces is None else Usual.restore(paces, LATENCY),
            estimate=estimate,
            **parts,
        )


@dataclass(slots=True)
class _Part:
    """A part as an estimator looks at it."""

    columns: list[Column]
    references: list[ColumnReference | None]

    @classmethod
    def of(cls, part: MonitorProfile) -> "_Part":
        return cls(list(part.columns), [part.references.get(column.name) for column in part.columns])


def _check_fit(name: str, part: MonitorProfile) -> None:
    """Raises ValueError where references or sample are not those of the columns."""
    rows, width = len(part.sample), len(part.columns)
    names = tuple(column.name for column in part.columns)
    if names not in _COLUMNS.get(name, [names]):
        raise ValueError(f"{name}: other columns than ours")
    if {part.sample.values.shape, part.sample.presence.shape} != {(rows, width)} or len(part.sample.offsets) != rows:
        raise ValueError(f"{name}: a sample of other columns")
    if len(part.bins) and (part.bins.shape[1:] != (width,) or part.bins.min() < 0 or part.bins.max() > NO_BIN):
        raise ValueError(f"{name}: bins of other columns")
    if not all(0 <= one.yes <= one.n > 0 and 1 <= one.time < float("inf") for one in part.flags.values()):
        raise ValueError(f"{name}: shares of flags that are none")
    kinds = {column.name: column.kind for column in part.columns}
    for reference in part.references.values():
        shapes = (reference.masses.shape, reference.quantiles.shape, reference.edges.ndim)
        if kinds.get(reference.name) is not reference.kind or shapes != ((BINS,), (QUANTILES,), 1):
            raise ValueError(f"{name}: a reference of no column")
        if len(reference.edges) >= BINS or not all(_fits(*one) for one in reference.given.items()):
            raise ValueError(f"{name}: more bins than there are")


def _fits(aspect: str, one: Conditional) -> bool:
    """Whether a conditional reference is one of ours."""
    hours, bins = len(one.centres), len(one.edges) + 1
    is_hourly = hours in HOURS and one.spreads.shape == (hours,) and one.gap_ms == 0
    is_step = not hours and one.gap_ms > 0
    return (
        (is_hourly if aspect == Aspect.HOURLY else is_step and aspect == Aspect.STEP)
        and one.edges.ndim == one.quantiles.ndim == 1
        and one.masses.shape == (bins,)
        and bins <= BINS
        and one.runs >= 0
        and one.longest_run >= 0
    )


def write_profile(profiles: Mapping[str, Profile]) -> bytes:
    """A reference file's content."""
    body = {model_id: profile.snapshot() for model_id, profile in sorted(profiles.items())}
    return zlib.compress(pack(KIND, {"models": body}), 9)


def read_profile(data: bytes) -> dict[str, Profile]:
    """Profiles by model id. Raises StateError: no reference file, damaged, or written by a newer whydrift."""
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise StateError(
            f"this is not a whydrift reference file ({error}); make one with `whydrift profile`"
        ) from error
    if stream.unconsumed_tail:
        raise StateError(f"this reference file unpacks to more than {MAX_BYTES:,} bytes: whydrift writes no such file")
    if not stream.eof:
        raise StateError("this reference file is cut off; make it anew with `whydrift profile`")
    body = unpack(KIND, raw)
    try:
        return {model_id: Profile.restore(state) for model_id, state in body["models"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StateError(f"this reference file is damaged ({error!r}); make it anew with `whydrift profile`") from error
