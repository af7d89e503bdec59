"""Every query of every dashboard, annotation and variable, asked of a real Prometheus that scrapes a real worker."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ..broker.conftest import until
from .conftest import DEPLOY, Scene

DASHBOARDS = {file.stem: json.loads(file.read_text("utf-8")) for file in (DEPLOY / "grafana/dashboards").glob("*.json")}
BY_DASHBOARD = pytest.mark.parametrize("dashboard", sorted(DASHBOARDS))


def panels(content: Any) -> Iterator[Any]:
    for panel in content["panels"]:
        yield panel
        yield from panel.get("panels") or []


def queries(content: Any) -> Iterator[tuple[str, str, bool]]:
    """Title, expression, and whether Grafana asks for all that the window of time shows, not for now alone."""
    for panel in panels(content):
        for target in panel.get("targets") or []:
            yield panel["title"], target["expr"], target.get("range", False)
    for note in content.get("annotations", {}).get("list", []):
        if "expr" in note:
            yield f"annotation {note['name']}", note["expr"], True


EVERY_QUERY = [(key, *asked) for key, content in DASHBOARDS.items() for asked in queries(content)]


def test_there_are_three_dashboards_with_queries_in_each() -> None:
    assert sorted(DASHBOARDS) == ["fleet", "model", "worker"]
    assert {key for key, *_ in EVERY_QUERY} == set(DASHBOARDS)
    assert len(EVERY_QUERY) > 40


@pytest.mark.parametrize(("dashboard", "title", "expr", "is_range"), EVERY_QUERY)
def test_a_query_returns_data(scene: Scene, dashboard: str, title: str, expr: str, *, is_range: bool) -> None:
    asked = expr.replace("$model_id", "credit-risk")
    assert "$" not in asked
    # A rate needs two scrapes with the events between them, a quantile a commit.
    ask = scene.prometheus.query_minutes if is_range else scene.prometheus.query
    until(lambda: bool(ask(asked)), f"{dashboard}, {title}: {asked}")


def test_what_asks_for_exemplars_gets_the_incident_s_id(scene: Scene) -> None:
    asked = [
        target["expr"]
        for content in DASHBOARDS.values()
        for panel in panels(content)
        for target in panel.get("targets") or []
        if target.get("exemplar")
    ]
    assert len(asked) == 1, "one metric carries them"
    (alert,) = scene.alertmanager.alerts()
    for expr in asked:
        window = {"query": expr, "start": "0", "end": "99999999999"}
        until(lambda: bool(scene.prometheus.get("query_exemplars", **window)), "an exemplar")  # noqa: B023
        found = [
            one["labels"] for series in scene.prometheus.get("query_exemplars", **window) for one in series["exemplars"]
        ]
        assert {one["incident_id"] for one in found} == {alert["labels"]["incident_id"]}


def test_an_estimate_is_withdrawn_while_an_incident_is_open_under_which_labels_show_something_else(
    scene: Scene,
) -> None:
    chosen = 'whydrift_model_performance{model_id="credit-risk", metric="%s"}'
    until(lambda: bool(scene.prometheus.query(chosen % "estimate_withdrawn" + " == 1")), "withdrawn")
    assert scene.prometheus.query(chosen % "estimated_log_loss") == []
    assert scene.prometheus.query_minutes(chosen % "estimated_log_loss")


def test_the_variable_lists_the_models(scene: Scene) -> None:
    (variable,) = [one for one in DASHBOARDS["model"]["templating"]["list"] if one["type"] == "query"]
    found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
    assert found is not None
    assert scene.prometheus.get(f"label/{found[2]}/values", **{"match[]": found[1]}) == ["credit-risk"]


@BY_DASHBOARD
def test_panels_stand_side_by_side_and_each_says_what_it_shows(dashboard: str) -> None:
    shown = [panel for panel in panels(DASHBOARDS[dashboard]) if panel["type"] != "row"]
    for panel in shown:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in shown}
    assert len(places) == len(shown), "two panels at one place"


def test_links_lead_to_dashboards_that_are_there() -> None:
    uids = {content["uid"] for content in DASHBOARDS.values()}
    linked = {uid for content in DASHBOARDS.values() for uid in re.findall(r'"/d/([\w-]+)\?', json.dumps(content))}
    assert linked <= uids
    assert linked


def test_provisioning_finds_the_dashboards_and_the_data_source() -> None:
    folder = DEPLOY / "grafana/provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    (provider,) = yaml.safe_load((folder / "dashboards/whydrift.yaml").read_text())["providers"]
    assert provider["type"] == "file"
