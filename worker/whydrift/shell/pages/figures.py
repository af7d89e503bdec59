"""Figures of an incident, with matplotlib's objects: nothing of pyplot, so nothing is shared between threads.

Colours are names for what they mean (`Paint`): places in matplotlib's colour cycle, which `drawing` fills with those of a theme.

Belongs here: what a figure shows. Not here: how it is written as SVG or PNG (`drawing`), the numbers (`whydrift.core.graphs`).
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from whydrift.core.graphs import Curve, LossCurve, Points, Slice, Spread
from whydrift.shell.pages.words import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, brief, clock, iso, number

WIDTH_IN, HEIGHT_IN = 5.0, 2.5
"""At 72 units an inch as wide as a phone, so that letters there are as large as they are meant."""
_SMALL = 9.0
_MOST_TIMES_THRESHOLD = 3.0
"""Evidence beyond so many thresholds is beyond doubt: it is cut off, or the threshold could not be seen."""
_LEAST_EVIDENCE = -1.0
_STEPS_MS = (
    *(n * SECOND_MS for n in (1, 5, 10, 30)),
    *(n * MINUTE_MS for n in (1, 2, 5, 10, 30)),
    *(n * HOUR_MS for n in (1, 2, 6, 12)),
    *(n * DAY_MS for n in (1, 2, 7, 14, 30, 90, 365)),
)


class Paint(StrEnum):
    """What a colour means; `C0` is matplotlib's name for the first of the cycle."""

    TEXT = "C0"
    MUTED = "C1"
    GRID = "C2"
    REFERENCE = "C3"
    CURRENT = "C4"
    THRESHOLD = "C5"
    SECOND = "C6"
    THIRD = "C7"
    FOURTH = "C8"


_CURVES = (
    (Paint.CURRENT, "-"),
    (Paint.SECOND, (0, (6, 2))),
    (Paint.THIRD, (0, (2, 2))),
    (Paint.FOURTH, (0, (6, 2, 1, 2))),
)


def spread_figure(spread: Spread) -> Figure:
    """Reference against current distribution of one column."""
    if spread.labels:
        return _bars(spread)
    figure, axes = _axes()
    edges = np.array(spread.edges)
    for shares, paint, alpha in ((spread.reference, Paint.REFERENCE, 0.45), (spread.current, Paint.CURRENT, 0.35)):
        axes.stairs(shares, edges, fill=True, color=paint, alpha=alpha, linewidth=0)
        axes.stairs(shares, edges, color=paint, linewidth=1.6)
    axes.set_xlim(edges[0], edges[-1])
    if spread.scale == "log":
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=5))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(float(value))))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    axes.set_ylim(bottom=0)
    axes.set_xlabel(brief(f"{spread.name}, {spread.unit}" if spread.unit else spread.name, 48))
    _tell(figure, [("in health", Paint.REFERENCE, "-"), ("since the onset", Paint.CURRENT, "-")])
    return figure


def _bars(spread: Spread) -> Figure:
    labels = [brief(label, 22) for label in spread.labels]
    height = HEIGHT_IN * max(0.6, (len(labels) + 1.5) / 6)
    figure, axes = _axes(height=height)
    places = np.arange(len(labels))
    for shares, paint, shift in ((spread.reference, Paint.REFERENCE, -0.2), (spread.current, Paint.CURRENT, 0.2)):
        axes.barh(places + shift, shares, height=0.36, color=paint)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    axes.grid(visible=False, axis="y")
    axes.set_xlim(left=0)
    axes.set_xlabel("share of the rows")
    _tell(figure, [("in health", Paint.REFERENCE, "-"), ("since the onset", Paint.CURRENT, "-")])
    return figure


def evidence_figure(curves: Sequence[Curve], onset_ms: int, detected_ms: int, resolved_ms: int | None) -> Figure:
    """Evidence over time, with the threshold, the onset, and the moments it was told and over."""
    figure, axes = _axes()
    threshold = max((curve.threshold for curve in curves), default=1.0)
    top = _MOST_TIMES_THRESHOLD * threshold
    told = []
    for place, (curve, (paint, style)) in enumerate(zip(curves, _CURVES, strict=False)):
        levels = [min(max(level, _LEAST_EVIDENCE), top) for _, level in curve.points]
        axes.plot(_days(curve.points), levels, color=paint, linestyle=style, linewidth=1.8, zorder=5 - 0.1 * place)
        told.append((brief(curve.signal, 30), paint, style))
    axes.axhline(threshold, color=Paint.THRESHOLD, linewidth=1.2, linestyle=(0, (4, 3)))
    _mark(axes, onset_ms, "onset")
    times_ms = [onset_ms, resolved_ms or onset_ms, *(at_ms for curve in curves for at_ms, _ in curve.points)]
    if detected_ms - onset_ms > 0.15 * (max(times_ms) - min(times_ms)):
        _mark(axes, detected_ms, "told", Paint.MUTED)
    if resolved_ms is not None:
        _mark(axes, resolved_ms, "over", Paint.MUTED)
    axes.set_ylim(_LEAST_EVIDENCE, max(top, 1.0) * 1.02)
    axes.set_yticks([0, threshold, top], ["none", "alarm", "beyond\ndoubt"])
    _time_axis(axes, min(times_ms), max(times_ms))
    _tell(figure, told)
    return figure


