"""The label join: orders of arrival, duplicates, conflicts, time-to-live, bounded memory."""

from zlib import crc32

import pytest

from whydrift.core.labels import RECENT_IDS, SEEN, Answer, Joined, LabelJoin
from whydrift.core.state import pack, unpack

ANSWER = Answer("v1", label="approve", score=0.93)
HOUR_MS = 3_600_000
YEAR_MS = 365 * 24 * HOUR_MS


def join_of(capacity: int = 100, ttl_ms: int = HOUR_MS) -> LabelJoin:
    return LabelJoin(capacity, ttl_ms)


def restored(join: LabelJoin, capacity: int = 100, ttl_ms: int = HOUR_MS) -> LabelJoin:
    return LabelJoin.restore(capacity, ttl_ms, unpack("join", pack("join", join.snapshot())))


def test_a_label_joins_the_prediction_that_waits_for_it() -> None:
    join = join_of()
    assert join.add_prediction("a", 10, ANSWER) is None
    assert join.add_label("a", 25, "deny", "crm") == Joined(ANSWER, 10, 25, "deny", "crm")
    assert join.waiting_for_label == 0
    assert join.counts.labels_joined == 1


def test_a_prediction_joins_the_label_that_came_before_it() -> None:
    join = join_of()
    assert join.add_label("a", 25, "deny", "crm") is None
    assert join.waiting_for_prediction == 1
    assert join.add_prediction("a", 10, ANSWER) == Joined(ANSWER, 10, 25, "deny", "crm")
    assert join.waiting_for_prediction == 0


@pytest.mark.parametrize("first", ["prediction", "label"])
def test_a_label_that_repeats_what_is_known_is_counted_and_ignored(first: str) -> None:
    join = join_of()
    if first == "prediction":
        join.add_prediction("a", 1, ANSWER)
    assert (join.add_label("a", 2, "approve") is None) == (first == "label")
    assert join.add_label("a", 3, "approve") is None
    assert join.counts.labels_duplicate == 1
    assert join.counts.labels_conflicting == 0


def test_of_two_conflicting_labels_the_first_one_wins() -> None:
    join = join_of()
    join.add_label("a", 2, "approve")
    assert join.add_label("a", 3, "deny") is None
    joined = join.add_prediction("a", 1, ANSWER)
    assert isinstance(joined, Joined)
    assert joined.actual == "approve"
    assert join.add_label("a", 4, "deny") is None
    assert join.counts.labels_conflicting == 2


def test_falsy_actuals_are_remembered_as_well() -> None:
    join = join_of()
    join.add_prediction("a", 1, ANSWER)
    join.add_label("a", 2, 0)
    join.add_label("a", 3, 0)
    join.add_label("a", 3, 1)
    assert (join.counts.labels_duplicate, join.counts.labels_conflicting) == (1, 1)


@pytest.mark.parametrize("is_labelled", [False, True])
def test_a_repeated_prediction_is_seen_whether_or_not_its_label_came(is_labelled: bool) -> None:
    join = join_of()
    join.add_prediction("a", 1, ANSWER)
    if is_labelled:
        join.add_label("a", 2, "approve")
    assert join.add_prediction("a", 1, ANSWER) is SEEN
    assert join.counts.predictions_duplicate == 1


def test_repeated_predictions_outside_the_sample_are_seen_too() -> None:
    join = join_of(capacity=4)
    for i in range(200):
        join.add_prediction(f"e{i}", i, ANSWER)
    assert join.sample_share < 0.1
    assert all(join.add_prediction(f"e{i}", i, ANSWER) is SEEN for i in range(200))


def test_a_repeat_is_recognised_within_4096_events_and_forgotten_after_twice_as_many() -> None:
    join = join_of(capacity=4)
    oddball = next(f"x{i}" for i in range(1_000_000) if crc32(f"x{i}".encode()) & 0xFFFF == 0xFFFF)  # not in the sample
    for i in range(1_000):
        join.add_prediction(f"start{i}", i, ANSWER)
    join.add_prediction(oddball, 1_000, ANSWER)
    for i in range(RECENT_IDS - 1):
        join.add_prediction(f"e{i}", 1_001 + i, ANSWER)
    assert join.add_prediction(oddball, 9_000, ANSWER) is SEEN
    for i in range(2 * RECENT_IDS):
        join.add_prediction(f"f{i}", 10_000 + i, ANSWER)
    assert join.add_prediction(oddball, 30_000, ANSWER) is None


def test_a_prediction_without_a_label_expires_just_after_its_time_to_live() -> None:
    join = join_of()
    join.add_prediction("a", 1_000, ANSWER)
    assert join.expire(1_000 + HOUR_MS) == 0
    assert join.expire(1_001 + HOUR_MS) == 1
    assert join.counts.predictions_expired == 1
    assert join.waiting_for_label == 0


def test_labels_of_unknown_events_expire_and_are_counted_as_such() -> None:
    join = join_of()
    join.add_label("nobody", 1_000, "approve")
    assert join.expire(1_001 + HOUR_MS) == 1
    assert join.counts.labels_expired == 1
    assert join.counts.labels_outside_sample == 0


