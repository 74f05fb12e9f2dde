import pytest
from scipy import stats

from paribus.lab.report.band import band, called


def test_four_runs_have_the_t_interval() -> None:
    values = [1.0, 2.0, 4.0, 4.5]
    found = band(values)
    low, high = stats.t.interval(0.95, 3, loc=found.mean, scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_fewer_runs_have_their_range() -> None:
    found = band([3.0, 1.0, 2.0])
    assert (found.low, found.mean, found.high) == (1.0, 2.0, 3.0)
    assert band([5.0]).low == band([5.0]).high == 5.0


def test_each_band_has_its_name() -> None:
    assert "no band" in called(1)
    assert "smallest to largest of 3 seeds" in called(3)
    assert "95 % t interval of the mean over 8 replicates" in called(8, "replicate")
