"""From a case to findings: the order of elimination over all rules.

Each rule proposes what it sees. Then, greedily: the best proposal leads a finding and takes the alarms that are its own and
those it drags along; proposals for the same alarms are its rivals, and become further causes of the same finding; what is
left goes to the next best. What nothing explains is `unknown`, and said to be.

A proposal's *own* signals identify its fault (for a broken input, the alarms of that input); the others follow from it (the
model answers otherwise, and errs). A proposal whose own signals merely follow from one on a higher rung is explained away.

Belongs here: that judgement, how probable, how severe, and the summary line. Not here: rules (`faults/`), what a signal's
numbers look like (`exhibits`), how findings become incidents (`incidents`).
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from math import isfinite

import numpy as np

from whydrift.core.case import (
    ANSWERS,
    FOLLOWERS,
    Aligned,
    Case,
    ColumnView,
    EstimatePicture,
    PerformancePicture,
    RatePicture,
    SignalEvidence,
)
from whydrift.core.combinations import COMBINATIONS
from whydrift.core.dependence import PREFIX as DEPENDENCE
from whydrift.core.estimator import HOLDS_UNDER, holds_under
from whydrift.core.exhibits import exhibit, since
from whydrift.core.faults import rules
from whydrift.core.faults.inputs import MAX_EXAMINED, is_growing, listed, number
from whydrift.core.faults.rule import Proposal, Rule, Rung
from whydrift.core.graphs import NO_GRAPHS, IncidentGraphs
from whydrift.core.inside import inside, left_given_others
from whydrift.core.reference import UNSEEN
from whydrift.core.settings import DAY_MS
from whydrift.core.signals import Aspect
from whydrift.core.slices import Slice, guilty_slice
from whydrift.core.untouched import untouched
from whydrift_schemas import Cause, Evidence, Impact, RuledOut, Undo
from whydrift_schemas.names import FAMILY_OF, Family, Fault, Severity

UNEXAMINED = "could not be examined"
MAX_CAUSES = 3
MAX_RULED_OUT = 6
MAX_EVIDENCE = 6
MAX_SUMMARY = 200
_EXPLAINS_AWAY = 0.3
"""Fit from which a higher rung explains away what follows from it: an input that moved moves the answers, whatever moved it."""
_SURE = 0.7
"""Fit from which a proposal keeps its own signals, though they may follow from another one as well."""
_APART = 0.5
"""Fit from which what answers do in rows that a broken input has not touched is told beside it: that they do is clear."""
_PLAIN = 0.9
"""Fit from which an input's fault is not taken for what a disturbed feed (repeated events) does to that input in passing."""
_RIVAL_SHARE = 0.5
"""Part of the leading proposal's own signals that another must own as well to be an alternative to it."""
_LEAST_PROBABILITY = 0.02
"""Less probable causes are ruled out instead."""
_LOOKS_ALIKE = (0.5, 0.25)
"""Parts of the chance that it is none of the proposals which fall to the leading one's look-alikes, most frequent first."""
_DOUBT, _MOST_ALIKE = 0.035, 0.09
"""Such a chance from which they are named; the greatest one that is stated: no update is about them (`incidents`)."""
_CLOSE = 0.33
"""A second cause with at least this part of the first one's probability is named in the summary."""
_MADE_OF = 0.6
"""Greatest fit of a fault that a skew between training and serving consists of. Both are true of the data; that the fault came
just before the first event, and no difference of two pipelines, is possible, and rarer."""
_BY_FIT = 0.01
"""By how much it is less at most: two that fit better than that keep their order."""
_UNKNOWN_LEADS = 0.57
"""Probability that none of the proposals is right from which `unknown` comes first."""
_MAX_FIT = 0.99
_NONE_OF_THEM = 0.5
"""Odds that no proposal is right. Less than 1, which would take a fit at its word: where a rule proposes anything it is
right more often than it says (tests/bench/README.md, calibration)."""
_SUREST = 0.97
"""Greatest probability that is stated: of names given without any doubt, so many were right on the open bench."""
_MAX_LOOKS = 6
"""Rules asked again about what other findings left, per case: each look costs as much as the first."""
MAX_HEADLINE = 150
_LEAD_ROWS, _LAG_ROWS = 300.0, 2_000.0
"""What follows from a fault begins, as far as onsets can be estimated, at most so many events before it, or after it."""
_MOST_GONE = 0.1
"""Share of an input's values, where hardly any of health's are, up to which it may have drifted and the model goes on as ever."""
_MOST_APART = 4
"""Findings of one fault at one time that are told apart; more of them are one thing that broke, and one incident."""
_NEARLY_ALL = (0.005, 0.995)
"""Quantiles between which nearly all of a quantity's values lie; single ones beyond are as often mistakes."""
_BURST_MS = 3_600_000
_LOSS_GROWTH = 1.25
"""Realised loss against its reference from which the model's users are hurt."""
_UNKNOWN_FIT = 0.9
_UNKNOWN_ACTION = "Look at raw events since the onset; ask what was released, or changed upstream, at that time."
_HOUR_MS = DAY_MS / 24
_INPUT_FAMILIES = (Family.DATA_QUALITY, Family.DATA_DRIFT)
_MODEL_FAMILIES = (Family.MODEL_PARAMETERS, Family.MODEL_STRUCTURE)
_CRITICAL = (Fault.ERROR_SURGE, Fault.FALLBACK_ANSWERS, Fault.PARAMETER_CORRUPTION, Fault.WRONG_MODEL)
_HARMLESS = (Fault.COVARIATE_DRIFT, Fault.NEW_CATEGORY)
"""Nothing to do about at night while the model's answers have not moved."""
_BY_COLUMN: Mapping[Fault, str] = {Fault.MISALIGNED_FEATURE: DEPENDENCE, Fault.DEPENDENCE_DRIFT: DEPENDENCE}
"""Beginning of the columns whose alarms identify a fault, where they merely follow from others."""
_IDENTIFYING: Mapping[Fault, tuple[str, ...]] = {
    Fault.MISSING_VALUES: ("missing",),
    Fault.DUPLICATE_EVENTS: ("duplicates", "backwards"),
}
"""Aspects (or free signals) that identify a fault which disturbs other alarms of the same inputs in passing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that broke: the alarmed signals it accounts for, and what it may be.

    causes: most probable first; their probabilities and that of none of them make 1. own_signals: the signals that identify
    it, without those that follow. decider: the measurement that would decide between the first two causes, "" = none needed.
    onset_ms: the strongest own signal's, or where the cause is seen to begin. rival: the second headline where it is nearly as
    probable, else "". rows_decide: whether more rows may decide between them.
    """

    causes: tuple[Cause, ...]
    ruled_out: tuple[RuledOut, ...]
    signals: frozenset[str]
    own_signals: frozenset[str]
    headline: str
    decider: str
    severity: Severity
    impact: Impact | None
    evidence: tuple[Evidence, ...]
    onset_ms: int
    rival: str = ""
    rows_decide: bool = True
    is_apart: bool = False
    """Whether rows that no broken input touched show it: it is no part of that input's incident, which had its alarms so far."""
    graphs: IncidentGraphs = NO_GRAPHS
    """What is drawn of it; added by whoever has the histories."""


