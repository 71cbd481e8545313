"""What charon tells, as charon 5.9.8 told it (values shortened where nobody reads them), and what it might tell."""

from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mip6.ike import Section
from mip6.ike_sas import (
    ChildSa,
    IkeDecodeError,
    IkeSa,
    sas_from,
)

IKE: Section = {
    "uniqueid": "1",
    "version": "2",
    "state": "ESTABLISHED",
    "local-host": "2001:db8:1::1",
    "local-port": "500",
    "local-id": "mn",
    "remote-host": "2001:db8:200::1",
    "remote-port": "500",
    "remote-id": "ha",
    "initiator": "yes",
    "initiator-spi": "e22e0aa7c5838a26",
    "responder-spi": "0d4a4c74ee67db81",
    "encr-alg": "AES_CBC",
    "encr-keysize": "128",
    "established": "4",
    "rekey-time": "13792",
    "tasks-active": ["CHILD_CREATE"],
}
SIGNALLING: Section = {
    "name": "mh",
    "uniqueid": "1",
    "reqid": "1828716545",
    "state": "INSTALLED",
    "mode": "TRANSPORT_PROXY",
    "protocol": "ESP",
    "spi-in": "c7e993ea",
    "spi-out": "cc8ee352",
    "encr-alg": "AES_CBC",
    "bytes-in": "0",
    "rekey-time": "3340",
    "life-time": "3960",
    "install-time": "3",
    "local-ts": ["2001:db8:100::1/128[mobility-header]"],
    "remote-ts": ["2001:db8:200::1/128[mobility-header]"],
}
TUNNEL: Section = {
    "name": "bid2",
    "uniqueid": "3",
    "reqid": "1828716802",
    "state": "INSTALLED",
    "mode": "TUNNEL",
    "label": "6269643200",
    "protocol": "ESP",
    "spi-in": "cacca165",
    "spi-out": "cbc34fcb",
    "if-id-in": "00000012",
    "if-id-out": "00000012",
    "life-time": "3959",
    "install-time": "0",
    "local-ts": ["2001:db8:100::1/128"],
    "remote-ts": ["::/0"],
}

IKE_SA = IkeSa(
    connection="home",
    unique_id=1,
    state="ESTABLISHED",
    local_address=IPv6Address("2001:db8:1::1"),
    remote_address=IPv6Address("2001:db8:200::1"),
    local_id="mn",
    remote_id="ha",
    is_initiator=True,
    initiator_spi=0xE22E0AA7C5838A26,
    responder_spi=0x0D4A4C74EE67DB81,
    established_s=4,
    rekey_s=13792,
)
SIGNALLING_SA = ChildSa(
    name="mh",
    unique_id=1,
    reqid=0x6D000001,
    state="INSTALLED",
    mode="TRANSPORT_PROXY",
    spi_in=0xC7E993EA,
    spi_out=0xCC8EE352,
    label=None,
    installed_s=3,
    rekey_s=3340,
    end_s=3960,
)
TUNNEL_SA = ChildSa(
    name="bid2",
    unique_id=3,
    reqid=0x6D000102,
    state="INSTALLED",
    mode="TUNNEL",
    spi_in=0xCACCA165,
    spi_out=0xCBC34FCB,
    label="bid2",
    installed_s=0,
    rekey_s=None,
    end_s=3959,
)


def test_all_there_are() -> None:
    listing: list[Section] = [
        {"home": {**IKE, "child-sas": {"mh-1": SIGNALLING, "bid2-3": TUNNEL}}},
        {"other": {**IKE, "uniqueid": "2", "child-sas": {}}},
    ]
    assert sas_from(listing) == [
        replace(IKE_SA, children=(SIGNALLING_SA, TUNNEL_SA)),
        replace(IKE_SA, connection="other", unique_id=2),
    ]


def test_one_that_begins_and_is_another_user_s() -> None:
    beginning: Section = {
        "uniqueid": "7",
        "version": "1",
        "state": "CONNECTING",
        "local-host": "%any",
        "remote-host": "192.0.2.1",
        "initiator-spi": "0000000000000001",
        "responder-spi": "0000000000000000",
        "child-sas": {"all-1": {"name": "all", "uniqueid": "1", "reqid": "1", "state": "CREATED", "mode": "TUNNEL"}},
    }
    (sa,) = sas_from([{"vpn": beginning}])
    assert sa == IkeSa(
        connection="vpn",
        unique_id=7,
        state="CONNECTING",
        local_address=None,
        remote_address=IPv4Address("192.0.2.1"),
        local_id=None,
        remote_id=None,
        is_initiator=False,
        initiator_spi=1,
        responder_spi=0,
        established_s=None,
        rekey_s=None,
        children=(
            ChildSa(
                name="all",
                unique_id=1,
                reqid=1,
                state="CREATED",
                mode="TUNNEL",
                spi_in=None,
                spi_out=None,
                label=None,
                installed_s=None,
                rekey_s=None,
                end_s=None,
            ),
        ),
    )


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({**IKE, "child-sas": []}, "child-sas is no section but []"),
        ({**IKE}, "child-sas is no section but None"),
        ({"child-sas": {}}, "uniqueid is missing"),
        ({**IKE, "child-sas": {}, "uniqueid": "one"}, "uniqueid is no number but 'one'"),
        ({**IKE, "child-sas": {}, "state": ["ESTABLISHED"]}, "state is no text but ['ESTABLISHED']"),
        ({**IKE, "child-sas": {}, "local-host": "nowhere"}, "local-host is no address but 'nowhere'"),
        ({**IKE, "child-sas": {"a": {**TUNNEL, "label": "bid2"}}}, "label is no text in hexadecimal but 'bid2'"),
        ({**IKE, "child-sas": {"a": {**TUNNEL, "label": "ff00"}}}, "label is no text in hexadecimal but 'ff00'"),
        ({**IKE, "child-sas": {"a": {**TUNNEL, "spi-in": "xyz"}}}, "spi-in is no number but 'xyz'"),
    ],
)
def test_what_is_not_understood_is_said(section: Section, complaint: str) -> None:
    with pytest.raises(IkeDecodeError) as error:
        sas_from([{"home": section}])
    assert str(error.value) == complaint


VALUES: st.SearchStrategy[object] = st.recursive(
    st.text(max_size=8)
    | st.sampled_from(["yes", "1", "%any", "::1", "ff00"])
    | st.lists(st.text(max_size=3), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from([*IKE, *TUNNEL, "child-sas"]), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def strange(draw: st.DrawFn) -> Section:
    """A message of charon's with some of it replaced."""
    sa = {
        **IKE,
        "child-sas": {"bid2": {**TUNNEL}},
    }
    parts: list[dict[str, object]] = [sa, sa["child-sas"]["bid2"]]  # type: ignore[index, call-overload, list-item]
    part = draw(st.sampled_from(parts))
    part[draw(st.sampled_from([*part, "x"]))] = draw(VALUES)
    return {"home": sa}  # type: ignore[dict-item]


@given(strange())
def test_whatever_is_told_there_is_one_error(message: Section) -> None:
    with suppress(IkeDecodeError):
        sas_from([message])
