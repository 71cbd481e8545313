"""The numbers, as IANA's registries have them."""

from enum import IntEnum

import pytest

from mip6.wire import registry

req = pytest.mark.req


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        pytest.param(registry.NextHeader, [43, 58, 59, 60, 135], marks=req("MH-01", "MH-02")),
        pytest.param(registry.MessageType, [*range(8), 12, 16], marks=req("MH-04")),
        pytest.param(registry.OptionType, [*range(2, 11), 19, 29, 30, 31, 32, 35, 44, 45], marks=req("DS-03")),
        pytest.param(registry.Status, [*range(6), *range(128, 152), *range(164, 170), 174], marks=req("FMT-05")),
        pytest.param(registry.BindingErrorStatus, [1, 2], marks=req("FMT-07")),
        pytest.param(registry.RevocationTrigger, [*range(8), 128, 129], marks=req("BRI-02")),
        pytest.param(registry.RevocationStatus, [0, 1, *range(128, 136)], marks=req("BRI-03")),
        pytest.param(registry.Ipv4AddressStatus, [0, *range(128, 134)], marks=req("DS-03")),
        pytest.param(registry.FlowSuboptionType, [0, 1, 2, 3], marks=req("FLOW-05")),
        pytest.param(registry.TrafficSelectorFormat, [1, 2], marks=req("FLOW-07")),
        pytest.param(registry.FlowStatus, [0, *range(128, 134)], marks=req("FLOW-04")),
        pytest.param(registry.IcmpType, [2, 4, 128, 129, *range(133, 137), *range(144, 148)], marks=req("FMT-19")),
        pytest.param(registry.NeighborOptionType, [2, 3, 7, 8], marks=req("FMT-20")),
    ],
)
def test_numbers(kind: type[IntEnum], numbers: list[int]) -> None:
    """Each number once: the members are in the registries' order, and a name given twice would be an alias."""
    assert list(kind.__members__.values()) == numbers


@pytest.mark.req("MCOA-07")
def test_statuses_of_multiple_care_of_addresses() -> None:
    assert {status.name: status.value for status in registry.Status if status.name.startswith("MCOA")} == {
        "MCOA_NOTCOMPLETE": 4,
        "MCOA_RETURNHOME_WO_NDP": 5,
        "MCOA_MALFORMED": 164,
        "MCOA_NON_MCOA_BINDING_EXISTS": 165,
        "MCOA_PROHIBITED": 166,
        "MCOA_UNKNOWN_COA": 167,
        "MCOA_BULK_REGISTRATION_PROHIBITED": 168,
        "MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED": 169,
    }


@pytest.mark.req("NEMO-05")
def test_statuses_of_mobile_routers() -> None:
    names = "MOBILE_ROUTER_OPERATION_NOT_PERMITTED INVALID_PREFIX NOT_AUTHORIZED_FOR_PREFIX FORWARDING_SETUP_FAILED"
    assert [registry.Status[name] for name in names.split()] == [140, 141, 142, 143]


@pytest.mark.req("FLOW-02", "FLOW-03")
def test_types_of_the_flow_options() -> None:
    """As in the body of RFC 6089; its IANA section has them the other way round."""
    assert (registry.OptionType["FLOW_SUMMARY"], registry.OptionType["FLOW_IDENTIFICATION"]) == (44, 45)


@pytest.mark.req("FLOW-04")
def test_statuses_of_flows_are_numbers_of_their_own() -> None:
    assert {status.name: status.value for status in registry.FlowStatus} == {
        "ACCEPTED": 0,
        "ADMINISTRATIVELY_PROHIBITED": 128,
        "UNSPECIFIED": 129,
        "MALFORMED": 130,
        "BID_NOT_FOUND": 131,
        "FID_NOT_FOUND": 132,
        "TRAFFIC_SELECTOR_FORMAT_NOT_SUPPORTED": 133,
    }
    # The names that both spaces have are other numbers in them
    for name in ("UNSPECIFIED", "ADMINISTRATIVELY_PROHIBITED"):
        assert registry.FlowStatus[name] != registry.Status[name].value
