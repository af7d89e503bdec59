"""Incidents of one model: many alarms, one incident; opened, updated, resolved.

    alarm ──► settle ──► judged ──► opened ──► judged again, ever more rarely ──► its own alarms recovered ──► resolved
                           │                     │ (ranking or severity changed: updated)
                           └── a finding that shares its own signals with an open incident belongs to that one

An alarm is judged once enough rows follow its onset, so that the first word is the right one. A signal belongs to one incident at
most: the one whose finding accounts for it. An incident is over when the alarms that identify it are; those that follow from it
(labels of that time still come, and are bad) are its aftermath, and no news. It is judged again only while what identifies it
lasts, or healthy rows would spoil the judgement. Snoozed incidents live on unpublished; what is still true when the snooze ends
is said then.

Belongs here: their life. Not here: what broke (`diagnose`), when a signal's alarm ends (`monitor`), what commands do to
references (`commands`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Protocol

from whydrift.core.case import FOLLOWERS, OUTCOMES
from whydrift.core.dependence import PREFIX as DEPENDENCE
from whydrift.core.diagnose import MAX_SUMMARY, Finding, summary
from whydrift.core.faults import unknown
from whydrift.core.fleet import Fleet, with_others
from whydrift.core.graphs import NO_GRAPHS, IncidentGraphs
from whydrift.core.replicas import is_of_replica
from whydrift.core.settings import MINUTE_MS, Settings
from whydrift.core.signals import Aspect
from whydrift.core.status import OpenIncident
from whydrift_schemas import Cause, Detected, Diagnosis, Fault, Severity, Status, encode
from whydrift_schemas.names import Family

SETTLE_ROWS = 60
"""Rows since the onset that are enough to judge by …"""
SETTLE_CHUNKS = 2
"""… or so many chunks since the alarm, where rows come slowly …"""
SETTLE_JUMP_ROWS = 40
"""… but so many rows at least of what jumps from row to row, or goes with the others otherwise: by fewer few rules can tell."""
SETTLE_RATE_MS = 2 * MINUTE_MS
"""… or so long since the alarm where only rates speak: of a stop no rows follow …"""
SETTLE_LABEL_CHUNKS = 4
"""… and so many chunks since the alarm where only outcomes speak: a few of them that moved have many stories."""
_CLEAR, _PATIENT_CHUNKS = 0.7, 4
"""A first word that is less probable, or `unknown`, waits for more rows, until so many chunks since the alarm."""
AFTERMATH_MS = 60 * MINUTE_MS
"""What follows from an incident may seem to begin so long before it, and goes on for so long, and as long as the incident
lasted, and as labels take, after its end."""
_RATES = frozenset(("arrivals", "label_arrivals"))
"""How many events come: neither answers nor what comes true follow from it."""
_VAGUE = frozenset((Family.DATA_DRIFT, Family.UNKNOWN))
"""What the world does, or nobody knows: it is no reason for what begins later on the same inputs."""
_CLEAR_BESIDE = 0.5
"""Probability from which what answers come from is told beside that."""
_MAX_ENDED = 8
_LAST_REVIEW_ROWS = 5_000
"""An incident is judged again when it is twice as old in rows as the last time, up to this age."""
_SEVERITIES = list(Severity)
_MAX_OTHERS = 50
MAX_OVER = 5
"""Incidents that are over and still shown, the latest."""
_RANKED = 0.1
"""A cause less probable than this does not count as part of the ranking."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Where the stream is: stream time, the record being taken, chunks (of predictions, of labels) and rows of the model so far,
    versions in use.
    """

    stream_ms: int
    partition: int
    offset: int
    chunks: int
    label_chunks: int
    rows: int
    versions: tuple[str, ...]
    label_delay_ms: int
    """The longest that a label has taken so far."""


@dataclass(slots=True)
class Incident:
    """One thing that broke. `signals`: its alarms that still last, of which `own` identify it; the others follow from it.

    diagnosis: what is, or would be, published last.
    said: (ranking, severity) as published, None before the first time; `said_ms` when.
    """

    incident_id: str
    signals: set[str]
    own: set[str]
    diagnosis: Diagnosis
    opened_rows: int
    next_review_rows: int
    onset_ms: int
    said: tuple[tuple[str, ...], str] | None = None
    said_ms: int = 0
    opened_as: Fault | None = None
    """The leading fault when it was first published."""
    worst: Severity = Severity.INFO
    """The greatest severity it was published with."""
    is_over: bool = False
    others: tuple[str, ...] = ()
    """Models in which the like began at the same time, as last seen."""
    graphs: IncidentGraphs = NO_GRAPHS
    """What is drawn of it, as it was when it was judged last."""
    is_apart: bool = False
    """Whether it was seen beside a broken input, in rows that this had not touched: it does not follow from that."""

    @property
    def is_published(self) -> bool:
        return self.said is not None and not self.is_over

    @property
    def fault(self) -> str:
        return self.diagnosis.causes[0].fault.value

    @property
    def meaning(self) -> tuple[tuple[str, ...], str]:
        """What an update is about: the ranking of causes, with inputs and slice, the severity, and whether it is alone."""
        ranking = tuple(
            f"{cause.fault.value} {' '.join(sorted(cause.features))}{_slice_of(cause)}"
            for cause in self.diagnosis.causes
            if cause.probability >= _RANKED
        )
        return (*ranking, *(("others",) if self.others else ())), self.diagnosis.severity.value


class Scene(Protocol):
    """What incidents ask about alarms, by the names that alarms have here."""

    def rows_since(self, names: Sequence[str]) -> int:
        """Rows since the onset of the first of them."""
        ...

    def lasts(self, names: Sequence[str]) -> bool:
        """Whether the change that raised any of them is in the latest rows, too."""
        ...

    def judge(self, names: Sequence[str], told: Collection[str] = ()) -> Sequence[Finding]:
        """What these alarms come from, as if those told before were not there."""
        ...


@dataclass(frozen=True, slots=True)
class Ended:
    """An incident that is over: what follows from it, and began within its time, is no news until `until_ms`.

    signals: what followed from it and had not recovered when it ended. has_followers: whether anything else may follow from it.
    """

    onset_ms: int
    ended_ms: int
    until_ms: int
    signals: frozenset[str] = frozenset()
    has_followers: bool = True


@dataclass(frozen=True, slots=True)
class Over:
    """An incident that is over, as it was said and drawn last."""

    diagnosis: Diagnosis
    graphs: IncidentGraphs


@dataclass(slots=True)
class Incidents:
    """All incidents of a model that are not over, oldest first, and what was opened so far by fault."""

    settings: Settings
    model_id: str
    open: dict[str, Incident] = field(default_factory=dict)
    opened: dict[str, int] = field(default_factory=dict)
    number: int = 0
    waiting_since: tuple[int, int, int] | None = None
    """Chunks of predictions and of labels, and stream time, when an alarm began to wait to be judged."""
    doubted: tuple[int, frozenset[str]] | None = None
    """Chunks that alarms had waited when they left too much doubt to be said, and which ones: once a chunk is enough."""
    ended: list[Ended] = field(default_factory=list)
    snoozes: dict[str, int] = field(default_factory=dict)
    """Until when nothing is said, by incident id or signal; "" stands for the whole model."""
    over: list[Over] = field(default_factory=list)
    """The latest that are over, for people to look back at."""
    fleet: Fleet = field(default_factory=Fleet)
    redraw: Callable[[Incident], IncidentGraphs] = lambda incident: incident.graphs
    """The graphs of an incident as they are now."""

    def join_fleet(self, fleet: Fleet) -> None:
        """See, and be seen by, the other models of the partition."""
        self.fleet = fleet
        fleet.members[self.model_id] = self.open

    # -- the life of incidents --------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether there is something to look after even without any alarm."""
        return bool(self.open or self.snoozes)

    def review(self, alarms: Mapping[str, int], now: Moment, scene: Scene) -> list[Diagnosis]:
        """After a chunk: `alarms` that last now, with their onsets. Returns what is to be published."""
        self.ended = [one for one in self.ended if one.until_ms > now.stream_ms]
        for incident in self.open.values():
            incident.signals &= alarms.keys()
            if not incident.signals & incident.own and not incident.is_over:
                self._end(incident, now)
        self._judge_new(self._unassigned(alarms), now, scene)
        self._judge_again(alarms, now, scene)
        return self.publish(now)

    def _end(self, incident: Incident, now: Moment) -> None:
        self._close(incident, now, "")
        span_ms = now.stream_ms - incident.onset_ms
        until_ms = now.stream_ms + span_ms + AFTERMATH_MS + now.label_delay_ms
        left = frozenset(incident.signals)
        has_followers = not _RATES.issuperset(map(plain, incident.own))
        ended = Ended(incident.onset_ms - AFTERMATH_MS, now.stream_ms, until_ms, left, has_followers)
        self.ended = [*self.ended, ended][-_MAX_ENDED:]

    def _unassigned(self, alarms: Mapping[str, int]) -> dict[str, int]:
        """Alarms that belong to no incident, neither open nor over."""
        taken = {name for incident in self.open.values() for name in incident.signals if not incident.is_over}
        return {
            name: onset_ms
            for name, onset_ms in alarms.items()
            if name not in taken and not self._is_aftermath(name, onset_ms)
        }

    def _is_aftermath(self, name: str, onset_ms: int) -> bool:
        follows = follows_others(plain(name))
        is_slow = is_of_replica(plain(name))  # more load may make it so
        ended = [one for one in self.ended if one.onset_ms <= onset_ms <= one.ended_ms]
        return any((follows and (one.has_followers or is_slow)) or name in one.signals for one in ended)

    def _judge_new(self, alarms: dict[str, int], now: Moment, scene: Scene) -> None:
        if not alarms:
            self.waiting_since = self.doubted = None
            return
        if self.waiting_since is None:
            self.waiting_since = now.chunks, now.label_chunks, now.stream_ms
        waited = self._waited(alarms, self.waiting_since, now)
        waited_ms = now.stream_ms - self.waiting_since[2]
        is_settled = self._is_settled(alarms, waited, waited_ms, scene.rows_since(list(alarms)))
        if not is_settled or self.doubted == (waited, frozenset(alarms)):
            return
        findings = self._beside_what_was_told(alarms, scene) or scene.judge(list(alarms))
        if waited < _PATIENT_CHUNKS and not all(_is_clear(one) for one in findings):
            self.doubted = waited, frozenset(alarms)
            return
        self.waiting_since = self.doubted = None
        # Alarms of several model versions are judged one version at a time.
        while True:
            before = len(alarms)
            self._apply(findings, alarms, now, scene)
            alarms = self._unassigned(alarms)
            if not alarms or len(alarms) == before:
                return
            findings = scene.judge(list(alarms))

    def _beside_what_was_told(self, alarms: Mapping[str, int], scene: Scene) -> Sequence[Finding]:
        """What answers, losses and outcomes come from by themselves, where they began after something vague was told of inputs.

        () where they do not have a name of their own: then they may follow from that.
        """
        if not all(follows_others(plain(name)) for name in alarms):
            return ()
        began_ms = min(alarms.values())
        vague = [
            one
            for one in self.open.values()
            if _is_vague(one) and one.diagnosis.detected_at < began_ms and not _is_about_answers(one)
        ]
        told = frozenset().union(*(one.signals for one in vague)) - alarms.keys()
        findings = scene.judge(list(alarms), told) if told else ()
        names = [one.causes[0] for one in findings]
        is_named = all(one.family not in _VAGUE and one.probability >= _CLEAR_BESIDE for one in names)
        return findings if is_named else ()

    def _waited(self, alarms: Iterable[str], since: tuple[int, int, int], now: Moment) -> int:
        """Chunks: of predictions, or of labels where only these speak, which may come when predictions do not."""
        waited = now.chunks - since[0]
        return max(waited, now.label_chunks - since[1]) if _are_outcomes(alarms) else waited

    def _is_settled(self, alarms: Iterable[str], chunks: int, waited_ms: int, rows: int) -> bool:
        """Whether there is enough to judge these alarms by, so many chunks and so long after them, and rows since their onset."""
        names = [plain(name) for name in alarms]
        if _RATES.issuperset(names) and waited_ms >= SETTLE_RATE_MS:
            return True
        if _are_outcomes(alarms) and chunks < SETTLE_LABEL_CHUNKS:
            return False
        is_relative = any(name.endswith(f".{Aspect.STEP}") or name.startswith(DEPENDENCE) for name in names)
        return rows >= SETTLE_ROWS or (chunks >= SETTLE_CHUNKS and (not is_relative or rows >= SETTLE_JUMP_ROWS))

    def _judge_again(self, alarms: Mapping[str, int], now: Moment, scene: Scene) -> None:
        for incident in list(self.open.values()):
            if incident.is_over or now.rows < incident.next_review_rows:
                continue
            age = now.rows - incident.opened_rows
            incident.next_review_rows = now.rows + max(age, SETTLE_ROWS)
            self._look_around(incident)
            # A finding may be about evidence that no alarm of the moment stands for: delays that have grown, but are not late.
            own = sorted(incident.own & incident.signals & alarms.keys())
            if age < _LAST_REVIEW_ROWS and scene.lasts(own):
                self._apply([one for one in scene.judge(own) if self._concerns(one, incident)], {}, now, scene)

    def _concerns(self, finding: Finding, incident: Incident) -> bool:
        """Whether what was found in the rows since this incident is about it, or about nothing that is open.

        Of the others their own rows tell more.
        """
        return bool(finding.own_signals & incident.own) or self._match(finding, set()) in (None, incident)

    def _look_around(self, incident: Incident) -> None:
        """Who coincided once is not forgotten when its incident ends sooner."""
        seen = self.fleet.coinciding(self.model_id, incident)
        incident.others = tuple(sorted({*incident.others, *seen})[:_MAX_OTHERS])

    def _apply(self, findings: Sequence[Finding], new: Mapping[str, int], now: Moment, scene: Scene) -> None:
        """Give each finding to the incident it is about, or open one for it where it is about new alarms."""
        spoken_for: set[str] = set()
        for finding in findings:
            incident = self._match(finding, spoken_for)
            if incident is not None and new and self._waits_for_review(incident, finding, new, now, scene):
                spoken_for.add(incident.incident_id)
                continue
            is_new = finding.is_apart or 2 * len(finding.own_signals & new.keys()) >= len(finding.own_signals)
            if incident is None and not is_new:
                # Most of what it is about belongs to incidents that say something else, and more strongly: so does the rest.
                self._join(finding, new)
                continue
            if incident is None:
                incident = self._open(finding, now)
            else:
                self._renew(incident, finding, now)
            spoken_for.add(incident.incident_id)
            self._assign(incident, finding, now)

    def _waits_for_review(
        self, incident: Incident, finding: Finding, new: Mapping[str, int], now: Moment, scene: Scene
    ) -> bool:
        """Whether a finding without own alarms among the new ones is about an incident that is judged again by itself.

        The rows since the new alarms tell less of it than its own. Those that follow from it are given to it at once.
        """
        own = sorted(incident.own & incident.signals)
        is_old = now.rows - incident.opened_rows >= _LAST_REVIEW_ROWS
        if finding.own_signals & new.keys() or is_old or not own or not scene.lasts(own):
            return False
        if followers := finding.signals & new.keys():
            incident.signals |= followers
            incident.next_review_rows = now.rows
        return True

    def _join(self, finding: Finding, new: Mapping[str, int]) -> None:
        """Give the new alarms of a finding to the incident that holds most of what it is about."""
        holders = [incident for incident in self.open.values() if not incident.is_over]
        host = max(holders, key=lambda incident: len(finding.own_signals & incident.signals), default=None)
        if host is not None and finding.own_signals & host.signals:
            host.signals |= finding.signals & new.keys()

    def _match(self, finding: Finding, spoken_for: set[str]) -> Incident | None:
        """The open incident with which a finding shares most of its own signals, or all of whose alarms it explains.

        What was told before a finding began is something else, though that explains its alarms now, too: a drift that was open
        would else take a fault for itself.
        """
        best: tuple[int, Incident] | None = None
        for incident in self.open.values():
            if incident.is_over or incident.incident_id in spoken_for or _is_news_beside(incident, finding):
                continue
            shared = len(finding.own_signals & incident.signals)
            if not shared and incident.signals <= finding.signals and not _was_told_before(incident, finding):
                shared = 1
            if shared and (best is None or shared > best[0]):
                best = shared, incident
        return None if best is None else best[1]

    def _assign(self, incident: Incident, finding: Finding, now: Moment) -> None:
        others = [one for one in self.open.values() if one is not incident and not one.is_over]
        apart = {name for one in others if one.is_apart for name in one.own}
        incident.signals |= finding.signals - (apart - finding.own_signals)
        incident.own = set(finding.own_signals)
        incident.is_apart |= finding.is_apart
        for other in others:
            if other.signals & incident.signals:
                other.signals -= incident.signals
                if not other.signals & other.own:
                    self._close(other, now, f"part of incident {incident.incident_id}: {incident.diagnosis.summary}")

    def _open(self, finding: Finding, now: Moment) -> Incident:
        self.number += 1
        key = f"{self.model_id}\0{now.partition}\0{now.offset}\0{self.number}"
        incident_id = blake2b(key.encode(), digest_size=8).hexdigest()
        diagnosis = Diagnosis(
            incident_id=incident_id,
            sequence=0,
            status=Status.OPENED,
            model_id=self.model_id,
            model_versions=_versions(finding, now),
            severity=finding.severity,
            onset_at=finding.onset_ms,
            detected_at=now.stream_ms,
            detected=Detected(partition=now.partition, offset=now.offset),
            **_content(finding, finding.onset_ms),
        )
        incident = Incident(
            incident_id=incident_id,
            signals=set(),
            own=set(),
            diagnosis=diagnosis,
            opened_rows=now.rows,
            next_review_rows=now.rows + SETTLE_ROWS,
            onset_ms=finding.onset_ms,
            graphs=finding.graphs,
        )
        self.open[incident_id] = incident
        return incident

    def _renew(self, incident: Incident, finding: Finding, now: Moment) -> None:
        """The incident's onset stays what was first said, unless the finding reaches further back."""
        incident.onset_ms = min(incident.onset_ms, finding.onset_ms)
        content = _content(finding, incident.onset_ms)
        content |= {"severity": finding.severity, "onset_at": incident.onset_ms}
        content["model_versions"] = tuple(dict.fromkeys((*incident.diagnosis.model_versions, *_versions(finding, now))))
        incident.diagnosis = incident.diagnosis.model_copy(update=content)
        incident.graphs = finding.graphs

    def _close(self, incident: Incident, now: Moment, because: str) -> None:
        incident.is_over = True
        lasted = f"over after {_duration(now.stream_ms - incident.onset_ms)}"
        text = f"{because or lasted} · {incident.diagnosis.summary}"
        incident.diagnosis = incident.diagnosis.model_copy(update={"resolved_at": now.stream_ms, "summary": text[:400]})

    def close_signals(self, names: Iterable[str], now: Moment, because: str) -> list[Diagnosis]:
        """These alarms are settled by a person's word; incidents left without any are over."""
        for incident in self.open.values():
            incident.signals -= set(names)
            if not incident.signals & incident.own and not incident.is_over:
                self._close(incident, now, because)
        return self.publish(now)

    # -- what is said -------------------------------------------------------------------------------------------------

    def publish(self, now: Moment) -> list[Diagnosis]:
        """What is new since it was last said, as far as it may be said now."""
        said = []
        self.snoozes = {key: until_ms for key, until_ms in self.snoozes.items() if until_ms > now.stream_ms}
        for incident in list(self.open.values()):
            if self._is_snoozed(incident):
                continue
            status = self._news(incident, now.stream_ms)
            if status is not None:
                said.append(self._say(incident, status, now))
            if incident.is_over:
                self._put_away(incident)
        return said

    def _put_away(self, incident: Incident) -> None:
        del self.open[incident.incident_id]
        if incident.said is not None:
            last = with_others(incident.diagnosis, incident.others, MAX_SUMMARY)
            self.over = [*self.over, Over(last, self.redraw(incident))][-MAX_OVER:]

    def _news(self, incident: Incident, stream_ms: int) -> Status | None:
        if incident.said is None:
            return None if incident.is_over else Status.OPENED
        if incident.is_over:
            return Status.RESOLVED
        if incident.meaning == incident.said:
            return None
        rises = _SEVERITIES.index(incident.diagnosis.severity) > _SEVERITIES.index(Severity(incident.said[1]))
        is_due = stream_ms - incident.said_ms >= self.settings.update_interval_ms
        return Status.UPDATED if rises or is_due else None

    def _say(self, incident: Incident, status: Status, now: Moment) -> Diagnosis:
        if status is Status.OPENED:
            self._look_around(incident)
            self.opened[incident.fault] = self.opened.get(incident.fault, 0) + 1
            incident.opened_as = incident.diagnosis.causes[0].fault
        incident.worst = max(incident.worst, incident.diagnosis.severity, key=_SEVERITIES.index)
        incident.said, incident.said_ms = incident.meaning, now.stream_ms
        update = {"status": status, "sequence": incident.diagnosis.sequence + 1}
        incident.diagnosis = incident.diagnosis.model_copy(update=update)
        return with_others(incident.diagnosis, incident.others, MAX_SUMMARY)

    def published(self) -> tuple[OpenIncident, ...]:
        """The incidents that were published and are not over."""
        return tuple(
            OpenIncident(with_others(one.diagnosis, one.others, MAX_SUMMARY), one.opened_as, one.worst)
            for one in self.open.values()
            if one.is_published and one.opened_as is not None
        )

    def drawn(self) -> dict[str, IncidentGraphs]:
        """What is drawn now of each published incident, and was drawn of those over, by id."""
        found = {one.diagnosis.incident_id: one.graphs for one in self.over}
        return found | {one.incident_id: self.redraw(one) for one in self.open.values() if one.is_published}

    def snooze(self, keys: Sequence[str], until_ms: int) -> None:
        """Say nothing of these incidents or signals ("" = of the whole model) until then."""
        self.snoozes |= dict.fromkeys(keys, until_ms)

    def _is_snoozed(self, incident: Incident) -> bool:
        if not self.snoozes:
            return False
        # Who names one signal of a column, or another, means what happens to that column.
        columns = {column_of_signal(name) for name in self.snoozes}
        own = {column_of_signal(plain(name)) for name in incident.own & incident.signals}
        by_signal = bool(own) and own <= columns
        return "" in self.snoozes or incident.incident_id in self.snoozes or by_signal

    def due_ms(self) -> int | None:
        """Stream time at which something may have to be said though nothing happens; never before the last `publish`."""
        times = list(self.snoozes.values())
        times += [
            i.said_ms + self.settings.update_interval_ms
            for i in self.open.values()
            if i.said not in (None, i.meaning) and not self._is_snoozed(i)
        ]
        return min(times, default=None)

    # -- state ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        return {
            "open": [_incident_state(incident) for incident in self.open.values()],
            "opened": self.opened,
            "number": self.number,
            "waiting_since": self.waiting_since,
            "doubted": None if self.doubted is None else [self.doubted[0], sorted(self.doubted[1])],
            "ended": [
                [one.onset_ms, one.ended_ms, one.until_ms, sorted(one.signals), one.has_followers] for one in self.ended
            ],
            "snoozes": self.snoozes,
            "over": [[encode(one.diagnosis), one.graphs.snapshot()] for one in self.over],
        }

    @classmethod
    def restore(cls, settings: Settings, model_id: str, state: Mapping[str, Any]) -> "Incidents":
        found = [_incident_of(incident) for incident in state["open"]]
        return cls(
            settings,
            model_id,
            {incident.incident_id: incident for incident in found},
            dict(state["opened"]),
            state["number"],
            _waiting_since(state),
            _doubted(state),
            # From before it was asked what may follow, all may.
            [
                Ended(onset, end, until, frozenset(signals), *more)
                for onset, end, until, signals, *more in state["ended"]
            ],
            dict(state["snoozes"]),
            [Over(Diagnosis.model_validate_json(said), IncidentGraphs.restore(drawn)) for said, drawn in state["over"]],
        )


