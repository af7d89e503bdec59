"""What is drawn of an incident: the guilty feature, evidence and loss around the onset, slices; also once it is over."""

import msgspec
import pytest
from tests.pages.fleet import ONSET, partition, thousandth

from whydrift.core.graphs import BINS, IncidentGraphs
from whydrift.core.incidents import MAX_OVER
from whydrift.core.status import ModelStatus
from whydrift_schemas import Diagnosis

from .small_world import Event, Feed, at_ms, events


def status_of(model_id: str) -> ModelStatus:
    (found,) = [one for one in partition().models if one.model_id == model_id]
    return found


def drawn(model_id: str) -> tuple[Diagnosis, IncidentGraphs]:
    status = status_of(model_id)
    said = status.incidents[0].diagnosis
    return said, status.graphs[said.incident_id]


def test_the_guilty_feature_comes_first_on_an_axis_that_shows_both_sides() -> None:
    _, graphs = drawn("risk")
    spread = graphs.spreads[0]
    assert (spread.name, spread.role, spread.scale, len(spread.reference)) == ("income", "input", "log", BINS)
    assert sum(spread.reference) == pytest.approx(1, abs=0.01)
    assert sum(spread.current) == pytest.approx(1, abs=0.01)
    middle = BINS // 2
    assert sum(spread.reference[middle:]) > 0.98
    assert sum(spread.current[:middle]) > 0.98
    assert graphs.spreads[1].name == "prediction"


def test_missing_values_are_counted_on_both_sides() -> None:
    _, graphs = drawn("churn")
    spread = graphs.spreads[0]
    assert spread.name == "age"
    assert spread.missing_reference == 0
    assert spread.missing_current == pytest.approx(1 / 3, abs=0.05)


def test_categories_that_came_and_went_are_named() -> None:
    (hostile,) = [one for one in partition().models if "<script>" in one.model_id]
    spread = hostile.graphs[hostile.incidents[0].diagnosis.incident_id].spreads[0]
    shares = dict(zip(spread.labels, zip(spread.reference, spread.current, strict=True), strict=True))
    assert set(shares) == {"eu", "us", "apac", "<b>eu</b>", "<b>us</b>", "<b>apac</b>"}
    assert shares["eu"][0] == pytest.approx(0.5, abs=0.06)
    assert shares["<b>eu</b>"][1] == pytest.approx(0.5, abs=0.1)


def test_evidence_is_below_its_threshold_before_the_onset_and_above_it_at_the_end() -> None:
    said, graphs = drawn("risk")
    curve = graphs.curves[0]
    before = [level for at, level in curve.points if at < said.onset_at - 20_000]
    assert len(before) >= 6
    assert max(before) < curve.threshold < curve.points[-1][1]


def test_the_loss_is_shown_before_and_after() -> None:
    said, graphs = drawn("half")
    loss = graphs.loss
    assert loss is not None
    assert loss.reference is not None
    before = [value for at, value in loss.points if at < said.onset_at]
    since = [value for at, value in loss.points if at >= said.onset_at]
    assert sum(before) / len(before) == pytest.approx(loss.reference, abs=0.05)
    assert sum(since) / len(since) > loss.reference + 0.1


def test_the_slice_that_carries_the_fault_stands_out() -> None:
    _, graphs = drawn("half")
    assert {one.dimension for one in graphs.slices} == {"segment.country"}
    change = {one.value: (one.mean_current or 0) - (one.mean_reference or 0) for one in graphs.slices}
    assert max(change, key=lambda value: change[value]) == "fr"
    assert change["fr"] > 5 * max(change["de"], change["us"])


def test_what_was_drawn_stays_when_the_incident_is_over_and_spans_its_end() -> None:
    status = status_of("was-ill")
    (said,) = status.resolved
    assert said.resolved_at is not None
    points = status.graphs[said.incident_id].curves[0].points
    assert points[0][0] < at_ms(ONSET) < at_ms(2_000) <= points[-1][0] <= said.resolved_at
    assert status.graphs[said.incident_id].spreads[0].scale == "log"


def test_a_restart_changes_nothing_that_is_drawn() -> None:
    feed = Feed()
    feed(events(0, 1_650, inputs=thousandth(2_000)))
    again = feed.copy()
    for one in (feed, again):
        one(events(1_650, 3_500, inputs=thousandth(2_000)))
    assert feed.pipeline.status() == again.pipeline.status()
    assert feed.pipeline.snapshot() == again.pipeline.snapshot()
    assert feed.pipeline.status().models[0].resolved


def test_only_so_many_incidents_that_are_over_are_kept() -> None:
    def on_and_off(features: Event, i: int) -> None:
        if i >= ONSET and (i - ONSET) % 2_000 < 300:
            features["income"] = round(features["income"] / 1_000, 5)

    feed = Feed()
    feed(events(0, ONSET + 2_000 * (MAX_OVER + 2), inputs=on_and_off, has_labels=False))
    (model,) = feed.pipeline.status().models
    assert len(model.resolved) == MAX_OVER
    assert set(model.graphs) == {one.incident_id for one in model.resolved}
    assert len(msgspec.msgpack.encode(model.graphs)) < 20_000 * MAX_OVER
