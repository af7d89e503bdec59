"""Prints what the pipeline says of each example: `python tests/conformance/table.py [WORD …]` (words: part of fault or example).

For people. Belongs here: the table. Not here: any judgement of it (`test_faults`).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from streams import broken_inputs, said_of

from whydrift.core.faults import rules

LIMIT = 1_600


def main(words: list[str], seed: int = 1) -> None:
    print(f"{'fault: example':80} {'rows':>5}  {'cause':22} {'prob':>5}  incidents, summary")
    for rule in rules():
        for example in rule.examples:
            title = f"{rule.fault}: {example.says}"
            if words and not any(word in title for word in words):
                continue
            found = list(said_of(example, LIMIT, seed))
            print(f"{'' if example.named else 'not '}{title}"[:80], "·", sorted(broken_inputs(example)))
            for one in found:
                what, cause = one.diagnosis, one.diagnosis.causes[0]
                where = f"{what.status:8} {what.incident_id[:4]} #{what.sequence} {what.severity:8}"
                print(f"    {one.rows:5} {where} {cause.fault:22} {cause.probability:5.2f} {what.summary}")


if __name__ == "__main__":
    main(sys.argv[1:])
