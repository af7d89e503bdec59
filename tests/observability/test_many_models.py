"""Five thousand models: what the fleet's dashboard and the variable ask is answered, in reasonable size."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from whydrift.core.status import ModelStatus
from whydrift.shell.metrics import Metric
from whydrift.shell.telemetry_settings import MetricsSettings

from ..broker.conftest import until
from ..shell.status_fakes import incident, model, signals
from .conftest import Prometheus, prometheus
from .serving import served
from .test_grafana import DASHBOARDS, queries

MODELS, ILL = 5_000, 40
PICKER_SHOWS = 1_000
"""Options that Grafana draws in the list of a variable (OPTIONS_LIMIT of its OptionsPicker); typing searches all of them."""
MOST_BYTES = 250_000
"""Of the answer with all names: Grafana asks for it whenever the window of time changes."""
MOST_ROWS = 100
ONLY = (
    Metric.EVENTS,
    Metric.LABEL_COVERAGE,
    Metric.INCIDENTS,
    Metric.INCIDENTS_OPEN,
    Metric.INCIDENT,
    Metric.INCIDENT_SINCE,
    Metric.INCIDENT_PROBABILITY,
    Metric.INCIDENT_ONSET,
    Metric.EVIDENCE,
    Metric.THRESHOLD,
)
"""What has a series for each model and is asked for by name or by rank; sums over all are no larger for more models."""


def models() -> list[ModelStatus]:
    """Each with the strongest signal it has; the first of them ill."""
    found = [
        model(f"team-{n % 50:02}/model-{n:04}", events=n, labels_joined=n, signals=signals(1.0)) for n in range(MODELS)
    ]
    for n in range(ILL):
        opened = incident()
        said = opened.diagnosis.model_copy(update={"model_id": found[n].model_id, "incident_id": f"{n:016x}"})
        found[n] = model(
            found[n].model_id,
            incidents=(type(opened)(said, opened.opened_as, opened.worst),),
            incidents_opened={"unit_change": 1},
            signals=signals(41.0),
        )
    return found


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    settings = MetricsSettings(max_models=MODELS, signals_per_model=1)
    with served(models(), settings, ONLY) as address:
        folder = tmp_path_factory.mktemp("many")
        with prometheus(folder, address, [], "127.0.0.1:9", every="30s") as server:
            until(lambda: bool(server.query("up == 1")), "a scrape")
            yield server


def asked_by_grafana(variable: str) -> tuple[str, dict[str, str]]:
    """The request that its Prometheus data source makes of `label_values(metric, label)`."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable)
    assert found is not None
    return f"label/{found[2]}/values", {"match[]": found[1]}


def test_the_variable_has_every_model_in_an_answer_of_reasonable_size(
    seen: Prometheus, record_property: Callable[[str, object], None]
) -> None:
    (variable,) = [one for one in DASHBOARDS["model"]["templating"]["list"] if one["type"] == "query"]
    path, parameters = asked_by_grafana(variable["query"])
    answer = httpx.get(f"{seen.url}/api/v1/{path}", params=parameters, timeout=30)
    assert len(answer.json()["data"]) == MODELS > PICKER_SHOWS
    assert len(answer.content) <= MOST_BYTES
    assert not variable.get("multi"), "all of them at once would be a query of 5,000 alternatives"
    assert not variable.get("includeAll")
    took_s = answer.elapsed.total_seconds()
    record_property(
        "table", f"{MODELS:,} models: the variable's answer has {len(answer.content):,} bytes, {took_s:.3f} s"
    )


ASKED = re.compile("|".join(rf"\b{metric.value.name}\b" for metric in ONLY))
FLEET = [asked for asked in queries(DASHBOARDS["fleet"]) if ASKED.search(asked[1])]


@pytest.mark.parametrize(("title", "expr", "is_range"), FLEET)
def test_the_fleet_s_dashboard_shows_the_ill_and_the_first_not_everybody(
    seen: Prometheus, title: str, expr: str, *, is_range: bool
) -> None:
    # A rate needs two scrapes, and time; what is asked of how many series is the same of a sum.
    asked = re.sub(r"\b(rate|increase)\((\w+)\[\w+\]\)", r"\2", expr)
    rows = seen.query(asked)
    assert 1 <= len(rows) <= MOST_ROWS, f"{title}: {len(rows)} rows"


def test_the_tables_list_each_ill_model_once(seen: Prometheus) -> None:
    for title in ("Open incidents", "Incidents, one by one"):
        for expr in (expr for panel, expr, _ in FLEET if panel == title and " by (model_id" in expr):
            found = [one["metric"]["model_id"] for one in seen.query(expr)]
            assert sorted(found) == [f"team-{n:02}/model-{n:04}" for n in range(ILL)]


def test_one_model_s_dashboard_reads_its_own_series_only(seen: Prometheus) -> None:
    name = f"team-{7:02}/model-{7:04}"
    for title, expr, _ in queries(DASHBOARDS["model"]):
        if "$model_id" in expr:
            metrics = {one["metric"].get("model_id", name) for one in seen.query(expr.replace("$model_id", name))}
            assert metrics <= {name}, title
    series: Any = seen.get("series", **{"match[]": f'{{model_id="{name}"}}'})
    assert 0 < len(series) < 200
