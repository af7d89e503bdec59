"""Categories get other names: case, blanks, index maps, renames, merges. Old values vanish as new ones appear with their mass.

Told apart: relabelling the new values as the old ones returns the shares to their reference. A genuinely new category takes
its mass from all the others (`new_category`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import comb

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import gammaincc

from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Floats
from whydrift.core.faults.default_fill import WORDS
from whydrift.core.faults.inputs import chance_of, examined, explained, graded, listed, percent, shares_p, undone
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import change, fill, swap
from whydrift_schemas import Fault, RuledOut, Undo

FAULT = Fault("category_recoding")
_LEAST_FIT = 0.2
_MIN_ROWS = 20
_VANISHED_P = 1e-4
_FORM_P = 1e-3
"""Chance of shares as different as these, from which new values do not stand for those that their form says."""
_ALL_GONE = 0.9
_VANISHED_BY_CHANCE = 1e-3
_MOST_CATEGORIES = 60
"""Categories per side that are matched by their shares; the names' spelling is compared for all."""


@dataclass(frozen=True, slots=True)
class _Recoding:
    """labels: new name → old name. merged: old names that one other value has swallowed → that value."""

    view: ColumnView
    labels: dict[str, str]
    merged: dict[str, str]
    how: str
    share: float
    before: float
    after: float
    fit: float


def examine(case: Case) -> list[Proposal | RuledOut]:
    found: list[Proposal | RuledOut] = []
    for view in examined(case, "distribution", "unseen"):
        if not view.reference.kind.is_coded or len(view.current) < _MIN_ROWS:
            continue
        best = max(_candidates(view), key=lambda one: one.fit, default=None)
        if best is not None and best.fit >= _LEAST_FIT:
            found.append(_proposal(case, best))
        elif view.is_alarmed("unseen"):
            because = f"no relabelling of the new values returns {view.name} to its reference"
            found.append(RuledOut(fault=FAULT, because=because))
    return found


def _candidates(view: ColumnView) -> list[_Recoding]:
    tried = [_by_spelling(view), _by_shares(view), _by_form(view), _merge(view)]
    return [one for one in tried if one is not None]


def _names(view: ColumnView) -> list[str]:
    return [view.column.category(code) for code in view.current.tolist()]


def _by_spelling(view: ColumnView) -> _Recoding | None:
    """New values that are known ones but for case, blanks and punctuation; certain, whatever their share."""
    known = {_plain(name): name for name in reversed(list(view.reference.shares)) if _plain(name)}
    new = {name for name in set(_names(view)) if name not in view.reference.shares}
    labels = {name: known[_plain(name)] for name in sorted(new) if _plain(name) in known}
    return _relabelled(view, labels, "case, blanks or punctuation", 0.98) if labels else None


def _by_form(view: ColumnView) -> _Recoding | None:
    """New values that are known ones with something before or behind them, or their numbers in order, in a part of the rows."""
    shares = view.reference.shares
    counts = Counter(name for name in _names(view) if name not in shares)
    new = sorted(counts)
    if len(new) < 2:
        return None
    for labels in (_affixed(new, shares), *_numbered(new, shares)):
        if labels is None or len(set(labels.values())) < len(labels):
            continue
        # They must come as often as what they stand for does, each in its place.
        usual = np.array([shares[labels[name]] for name in new])
        seen = np.array([counts[name] for name in new])
        g = 2 * float((seen * np.log(seen / seen.sum() / (usual / usual.sum()))).sum())
        if gammaincc((len(new) - 1) / 2, g / 2) > _FORM_P:
            how = "an index map" if all(name.lstrip("-").isdigit() for name in new) else "an addition to each"
            return _relabelled(view, labels, how, 0.96)
    return None


def _affixed(new: list[str], shares: Mapping[str, float]) -> dict[str, str] | None:
    """Each new value with the longest known one that it begins or ends with; None where one has none."""
    known = sorted((name for name in shares if _plain(name)), key=lambda name: (-len(name), name))
    found = {a: next((b for b in known if a.startswith(b) or a.endswith(b)), None) for a in new}
    labels = {a: b for a, b in found.items() if b is not None}
    return labels if len(labels) == len(new) else None


