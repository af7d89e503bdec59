"""What the e-process promises: where a change began, that it ends, and that nothing is lost when bets are made anew."""

import numpy as np
import pytest

from whydrift.core.columns import Floats
from whydrift.core.detectors import families
from whydrift.core.detectors.bets import Bets, Tolerance
from whydrift.core.evidence import EvidenceProcess, mixture_log10
from whydrift.core.state import pack, unpack

CHUNK = 20


def bets(share: float, n: int = 2_000) -> Bets:
    return families()["bernoulli"].make(np.array([1 - share, share]), Tolerance(n, 200, 0.2))


def counts(*ones: int) -> Floats:
    """A chunk in which each signal was yes so often: (signals, 2)."""
    yes = np.array(ones, float)
    return np.stack([CHUNK - yes, yes], axis=1)


def feed(process: EvidenceProcess, chunk: Floats, first: int, last: int) -> None:
    """Chunks number `first` to `last` − 1; chunk k begins at offset 20 k, at second k, at row 20 k."""
    for k in range(first, last):
        process.update(chunk, 1_000 * k, CHUNK * k, CHUNK * k)


def test_there_is_no_evidence_before_the_first_chunk() -> None:
    process = EvidenceProcess([bets(0.05), bets(0.5)])
    assert process.log10().tolist() == [-np.inf, -np.inf]
    assert EvidenceProcess([]).log10().tolist() == []


def test_evidence_after_a_chunk_is_the_mean_of_the_recursion_over_the_bets() -> None:
    one = bets(0.05)
    process = EvidenceProcess([one])
    m = np.zeros(len(one.weights))
    for yes in (1, 4, 0, 7):
        m = (m + 1) * np.exp(counts(yes)[0] @ one.log_f)
        process.update(counts(yes), 0, 0)
        assert process.log10()[0] == pytest.approx(np.log10(m @ one.weights))


def test_evidence_of_tiers_is_the_least_of_their_means() -> None:
    """The first tier gains more of a few, the second one, of which a head start is known, of none."""
    tiers = [bets(0.05), bets(0.2)]
    both = Bets(
        np.concatenate([one.log_f for one in tiers], axis=1),
        np.concatenate([tiers[0].weights / 2, tiers[1].weights * 50]),
        tiers=2,
    )
    process = EvidenceProcess([bets(0.5), both, bets(0.3)])
    apart = [EvidenceProcess([one]) for one in tiers]
    decided = set()
    for yes in [0] * 30 + [8] * 10:
        process.update(counts(1, yes, 2), 0, 0)
        for one in apart:
            one.update(counts(yes), 0, 0)
        means = [apart[0].values()[0] / 2, apart[1].values()[0] * 50]
        decided.add(int(np.argmin(means)))
        assert process.values()[1] == pytest.approx(min(means))
        assert process.recent_log10(1) == pytest.approx(np.log10(min(means)))
    assert decided == {0, 1}
    chunk = counts(6)[0]
    batch = min(mixture_log10(one, chunk) + np.log10(share) for one, share in zip(tiers, (0.5, 50.0), strict=True))
    assert process.batch_log10(1, chunk) == pytest.approx(batch)
    assert mixture_log10(both, chunk) == pytest.approx(batch)


def test_signals_with_different_numbers_of_bets_do_not_disturb_each_other() -> None:
    log_f = np.concatenate([bets(0.5).log_f] * 2, axis=1)
    wide = Bets(log_f, np.full(log_f.shape[1], 1 / log_f.shape[1]))
    together, alone = EvidenceProcess([bets(0.05), wide]), EvidenceProcess([bets(0.05)])
    for yes in (1, 9, 9):
        together.update(counts(yes, 10), 0, 0)
        alone.update(counts(yes), 0, 0)
    assert together.log10()[0] == pytest.approx(alone.log10()[0])


def test_the_onset_is_the_first_chunk_of_the_change_and_no_chunk_of_health() -> None:
    process = EvidenceProcess([bets(0.05), bets(0.05)])
    feed(process, counts(1, 1), 0, 50)
    feed(process, counts(1, 8), 50, 55)
    assert process.log10()[1] > 6
    assert process.onset(1) == (50_000, 1_000)
    feed(process, counts(1, 8), 55, 500)
    assert process.onset(1) == (50_000, 1_000)