def test_expiry_goes_by_each_events_own_time_when_times_are_out_of_order() -> None:
    join = join_of()
    times = {"late": 5_000, "early": 1_000, "future": 900_000, "middle": 3_000}
    for event_id, at_ms in times.items():
        join.add_prediction(event_id, at_ms, ANSWER)
    assert join.expire(3_001 + HOUR_MS) == 2
    assert join.add_label("late", 6_000, "approve") is not None
    assert join.add_label("future", 900_001, "approve") is not None
    assert join.add_label("middle", 6_000, "approve") is None
    assert join.waiting_for_label == 0


def test_an_event_that_expired_and_came_again_lives_by_its_new_time() -> None:
    join = join_of()
    join.add_label("a", 1_000, "approve")
    join.expire(1_001 + HOUR_MS)
    join.add_label("a", 2 * HOUR_MS, "approve")
    join.add_label("b", 1_000, "approve")
    assert join.expire(2 * HOUR_MS + 1) == 1
    assert join.waiting_for_prediction == 1


def test_a_label_that_waits_anew_is_not_dropped_for_the_age_of_the_one_that_was_joined() -> None:
    join = join_of(capacity=4)
    for event_id in "abcdefghi":  # the join of "a" is forgotten by then
        join.add_label(event_id, 1_000, "approve")
        join.add_prediction(event_id, 1_000, ANSWER)
    join.add_label("a", 90_000, "approve")
    assert join.expire(1_001 + HOUR_MS) == 0
    assert join.waiting_for_prediction == 1


def test_a_joined_event_leaves_nothing_behind_that_could_expire() -> None:
    join = join_of()
    join.add_prediction("a", 1_000, ANSWER)
    join.add_label("a", 2_000, "approve")
    assert join.expire(YEAR_MS) == 0
    assert join.counts.predictions_expired == 0


def test_a_label_a_year_late_is_not_joined_though_the_prediction_was_not_yet_expired() -> None:
    join = join_of()
    join.add_prediction("a", 1_000, ANSWER)
    assert join.add_label("a", YEAR_MS, "approve") is None
    assert join.counts.labels_expired == 1
    # It may have been the label's clock: the prediction still has its chance.
    assert join.add_label("a", 2_000, "approve") is not None


def test_a_label_a_year_late_is_that_of_an_unknown_event_once_stream_time_went_on() -> None:
    join = join_of()
    join.add_prediction("a", 1_000, ANSWER)
    join.expire(YEAR_MS)
    assert join.add_label("a", YEAR_MS, "approve") is None
    assert join.expire(YEAR_MS + HOUR_MS + 1) == 1
    assert (join.counts.predictions_expired, join.counts.labels_expired) == (1, 1)


def test_a_prediction_a_year_after_its_label_is_not_joined() -> None:
    join = join_of()
    join.add_label("a", 1_000, "approve")
    assert join.add_prediction("a", YEAR_MS, ANSWER) is None
    assert join.counts.labels_expired == 1
    assert join.waiting_for_label == 1


def test_joined_events_are_forgotten_after_the_time_to_live() -> None:
    join = join_of()
    join.add_prediction("a", 1_000, ANSWER)
    join.add_label("a", 2_000, "approve")
    join.expire(2_001 + HOUR_MS)
    join.add_label("a", 2_001 + HOUR_MS, "approve")
    assert join.counts.labels_duplicate == 0
    assert join.waiting_for_prediction == 1


def test_no_more_than_capacity_waits_on_either_side_whatever_comes() -> None:
    join = join_of(capacity=50)
    for i in range(5_000):
        join.add_prediction(f"p{i}", i, ANSWER)
        join.add_label(f"l{i}", i, "approve")
        assert join.waiting_for_label <= 50
        assert join.waiting_for_prediction <= 50
    state = join.snapshot()
    assert len(state["predictions"]) + len(state["labels"]) <= 100
    assert join.sample_share < 50 / 2_000


def test_joined_events_that_leave_the_sample_are_forgotten() -> None:
    join = join_of(capacity=20)
    for i in range(20):
        join.add_prediction(f"j{i}", i, ANSWER)
        join.add_label(f"j{i}", i, "approve")
    for i in range(21):
        join.add_prediction(f"p{i}", i, ANSWER)
    mask = round(1 / join.sample_share) - 1
    (young, _), (old, _) = join.snapshot()["joined"][0]
    assert mask
    assert 0 < len(young + old) < 20
    assert not any(crc32(event_id.encode()) & mask for event_id in young + old)


def test_ids_made_to_collide_do_not_break_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whydrift.core.labels.crc32", lambda data: 0)
    join = join_of(capacity=10)
    for i in range(100):
        join.add_prediction(f"p{i}", i, ANSWER)
        join.add_label(f"l{i}", i, "approve")
    assert join.waiting_for_label <= 10
    assert join.waiting_for_prediction <= 10


def test_the_index_by_time_does_not_grow_with_joined_events() -> None:
    join = join_of(capacity=50)
    for i in range(20_000):
        join.add_prediction(f"e{i}", i, ANSWER)
        join.add_label(f"e{i}", i + 1, "approve")
    assert len(join._predictions._heap) < 2_000
    assert len(join.snapshot()["joined"][0][0][0]) <= 50