@dataclass(frozen=True, slots=True, eq=False)
class _Suspect:
    """A proposal with its rung, its own signals, and those that follow from it."""

    rung: Rung
    proposal: Proposal
    own: frozenset[str]
    drags: frozenset[str]

    @property
    def is_sure_of_input(self) -> bool:
        """Whether it names an input's fault so well that it stands beside what else is found."""
        return FAMILY_OF[self.proposal.fault] in _INPUT_FAMILIES and self.proposal.fit >= _SURE

    @property
    def rank(self) -> tuple[object, ...]:
        """Best first; equal ones by name, so that nothing depends on the order of a set."""
        p = self.proposal
        return (-round(p.fit, 3), self.rung, -len(self.own), p.fault, p.features, p.headline)


@dataclass(frozen=True, slots=True, eq=False)
class _Verdict:
    """The leading suspect of a finding, its rivals, the signals it takes, and who is explained away by it."""

    lead: _Suspect
    rivals: tuple[_Suspect, ...]
    taken: frozenset[str]
    no: tuple[RuledOut, ...] = ()
    is_apart: bool = False
    """See `Finding`."""

    @property
    def own(self) -> frozenset[str]:
        return self.lead.own & self.taken


def diagnose(case: Case, told: frozenset[str] = frozenset()) -> tuple[Finding, ...]:
    """Every alarmed signal is in exactly one finding; the surest first, `unknown` last; () when nothing is alarmed.

    told: signals that are accounted for, and looked at as if they were not alarmed; () where inputs that they are of are still
    moving, or have gone where health hardly ever was: nobody knows what a model makes of that.
    """
    left = frozenset(signal.signal for signal in case.alarmed) - told
    if told and any(
        _is_underway(case, view) for view in case.features.values() if told & {s.signal for s in view.alarms()}
    ):
        return ()
    case = _reduced(case, left) if told else case
    if not left:
        return ()
    bench = _Bench(case)
    found, left = _judged(bench, left)
    found, left = _with_other_aspects(case, found, left)
    found, left = _with_answers_apart(case, found, left)
    if found and left and not _is_wide(case):
        # What cannot follow from these, by its onset, is looked at as if they had not happened.
        more, left = _judged(_Bench(_reduced(case, left)), left)
        found += more
    found, left = _with_unexamined(case, _together(case, found), left)
    found, left = _with_stray_answers(case, found, left)
    found, left = _with_later_ones(case, found, left)
    if left:
        found.append(_Verdict(_unknown(case, left), (), left))
    apart = {one.lead.proposal.fault for one in found if one.is_apart}
    general = [no for no in bench.ruled_out if no.fault not in apart]
    return _completed(case, [_finding(case, verdict) for verdict in found], general)


def _judged(bench: "_Bench", left: frozenset[str]) -> tuple[list[_Verdict], frozenset[str]]:
    """Verdicts, and what is left."""
    found: list[_Verdict] = []
    while (lead := bench.lead(left)) is not None:
        taken = (lead.own | bench.followers(lead)) & left - bench.kept_by_others(lead, left)
        rivals = bench.rivals(lead, taken)
        left -= taken
        found.append(_Verdict(lead, rivals, taken, bench.explained_away(lead, rivals, taken, left)))
    return found, left


# -- suspects ----------------------------------------------------------------------------------------------------


@cache
def _rules() -> tuple[Rule, ...]:
    return rules()


