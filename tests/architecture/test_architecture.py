"""Arrows point one way, the core is pure, and things are found where their names say.

`whydrift_schemas ← core ← shell ← app ← __main__`; config and the demo stand beside app. Each rule is shown to turn red on a
source made up for it: a gate that nobody saw closed is none.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from whydrift.core.faults import rules

ROOT = Path(__file__).parents[2]
SOURCES = {
    ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
    for root in (ROOT / "worker", ROOT / "schemas")
    for path in sorted(root.rglob("*.py"))
}
"""Path of every module of ours."""
EVERY_MODULE = pytest.mark.parametrize("module", SOURCES)


# Import direction -------------------------------------------------------------------------------------------------------------

MAY_IMPORT: Mapping[str, frozenset[str]] = {
    "whydrift_schemas": frozenset(),
    "whydrift.core": frozenset({"whydrift_schemas"}),
    "whydrift.shell": frozenset({"whydrift_schemas", "whydrift.core"}),
    "whydrift.config": frozenset({"whydrift_schemas", "whydrift.core", "whydrift.shell"}),
    "whydrift.demo": frozenset({"whydrift_schemas", "whydrift.core", "whydrift.shell"}),
    "whydrift.app": frozenset({"whydrift_schemas", "whydrift.core", "whydrift.shell", "whydrift.config"}),
    "whydrift.__main__": frozenset({"whydrift.shell", "whydrift.config", "whydrift.demo", "whydrift.app"}),
    "whydrift": frozenset(),
}
"""What each layer may import, itself apart. The bare package `whydrift` holds the version, which everybody may know."""


def layer(module: str) -> str | None:
    """The layer a module of ours belongs to; None for others' modules."""
    parts = module.split(".")
    if parts[0] == "whydrift_schemas":
        return "whydrift_schemas"
    return ".".join(parts[:2]) if parts[0] == "whydrift" else None


def imports(source: str, module: str) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything imported, at the top or within a function, or for type checkers only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(module.split(".")[: -node.level]) if node.level else ""
            origin = ".".join(part for part in (base, node.module or "") if part)
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def wrong_imports(source: str, module: str) -> list[str]:
    own = layer(module)
    assert own is not None
    assert own in MAY_IMPORT, f"{module} is in no known layer"
    allowed = MAY_IMPORT[own] | {own, "whydrift"}
    return [
        f"{module}:{line} imports {name}"
        for line, name in imports(source, module)
        if (other := layer(name)) is not None and other not in allowed and name != "whydrift.__version__"
    ]


@EVERY_MODULE
def test_no_module_imports_against_the_arrows(module: str) -> None:
    assert wrong_imports(SOURCES[module].read_text("utf-8"), module) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("whydrift_schemas.values", "from whydrift.core.columns import Kind"),
        ("whydrift.core.decode", "import whydrift.shell.worker"),
        ("whydrift.core.faults.outliers", "from whydrift import shell"),
        ("whydrift.core.decode", "def late():\n    from whydrift.shell import metrics"),
        ("whydrift.core.faults.outliers", "from ...shell import logs"),
        ("whydrift.core.records", "if TYPE_CHECKING:\n    from whydrift.config import Config"),
        ("whydrift.shell.worker", "from whydrift.app import run"),
        ("whydrift.shell.worker", "from whydrift.demo.play import play"),
        ("whydrift.demo.play", "from whydrift.app import run"),
        ("whydrift.config", "import whydrift.app"),
        ("whydrift.app", "from whydrift.demo import play"),
        ("whydrift.app", "from whydrift.__main__ import main"),
    ],
)
def test_an_import_against_the_arrows_is_seen(module: str, source: str) -> None:
    assert len(wrong_imports(source, module)) == 1


def test_a_module_of_no_known_layer_is_seen() -> None:
    with pytest.raises(AssertionError, match="no known layer"):
        wrong_imports("", "whydrift.helpers")


# Purity -----------------------------------------------------------------------------------------------------------------------

IMPURE_MODULES = frozenset({
    "asyncio", "concurrent", "confluent_kafka", "fcntl", "glob", "http", "httpx", "io", "kafka", "locale", "logging",
    "multiprocessing", "os", "pathlib", "pickle", "platform", "prometheus_client", "queue", "random", "requests",
    "rich", "secrets", "select", "shelve", "shutil", "signal", "socket", "ssl", "starlette", "structlog",
    "subprocess", "sys", "tempfile", "threading", "time", "typer", "urllib", "uuid", "uvicorn", "yaml", "zoneinfo",
    "numpy.random",
})  # fmt: skip
"""Clocks, sockets, files, the environment, random sources, threads, telemetry: and pickle, as a topic is input."""
IMPURE_CALLS = frozenset({"open", "input", "print", "exec", "eval", "__import__", "breakpoint"})
CLOCKS = frozenset({"now", "utcnow", "today"})
LOCAL = frozenset({"fromtimestamp", "astimezone"})
"""Depend on the machine's time zone where none is given."""


def _reads_clock(call: ast.Call, name: str) -> bool:
    given = len(call.args) + len(call.keywords)
    return name in CLOCKS or (name in LOCAL and given < (2 if name == "fromtimestamp" else 1))