def loss_figure(loss: LossCurve, onset_ms: int) -> Figure:
    """Performance before and after: each chunk's mean loss, and the mean of either side."""
    figure, axes = _axes()
    days = _days(loss.points)
    values = np.array([value for _, value in loss.points])
    axes.plot(days, values, color=Paint.MUTED, linestyle="none", marker="o", markersize=2.6)
    told = [("mean of a chunk", Paint.MUTED, "o")]
    start = _day(onset_ms)
    for side, paint, name in (
        (days < start, Paint.REFERENCE, "mean before"),
        (days >= start, Paint.CURRENT, "mean since"),
    ):
        if side.any():
            axes.hlines(values[side].mean(), days[side][0], days[side][-1], color=paint, linewidth=2.4)
            told.append((name, paint, "-"))
    if loss.reference is not None:
        axes.axhline(loss.reference, color=Paint.REFERENCE, linewidth=1.0, linestyle=(0, (4, 3)))
    _mark(axes, onset_ms, "onset")
    axes.set_ylim(bottom=min(0.0, float(values.min())))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(float(value))))
    axes.set_ylabel(loss.metric.replace("_", " "))
    _time_axis(axes, min(loss.points[0][0], onset_ms), max(loss.points[-1][0], onset_ms))
    _tell(figure, told)
    return figure


def slices_figure(slices: Sequence[Slice]) -> Figure:
    """What happened within each slice of the dimension: from health to now."""
    figure, axes = _axes(height=HEIGHT_IN * max(0.6, (len(slices) + 1.5) / 5))
    places = np.arange(len(slices))
    for place, one in zip(places.tolist(), slices, strict=True):
        if one.mean_reference is not None and one.mean_current is not None:
            axes.hlines(place, one.mean_reference, one.mean_current, color=Paint.MUTED, linewidth=2.0)
        if one.mean_reference is not None:
            axes.plot([one.mean_reference], [place], marker="o", markersize=7, color=Paint.REFERENCE)
        if one.mean_current is not None:
            axes.plot([one.mean_current], [place], marker="D", markersize=7, color=Paint.CURRENT)
    axes.set_yticks(places, [brief(one.value, 22) for one in slices])
    axes.set_ylim(len(slices) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(float(value))))
    axes.margins(x=0.12)
    axes.set_xlabel(f"mean {slices[0].measure} by {brief(slices[0].dimension, 30)}")
    _tell(figure, [("in health", Paint.REFERENCE, "o"), ("since the onset", Paint.CURRENT, "D")])
    return figure


# -- what all have in common ------------------------------------------------------------------------------------------------


def _axes(height: float = HEIGHT_IN) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_IN, height), layout="constrained")
    figure.patch.set_alpha(0.0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0.0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(Paint.GRID)
    axes.tick_params(colors=Paint.GRID, labelcolor=Paint.TEXT, labelsize=_SMALL, length=3)
    axes.xaxis.label.set(color=Paint.TEXT, size=_SMALL)
    axes.yaxis.label.set(color=Paint.TEXT, size=_SMALL)
    axes.grid(visible=True, color=Paint.GRID, linewidth=0.6, alpha=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def _tell(figure: Figure, entries: Sequence[tuple[str, Paint, object]]) -> None:
    """A legend above the axes, in two columns."""
    handles = []
    for _, paint, style in entries:
        is_marker = style in ("o", "D")
        handle = Line2D([], [], color=paint, linewidth=3 if style == "-" else 1.8)
        handle.set(marker=style if is_marker else "", linestyle="none" if is_marker else style)
        handles.append(handle)
    figure.legend(
        handles,
        [name for name, _, _ in entries],
        loc="outside upper left",
        ncols=2 if max((len(name) for name, _, _ in entries), default=0) > 14 else 3,
        frameon=False,
        fontsize=_SMALL,
        labelcolor=Paint.TEXT,
        handlelength=1.6,
        borderpad=0,
    )


def _mark(axes: Axes, at_ms: int, text: str, paint: Paint = Paint.TEXT) -> None:
    """A moment, named above the axes."""
    axes.axvline(_day(at_ms), color=paint, linewidth=1.2, linestyle="-" if paint is Paint.TEXT else (0, (1, 2)))
    axes.annotate(
        text,
        (_day(at_ms), 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=paint,
        fontsize=_SMALL,
    )


def _time_axis(axes: Axes, first_ms: int, last_ms: int) -> None:
    """Few round times of the day; the date where there is more than one."""
    step_ms = next((step for step in _STEPS_MS if last_ms - first_ms <= 5 * step), _STEPS_MS[-1])
    ticks = list(range(-(-first_ms // step_ms) * step_ms, last_ms + 1, step_ms))[:60]
    ticks = ticks or [first_ms]
    seconds, dated = step_ms < MINUTE_MS, last_ms - first_ms > DAY_MS
    axes.set_xticks(
        [_day(at) for at in ticks], [_tick(at, seconds=seconds, dated=dated, step_ms=step_ms) for at in ticks]
    )
    axes.set_xlabel(f"UTC, {clock(last_ms)[:10]}" if not dated else "UTC")


def _tick(at_ms: int, *, seconds: bool, dated: bool, step_ms: int) -> str:
    if dated:
        return clock(at_ms)[5:10] if step_ms >= DAY_MS else f"{clock(at_ms)[5:10]}\n{clock(at_ms)[11:]}"
    return iso(at_ms)[11:19] if seconds else clock(at_ms)[11:]


def _day(at_ms: int) -> float:
    return at_ms / DAY_MS


def _days(points: Points) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.array([at_ms for at_ms, _ in points]) / DAY_MS
    return result
