"""When an incident is opened, by what would be said of its alarms after each chunk.

Belongs here: how long a first word waits. Not here: an incident's life (`test_incidents`), what is said (`test_diagnose`).
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest

from whydrift.core.diagnose import Finding
from whydrift.core.incidents import Incidents, Moment
from whydrift.core.settings import Settings
from whydrift_schemas import FAMILY_OF, Cause, Fault, Severity

Word = tuple[str, float]
"""A cause, and its probability."""

START_MS = 1_795_437_000_000
UNIT, UNKNOWN = "unit_change", "unknown"


class Alarm:
    """One alarm, and in turn what it comes from."""

    def __init__(self, words: Sequence[Word], *, rows_decide: bool, rows: int = 100) -> None:
        self.words, self.rows_decide, self.rows = iter(words), rows_decide, rows

    def rows_since(self, names: Sequence[str]) -> int:
        return self.rows

    def lasts(self, names: Sequence[str]) -> bool:
        return True

    def judge(self, names: Sequence[str], told: Collection[str] = ()) -> Sequence[Finding]:
        return [finding(*next(self.words), names, rows_decide=self.rows_decide)]


def finding(
    name: str, probability: float, signals: Sequence[str], onset_ms: int = START_MS, *, rows_decide: bool = True
) -> Finding:
    fault = Fault(name)
    cause = Cause(
        fault=fault,
        family=FAMILY_OF[fault],
        probability=probability,
        features=("income",),
        explanation="so",
        action="look",
    )
    return Finding(
        causes=(cause,),
        ruled_out=(),
        signals=frozenset(signals),
        own_signals=frozenset(signals),
        headline=f"{name} it may be",
        decider="",
        severity=Severity.WARNING,
        impact=None,
        evidence=(),
        onset_ms=onset_ms,
        rows_decide=rows_decide,
    )


def moment(chunk: int) -> Moment:
    return Moment(
        stream_ms=START_MS + chunk * 20_000,
        partition=0,
        offset=chunk,
        chunks=chunk,
        label_chunks=0,
        rows=20 * chunk,
        versions=("1",),
        label_delay_ms=0,
    )


def opened_after(words: Sequence[Word], *, rows_decide: bool = True) -> int:
    """Chunks since the alarm after which an incident is opened."""
    incidents, alarm = Incidents(Settings(), "credit"), Alarm(words, rows_decide=rows_decide)
    return next(
        chunk
        for chunk in range(len(words))
        if incidents.review({"income.distribution": START_MS}, moment(chunk), alarm)
    )


@pytest.mark.parametrize(
    ("words", "chunks"),
    [
        ([(UNIT, 0.9)], 0),
        ([(UNIT, 0.5), (UNIT, 0.75)], 1),
        ([(UNIT, 0.5)] * 5, 4),
        ([(UNKNOWN, 0.9)] * 5, 4),
    ],
    ids=["sure", "surer", "in doubt", "unknown"],
)
def test_a_doubtful_first_word_waits_for_more_rows_but_not_for_ever(words: Sequence[Word], chunks: int) -> None:
    assert opened_after(words) == chunks


def test_a_doubt_that_no_rows_decide_does_not_wait() -> None:
    assert opened_after([(UNIT, 0.5)], rows_decide=False) == 0


def test_what_is_doubted_is_looked_at_once_a_chunk_and_at_once_where_another_alarm_comes() -> None:
    incidents, alarm = Incidents(Settings(), "credit"), Alarm([(UNIT, 0.5), (UNIT, 0.9)], rows_decide=True)
    missing = {"income.missing": START_MS}
    for _ in range(3):
        assert not incidents.review(missing, moment(1), alarm)
    assert incidents.review(missing | {"income.distribution": START_MS}, moment(1), alarm)


def while_nothing_is_predicted(alarms: Sequence[str], label_chunks: Sequence[int]) -> list[int]:
    """Minutes at which something is said, a chunk of labels at a time; few rows follow the onset."""
    incidents, alarm = Incidents(Settings(), "credit"), Alarm([("concept_drift", 0.9)], rows_decide=True, rows=5)
    began = moment(0)
    return [
        minute
        for minute, labels in enumerate(label_chunks)
        if incidents.review(
            dict.fromkeys(alarms, START_MS),
            replace(began, stream_ms=START_MS + minute * 60_000, label_chunks=labels),
            alarm,
        )
    ]


@pytest.mark.parametrize("beside", [(), ("arrivals",)])
def test_what_came_true_is_judged_by_chunks_of_labels_where_nothing_is_predicted(beside: Sequence[str]) -> None:
    alarms = ("loss.distribution", *beside)
    assert while_nothing_is_predicted(alarms, [0, 1, 2, 3, 4]) == [4]
    assert while_nothing_is_predicted(alarms, [0] * 9) == []
    assert while_nothing_is_predicted(("income.missing", *alarms), [0, 1, 2, 3, 4]) == []


def test_a_stop_is_told_though_no_rows_follow_it() -> None:
    assert while_nothing_is_predicted(["arrivals"], [0] * 4) == [2]


# -- what begins while something is open ---------------------------------------------------------------------------


class Steps:
    """What an alarm on repeats comes from, and what it does when there is one on jumps, too."""

    def __init__(self, first: str, second: str, second_onset_ms: int) -> None:
        repeats, both = ("income.repeated",), ("income.repeated", "income.step")
        self.first, self.second = finding(first, 0.9, repeats), finding(second, 0.9, both, second_onset_ms)

    def rows_since(self, names: Sequence[str]) -> int:
        return 100

    def lasts(self, names: Sequence[str]) -> bool:
        return False

    def judge(self, names: Sequence[str], told: Collection[str] = ()) -> Sequence[Finding]:
        return [self.second if "income.step" in names else self.first]


@pytest.mark.parametrize(
    ("first", "second", "began_chunk", "said"),
    [
        ("unknown", "noisy_feature", 60, [("opened", "noisy_feature"), ("resolved", "unknown")]),
        ("covariate_drift", "unit_change", 60, [("opened", "unit_change"), ("resolved", "covariate_drift")]),
        # Told of what was there before: the same thing, better known.
        ("unknown", "noisy_feature", 0, [("updated", "noisy_feature")]),
        # What is broken may look otherwise with more rows, and is one thing.
        ("default_fill", "stale_feature", 60, [("updated", "stale_feature")]),
    ],
)
def test_a_fault_that_begins_on_an_input_of_which_nothing_broken_was_told_is_an_incident_of_its_own(
    first: str, second: str, began_chunk: int, said: list[tuple[str, str]]
) -> None:
    incidents, onset_ms = Incidents(Settings(), "credit"), START_MS + began_chunk * 20_000
    scene = Steps(first, second, onset_ms)
    assert any(incidents.review({"income.repeated": START_MS}, moment(chunk), scene) for chunk in range(10, 15))
    found = incidents.review({"income.repeated": START_MS, "income.step": onset_ms}, moment(70), scene)
    assert sorted((one.status.value, one.causes[0].fault.value) for one in found) == sorted(said)


class Later:
    """What something vague is told of, and the answers' own story where that is passed over."""

    def __init__(self, first: str, probability: float, alone: tuple[str, float], told_of: str) -> None:
        self.first, self.alone, self.told_of = finding(first, probability, (told_of,)), alone, told_of

    def rows_since(self, names: Sequence[str]) -> int:
        return 100

    def lasts(self, names: Sequence[str]) -> bool:
        return False

    def judge(self, names: Sequence[str], told: Collection[str] = ()) -> Sequence[Finding]:
        if list(names) == [self.told_of]:
            return [self.first]
        if told:
            assert set(told) == {self.told_of}
            return [finding(*self.alone, names)]
        return [replace(self.first, signals=self.first.signals | frozenset(names))]