class _Bench:
    """All suspects of one case, best first, and what the rules have ruled out."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._answers = {signal.signal for signal in case.alarmed if signal.column in ANSWERS}
        self._suspects: list[_Suspect] = []
        # Where many inputs break at once each look is costly, and what is left joins what was found.
        self._looks = 0 if _is_wide(case) else _MAX_LOOKS
        self.ruled_out: list[RuledOut] = []
        for rule in _rules():
            if rule.rung is not Rung.UNKNOWN:
                suspects, no = _ask(rule, case)
                self._suspects += suspects
                self.ruled_out += no
        self._suspects = sorted(_beside_skew(self._suspects), key=lambda suspect: suspect.rank)

    def lead(self, left: frozenset[str]) -> _Suspect | None:
        """The best suspect for what is left that no higher rung explains away; None where nobody explains any of it."""
        while True:
            self._suspects = [suspect for suspect in self._suspects if suspect.own & left]
            best = next((suspect for suspect in self._suspects if not self._is_explained_away(suspect, left)), None)
            if best is None or best.own <= left or not self._looks:
                return best
            self._look_again(best.proposal.fault, left)

    def _look_again(self, fault: Fault, left: frozenset[str]) -> None:
        """Ask a rule about what is left: of a part of what it saw, it may say something else."""
        self._looks -= 1
        rule = next(rule for rule in _rules() if rule.fault == fault)
        again, _ = _ask(rule, _reduced(self._case, left))
        others = [suspect for suspect in self._suspects if suspect.proposal.fault != fault]
        self._suspects = sorted(_beside_skew(others + again), key=lambda suspect: suspect.rank)

    def _is_explained_away(self, suspect: _Suspect, left: frozenset[str]) -> bool:
        return any(
            other.proposal.fit >= _EXPLAINS_AWAY and self._follows(suspect, other, left) for other in self._suspects
        )

    def _follows(self, suspect: _Suspect, other: _Suspect, left: frozenset[str]) -> bool:
        """Whether most of a suspect's own signals merely follow from another one on a higher rung."""
        own = suspect.own & left
        is_plain = suspect.is_sure_of_input and (suspect.proposal.fit >= _PLAIN or not own <= other.drags)
        if other.rung >= suspect.rung or is_plain:
            return False
        return 2 * len(own & self.followers(other)) > len(own)

    def followers(self, cause: _Suspect) -> frozenset[str]:
        """The signals it drags along, without those that began at another time."""
        return frozenset(name for name in cause.drags if self._is_timely(cause, name))

    def _is_timely(self, cause: _Suspect, follower: str) -> bool:
        """Whether a signal began when it should if it follows: not well before its cause, nor, for answers, long after.

        Only what broke at one moment can be asked so: of a drift nobody knows when it began to matter. And what a model makes of
        values that health never had, nobody knows: with the hour, or the other inputs, answers may depart at any time later.
        """
        per_hour = self._case.arrivals.expected_per_hour
        is_step = FAMILY_OF[cause.proposal.fault] is Family.DATA_QUALITY and cause.proposal.fit >= _SURE
        if not per_hour or not is_step:
            return True
        onsets = self._case.onset_dates
        lag_rows = (onsets[follower] - min(onsets[name] for name in cause.own)) * per_hour / _HOUR_MS
        if follower not in self._answers:
            return lag_rows >= -_LAG_ROWS  # labels come when they come, in any order
        return lag_rows >= -_LEAD_ROWS and (lag_rows <= _LAG_ROWS or _is_beyond_health(self._case, cause.proposal))

    def kept_by_others(self, lead: _Suspect, left: frozenset[str]) -> frozenset[str]:
        """Signals that may follow from the leading suspect, but are the own ones of a sure one that does not follow from it."""
        kept: set[str] = set()
        for other in self._suspects:
            is_other = other is not lead and other.proposal.fit >= _SURE and not other.own & lead.own
            if is_other and other.own & lead.drags and not self._follows(other, lead, left):
                kept |= other.own & left
        return frozenset(kept)

    def rivals(self, lead: _Suspect, taken: frozenset[str]) -> tuple[_Suspect, ...]:
        """Suspects for (mostly) the same own signals, best first, one of each fault."""
        own = lead.own & taken
        found: dict[Fault, _Suspect] = {}
        for suspect in self._suspects:
            is_same = len(suspect.own & own) >= _RIVAL_SHARE * len(own)
            if is_same and suspect.proposal.fault != lead.proposal.fault:
                found.setdefault(suspect.proposal.fault, suspect)
        return tuple(found.values())

    def explained_away(
        self, lead: _Suspect, rivals: Sequence[_Suspect], taken: frozenset[str], left: frozenset[str]
    ) -> tuple[RuledOut, ...]:
        """Suspects that this finding leaves nothing to explain, and why they are not it."""
        found = []
        for suspect in self._suspects:
            if suspect is lead or suspect in rivals or not suspect.own & taken or suspect.own & left:
                continue
            if suspect.own & lead.own:
                because = f"explains {listed(sorted(suspect.own & lead.own))} only: {suspect.proposal.headline}"
            else:
                because = f"what speaks for it follows from this: {lead.proposal.headline}"
            found.append(RuledOut(fault=suspect.proposal.fault, because=because))
        return tuple(found)


def _is_beyond_health(case: Case, proposal: Proposal) -> bool:
    """Whether half of the values that an input has in health, of one that it names, are missing or such as health never had."""
    views = [case.features[name] for name in proposal.features if name in case.features]
    return any(
        2 * _seen_before(view) * view.reference.rows < view.reference.n * len(view.current_values) for view in views
    )


def _is_underway(case: Case, view: ColumnView) -> bool:
    is_numeric = not view.reference.kind.is_coded
    return _seen_before(view) < (1 - _MOST_GONE) * len(view.current) or (is_numeric and is_growing(case, view))


def _seen_before(view: ColumnView) -> int:
    """Values of now that lie where nearly all of health's do."""
    if view.reference.kind.is_coded:
        return int((view.reference.bins(view.column, view.current) != UNSEEN).sum())
    low, high = (view.reference.quantile(p) for p in _NEARLY_ALL)
    return int(((view.current >= low) & (view.current <= high)).sum())


def _ask(rule: Rule, case: Case) -> tuple[list[_Suspect], list[RuledOut]]:
    alarmed = {signal.signal: signal for signal in case.alarmed}
    suspects, no = [], []
    for answer in _examined(rule, case):
        if isinstance(answer, RuledOut):
            no.append(answer)
        elif signals := [alarmed[name] for name in answer.explains if name in alarmed]:
            suspects.append(_suspect(rule.rung, answer, signals))
    return suspects, no


