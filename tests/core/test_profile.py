"""The reference file: small, without rows where asked, refused when it is none, and used from the first chunk on."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import msgspec
import numpy as np
import pytest

from whydrift.core.pipeline import Pipeline
from whydrift.core.profile import KIND, MAX_BYTES, Profile, ProfileError, read_profile, write_profile
from whydrift.core.profiler import LEAST_EVENTS, Profiler
from whydrift.core.records import Record
from whydrift.core.reference import MAX_CATEGORIES
from whydrift.core.settings import Settings
from whydrift.core.state import VERSION, StateError, pack, unpack
from whydrift_schemas import Diagnosis, Status

from .small_world import MODEL_ID, START_MS, Event, Feed, diagnoses, events, faults

PROFILED = 1_000
DEFAULTS = Settings()


def profiled(stream: Iterator[Event], *, keep_sample: bool = True) -> bytes:
    profiler = Profiler(DEFAULTS, keep_sample=keep_sample)
    records = [Record("events", 0, i, msgspec.json.encode(event)) for i, event in enumerate(stream)]
    assert profiler.add(records) == []
    return profiler.finish()


@cache
def file(*, keep_sample: bool = True) -> bytes:
    return profiled(events(0, PROFILED), keep_sample=keep_sample)


def feed(profiles: Mapping[str, Profile], settings: Settings = DEFAULTS) -> Feed:
    return Feed(Pipeline(settings, "events", 0, profiles), settings=settings)


def named(opened: Sequence[Diagnosis]) -> list[tuple[str, str, tuple[str, ...]]]:
    """The two likeliest causes of each, and the inputs of the first."""
    return [(str(one.causes[0].fault), str(one.causes[1].fault), tuple(one.causes[0].features)) for one in opened]


def in_thousands(features: Event, i: int) -> None:
    features["income"] /= 1_000


# -- what is in it ----------------------------------------------------------------------------------------------------------


def wide(columns: int, n: int) -> Iterator[Event]:
    """Half of the features are numbers of full precision, half are categories, some of them many."""
    draw = np.random.default_rng(5)
    numbers = draw.normal(size=(n, columns // 2))
    codes = draw.geometric(0.02, size=(n, columns - columns // 2))
    for i in range(n):
        features: Event = {f"number-{j}": value for j, value in enumerate(numbers[i].tolist())}
        features |= {f"category-{j}": f"value {code} of {j}" for j, code in enumerate(codes[i].tolist())}
        yield {
            "kind": "prediction",
            "event_id": f"e{i}",
            "model_id": "wide",
            "model_version": "v1",
            "timestamp": START_MS + 1_000 * i,
            "features": features,
            "prediction": round(float(numbers[i, 0]), 4),
        }


@pytest.mark.parametrize(("columns", "n"), [(20, 2_000), (200, 600)])
def test_a_file_of_wide_models_is_less_than_a_megabyte(columns: int, n: int) -> None:
    data = profiled(wide(columns, n))
    assert len(data) < 1_000_000
    profile = read_profile(data)["wide"]
    assert len(profile.inputs.references) == columns
    assert len(profile.inputs.sample) >= 200


def test_without_the_sample_no_row_is_in_it() -> None:
    with_rows, without = read_profile(file())[MODEL_ID], read_profile(file(keep_sample=False))[MODEL_ID]
    parts = ("inputs", "outputs", "losses", "labels", "delays")
    assert [len(getattr(with_rows, part).sample) > 0 for part in parts] == [True] * 5
    assert [len(getattr(without, part).sample) for part in parts] == [0] * 5
    # Nor are rows anywhere else: of the incomes that were sent only some can be found, as quantiles.
    raw, kept = zlib.decompress(file(keep_sample=False)), zlib.decompress(file())
    sent = [event["features"]["income"] for event in events(0, PROFILED, has_labels=False)]
    found = sum(np.float64(value).tobytes() in raw for value in sent)
    assert found < PROFILED / 4 < sum(np.float64(value).tobytes() in kept for value in sent)
    assert not any(event["event_id"].encode() in raw for event in events(100, 200, has_labels=False))


def test_without_the_sample_categories_are_named_only_as_far_as_the_reference_needs() -> None:
    def with_secret(features: Event, i: int) -> None:
        features["region"] = f"person {i:04d}"

    data = profiled(events(0, 900, inputs=with_secret, has_labels=False), keep_sample=False)
    named = {name for name in range(900) if b"person %04d" % name in zlib.decompress(data)}
    assert len(named) <= MAX_CATEGORIES
    whole = feed(read_profile(data))
    assert faults(whole(events(1_000, 1_300, inputs=with_secret))) == [], "and it is as good"


def test_it_says_what_it_is_in_which_version() -> None:
    body = msgspec.msgpack.decode(zlib.decompress(file()))
    assert (body["magic"], body["version"], body["kind"]) == ("whydrift-state", VERSION, "profile")
    model = body["body"]["models"][MODEL_ID]
    assert {name: model[name] for name in ("model_id", "version", "task", "events", "keys")} == {
        "model_id": MODEL_ID,
        "version": "v1",
        "task": "binary",
        "events": PROFILED,
        "keys": ["income", "age", "region"],
    }


def test_reading_and_writing_it_again_changes_nothing() -> None:
    assert write_profile(read_profile(file())) == file()
    assert profiled(events(0, PROFILED)) == file(), "equal events make equal files"


# -- what is none -----------------------------------------------------------------------------------------------------------


def packed(kind: str, body: dict[str, object], version: int = VERSION) -> bytes:
    record = msgspec.msgpack.decode(pack(kind, body))
    return zlib.compress(msgspec.msgpack.encode(record | {"version": version}))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cut off"),
        (b"income,age\n1,2\n", "not a whydrift reference file"),
        (b"PK\x03\x04 a zip archive", "not a whydrift reference file"),
        (zlib.compress(b'{"kind": "prediction"}'), "cannot be decoded"),
        (zlib.compress(msgspec.msgpack.encode({"a": 1})), "not a whydrift profile"),
        (packed("model", {}), "expected a profile state, found 'model'"),
        (packed(KIND, {"models": {}}, version=VERSION + 1), f"version {VERSION + 1}"),
        (packed(KIND, {}), "damaged (KeyError('models')); make it anew"),
        (packed(KIND, {"models": {"m": {"model_id": "m"}}}), "damaged"),
        (packed(KIND, {"models": [1]}), "damaged"),
        (zlib.compress(bytes(MAX_BYTES + 1_000), 1), "unpacks to more than 67,108,864 bytes"),
    ],
    ids=["empty", "text", "zip", "JSON", "foreign", "state", "newer", "bare", "half", "list", "bomb"],
)
def test_what_is_no_reference_file_is_refused_in_clear_words(data: bytes, says: str) -> None:
    with pytest.raises(StateError) as refused:
        read_profile(data)
    assert says in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_file_that_is_cut_off_anywhere_is_refused() -> None:
    data = file(keep_sample=False)
    for end in range(0, len(data), len(data) // 40):
        with pytest.raises(StateError):
            read_profile(data[:end])


def test_a_file_that_is_damaged_anywhere_is_refused() -> None:
    data = file(keep_sample=False)
    for place in range(2, len(data), len(data) // 40):
        with pytest.raises(StateError):
            read_profile(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])


def test_a_reference_whose_parts_do_not_fit_together_is_refused() -> None:
    body = unpack(KIND, zlib.decompress(file(keep_sample=False)))
    model = body["models"][MODEL_ID]
    for change in (
        {"keys": ["income"]},
        {"inputs": {**model["inputs"], "columns": model["inputs"]["columns"][:1]}},
        {"inputs": {**model["inputs"], "references": model["outputs"]["references"]}},
        {"inputs": {**model["inputs"], "sample": model["losses"]["sample"]}},
        {"inputs": {**model["inputs"], "flags": {"duplicates": [0, 0, 1.0]}}},
        {"inputs": {**model["inputs"], "flags": {"duplicates": [50, 10, 1.0]}}},
        {"inputs": {**model["inputs"], "flags": {"duplicates": [1, 10, 0.0]}}},
        {"outputs": model["labels"]},
        {"surrogate": {"mean": 0.0, "table": 3}},
        {"surrogate": {"mean": 0.0, "table": np.zeros((1, 2))}},
        {"surrogate": model["surrogate"] | {"cuts": np.zeros((3, 5), np.int64)}},
        {"surrogate": model["surrogate"] | {"columns": model["surrogate"]["columns"] + 100}},
        {"surrogate": model["surrogate"] | {"usual": np.zeros((100, 2), np.int64)}},
    ):
        with pytest.raises(StateError):
            read_profile(zlib.compress(pack(KIND, {"models": {MODEL_ID: model | change}})))


# -- used ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_sample", [True, False])
def test_a_fault_in_the_first_events_is_found_by_a_profile(keep_sample: bool) -> None:
    profiles = read_profile(file(keep_sample=keep_sample))
    opened = diagnoses(feed(profiles)(events(PROFILED, PROFILED + 100, inputs=in_thousands)), Status.OPENED)
    assert named(opened) == [("training_serving_skew", "unit_change", ("income",))]
    assert faults(feed({})(events(PROFILED, PROFILED + 100, inputs=in_thousands))) == []


def test_a_file_from_before_it_held_what_is_left_of_inputs_given_the_others_is_used_as_it_is() -> None:
    body = unpack(KIND, zlib.decompress(file(keep_sample=True)))
    (model,) = body["models"].values()
    del model["dependence"]
    old = feed(read_profile(zlib.compress(pack(KIND, body))))
    assert faults(old(events(PROFILED, PROFILED + 1_000))) == []
    assert len(faults(old(events(PROFILED + 1_000, PROFILED + 1_100, inputs=in_thousands)), Status.OPENED)) == 1


def test_a_file_from_before_residuals_were_standardised_is_used_as_it_is() -> None:
    body = unpack(KIND, zlib.decompress(file(keep_sample=True)))
    state = body["models"][MODEL_ID]
    surrogate, outputs = state["surrogate"], state["outputs"]
    del surrogate["sizes"], outputs["columns"][-1]
    outputs["references"] = [one for one in outputs["references"] if one["name"] != "standardised_residual"]
    sample = outputs["sample"]
    sample["values"], sample["presence"] = sample["values"][:, :-1], sample["presence"][:, :-1]
    old = read_profile(zlib.compress(pack(KIND, {"models": {MODEL_ID: state}})))
    assert faults(feed(old)(events(PROFILED, PROFILED + 1_000))) == []
    opened = diagnoses(feed(old)(events(PROFILED, PROFILED + 100, inputs=in_thousands)), Status.OPENED)
    assert named(opened) == [("training_serving_skew", "unit_change", ("income",))]


def test_healthy_events_are_healthy_by_the_profile_and_the_baseline_counts_as_complete() -> None:
    whole = feed(read_profile(file()))
    assert faults(whole(events(PROFILED, PROFILED + 2_000))) == []
    (model,) = whole.pipeline.status().models
    assert model.baseline_seen == model.baseline_needed


def test_a_new_version_of_a_profiled_model_is_no_news() -> None:
    whole = feed(read_profile(file()))
    assert faults(whole(events(PROFILED, PROFILED + 700, version="v2"))) == []


def test_a_pipeline_with_a_profile_goes_on_from_its_state_alone() -> None:
    whole = feed(read_profile(file()))
    whole(events(PROFILED, PROFILED + 50))
    again = whole.copy()  # restored without any profiles
    later = list(events(PROFILED + 50, PROFILED + 200, inputs=in_thousands))
    assert again(later) == whole(later)
    assert again.pipeline.snapshot() == whole.pipeline.snapshot()


def test_a_profile_of_another_model_id_is_not_used() -> None:
    stranger = feed(read_profile(file()), Settings(baseline_events=500, first_stage_events=125))
    changed = (event | {"model_id": "other"} for event in events(0, 900, inputs=in_thousands))
    assert faults(stranger(changed)) == []
    (model,) = stranger.pipeline.status().models
    assert (model.model_id, model.baseline_needed) == ("other", 500)


def test_a_profile_with_a_further_feature_tells_that_it_is_not_sent() -> None:
    def without_age(features: Event, i: int) -> None:
        del features["age"]

    opened = diagnoses(feed(read_profile(file()))(events(PROFILED, PROFILED + 120, inputs=without_age)), Status.OPENED)
    assert named(opened) == [("training_serving_skew", "schema_change", ("age",))]


def test_a_feature_that_the_profile_does_not_know_is_told_and_does_no_harm() -> None:
    def with_extra(features: Event, i: int) -> None:
        features["extra"] = float(i % 7)

    whole = feed(read_profile(file()))
    outputs = whole(events(PROFILED, PROFILED + 1_000, inputs=with_extra))
    # The share of unknown keys is learnt from these very events, as none was known: valid, only less sensitive.
    assert set(faults(outputs)) <= {"schema_change"}
    assert faults(whole(events(PROFILED + 1_000, PROFILED + 1_100, inputs=in_thousands)), Status.OPENED)


# -- too little to learn from -------------------------------------------------------------------------------------------------


def test_too_few_events_make_no_reference() -> None:
    for n in (0, 1, LEAST_EVENTS - 1):
        with pytest.raises(ProfileError, match=f"no model has 100 predictions \\(the most is {n}\\)"):
            profiled(events(0, n))


def test_a_model_with_too_few_events_is_left_out_and_named() -> None:
    profiler = Profiler(DEFAULTS)
    stream = [*events(0, 300), *events(0, 20, model_id="rare")]
    profiler.add([Record("events", 0, i, msgspec.json.encode(event)) for i, event in enumerate(stream)])
    assert profiler.too_few() == {"rare": 20}
    assert read_profile(profiler.finish()).keys() == {MODEL_ID}


def test_records_that_are_no_events_are_told_and_left_out() -> None:
    profiler = Profiler(Settings(max_models=1))
    good = [msgspec.json.encode(event) for event in events(0, LEAST_EVENTS)]
    foreign = msgspec.json.encode(next(events(0, 1)) | {"model_id": "second"})
    records = [Record("events", 0, i, value) for i, value in enumerate([*good, b"oops", None, foreign])]
    assert [reject.reason.value for reject in profiler.add(records)] == ["invalid_json", "empty", "too_many_models"]
    assert profiler.models == {MODEL_ID: LEAST_EVENTS}
