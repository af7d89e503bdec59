"""What a reference cannot show is said: in the profile, and of a model that runs."""

from collections.abc import Mapping
from functools import cache

import msgspec

from whydrift.core.blind_spots import Blindness
from whydrift.core.profile import Profile, read_profile
from whydrift.core.profiler import Profiler
from whydrift.core.records import Record
from whydrift.core.settings import Settings

from .small_world import MODEL_ID, Change, Event, Feed, events

DEFAULTS = Settings()


def hardly_any_age(features: Event, i: int) -> None:
    features["age"] = 40.0 if i % 100 == 0 else None


def constant_age(features: Event, i: int) -> None:
    features["age"] = 40.0


def profiled(
    number: int, change: Change | None = None, *, keep_sample: bool = True, has_labels: bool = True
) -> Profile:
    profiler = Profiler(DEFAULTS, keep_sample=keep_sample)
    stream = events(0, number, inputs=change, has_labels=has_labels)
    assert profiler.add([Record("e", 0, i, msgspec.json.encode(event)) for i, event in enumerate(stream)]) == []
    return read_profile(profiler.finish())[MODEL_ID]


def told(profile: Profile) -> Mapping[Blindness, tuple[tuple[str, ...], str]]:
    return {spot.blindness: (spot.columns, spot.text) for spot in profile.blind_spots(DEFAULTS)}


@cache
def plain(number: int) -> Profile:
    return profiled(number)


def test_a_column_without_values_and_one_that_never_changes_are_named() -> None:
    assert told(profiled(1_000, hardly_any_age))[Blindness.NO_VALUES][0] == ("age",)
    assert told(profiled(1_000, constant_age))[Blindness.CONSTANT][0] == ("age",)
    assert Blindness.NO_VALUES not in told(plain(1_000))
    assert Blindness.CONSTANT not in told(plain(1_000))


def test_a_small_reference_tells_how_large_a_shift_must_be() -> None:
    columns, text = told(plain(120))[Blindness.COARSE]
    assert "income" in columns
    assert "standard deviations are passed over" in text
    assert Blindness.COARSE not in told(plain(2_000))


def test_labels_and_rows_that_are_not_there_are_missed() -> None:
    assert Blindness.NO_ROWS in told(profiled(1_000, keep_sample=False))
    assert Blindness.NO_ROWS not in told(plain(1_000))
    assert Blindness.NO_LABELS in told(profiled(1_000, has_labels=False))
    assert Blindness.NO_LABELS not in told(plain(1_000))


def test_a_model_that_runs_tells_them_of_the_reference_it_has_now() -> None:
    feed = Feed()
    feed(events(0, 200, inputs=constant_age))
    early = {spot.blindness: spot for spot in feed.pipeline.status().models[0].blind_spots}
    assert "income" in early[Blindness.COARSE].columns
    feed(events(200, 700, inputs=constant_age))
    later = {spot.blindness: spot for spot in feed.pipeline.status().models[0].blind_spots}
    assert set(later) == {Blindness.CONSTANT}
