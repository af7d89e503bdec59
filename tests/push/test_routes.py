"""The example configuration of Alertmanager: valid, and each alert goes where its comment says. By the real amtool."""

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from whydrift.shell.push.alertmanager import AlertmanagerSink
from whydrift.shell.push.settings import AlertmanagerSettings, Links
from whydrift_schemas import Fault

from ..servers import program
from .conftest import Alertmanager
from .incidents import opened

CONFIG = Path(__file__).parents[2] / "deploy/alertmanager/alertmanager.yml"


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [program("amtool", "prometheus-alertmanager"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_example_is_valid() -> None:
    found = amtool("check-config", str(CONFIG))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({"model_id": "churn", "severity": "warning", "opened_as": "unit_change"}, "data-science"),
        ({"model_id": "churn", "severity": "critical", "opened_as": "unit_change"}, "model-pager"),
        ({"model_id": "churn", "severity": "info", "opened_as": "new_category"}, "tickets"),
        ({"model_id": "credit-risk", "severity": "critical", "opened_as": "unit_change"}, "credit-pager"),
        ({"model_id": "credit-risk", "severity": "warning", "opened_as": "unit_change"}, "credit-team"),
        ({"model_id": "credit-risk", "severity": "critical", "opened_as": "error_surge"}, "service-pager"),
        ({"alertname": "WhydriftWorkerDown", "severity": "critical"}, "platform"),
    ],
)
def test_an_alert_goes_to_whom_it_concerns(labels: dict[str, str], receivers: str) -> None:
    given = {"alertname": "WhydriftIncident"} | labels
    pairs = [f"{name}={value}" for name, value in given.items()]
    found = amtool("config", "routes", "test", f"--config.file={CONFIG}", f"--verify.receivers={receivers}", *pairs)
    assert found.returncode == 0, found.stdout + found.stderr


def test_a_stopped_label_feed_silences_what_follows_from_it_and_nothing_else(tmp_path: Path) -> None:
    server = Alertmanager(tmp_path / "alertmanager")
    (server.folder / "alertmanager.yml").write_text(CONFIG.read_text())
    faults = {"source": Fault.LABEL_FEED_STOPPED, "follows": Fault.CONCEPT_DRIFT, "own": Fault.UNIT_CHANGE}
    incidents = [replace(opened(name), opened_as=fault) for name, fault in faults.items()]
    incidents.append(replace(opened("elsewhere", model_id="churn"), opened_as=Fault.CONCEPT_DRIFT))
    sink = AlertmanagerSink(AlertmanagerSettings(urls=(server.start().url,)), Links(), time.time)
    try:
        sink.heard(0, incidents, [])
        sink.step()
        deadline = time.monotonic() + 10
        while not (silenced := _silenced(server)):
            assert time.monotonic() < deadline
        assert silenced == {"follows"}
        assert len(server.alerts()) == 4
    finally:
        sink.close()
        server.stop()


def _silenced(server: Alertmanager) -> set[str]:
    return {one["labels"]["incident_id"] for one in server.alerts() if one["status"]["inhibitedBy"]}
