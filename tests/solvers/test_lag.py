"""The rule by which a kept preconditioner is renewed."""

import math

from hypothesis import given
from hypothesis import strategies as st

from solvers.lag import Lag

TIMES = st.floats(1e-4, 10.0)


def test_a_new_lag_is_fresh():
    assert not Lag().stale


def test_by_hand():
    """Price 10; the best solve takes 2: 5, 6 and 8 lose 3 + 4 + 6 = 13."""
    lag = Lag()
    lag.set_up(10.0)
    for seconds, lost, stale in [
        (2.0, 0, False),
        (5.0, 3, False),
        (6.0, 7, False),
        (8.0, 13, True),
    ]:
        lag.solved(seconds)
        assert lag.lost == lost
        assert lag.stale == stale
    lag.set_up(1.0)
    assert (lag.price, lag.best, lag.lost) == (1.0, math.inf, 0.0)
    assert not lag.stale


@given(TIMES, st.lists(TIMES, min_size=1, max_size=30))
def test_constant_times_are_never_stale_and_loss_is_bounded(price, times):
    lag = Lag()
    lag.set_up(price)
    for _ in range(50):
        lag.solved(times[0])
    assert lag.lost == 0 and not lag.stale
    for seconds in times:
        if lag.stale:
            break
        before = lag.lost
        lag.solved(seconds)
        assert before <= lag.lost <= before + seconds
        assert lag.best <= seconds
    # whoever renews when it is stale has lost at most the price and one solve
    assert lag.lost <= price + max(times)
