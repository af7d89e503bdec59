"""Names of models and features that break parsers, through a scrape by a real Prometheus, in both formats."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from whydrift.core.status import ModelStatus, OpenIncident, PerformanceStatus, SignalStatus
from whydrift.shell.labels import LONGEST_LABEL, label_value
from whydrift.shell.telemetry_settings import MetricsSettings

from ..broker.conftest import until
from ..hostile import HOSTILE
from ..shell.status_fakes import incident, model
from .conftest import Prometheus, prometheus
from .serving import as_text, served

BY_NAME = pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))


def ill(name: str) -> ModelStatus:
    """A model of this name, with a feature, a version and an incident of it."""
    opened = incident()
    said = opened.diagnosis.model_copy(update={"model_id": name, "incident_id": f"id {HOSTILE.index(name)}"})
    return model(
        name,
        events=7,
        incidents=(OpenIncident(said, opened.opened_as, opened.worst),),
        incidents_opened={"unit_change": 1},
        signals=(SignalStatus(f"{name}.distribution", name, 41.0, 7.2),),
        performance=(PerformanceStatus(name, "auc", "recent", 0.8),),
    )


@pytest.fixture(scope="module", params=["OpenMetrics", "text"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("hostile")
    accept = "application/openmetrics-text;version=1.0.0" if request.param == "OpenMetrics" else "text/plain"
    with ExitStack() as stack:
        address = stack.enter_context(served([ill(name) for name in HOSTILE], MetricsSettings()))
        target = stack.enter_context(as_text(address)) if request.param == "text" else address
        kind = httpx.get(f"http://{target}/metrics", headers={"accept": accept}).headers["content-type"]
        assert ("openmetrics" in kind) == (request.param == "OpenMetrics")
        server = stack.enter_context(prometheus(folder, target, [], "127.0.0.1:9", every="5s"))
        until(lambda: bool(server.query("up == 1")), "the target is up")
        yield server


def found(seen: Prometheus, metric: str, label: str, name: str, **more: str) -> dict[str, str]:
    """The labels of the one series under this name. JSON's escapes are PromQL's, for what a label may hold."""
    chosen = {label: label_value(name), **more}
    selector = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in chosen.items())
    (series,) = seen.query(f"{metric}{{{selector}}}")
    labels: dict[str, str] = series["metric"]
    return labels


def test_the_target_is_up_and_every_scrape_is_taken_whole(seen: Prometheus) -> None:
    (target,) = seen.get("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    (scraped,) = seen.query("scrape_samples_scraped")
    (kept,) = seen.query("scrape_samples_post_metric_relabeling")
    assert scraped["value"][1] == kept["value"][1]
    (models,) = seen.query("whydrift_models")
    assert int(models["value"][1]) == len(HOSTILE)
    assert seen.own("prometheus_target_scrapes_sample_duplicate_timestamp_total") == 0


@BY_NAME
def test_a_model_s_series_are_found_under_its_bounded_name(seen: Prometheus, name: str) -> None:
    for metric in (
        "whydrift_model_events_total",
        "whydrift_model_incidents",
        "whydrift_incident_since_timestamp_seconds",
    ):
        assert found(seen, metric, "model_id", name)["model_id"] == label_value(name)
    assert found(seen, "whydrift_incident_info", "model_id", name)["incident_id"] == f"id {HOSTILE.index(name)}"
    assert len(label_value(name)) <= LONGEST_LABEL


@BY_NAME
def test_a_feature_s_and_a_version_s_series_are_found_under_their_bounded_names(seen: Prometheus, name: str) -> None:
    shown = found(seen, "whydrift_signal_evidence_log10", "feature", name)
    assert (shown["model_id"], shown["signal"]) == (label_value(name), label_value(f"{name}.distribution"))
    assert found(seen, "whydrift_model_performance", "model_version", name)["metric"] == "auc"


def test_every_name_stays_another_one(seen: Prometheus) -> None:
    assert len(seen.get("label/model_id/values")) == len(set(map(label_value, HOSTILE))) == len(HOSTILE)
