"""The score of the Numenta benchmark on a perfect, a silent and a hand-computed detector, and on what decides between profiles.

Belongs here: the arithmetic of `tests/bench/nab_score.py`. Not here: files and detectors (`tests/bench/nab.py`).
"""

import sys
from math import exp
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from nab_score import PROFILES, Labelled, probation, scored, sigmoid, worths

STANDARD, LOW_FP, LOW_FN = PROFILES
CORPUS = {
    "two": Labelled(1_000, [(300, 399), (700, 749)]),
    "one": Labelled(500, [(200, 219)]),
    "none": Labelled(200, []),
}


def scores(**hits: dict[int, float]) -> dict[str, list[float]]:
    return {name: [hits.get(name, {}).get(row, 0.0) for row in range(file.rows)] for name, file in CORPUS.items()}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_the_perfect_detector_has_100_and_the_silent_one_0(profile) -> None:
    perfect = scored(CORPUS, scores(two={300: 1.0, 700: 0.6}, one={200: 0.6}), profile)
    assert perfect.score == pytest.approx(100)
    assert (perfect.threshold, perfect.found, perfect.windows, perfect.outside) == (0.6, 3, 3, 0)
    assert scored(CORPUS, scores(), profile).score == 0


def test_profiles_have_the_published_weights() -> None:
    assert [(p.name, p.tp, p.fp, p.fn) for p in PROFILES] == [
        ("standard", 1.0, 0.11, 1.0),
        ("reward_low_FP_rate", 1.0, 0.22, 1.0),
        ("reward_low_FN_rate", 1.0, 0.11, 2.0),
    ]


@pytest.mark.parametrize(
    ("position", "worth"), [(-1.0, 0.98661), (-0.5, 0.84828), (0.0, 0.0), (1.0, -0.98661), (3.01, -1.0)]
)
def test_the_sigmoid_has_the_published_values(position: float, worth: float) -> None:
    assert sigmoid(position) == pytest.approx(worth, abs=5e-6)


@pytest.mark.parametrize(("rows", "expected"), [(500, 75), (1_127, 169), (4_032, 604), (5_000, 750), (15_902, 750)])
def test_15_percent_are_for_learning_and_750_rows_at_most(rows: int, expected: int) -> None:
    assert probation(rows) == expected


def test_a_detector_reckoned_by_hand() -> None:
    """One file: found in the middle of the first window, the second missed, one detection long before, one behind the first."""
    detections = scores(two={350: 1.0, 250: 1.0, 449: 1.0})
    best = 2 / (1 + exp(-5)) - 1
    middle = (2 / (1 + exp(-5 * 0.5)) - 1) / best  # 50 of 100 rows are left, the row itself among them
    behind = 0.11 * (2 / (1 + exp(5 * 50 / 99)) - 1)
    raw = middle - 0.11 + behind - 2  # two windows of three are missed
    result = scored(CORPUS, detections, STANDARD)
    assert result.score == pytest.approx(100 * (raw + 3) / (3 + 3))
    assert (result.found, result.outside) == (1, 2)
    low_fn = scored(CORPUS, detections, LOW_FN)
    assert low_fn.score == pytest.approx(100 * (raw - 2 + 6) / (3 + 6))


def test_only_the_best_detection_of_a_window_counts() -> None:
    once, often = scores(two={300: 1.0}), scores(two=dict.fromkeys(range(300, 400), 1.0))
    assert scored(CORPUS, once, STANDARD).score == pytest.approx(scored(CORPUS, often, STANDARD).score)


def test_rows_for_learning_count_for_nothing() -> None:
    quiet, loud = scores(two={300: 0.5}), scores(two={300: 0.5} | dict.fromkeys(range(150), 0.9))
    assert scored(CORPUS, quiet, STANDARD).score == scored(CORPUS, loud, STANDARD).score


def test_one_threshold_serves_all_files_and_is_chosen_for_each_profile() -> None:
    """Six false ones between two windows' scores: letting them through pays where a missed window costs two."""
    false = dict.fromkeys(range(800, 1_000, 16), 0.4)
    detections = scores(two={300: 0.8} | false, one={200: 0.3})
    assert scored(CORPUS, detections, LOW_FP).threshold == 0.8
    assert scored(CORPUS, detections, LOW_FN).threshold == 0.3


def test_windows_of_another_file_do_not_excuse_a_detection() -> None:
    worth, window = worths(CORPUS["none"], STANDARD)
    assert np.allclose(worth, -0.11)
    assert (window == -1).all()


@pytest.mark.parametrize(
    ("values", "message"), [([0.0] * 3, "3 scores for 500 rows"), ([float("nan")] * 500, "number")]
)
def test_scores_that_are_none_are_refused(values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scored({"one": CORPUS["one"]}, {"one": values}, STANDARD)
