"""Incidents in a real Alertmanager: one alert each, as long as they last, whatever happens to either side."""

import time
from pathlib import Path
from typing import Any

import pytest

from whydrift.shell.push.alertmanager import AlertmanagerSink
from whydrift.shell.push.settings import Access, AlertmanagerSettings, Links
from whydrift_schemas import Fault, Severity, Status

from ..hostile import HOSTILE
from .answering import Answering
from .bearer_proxy import BearerProxy
from .conftest import Alertmanager
from .incidents import SetClock, changed, opened

LINKS = Links(
    public_url="https://whydrift.example/",
    dashboard_url="https://grafana.example/d/model?var-model={model_id}",
    runbook_url="https://wiki.example/RUNBOOK.md",
)


@pytest.fixture
def clock() -> SetClock:
    """Alertmanager ends alerts by its own clock, so these begin at the true time; only steps of it are made up."""
    return SetClock(time.time())


def sink(*urls: str, clock: SetClock, **settings: Any) -> AlertmanagerSink:
    return AlertmanagerSink(AlertmanagerSettings(urls=urls, **settings), LINKS, clock)


def labels(found: list[dict[str, Any]]) -> list[dict[str, str]]:
    return sorted((one["labels"] for one in found), key=lambda one: sorted(one.items()))


def test_an_incident_is_one_alert_with_all_that_whoever_is_paged_needs(
    alertmanager: Alertmanager, clock: SetClock
) -> None:
    made = sink(alertmanager.url, clock=clock)
    incident = opened()
    made.heard(0, [incident], [incident.diagnosis])
    made.step()
    (alert,) = alertmanager.alerts()
    assert alert["labels"] == {
        "alertname": "WhydriftIncident",
        "incident_id": "e9b6dddf134791a1",
        "model_id": "credit-risk",
        "opened_as": "unit_change",
        "severity": "warning",
    }
    said = alert["annotations"]
    assert said["summary"] == "credit-risk: income arrives in thousands since 16:41 (probability 0.97)"
    assert said["action"].startswith("Ask the producer of income")
    assert said["evidence"] == "income.distribution: median 51,000 → 51.2 (10^41, alarm at 10^7.2)"
    assert said["ruled_out"] == "covariate_drift: the shape is unchanged"
    assert said["impact"] == "log_loss 0.31 → 0.55 (by labels)"
    assert said["status_page"] == "https://whydrift.example/incidents/e9b6dddf134791a1"
    assert said["dashboard"] == "https://grafana.example/d/model?var-model=credit-risk"
    assert said["runbook_url"] == "https://wiki.example/RUNBOOK.md#unit_change"
    assert alert["generatorURL"] == said["status_page"]
    assert alert["startsAt"].startswith("2026-09-21T14:13:20")


def test_a_runbook_of_many_pages_is_linked_by_its_template(alertmanager: Alertmanager, clock: SetClock) -> None:
    links = Links(runbook_url="https://wiki.example/ops/{fault}?from=alert")
    made = AlertmanagerSink(AlertmanagerSettings(urls=(alertmanager.url,)), links, clock)
    made.heard(0, [opened()], [opened().diagnosis])
    made.step()
    (alert,) = alertmanager.alerts()
    assert alert["annotations"]["runbook_url"] == "https://wiki.example/ops/unit_change?from=alert"


def test_an_update_changes_the_text_of_the_alert_and_opens_no_other(
    alertmanager: Alertmanager, clock: SetClock
) -> None:
    made = sink(alertmanager.url, clock=clock)
    first = opened()
    made.heard(0, [first], [first.diagnosis])
    made.step()
    causes = tuple(cause.model_copy(update={"fault": Fault.COVARIATE_DRIFT}) for cause in first.diagnosis.causes)
    second = changed(first, summary="income has drifted", causes=causes, onset_at=first.diagnosis.onset_at - 60_000)
    made.heard(0, [second], [second.diagnosis])
    made.step()
    (alert,) = alertmanager.alerts()
    assert alert["annotations"]["summary"] == "credit-risk: income has drifted"
    assert (alert["annotations"]["fault"], alert["labels"]["opened_as"]) == ("covariate_drift", "unit_change")


def test_a_rise_in_severity_replaces_the_alert_so_that_it_reaches_who_is_paged_for_that(
    alertmanager: Alertmanager, clock: SetClock
) -> None:
    made = sink(alertmanager.url, clock=clock)
    made.heard(0, [opened()], [opened().diagnosis])
    made.step()
    worse = changed(opened(severity=Severity.CRITICAL), severity=Severity.CRITICAL)
    made.heard(0, [worse], [worse.diagnosis])
    made.step()
    assert [one["severity"] for one in labels(alertmanager.alerts())] == ["critical"]
    better = changed(opened(severity=Severity.INFO, worst=Severity.CRITICAL))
    made.heard(0, [better], [better.diagnosis])
    made.step()
    assert [one["severity"] for one in labels(alertmanager.alerts())] == ["critical"], "it never falls"


