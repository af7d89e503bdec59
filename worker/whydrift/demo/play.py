"""One performance of the demo: learn, watch, break, mend, compare.

Belongs here: what happens in which order, and how long it may take. Not here: the command and its exit codes (`command`), any
part itself.
"""

import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, closing
from itertools import takewhile

from rich.console import Console

from whydrift.core.profile import Profile, read_profile
from whydrift.core.profiler import Profiler
from whydrift.core.records import Record
from whydrift.core.settings import DAY_MS, MINUTE_MS, Settings
from whydrift.demo.diagnoses import DiagnosisReader
from whydrift.demo.feed import Feed
from whydrift.demo.laboratory import Laboratory, ModelFile
from whydrift.demo.scenario import CLOSES_MS, DAY, OPENS_MS
from whydrift.demo.screen import Picture, Screen, news, screen, steps
from whydrift.demo.stage import Stage, stage
from whydrift.demo.traffic import MODEL_ID, Traffic
from whydrift.demo.verdict import Account, judge, remarks, table
from whydrift.demo.watch import Watch, WorkerEndedError, watching
from whydrift.shell.clients import KafkaClientError, KafkaSetupError
from whydrift.shell.http_server import HttpServerError
from whydrift.shell.local_kafka import LocalKafkaError

FAILURES = (KafkaClientError, KafkaSetupError, LocalKafkaError, HttpServerError, WorkerEndedError)
"""What a performance may fail with; each says why."""

SEED = 1
DAY_TAKES_S = 30.0
LEARN_MS = 120 * MINUTE_MS
"""Of the day before, to learn health from: some 4,000 predictions."""
READY_S = 20.0
"""A worker that its group has not given its partition by then will not get it."""
STANDSTILL_S = 30.0
"""A worker that has processed nothing for so long will not go on (traffic never pauses so long). A slow one is waited for."""
_TURN_S = 0.1
_SPEED_OVER_S = 2.0


def play(console: Console, bootstrap: str | None, kafka: bool, day_takes_s: float = DAY_TAKES_S) -> bool:
    """Whether every fault was named; what is said does not depend on the pace. Raises one of FAILURES."""
    if kafka:
        console.print("Starting Apache Kafka; the first time it is fetched, which takes a while ...")
    with stage(bootstrap, kafka) as scene:
        scene.create_topics()
        console.print(f"Events and diagnoses go through {scene.place}.")
        traffic = _train(console)
        profiles = _learn(console, traffic)
        return Performance(console, scene, traffic, day_takes_s).run(profiles)


def _train(console: Console) -> Traffic:
    laboratory = Laboratory(SEED)
    console.print(
        "A model learns to estimate LDL cholesterol from half of scikit-learn's diabetes patients; "
        f"on the other half it explains {laboratory.score(ModelFile.RELEASE):.0%} of the variance."
    )
    return Traffic(laboratory, SEED)


def _learn(console: Console, traffic: Traffic) -> Mapping[str, Profile]:
    """What `whydrift profile` does with a file of healthy events."""
    until_ms = OPENS_MS - DAY_MS + LEARN_MS
    events = takewhile(lambda event: event.time_ms < until_ms, traffic.day_before())
    profiler = Profiler(Settings())
    profiler.add([Record("day-before", 0, offset, event.value) for offset, event in enumerate(events)])
    content = profiler.finish()
    console.print(
        f"whydrift learns what health is from {profiler.models[MODEL_ID]:,} predictions of the day before; "
        f"that reference takes {len(content):,} bytes."
    )
    return read_profile(content)


