"""`python -m whydrift_schemas` writes the JSON Schema files beside the models; `--check` tells whether they are up to date.

Belongs here: the files. Not here: what is in them (`encoding`).
"""

import argparse
import sys
from pathlib import Path

from whydrift_schemas.encoding import json_schemas

FOLDER = Path(__file__).parent / "json"


def stale(folder: Path) -> list[str]:
    """Names of the files that are missing, differ, or describe nothing any more."""
    expected = json_schemas()
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))


def write(folder: Path) -> None:
    """Bring the folder up to date."""
    folder.mkdir(exist_ok=True)
    expected = json_schemas()
    for name in stale(folder):
        if name in expected:
            (folder / name).write_text(expected[name], encoding="utf-8")
        else:
            (folder / name).unlink()


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m whydrift_schemas", description="Export the wire contract as JSON Schema."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not up to date")
    if not parser.parse_args(arguments).check:
        write(folder)
        return 0
    names = stale(folder)
    if names:
        print(f"not up to date: {', '.join(names)}; run python -m whydrift_schemas", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