def test_the_onset_of_a_second_change_is_not_that_of_the_first() -> None:
    process = EvidenceProcess([bets(0.05)])
    feed(process, counts(8), 0, 5)
    feed(process, counts(1), 5, 200)
    assert process.log10()[0] < 1
    feed(process, counts(8), 200, 205)
    assert process.onset(0) == (200_000, 4_000)


def test_restarted_evidence_tells_a_change_that_lasts_from_one_that_ended() -> None:
    process = EvidenceProcess([bets(0.05)])
    feed(process, counts(8), 0, 20)
    process.forget_recent(0)
    feed(process, counts(1), 20, 30)
    assert process.recent_log10(0) < 1
    assert process.log10()[0] > 6, "what was gathered before is only slowly forgotten"
    process.forget_recent(0)
    feed(process, counts(8), 30, 40)
    assert process.recent_log10(0) > 6


def test_the_strongest_bet_comes_down_once_a_change_is_over_and_not_while_it_lasts() -> None:
    process = EvidenceProcess([bets(0.05)])
    feed(process, counts(4), 0, 100)
    process.follow(0, 2_000)
    for k in range(100, 400):
        feed(process, counts(0 if k % 2 else 8), k, k + 1)
        assert process.fallen(0)[0] < 10
    feed(process, counts(1), 400, 440)
    fall, since = process.fallen(0)
    assert fall > 16
    assert since in range(7_960, 8_001)


def test_a_reset_forgets_one_signal_and_leaves_the_others() -> None:
    process = EvidenceProcess([bets(0.05), bets(0.05)])
    feed(process, counts(8, 8), 0, 10)
    before = process.log10()
    process.reset(0)
    assert process.log10().tolist() == [-np.inf, before[1]]
    feed(process, counts(8, 8), 10, 11)
    assert process.onset(0) == (10_000, 200)
    assert process.onset(1) == (0, 0)


def test_evidence_stays_finite_however_long_and_strong_a_change_is() -> None:
    process = EvidenceProcess([bets(0.05), bets(0.05)])
    feed(process, np.array([[0.0, 1e6], [0.95e6, 0.05e6]]), 0, 300)
    assert 100 < process.log10()[0] < 308
    assert process.log10()[1] < 1
    feed(process, counts(1, 1), 300, 2_000)
    assert np.isfinite(process.log10()).all()


def test_a_snapshot_through_bytes_goes_on_as_if_nothing_had_happened() -> None:
    def fresh() -> EvidenceProcess:
        return EvidenceProcess([bets(0.05), bets(0.3)])

    kept = fresh()
    feed(kept, counts(3, 6), 0, 7)
    kept.follow(1, 140)
    other = fresh()
    other.restore(unpack("evidence", pack("evidence", kept.snapshot())))
    for process in (kept, other):
        feed(process, counts(5, 9), 7, 12)
    assert other.log10().tolist() == kept.log10().tolist()
    assert [other.onset(i) for i in (0, 1)] == [kept.onset(i) for i in (0, 1)]
    assert other.recent_log10(1) == kept.recent_log10(1)
    assert other.fallen(1) == kept.fallen(1)


def test_evidence_is_carried_over_to_another_place_with_its_onset() -> None:
    old = EvidenceProcess([bets(0.5), bets(0.05)])
    feed(old, counts(10, 1), 0, 10)
    feed(old, counts(10, 8), 10, 14)
    new = EvidenceProcess([bets(0.05), bets(0.5), bets(0.2)])
    new.carry(0, old, 1)
    assert new.log10()[0] == pytest.approx(old.log10()[1])
    assert new.onset(0) == old.onset(1) == (10_000, 200)
    assert new.log10()[2] == -np.inf


def test_the_evidence_of_one_batch_by_itself_is_the_mixture_of_its_bets() -> None:
    one = bets(0.05)
    batch = counts(9)[0]
    expected = np.log10((np.exp(batch @ one.log_f) * one.weights).sum())
    assert mixture_log10(one, batch) == pytest.approx(expected)
    assert mixture_log10(one, batch * 10_000) > 308, "beyond what a float could hold as an e-value"
    assert mixture_log10(one, np.array([1_000.0, 50.0])) < 0