INPUT, BIAS = "income.distribution", ("wrong_model", 0.6)


@pytest.mark.parametrize(
    ("first", "probability", "told_of", "began_chunk", "alone", "said"),
    [
        ("covariate_drift", 0.9, INPUT, 60, BIAS, ["wrong_model"]),
        ("unit_change", 0.5, INPUT, 60, BIAS, ["wrong_model"]),
        ("unit_change", 0.95, INPUT, 60, BIAS, []),  # that is sure, and answers follow from it
        ("covariate_drift", 0.9, INPUT, 5, BIAS, []),  # they began before it was told
        ("covariate_drift", 0.9, INPUT, 60, ("wrong_model", 0.4), []),
        ("covariate_drift", 0.9, INPUT, 60, ("covariate_drift", 0.9), []),
        ("wrong_model", 0.5, "prediction.distribution", 60, BIAS, []),  # that is the answers' story already
    ],
)
def test_answers_that_depart_after_something_vague_was_told_of_inputs_are_judged_by_themselves(
    first: str, probability: float, told_of: str, began_chunk: int, alone: Word, said: list[str]
) -> None:
    incidents, scene = Incidents(Settings(), "credit"), Later(first, probability, alone, told_of)
    assert any(incidents.review({told_of: START_MS}, moment(chunk), scene) for chunk in range(10, 15))
    began_ms = START_MS + began_chunk * 20_000
    alarms = {told_of: START_MS, "residual.distribution": began_ms}
    found = [one for chunk in range(90, 95) for one in incidents.review(alarms, moment(chunk), scene)]
    assert [one.causes[0].fault.value for one in found if one.status.value == "opened"] == said