def _examined(rule: Rule, case: Case) -> Sequence[Proposal | RuledOut]:
    """What a rule answers; where it fails on a picture that nobody thought of, that it did.

    That is our mistake, and one rule of many: an alarm with a name less is better than none, of this model and of all others that
    the same worker watches, which would read the same record again and fail again.
    """
    try:
        return rule.examine(case)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = "" if where is None else f" in {where.tb_frame.f_globals['__name__']}, line {where.tb_lineno}"
        place = f"{type(error).__name__}{place}"
        return [RuledOut(fault=rule.fault, because=f"{UNEXAMINED}: {place}. A mistake in whydrift, please report it")]


def _beside_skew(suspects: list[_Suspect]) -> list[_Suspect]:
    """The same, where what a skew between training and serving consists of comes second to it."""
    skewed = frozenset().union(*(s.own for s in suspects if s.proposal.fault is Fault.TRAINING_SERVING_SKEW))

    def beside(suspect: _Suspect) -> _Suspect:
        proposal = suspect.proposal
        is_part = proposal.fault is not Fault.TRAINING_SERVING_SKEW and FAMILY_OF[proposal.fault] in _INPUT_FAMILIES
        if not is_part or not suspect.own & skewed or proposal.fit <= _MADE_OF:
            return suspect
        return replace(suspect, proposal=replace(proposal, fit=_MADE_OF - _BY_FIT * (1 - proposal.fit)))

    return [beside(suspect) for suspect in suspects]


def _suspect(rung: Rung, proposal: Proposal, signals: Sequence[SignalEvidence]) -> _Suspect:
    names = frozenset(signal.signal for signal in signals)
    marks = _IDENTIFYING.get(proposal.fault, ())
    own = frozenset(
        s.signal for s in signals if (s.aspect in marks or s.signal in marks) and not _is_consequence(s, proposal)
    )
    if (prefix := _BY_COLUMN.get(proposal.fault)) is not None:
        own = frozenset(s.signal for s in signals if s.column.startswith(prefix))
        own = own or frozenset(s.signal for s in signals if s.column == COMBINATIONS)
    if not own and FAMILY_OF[proposal.fault] in (*_INPUT_FAMILIES, Family.LABEL_SHIFT):
        own = frozenset(s.signal for s in signals if not _is_consequence(s, proposal))
    if not own and FAMILY_OF[proposal.fault] in _MODEL_FAMILIES:
        # A model that answers otherwise errs otherwise, when labels come.
        own = frozenset(s.signal for s in signals if s.column not in ("loss", "actual"))
    own = own or names
    return _Suspect(rung, proposal, own, names - own)


def _is_consequence(signal: SignalEvidence, proposal: Proposal) -> bool:
    """Whether a signal follows from a broken input. (An input may be called `loss`: then its alarm is its own.)"""
    is_answer = signal.column in FOLLOWERS and signal.column not in proposal.features
    is_relation = signal.column.startswith(DEPENDENCE)
    return is_answer or is_relation or (signal.column == COMBINATIONS and proposal.fault is not Fault.NOVEL_REGION)


def _reduced(case: Case, left: frozenset[str]) -> Case:
    """The case in which only these signals are alarmed: the others are accounted for."""

    def quiet(signal: SignalEvidence) -> SignalEvidence:
        return replace(signal, is_alarmed=False) if signal.is_alarmed and signal.signal not in left else signal

    def views(group: Mapping[str, ColumnView]) -> dict[str, ColumnView]:
        return {
            name: replace(view, signals={a: quiet(s) for a, s in view.signals.items()}) if view.is_alarmed() else view
            for name, view in group.items()
        }

    def rate(picture: RatePicture) -> RatePicture:
        return picture if picture.evidence is None else replace(picture, evidence=quiet(picture.evidence))

    return replace(
        case,
        features=views(case.features),
        segments=views(case.segments),
        dependence=views(case.dependence),
        outputs=views(case.outputs),
        labels=views(case.labels),
        world={name: quiet(signal) for name, signal in case.world.items()},
        guards=tuple(quiet(signal) for signal in case.guards),
        replicas=tuple(quiet(signal) for signal in case.replicas),
        paces=tuple(quiet(signal) for signal in case.paces),
        arrivals=rate(case.arrivals),
        label_arrivals=rate(case.label_arrivals),
    )


def _unknown(case: Case, left: frozenset[str]) -> _Suspect:
    """What nothing explains: in the words of the rule for it where it has some, else in ours."""
    for rule in _rules():
        if rule.rung is Rung.UNKNOWN:
            for suspect in _ask(rule, _reduced(case, left))[0]:
                # Its rule gives way to every other by a low fit; where none is, it is what there is to say.
                proposal = replace(suspect.proposal, fit=_UNKNOWN_FIT)
                return replace(suspect, proposal=proposal, own=left, drags=frozenset())
    names = [signal.signal for signal in case.alarmed if signal.signal in left]
    proposal = Proposal(
        fault=Fault.UNKNOWN,
        fit=_UNKNOWN_FIT,
        explains=left,
        headline=f"{listed(names)} changed, and no known fault explains it"[:MAX_HEADLINE],
        explanation=f"No rule explains the alarms of {listed(names, 6)}.",
        action=_UNKNOWN_ACTION,
    )
    return _Suspect(Rung.UNKNOWN, proposal, left, frozenset())


# -- many at once ------------------------------------------------------------------------------------------------


