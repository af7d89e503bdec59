"""Diagnoses posted to a URL: each as published, signed, again until taken, once by its id."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from whydrift.shell.push.settings import WebhookSettings
from whydrift.shell.push.webhook import WebhookSink
from whydrift_schemas import Status, encode

from .answering import Answering
from .incidents import SetClock, changed, opened

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()


def sink(*urls: str, clock: SetClock, **settings: Any) -> WebhookSink:
    return WebhookSink(WebhookSettings(urls=urls, **settings), clock)


@pytest.fixture
def clock() -> SetClock:
    return SetClock(1_795_000_000.0)


def test_the_record_of_the_topic_is_posted_with_an_id_and_a_signature_that_holds(clock: SetClock) -> None:
    incident = opened()
    with Answering(204) as server:
        made = sink(f"{server.url}/hook", clock=clock, secret=SECRET)
        made.heard(0, [incident], [incident.diagnosis])
        made.step()
    assert server.bodies == [encode(incident.diagnosis)]
    (headers,) = server.headers
    assert headers["webhook-id"] == "e9b6dddf134791a1-1"
    assert headers["webhook-timestamp"] == "1795000000"
    signed = b"e9b6dddf134791a1-1.1795000000." + server.bodies[0]
    mac = hmac.new(b"0123456789abcdef01234567", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()


def test_a_secret_in_a_file_signs_and_a_file_that_went_away_is_told_and_nothing_is_lost(
    clock: SetClock, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    with Answering() as server:
        made = sink(server.url, clock=clock, secret_file=file)
        made.heard(0, [opened()], [opened().diagnosis])
        made.step()
        assert made.deliveries()[0].failed == {"credentials": 1}
        file.write_text("plain words\n")
        clock.now_s += 1
        made.step()
    assert server.headers[0]["webhook-signature"].startswith("v1,")


def test_changes_come_in_order_and_only_the_latest_of_an_incident_waits(clock: SetClock) -> None:
    first, other = opened("first"), opened("other")
    over = changed(first, Status.RESOLVED)
    with Answering(500) as server:
        made = sink(server.url, clock=clock)
        made.heard(0, [first], [first.diagnosis])
        made.step()
        made.heard(0, [other], [over.diagnosis, other.diagnosis])
        assert made.deliveries()[0].waiting == 2
        server.status = 200
        clock.now_s += 1
        made.step()
    ids = [json.loads(body)["incident_id"] for body in server.bodies]
    assert ids == ["first", "first", "other"]
    assert [headers["webhook-id"] for headers in server.headers] == ["first-1", "first-2", "other-1"]


def test_news_that_comes_while_its_incident_is_being_sent_is_sent_too(clock: SetClock) -> None:
    incident = opened()
    with Answering() as server:
        made = sink(server.url, clock=clock)
        made.heard(0, [incident], [incident.diagnosis])
        made.step()
        newer = changed(incident)
        made.heard(0, [newer], [newer.diagnosis])
        made.step()
    assert [headers["webhook-id"] for headers in server.headers] == ["e9b6dddf134791a1-1", "e9b6dddf134791a1-2"]


def test_after_a_restart_open_incidents_come_again_under_the_same_id(clock: SetClock) -> None:
    with Answering() as server:
        made = sink(server.url, clock=clock)
        made.heard(0, [opened()], [])
        made.step()
    assert server.headers[0]["webhook-id"] == "e9b6dddf134791a1-1"


def test_after_a_restart_open_incidents_come_though_another_has_news_at_the_same_time(clock: SetClock) -> None:
    first, second = opened("a"), opened("b")
    with Answering() as server:
        made = WebhookSink(WebhookSettings(urls=(server.url,)), clock)
        made.heard(0, [first, second], [second.diagnosis])
        made.heard(0, [first, changed(second)], [changed(second).diagnosis])
        made.step()
        assert [one["webhook-id"] for one in server.headers] == ["a-1", "b-2"]
        made.heard(0, [first, changed(second)], [])
        made.step()
        assert len(server.bodies) == 2


def test_what_it_refuses_is_not_sent_for_ever_and_counted(clock: SetClock) -> None:
    with Answering(400) as server:
        made = sink(server.url, clock=clock)
        made.heard(0, [opened()], [opened().diagnosis])
        made.step()
        clock.now_s += 100
        made.step()
        assert len(server.bodies) == 1
    (delivery,) = made.deliveries()
    assert (delivery.waiting, delivery.left_out, delivery.failed) == (0, 1, {"refused": 1})


def test_memory_is_bounded_and_what_is_left_out_is_counted(clock: SetClock) -> None:
    made = sink("http://127.0.0.1:9/", clock=clock, queue_limit=3)
    for number in range(5):
        made.heard(0, [], [opened(f"i{number}").diagnosis])
    (delivery,) = made.deliveries()
    assert (delivery.waiting, delivery.left_out) == (3, 2)
