"""What is wrong with the end of a home prefix."""

from pathlib import Path

import pytest

from home_agent import config
from mip6.config import ConfigError
from mip6.config_changes import changes

OWN = '[home_agent]\naddress = "2001:db8:aa::1"\nprefixes = ["2001:db8:f00::/48"]\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home-agent.toml"


@pytest.mark.parametrize(
    ("prefix", "more", "why"),
    [
        ("2001:db8:bad::/64", "", 'prefix[1].prefix = "2001:db8:bad::/64": is in no home prefix'),
        ("2001:db8:f00::/64", "valid_until = 2027-01-31T00:00:00", "a date and time with its zone"),
        ("2001:db8:f00::/64", 'valid_until = "2027-01-31T00:00:00Z"', "without quotes"),
    ],
)
def test_it_is_told(path: Path, prefix: str, more: str, why: str) -> None:
    path.write_text(f'{OWN}[[prefix]]\nprefix = "{prefix}"\n{more}\n')
    with pytest.raises(ConfigError) as caught:
        config.read(path)
    assert why in str(caught.value)


def test_a_change_of_it_is_told_as_it_is_spelled(path: Path) -> None:
    def read(year: int) -> object:
        path.write_text(f'{OWN}[[prefix]]\nprefix = "2001:db8:f00::/64"\nvalid_until = {year}-01-31T00:00:00Z\n')
        return config.read(path)

    (change,) = changes(read(2027), read(2028))
    assert str(change) == (
        "prefix.2001:db8:f00::/64.valid_until: 2027-01-31T00:00:00+00:00 -> 2028-01-31T00:00:00+00:00"
    )
