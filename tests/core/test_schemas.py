"""The wire contract by itself: its lists, how it is written, and its JSON Schema files."""

import json
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from whydrift_schemas import (
    FAMILY_OF,
    Cause,
    Command,
    Detected,
    Diagnosis,
    Evidence,
    Family,
    Fault,
    Impact,
    Label,
    Prediction,
    RejectReason,
    RuledOut,
    Severity,
    Status,
    Undo,
    class_name,
    encode,
    json_schemas,
    write_time,
)
from whydrift_schemas.__main__ import main

ONSET_MS = 1_795_452_060_000


def diagnosis(**changes: Any) -> Diagnosis:
    fields: dict[str, Any] = {
        "incident_id": "i-1",
        "sequence": 1,
        "status": Status.OPENED,
        "model_id": "credit-risk",
        "model_versions": ["2026.11.1"],
        "severity": Severity.CRITICAL,
        "onset_at": ONSET_MS,
        "detected_at": ONSET_MS + 30_000,
        "resolved_at": None,
        "detected": Detected(partition=0, offset=12345),
        "summary": "income arrives in thousands since 16:41 (probability 0.97)",
        "causes": [
            Cause(
                fault=Fault.UNIT_CHANGE,
                family=Family.DATA_QUALITY,
                probability=0.97,
                features=("income",),
                explanation="…",
                action="…",
                undo=Undo(transform="income × 1000", evidence_before=41.2, evidence_after=0.3),
            )
        ],
        "ruled_out": [RuledOut(fault=Fault.COVARIATE_DRIFT, because="…")],
        "evidence": [
            Evidence(
                signal="income.distribution",
                log10_e=41.2,
                threshold=7.2,
                reference={"median": 51000},
                current={"median": 51.2},
                effect="…",
                since=ONSET_MS,
            )
        ],
        "impact": Impact(metric="log_loss", reference=0.31, current=0.55, estimated=True),
    }
    return Diagnosis(**fields | changes)


WRITTEN = (
    '{"kind":"diagnosis","incident_id":"i-1","sequence":1,"status":"opened","model_id":"credit-risk",'
    '"model_versions":["2026.11.1"],"severity":"critical","onset_at":"2026-11-23T16:41:00.000Z",'
    '"detected_at":"2026-11-23T16:41:30.000Z","resolved_at":null,"detected":{"partition":0,"offset":12345},'
    '"summary":"income arrives in thousands since 16:41 (probability 0.97)","causes":[{"fault":"unit_change",'
    '"family":"data_quality","probability":0.97,"features":["income"],"replica":null,"segment":null,"explanation":"…",'
    '"action":"…","undo":{"transform":"income × 1000","evidence_before":41.2,"evidence_after":0.3}}],'
    '"ruled_out":[{"fault":"covariate_drift","because":"…"}],"evidence":[{"signal":"income.distribution","log10_e":41.2,'
    '"threshold":7.2,"reference":{"median":51000},"current":{"median":51.2},"effect":"…",'
    '"since":"2026-11-23T16:41:00.000Z"}],"impact":{"metric":"log_loss","reference":0.31,"current":0.55,"estimated":true}}'
)


def test_a_diagnosis_is_written_in_the_contracts_order_and_reads_back_the_same() -> None:
    assert encode(diagnosis()).decode() == WRITTEN
    assert Diagnosis.model_validate_json(WRITTEN) == diagnosis()
    assert Diagnosis.model_validate(json.loads(WRITTEN)) == diagnosis()
    assert encode(Diagnosis.model_validate_json(WRITTEN)).decode() == WRITTEN


def test_a_diagnosis_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        diagnosis().summary = "fine"  # type: ignore[misc]
    assert isinstance(diagnosis().model_versions, tuple)
    assert isinstance(diagnosis().causes, tuple)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), True, "1", 10**400])
def test_numbers_of_a_diagnosis_are_finite_and_nothing_else(number: object) -> None:
    with pytest.raises(ValidationError):
        Undo(transform="x", evidence_before=number, evidence_after=0)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Impact(metric="mae", reference=number, current=0, estimated=True)  # type: ignore[arg-type]


def test_numpy_floats_are_written_as_plain_ones() -> None:
    undo = Undo(transform="x", evidence_before=np.float64(1.5), evidence_after=2)
    assert type(undo.evidence_before) is float
    assert encode(undo) == b'{"transform":"x","evidence_before":1.5,"evidence_after":2.0}'


@pytest.mark.parametrize("probability", [-0.01, 1.01])
def test_a_probability_lies_between_0_and_1(probability: float) -> None:
    with pytest.raises(ValidationError):
        Cause(
            fault=Fault.UNKNOWN, family=Family.UNKNOWN, probability=probability, features=(), explanation="", action=""
        )


def test_events_read_the_same_after_they_were_written() -> None:
    prediction = Prediction(
        event_id="e",
        model_id="m",
        model_version="1",
        timestamp=ONSET_MS,
        features={"b": 1, "a": 1.0, "c": "ä", "d": None, "e": True, "f": [1, 2.5, None]},
        prediction="yes",  # type: ignore[arg-type]
    )
    written = encode(prediction).decode()
    assert '"features":{"b":1,"a":1.0,"c":"ä","d":null,"e":true,"f":[1,2.5,null]}' in written
    assert Prediction.model_validate_json(written) == prediction
    label = Label(event_id="e", model_id="m", timestamp=ONSET_MS, actual=True)
    assert encode(label).decode() == (
        f'{{"kind":"label","event_id":"e","model_id":"m","timestamp":{ONSET_MS},"actual":true,"source":null}}'
    )
    assert Label.model_validate_json(encode(label)).actual is True


