"""The figures of an incident's page: which there are, and what they show in words for who cannot see them.

Belongs here: choosing, captions and text alternatives; drawn figures are kept. Not here: drawing (`figures`, `drawing`), which
needs matplotlib (extra `graphs`): without it pages have the numbers as tables only.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import structlog
from markupsafe import Markup

from whydrift.core.graphs import Curve, IncidentGraphs, LossCurve, Slice, Spread
from whydrift.shell.pages.words import brief, clock, number, percent
from whydrift_schemas import Diagnosis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ImageFormat = Literal["svg", "png"]

KEPT_FIGURES = 1_024
"""At 15 kB each; a report draws all of its figures first."""
_CENTRAL = 0.8
_SHARED_MEMORY = "/dev/shm/whydrift-matplotlib"
"""Writable on Linux where the root file system is not."""
_LEAST_POINTS = 2
_SAID = {
    "prediction": "the answer: score, or value",
    "residual": "the answer minus what such inputs used to get",
    "standardised_residual": "the same, over its size that is usual for such inputs",
    "decision": "the decision",
    "latency": "how long an answer took",
    "errors": "1 where the call failed",
    "contradiction": "1 where it was decided otherwise than such a score was in health",
    "actual": "what came true",
    "loss": "how wrong the answer was",
    "label_delay": "from the prediction to its label",
}
"""What columns that are no inputs hold."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Plate:
    """One figure. text: what it shows, in words. table: the numbers, heading first; `drawing`: what draws it.

    kind: distribution, evidence, performance or segments.
    """

    kind: str
    title: str
    text: str
    table: tuple[tuple[str, ...], ...]
    drawing: "Drawing"


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a figure is made from; equal ones are drawn once."""

    spread: Spread | None = None
    curves: tuple[Curve, ...] = ()
    loss: LossCurve | None = None
    slices: tuple[Slice, ...] = ()
    onset_ms: int = 0
    detected_ms: int = 0
    resolved_ms: int | None = None

    def figure(self) -> "Figure":
        from whydrift.shell.pages import figures

        if self.spread is not None:
            return figures.spread_figure(self.spread)
        if self.loss is not None:
            return figures.loss_figure(self.loss, self.onset_ms)
        if self.slices:
            return figures.slices_figure(self.slices)
        return figures.evidence_figure(self.curves, self.onset_ms, self.detected_ms, self.resolved_ms)


def find_cache() -> None:
    """Give matplotlib a folder where a container has none to write to: shared memory. It refuses to be imported without one."""
    if "MPLCONFIGDIR" in os.environ:
        return
    try:
        tempfile.gettempdir()
    except OSError:
        os.environ["MPLCONFIGDIR"] = _SHARED_MEMORY


@lru_cache(KEPT_FIGURES)
def _inline(drawing: Drawing, text: str, key: str) -> str:
    find_cache()
    from whydrift.shell.pages.drawing import inline_svg

    return inline_svg(drawing.figure, text, key)


def inline(plate: Plate, key: str) -> Markup | None:
    """SVG for a page; None where nothing can be drawn here. What fails to be drawn must not take the page with it."""
    try:
        return Markup(_inline(plate.drawing, plate.text, key))
    except ImportError:
        return None
    except (OSError, ValueError, ArithmeticError) as error:
        # No cache directory on a read-only file system, say; the page has the numbers as a table.
        log.warning("a figure could not be drawn", figure=plate.title, error=str(error))
        return None


def image(plate: Plate, kind: ImageFormat) -> bytes:
    """A figure as a file. Raises ImportError without matplotlib."""
    find_cache()
    from whydrift.shell.pages.drawing import file_bytes

    return file_bytes(plate.drawing.figure, kind)


def can_draw() -> bool:
    """Whether matplotlib is there and finds a folder for its cache: it refuses to be imported without one."""
    find_cache()
    try:
        import matplotlib  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def plates(graphs: IncidentGraphs, said: Diagnosis) -> list[Plate]:
    """In the order in which they are read: the guilty feature, evidence, performance, segments, then what else moved."""
    spreads = [_spread(one) for one in graphs.spreads]
    makers: list[Callable[[], Iterator[Plate]]] = [
        lambda: _evidence(graphs, said),
        lambda: _performance(graphs, said.onset_at),
        lambda: _segments(graphs),
    ]
    return spreads[:1] + [plate for make in makers for plate in make()] + spreads[1:]


def _spread(spread: Spread) -> Plate:
    was, now = _range(spread, spread.reference), _range(spread, spread.current)
    text = f"{spread.name}: in health mostly {was}; since the onset mostly {now}."
    if max(spread.missing_reference, spread.missing_current) > 0:
        text += f" Missing: {percent(spread.missing_reference)} → {percent(spread.missing_current)} of the rows."
    rows = [("value" if spread.labels else "from – to", "in health", "since the onset")]
    names = spread.labels or tuple(f"{number(a)} – {number(b)}" for a, b in pairwise(spread.edges))
    sides = zip(names, spread.reference, spread.current, strict=True)
    rows += [(brief(name), percent(was), percent(now)) for name, was, now in sides]
    rows.append(("(missing)", percent(spread.missing_reference), percent(spread.missing_current)))
    said = _SAID.get(spread.name, "") if spread.role in ("answer", "label") else ""
    title = f"{spread.role.capitalize()} {brief(spread.name)}" + (f" ({said})" if said else "")
    return Plate("distribution", title, text, tuple(rows), Drawing(spread=spread))


def _range(spread: Spread, shares: tuple[float, ...]) -> str:
    """The most frequent labels, or the range that holds the central four fifths."""
    if not sum(shares):
        return "nothing"
    if spread.labels:
        ranked = sorted(zip(shares, spread.labels, strict=True), reverse=True)[:2]
        return ", ".join(f"“{brief(name, 40)}” ({percent(share)})" for share, name in ranked if share)
    total, low, high = 0.0, spread.edges[0], spread.edges[-1]
    for place, share in enumerate(shares):
        before, total = total, total + share / sum(shares)
        if before < (1 - _CENTRAL) / 2 <= total:
            low = spread.edges[place]
        if before < (1 + _CENTRAL) / 2 <= total:
            high = spread.edges[place + 1]
            break
    return f"{number(low)} to {number(high)}{' ' + spread.unit if spread.unit else ''}"


def _evidence(graphs: IncidentGraphs, said: Diagnosis) -> Iterator[Plate]:
    curves = tuple(curve for curve in graphs.curves if len(curve.points) >= _LEAST_POINTS)
    if not curves:
        return
    lead = curves[0]
    level = lead.points[-1][1]
    state = "above" if level >= lead.threshold else "below"
    text = (
        f"Evidence on {lead.signal} against its threshold, onset {clock(said.onset_at)} UTC: at the end 10^{level:.0f}, "
        f"{state} the alarm at 10^{lead.threshold:.1f}."
    )
    rows = [("time (UTC)", *(brief(curve.signal) for curve in curves))]
    known = [dict(curve.points) for curve in curves]
    rows += [
        (clock(at_ms), *(f"10^{one[at_ms]:.1f}" if at_ms in one else "" for one in known))
        for at_ms in _sampled(sorted({at for one in known for at in one}))
    ]
    drawing = Drawing(curves=curves, onset_ms=said.onset_at, detected_ms=said.detected_at, resolved_ms=said.resolved_at)
    yield Plate("evidence", "Evidence over time", text, tuple(rows), drawing)


def _sampled(times_ms: list[int], most: int = 24) -> list[int]:
    step = max(1, len(times_ms) // most)
    return times_ms[::-step][::-1]


def _performance(graphs: IncidentGraphs, onset_ms: int) -> Iterator[Plate]:
    loss = graphs.loss
    if loss is None or len(loss.points) < _LEAST_POINTS:
        return
    sides = [[v for at, v in loss.points if at < onset_ms], [v for at, v in loss.points if at >= onset_ms]]
    means = [number(sum(side) / len(side)) if side else "not known" for side in sides]
    metric = loss.metric.replace("_", " ")
    text = f"Mean {metric} of chunks of labelled predictions: {means[0]} before the onset, {means[1]} since."
    times = _sampled([at for at, _ in loss.points])
    rows = [("time (UTC)", metric), *((clock(at), number(value)) for at, value in loss.points if at in set(times))]
    title = f"Performance before and after: {metric} of version {brief(loss.model_version)}"
    yield Plate("performance", title, text, tuple(rows), Drawing(loss=loss, onset_ms=onset_ms))


def _segments(graphs: IncidentGraphs) -> Iterator[Plate]:
    slices = graphs.slices
    if not slices:
        return
    name = slices[0].dimension.removeprefix("segment.")
    rows: list[tuple[str, ...]] = [
        (name, "share before", "share now", f"{slices[0].measure} before", f"{slices[0].measure} now")
    ]
    for one in slices:
        means = [("not known" if mean is None else number(mean)) for mean in (one.mean_reference, one.mean_current)]
        rows.append((brief(one.value), percent(one.share_reference), percent(one.share_current), *means))
    text = (
        f"Mean {slices[0].measure} by {name}: " + "; ".join(f"{row[0]} {row[3]} → {row[4]}" for row in rows[1:]) + "."
    )
    yield Plate("segments", f"By {brief(name)}", text, tuple(rows), Drawing(slices=slices))
