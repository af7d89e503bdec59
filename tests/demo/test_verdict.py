"""The table of the demo tells right from wrong. Its diagnoses are made by hand here."""

import pytest
from rich.console import Console

from whydrift.core.settings import MINUTE_MS
from whydrift.demo.scenario import DAY
from whydrift.demo.screen import Picture, news, screen, steps
from whydrift.demo.verdict import Account, Judgement, judge, remarks, table
from whydrift_schemas import FAMILY_OF, Cause, Detected, Diagnosis, Fault, Severity, Status

UNIT = DAY[0]


def diagnosis(
    fault: Fault,
    *features: str,
    at_ms: int = UNIT.begins_ms + MINUTE_MS,
    incident_id: str = "a",
    status: Status = Status.OPENED,
) -> Diagnosis:
    cause = Cause(fault=fault, family=FAMILY_OF[fault], probability=0.9, features=features, explanation="…", action="…")
    return Diagnosis(
        incident_id=incident_id,
        sequence=1,
        status=status,
        model_id="ldl-estimate",
        model_versions=("1",),
        severity=Severity.WARNING,
        onset_at=at_ms,
        detected_at=at_ms,
        resolved_at=at_ms + 60 * MINUTE_MS if status is Status.RESOLVED else None,
        detected=Detected(partition=0, offset=7),
        summary=f"{fault.value} it is",
        causes=(cause,),
        ruled_out=(),
        evidence=(),
    )


def told(*diagnoses: Diagnosis) -> Account:
    account = Account()
    for one in diagnoses:
        account.add(one)
    return account


def printed(account: Account) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table(judge(DAY, account), lambda from_ms, to_ms: (to_ms - from_ms) // 1000))
    return console.export_text()


def test_the_right_fault_at_the_right_feature_is_right() -> None:
    verdict = judge(DAY[:1], told(diagnosis(Fault.UNIT_CHANGE, "total_cholesterol")))
    assert verdict.lines[0].judgement is Judgement.RIGHT
    assert verdict.all_named


@pytest.mark.parametrize(
    "said",
    [
        diagnosis(Fault.COVARIATE_DRIFT, "total_cholesterol"),
        diagnosis(Fault.UNIT_CHANGE, "hdl"),
        diagnosis(Fault.UNIT_CHANGE, "hdl", "total_cholesterol"),
    ],
)
def test_another_fault_or_another_feature_is_wrong(said: Diagnosis) -> None:
    verdict = judge(DAY[:1], told(said))
    assert verdict.lines[0].judgement is Judgement.WRONG
    assert not verdict.all_named


def test_a_fault_that_nobody_spoke_of_is_missed() -> None:
    late = diagnosis(Fault.UNIT_CHANGE, "total_cholesterol", at_ms=UNIT.ends_ms)
    early = diagnosis(Fault.UNIT_CHANGE, "total_cholesterol", at_ms=UNIT.begins_ms - 1, incident_id="b")
    verdict = judge(DAY[:1], told(late, early))
    assert verdict.lines[0].judgement is Judgement.MISSED
    assert [breakage for _, breakage in verdict.others] == [None, None]
    assert "with nothing broken at that time" in remarks(verdict)[0]


def test_a_second_incident_during_a_fault_is_told_beside_the_table() -> None:
    account = told(
        diagnosis(Fault.UNKNOWN, incident_id="b"),
        diagnosis(Fault.UNIT_CHANGE, "total_cholesterol", at_ms=UNIT.begins_ms + 2 * MINUTE_MS),
    )
    verdict = judge(DAY[:1], account)
    assert verdict.lines[0].judgement is Judgement.RIGHT
    assert remarks(verdict) == [f'also said at 09:01, during "{UNIT.what}": unknown it is']


def test_the_table_tells_the_delay_the_end_and_what_it_was_called_by_then() -> None:
    text = printed(
        told(
            diagnosis(Fault.UNIT_CHANGE, "total_cholesterol"),
            diagnosis(Fault.UNKNOWN, status=Status.RESOLVED),
        )
    )
    for part in ("60 events", "1.0 min", "10:01", "by then called unknown", "right", "missed", "nothing"):
        assert part in text


def test_without_a_terminal_each_change_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with screen(Console(width=40, force_terminal=False)) as shown:
        shown.say(steps(DAY)[0])
        shown.say(news(diagnosis(Fault.UNIT_CHANGE, "total_cholesterol")))
        shown.say(news(diagnosis(Fault.UNIT_CHANGE, status=Status.RESOLVED)))
    lines = capsys.readouterr().out.splitlines()
    assert [line[:15] for line in lines] == ["09:00  BROKEN  ", "09:01  opened  ", "10:01  resolved"]


def test_on_a_terminal_the_picture_shows_throughput_metrics_and_open_incidents(
    capsys: pytest.CaptureFixture[str],
) -> None:
    open_one = diagnosis(Fault.UNIT_CHANGE, "total_cholesterol")
    with screen(Console(width=100, force_terminal=True)) as shown:
        shown.say(news(open_one))
        shown.show(Picture(UNIT.begins_ms, 0.1, 3_600, 1_400.0, 900, (UNIT.what,), (open_one,), "http://here/metrics"))
    text = capsys.readouterr().out
    for part in (
        "1,400 events/s",
        "3,600 events",
        "http://here/metrics",
        f"broken now: {UNIT.what}",
        "unit_change it is",
    ):
        assert part in text