def test_half_a_surrogate_pair_is_refused_from_python_too() -> None:
    with pytest.raises(ValidationError, match="surrogate"):
        Label(event_id="e", model_id="m", timestamp=ONSET_MS, actual="\ud800")
    with pytest.raises(ValidationError):
        Label(event_id="\ud800", model_id="m", timestamp=ONSET_MS, actual="a")


def test_times_are_written_with_milliseconds_and_z() -> None:
    assert write_time(ONSET_MS) == "2026-11-23T16:41:00.000Z"
    assert write_time(7_258_118_399_999) == "2199-12-31T23:59:59.999Z"
    assert datetime.fromisoformat(write_time(946_684_800_007)) == datetime(2000, 1, 1, 0, 0, 0, 7_000, tzinfo=UTC)


def test_classes_have_one_spelling() -> None:
    assert [class_name(value) for value in (True, False, 1, 1.0, -0.0, 0.5, "1", "True", 2**70)] == [
        "true", "false", "1", "1", "0", "0.5", "1", "True", str(2**70),
    ]  # fmt: skip


def test_every_fault_has_a_family_and_only_unknown_is_of_family_unknown() -> None:
    assert set(FAMILY_OF) == set(Fault)
    assert {fault for fault, family in FAMILY_OF.items() if family is Family.UNKNOWN} == {Fault.UNKNOWN}
    assert set(FAMILY_OF.values()) == set(Family)


def test_the_fault_names_that_people_write_rules_against_stay() -> None:
    """Taking one away, or renaming it, breaks somebody's alerts: that is a new version of the contract."""
    names = [
        "missing_values",
        "default_fill",
        "unit_change",
        "feature_swap",
        "stale_feature",
        "schema_change",
        "category_recoding",
        "new_category",
        "misaligned_feature",
        "outliers",
        "noisy_feature",
        "precision_loss",
        "duplicate_events",
        "covariate_drift",
        "segment_mix_shift",
        "dependence_drift",
        "novel_region",
        "training_serving_skew",
        "concept_drift",
        "local_concept_drift",
        "label_quality",
        "label_shift",
        "biased_labels",
        "parameter_corruption",
        "wrong_model",
        "threshold_change",
        "calibration_change",
        "architecture_change",
        "preprocessing_mismatch",
        "output_permutation",
        "replica_disagreement",
        "latency_degradation",
        "error_surge",
        "fallback_answers",
        "traffic_change",
        "label_feed_stopped",
        "clock_skew",
        "unknown",
    ]
    assert [fault.value for fault in Fault] == names


def test_every_reject_reason_is_described() -> None:
    assert RejectReason("too_deep") is RejectReason.TOO_DEEP
    assert all(str(reason) == reason.value == reason.name.lower() for reason in RejectReason)
    assert len({reason.description for reason in RejectReason}) == len(RejectReason)


def test_the_schema_files_are_those_of_the_models() -> None:
    assert main(["--check"]) == 0, "run python -m whydrift_schemas"


def test_the_schema_files_come_with_the_package() -> None:
    shipped = {entry.name: entry.read_text("utf-8") for entry in (files("whydrift_schemas") / "json").iterdir()}
    assert shipped == json_schemas()
    assert set(shipped) == {f"{kind}.schema.json" for kind in ("prediction", "label", "model", "command", "diagnosis")}


def test_the_check_tells_a_stale_a_missing_and_a_leftover_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    (tmp_path / "label.schema.json").write_text("{}", encoding="utf-8")
    (tmp_path / "model.schema.json").unlink()
    (tmp_path / "gone.schema.json").write_text("{}", encoding="utf-8")
    assert main(["--check"], tmp_path) == 1
    told = capsys.readouterr().err
    assert all(name in told for name in ("gone.schema.json", "label.schema.json", "model.schema.json"))
    assert "prediction.schema.json" not in told
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    assert not (tmp_path / "gone.schema.json").exists()


@pytest.mark.parametrize(
    ("kind", "required"),
    [
        ("prediction", {"kind", "event_id", "model_id", "model_version", "timestamp", "features", "prediction"}),
        ("label", {"kind", "event_id", "model_id", "timestamp", "actual"}),
        ("model", {"kind", "model_id", "model_version", "timestamp"}),
        ("command", {"kind", "model_id", "timestamp", "action"}),
        ("diagnosis", set(Diagnosis.model_fields)),
    ],
)
def test_a_schema_says_what_is_required_and_refuses_unknown_fields(kind: str, required: set[str]) -> None:
    schema = json.loads(json_schemas()[f"{kind}.schema.json"])
    assert set(schema["required"]) == required
    assert schema["additionalProperties"] is False


def test_a_command_of_python_is_held_to_the_same_rules() -> None:
    with pytest.raises(ValidationError, match="accept needs"):
        Command(model_id="m", timestamp=ONSET_MS, action="accept")  # type: ignore[arg-type]