SCOPE = "\0"
"""Between a model version and the name of a signal that belongs to it."""


def _is_clear(finding: Finding) -> bool:
    """Whether it is probable enough to be said, or no more rows would make it so."""
    lead = finding.causes[0]
    return lead.fault != unknown.FAULT and (lead.probability >= _CLEAR or not finding.rows_decide)


def _are_outcomes(alarms: Iterable[str]) -> bool:
    """Whether only what came true speaks, whatever rates do besides."""
    names = set(map(plain, alarms)) - _RATES
    return bool(names) and all(column_of_signal(name) in OUTCOMES for name in names)


def scoped(version: str, signal: str) -> str:
    """The name under which a version's signal is kept apart from that of another version."""
    return f"{version}{SCOPE}{signal}"


def plain(name: str) -> str:
    """The signal's own name."""
    return name.rpartition(SCOPE)[2]


def _was_told_before(incident: Incident, finding: Finding) -> bool:
    return incident.said is not None and incident.diagnosis.detected_at < finding.onset_ms


def _is_news_beside(incident: Incident, finding: Finding) -> bool:
    """Whether an incident that named nothing broken was told before the finding began, which has another name, and new alarms."""
    new = finding.own_signals - incident.signals
    is_other = finding.causes[0].fault != incident.diagnosis.causes[0].fault
    return _is_vague(incident) and is_other and bool(new) and _was_told_before(incident, finding)


