"""Rules and metrics in a real Prometheus, and the rules' own tests by promtool."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from ..broker.conftest import until
from ..servers import program
from .conftest import DEPLOY, RUNBOOK, Scene

FOLDER = DEPLOY / "prometheus"


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules/worker.yaml", "rules/incidents.yaml"),
        ("test", "rules", "tests/worker.yaml", "tests/incidents.yaml"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_promtool_finds_nothing_wrong(arguments: tuple[str, ...]) -> None:
    found = subprocess.run(
        [program("promtool", "prometheus"), *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def alerts() -> set[str]:
    return {
        rule["alert"]
        for file in sorted((FOLDER / "rules").glob("*.yaml"))
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


def test_every_alert_has_a_test_that_sees_it_fire_and_a_chapter_in_the_runbook() -> None:
    tested = "".join(file.read_text("utf-8") for file in (FOLDER / "tests").glob("*.yaml"))
    fired = set(re.findall(r"alertname: (\w+)\n +exp_alerts:", tested))
    chapters = re.findall(r"^### (\w+)$", (DEPLOY / "RUNBOOK.md").read_text("utf-8"), re.MULTILINE)
    assert fired == alerts()
    assert alerts() <= set(chapters)
    anchors = re.findall(
        r"RUNBOOK\.md\{\{ end \}\}#(\w+)\"\n", "".join(one.read_text("utf-8") for one in (FOLDER / "rules").glob("*"))
    )
    assert len(anchors) == len(alerts()) - 1, "all but incidents, whose chapter is their fault's"
    assert set(anchors) <= {chapter.lower() for chapter in chapters}


def test_all_rules_are_evaluated_and_only_the_incident_fires(scene: Scene) -> None:
    def evaluated() -> bool:
        rules = [rule for group in scene.prometheus.get("rules")["groups"] for rule in group["rules"]]
        return len(rules) > 10 and all(rule["health"] == "ok" for rule in rules)

    until(evaluated, "every rule is evaluated without an error")
    until(lambda: bool(scene.prometheus.query('ALERTS{alertstate="firing"}')), "an alert fires")
    firing = scene.prometheus.query('ALERTS{alertstate="firing"}')
    assert [(one["metric"]["alertname"], one["metric"]["opened_as"]) for one in firing] == [
        ("WhydriftIncident", "unit_change")
    ]
    (found,) = [one for one in scene.prometheus.get("alerts")["alerts"] if one["state"] == "firing"]
    assert found["annotations"]["runbook_url"] == f"{RUNBOOK}#unit_change"
    assert re.search(r"What leads now: unit_change \(0\.\d\d\) ?$", found["annotations"]["description"])


def test_an_incident_told_by_the_worker_and_by_the_rules_is_one_alert(scene: Scene) -> None:
    until(lambda: scene.prometheus.own("prometheus_notifications_sent_total") >= 1, "Prometheus has sent it too")
    until(lambda: scene.prometheus.own("prometheus_notifications_queue_length") == 0, "nothing waits")
    assert scene.prometheus.own("prometheus_notifications_errors_total") == 0
    (alert,) = scene.alertmanager.alerts()
    (firing,) = scene.prometheus.get("alerts")["alerts"]
    assert alert["labels"] == firing["labels"]


def test_the_incident_is_the_exemplar_of_what_counted_it(scene: Scene) -> None:
    (alert,) = scene.alertmanager.alerts()
    expr = {"query": "whydrift_incidents_opened_total", "start": "0", "end": "99999999999"}
    until(lambda: bool(scene.prometheus.get("query_exemplars", **expr)), "an exemplar is stored")
    (series,) = scene.prometheus.get("query_exemplars", **expr)
    assert {one["labels"]["incident_id"] for one in series["exemplars"]} == {alert["labels"]["incident_id"]}


def test_every_chapter_of_the_runbook_says_what_it_means_in_whole_sentences() -> None:
    text = (DEPLOY / "RUNBOOK.md").read_text("utf-8")
    chapters = re.findall(r"^### (\w+)\n\n(.*)\n\n- \*\*Confirm it\*\*", text, re.MULTILINE)
    assert len(chapters) == text.count("\n### ")
    assert [name for name, means in chapters if not re.fullmatch(r"[A-Z*].{20,}\.", means)] == []


def test_the_files_made_from_code_are_what_the_code_makes(tmp_path: Path) -> None:
    from ..deploy_files import generated

    for path, content in generated().items():
        assert path.read_text("utf-8") == content, f"{path} is older than the code: python deploy/generate.py"
