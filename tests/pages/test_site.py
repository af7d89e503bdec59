"""Pages and the JSON beside them, asked for over HTTP's own rules: what they answer, in which order, and with which headers."""

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser

import httpx
import pytest
from starlette.testclient import TestClient
from tests.core.small_world import Event, Feed, events
from tests.shell.status_fakes import RUNNING, incident, model

from whydrift.core.status import PartitionStatus, PerformanceStatus
from whydrift.shell.http_server import app
from whydrift.shell.metrics_collector import registry
from whydrift.shell.pages import plates
from whydrift.shell.pages.addresses import address, segment
from whydrift.shell.pages.words import number
from whydrift.shell.telemetry_settings import MetricsSettings
from whydrift.shell.worker_status import PartitionProgress, Phase
from whydrift_schemas import Diagnosis, Severity, encode

from .fleet import HOSTILE, Pictured, partition


def client(worker: Pictured) -> TestClient:
    made = app(worker, registry(worker, MetricsSettings(), "1"), 120.0)
    return TestClient(made, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def site() -> Iterator[TestClient]:
    with client(Pictured(partition())) as found:
        yield found


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def diagnosis_of(model_id: str) -> Diagnosis:
    (found,) = [one for one in partition().models if one.model_id == model_id]
    return found.incidents[0].diagnosis


def incident_path(model_id: str) -> str:
    return f"/incidents/{diagnosis_of(model_id).incident_id}"


def paths() -> list[str]:
    models = [f"/models/{address(one.model_id)}" for one in partition().models]
    return [
        "/",
        *models,
        *(incident_path(name) for name in ("risk", "churn", "half", HOSTILE)),
        "/models/none",
        "/?page=x",
    ]


def many(count: int) -> Pictured:
    models = [model(f"model-{number:04}", baseline_seen=2_000) for number in range(count)]
    ill = incident()
    models[700] = model("model-0700", incidents=(ill,))
    return Pictured(PartitionStatus("events", 0, 1, 1_700_000_000_500, 1, models=tuple(models)))


# What pages say ------------------------------------------------------------------------------------------------------------


def test_the_fleet_begins_with_the_most_ill(site: TestClient) -> None:
    html = site.get("/").text
    states = re.findall(r'<td data-label="state"><span class="badge (\w+)"', html)
    order = ["critical", "warning", "info", "learning", "healthy"]
    assert states == sorted(states, key=order.index)
    assert states.count("learning") == 1
    assert states.count("healthy") == 2
    assert "4 of 7 models have an incident" in html


def test_an_incident_answers_in_the_order_in_which_people_ask(site: TestClient) -> None:
    html = site.get(incident_path("risk")).text
    asked = re.findall(r"<dt[^>]*>([^<]*)</dt>", html)[:6]
    assert asked == ["What broke", "Since when", "How sure", "What it costs", "What to do", "Ruled out"]
    said = diagnosis_of("risk")
    for text in (said.summary, said.causes[0].explanation, said.causes[0].action, said.ruled_out[0].because):
        assert text in html
    assert "97 %" in html
    assert f"log loss {0.594}" in html


def test_an_incident_is_shown_by_the_guilty_feature_evidence_performance_and_segments(site: TestClient) -> None:
    html = site.get(incident_path("half")).text
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", html)
    assert titles[1:4] == ["Evidence over time", "Performance before and after: log loss of version v1", "By country"]
    assert len(re.findall(r'<svg class="figure"', html)) == len(titles)
    risk = site.get(incident_path("risk")).text
    assert re.findall(r"<figcaption>(.*?)</figcaption>", risk)[0] == "Input income"
    assert "income: in health mostly" in risk


def test_every_figure_is_told_in_words_and_numbers(site: TestClient) -> None:
    found = Elements(site.get(incident_path("half")).text).found
    figures = [attributes for tag, attributes in found if tag == "svg" and attributes["class"] == "figure"]
    assert len(figures) >= 5
    assert all(one["role"] == "img" and len(one["aria-label"] or "") > 30 for one in figures)
    tables = [attributes for tag, attributes in found if tag == "table" and attributes.get("class") == "dense"]
    assert len(tables) == len(figures)


def test_an_incident_that_is_over_is_still_shown(site: TestClient) -> None:
    (was_ill,) = [one for one in partition().models if one.model_id == "was-ill"]
    assert [one.status.value for one in was_ill.resolved] == ["resolved"]
    assert was_ill.resolved[0].incident_id in site.get("/models/was-ill").text
    html = site.get(f"/incidents/{was_ill.resolved[0].incident_id}").text
    assert 'class="badge resolved"' in html
    assert "Evidence over time" in html
    assert "Answer it" not in html


def test_a_model_shows_incidents_performance_and_signals(site: TestClient) -> None:
    html = site.get("/models/risk").text
    assert diagnosis_of("risk").summary in html
    assert "log loss" in html
    assert "income.distribution" in html
    assert "learning" in site.get("/models/young").text


def test_a_measured_loss_stands_with_its_interval_in_one_row(site: TestClient) -> None:
    html = site.get("/models/well").text
    (beside,) = site.get("/api/v1/models/well").json()["models"]
    recent = {one["metric"]: number(one["value"]) for one in beside["performance"] if one["window"] == "recent"}
    assert f'{recent["loss"]}<br><span class="muted small">{recent["loss_low"]} to {recent["loss_high"]}</span>' in html
    assert "loss low" not in html


def test_what_is_estimated_without_labels_is_shown_with_its_interval_on_the_page_and_beside_it(
    site: TestClient,
) -> None:
    html = site.get("/models/well").text
    assert "Estimated without labels" in html
    assert "labels that came later were in the interval" in html
    (beside,) = site.get("/api/v1/models/well").json()["models"]
    values = {one["metric"]: one["value"] for one in beside["performance"] if one["window"] == "recent"}
    assert values["estimated_accuracy_low"] < values["estimated_accuracy"] < values["estimated_accuracy_high"]
    assert values["estimate_withdrawn"] == 0
    assert beside["withdrawn"] == {}
    low, high = (number(values[f"estimated_accuracy_{end}"]) for end in ("low", "high"))
    assert f'<td class="num">{low} to {high}</td>' in html


def test_where_an_estimate_is_withdrawn_the_page_and_the_json_say_why(site: TestClient) -> None:
    html = site.get("/models/risk").text
    reason = (
        f"withdrawn during unit_change (incident {diagnosis_of('risk').incident_id}): labels will show something else"
    )
    assert reason in html
    assert "expected of the latest answers" not in html
    (beside,) = site.get("/api/v1/models/risk").json()["models"]
    assert list(beside["withdrawn"].values()) == [reason]


def test_what_an_incident_costs_says_that_the_estimate_is_withdrawn_while_it_is_open(site: TestClient) -> None:
    cost = re.compile(r"<dt>What it costs</dt><dd>(.*?)</dd>")
    (shown,) = cost.findall(site.get(incident_path("risk")).text)
    assert (
        f"The estimate without labels is withdrawn during unit change (incident {diagnosis_of('risk').incident_id})"
        in shown
    )
    (was_ill,) = [one for one in partition().models if one.model_id == "was-ill"]
    (over,) = cost.findall(site.get(f"/incidents/{was_ill.resolved[0].incident_id}").text)
    assert "withdrawn" not in over


def test_a_fleet_s_model_without_labels_is_listed_with_what_is_estimated() -> None:
    estimated = (PerformanceStatus("1", "estimated_mae", "recent", 3.25),)
    shown = PartitionStatus("events", 0, 10, 1, 10, {}, (model("blind", performance=estimated),))
    with client(Pictured(shown)) as site:
        assert '<span class="muted">estimated mae</span> 3.25' in site.get("/").text


def test_without_matplotlib_the_numbers_are_there(site: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    plates._inline.cache_clear()
    for name in ("matplotlib", "whydrift.shell.pages.drawing", "whydrift.shell.pages.figures"):
        monkeypatch.setitem(sys.modules, name, None)
    html = site.get(incident_path("risk")).text
    assert '<svg class="figure"' not in html
    assert "whydrift[graphs]" in html
    assert "<details open>" in html


def test_without_a_folder_for_its_cache_matplotlib_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses:
        def find_spec(self, name: str, *arguments: object) -> None:
            if name == "matplotlib":
                raise OSError("Matplotlib requires access to a writable cache directory")

    assert plates.can_draw()
    monkeypatch.delitem(sys.modules, "matplotlib")
    monkeypatch.setattr(sys, "meta_path", [Refuses(), *sys.meta_path])
    assert not plates.can_draw()


def test_where_nothing_can_be_written_matplotlib_is_given_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setenv("MPLCONFIGDIR", "")
    monkeypatch.delenv("MPLCONFIGDIR")
    plates.find_cache()
    assert "MPLCONFIGDIR" not in os.environ
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    plates.find_cache()
    assert os.environ["MPLCONFIGDIR"].startswith("/dev/shm/")


def test_a_figure_that_cannot_be_drawn_leaves_the_page_whole(site: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> str:
        raise OSError("no writable cache directory")

    monkeypatch.setattr(plates, "_inline", fail)
    answer = site.get(incident_path("risk"))
    assert answer.status_code == 200
    assert "<details open>" in answer.text


# Many models ---------------------------------------------------------------------------------------------------------------


def test_a_thousand_models_come_in_pages_the_ill_ones_first() -> None:
    with client(many(1_000)) as site:
        first = site.get("/").text
        assert first.count('data-label="model"') == 50
        assert first.index("model-0700") < first.index("model-0000")
        assert "page 1 of 20" in first
        assert "model-0999" in site.get("/?page=20").text
        assert len(site.get("/api/v1/fleet?page=3").json()["models"]) == 50
        assert "page 20 of 20" in site.get("/?page=900").text


def test_models_are_found_by_name_state_and_incident() -> None:
    with client(many(1_000)) as site:
        assert site.get("/api/v1/fleet?q=0123").json()["found"] == 1
        assert site.get("/api/v1/fleet?q=THOUSANDS").json()["models"][0]["model_id"] == "model-0700"
        assert site.get("/api/v1/fleet?q=critical").json()["found"] == 1
        nothing = site.get("/", params={"q": '"><script>'}).text
        assert "No model has" in nothing
        assert "<script" not in nothing


@pytest.mark.parametrize("page", ["x", "0", "-1", "1e3", "", "٣", "9" * 30])
def test_a_page_that_is_no_number_is_refused_with_its_name(site: TestClient, page: str) -> None:
    answer = site.get("/", params={"page": page})
    assert answer.status_code == 400
    assert "page is" in answer.text


# Who must not be trusted ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", paths())
def test_no_page_has_scripts_inline_styles_or_anything_from_outside(site: TestClient, path: str) -> None:
    answer = site.get(path)
    for tag, attributes in Elements(answer.text).found:
        assert tag not in ("script", "img", "iframe", "object", "embed", "base", "style")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action", "xlink:href"):
            assert not re.match(r"\w+:|//", attributes.get(name) or "")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", paths())
def test_every_id_is_there_once_and_every_label_points_to_one(site: TestClient, path: str) -> None:
    found = Elements(site.get(path).text).found
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in found:
        for name in ("aria-labelledby", "for"):
            assert set((attributes.get(name) or "").split()) <= set(ids)
        for name in ("href", "xlink:href"):
            if (attributes.get(name) or "").startswith("#"):
                assert (attributes[name] or "")[1:] in ids


@pytest.mark.parametrize(
    "name",
    [HOSTILE, "..", ".", "a/b", "a\\b", "%2e%2e", "%", "a?b#c", "~x", "é ü", "🎉", "x" * 10_000, "a\nb", "\ud800", " "],
)
def test_any_name_has_a_page_of_its_own(name: str) -> None:
    with client(Pictured(PartitionStatus("e", 0, 1, 1, 1, models=(model(name), model("other"))))) as site:
        html = site.get("/").text
        links = re.findall(r'<a href="\./models/([^"]*)"', html)
        assert address(name) in links
        # As a browser would: dots and slashes are directions, encoded or not.
        assert not re.search(r"[/\\]|^(\.|%2e)+$", address(name), re.IGNORECASE)
        assert httpx.URL(f"http://h/models/{address(name)}").raw_path.decode() == f"/models/{address(name)}"
        page = site.get(f"/models/{address(name)}")
        assert page.status_code == 200
        assert "<script" not in page.text
        assert site.get(f"/api/v1/models/{address(name)}").status_code == 200


def test_no_name_has_the_address_of_another() -> None:
    names = ["..", ".", "a/b", segment("a/b"), segment(segment("a/b")), "a%2Fb", "a", "~", "~~"]
    assert len({segment(name) for name in names}) == len(names)


# Errors --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/models/none", "/incidents/none", "/nothing", "/static/x.css", "/static/../x"])
def test_what_is_not_there_is_a_page_that_says_so(site: TestClient, path: str) -> None:
    answer = site.get(path)
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (404, "text/html")
    assert "All models of this worker" in answer.text


def test_what_is_not_there_below_the_api_is_json(site: TestClient) -> None:
    answer = site.get("/api/v1/incidents/none")
    assert answer.status_code == 404
    assert "no such incident here" in answer.json()["error"]
    assert site.get("/api/v1/nothing").json() == {"error": "Not Found"}


def test_a_page_does_not_take_what_it_does_not_understand(site: TestClient) -> None:
    answer = site.post("/")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert site.head("/").status_code == 200


def test_an_error_of_ours_is_a_page_without_its_details() -> None:
    class Broken(Pictured):
        def pipelines_status(self) -> tuple[PartitionStatus, ...]:
            raise RuntimeError("a secret path")

    with client(Broken()) as site:
        for path in ("/", "/api/v1/fleet"):
            answer = site.get(path)
            assert answer.status_code == 500
            assert "secret" not in answer.text


def test_pages_say_that_state_is_being_restored() -> None:
    restoring = replace(RUNNING, partitions=(PartitionProgress(3, Phase.RESTORING, None, None, 0.4),))
    with client(Pictured(status=restoring)) as site:
        assert "partition 3 (40%)" in site.get("/").text
        answer = site.get("/models/risk")
        assert answer.status_code == 404
        assert "state is being restored" in answer.text


def test_pages_say_that_the_worker_has_stopped() -> None:
    with client(Pictured(status=replace(RUNNING, running=False, last_error="the topic <b> is gone"))) as site:
        assert "the topic &lt;b&gt; is gone" in site.get("/").text


# JSON ----------------------------------------------------------------------------------------------------------------------


def test_json_has_the_diagnosis_as_it_is_published_and_what_is_drawn(site: TestClient) -> None:
    answer = site.get("/api/v1" + incident_path("risk"))
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["incident"] == json.loads(encode(diagnosis_of("risk")))
    assert body["graphs"]["spreads"][0]["name"] == "income"
    assert body["graphs"]["curves"][0]["points"]


def test_json_of_a_model_and_of_the_fleet(site: TestClient) -> None:
    (risk,) = site.get("/api/v1/models/risk").json()["models"]
    assert risk["health"] == "critical"
    # The fleet's other models go on when this one's stream has ended: that it has stopped is told besides.
    stopped, broken = risk["incidents"]
    assert stopped["causes"][0]["fault"] == "traffic_change"
    assert broken["incident_id"] == diagnosis_of("risk").incident_id
    fleet = site.get("/api/v1/fleet").json()
    assert fleet["found"] == 7
    assert fleet["ready"] is True
    assert sum(fleet["counts"].values()) == 7


def test_severities_are_known_to_pages() -> None:
    for severity in Severity:
        shown = model(incidents=(incident(severity=severity.value),))
        with client(Pictured(PartitionStatus("e", 0, 1, 1_700_000_000_500, 1, models=(shown,)))) as site:
            assert site.get("/").status_code == site.get("/incidents/id").status_code == 200


def test_the_stylesheet_may_be_kept_for_ever(site: TestClient) -> None:
    (name,) = re.findall(r'href="\./static/([^"]*\.css)"', site.get("/").text)
    answer = site.get(f"/static/{name}")
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    assert "url(" not in answer.text
    assert "@import" not in answer.text


def test_a_model_s_page_and_its_json_say_what_the_reference_cannot_show() -> None:
    feed = Feed()
    feed(events(0, 200, inputs=_forty))
    with client(Pictured(feed.pipeline.status())) as site:
        page, answer = site.get("/models/risk").text, site.get("/api/v1/models/risk").json()
    assert "What the reference cannot show" in page
    assert "age: always the same in the reference" in page
    (one,) = answer["models"]
    assert {spot["blindness"] for spot in one["blind_spots"]} == {"constant", "coarse"}


def _forty(features: Event, i: int) -> None:
    features["age"] = 40.0
