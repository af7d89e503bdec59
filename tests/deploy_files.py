"""What `deploy/generate.py` makes, without running it as a program.

Belongs here: loading that script. Not here: what is made.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

SCRIPT = Path(__file__).parents[1] / "deploy/generate.py"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = made
    spec.loader.exec_module(made)
    return made


def generated() -> dict[Path, str]:
    """Content by path."""
    found: dict[Path, str] = _script().files()
    return found