class Performance:
    """The day, once."""

    def __init__(self, console: Console, scene: Stage, traffic: Traffic, day_takes_s: float) -> None:
        self._console = console
        self._scene = scene
        self._traffic = traffic
        self._day_takes_s = day_takes_s
        self._account = Account()
        self._speeds: deque[tuple[float, int]] = deque()
        self._steps = deque(steps(DAY))

    def run(self, profiles: Mapping[str, Profile]) -> bool:
        """Whether every fault was named. Raises one of FAILURES."""
        speed = (CLOSES_MS - OPENS_MS) / 1000 / self._day_takes_s
        with ExitStack() as stack:
            feed = Feed(self._scene, self._traffic.today(DAY), OPENS_MS, speed)
            self._feed = stack.enter_context(closing(feed))
            self._reader = stack.enter_context(closing(DiagnosisReader(self._scene)))
            self._watch: Watch = stack.enter_context(watching(self._scene, Settings(), profiles))
            self._console.print(f"Metrics are served at {self._watch.metrics_url}.")
            self._await_ready()
            self._console.print("One day of the laboratory passes:\n")
            shown = stack.enter_context(screen(self._console))
            taken_s = self._pass_day(shown)
        return self._tell(taken_s)

    def _await_ready(self) -> None:
        deadline_s = time.monotonic() + READY_S
        while not self._watch.worker.status().ready:
            self._watch.check()
            self._listen(None)
            if time.monotonic() > deadline_s:
                raise WorkerEndedError(f"the group gave the worker no partition within {READY_S:.0f} s")

    def _pass_day(self, shown: Screen) -> float:
        """Until everything is sent, processed and told. Returns how many seconds that took."""
        begun_s = moved_s = time.monotonic()
        processed = 0
        while not self._is_over() and time.monotonic() < moved_s + STANDSTILL_S:
            turn_s = time.monotonic()
            self._watch.check()
            if (records := self._watch.worker.status().records) != processed:
                moved_s, processed = turn_s, records
            self._feed.send_due(turn_s - begun_s)
            self._take_steps(shown)
            self._listen(shown)
            shown.show(self._picture())
            time.sleep(max(0.0, turn_s + _TURN_S - time.monotonic()))
        return time.monotonic() - begun_s

    def _is_over(self) -> bool:
        """The worker has published what it makes of all that was sent, and we have read it."""
        status = self._watch.worker.status()
        return self._feed.done and status.records >= self._feed.sent and self._reader.read >= status.diagnoses

    def _take_steps(self, shown: Screen) -> None:
        while self._steps and (self._steps[0].time_ms or 0) <= self._feed.now_ms:
            shown.say(self._steps.popleft())

    def _listen(self, shown: Screen | None) -> None:
        for diagnosis in self._reader.poll():
            self._account.add(diagnosis)
            if shown is not None:
                shown.say(news(diagnosis))

    def _picture(self) -> Picture:
        worker, now_ms = self._watch.worker, self._feed.now_ms
        return Picture(
            event_time_ms=now_ms,
            day_fraction=(now_ms - OPENS_MS) / (CLOSES_MS - OPENS_MS),
            events=worker.status().records,
            events_per_s=self._events_per_s(worker.status().records),
            labels_joined=sum(model.labels_joined for part in worker.pipelines_status() for model in part.models),
            broken=tuple(breakage.what for breakage in DAY if breakage.is_on(now_ms)),
            open_incidents=tuple(self._account.open),
            metrics_url=self._watch.metrics_url,
        )

    def _events_per_s(self, records: int) -> float:
        """Over the last seconds."""
        now_s = time.monotonic()
        self._speeds.append((now_s, records))
        while self._speeds[0][0] < now_s - _SPEED_OVER_S:
            self._speeds.popleft()
        since_s, before = self._speeds[0]
        return (records - before) / (now_s - since_s) if now_s > since_s else 0.0

    def _tell(self, taken_s: float) -> bool:
        worker, verdict = self._watch.worker.status(), judge(DAY, self._account)
        self._console.print("", table(verdict, self._feed.predictions_between), "")
        for remark in remarks(verdict):
            self._console.print(remark, style="yellow")
        if worker.records < self._feed.sent:
            behind = self._feed.sent - worker.records
            self._console.print(
                f"the worker stood still for {STANDSTILL_S:.0f} s: {behind:,} events were not processed", style="red"
            )
        self._console.print(
            f"{worker.records:,} events in {taken_s:.0f} s ({worker.records / taken_s:,.0f} events/s, paced), "
            f"{worker.diagnoses} diagnoses published, {worker.rejected} records rejected"
        )
        return verdict.all_named