def test_a_resolved_incident_ends_its_alert_and_leaves_the_other(alertmanager: Alertmanager, clock: SetClock) -> None:
    made = sink(alertmanager.url, clock=clock)
    first, other = opened("first"), opened("other")
    made.heard(0, [first, other], [first.diagnosis, other.diagnosis])
    made.step()
    assert len(alertmanager.alerts()) == 2
    over = changed(first, Status.RESOLVED, summary="over after 57 min")
    made.heard(0, [other], [over.diagnosis])
    made.step()
    assert [one["incident_id"] for one in labels(alertmanager.alerts())] == ["other"]
    (delivery,) = made.deliveries()
    assert (delivery.waiting, delivery.left_out) == (0, 0)


def test_what_it_forgot_in_a_restart_it_knows_after_the_next_repetition(
    alertmanager: Alertmanager, clock: SetClock
) -> None:
    made = sink(alertmanager.url, clock=clock)
    made.heard(0, [opened()], [opened().diagnosis])
    made.step()
    alertmanager.stop()
    for file in (alertmanager.folder / "data").iterdir():
        file.unlink()
    alertmanager.start()
    assert alertmanager.alerts() == []
    clock.now_s += 59
    made.step()
    assert alertmanager.alerts() == [], "not before it is due"
    clock.now_s += 1
    made.step()
    assert len(alertmanager.alerts()) == 1


def test_a_minute_of_absence_loses_neither_a_new_incident_nor_an_end(
    alertmanager: Alertmanager, clock: SetClock
) -> None:
    made = sink(alertmanager.url, clock=clock)
    clock.now_s -= 120
    ending, coming = opened("ending"), opened("coming")
    made.heard(0, [ending], [ending.diagnosis])
    made.step()
    alertmanager.stop()
    made.heard(0, [coming], [changed(ending, Status.RESOLVED).diagnosis, coming.diagnosis])
    pauses = []
    until_s = clock.now_s + 60
    while clock.now_s < until_s:
        due_s = made.step()
        pauses.append(due_s - clock.now_s)
        clock.now_s = due_s
    assert pauses == [1, 2, 4, 8, 16, 32], "it asks less and less often"
    assert made.deliveries()[0].failed == {"unreachable": 6}
    assert made.deliveries()[0].waiting == 2
    alertmanager.start()
    made.step()
    assert [one["incident_id"] for one in labels(alertmanager.alerts())] == ["coming"]
    assert made.deliveries()[0].waiting == 0


def test_an_end_that_nobody_took_is_given_up_when_the_alert_has_ended_by_itself(clock: SetClock) -> None:
    made = sink("http://127.0.0.1:9", clock=clock)
    made.heard(0, [opened()], [opened().diagnosis])
    made.step()
    made.heard(0, [], [changed(opened(), Status.RESOLVED).diagnosis])
    clock.now_s += 241
    made.step()
    (delivery,) = made.deliveries()
    assert (delivery.waiting, delivery.left_out) == (0, 1)


def test_a_partition_that_moves_keeps_its_alert_and_only_its_new_worker_repeats_and_ends_it(
    alertmanager: Alertmanager, clock: SetClock
) -> None:
    clock.now_s -= 60
    one, other = sink(alertmanager.url, clock=clock), sink(alertmanager.url, clock=clock)
    incident = opened()
    one.heard(3, [incident], [incident.diagnosis])
    one.step()
    one.revoked(3)
    clock.now_s += 60
    one.step()
    (before,) = alertmanager.alerts()
    assert one.deliveries()[0].sent == 1, "it has nothing to repeat"
    other.heard(3, [incident], [])
    other.step()
    (after,) = alertmanager.alerts()
    assert (after["labels"], after["startsAt"]) == (before["labels"], before["startsAt"])
    assert after["endsAt"] > before["endsAt"]
    other.heard(3, [], [changed(incident, Status.RESOLVED).diagnosis])
    other.step()
    assert alertmanager.alerts() == []


def test_every_member_of_a_cluster_is_told_though_one_is_away(alertmanager: Alertmanager, clock: SetClock) -> None:
    made = sink("http://127.0.0.1:9", alertmanager.url, clock=clock)
    made.heard(0, [opened()], [opened().diagnosis])
    made.step()
    assert len(alertmanager.alerts()) == 1
    assert [one.waiting for one in made.deliveries()] == [1, 0]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_alerts_like_any_other(alertmanager: Alertmanager, clock: SetClock, name: str) -> None:
    made = sink(alertmanager.url, clock=clock)
    incident = opened(model_id=name, summary=f"{name} arrives")
    made.heard(0, [incident], [incident.diagnosis])
    made.step()
    (alert,) = alertmanager.alerts()
    assert len(alert["labels"]["model_id"]) <= 200
    assert max(map(len, alert["annotations"].values())) <= 2_000
    assert "\x1b" not in str(alert)
    assert made.deliveries()[0].failed == {}


# --- credentials


