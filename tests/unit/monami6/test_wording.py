import pytest

from monami6.wording import back_to_auto, bound, count, is_refused, octets, traffic


@pytest.mark.parametrize(("number", "text"), [(0, "0 flows"), (1, "1 flow"), (2, "2 flows")])
def test_one_is_not_several(number: int, text: str) -> None:
    assert count(number, "flow") == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (34567, "34.6 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (999_949_999, "999.9 MB"),
        (1_000_000_000, "1.0 GB"),
        (10**12, "1.0 TB"),
        (12_345 * 10**12, "12345.0 TB"),
    ],
)
def test_octets_have_the_unit_that_fits(number: int, text: str) -> None:
    assert octets(number) == text


def test_traffic_is_packets_and_octets() -> None:
    assert traffic(1, 60) == "1 packet, 60 B"
    assert traffic(120, 34567) == "120 packets, 34.6 kB"
    assert traffic(0, 0) == "nothing"


def test_a_binding_is_said_in_words() -> None:
    assert bound("not yet") == "the home agent does not know it yet"
    assert bound("refused: BID not found (131)") == "the home agent refuses it: BID not found (131)"
    assert bound("a new state") == "home agent: a new state"


@pytest.mark.parametrize("state", ["yes", "not yet", "unknown to it", "not supported"])
def test_only_a_refusal_is_one(state: str) -> None:
    assert is_refused("refused: malformed (130)")
    assert not is_refused(state)
    assert bound(state) not in (state, f"home agent: {state}")


def test_a_command_for_the_shell_quotes_names() -> None:
    assert back_to_auto() == "`monami6 switch --auto`"
    assert back_to_auto("call") == "`monami6 switch --flow call --auto`"
    assert back_to_auto("my call") == "`monami6 switch --flow 'my call' --auto`"
    assert back_to_auto(ike=True) == "`monami6 switch --ike --auto`"
