"""Whatever comes: a record is refused with its reason, or taken; nothing raises, memory stays bounded.

Belongs here: hostile input through the whole pipeline. Not here: the words of each refusal (`test_decode`).
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whydrift.core.columns import LARGEST, MAX_VOCABULARY, SMALLEST, Column, Kind, abridged, encode_column, tame
from whydrift.core.pipeline import Pipeline
from whydrift.core.records import Record, Reject
from whydrift.core.settings import Settings

from .small_world import MODEL_ID, START_MS, Event, Feed, at_ms, diagnoses, events, faults, label, rejects

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

QUICK = Settings(baseline_events=300, first_stage_events=100, max_features=50, max_models=100)
GOOD = next(events(0, 1, has_labels=False))


def spelled(**changes: Any) -> bytes:
    return json.dumps(GOOD | changes).encode()


BAD: dict[str, tuple[bytes | None, str]] = {
    "no value": (None, "empty"),
    "no bytes": (b"", "empty"),
    "a wrong field": (spelled(surprise=1), "unknown_field"),
    "a field left out": (json.dumps({k: v for k, v in GOOD.items() if k != "event_id"}).encode(), "missing_field"),
    "an unknown kind": (spelled(kind="predicton"), "unknown_kind"),
    "a diagnosis": (spelled(kind="diagnosis"), "unknown_kind"),
    "NaN": (spelled(features={"x": float("nan")}), "non_finite"),
    "infinity": (spelled(latency_ms=float("inf")), "non_finite"),
    "a number no float can hold": (spelled(features={"x": 0}).replace(b'"x": 0', b'"x": 1e400'), "non_finite"),
    "two megabytes": (spelled(features={"x": "y" * 2_000_000}), "too_large"),
    "deep nesting": (b'{"kind": "prediction", "features": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", "too_deep"),
    "a nested feature": (spelled(features={"x": {"y": 1}}), "wrong_type"),
    "invalid UTF-8": (spelled().replace(b"risk", b"ri\xffk"), "invalid_utf8"),
    "half of a pair": (spelled(features={"x": "y"}).replace(b'"y"', b'"\\ud800"'), "invalid_json"),
    "not JSON": (b"{'kind': 'prediction'}", "invalid_json"),
    "a list": (b"[1, 2]", "not_an_object"),
    "ten thousand features": (spelled(features={f"f{i}": i for i in range(10_000)}), "too_many_features"),
    "the year 1970": (spelled(timestamp=1_000), "timestamp_out_of_range"),
    "a time in seconds": (spelled(timestamp=START_MS // 1_000), "timestamp_out_of_range"),
    "no answer and no error": (spelled(prediction=None), "invalid_value"),
    "a label that is a list": (json.dumps(label(0, [1])).encode(), "wrong_type"),
    "a command without a target": (
        json.dumps({"kind": "command", "model_id": MODEL_ID, "timestamp": START_MS, "action": "accept"}).encode(),
        "missing_field",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_is_rejected_with_its_reason_and_comes_back_as_it_was(name: str) -> None:
    value, reason = BAD[name]
    record = Record("events", 0, 7, value, key=b"k")
    (output,) = Pipeline(QUICK, "events", 0).process([record])
    assert isinstance(output, Reject)
    assert output.reason.value == reason
    assert output.record is record
    assert 10 < len(output.message) < 600


def test_good_records_do_not_notice_the_bad_ones_around_them() -> None:
    good = list(events(0, 400))
    bad = [value for value, _ in BAD.values()]
    clean, noisy = Pipeline(QUICK, "events", 0), Pipeline(QUICK, "events", 0)
    records = [Record("events", 0, 2 * i, json.dumps(event).encode()) for i, event in enumerate(good)]
    said = clean.process(records)
    mixed = [one for i, r in enumerate(records) for one in (r, Record("events", 0, 2 * i + 1, bad[i % len(bad)]))]
    outputs = noisy.process(mixed)
    assert len(rejects(outputs)) == len(good)
    assert diagnoses(outputs) == diagnoses(said)
    sections = [f"model/{MODEL_ID}", f"references/{MODEL_ID}"]
    assert [noisy.snapshot()[name] for name in sections] == [clean.snapshot()[name] for name in sections]
    wanted = Counter(BAD[list(BAD)[i % len(bad)]][1] for i in range(len(good)))
    assert noisy.status().rejects == wanted


SHARED = Pipeline(QUICK, "events", 0)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_every_byte_string_is_rejected_or_taken(value: bytes) -> None:
    outputs = SHARED.process([Record("events", 0, 0, value)])
    assert len(rejects(outputs)) == len(outputs) <= 1


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, len(spelled()) - 1), st.binary(max_size=3), st.integers(0, 4))
def test_an_event_damaged_anywhere_is_rejected_or_taken(place: int, damage: bytes, gone: int) -> None:
    value = spelled()
    outputs = SHARED.process([Record("events", 0, 0, value[:place] + damage + value[place + gone :])])
    assert len(rejects(outputs)) == len(outputs) <= 1


# -- events that are valid, and hostile -----------------------------------------------------------------------------------

EXTREME = (1e308, -1e308, -0.0, 0.0, 1e-320, 5e-324, 2**63 - 1, -(2**63), 1.7976931348623157e308, 10**300)
TYPES = (1, "x", True, None, [1.0, 2.0], 2.5, [], "", False, [None, 1e308], -1e308)


def hostile(i: int, features: Event, **changes: Any) -> Event:
    score = 0.5 + 0.004 * ((i * 7_919) % 101)
    return {
        "kind": "prediction",
        "event_id": f"h{i}",
        "model_id": "hostile",
        "model_version": "v1",
        "timestamp": at_ms(i),
        "features": features,
        "prediction": {"score": score, "label": "ab"[i % 2]},
        "latency_ms": 3.0 + i % 7,
        **changes,
    }


def actual(i: int, value: object) -> Event:
    return label(i, value, model_id="hostile") | {"event_id": f"h{i}"}


Scenario = Callable[[int, random.Random], list[Event]]
SCENARIOS: dict[str, Scenario] = {
    "extreme numbers from the start": lambda i, r: [
        hostile(i, {"a": r.choice(EXTREME), "b": r.uniform(-1.7, 1.7) * 1e308, "c": r.gauss(0, 1) * 1e-320})
    ],
    "extreme numbers later": lambda i, r: [
        hostile(i, {"a": r.gauss(0, 1) if i < 350 else r.choice(EXTREME), "b": r.gauss(0, 1)})
    ],
    "extreme answers, labels and latencies": lambda i, r: [
        hostile(
            i, {"a": r.gauss(0, 1)}, prediction=r.choice(EXTREME), latency_ms=abs(r.choice(EXTREME))
        ),
        actual(i, r.choice(EXTREME)),
    ],
    "extreme answers and labels later": lambda i, r: [
        hostile(i, {"a": r.gauss(0, 1)}, prediction=r.gauss(0, 1) if i < 350 else r.choice(EXTREME)),
        actual(i, r.gauss(0, 1) if i < 400 else r.choice(EXTREME)),
    ],
    "types back and forth": lambda i, r: [
        hostile(i, {"a": TYPES[i % 11], "b": TYPES[i // 40 % 11], "c": TYPES[(i * 3 + 1) % 11]})
    ],
    "types that change later": lambda i, r: [
        hostile(i, {"a": r.gauss(0, 1) if i < 350 else TYPES[i % 11], "b": "xyz"[i % 3] if i < 350 else TYPES[i % 11]})
    ],
    "nothing but nulls": lambda i, r: [hostile(i, {"a": None, "b": r.gauss(0, 1)})],
    "no features": lambda i, r: [hostile(i, {})],
    "no features any more": lambda i, r: [hostile(i, {"a": r.gauss(0, 1)} if i < 350 else {})],
    "a new key in every event": lambda i, r: [hostile(i, {"a": r.gauss(0, 1), f"k{i}": i})],
    "a new category in every event": lambda i, r: [hostile(i, {"a": f"{i} {'text' * 500}", "b": f"c{i}"})],
    "vectors of any length and content": lambda i, r: [
        hostile(
            i,
            {
                "a": [r.gauss(0, 1)] * (4 if i < 350 else 1 + i % 7),
                "b": [1e308, 1e308, r.random()] if i % 2 else [None, 1, 2],
                "c": [],
                "d": r.gauss(0, 1) if i < 350 else [1.5] * 2_000,
            },
        )
    ],
    "errors instead of answers": lambda i, r: [
        hostile(i, {"a": r.gauss(0, 1)}, prediction=None, error=f"E{i}" + "x" * 4_000)
    ],
    "errors instead of answers, later": lambda i, r: [
        hostile(i, {"a": r.gauss(0, 1)}, **({} if i < 350 else {"prediction": None, "error": f"E{i}"}))
    ],
    "labels of other types than the answers": lambda i, r: [
        hostile(i, {"a": r.gauss(0, 1)}, prediction=r.choice([0.5, "a", True, 3])),
        actual(i, [True, 1, "a", 2.5, 1e308, "", "text" * 1_000][i % 7]),
    ],
    "probabilities that are none": lambda i, r: [
        hostile(
            i,
            {"a": r.gauss(0, 1)},
            prediction={"probabilities": {f"c{j}": r.choice([0.1, 1e308, -5, 0]) for j in range(i % 5 + 1)}},
        ),
        actual(i, f"c{i % 3}"),
    ],
    "labels of unknown events": lambda i, r: [hostile(i, {"a": r.gauss(0, 1)}), actual(10_000 + i, 1)],
    "a new version in every event": lambda i, r: [hostile(i, {"a": r.gauss(0, 1)}, model_version=f"v{i}")],
    "one moment for all": lambda i, r: [hostile(i, {"a": r.gauss(0, 1)}, timestamp=START_MS)],
    "time that runs backwards": lambda i, r: [hostile(i, {"a": r.gauss(0, 1)}, timestamp=at_ms(-60 * i))],
    "time that jumps over two centuries": lambda i, r: [
        hostile(i, {"a": r.gauss(0, 1)}, timestamp=r.randint(946_684_800_000, 7_258_118_399_999))
    ],
    "names of our own": lambda i, r: [
        hostile(
            i,
            {
                name: r.gauss(0, 1)
                for name in ("loss", "features.loss", "features.features.loss", "arrivals", "a", "a.missing", "\0a")
            },
        )
    ],
}  # fmt: skip


def run(scenario: Scenario, n: int, seed: int = 1) -> tuple[Feed, list[Any]]:
    feed, draw = Feed(settings=QUICK), random.Random(seed)
    outputs = feed(event for i in range(n) for event in scenario(i, draw))
    return feed, [*outputs, *feed.pipeline.finish()]


@pytest.mark.parametrize("name", SCENARIOS)
def test_hostile_events_are_taken_and_the_state_stays_small(name: str) -> None:
    feed, outputs = run(SCENARIOS[name], 500)
    assert rejects(outputs) == []
    status = feed.pipeline.status()
    assert [model.events for model in status.models] == [500]
    assert all(np.isfinite(signal.log10_e) for signal in status.models[0].signals)
    assert feed.state_bytes() < 1_500_000
    assert feed.copy().pipeline.snapshot() == feed.pipeline.snapshot()
    assert all(len(one.model_dump_json()) < 30_000 for one in diagnoses(outputs))


@pytest.mark.parametrize(
    "name",
    [
        "extreme numbers from the start",
        "extreme answers, labels and latencies",
        "probabilities that are none",
        "nothing but nulls",
        "no features",
        "a new category in every event",
        "errors instead of answers",
        "one moment for all",
        "names of our own",
    ],
)
def test_what_was_always_odd_is_no_news(name: str) -> None:
    assert faults(run(SCENARIOS[name], 900)[1]) == []


def test_fifty_thousand_hostile_events_of_every_sort_leave_a_small_state() -> None:
    def every_sort() -> Iterator[Event]:
        draw = random.Random(3)
        for i in range(50_000):
            kind = i % 5
            features = {"a": draw.choice(EXTREME), "b": TYPES[draw.randrange(11)], f"k{i % 997}": f"c{i}" * 20}
            if kind == 4:
                yield actual(draw.randrange(2 * i + 1), draw.choice([True, "a" * 1_000, 1e308]))
            elif kind == 3:
                yield hostile(i, features, prediction=None, error=f"E{i}" * 50, model_version=f"v{i // 500}")
            else:
                yield hostile(i, features, timestamp=at_ms(i - draw.randrange(100)), model_version=f"v{i // 300}")

    feed = Feed(settings=QUICK)
    outputs = feed(every_sort())
    assert rejects(outputs) == []
    assert feed.pipeline.status().models[0].events == 40_000
    assert feed.state_bytes() < 5_000_000


def test_of_five_thousand_model_ids_the_first_hundred_are_followed_and_the_others_rejected() -> None:
    feed = Feed(settings=QUICK)
    outputs = feed(GOOD | {"model_id": f"m{i}", "event_id": f"e{i}"} for i in range(5_000))
    assert Counter(output.reason.value for output in rejects(outputs)) == {"too_many_models": 4_900}
    assert "100 (max_models)" in rejects(outputs)[0].message
    assert [model.model_id for model in feed.pipeline.status().models] == [f"m{i}" for i in range(100)]
    assert feed.state_bytes() < 3_000_000
    assert rejects(feed([GOOD | {"model_id": "m7"}])) == []


def test_a_hundred_thousand_categories_share_a_bounded_vocabulary() -> None:
    column = Column("x", Kind.CATEGORICAL)
    codes, presence = encode_column(column, [f"{i}{'y' * 500}" for i in range(100_000)])
    assert len(column.codes) == MAX_VOCABULARY
    assert sum(map(len, column.codes)) < 150 * MAX_VOCABULARY
    assert not presence.any()
    assert len(np.unique(codes)) > 99_000, "each still repeats only itself"


def test_long_categories_with_a_common_beginning_stay_apart_and_come_back_to_the_same_code() -> None:
    column = Column("x", Kind.CATEGORICAL)
    first, second = "z" * 4_000, "z" * 3_999 + "y"
    codes, _ = encode_column(column, [first, second, first])
    assert codes.tolist() == [0.0, 1.0, 0.0]
    assert abridged("short") == "short"


def test_quantities_are_brought_to_sizes_that_can_be_reckoned_with() -> None:
    values = np.array([[1e308, -1e308, np.nan], [1e-320, -3.0, LARGEST], [SMALLEST, -0.0, 0.5]])
    tame(values)
    assert np.array_equal(
        values, [[LARGEST, -LARGEST, np.nan], [0.0, -3.0, LARGEST], [SMALLEST, 0.0, 0.5]], equal_nan=True
    )


def test_odd_values_are_kept_shortened() -> None:
    feed = Feed(settings=QUICK)
    feed(hostile(i, {"a": float(i % 13)}) for i in range(320))
    before = feed.state_bytes()
    outputs = feed(hostile(i, {"a": [0.5] * 6_000, "b": [0.25] * 6_000, "c": "d" * 4_000}) for i in range(320, 400))
    assert faults(outputs)
    assert feed.state_bytes() - before < 300_000
    assert all(len(one.model_dump_json()) < 30_000 for one in diagnoses(outputs))


def test_labels_of_unknown_events_wait_and_are_counted_when_their_time_is_over() -> None:
    feed = Feed(settings=Settings(label_ttl_ms=60_000))
    feed(event for i in range(50) for event in (hostile(i, {"a": 1}), actual(5_000 + i, 1) | {"timestamp": at_ms(i)}))
    feed(hostile(i, {"a": 1}) for i in range(50, 400))
    (model,) = feed.pipeline.status().models
    assert (model.labels, model.labels_joined, model.labels_expired) == (50, 0, 50)


def test_a_hostile_model_does_not_disturb_its_neighbour() -> None:
    draw = random.Random(5)

    def records(with_neighbour: bool) -> Iterator[Record]:
        for offset, event in enumerate(events(0, 600)):
            yield Record("events", 0, offset, json.dumps(event).encode())
            if with_neighbour and event["kind"] == "prediction":
                for scenario in ("extreme numbers later", "a new key in every event", "types back and forth"):
                    i = int(event["event_id"][1:])
                    one = SCENARIOS[scenario](i, draw)[0] | {"model_id": scenario}
                    yield Record("events", 0, offset, json.dumps(one).encode())

    alone, beside = Pipeline(QUICK, "events", 0), Pipeline(QUICK, "events", 0)
    alone.process(list(records(False)))
    beside.process(list(records(True)))
    assert len(beside.snapshot()) == 9
    assert beside.snapshot()[f"model/{MODEL_ID}"] == alone.snapshot()[f"model/{MODEL_ID}"]
