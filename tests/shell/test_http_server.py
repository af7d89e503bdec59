"""The endpoints over real sockets, on ports the system chooses."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from whydrift.shell.http_server import HttpServer, HttpServerError
from whydrift.shell.metrics_collector import registry
from whydrift.shell.telemetry_settings import HttpSettings, MetricsSettings
from whydrift.shell.worker_status import PartitionProgress, Phase, WorkerStatus

from .status_fakes import RUNNING, FakeWorker, model

TIMEOUT_S = 30.0
ANY_PORT = HttpSettings(port=0)


@contextmanager
def serving(worker: FakeWorker, settings: HttpSettings = ANY_PORT) -> Iterator[HttpServer]:
    server = HttpServer(settings, worker, registry(worker, MetricsSettings(), "1"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def get(server: HttpServer, path: str, **headers: str) -> tuple[int, str, str]:
    """Status, content type, body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers["content-type"], response.read().decode()
    finally:
        connection.close()


def answer(worker: FakeWorker, path: str, settings: HttpSettings = ANY_PORT) -> tuple[int, Any]:
    with serving(worker, settings) as server:
        status, _, body = get(server, path)
        return status, json.loads(body)


def test_metrics_are_text_or_openmetrics_as_asked_for() -> None:
    with serving(FakeWorker(models=[[model()]])) as server:
        status, plain_type, plain = get(server, "/metrics")
        assert (status, plain_type.split(";")[0]) == (200, "text/plain")
        assert 'whydrift_model_events_total{model_id="credit"} 0.0' in plain
        accept = "application/openmetrics-text;version=1.0.0"
        status, open_type, openmetrics = get(server, "/metrics", Accept=accept)
        assert (status, open_type.split(";")[0]) == (200, "application/openmetrics-text")
        assert openmetrics.endswith("# EOF\n")
        assert any(family.name == "whydrift_model_events" for family in parse_openmetrics(openmetrics))


def test_metrics_are_made_when_asked_for() -> None:
    worker = FakeWorker()
    with serving(worker) as server:
        assert "whydrift_records_total 0.0" in get(server, "/metrics")[2]
        worker.shown = replace(RUNNING, records=5)
        assert "whydrift_records_total 5.0" in get(server, "/metrics")[2]


def test_the_index_names_the_endpoints_and_others_are_not_found() -> None:
    with serving(FakeWorker()) as server:
        status, content_type, body = get(server, "/")
        assert (status, content_type.split(";")[0]) == (200, "text/html")
        assert all(f'href="./{path}"' in body for path in ("metrics", "healthz", "readyz"))
        assert get(server, "/nothing")[0] == 404


def test_a_worker_whose_loop_goes_round_is_healthy_even_while_it_restores() -> None:
    restoring = (PartitionProgress(0, Phase.RESTORING, None, None, 0.1),)
    status = replace(RUNNING, turn_age_s=0.1, partitions=restoring)
    assert answer(FakeWorker(status), "/healthz") == (200, {"healthy": True, "reason": None})


def test_a_loop_that_hangs_is_unhealthy_and_says_for_how_long() -> None:
    code, said = answer(FakeWorker(replace(RUNNING, turn_age_s=121.0)), "/healthz")
    assert (code, said["healthy"]) == (503, False)
    assert said["reason"] == "the worker's loop did not come round for 121 s (limit 120 s)"
    patient = HttpSettings(port=0, unhealthy_after_s=300)
    assert answer(FakeWorker(replace(RUNNING, turn_age_s=121.0)), "/healthz", patient)[0] == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_worker_that_does_not_run_says_why_if_it_knows(path: str) -> None:
    code, said = answer(FakeWorker(WorkerStatus("events", running=False)), path)
    assert code == 503
    assert "not running" in said["reason"]
    stopped = WorkerStatus("events", running=False, last_error="too many rejects")
    assert answer(FakeWorker(stopped), path)[1]["reason"] == "too many rejects"


def test_ready_is_what_the_worker_says_and_otherwise_what_it_waits_for() -> None:
    assert answer(FakeWorker(), "/readyz") == (200, {"ready": True, "reason": None})
    code, said = answer(FakeWorker(replace(RUNNING, joined=False)), "/readyz")
    assert (code, said["reason"]) == (503, "the group has not answered yet")
    partitions = (
        PartitionProgress(0, Phase.RUNNING, 1, 0, 1.0),
        PartitionProgress(3, Phase.RESTORING, None, None, 0.25),
        PartitionProgress(5, Phase.CATCHING_UP, 4, 2, 0.75),
    )
    code, said = answer(FakeWorker(replace(RUNNING, partitions=partitions)), "/readyz")
    assert code == 503
    assert said["reason"] == "partition 3 is restoring (25%), partition 5 is catching_up (75%)"


def test_health_is_told_while_a_slow_scrape_is_under_way() -> None:
    begun, go_on = threading.Event(), threading.Event()

    class SlowWorker(FakeWorker):
        def pipelines_status(self) -> tuple[Any, ...]:
            begun.set()
            go_on.wait(TIMEOUT_S)
            return ()

    with serving(SlowWorker()) as server:
        scrape = threading.Thread(target=get, args=(server, "/metrics"))
        scrape.start()
        assert begun.wait(TIMEOUT_S)
        assert get(server, "/healthz")[0] == 200
        go_on.set()
        scrape.join(TIMEOUT_S)


def test_a_stopped_server_lets_go_of_its_port_and_may_be_stopped_again() -> None:
    with serving(FakeWorker()) as server:
        port = server.port
        assert port > 0
        get(server, "/")
        server.stop()
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", port))
        server.stop()


def test_a_server_that_was_never_started_can_be_stopped() -> None:
    HttpServer(ANY_PORT, FakeWorker(), registry(FakeWorker(), MetricsSettings(), "1")).stop()


def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with (
        serving(FakeWorker()) as first,
        pytest.raises(
            HttpServerError, match=rf"^http\.port {first.port} on 127\.0\.0\.1 is taken: set another one, or 0"
        ),
        serving(FakeWorker(), HttpSettings(port=first.port)),
    ):
        pass


def test_a_host_that_is_none_is_named() -> None:
    with (
        pytest.raises(HttpServerError, match=r"^cannot listen on http\.host no such host, http\.port 0: "),
        serving(FakeWorker(), HttpSettings(host="no such host", port=0)),
    ):
        pass