def impurities(source: str, module: str = "whydrift.core.made_up") -> list[str]:
    """What a module of the core must not do, with its line."""
    found = []
    for line, name in imports(source, module):
        prefixes = {".".join(name.split(".")[:length]) for length in (1, 2)}
        found += [f"{module}:{line} imports {name}"] * bool(prefixes & IMPURE_MODULES)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            found.append(f"{module}:{node.lineno} calls {node.func.id}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _reads_clock(node, node.func.attr):
            found.append(f"{module}:{node.lineno} calls {ast.unparse(node.func)}")
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("np.random", "numpy.random"):
            found.append(f"{module}:{node.lineno} uses {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("module", [name for name in SOURCES if layer(name) in ("whydrift.core", "whydrift_schemas")])
def test_the_core_reads_no_clock_socket_file_environment_or_random_source(module: str) -> None:
    if module == "whydrift_schemas.__main__":
        return  # the command line that writes the JSON Schema files
    assert impurities(SOURCES[module].read_text("utf-8"), module) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from time import monotonic",
        "from datetime import datetime\nat = datetime.now(UTC)",
        "import datetime as dt\nday = dt.date.today()",
        "from datetime import datetime\nat = datetime.fromtimestamp(0)",
        "at = moment.astimezone()",
        "import socket",
        "from os import environ",
        "import os.path",
        "import random",
        "from numpy.random import default_rng",
        "import numpy as np\ndraw = np.random.default_rng()",
        "text = open('f').read()",
        "from pathlib import Path",
        "import threading",
        "import logging",
        "import structlog",
        "import requests",
        "from kafka import KafkaConsumer",
        "from confluent_kafka import Consumer",
        "from prometheus_client import Counter",
        "import pickle",
        "from uuid import uuid4",
        "def late():\n    import time",
        "print('here')",
    ],
)
def test_what_is_impure_is_seen(source: str) -> None:
    assert len(impurities(source)) == 1


def test_what_is_pure_is_let_pass() -> None:
    assert (
        impurities("import numpy as np\nfrom datetime import datetime\nx = np.sort(y)\nt = datetime.fromisoformat(s)")
        == []
    )


# Names and places -------------------------------------------------------------------------------------------------------------


def misplaced(modules: Mapping[str, str]) -> list[str]:
    """Faults (module → fault) whose file has another name."""
    return [f"{fault} is in {module}" for module, fault in modules.items() if module.rpartition(".")[2] != fault]


def fault_of(source: str) -> str | None:
    """The fault that a file says it is about, by its `FAULT = Fault("…")`; None where there is none."""
    for node in ast.parse(source).body:
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == "FAULT"
            and isinstance(node.value, ast.Call)
        ):
            return str(ast.literal_eval(node.value.args[0]))
    return None


def test_every_fault_is_in_the_file_of_its_name() -> None:
    sources = {
        name: path.read_text("utf-8") for name, path in SOURCES.items() if name.startswith("whydrift.core.faults.")
    }
    faults = {name: fault for name, source in sources.items() if (fault := fault_of(source)) is not None}
    assert misplaced(faults) == []
    assert {str(rule.fault) for rule in rules()} == set(faults.values())


def test_a_fault_in_a_file_of_another_name_is_seen() -> None:
    fault = fault_of('"""Doc."""\nFAULT = Fault("outliers")\n')
    assert fault == "outliers"
    assert misplaced({"whydrift.core.faults.noise": fault}) == ["outliers is in whydrift.core.faults.noise"]


def has_docstring(source: str) -> bool:
    return bool((ast.get_docstring(ast.parse(source)) or "").strip())


@EVERY_MODULE
def test_every_file_says_at_its_top_what_belongs_in_it(module: str) -> None:
    assert has_docstring(SOURCES[module].read_text("utf-8"))


def test_a_file_without_a_docstring_is_seen() -> None:
    assert not has_docstring("import json\n'''not at the top'''")
    assert not has_docstring('"""  """')


PLACES = ("worker", "schemas", "tests", "deploy", "docs", ".ci", ".github")
_CODE = re.compile(r"`([^`\s]+)`")
_LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")


def named_paths(text: str) -> list[str]:
    """Paths of this repository that a document names in code or in links; patterns with <…>, * or … are not paths."""
    code = [name for name in _CODE.findall(text) if name.startswith(tuple(f"{place}/" for place in PLACES))]
    links = [name for name in _LINK.findall(text) if "://" not in name and not name.startswith("mailto:")]
    return [name for name in code + links if not re.search(r"[<>*…{}]", name)]


def missing_paths(text: str, root: Path) -> list[str]:
    return [name for name in named_paths(text) if not (root / name).exists()]


@pytest.mark.parametrize("document", sorted(path.name for path in ROOT.glob("*.md")))
def test_every_path_named_in_a_document_exists(document: str) -> None:
    assert missing_paths((ROOT / document).read_text("utf-8"), ROOT) == []


def test_a_path_that_does_not_exist_is_seen() -> None:
    text = "See `worker/gone.py`, [this](docs/lost.md#part), `tests/<name>.py`, [that](https://x.org) and `tests/conftest.py`."
    assert missing_paths(text, ROOT) == ["worker/gone.py", "docs/lost.md"]
