"""Values that health never had take mass from all the others alike.

Told apart: the known values keep their proportions. Where known ones vanish in exchange it is `category_recoding`; a word for
"not known" is `default_fill`.
"""

from collections import Counter

import numpy as np

from whydrift.core.case import Case, ColumnView
from whydrift.core.faults.default_fill import WORDS
from whydrift.core.faults.inputs import are, chance_of, examined, explained, graded, listed, percent, shares_p, undone
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import change, fill, scatter
from whydrift_schemas import Fault, RuledOut, Undo

FAULT = Fault("new_category")
_LEAST_FIT = 0.2
_P = 1e-4


def examine(case: Case) -> list[Proposal | RuledOut]:
    found: list[Proposal | RuledOut] = []
    for view in examined(case, "unseen", "distribution"):
        if view.reference.kind.is_coded and len(view.current):
            found += _judge(case, view)
    return found


def _judge(case: Case, view: ColumnView) -> list[Proposal | RuledOut]:
    names = [view.column.category(code) for code in view.current.tolist()]
    is_new = np.array([name not in view.reference.shares for name in names])
    usual = (view.reference.singletons + 1) / max(view.reference.n, 1)
    if chance_of(int(is_new.sum()), len(names), usual) > _P:
        return []
    first = int(np.argmax(is_new))
    rest = view.current[first:][~is_new[first:]]
    if len(rest) < 0.05 * len(view.current[first:]):
        # Nothing of the old is left: another coding, not a new value.
        return [
            RuledOut(fault=FAULT, because=f"all values of {view.name} are new: it is another coding or another column")
        ]
    before, after = view.log10_evidence(view.current), view.log10_evidence(view.current[~is_new])
    p = shares_p(view, rest)
    values = [name for name, _ in Counter(np.array(names)[is_new].tolist()).most_common()]
    fit = (0.35 if values[0].strip().lower() in WORDS else 0.9) * graded(p) * undone(before, after)
    if fit < _LEAST_FIT:
        because = f"the known values of {view.name} do not keep their proportions (chance {percent(p)})"
        return [RuledOut(fault=FAULT, because=because)]
    share = float(is_new[first:].mean())
    shown = listed([f'"{value}"' for value in values])
    return [
        Proposal(
            fault=FAULT,
            fit=fit,
            explains=explained(case, [view], "unseen", "distribution", "repeated"),
            headline=(
                f"{view.name} has {are(values, 'a new value', 'new values')} {shown} in {percent(share)} of the rows"
            ),
            explanation=(
                f"{len(values)} {are(values, 'value', 'values')} of {view.name} that health never had "
                f"({shown}) in {percent(share)} of the rows; "
                f"the known ones keep their proportions. Without the new ones evidence {before:.1f} falls "
                f"to {after:.1f}."
            ),
            action=(
                f"Ask what {shown} is in {view.name}; the model never learnt it: decide by rule, or train it "
                "on examples."
            ),
            features=(view.name,),
            undo=Undo(transform=f"rows with {shown} left out", evidence_before=before, evidence_after=after),
        )
    ]


RULE = Rule(
    fault=FAULT,
    rung=Rung.MARGINAL,
    examine=examine,
    examples=(
        Example("a new region takes a tenth of all", fill("africa", "region", share=0.1)),
        Example("a new channel in 3 % of the rows", fill("partner", "channel", share=0.03)),
        Example(
            "half of the customers come by many new channels",
            change(lambda v, i: f"partner-{int(9 * scatter(i))}", "channel", share=0.5),
        ),
        Example("region arrives in capitals", change(lambda v, i: v.upper(), "region"), named=False),
        Example("eu is renamed", change(lambda v, i: "europe" if v == "eu" else v, "region"), named=False),
        Example("a tenth of the regions are unknown", fill("unknown", "region", share=0.1), named=False),
    ),
    runbook=Runbook(
        means=(
            "Something the model never saw has come up: a new product, country, channel; it is scored by what "
            "the encoder does with it."
        ),
        confirm=(
            "Look at a few events with the new value: are they real customers, and is the value spelt as its "
            "source means it?"
        ),
        do="Decide by rule or by hand for the new value until the model has learnt it.",
        if_wrong="If it is another spelling of a known value, map it (category_recoding).",
    ),
    look_alikes=(Fault.CATEGORY_RECODING,),
)