def _numbered(new: list[str], shares: Mapping[str, float]) -> Iterator[dict[str, str]]:
    """Whole numbers as places in the order of known names, or of their frequencies, counted from 0 or 1."""
    if not all(name.lstrip("-").isdigit() for name in new):
        return
    for order in (sorted(shares), list(shares)):
        for first in (0, 1):
            places = {name: int(name) - first for name in new}
            if all(0 <= place < len(order) for place in places.values()):
                yield {name: order[place] for name, place in places.items()}


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _by_shares(view: ColumnView) -> _Recoding | None:
    """New values whose shares are those that old ones lost."""
    names = _names(view)
    counts = Counter(_since_onset(view, names))
    n = sum(counts.values())
    shares = view.reference.shares
    new = [name for name, _ in counts.most_common() if name not in shares][:_MOST_CATEGORIES]
    lost = {name: share - counts[name] / n for name, share in list(shares.items())[:_MOST_CATEGORIES]}
    # Half of the mass must be gone: a category that only shrinks has not been renamed.
    old = [name for name, gone in lost.items() if gone * n > 1 and gone > 0.5 * shares[name]]
    if not new or not old or (len(new) == 1 and new[0].strip().lower() in WORDS):
        return None
    if len(new) > len(old) and sum(lost[b] for b in old) < _ALL_GONE * sum(shares[b] for b in old):
        # More new values than old ones, and the old ones are still there: they have not been renamed.
        return None
    cost = np.array([[abs(np.sqrt(counts[a] / n) - np.sqrt(lost[b])) for b in old] for a in new])
    rows, columns = linear_sum_assignment(cost)
    labels = {new[i]: old[j] for i, j in zip(rows, columns, strict=True)}
    # More new than old: the rest joins where mass is still missing (a split); more old than new: a merge.
    for name in new:
        if name not in labels:
            room = {b: lost[b] - sum(counts[a] / n for a, to in labels.items() if to == b) for b in old}
            labels[name] = max(sorted(room), key=lambda b: room[b])
    gaining = {b: labels_of(labels, b)[0] for b in old if labels_of(labels, b)}
    merged = {b: _swallower(b, lost, counts, n, labels) for b in old if b not in gaining}
    # Categories this rare may be missing by chance, these or others: then it says little that they "became" the new one.
    expected = sum(shares[b] for b in old)
    by_chance = chance_of(n - sum(counts[b] for b in old), n, 1 - expected) * comb(len(shares), len(old))
    sure = 0.94 if by_chance < _VANISHED_BY_CHANCE else 0.65
    how = "an index map" if all(name.lstrip("-").isdigit() for name in new) else "a rename"
    return _relabelled(view, labels, how if not merged else "a merge", sure, merged)


def labels_of(labels: dict[str, str], old: str) -> list[str]:
    """New names that stand for an old one."""
    return [a for a, b in labels.items() if b == old]


def _swallower(old: str, lost: dict[str, float], counts: Counter[str], n: int, labels: dict[str, str]) -> str:
    """The new name that has more mass than its old one lost: where a further vanished category went."""
    surplus = {a: counts[a] / n - lost[b] for a, b in labels.items()}
    return max(sorted(surplus), key=lambda a: surplus[a])


def _merge(view: ColumnView) -> _Recoding | None:
    """Old values that vanished into another known one, which gained exactly their mass."""
    names = _since_onset(view, _names(view))
    counts, n = Counter(names), len(names)
    shares = view.reference.shares
    if n < _MIN_ROWS or any(name not in shares for name in counts):
        return None
    gone = [b for b, share in shares.items() if not counts[b] and (1 - share) ** n < _VANISHED_P]
    gains = {b: counts[b] / n - shares[b] for b in counts}
    if not gone or not gains:
        return None
    into = max(sorted(gains), key=lambda b: gains[b])
    return _relabelled(view, {}, "a merge", 0.88, dict.fromkeys(gone, into))


def _since_onset(view: ColumnView, names: list[str]) -> list[str]:
    """The names from the first row that the change shows in: the first new value, or the last of a vanished one."""
    shares = view.reference.shares
    new = [i for i, name in enumerate(names) if name not in shares]
    if new:
        return names[new[0] :]
    last = {name: i for i, name in enumerate(names)}
    n = len(names)
    ends = [end + 1 for name, end in last.items() if (1 - shares[name]) ** (n - end - 1) < _VANISHED_P]
    return names[max(ends) :] if ends else names


def _relabelled(
    view: ColumnView, labels: dict[str, str], how: str, sure: float, merged: dict[str, str] | None = None
) -> _Recoding:
    """The recoding with what undoing it leaves. Merged values are dealt out again by the old shares."""
    merged = merged or {}
    names = _names(view)
    restored = [labels.get(name, name) for name in names]
    start = len(names) - len(_since_onset(view, names))
    for into in sorted(set(merged.values())):
        olds = [labels.get(into, into), *(b for b in merged if merged[b] == into)]
        restored = _dealt(restored, labels.get(into, into), olds, view, start)
    codes: Floats = np.array([view.column.codes[name] for name in restored])
    before, after = view.log10_evidence(view.current), view.log10_evidence(codes)
    late = codes[start:]
    changed = sum(a != b for a, b in zip(names[start:], restored[start:], strict=True))
    fit = sure * graded(shares_p(view, late)) * undone(before, after)
    return _Recoding(view, labels, merged, how, changed / max(len(late), 1), before, after, fit)


