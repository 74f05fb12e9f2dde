"""Parts take the width of the model that holds them."""

import pytest

from paribus.core.errors import ConfigError
from paribus.layers.norms.rms_norm import RMSNorm
from paribus.layers.width import width, with_width


def test_a_width_is_filled_in_once():
    open_one = RMSNorm.Config()
    assert with_width(open_one, 12) == RMSNorm.Config(d_model=12)
    assert with_width(RMSNorm.Config(d_model=12), 12) == RMSNorm.Config(d_model=12)
    assert width(RMSNorm.Config(d_model=12)) == 12


def test_widths_that_do_not_agree():
    with pytest.raises(ConfigError, match=r"RMSNorm\.d_model = 8 inside a model of width 12: leave it out"):
        with_width(RMSNorm.Config(d_model=8), 12)


def test_no_width_at_all():
    with pytest.raises(ConfigError, match="RMSNorm has no d_model: give one, or put the part into a model"):
        width(RMSNorm.Config())
    with pytest.raises(ConfigError, match="has no d_model"):
        RMSNorm.Config().build()