def _together(case: Case, found: Sequence[_Verdict]) -> list[_Verdict]:
    """One verdict in place of many of one fault that came at the same time: one thing broke, not a hundred."""
    groups: dict[tuple[Fault, int], list[_Verdict]] = {}
    for verdict in found:
        groups.setdefault((verdict.lead.proposal.fault, _burst(case, verdict, found)), []).append(verdict)
    merged = {id(group[0]): _merged(group) for group in groups.values() if len(group) > _MOST_APART}
    gone = {id(verdict) for group in groups.values() if len(group) > _MOST_APART for verdict in group[1:]}
    return [merged.get(id(verdict), verdict) for verdict in found if id(verdict) not in gone]


def _burst(case: Case, verdict: _Verdict, found: Sequence[_Verdict]) -> int:
    """Onset of the earliest verdict of the same fault that a chain of close onsets leads to."""
    onsets = case.onset_dates
    fault = verdict.lead.proposal.fault
    mine = min(onsets[name] for name in verdict.own)
    others = sorted(min(onsets[name] for name in one.own) for one in found if one.lead.proposal.fault == fault)
    for onset in reversed(others):
        if 0 <= mine - onset <= _BURST_MS:
            mine = onset
    return mine


def _merged(group: Sequence[_Verdict]) -> _Verdict:
    first, others = group[0], group[1:]
    best = first.lead.proposal
    more = list(dict.fromkeys(name for verdict in others for name in verdict.lead.proposal.features))
    names = [name for name in more if name not in best.features]
    tail = f", and {len(names)} more inputs likewise"
    proposal = replace(
        best,
        explains=frozenset().union(*(verdict.lead.proposal.explains for verdict in group)),
        features=(*best.features, *names),
        headline=best.headline[: MAX_HEADLINE - len(tail)] + tail,
        explanation=f"{best.explanation} Likewise, at the same time: {listed(names, 8)}.",
    )
    own = frozenset().union(*(verdict.lead.own for verdict in group))
    lead = replace(first.lead, proposal=proposal, own=own, drags=first.lead.drags - own)
    taken = frozenset().union(*(verdict.taken for verdict in group))
    return _Verdict(lead, first.rivals, taken, tuple(no for verdict in group for no in verdict.no))


def _is_wide(case: Case) -> bool:
    """Whether more inputs are alarmed than the costly rules look at."""
    return len(case.alarmed_features()) > MAX_EXAMINED


def _with_other_aspects(
    case: Case, found: list[_Verdict], left: frozenset[str]
) -> tuple[list[_Verdict], frozenset[str]]:
    """Let what no rule claims of an input join the first finding about that input."""
    columns = {s.signal: view.name for view in case.features.values() for s in view.signals.values()}
    for place, verdict in enumerate(found):
        names = {columns[name] for name in verdict.own if name in columns}
        rest = frozenset(name for name in left if columns.get(name) in names)
        if rest:
            lead = replace(verdict.lead, own=verdict.lead.own | rest)
            found[place] = replace(verdict, lead=lead, taken=verdict.taken | rest)
            left -= rest
    return found, left


def _with_answers_apart(
    case: Case, found: Sequence[_Verdict], left: frozenset[str]
) -> tuple[list[_Verdict], frozenset[str]]:
    """Beside verdicts on broken inputs those on the model, whose answers depart in rows that no broken input has touched.

    They must have a name: that answers are a little off in a part of the rows may be said of many a model.
    """
    parts = []
    for verdict in found:
        apart = _apart(case, verdict, left)
        if apart is None:
            parts.append(verdict)
        else:
            parts += [replace(verdict, taken=verdict.taken - apart.taken), replace(apart, is_apart=True)]
            left -= apart.taken
    return parts, left


def _with_later_ones(case: Case, found: list[_Verdict], left: frozenset[str]) -> tuple[list[_Verdict], frozenset[str]]:
    """Beside inputs that nobody explains what began well after them in answers, losses and outcomes, and has a name."""
    per_hour, onsets = case.arrivals.expected_per_hour, case.onset_dates
    follows = {s.signal for s in case.alarmed if s.column in FOLLOWERS or s in case.guards}
    inputs = left - follows
    if not per_hour or not inputs or not left & follows:
        return found, left
    latest_ms = max(onsets[name] for name in inputs) + _LAG_ROWS * _HOUR_MS / per_hour
    later = frozenset(name for name in left & follows if onsets[name] > latest_ms)
    if not later:
        return found, left
    more, rest = _judged(_Bench(_reduced(case, later)), later)
    return [*found, *more], left - later | rest


def _apart(case: Case, verdict: _Verdict, left: frozenset[str]) -> _Verdict | None:
    """What the answers of rows show that a broken input leaves as they were."""
    lead = verdict.lead
    answers = frozenset(s.signal for s in case.alarmed if s.column in ANSWERS) & verdict.taken - lead.own
    is_of_input = FAMILY_OF[lead.proposal.fault] in _INPUT_FAMILIES
    rest = untouched(case, lead.proposal) if answers and is_of_input else None
    if rest is None:
        return None
    told, _ = _judged(_Bench(_reduced(rest, answers | left)), answers | left)
    return next((one for one in told if one.lead.proposal.fit >= _APART and one.own & answers), None)