def _dealt(names: list[str], merged: str, olds: list[str], view: ColumnView, start: int) -> list[str]:
    """Rows of a merged value shared out among the old ones in proportion, in order."""
    weights = np.array([view.reference.shares.get(old, 0.0) for old in olds])
    edges = np.cumsum(weights / max(weights.sum(), 1e-12))
    places = [i for i, name in enumerate(names) if name == merged and i >= start]
    result = list(names)
    for k, place in enumerate(places):
        result[place] = olds[min(int(np.searchsorted(edges, (k + 0.5) / len(places))), len(olds) - 1)]
    return result


def _proposal(case: Case, one: _Recoding) -> Proposal:
    name = one.view.name
    pairs = [f'"{old}" → "{new}"' for new, old in one.labels.items()]
    pairs += [f'"{old}" → "{into}"' for old, into in one.merged.items()]
    back = [f'"{new}" → "{old}"' for new, old in one.labels.items()] or [
        f'"{i}" → "{o}" and itself' for o, i in one.merged.items()
    ]
    return Proposal(
        fault=FAULT,
        fit=one.fit,
        explains=explained(case, [one.view], "distribution", "unseen", "repeated"),
        headline=f"{name} is coded otherwise: {listed(pairs)}",
        explanation=(
            f"{percent(one.share)} of the values of {name} are recoded by {one.how}: {listed(pairs, 6)}. "
            f"Relabelled, evidence {one.before:.1f} falls to {one.after:.1f}."
        ),
        action=f"Send the old values of {name}, or map them in front of the model: {listed(back, 6)}.",
        features=(name,),
        undo=Undo(transform=f"{name}: {listed(back, 6)}", evidence_before=one.before, evidence_after=one.after),
        decider="" if one.labels else f"does the source of {name} still know {listed(sorted(one.merged))}?",
    )


_INDEX = {"eu": "0", "us": "1", "apac": "2", "latam": "3"}
_RENAMED = {"eu": "europe", "us": "north-america"}

RULE = Rule(
    fault=FAULT,
    rung=Rung.TRANSFORM,
    examine=examine,
    examples=(
        Example("region arrives in capitals", change(lambda v, i: v.upper(), "region")),
        Example("region has a blank behind it in 5 % of the rows", change(lambda v, i: v + " ", "region", share=0.05)),
        Example("region arrives as an index", change(lambda v, i: _INDEX[v], "region")),
        Example("region comes with a prefix in four of ten rows", change(lambda v, i: f"v2-{v}", "region", share=0.4)),
        Example(
            "region arrives as its place in the alphabet in four of ten rows",
            change(lambda v, i: str(("apac", "eu", "latam", "us").index(v)), "region", share=0.4),
        ),
        Example("eu and us are renamed", change(lambda v, i: _RENAMED.get(v, v), "region")),
        Example("apac is merged into us", change(lambda v, i: "us" if v == "apac" else v, "region")),
        Example(
            "us and apac become one new value", change(lambda v, i: "overseas" if v in ("us", "apac") else v, "region")
        ),
        Example(
            "channel arrives in German",
            change(lambda v, i: {"branch": "filiale", "phone": "telefon"}.get(v, v), "channel"),
        ),
        Example("a new region takes a tenth of all", fill("africa", "region", share=0.1), named=False),
        Example("a tenth of the regions are unknown", fill("unknown", "region", share=0.1), named=False),
        Example("region and channel are swapped", swap("region", "channel"), named=False),
        Example(
            "customers move from eu to us",
            change(lambda v, i: "us" if v == "eu" and i % 2 else v, "region", world=True),
            named=False,
        ),
    ),
    runbook=Runbook(
        means=(
            "The producer codes the category otherwise than when the model was trained; the model meets "
            "values it does not know."
        ),
        confirm=(
            "Compare the values of one raw event with those the diagnosis lists; look for a deployment or a "
            "new code table."
        ),
        do="Map the new values back in front of the model. Score again what was decided since the onset.",
        if_wrong="If the new values mean something new, the model must be trained on them: see new_category.",
    ),
    look_alikes=(Fault.NEW_CATEGORY,),
)
