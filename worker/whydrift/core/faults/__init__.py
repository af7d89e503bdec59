"""The fault catalogue: one file per fault, with its rule, examples both ways, and runbook lines. Found by its place."""

from importlib import import_module
from pkgutil import iter_modules

from whydrift.core.faults.rule import Rule


def rules() -> tuple[Rule, ...]:
    """Every rule of this package, in the order of elimination (by rung, then by name)."""
    found = []
    for info in iter_modules(__path__):
        rule = getattr(import_module(f"{__name__}.{info.name}"), "RULE", None)
        if isinstance(rule, Rule):
            found.append(rule)
    return tuple(sorted(found, key=lambda rule: (rule.rung, rule.fault)))
