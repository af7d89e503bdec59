"""What whydrift says of the streams made by `streams.py`: `python tests/bench/judge_streams.py FOLDER`, after it.

Runs `whydrift profile` and `whydrift replay` on each as a user would, and prints a Markdown table: what broke, what was said and
how many predictions later (the first word of each incident, and the last where it names another fault), and what was said before
anything had broken. Right: the first incident names the fault, first and last; of healthy streams: nothing is said.
Belongs here: running the commands and comparing. Not here: the streams.
"""

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Facts = Mapping[str, Any]


def whydrift(*arguments: str) -> float:
    """Seconds it took."""
    begun_s = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "whydrift", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"whydrift {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return time.perf_counter() - begun_s


def diagnoses(folder: Path, name: str) -> tuple[list[Facts], float, float]:
    """What `replay` wrote, and the seconds that `profile` and `replay` took."""
    reference, output = folder / f"{name}.ref", folder / f"{name}.diagnoses.jsonl"
    profile_s = whydrift("profile", str(folder / f"{name}.healthy.jsonl.gz"), "--output", str(reference))
    live = str(folder / f"{name}.live.jsonl.gz")
    replay_s = whydrift("replay", live, "--reference", str(reference), "--output", str(output))
    return [json.loads(line) for line in output.read_text("utf-8").splitlines()], profile_s, replay_s


def predictions_between(path: Path, first: int, last: int) -> int:
    with gzip.open(path, "rb") as file:
        lines = [line for number, line in enumerate(file) if first <= number <= last]
    return sum(b'"kind":"prediction"' in line for line in lines)


def told(diagnosis: Facts) -> str:
    cause = diagnosis["causes"][0]
    features = f"({', '.join(cause['features'])})" if cause["features"] else ""
    return f"{cause['fault']}{features} {cause['probability']:.2f}"


def fault_of(diagnosis: Facts) -> str:
    return str(diagnosis["causes"][0]["fault"])


def words(incident: Sequence[Facts]) -> str:
    """The first word on an incident, and the last where it names another fault."""
    first, last = incident[0], incident[-1]
    return told(first) if fault_of(first) == fault_of(last) else f"{told(first)}, later {told(last)}"


def judged(said: Sequence[Facts], truth: Facts, live: Path) -> tuple[str, str, str, str]:
    """Right or not, predictions until the first word, the words after the break, and those before it."""
    incidents: dict[str, list[Facts]] = {}
    for one in said:
        incidents.setdefault(one["incident_id"], []).append(one)
    line = float("inf") if truth["fault"] is None else truth["line"]
    before = [one for one in incidents.values() if one[0]["detected"]["offset"] < line]
    after = [one for one in incidents.values() if one not in before]
    if truth["fault"] is None:
        right = not incidents
    else:
        right = bool(after) and {fault_of(after[0][0]), fault_of(after[0][-1])} == {truth["fault"]}
    delay = str(predictions_between(live, truth["line"], after[0][0]["detected"]["offset"])) if after else ""
    return "yes" if right else "no", delay, "; ".join(map(words, after)) or "-", "; ".join(map(words, before)) or "-"


def main() -> None:
    folder = Path(sys.argv[1])
    truths = json.loads((folder / "truth.json").read_text("utf-8"))
    print("| stream | what breaks | right | after predictions | said | said before | profile, replay s |")
    print("|---|---|---|---|---|---|---|")
    for name, truth in truths.items():
        said, profile_s, replay_s = diagnoses(folder, name)
        right, delay, after, before = judged(said, truth, folder / f"{name}.live.jsonl.gz")
        what = truth["what"] if truth["fault"] is None else f"{truth['what']} (`{truth['fault']}`)"
        cells = (f"`{name}`", what, right, delay, after, before, f"{profile_s:.0f}, {replay_s:.0f}")
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