def _with_unexamined(case: Case, found: list[_Verdict], left: frozenset[str]) -> tuple[list[_Verdict], frozenset[str]]:
    """Let inputs that nobody looked at one by one join the finding with the most inputs, and say so."""
    inputs = {s.signal: view.name for view in case.features.values() for s in view.signals.values()}
    rest = frozenset(name for name in left if name in inputs)
    if not rest or not found or not _is_wide(case):
        return found, left
    place = max(range(len(found)), key=lambda i: (len(found[i].own & inputs.keys()), -i))
    host = found[place]
    best, count = host.lead.proposal, len({inputs[name] for name in rest})
    tail = f" ({count} more inputs moved too)"
    proposal = replace(
        best,
        headline=best.headline[: MAX_HEADLINE - len(tail)] + tail,
        explanation=f"{best.explanation} {count} more inputs moved as well, and were not looked at one by one.",
    )
    lead = replace(host.lead, proposal=proposal, own=host.lead.own | rest)
    found[place] = replace(host, lead=lead, taken=host.taken | rest)
    return found, left - rest


def _with_stray_answers(
    case: Case, found: list[_Verdict], left: frozenset[str]
) -> tuple[list[_Verdict], frozenset[str]]:
    """Let what is left of answers and losses join the finding that has the answers: no answer, no loss."""
    affected = {s.signal for s in case.alarmed if s.column in (*ANSWERS, "loss") or s in (*case.guards, *case.replicas)}
    answers = {s.signal for s in case.alarmed if s.column in ANSWERS}
    place = next((place for place, verdict in enumerate(found) if verdict.taken & answers), None)
    stray = left & affected
    if place is None or not stray:
        return found, left
    found[place] = replace(found[place], taken=found[place].taken | stray)
    return found, left - stray


# -- a finding ---------------------------------------------------------------------------------------------------


def _finding(case: Case, verdict: _Verdict) -> Finding:
    verdict = _confined(case, verdict)
    own = verdict.own
    signals = [signal for signal in case.alarmed if signal.signal in verdict.taken]
    ordered = [s for s in signals if s.signal in own] + [s for s in signals if s.signal not in own]
    causes, shown, unlikely = _causes([verdict.lead, *verdict.rivals])
    causes = tuple(_with_withdrawal(case, cause) for cause in causes)
    is_close = len(causes) > 1 and causes[1].probability >= _CLOSE * causes[0].probability
    second = shown[1] if is_close else None
    deciders = [suspect.decider for suspect in shown[:2] if suspect.decider]
    return Finding(
        causes=causes,
        ruled_out=(*unlikely, *verdict.no),
        signals=verdict.taken,
        own_signals=own,
        headline=shown[0].headline,
        decider=deciders[0] if len(causes) > 1 and deciders else "",
        severity=severity(case, causes[0].fault, signals),
        impact=None,  # `_completed` knows all causes
        evidence=tuple(exhibit(case, signal) for signal in ordered[:MAX_EVIDENCE]),
        onset_ms=since(case, ordered[0]) if shown[0].since_ms is None else shown[0].since_ms,
        rival=second.headline if second is not None else "",
        rows_decide=shown[0].rows_decide,
        is_apart=verdict.is_apart,
    )


def _confined(case: Case, verdict: _Verdict) -> _Verdict:
    """The verdict with its slice named, where what identifies it departs in one slice only."""
    if verdict.lead.proposal.fault is Fault.PRECISION_LOSS:
        # It was found in all rows: it only shows more where more values lie beyond a cut.
        return verdict
    strongest = next((signal for signal in case.alarmed if signal.signal in verdict.own), None)
    rows, name = _rows_of(case, strongest)
    if strongest is None or rows is None or not len(rows.reference):
        return verdict
    before, now = (side.inputs.get(name, side.outputs.get(name)) for side in (rows.reference, rows.current))
    if before is None or now is None:
        return verdict
    if strongest.column != name and name in case.features:
        before, now = left_given_others(case, rows, name)
    if strongest.aspect == "missing":
        before, now = np.isnan(before).astype(float), np.isnan(now).astype(float)
    found = guilty_slice(rows, before, now)
    if found is None:
        return verdict
    if name in case.features and strongest.aspect != "missing":
        verdict = _judged_inside(case, verdict, rows, found)
    proposal = verdict.lead.proposal
    if proposal.fault is Fault.CONCEPT_DRIFT and found.segment is not None:
        # Which is what this is called, where labels were too few for its own rule to say so.
        proposal = replace(proposal, fault=Fault.LOCAL_CONCEPT_DRIFT)
    lead = replace(verdict.lead, proposal=_only(proposal, found, is_lead=True))
    rivals = tuple(
        replace(one, proposal=_only(one.proposal, found, is_lead=False))
        for one in verdict.rivals
        if one.proposal.fault is not proposal.fault
    )
    return replace(verdict, lead=lead, rivals=rivals)


def _judged_inside(case: Case, verdict: _Verdict, rows: Aligned, found: Slice) -> _Verdict:
    """The verdict on inputs by the slice's own rows, where these tell a clearer story, or refute that of all rows."""
    lead = verdict.lead
    narrower = inside(case, rows, found, lead.proposal.features)
    if narrower is None:
        return verdict
    told, _ = _judged(_Bench(narrower), frozenset(signal.signal for signal in narrower.alarmed))
    same = next((one for one in told if {*one.lead.proposal.features} >= {*lead.proposal.features}), None)
    if same is None:
        return verdict
    best, others = same.lead, same.rivals
    fault, fit = lead.proposal.fault, best.proposal.fit
    is_kept = fault in (one.proposal.fault for one in others)
    if fault in _BY_COLUMN:
        # Of relations nothing is asked there; a distribution that has plainly moved there has loosened them.
        is_clearer = fit >= _PLAIN
    else:
        is_clearer = fit > lead.proposal.fit or fault is Fault.COVARIATE_DRIFT or (fit >= _SURE and not is_kept)

    def in_place(one: _Suspect) -> _Suspect:
        return replace(one, own=lead.own, drags=lead.drags)

    return replace(verdict, lead=in_place(best), rivals=tuple(map(in_place, others))) if is_clearer else verdict