class FewRows:
    """A fault of region that begins while income is noisy: in the few rows since then income seems to have drifted."""

    def __init__(self) -> None:
        self.noise, self.drift = (
            finding("noisy_feature", 0.9, ("income.unseen",)),
            finding("covariate_drift", 0.9, ("income.unseen",)),
        )
        self.region = finding("new_category", 0.9, ("region.unseen",), START_MS + 60 * 20_000)
        self.asked: list[list[str]] = []

    def rows_since(self, names: Sequence[str]) -> int:
        return 100

    def lasts(self, names: Sequence[str]) -> bool:
        return True

    def judge(self, names: Sequence[str], told: Collection[str] = ()) -> Sequence[Finding]:
        self.asked.append(list(names))
        return [self.noise] if "region.unseen" not in names else [self.region, self.drift]


def test_what_is_open_is_judged_by_the_rows_since_it_began_and_not_by_those_since_another_alarm() -> None:
    incidents, scene = Incidents(Settings(), "credit"), FewRows()
    alarms = {"income.unseen": START_MS}
    (income,) = [one for chunk in range(10, 15) for one in incidents.review(alarms, moment(chunk), scene)]
    alarms["region.unseen"] = START_MS + 60 * 20_000
    scene.asked.clear()
    said = [one for chunk in range(70, 400) for one in incidents.review(alarms, moment(chunk), scene)]
    assert [(one.status.value, one.causes[0].fault.value) for one in said] == [("opened", "new_category")]
    assert [one.fault for one in incidents.open.values()] == ["noisy_feature", "new_category"]
    assert scene.asked[:2] == [["region.unseen"], ["income.unseen"]], "what is open is looked at again, too"
    assert scene.asked.count(["region.unseen"]) > 1
    assert income.causes[0].fault.value == "noisy_feature"


class Late:
    """Income is noisy; a loss that begins much later follows from that, as its own rows say, or those since the loss began."""

    def __init__(self) -> None:
        self.first = finding("noisy_feature", 0.9, ("income.unseen",))

    def rows_since(self, names: Sequence[str]) -> int:
        return 100

    def lasts(self, names: Sequence[str]) -> bool:
        return True

    def judge(self, names: Sequence[str], told: Collection[str] = ()) -> Sequence[Finding]:
        if "loss.distribution" not in names:
            return [self.first]
        follows = self.first.signals | {"loss.distribution"}
        return [replace(self.first, signals=follows, severity=Severity.CRITICAL)]


@pytest.mark.parametrize(("began_chunk", "said"), [(60, []), (600, [("updated", "critical")])])
def test_what_is_too_old_to_be_judged_by_itself_is_told_with_what_follows_late(
    began_chunk: int, said: list[tuple[str, str]]
) -> None:
    incidents, scene = Incidents(Settings(), "credit"), Late()
    alarms = {"income.unseen": START_MS}
    assert any(incidents.review(alarms, moment(chunk), scene) for chunk in range(10, 15))
    alarms["loss.distribution"] = START_MS + began_chunk * 20_000
    found = [
        one
        for chunk in range(began_chunk + 10, began_chunk + 15)
        for one in incidents.review(alarms, moment(chunk), scene)
    ]
    assert [(one.status.value, one.severity.value) for one in found] == said
    (incident,) = incidents.open.values()
    assert "loss.distribution" in incident.signals


def test_an_incident_whose_name_turns_to_what_followed_from_it_is_told_so() -> None:
    """First a drift of income that answers follow; later its own rows say that the model is another."""
    incidents = Incidents(Settings(), "credit")
    first = finding("covariate_drift", 0.9, ("income.distribution",))
    first = replace(first, signals=first.signals | {"residual.distribution"})
    later = finding("wrong_model", 0.9, ("residual.distribution",))
    scene = Late()
    scene.first = first
    alarms = dict.fromkeys(sorted(first.signals), START_MS)
    assert any(incidents.review(alarms, moment(chunk), scene) for chunk in range(10, 15))
    scene.first = later
    found = [one for chunk in range(20, 80) for one in incidents.review(alarms, moment(chunk), scene)]
    assert "wrong_model" in [one.causes[0].fault.value for one in found]
