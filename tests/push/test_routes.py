"""The example configuration of Alertmanager: valid, and each alert goes where its comment says. By the real amtool."""

import subprocess
from pathlib import Path

import pytest

from ..servers import program

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