def _rows_of(case: Case, signal: SignalEvidence | None) -> tuple[Aligned | None, str]:
    """The rows in which a signal's column stands beside who is concerned, and its name there; None where none do."""
    if signal is None or signal.signal in case.world:
        return None, ""
    name = "latency" if signal in case.paces else signal.column
    name = name if name in case.features else name.removeprefix(DEPENDENCE)
    if name in case.features or name in case.outputs:
        return case.answered, name
    return (case.labelled, name) if name in ("loss", "actual") else (None, "")


def _only(proposal: Proposal, found: Slice, *, is_lead: bool) -> Proposal:
    """A proposal with its slice, unless it names one itself."""
    if proposal.replica is not None or proposal.segment is not None:
        return proposal
    tail = f", only {found.where}"
    headline = proposal.headline[: MAX_HEADLINE - len(tail)] + tail if is_lead else proposal.headline
    explanation = f"{proposal.explanation} {found.told}"
    return replace(proposal, headline=headline, explanation=explanation, replica=found.replica, segment=found.segment)


def _causes(suspects: Sequence[_Suspect]) -> tuple[tuple[Cause, ...], list[Proposal], list[RuledOut]]:
    """The causes, most probable first, their proposals, and who is too improbable to be one.

    The odds of each fit are shared with its rivals and with "none of them". Rules lower their own fits for the look-alikes they
    know of, so no further prior is laid on rungs here.
    """
    proposals = [suspect.proposal for suspect in suspects]
    fits = [min(max(proposal.fit, 0.0), _MAX_FIT) for proposal in proposals]
    total = _NONE_OF_THEM + sum(fit / (1 - fit) for fit in fits)
    likely = [(min(fit / (1 - fit) / total, _SUREST), proposal) for fit, proposal in zip(fits, proposals, strict=True)]
    if _NONE_OF_THEM / total >= _UNKNOWN_LEADS and proposals[0].fault is not Fault.UNKNOWN:
        likely = [(_NONE_OF_THEM / total, _none_of(proposals[0])), *likely]
    shown = [pair for pair in likely[:MAX_CAUSES] if pair[0] >= _LEAST_PROBABILITY or pair is likely[0]]
    no = [
        RuledOut(fault=proposal.fault, because=f"fits far less well ({proposal.fit:.2f}): {proposal.headline}")
        for _, proposal in likely[len(shown) :]
    ]
    return tuple(_cause(proposal, p) for p, proposal in shown), [proposal for _, proposal in shown], no


def _cause(proposal: Proposal, probability: float) -> Cause:
    return Cause(
        fault=proposal.fault,
        family=FAMILY_OF[proposal.fault],
        probability=round(probability, 3),
        features=proposal.features,
        replica=proposal.replica,
        segment=None if proposal.segment is None else dict(proposal.segment),
        explanation=proposal.explanation,
        action=proposal.action,
        undo=_rounded(proposal.undo),
    )


def _rounded(undo: Undo | None) -> Undo | None:
    """Evidence as it is told elsewhere: two decimals of a logarithm."""
    if undo is None:
        return None
    before, after = round(undo.evidence_before, 2), round(undo.evidence_after, 2)
    return undo.model_copy(update={"evidence_before": before, "evidence_after": after})


def _none_of(best: Proposal) -> Proposal:
    """`unknown` ahead of a proposal that hardly fits."""
    names = listed(best.features or sorted(best.explains))
    return replace(
        best,
        fault=Fault.UNKNOWN,
        headline=f"{names} changed, and no known fault explains it well"[:MAX_HEADLINE],
        explanation=f"What fits best does not fit well ({best.fit:.2f}): {best.headline}.",
        action=_UNKNOWN_ACTION,
        undo=None,
    )


def _completed(case: Case, found: Sequence[Finding], general: Sequence[RuledOut]) -> tuple[Finding, ...]:
    """Give each finding what the rules ruled out about its inputs, what looks alike, and what it costs if it is one of these.

    What is ruled out and names no input goes to the first finding.
    """
    texts = [(no, set(_words(no.because))) for no in general]
    inputs = {name for name, view in case.features.items() if view.is_alarmed()}
    result = []
    for place, finding in enumerate(found):
        about = {name for cause in finding.causes for name in cause.features}
        mine = [no for no, words in texts if words & about or (place == 0 and not words & inputs)]
        no = [*finding.ruled_out, *mine]
        against = [*no, *(one for one, words in texts if not words & inputs)]
        refused = {one.fault for one in against if not one.because.startswith(UNEXAMINED)}
        causes = _with_look_alikes(finding.causes, refused)
        result.append(replace(finding, causes=causes, impact=_impact(case, causes), ruled_out=_chosen(no, causes)))
    return tuple(result)


def _with_look_alikes(causes: tuple[Cause, ...], refused: Set[Fault]) -> tuple[Cause, ...]:
    """Where places are left: what it may be if it is none of these, though nothing speaks for it.

    Never as probable as what something speaks for. What a rule has looked for and ruled out is no such thing.
    """
    lead, none = causes[0], 1 - sum(cause.probability for cause in causes)
    by_fault = {rule.fault: rule for rule in _rules()}
    known = {cause.fault for cause in causes} | refused
    alike = by_fault[lead.fault].look_alikes if lead.fault in by_fault else ()
    # Cases that are others in no input by itself have no input that is broken.
    is_of_none = FAMILY_OF[lead.fault] is Family.DATA_DRIFT and not lead.features
    others = [one for one in alike if not (is_of_none and FAMILY_OF[one] is Family.DATA_QUALITY)]
    left = [by_fault[fault] for fault in others if fault in by_fault and fault not in known]
    most = min(causes[-1].probability, _MOST_ALIKE)
    more = [_look_alike(lead, rule, min(part * none, most)) for rule, part in zip(left, _LOOKS_ALIKE, strict=False)]
    return (*causes, *more)[:MAX_CAUSES] if none >= _DOUBT else causes


