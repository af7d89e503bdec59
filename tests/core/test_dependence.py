"""What is left of an input given the others: how it hangs together in time, what it is from row to row, and that it is kept.

Belongs here: `DependenceWatch` on rows. Not here: which input is to blame (`test_faults_inputs`, `tests/conformance`).
"""

from copy import deepcopy

import numpy as np

from whydrift.core.columns import Column, Floats, Kind, Rows
from whydrift.core.dependence import DependenceWatch
from whydrift.core.inputs import BinnedRows
from whydrift.core.learning import MonitorProfile
from whydrift.core.monitor import Monitor
from whydrift.core.reference import ColumnReference
from whydrift.core.settings import Settings
from whydrift.core.signals import Aspect

HOUR_MS = 3_600_000
START_MS = 1_767_571_200_000
NAMES = ("indoors", "outdoors")
SETTINGS = Settings(first_stage_events=100_000, baseline_events=100_000)
LEARNT = 4_000


def temperatures(rows: int, seed: int = 3) -> Floats:
    """Indoors follows outdoors, but for what people do, which lasts for half a day: (rows, 2)."""
    draw = np.random.default_rng(seed)
    outdoors, people = np.zeros(rows), np.zeros(rows)
    for i in range(1, rows):
        outdoors[i] = 0.98 * outdoors[i - 1] + 0.2 * draw.normal()
        people[i] = 0.9 * people[i - 1] + 0.2 * draw.normal()
    return np.stack([outdoors + people, outdoors], axis=1)


def rows_of(values: Floats, first: int = 0) -> Rows:
    places = first + np.arange(len(values))
    return Rows(values.copy(), np.zeros(values.shape, np.int8), START_MS + HOUR_MS * places, places)


def learnt(values: Floats) -> tuple[Monitor, MonitorProfile]:
    """Inputs as a worker has them from a file, and what the file says of how they go together."""
    columns = [Column(NAMES[place] if place < 2 else f"more {place}", Kind.NUMERIC) for place in range(values.shape[1])]
    profiled = Monitor(SETTINGS, columns, keeps_bins=True)
    watch = DependenceWatch(SETTINGS, profiled)
    profiled.update(rows_of(values))
    profiled.learn_now()
    profile = watch.profile(keep_sample=True)
    inputs = Monitor(SETTINGS, columns, keeps_bins=True)
    inputs.install(profiled.profile(keep_sample=True))
    return inputs, profile


def watched(values: Floats) -> tuple[Monitor, DependenceWatch]:
    inputs, profile = learnt(values)
    watch = DependenceWatch(SETTINGS, inputs)
    watch.install(profile)
    return inputs, watch


def feed(inputs: Monitor, watch: DependenceWatch, values: Floats, first: int) -> int | None:
    """Rows until the first alarm about how the inputs go together; None where there is none."""
    for place in range(0, len(values), 20):
        rows = rows_of(values[place : place + 20], first + place)
        bins = inputs.update(rows)
        watch.update(BinnedRows(rows, bins, inputs.binning, np.arange(len(rows))))
        if watch.monitor.alarms:
            return place + 20
    return None


def reference(watch: DependenceWatch, name: str) -> ColumnReference:
    found = {one.name: one for one in watch.monitor.references if one is not None}
    return found[f"dependence.{name}"]


def test_how_residuals_hang_together_is_learnt_from_neighbours_not_from_a_sample_of_rows_far_apart() -> None:
    inputs, watch = watched(temperatures(LEARNT))
    assert len(inputs.sample) == 500
    found = reference(watch, "indoors")
    assert found.n == LEARNT
    assert 10 <= found.times["centre"] <= 60  # (1 + .9) / (1 − .9) = 19
    assert Aspect.STEP in found.given


def test_what_goes_with_the_others_from_row_to_row_is_quiet_and_noise_on_it_is_found_at_once() -> None:
    values = temperatures(LEARNT + 3_000)
    inputs, watch = watched(values[:LEARNT])
    live = values[LEARNT:]
    assert feed(inputs, watch, live[:2_000], LEARNT) is None
    live[2_000:, 0] += np.random.default_rng(4).normal(0, 0.5, 1_000)
    found = feed(inputs, watch, live[2_000:], LEARNT + 2_000)
    assert found is not None
    assert found <= 100
    assert "dependence.indoors.step" in watch.monitor.alarms


