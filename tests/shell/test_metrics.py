"""What /metrics says: every metric of the catalogue and no other, from zero, merged, bounded and safe to parse."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from whydrift.core.status import ModelStatus
from whydrift.shell.labels import LONGEST_LABEL, label_value
from whydrift.shell.metrics import OTHERS, Kind, Metric
from whydrift.shell.metrics_collector import registry
from whydrift.shell.push.delivery import Delivery
from whydrift.shell.telemetry_settings import MetricsSettings
from whydrift.shell.worker_status import Durations, PartitionProgress, Phase
from whydrift_schemas import Fault, RejectReason, Severity

from .status_fakes import RUNNING, FakeWorker, incident, model, performance, signals

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Pushed:
    """A sink with one receiver that failed twice."""

    def deliveries(self) -> list[Delivery]:
        return [Delivery("alertmanager", "am:9093", 7, {"timeout": 2}, 3, 1.5, 0)]


def scraped(worker: FakeWorker, settings: MetricsSettings | None = None) -> Series:
    """Parsed as Prometheus would; no series is there twice."""
    text = generate_latest(registry(worker, settings or MetricsSettings(), "1.2.3", (Pushed(),))).decode()
    found: Series = {}
    for family in parse_text(text):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def one(series: Series, metric: Metric, /, **labels: str) -> float | None:
    return series.get((metric.value.name, frozenset(labels.items())))


def of(series: Series, metric: Metric) -> list[dict[str, str]]:
    return [dict(labels) for name, labels in series if name == metric.value.name]


def models(*parts: Sequence[ModelStatus]) -> FakeWorker:
    return FakeWorker(models=parts)


FULL = models(
    [
        model(
            incidents=(incident(),),
            incidents_opened={"unit_change": 1},
            signals=signals(1.0, 2.0),
            performance=(performance("auc", 0.8),),
            labels_joined=3,
            labels_expired=1,
            label_delay_s=60.0,
            interval_news={"arrivals": 2, "latency": 0},
        )
    ]
)
FULL.shown = replace(RUNNING, commit_age_s=0.2, record_age_s=0.3, turn_age_s=0.1)

# --- the catalogue


def test_what_is_scraped_is_the_catalogue_and_nothing_else() -> None:
    names = {name for name, _ in scraped(FULL) if name.startswith("whydrift_")}
    assert names == {name for metric in Metric for name in metric.value.series}


def test_every_series_has_exactly_the_labels_of_the_catalogue() -> None:
    by_name = {name: set(metric.value.labels) for metric in Metric for name in metric.value.series}
    for name, labels in scraped(FULL):
        if name in by_name:
            assert {label for label, _ in labels} - {"le"} == by_name[name], name


@pytest.mark.parametrize("metric", list(Metric))
def test_names_follow_prometheus_rules(metric: Metric) -> None:
    described = metric.value
    assert re.fullmatch(r"whydrift_[a-z0-9_]+", described.name)
    assert described.name.endswith("_total") is (described.kind is Kind.COUNTER)
    assert described.name.endswith(described.unit)
    assert described.help.endswith(".")


def test_names_are_unique() -> None:
    assert len({metric.value.name for metric in Metric}) == len(list(Metric))


def test_openmetrics_is_valid_too() -> None:
    text = generate_openmetrics(registry(FULL, MetricsSettings(), "1")).decode()
    families = {family.name: family for family in parse_openmetrics(text)}
    assert families["whydrift_records"].type == "counter"
    assert families["whydrift_commit_age_seconds"].unit == "seconds"
    assert families["whydrift_commit_duration_seconds"].type == "histogram"


def test_openmetrics_has_the_incident_as_exemplar_of_what_counted_it() -> None:
    text = generate_openmetrics(registry(FULL, MetricsSettings(), "1")).decode()
    (family,) = [one for one in parse_openmetrics(text) if one.name == "whydrift_incidents_opened"]
    exemplars = {sample.labels["fault"]: sample.exemplar for sample in family.samples if sample.exemplar}
    assert {fault: exemplar.labels for fault, exemplar in exemplars.items()} == {"unit_change": {"incident_id": "id"}}


def test_the_process_is_measured_too() -> None:
    assert ("process_resident_memory_bytes", frozenset()) in scraped(FakeWorker())


# --- the worker


def test_counters_and_every_reject_reason_start_at_zero() -> None:
    found = scraped(FakeWorker())
    for metric in (Metric.RECORDS, Metric.DIAGNOSES, Metric.COMMITS, Metric.FAILED_TRANSACTIONS, Metric.REBALANCES):
        assert one(found, metric) == 0
    assert {labels["reason"] for labels in of(found, Metric.REJECTS)} == set(RejectReason)
    assert one(found, Metric.REJECTS, reason="non_finite") == 0


def test_the_worker_s_numbers_are_shown() -> None:
    partitions = (
        PartitionProgress(0, Phase.RUNNING, 5, 7, 1.0),
        PartitionProgress(4, Phase.RESTORING, None, None, 0.4),
    )
    status = replace(
        RUNNING,
        records=5,
        rejects_by_reason={"non_finite": 2},
        commit_age_s=1.5,
        record_age_s=2.5,
        partitions=partitions,
    )
    found = scraped(FakeWorker(status))
    assert (one(found, Metric.UP), one(found, Metric.READY)) == (1, 0)
    assert (one(found, Metric.RECORDS), one(found, Metric.REJECTS, reason="non_finite")) == (5, 2)
    assert (one(found, Metric.COMMIT_AGE), one(found, Metric.RECORD_AGE)) == (1.5, 2.5)
    assert one(found, Metric.PARTITION_LAG, partition="0") == 7
    assert of(found, Metric.PARTITION_LAG) == [{"partition": "0"}], "what is not known is not zero"
    assert one(found, Metric.PARTITION_RESTORED, partition="4") == 0.4
    assert one(found, Metric.BUILD, version="1.2.3") == 1


def test_durations_are_counted_in_cumulative_buckets() -> None:
    durations = Durations().with_one(0.03).with_one(0.05).with_one(100.0)
    found = scraped(FakeWorker(replace(RUNNING, commit_durations=durations)))
    buckets = {
        dict(labels)["le"]: n
        for (name, labels), n in found.items()
        if name == "whydrift_commit_duration_seconds_bucket"
    }
    assert (buckets["0.02"], buckets["0.05"], buckets["10.0"], buckets["+Inf"]) == (0, 2, 2, 3)
    assert found["whydrift_commit_duration_seconds_sum", frozenset()] == pytest.approx(100.08)


def test_how_pushing_goes_is_shown_by_receiver_and_every_reason_starts_at_zero() -> None:
    found = scraped(FakeWorker())
    where = {"sink": "alertmanager", "target": "am:9093"}
    assert one(found, Metric.SINK_SENT, **where) == 7
    assert one(found, Metric.SINK_WAITING, **where) == 3
    assert one(found, Metric.SINK_AGE, **where) == 1.5
    assert one(found, Metric.SINK_FAILED, **where, reason="timeout") == 2
    assert one(found, Metric.SINK_FAILED, **where, reason="unreachable") == 0


def test_labels_are_shown_by_coverage_and_delay() -> None:
    found = scraped(FULL)
    assert one(found, Metric.LABEL_COVERAGE, model_id="credit") == 0.75
    assert one(found, Metric.LABEL_DELAY, model_id="credit") == 60


def test_news_of_intervals_are_counted_by_series_over_all_partitions() -> None:
    parts = (
        [model("credit", interval_news={"arrivals": 2, "latency": 0})],
        [model("credit", interval_news={"arrivals": 1})],
    )
    found = scraped(models(*parts))
    assert one(found, Metric.INTERVAL_NEWS, model_id="credit", series="arrivals") == 3
    assert one(found, Metric.INTERVAL_NEWS, model_id="credit", series="latency") == 0


def test_a_thousand_models_of_fifty_features_stay_within_the_budget_and_say_so() -> None:
    many = [model(f"m{n}", signals=signals(*[1.0] * 120), incidents_opened={"outliers": 1}) for n in range(1_000)]
    found = scraped(models(many))
    ours = sum(name.startswith("whydrift_") for name, _ in found)
    assert one(found, Metric.SERIES) == ours
    assert one(found, Metric.MODELS_LEFT_OUT) == 500
    per_model = 2 * 21 + len(Fault) + 20
    assert ours < 500 * per_model + 200


def test_stream_time_is_in_seconds() -> None:
    assert one(scraped(models([])), Metric.PARTITION_STREAM_TIME, partition="0") == 1_700_000_000.5


# --- models


def test_every_fault_of_a_model_is_counted_from_zero() -> None:
    found = scraped(models([model()]))
    assert {labels["fault"] for labels in of(found, Metric.INCIDENTS_OPENED)} == set(Fault)
    assert one(found, Metric.INCIDENTS_OPENED, model_id="credit", fault="unit_change") == 0
    assert one(found, Metric.INCIDENTS, model_id="credit") == 0


def test_an_open_incident_shows_its_fault_severity_probability_and_onset() -> None:
    found = scraped(models([model(incidents=(incident(),), incidents_opened={"unit_change": 1})]))
    shown = {"model_id": "credit", "fault": "unit_change"}
    assert one(found, Metric.INCIDENTS_OPEN, **shown, severity="critical") == 1
    assert one(found, Metric.INCIDENTS_OPEN, **shown, severity="warning") == 0
    assert one(found, Metric.INCIDENT_PROBABILITY, **shown) == 0.97
    assert one(found, Metric.INCIDENT_ONSET, **shown) == 1_700_000_000
    assert one(found, Metric.INCIDENTS_OPENED, **shown) == 1


def test_an_incident_keeps_the_labels_of_its_alert_when_another_cause_leads_and_a_lower_severity_is_said() -> None:
    now = incident("covariate_drift", severity="warning", probability=0.6)
    open_one = replace(now, opened_as=Fault.UNIT_CHANGE, worst=Severity.CRITICAL)
    found = scraped(models([model(incidents=(open_one,), incidents_opened={"unit_change": 1})]))
    shown = {"incident_id": "id", "model_id": "credit", "opened_as": "unit_change", "severity": "critical"}
    assert of(found, Metric.INCIDENT) == [shown]
    assert one(found, Metric.INCIDENT_PROBABILITY, model_id="credit", fault="covariate_drift") == 0.6


def test_a_resolved_incident_goes_back_to_zero_instead_of_vanishing() -> None:
    found = scraped(models([model(incidents_opened={"unit_change": 1})]))
    open_ones = [labels["severity"] for labels in of(found, Metric.INCIDENTS_OPEN)]
    assert sorted(open_ones) == sorted(Severity)
    assert one(found, Metric.INCIDENTS_OPEN, model_id="credit", fault="unit_change", severity="critical") == 0
    assert of(found, Metric.INCIDENT_PROBABILITY) == of(found, Metric.INCIDENT) == []


def test_a_model_in_several_partitions_is_one_model() -> None:
    left = model(
        events=10,
        labels_joined=1,
        baseline_seen=3_000,
        incidents=(incident(probability=0.6),),
        incidents_opened={"unit_change": 2},
        signals=signals(1.0, 9.0),
        performance=(performance("auc", 0.7),),
    )
    right = replace(
        left,
        events=5,
        labels_joined=8,
        baseline_seen=1_000,
        incidents=(incident(probability=0.9),),
        signals=signals(3.0, 2.0),
        performance=(performance("auc", 0.8),),
    )
    found = scraped(models([left], [right]))
    fault = {"model_id": "credit", "fault": "unit_change"}
    assert one(found, Metric.MODELS) == 1
    assert one(found, Metric.EVENTS, model_id="credit") == 15
    assert one(found, Metric.BASELINE, model_id="credit") == 0.75, "one partition's surplus is no other's progress"
    assert one(found, Metric.INCIDENTS_OPEN, **fault, severity="critical") == 2
    assert one(found, Metric.INCIDENTS_OPENED, **fault) == 4
    assert one(found, Metric.INCIDENT_PROBABILITY, **fault) == 0.9
    assert one(found, Metric.EVIDENCE, model_id="credit", signal="f00.distribution", feature="f00") == 3
    assert one(found, Metric.EVIDENCE, model_id="credit", signal="f01.distribution", feature="f01") == 9
    labels = {"model_id": "credit", "model_version": "2026.1", "metric": "auc", "window": "recent"}
    assert one(found, Metric.PERFORMANCE, **labels) == 0.8


def test_a_model_with_a_profile_needs_no_baseline() -> None:
    assert one(scraped(models([model(baseline_needed=0)])), Metric.BASELINE, model_id="credit") == 1


# --- the budget of series


def test_signals_beyond_the_budget_are_one_series_with_the_greatest_evidence_among_them() -> None:
    found = scraped(models([model(signals=signals(1.0, 9.0, 3.0, 5.0))]), MetricsSettings(signals_per_model=2))
    assert {labels["signal"] for labels in of(found, Metric.EVIDENCE)} == {
        "f01.distribution",
        "f03.distribution",
        OTHERS,
    }
    assert one(found, Metric.EVIDENCE, model_id="credit", signal=OTHERS, feature="") == 3.0
    assert one(found, Metric.THRESHOLD, model_id="credit", signal=OTHERS, feature="") == 7.2


def test_in_health_the_same_signals_keep_their_series() -> None:
    settings = MetricsSettings(signals_per_model=2)
    first = scraped(models([model(signals=signals(0.1, -0.5, 0.9, 0.2))]), settings)
    later = scraped(models([model(signals=signals(-3.0, 0.3, 0.1, 0.8))]), settings)
    assert of(first, Metric.EVIDENCE) == of(later, Metric.EVIDENCE)


def test_evidence_that_is_no_number_yet_hides_nothing() -> None:
    found = scraped(
        models([model(signals=signals(float("nan"), float("-inf"), 8.0, float("inf")))]),
        MetricsSettings(signals_per_model=2),
    )
    assert {labels["signal"] for labels in of(found, Metric.EVIDENCE)} == {
        "f02.distribution",
        "f03.distribution",
        OTHERS,
    }


def test_models_beyond_the_limit_are_counted_and_those_with_open_incidents_come_first() -> None:
    worker = models([model("a"), model("b"), model("c", incidents=(incident(),))])
    found = scraped(worker, MetricsSettings(max_models=2))
    assert {labels["model_id"] for labels in of(found, Metric.EVENTS)} == {"a", "c"}
    assert (one(found, Metric.MODELS), one(found, Metric.MODELS_LEFT_OUT)) == (3, 1)


def test_a_thousand_models_with_fifty_signals_stay_within_the_budget() -> None:
    many = [model(f"model-{n}", signals=signals(*(float(e) for e in range(50)))) for n in range(1_000)]
    worker = models(many)
    text = generate_latest(registry(worker, MetricsSettings(signals_per_model=20, max_models=1_000), "1"))
    lines = [line for line in text.splitlines() if line.startswith(b"whydrift_")]
    evidence = [line for line in lines if line.startswith(b"whydrift_signal_evidence_log10{")]
    assert len(evidence) == 1_000 * 21
    per_model = 2 * 21 + len(Fault) + 9
    assert len(lines) <= 1_000 * per_model + 100


# --- hostile names


HOSTILE = [
    'a"b',
    "a\nb",
    "a\\",
    "x" * 10_000,
    "x" * 10_000 + "y",
    "🤖" * 300,
    "\x00",
    "\x01",
    "\ud800",
    '"} 1\nevil 1',
    " ",
    "",
]


def test_hostile_model_ids_are_kept_distinct_short_and_parseable() -> None:
    found = scraped(models([model(name) for name in HOSTILE]))
    shown = [labels["model_id"] for labels in of(found, Metric.EVENTS)]
    assert len(set(shown)) == len(HOSTILE)
    assert max(len(name) for name in shown) <= LONGEST_LABEL
    assert not any(name.startswith("evil") for name, _ in found)
    assert 'a"b' in shown
    assert "a\\" in shown


def test_hostile_signals_features_and_versions_are_cleaned_too() -> None:
    (signal,) = signals(1.0)
    hostile = model(
        signals=(replace(signal, signal="s" * 10_000, feature="\n"),),
        performance=(replace(performance("auc", 0.5), model_version="\x00"),),
    )
    found = scraped(models([hostile]))
    assert len(of(found, Metric.EVIDENCE)) == len(of(found, Metric.PERFORMANCE)) == 1


@pytest.mark.parametrize("name", ["credit-risk", "Größe", "👩‍🚀", "a b", "x" * LONGEST_LABEL])
def test_an_ordinary_name_is_left_alone(name: str) -> None:
    assert label_value(name) == name
