"""The rows in `tests/bench/sample`: `python tests/bench/sample.py DATA_FOLDER`, once; the short fault bench in CI runs on them.

Drawn with a fixed seed, in the tables' own order, from the half of the tables that may be tuned on. UCI Adult: Becker and Kohavi,
1996, CC BY 4.0; diamonds: ggplot2, MIT.
Belongs here: drawing them. Not here: reading them (`real_tables`).
"""

import csv
import gzip
import io
import random
import sys
from pathlib import Path

SAMPLE = Path(__file__).parent / "sample"
ROWS = {"adult_train": 8_000, "adult_test": 4_000, "diamonds": 12_000}
SEED = 7


def draw(source: Path, rows: int) -> bytes:
    with gzip.open(source, "rt", encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    chosen = sorted(random.Random(SEED).sample(range(len(lines)), rows))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines[place] for place in chosen)
    return gzip.compress(text.getvalue().encode(), 9, mtime=0)


def main() -> None:
    for name, rows in ROWS.items():
        path = f"tabular/{name}.csv.gz"
        (SAMPLE / path).write_bytes(draw(Path(sys.argv[1]) / path, rows))


if __name__ == "__main__":
    main()
