"""Shared by the conformance tests: a rule that fails, fails the test. (In service it is said to have failed: `diagnose`.)"""

from collections.abc import Sequence

import pytest

from whydrift.core import diagnose
from whydrift.core.case import Case
from whydrift.core.faults.rule import Proposal, Rule
from whydrift_schemas import RuledOut


@pytest.fixture(autouse=True)
def no_rule_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def examined(rule: Rule, case: Case) -> Sequence[Proposal | RuledOut]:
        return rule.examine(case)

    monkeypatch.setattr(diagnose, "_examined", examined)
