import pytest

from recsys_bnn.settings.training import ModelConfig
from seminar_common.errors import UserError


def test_a_share_of_hot_rows_without_their_bits_is_refused() -> None:
    with pytest.raises(UserError, match=r"--hot-share 0\.05: says how many rows have --hot-bits"):
        ModelConfig(hot_share=0.05)
    assert ModelConfig(hot_share=0.05, hot_bits=8).hot_share == 0.05