def _is_vague(incident: Incident) -> bool:
    """Whether it was published, and names nothing that broke, or that hardly."""
    lead = incident.diagnosis.causes[0]
    is_doubtful = lead.family in _VAGUE or lead.probability < _CLEAR
    return incident.is_published and not incident.is_apart and is_doubtful


def _is_about_answers(incident: Incident) -> bool:
    return all(follows_others(plain(name)) for name in incident.own)


def _versions(finding: Finding, now: Moment) -> tuple[str, ...]:
    """The versions whose signals identify it; of what belongs to none of them, those in use."""
    own = {name.rpartition(SCOPE)[0] for name in finding.own_signals if SCOPE in name}
    return tuple(sorted(own)) or now.versions


def follows_others(signal: str) -> bool:
    """Whether an alarm on it can follow from another fault."""
    return column_of_signal(signal) in FOLLOWERS or is_of_replica(signal)


def column_of_signal(signal: str) -> str:
    """income of income.missing; a signal without an aspect stands for itself."""
    return signal.rpartition(".")[0] or signal


def _content(finding: Finding, onset_ms: int) -> dict[str, Any]:
    return {
        "summary": summary(finding, onset_ms),
        "causes": finding.causes,
        "ruled_out": finding.ruled_out,
        "evidence": finding.evidence,
        "impact": finding.impact,
    }