def test_the_sample_is_an_unbiased_share_of_the_events_in_either_order_of_arrival() -> None:
    """Errors are 30 % of all events; they must be 30 % of the joined ones, at an eighth of the stream."""
    join = join_of(capacity=2_000, ttl_ms=10**9)
    answers = {f"event-{i:07d}": "deny" if i % 10 < 3 else "approve" for i in range(12_000)}
    joined = []
    early = {event_id for place, event_id in enumerate(answers) if place % 4 == 0}
    for place, event_id in enumerate(answers):
        if event_id in early:
            join.add_label(event_id, place, answers[event_id])
        join.add_prediction(event_id, place, ANSWER)
    for place, event_id in enumerate(answers):
        if event_id not in early:
            found = join.add_label(event_id, 20_000 + place, answers[event_id])
            joined += [found] if found else []
    late = len(answers) - len(early)
    assert join.sample_share == 0.125
    assert len(joined) == pytest.approx(late * join.sample_share, rel=0.08)
    assert sum(j.actual == "deny" for j in joined) / len(joined) == pytest.approx(0.3, abs=0.04)
    assert join.counts.labels_outside_sample == len(answers) - join.counts.labels_joined
    assert join.counts.labels_expired == 0


def test_the_sample_widens_again_when_the_buffer_stays_nearly_empty() -> None:
    join = join_of(capacity=40, ttl_ms=1_000)
    for i in range(400):
        join.add_prediction(f"e{i}", 0, ANSWER)
    narrow = join.sample_share
    join.expire(10_000)
    for i in range(4 * 40 - 1):
        join.add_prediction(f"f{i}", 10_000 + i * 500, ANSWER)
        join.expire(10_000 + i * 500)
    assert join.sample_share == narrow
    join.add_prediction("last", 100_000, ANSWER)
    assert join.sample_share == 2 * narrow


def test_labels_of_predictions_left_out_before_the_sample_widened_are_not_of_unknown_events() -> None:
    ttl_ms = 1_000_000
    join = join_of(capacity=40, ttl_ms=ttl_ms)
    for i in range(400):
        join.add_prediction(f"e{i}", 0, ANSWER)
    for i in range(400):  # empties the buffer
        join.add_label(f"e{i}", 1, "approve")
    now_ms = 1
    while join.sample_share < 1:
        now_ms += 1
        join.add_prediction(f"calm{now_ms}", now_ms, ANSWER)
        join.add_label(f"calm{now_ms}", now_ms, "approve")
        join.expire(now_ms)
    before = join.counts.labels_outside_sample
    for i in range(30):
        join.add_label(f"x{i}", now_ms, "approve")
    join.expire(now_ms + ttl_ms + 1)
    unknown = join.counts.labels_expired
    assert 0 < unknown < 30, "most ids would have been left out while the sample was narrow: nothing is known of those"
    assert join.counts.labels_outside_sample - before == 30 - unknown
    for i in range(30):  # a time-to-live later, nothing that was left out can still be labelled
        join.add_label(f"y{i}", now_ms + ttl_ms + 2, "approve")
    join.expire(now_ms + 2 * ttl_ms + 3)
    assert join.counts.labels_expired == unknown + 30


@pytest.mark.parametrize("cut", [150, 230, 330, 350, 420, 520])
def test_a_join_resumed_while_the_sample_narrows_and_widens_goes_on_as_if_it_had_never_stopped(cut: int) -> None:
    def step(join: LabelJoin, i: int) -> None:
        join.add_prediction(f"e{i}", i, ANSWER)
        if i >= 200:
            join.add_label(f"e{i - 200 if i < 300 else i}", i, "approve")
            join.add_label(f"e{i - 100}", i, "approve")
            join.expire(i)
        if i > 500:
            join.add_label(f"nobody{i}", i, "approve")

    whole, join = join_of(capacity=40, ttl_ms=300), join_of(capacity=40, ttl_ms=300)
    shares = []
    for i in range(560):
        step(whole, i)
        shares.append(whole.sample_share)
        if i == cut:
            join = restored(join, 40, 300)
        step(join, i)
    assert min(shares) < shares[-1], "it narrowed, and widened again"
    assert any(not is_sampled for *_, is_sampled in whole.snapshot()["labels"])
    assert pack("join", join.snapshot()) == pack("join", whole.snapshot())


def test_a_restored_join_with_a_smaller_capacity_keeps_to_it_at_once() -> None:
    join = join_of(capacity=100)
    for i in range(100):
        join.add_prediction(f"e{i}", i, ANSWER)
    assert restored(join, capacity=10).waiting_for_label <= 10


def test_a_restored_join_keeps_the_whole_answer() -> None:
    join = join_of()
    answer = Answer("v2", None, None, 3.5, {"a": 0.25, "b": 0.75})
    join.add_prediction("a", 1, answer)
    assert restored(join).add_label("a", 2, 4.0, "crm") == Joined(answer, 1, 2, 4.0, "crm")
