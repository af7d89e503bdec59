"""Whole rows of events: inputs, answers, dimensions and labels side by side, in health and now, across a restart."""

from functools import cache

import numpy as np

from whydrift.core.case import Aligned, AlignedRows
from whydrift.core.dimensions import MAX_SEGMENT_KEYS
from whydrift.core.model import ModelWatch
from whydrift.core.picture import Onset, picture

from .small_world import LABEL_DELAY, MODEL_ID, Event, Feed, at_ms, events, faults

LEARNT, END = 700, 1_000
PRIME = 1_009


def marked(event: Event, i: int) -> None:
    """Dimensions and an input from which the event's number can be read."""
    event["replica"] = f"pod-{i % 3}"
    event["segment"] = {"country": ("de", "fr")[i % 2], "tier": "gold"}
    event["features"]["number"] = float(i * 617 % PRIME)


@cache
def _fed() -> Feed:
    feed = Feed()
    assert faults(feed(events(0, END, answers=marked))) == []
    return feed


def model_of(feed: Feed) -> ModelWatch:
    return feed.pipeline._models[MODEL_ID]


def aligned(feed: Feed) -> tuple[Aligned, Aligned]:
    """Answered and labelled rows; those from number LEARNT on count as current."""
    model = model_of(feed)
    since = Onset(at_ms(LEARNT), None)
    case = picture(model, model.versions[model.main_version], since, at_ms(END))
    return case.answered, case.labelled


def numbers_of(rows: AlignedRows) -> list[int]:
    """The events' numbers, read from their input."""
    return [int(value) * pow(617, -1, PRIME) % PRIME for value in rows.inputs["number"]]


def of_country(rows: AlignedRows, country: str) -> list[int]:
    return np.flatnonzero(rows.dimensions["segment.country"].groups()[country]).tolist()


def test_a_row_has_its_inputs_its_answer_and_its_dimensions() -> None:
    answered, _ = aligned(_fed().copy())
    for rows, first, last in ((answered.reference, 0, 500), (answered.current, LEARNT, END)):
        numbers = np.array(numbers_of(rows))
        assert len(rows) >= 280
        assert first <= numbers.min()
        assert numbers.max() < last
        expected = [event["prediction"]["score"] for event in events(0, END, answers=marked, has_labels=False)]
        scores = [expected[n] for n in numbers.tolist()]
        assert rows.outputs["prediction"].tolist() == scores
        assert rows.times_ms.tolist() == [at_ms(n) for n in numbers.tolist()]
        assert of_country(rows, "fr") == np.flatnonzero(numbers % 2 == 1).tolist()
        replicas = rows.dimensions["replica"]
        assert [replicas.names[int(code)] for code in replicas.codes] == [f"pod-{n % 3}" for n in numbers.tolist()]


def test_a_label_finds_the_inputs_its_prediction_was_made_from() -> None:
    _, labelled = aligned(_fed().copy())
    numbers = numbers_of(labelled.current)
    # The chunk of the last labels is still open.
    assert numbers == list(range(LEARNT, LEARNT + len(numbers)))
    assert len(numbers) > END - LEARNT - LABEL_DELAY - 40
    rows = labelled.current
    assert of_country(rows, "de") == [place for place, n in enumerate(numbers) if n % 2 == 0]
    assert not np.isnan(rows.outputs["loss"]).any()
    assert not np.isnan(rows.outputs["actual"]).any()
    health = labelled.reference
    assert len(health) > 450
    assert max(numbers_of(health)) < 600


def test_labels_that_come_at_once_wait_for_their_predictions_rows() -> None:
    feed = Feed()
    for event in events(0, 400, answers=marked, has_labels=False):
        at_once = {
            "kind": "label",
            "event_id": event["event_id"],
            "model_id": MODEL_ID,
            "timestamp": event["timestamp"],
        }
        feed([event, at_once | {"actual": "good"}])
    rows = model_of(feed).labelled.recent()
    assert len(rows) == 400
    _, labelled = aligned(feed)
    assert numbers_of(labelled.reference) == list(range(400))


def test_whole_rows_are_the_same_after_a_restart() -> None:
    feed = _fed()
    before, after = aligned(feed), aligned(feed.copy())
    for one, other in zip(before, after, strict=True):
        for a, b in ((one.reference, other.reference), (one.current, other.current)):
            assert a.times_ms.tolist() == b.times_ms.tolist()
            for name, values in (*a.inputs.items(), *a.outputs.items()):
                np.testing.assert_array_equal(values, {**b.inputs, **b.outputs}[name])
            for name, dimension in a.dimensions.items():
                assert dimension.names == b.dimensions[name].names
                np.testing.assert_array_equal(dimension.codes, b.dimensions[name].codes)


def test_at_most_so_many_segment_keys_are_followed() -> None:
    def many(event: Event, i: int) -> None:
        event["segment"] = {f"key-{j}": str(i % 2) for j in range(MAX_SEGMENT_KEYS + 3)}

    feed = Feed()
    feed(events(0, 600, answers=many))
    names = [column.name for column in model_of(feed).dimensions.segments.columns]
    assert names == [f"segment.key-{j}" for j in range(MAX_SEGMENT_KEYS)]


def test_a_mix_of_segments_that_moves_is_noticed() -> None:
    def even(event: Event, i: int) -> None:
        event["segment"] = {"country": ("de", "fr", "it", "es")[i % 4]}

    def moved(event: Event, i: int) -> None:
        event["segment"] = {"country": ("de", "fr", "it", "es")[i % 4 if i % 3 else 0]}

    feed = Feed()
    assert faults(feed(events(0, 700, answers=even))) == []
    feed(events(700, 1_300, answers=moved))
    assert "segment.country.distribution" in model_of(feed).alarms()