def _slice_of(cause: Cause) -> str:
    """Where it is confined to, if anywhere."""
    found = dict(cause.segment or {}) | ({"replica": cause.replica} if cause.replica else {})
    return "".join(f" {name}={value}" for name, value in sorted(found.items()))


def _duration(span_ms: int) -> str:
    minutes = max(span_ms, 0) // MINUTE_MS
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 60 // 24} days"


def _waiting_since(state: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """States from before anything else was kept have chunks of predictions."""
    if "waiting_since" not in state:
        return None if state["waiting_since_chunk"] is None else (state["waiting_since_chunk"], 0, 0)
    since = state["waiting_since"]
    return None if since is None else (since[0], since[1], since[2])


def _doubted(state: Mapping[str, Any]) -> tuple[int, frozenset[str]] | None:
    """States from before it was kept look once more."""
    doubted = state.get("doubted")
    return None if doubted is None else (doubted[0], frozenset(doubted[1]))


def _incident_state(incident: Incident) -> dict[str, Any]:
    return {
        "diagnosis": encode(incident.diagnosis),
        "signals": sorted(incident.signals),
        "own": sorted(incident.own),
        "rows": [incident.opened_rows, incident.next_review_rows],
        "onset_ms": incident.onset_ms,
        "said": None if incident.said is None else [list(incident.said[0]), incident.said[1]],
        "said_ms": incident.said_ms,
        "opened_as": incident.opened_as,
        "worst": incident.worst,
        "is_over": incident.is_over,
        "others": list(incident.others),
        "graphs": incident.graphs.snapshot(),
        "is_apart": incident.is_apart,
    }


def _incident_of(state: Mapping[str, Any]) -> Incident:
    diagnosis = Diagnosis.model_validate_json(state["diagnosis"])
    said = state["said"]
    opened_rows, next_review_rows = state["rows"]
    # States of 0.1.0 and before have none of these.
    opened_as = state.get("opened_as", None if said is None else diagnosis.causes[0].fault)
    return Incident(
        incident_id=diagnosis.incident_id,
        signals=set(state["signals"]),
        own=set(state["own"]),
        diagnosis=diagnosis,
        opened_rows=opened_rows,
        next_review_rows=next_review_rows,
        onset_ms=state["onset_ms"],
        said=None if said is None else (tuple(said[0]), said[1]),
        said_ms=state["said_ms"],
        opened_as=None if opened_as is None else Fault(opened_as),
        worst=Severity(state.get("worst", diagnosis.severity)),
        is_over=state["is_over"],
        others=tuple(state["others"]),
        graphs=IncidentGraphs.restore(state["graphs"]),
        is_apart=state.get("is_apart", False),
    )
