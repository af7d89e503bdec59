"""What model events tell: weights, structure, outputs, threshold or replicas that differ where the version does not.

Belongs here: comparing descriptions of models, for all rules that go by them. Not here: rules (this file has none, and is passed
over as one), what answers tell (`outputs`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from whydrift.core.case import Case, ModelChange
from whydrift.core.faults.inputs import number
from whydrift.core.faults.outputs import answer_signals, shortened, slack_ms
from whydrift_schemas import ModelDescription, Parameter


@dataclass(frozen=True, slots=True)
class SilentChange:
    """What a model event shows to have changed under an unchanged version.

    structure: its digest or class, the inputs' order, or the tensors' number or size changed.
    tensors: what changed in each of them, in words, worst first.
    is_broken: numbers that no training leaves (not finite, all zero, a norm grown or shrunk tenfold).
    """

    change: ModelChange
    structure: bool
    tensors: tuple[str, ...]
    is_broken: bool


def silent_change(case: Case) -> SilentChange | None:
    """The latest model event whose weights or structure differ from the one before without a new version; None without one."""
    for change in reversed(case.model_changes):
        if change.is_announced or change.before is None:
            continue
        structure = _structure_differs(change.before, change.after)
        found = _tensors(change.before, change.after)
        if structure or found:
            ranked = sorted(found, key=lambda one: not one[1])
            return SilentChange(change, structure, tuple(one[0] for one in ranked), any(one[1] for one in found))
    return None


def shown_by(case: Case, silent: SilentChange) -> frozenset[str]:
    """The alarms that a silent change explains: its own, and the answers' where they changed with it.

    The event may come any time after the change it shows (models describe themselves now and then), but not before.
    """
    answers = answer_signals(case)
    onset_ms = min((s.onset_ms for s in case.alarmed if s.signal in answers), default=case.onset_ms)
    return parameter_alarm(case) | (answers if silent.change.at_ms >= onset_ms - slack_ms(case) else frozenset())


def _structure_differs(before: ModelDescription, after: ModelDescription) -> bool:
    """By the digests where there are two: a tree that is grown anew has other numbers of nodes, and the same structure."""
    if before.features and after.features and [f.name for f in before.features] != [f.name for f in after.features]:
        return True
    old, new = before.structure, after.structure
    if old is not None and new is not None and old.digest is not None and new.digest is not None:
        return old.digest != new.digest
    if before.parameters and after.parameters and _shapes(before.parameters) != _shapes(after.parameters):
        return True
    return old is not None and new is not None and (old.class_name != new.class_name or old.layers != new.layers)


def _shapes(parameters: list[Parameter]) -> dict[str, int]:
    return {one.name: one.count for one in parameters}


def _tensors(before: ModelDescription, after: ModelDescription) -> list[tuple[str, bool]]:
    """For each tensor that changed: what changed, in words, and whether it can be no training's work."""
    old = {one.name: one for one in before.parameters or ()}
    found = []
    for new in after.parameters or ():
        if new.name in old:
            says, is_broken = _difference(old[new.name], new)
            if says:
                found.append((f"{shortened(new.name, 40)}: {says}", is_broken))
    return found


def _difference(old: Parameter, new: Parameter) -> tuple[str, bool]:
    if (new.non_finite or 0) > (old.non_finite or 0):
        return f"{new.non_finite} of {new.count} numbers are not finite", True
    if old.count != new.count:
        return f"{old.count} → {new.count} numbers", False
    if old.zeros is not None and old.zeros < old.count and new.zeros == new.count:
        return "all numbers are 0", True
    if old.l2_norm is not None and new.l2_norm is not None and abs(new.l2_norm - old.l2_norm) > 1e-6 * old.l2_norm:
        is_broken = not 0.1 * old.l2_norm <= new.l2_norm <= 10 * old.l2_norm
        return f"norm {number(old.l2_norm)} → {number(new.l2_norm)}", is_broken
    if old.digest is not None and new.digest is not None and old.digest != new.digest:
        return f"digest {shortened(old.digest, 16)} → {shortened(new.digest, 16)}", False
    return "", False


def parameter_alarm(case: Case) -> frozenset[str]:
    """The signal of a changed model under an unchanged version, where it is alarmed."""
    found = case.world.get("parameters")
    return frozenset({found.signal}) if found is not None and found.is_alarmed else frozenset()


# -- where changed weights come from ---------------------------------------------------------------------------


def resembled_version(case: Case, silent: SilentChange) -> str:
    """The other version whose weights are served now, digest for digest; "" where none that is known has them."""
    now = _digests(silent.change.after)
    if not now:
        return ""
    known = [
        one for change in case.model_changes if change.is_announced for one in (change.after, change.before) if one
    ]
    own = silent.change.after.model_version
    return next((one.model_version for one in reversed(known) if one.model_version != own and _digests(one) == now), "")


def _digests(model: ModelDescription) -> Mapping[str, str]:
    """Digest of each tensor; empty where one has none, as then nothing is known for sure."""
    found = {one.name: one.digest for one in model.parameters or () if one.digest is not None}
    return found if len(found) == len(model.parameters or ()) else {}


def permuted_outputs(silent: SilentChange) -> dict[int, int]:
    """Place now → place before of the outputs whose weights moved to another place of the last layer; empty where none did.

    The collector describes each output by itself as "layer[place]": permuted, they keep their digests.
    """
    before, after = (_outputs(one) for one in (silent.change.before, silent.change.after) if one is not None)
    if before.keys() != after.keys() or sorted(before.values()) != sorted(after.values()):
        return {}
    places = {digest: place for place, digest in before.items()}
    if len(places) < len(before):
        return {}  # two outputs alike: which went where cannot be told
    return {place: places[digest] for place, digest in after.items() if places[digest] != place}


def _outputs(model: ModelDescription) -> dict[int, str]:
    found = {}
    for one in model.parameters or ():
        place = one.name.rpartition("[")[2].removesuffix("]")
        if one.name.endswith("]") and place.isdecimal() and one.digest is not None:
            found[int(place)] = one.digest
    return found


def moved_threshold(case: Case) -> tuple[float, float] | None:
    """Decision threshold before and after, where the latest silent model event changed it."""
    for change in reversed(case.model_changes):
        if change.is_announced or change.before is None:
            continue
        was, now = change.before.decision_threshold, change.after.decision_threshold
        return (was, now) if was is not None and now is not None and was != now else None
    return None


def odd_replicas(silent: SilentChange) -> tuple[str, str] | None:
    """The replica described before and the one described now, where it is two replicas whose weights differ."""
    one = silent.change.before.replica if silent.change.before is not None else None
    other = silent.change.after.replica
    return (one, other) if one and other and one != other else None