def test_it_is_let_in_with_password_and_certificates(guarded: tuple[Alertmanager, Path], clock: SetClock) -> None:
    server, folder = guarded
    access = Access(
        username="ana",
        password_file=folder / "password",
        ca_file=folder / "ca.pem",
        certificate_file=folder / "client.pem",
        key_file=folder / "client.key",
    )
    made = sink(server.url, clock=clock, access=access)
    made.heard(0, [opened()], [opened().diagnosis])
    made.step()
    assert len(server.alerts()) == 1
    (folder / "password").write_text("wrong")
    clock.now_s += 60
    made.step()
    assert made.deliveries()[0].failed == {"credentials": 1}, "a renewed secret is used at once"


def test_a_bearer_token_is_shown_at_the_door_and_read_again_when_it_was_renewed(
    alertmanager: Alertmanager, clock: SetClock, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    incident, other = opened(), opened("another")
    with BearerProxy(alertmanager.url, "first") as door:
        made = sink(door.url, clock=clock, access=Access(bearer_token_file=file))
        made.heard(0, [incident], [incident.diagnosis])
        made.step()
        assert [one["labels"]["incident_id"] for one in alertmanager.alerts()] == [incident.diagnosis.incident_id]
        door.token = "second"
        made.heard(0, [incident, other], [other.diagnosis])
        made.step()
        assert len(alertmanager.alerts()) == 1
        (failing,) = made.deliveries()
        assert (failing.failed, failing.waiting, door.refused) == ({"credentials": 1}, 2, 1)
        file.write_text("second\n")
        clock.now_s += 60
        made.step()
        assert len(alertmanager.alerts()) == 2
        (well,) = made.deliveries()
        assert (well.waiting, door.refused) == (0, 1)
    made.close()


@pytest.mark.parametrize("access", [Access(), Access(bearer_token="wrong"), Access(username="ana", password="first")])
def test_without_the_token_nothing_comes_through(alertmanager: Alertmanager, clock: SetClock, access: Access) -> None:
    incident = opened()
    with BearerProxy(alertmanager.url, "first") as door:
        made = sink(door.url, clock=clock, access=access)
        made.heard(0, [incident], [incident.diagnosis])
        made.step()
        assert made.deliveries()[0].failed == {"credentials": 1}
    assert alertmanager.alerts() == []
    made.close()


def test_without_its_authority_a_server_is_not_trusted(guarded: tuple[Alertmanager, Path], clock: SetClock) -> None:
    server, _ = guarded
    made = sink(server.url, clock=clock)
    made.heard(0, [opened()], [opened().diagnosis])
    made.step()
    assert made.deliveries()[0].failed == {"unreachable": 1}


# --- bad answers


@pytest.mark.parametrize(
    ("status", "reason"), [(400, "refused"), (401, "credentials"), (404, "failing"), (500, "failing"), (503, "failing")]
)
def test_a_bad_answer_is_counted_by_its_reason_and_tried_again(status: int, reason: str, clock: SetClock) -> None:
    with Answering(status) as server:
        made = sink(server.url, clock=clock)
        made.heard(0, [opened()], [opened().diagnosis])
        assert made.step() == clock.now_s + 1
        assert made.deliveries()[0].failed == {reason: 1}
        server.status = 200
        clock.now_s += 1
        made.step()
        assert made.deliveries()[0].sent == 1
        assert len(server.bodies) == 2


@pytest.mark.parametrize("answers", [[400, 200], [200, 400]])
def test_one_refused_batch_of_two_does_not_make_it_send_all_of_them_every_second(
    answers: list[int], clock: SetClock
) -> None:
    incidents = [opened(f"incident-{number}") for number in range(101)]
    with Answering() as server:
        server.first = list(answers)
        made = sink(server.url, clock=clock)
        made.heard(0, incidents, [one.diagnosis for one in incidents])
        assert made.step() == clock.now_s + 60
        assert (made.deliveries()[0].sent, made.deliveries()[0].failed) == (1, {"refused": 1})
        made.heard(0, incidents[:1], [])
        assert made.has_news()


def test_an_answer_that_never_comes_is_given_up_in_time_and_keeps_nobody(clock: SetClock) -> None:
    with Answering(200, silent=True) as server:
        made = sink(server.url, clock=clock, timeout_s=0.2)
        made.heard(0, [opened()], [opened().diagnosis])
        made.step()
        assert made.deliveries()[0].failed == {"timeout": 1}


def test_the_thread_delivers_news_at_once_and_the_end_when_it_is_stopped(alertmanager: Alertmanager) -> None:
    made = AlertmanagerSink(AlertmanagerSettings(urls=(alertmanager.url,)), LINKS, time.time)
    made.start()
    try:
        made.heard(0, [opened()], [opened().diagnosis])
        deadline = time.monotonic() + 20
        while not alertmanager.alerts():
            assert time.monotonic() < deadline
        made.heard(0, [], [changed(opened(), Status.RESOLVED).diagnosis])
    finally:
        made.stop()
    assert alertmanager.alerts() == []
