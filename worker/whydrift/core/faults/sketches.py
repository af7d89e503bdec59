"""Ways to break a row, for the examples of rules about inputs.

Belongs here: deterministic scatter and the small edits that examples are made of. Not here: examples.
"""

from collections.abc import Callable
from typing import Any

from whydrift.core.faults.rule import Row

Break = Callable[[Row, int], Row | list[Row] | None]


def scatter(i: int, salt: int = 0) -> float:
    """A number in [0, 1) for row i: always the same, without pattern (a multiplicative hash)."""
    mixed = (i * 0x9E3779B97F4A7C15 + (salt + 1) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return ((mixed ^ (mixed >> 31)) >> 11) / 2.0**53


def change(edit: Callable[[Any, int], Any], *names: str, share: float = 1.0, world: bool = False) -> Break:
    """Put `edit(value, i)` in place of these features in a share of the rows. world: the world changed, labels follow."""

    def breaks(row: Row, i: int) -> Row:
        if scatter(i, 7) < share:
            for name in names:
                row["features"][name] = edit(row["features"][name], i)
            if world and row.get("label"):
                row["label"]["actual"] = None
        return row

    return breaks


def fill(value: Any, *names: str, share: float = 1.0) -> Break:
    """Put one value in place of these features in a share of the rows."""
    return change(lambda _, i: value, *names, share=share)


def drop(*names: str, share: float = 1.0) -> Break:
    """Leave these keys out of a share of the rows."""

    def breaks(row: Row, i: int) -> Row:
        if scatter(i, 7) < share:
            for name in names:
                del row["features"][name]
        return row

    return breaks


def swap(first: str, second: str, share: float = 1.0) -> Break:
    """Exchange two features in a share of the rows."""

    def breaks(row: Row, i: int) -> Row:
        features = row["features"]
        if scatter(i, 7) < share:
            features[first], features[second] = features[second], features[first]
        return row

    return breaks


def both(*steps: Break) -> Break:
    """Break a row in several ways, one after the other."""

    def breaks(row: Row, i: int) -> Row | list[Row] | None:
        for step in steps:
            result = step(row, i)
            if not isinstance(result, dict):
                return result
            row = result
        return row

    return breaks


def predict(edit: Callable[[float, Row], float], share: float = 1.0) -> Break:
    """Put `edit(score, features)` in place of the score in a share of the rows; the label follows at the cut of 0.5."""

    def breaks(row: Row, i: int) -> Row:
        if scatter(i, 7) < share:
            score = round(edit(row["prediction"]["score"], row["features"]), 6)
            row["prediction"] = {"label": "bad" if score >= 0.5 else "good", "score": score}
        return row

    return breaks


def fail(error: str, share: float = 1.0, latency_ms: float | None = None) -> Break:
    """Let a share of the calls fail: no prediction, an error class, and where given another latency."""

    def breaks(row: Row, i: int) -> Row:
        if scatter(i, 7) < share:
            row |= {"prediction": None, "error": error}
            row["latency_ms"] = row["latency_ms"] if latency_ms is None else latency_ms
        return row

    return breaks


def turn(edit: Callable[[str, Row, int], str | None]) -> Break:
    """Put `edit(actual, features, i)` in place of what became of the case."""

    def breaks(row: Row, i: int) -> Row:
        if row.get("label"):
            row["label"]["actual"] = edit(row["label"]["actual"], row["features"], i)
        return row

    return breaks


def on_replica(replica: str, breaks: Break) -> Break:
    """Only in the rows of this replica."""
    return lambda row, i: breaks(row, i) if row["replica"] == replica else row


def describe(**changes: Any) -> Break:
    """Before the first row, the model describes itself anew: as before, but for these fields of its event.

    A `model_version` among them is the version of every row from then on.
    """

    def breaks(row: Row, i: int) -> Row | list[Row]:
        if "model_version" in changes:
            row["model_version"] = changes["model_version"]
        return [{"kind": "model", "timestamp": row["timestamp"]} | changes, row] if i == 0 else row

    return breaks


def lagged(name: str, rows: int) -> Break:
    """The feature is that of the row so many rows before."""
    held: list[object] = []

    def breaks(row: Row, i: int) -> Row:
        if i == 0:
            held.clear()
        held.append(row["features"][name])
        row["features"][name] = held[max(i - rows, 0)]
        return row

    return breaks
