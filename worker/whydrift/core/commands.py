"""What people answer: accept new behaviour as the reference, learn a reference anew, or have peace until a time.

Commands come in the same topic as the events, so a replay knows them too. Belongs here: their effect on one model. Not here: how
references are learnt (`monitor`), incidents' lives (`incidents`).
"""

from collections.abc import Mapping, Sequence

from whydrift.core.incidents import Moment, follows_others, plain
from whydrift.core.inputs import FLAGS
from whydrift.core.model import ModelWatch, version_alarms, version_signals
from whydrift.core.picture import Onset
from whydrift_schemas import Action, Command, Diagnosis

_RATES = ("arrivals", "label_arrivals")


class NoSuchTarget(Exception):  # noqa: N818  # reads as what it is
    """The command's author must act: it names an incident or a signal that the model does not have. The message says which."""


def apply(model: ModelWatch, command: Command, now: Moment) -> list[Diagnosis]:
    """Carry out a command; returns what is to be published. Raises NoSuchTarget, having changed nothing."""
    signals = _targets(model, command)
    if command.action is Action.SNOOZE:
        keys = [command.incident_id] if command.incident_id else (command.signals or [""])
        model.incidents.snooze(keys, command.until or 0)
        return model.said(model.incidents.publish(now))
    return settle(model, signals, now, _because(command), keeps_seen=command.action is Action.ACCEPT)


def settle(model: ModelWatch, signals: set[str], now: Moment, because: str, *, keeps_seen: bool) -> list[Diagnosis]:
    """Learn the references of these signals anew, and of what follows from them, and close their incidents for this reason.

    keeps_seen: from what was seen since the onset, and from what comes; else from what comes only.
    """
    alarms, signals = model.alarms(), set(signals)
    # A column is learnt as a whole.
    signals |= {name for monitor in model.monitors() for name in monitor.signals_of(monitor.columns_of(signals))}
    signals |= _attached(model, signals)
    signals |= _following(model, signals)
    settled = [name for name in alarms if plain(name) in signals]
    _learn_anew(model, signals, alarms if keeps_seen else {})
    return model.said(model.incidents.close_signals(settled, now, because))


def _attached(model: ModelWatch, signals: set[str]) -> set[str]:
    """All signals of the incidents that these identify: one thing broke, and it is settled."""
    found: set[str] = set()
    for incident in model.incidents.open.values():
        own = {plain(name) for name in incident.own & incident.signals}
        if own and own <= signals:
            found |= {plain(name) for name in incident.signals}
    return found


def _following(model: ModelWatch, signals: set[str]) -> set[str]:
    """What follows from inputs is settled with them: the answers to them, and how good those are.

    It may show later only. What identifies another incident is not among it.
    """
    if not model.inputs.monitor.columns_of(signals):
        return set()
    others = {
        plain(name)
        for incident in model.incidents.open.values()
        for name in incident.own & incident.signals
        if plain(name) not in signals
    }
    return {name for name in _all_signals(model) if follows_others(name)} - others


def _because(command: Command) -> str:
    word = "accepted" if command.action is Action.ACCEPT else "being learnt anew"
    by = f" by {command.author[:60]}" if command.author else ""
    return word + by + (f" ({command.reason[:80]})" if command.reason else "")


def _targets(model: ModelWatch, command: Command) -> set[str]:
    """The signals a command is about, by their own names; all of them where it names none."""
    known = _all_signals(model)
    signals = set(command.signals or ())
    missing = sorted(signals - known)
    if missing:
        raise NoSuchTarget(
            f"signals: {model.model_id[:80]} has no signal {missing[0][:80]!r}; see whydrift_signal_* in /metrics"
        )
    if command.incident_id is None:
        return signals or known
    incident = model.incidents.open.get(command.incident_id)
    if incident is None:
        raise NoSuchTarget(
            f"incident_id: {model.model_id[:80]} has no open incident {command.incident_id[:80]!r}; it may be resolved already"
        )
    return signals or {plain(name) for name in incident.signals}


def _all_signals(model: ModelWatch) -> set[str]:
    found = {*model.inputs.monitor.levels(), *FLAGS, *_RATES, "parameters"}
    for monitor in (model.dimensions.segments, model.dependence.monitor, *model.label_monitors()):
        found |= monitor.levels().keys()
    for version in model.versions.values():
        found |= {*version_signals(version), *(plain(name) for name in version_alarms(version))}
    return found


def _learn_anew(model: ModelWatch, signals: set[str], onsets: Mapping[str, Onset]) -> None:
    """Learn these signals' references: from the rows since the alarms' onsets where there are any, else from those to come."""
    inputs = model.inputs.monitor
    since = _since(onsets, signals)
    if "schema" in signals and since is not None:
        model.inputs.accept_schema(since)
    inputs.forget_flags(name for name in FLAGS if name in signals)
    inputs.relearn(inputs.columns_of(signals), since)
    for monitor in (model.dimensions.segments, model.dependence.monitor, *model.label_monitors()):
        monitor.relearn(monitor.columns_of(signals), since)
    for version in model.versions.values():
        guarded = [name.removesuffix(".mean") for name in signals if name in ("residual.mean", "loss.mean")]
        columns = version.outputs.columns_of(signals) | version.losses.columns_of(signals) | set(guarded)
        # The odd ones first: what is learnt anew knows of nobody, and compares all others again.
        for watch in version.compared:
            watch.accept(signals & watch.alarms.keys())
        version.relearn(sorted(columns), since)
        for watch in version.compared:
            watch.accept(signals)
    if "arrivals" in signals:
        model.arrivals.accept()
    if "label_arrivals" in signals:
        model.label_arrivals.accept()
    if "parameters" in signals:
        model.accept_parameters()


def _since(onsets: Mapping[str, Onset], signals: set[str]) -> int | None:
    """The earliest offset among the alarms of these signals; None where there is no alarm to go by."""
    offsets: Sequence[int] = [
        onset.offset for name, onset in onsets.items() if plain(name) in signals and onset.offset is not None
    ]
    return min(offsets, default=None)