def test_a_watch_restores_with_the_steps_of_its_residuals() -> None:
    inputs, watch = watched(temperatures(LEARNT))
    learnt_of = watch.monitor.snapshot_references()
    again = DependenceWatch.restore(SETTINGS, inputs, watch.snapshot(), learnt_of)
    assert set(again.monitor.levels()) == set(watch.monitor.levels())
    assert "dependence.indoors.step" in again.monitor.levels()


LEARNING = Settings(first_stage_events=200, baseline_events=2_000)


def learning_anew(live: Floats) -> tuple[Monitor, DependenceWatch]:
    """As `watched`, and outdoors is being learnt anew since `live`, of which a first stage is learnt."""
    inputs, profile = learnt(temperatures(LEARNT))
    again = Monitor(LEARNING, inputs.columns, keeps_bins=True)
    again.install(inputs.profile(keep_sample=True))
    watch = DependenceWatch(LEARNING, again)
    watch.install(profile)
    feed(again, watch, live[:100], LEARNT)
    again.relearn({"outdoors"})
    assert feed(again, watch, live[100:700], LEARNT + 100) is None
    assert again.is_collecting
    return again, watch


def test_an_input_that_is_learnt_anew_must_still_go_with_the_others() -> None:
    live = temperatures(LEARNT + 1_500)[LEARNT:]
    inputs, watch = learning_anew(live)
    learnt_rows = inputs.baseline_seen
    live[700:, 1] += 1.5
    found = feed(inputs, watch, live[700:], LEARNT + 700)
    assert found is not None
    assert found <= 100
    assert inputs.is_collecting
    # What is off is not taken for health, nor are the rows that come while it lasts.
    assert inputs.baseline_seen <= learnt_rows + 20
    seen = inputs.baseline_seen
    feed(inputs, watch, live[900:1_000], LEARNT + 900)
    assert inputs.baseline_seen == seen


def test_while_an_input_is_learnt_anew_a_restart_changes_nothing() -> None:
    live = temperatures(LEARNT + 1_500)[LEARNT:]
    live[900:, 1] += 0.6
    inputs, watch = learning_anew(live)
    monitors = inputs, watch.monitor
    known_of, learnt_of = (deepcopy(monitor.snapshot_references()) for monitor in monitors)
    known = Monitor.restore(LEARNING, (), deepcopy(inputs.snapshot()), known_of, keeps_bins=True)
    again = DependenceWatch.restore(LEARNING, known, deepcopy(watch.snapshot()), learnt_of)
    found = [feed(*both, live[700:].copy(), LEARNT + 700) for both in ((inputs, watch), (known, again))]
    assert found[0] is not None
    assert found[0] == found[1]
    assert watch.monitor.levels() == again.monitor.levels()
    assert list(watch.snapshot()) == list(again.snapshot())


def test_a_file_from_before_this_was_in_it_is_learnt_from_by_its_sample() -> None:
    values = temperatures(LEARNT + 100)
    inputs, _ = learnt(values[:LEARNT])
    watch = DependenceWatch(SETTINGS, inputs)
    watch.install(MonitorProfile((), {}, Rows.concat([], 0)))
    feed(inputs, watch, values[LEARNT:], LEARNT)
    assert reference(watch, "indoors").n == 500


def test_of_many_inputs_that_depend_on_each_other_few_healthy_rows_are_beyond_health() -> None:
    """Answers to those that are, are not looked at, while the reference has them: of baseball players it was one in ten."""
    draw = np.random.default_rng(8)
    size = draw.exponential(1.0, (6_000, 1))
    values = size * (1 + 0.3 * draw.normal(size=(6_000, 12)))
    inputs, watch = watched(values[:LEARNT])
    odd = []
    for place in range(LEARNT, 6_000, 20):
        rows = rows_of(values[place : place + 20], place)
        odd.append(watch.update(BinnedRows(rows, inputs.update(rows), inputs.binning, np.arange(20))))
    assert 0 < np.concatenate(odd).mean() < 0.06
