"""Every message and option against octets worked out by hand, in both directions."""

import pytest

from mip6.wire.messages import decode, encode
from tests.unit.mip6.wire.golden import GOLDEN, Golden

CASES = [pytest.param(g, id=g.name, marks=pytest.mark.req(*g.requirements)) for g in GOLDEN]


@pytest.mark.parametrize("case", CASES)
def test_encode(case: Golden) -> None:
    assert encode(case.message).hex(" ") == case.octets.hex(" ")


@pytest.mark.parametrize("case", CASES)
def test_decode(case: Golden) -> None:
    assert decode(case.octets) == case.message