def _look_alike(lead: Cause, rule: Rule, probability: float) -> Cause:
    is_of_inputs = FAMILY_OF[rule.fault] in _INPUT_FAMILIES
    return Cause(
        fault=rule.fault,
        family=FAMILY_OF[rule.fault],
        probability=round(probability, 3),
        features=lead.features if is_of_inputs else (),
        replica=lead.replica,
        segment=lead.segment,
        explanation=f"Neither shown nor ruled out: it may look alike. {rule.runbook.means}",
        action=rule.runbook.confirm,
    )


def _words(text: str) -> list[str]:
    return [word.strip(".,:;()") for word in text.split()]


def _chosen(candidates: Sequence[RuledOut], causes: Sequence[Cause]) -> tuple[RuledOut, ...]:
    """The first reason against each fault that is not a cause; those that could not be examined before all others."""
    by_fault: dict[Fault, RuledOut] = {}
    for no in sorted(candidates, key=lambda no: not no.because.startswith(UNEXAMINED)):
        by_fault.setdefault(no.fault, no)
    named = {cause.fault for cause in causes}
    return tuple([no for fault, no in by_fault.items() if fault not in named][:MAX_RULED_OUT])


def _impact(case: Case, causes: Sequence[Cause]) -> Impact | None:
    """What labels of the current rows say about performance; without any, what is estimated, where that holds then."""
    # Labels that are a selection tell nothing of performance.
    is_biased = causes[0].fault is Fault.BIASED_LABELS
    seen: PerformancePicture | EstimatePicture | None = None if is_biased else case.performance
    if seen is None and holds_under(causes):
        seen = case.estimate
    if seen is None or not (isfinite(seen.reference) and isfinite(seen.current)):
        return None
    is_estimated = isinstance(seen, EstimatePicture)
    return Impact(metric=seen.metric, reference=seen.reference, current=seen.current, estimated=is_estimated)


def _with_withdrawal(case: Case, cause: Cause) -> Cause:
    """Where the truth has changed: that estimates without labels do not show it, and are withdrawn."""
    if cause.family is not Family.CONCEPT_DRIFT or cause.fault in HOLDS_UNDER:
        return cause
    seen = case.estimate
    what = (
        "is withdrawn" if seen is None else f"would be {seen.metric} {number(float(f'{seen.current:.3g}'))}: withdrawn"
    )
    said = f" What is estimated without labels {what}, as they say otherwise."
    return cause.model_copy(update={"explanation": cause.explanation + said})


def severity(case: Case, fault: Fault, signals: Sequence[SignalEvidence]) -> Severity:
    """How much it matters that this fault has these alarms."""
    answers = any(signal.column in ANSWERS or signal in case.replicas for signal in signals)
    loss = any(signal.column == "loss" for signal in signals)
    family = FAMILY_OF[fault]
    is_critical = (
        fault in _CRITICAL
        or (fault is Fault.TRAFFIC_CHANGE and _has_fallen(case.arrivals))
        or (loss and _has_lost(case))
        or (answers and (family is Family.DATA_QUALITY or family in _MODEL_FAMILIES))
    )
    if is_critical:
        return Severity.CRITICAL
    # The world drifts; what jumps from row to row as it never did is a pipe, whatever it looks like so far.
    jumps = any(signal.aspect == Aspect.STEP for signal in signals)
    is_harmless = (fault in _HARMLESS and not jumps) or (
        fault is Fault.SCHEMA_CHANGE and all(signal.signal == "schema" for signal in signals)
    )
    return Severity.INFO if is_harmless and not answers and not loss else Severity.WARNING


def _has_fallen(arrivals: RatePicture) -> bool:
    was, now = arrivals.expected_per_hour, arrivals.observed_per_hour
    return was is not None and now is not None and now < was


def _has_lost(case: Case) -> bool:
    seen = case.performance
    return seen is not None and seen.current >= _LOSS_GROWTH * seen.reference


# -- words -------------------------------------------------------------------------------------------------------


def summary(finding: Finding, onset_ms: int) -> str:
    """One line of at most 200 characters: what broke, since when (UTC), how sure; "A or B" where two are about as probable.

    What does not fit is left out in order: the decider, the second cause's words, the end of the headline.
    """
    time = f"since {datetime.fromtimestamp(onset_ms / 1000, UTC):%H:%M}"
    sure = f"(probability {finding.causes[0].probability:.2f})"
    lines = [f"{finding.headline} {time} {sure}"]
    if finding.rival:
        first, second = finding.causes[:2]
        both = f"({first.probability:.2f} / {second.probability:.2f})"
        rival = _without_subject(finding.rival, finding.headline, second.features)
        a_or_b = f"{finding.headline}, or {rival}, {time} {both}"
        named = f"{finding.headline}, or {second.fault.replace('_', ' ')}, {time} {both}"
        decided = [f"{line}; to decide: {finding.decider}" for line in (a_or_b, named) if finding.decider]
        lines = [*decided, a_or_b, named, *lines]
    fitting = next((line for line in lines if len(line) <= MAX_SUMMARY), None)
    if fitting is not None:
        return fitting
    tail = f"… {time} {sure}"
    return finding.headline[: MAX_SUMMARY - len(tail)] + tail


def _without_subject(rival: str, headline: str, features: Sequence[str]) -> str:
    """A second headline without the subject it shares with the first: "has drifted" after "income arrives in thousands"."""
    subject = listed(features) + " "
    return rival.removeprefix(subject) if headline.startswith(subject) else rival
