"""The correspondent of the lab, from octets of ours: how it makes tokens, keeps nonces, and what it takes."""

import hashlib
import hmac
from ipaddress import IPv6Address
from random import Random

import pytest

from mip6.wire.checksum import with_checksum
from mip6.wire.extension import Packet
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    HomeTest,
    HomeTestInit,
    Message,
    decode,
    encode,
)
from mip6.wire.options import (
    BindingAuthorizationData,
    BindingIdentifier,
    MalformedBindingIdentifier,
    NonceIndices,
    Option,
)
from mip6.wire.registry import BindingUpdateFlag, Status
from mn_lab.correspondent import Correspondent, Fault, Nonce

HOA, COA, CN = IPv6Address("2001:db8:f00::10"), IPv6Address("2001:db8:1::64"), IPv6Address("2001:db8:cc::1")
OTHER = IPv6Address("2001:db8:2::64")
ACK, NO_FLAGS = BindingUpdateFlag.ACKNOWLEDGE, BindingUpdateFlag(0)


class MobileNode:
    """By hand: asks for tokens, and signs with them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sequence = 100
        self.cn = Correspondent(CN, Random(1).randbytes)
        self.home = HomeTest(0, b"", b"")
        self.away = CareOfTest(0, b"", b"")

    def send(self, message: Message | bytes, source: IPv6Address, home_address: IPv6Address | None = None) -> Message:
        (answer,) = self.send_all(message, source, home_address)
        return decode(answer.data)

    def send_all(
        self, message: Message | bytes, source: IPv6Address, home_address: IPv6Address | None = None
    ) -> list[Packet]:
        data = message if isinstance(message, bytes) else encode(message)
        summed = with_checksum(data, home_address or source, CN)
        return self.cn.receive(Packet(source, CN, home_address, summed), self.now)

    def test(self, care_of: IPv6Address = COA) -> "MobileNode":
        home, away = self.send(HomeTestInit(b"homehome"), HOA), self.send(CareOfTestInit(b"awayaway"), care_of)
        assert isinstance(home, HomeTest)
        assert isinstance(away, CareOfTest)
        assert (home.cookie, away.cookie) == (b"homehome", b"awayaway")
        self.home, self.away = home, away
        return self

    def update(
        self,
        *options: Option,
        care_of: IPv6Address = COA,
        lifetime: int = 105,
        flags: BindingUpdateFlag = ACK,
        sequence: int | None = None,
    ) -> bytes:
        self.sequence = self.sequence + 1 if sequence is None else sequence
        ends = lifetime == 0
        key = hashlib.sha1(self.home.keygen_token + (b"" if ends else self.away.keygen_token)).digest()
        nonces = NonceIndices(self.home.nonce_index, 0 if ends else self.away.nonce_index)
        blank = BindingAuthorizationData(bytes(12))
        data = encode(BindingUpdate(self.sequence, flags, lifetime, (nonces, *options, blank)))[:-12]
        text = (HOA if ends else care_of).packed + CN.packed + data
        return data + hmac.new(key, text, hashlib.sha1).digest()[:12]

    def register(self, *options: Option, care_of: IPv6Address = COA, **what: object) -> BindingAcknowledgement:
        answer = self.send(self.update(*options, care_of=care_of, **what), care_of, HOA)  # type: ignore[arg-type]
        assert isinstance(answer, BindingAcknowledgement)
        return answer

    @property
    def bindings(self) -> dict[int, IPv6Address]:
        return self.cn.bindings(HOA, self.now)


@pytest.mark.req("RR-06")
def test_a_token_is_what_openssl_makes_of_address_nonce_and_kind() -> None:
    nonce = Nonce(1, bytes.fromhex("a0a1a2a3a4a5a6a7"), bytes(range(20)), 0.0)
    assert nonce.token(HOA, b"\0").hex() == "71047c69fe5d2887"
    assert nonce.token(COA, b"\1").hex() == "272a1eef6c513724"


@pytest.mark.req("RR-08", "RR-12", "RR-16", "RR-19")
def test_whoever_has_both_tokens_gets_a_binding() -> None:
    mn = MobileNode().test()
    assert not mn.cn.entries
    answer = mn.register(BindingIdentifier(2, priority=1, care_of=COA))
    assert (answer.status, answer.sequence, answer.lifetime) == (Status.ACCEPTED, mn.sequence, 105)
    assert answer.options[0] == BindingIdentifier(2, priority=1)
    assert isinstance(answer.options[-1], BindingAuthorizationData)
    assert mn.bindings == {2: COA}
    assert mn.cn.destination(HOA, mn.now) == COA


@pytest.mark.req("RR-08", "MH-12")
def test_the_answer_is_signed_and_goes_to_the_home_address_in_a_routing_header() -> None:
    mn = MobileNode().test()
    (packet,) = mn.send_all(mn.update(), COA, HOA)
    assert (packet.source, packet.destination, packet.home_address) == (CN, COA, HOA)
    key = hashlib.sha1(mn.home.keygen_token + mn.away.keygen_token).digest()
    text = COA.packed + CN.packed + packet.data[:-12]
    assert packet.data[-12:] == hmac.new(key, text, hashlib.sha1).digest()[:12]


@pytest.mark.req("RR-11")
def test_a_binding_lasts_seven_minutes_at_most() -> None:
    mn = MobileNode().test()
    assert mn.register(lifetime=1000).lifetime == 105
    mn.now += 419
    assert mn.bindings == {0: COA}
    mn.now += 2
    assert mn.bindings == {}
    assert mn.cn.destination(HOA, mn.now) is None


@pytest.mark.req("RR-10", "RR-16")
@pytest.mark.parametrize(("age_s", "status"), [(210, 0), (239, 0), (240, 138), (5000, 138)])
def test_a_token_works_for_210_s_and_never_after_240(age_s: float, status: int) -> None:
    mn = MobileNode().test()
    mn.now += age_s
    assert mn.register().status == status


@pytest.mark.req("RR-10")
def test_every_half_minute_there_is_a_new_nonce_with_a_new_key() -> None:
    mn = MobileNode()
    seen = []
    for _ in range(20):
        mn.test()
        assert mn.home.nonce_index == mn.away.nonce_index
        seen.append((mn.home.nonce_index, mn.home.keygen_token))
        mn.now += 15
    assert len(set(seen)) == 10
    assert [index - seen[0][0] for index, _ in seen] == [number // 2 for number in range(20)]


@pytest.mark.req("RR-16")
def test_which_of_the_nonces_is_unknown() -> None:
    mn = MobileNode().test()
    mn.now += 100
    old, mn = mn.home, mn.test()
    mn.now += 150
    fresh, mn.home = mn.home, old
    assert mn.register().status == Status.EXPIRED_HOME_NONCE_INDEX
    mn.home, mn.away = fresh, CareOfTest(old.nonce_index, b"", bytes(8))
    answer = mn.register()
    assert answer.status == Status.EXPIRED_CARE_OF_NONCE_INDEX
    assert answer.options == (), "without authorization data"


@pytest.mark.req("RR-16")
def test_what_is_not_authentic_gets_no_answer() -> None:
    mn = MobileNode().test()
    update = mn.update()
    for damaged in (update[:8] + b"\0\0" + update[10:], update[:-1] + b"\xff"):
        assert mn.send_all(damaged, COA, HOA) == []
    assert mn.send_all(update, COA, HOA + 1) == []
    assert mn.send_all(update, COA) == []
    assert mn.send_all(update, COA + 1, HOA) == []
    assert mn.send_all(encode(BindingUpdate(1, ACK, 105, (NonceIndices(1, 1),))), COA, HOA) == []
    assert mn.send_all(mn.update(flags=ACK | BindingUpdateFlag.HOME_REGISTRATION), COA, HOA) == []
    summed = with_checksum(update, COA, CN)
    assert mn.cn.receive(Packet(COA, CN, HOA, summed), mn.now) == [], "the checksum is over the home address"
    assert mn.bindings == {}


@pytest.mark.req("RR-12")
def test_a_test_with_a_home_address_option_is_none() -> None:
    mn = MobileNode()
    for message in (HomeTestInit(bytes(8)), CareOfTestInit(bytes(8))):
        assert mn.send_all(message, COA, HOA) == []
    assert mn.send_all(b"\x3b\0\x63\0\0\0\0\0", COA) == []


@pytest.mark.req("RR-17")
def test_what_ended_a_binding_is_not_undone_by_an_old_update() -> None:
    mn = MobileNode().test()
    old = mn.update()
    mn.send(old, COA, HOA)
    assert mn.register(lifetime=0).status == Status.ACCEPTED
    mn.now += 200
    again = mn.send(old, COA, HOA)
    assert isinstance(again, BindingAcknowledgement)
    assert again.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW
    assert mn.bindings == {}
    mn.now += 221
    mn.test()
    assert mn.register(sequence=5).status == Status.ACCEPTED, "nobody knows the number any more"


@pytest.mark.req("HA-14")
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (None, None),
        (Fault.HOME_NONCE_EXPIRED, Status.EXPIRED_HOME_NONCE_INDEX),
        (Fault.CARE_OF_NONCE_EXPIRED, Status.EXPIRED_CARE_OF_NONCE_INDEX),
        (Fault.BOTH_NONCES_EXPIRED, Status.EXPIRED_NONCES),
        (Fault.FULL, Status.INSUFFICIENT_RESOURCES),
    ],
)
def test_without_a_wish_for_an_answer_there_is_one_about_failures_only(fault: Fault | None, status: int | None) -> None:
    mn = MobileNode().test()
    mn.cn.faults |= {fault} if fault is not None else set()
    silent = mn.send_all(mn.update(flags=NO_FLAGS), COA, HOA)
    answers = [*silent, *mn.send_all(mn.update(), COA, HOA)]
    statuses = [
        one.status for one in map(decode, (one.data for one in answers)) if isinstance(one, BindingAcknowledgement)
    ]
    assert statuses == ([status] * 2 if status is not None else [Status.ACCEPTED])
    assert len(silent) == (status is not None)
    assert (mn.bindings == {}) == (status is not None)


@pytest.mark.req("HA-14")
def test_a_number_that_is_not_later_is_told_though_no_answer_is_wished_for() -> None:
    mn = MobileNode().test()
    mn.register(sequence=7)
    (answer,) = mn.send_all(mn.update(flags=NO_FLAGS, sequence=7), COA, HOA)
    told = decode(answer.data)
    assert isinstance(told, BindingAcknowledgement)
    assert told.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW


@pytest.mark.req("RR-16")
def test_a_number_that_is_not_later_is_refused_with_the_last() -> None:
    mn = MobileNode().test()
    assert mn.register(sequence=65535).status == Status.ACCEPTED
    for number in (65535, 65000, 32767):
        answer = mn.register(sequence=number)
        assert (answer.status, answer.sequence) == (Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, 65535)
    assert mn.register(sequence=0).status == Status.ACCEPTED


@pytest.mark.req("HOME-08")
def test_the_home_token_alone_ends_a_binding() -> None:
    mn = MobileNode().test()
    mn.register(BindingIdentifier(1, care_of=COA))
    mn.test(OTHER).register(BindingIdentifier(2, care_of=OTHER), care_of=OTHER)
    assert mn.bindings == {1: COA, 2: OTHER}
    mn.away = CareOfTest(0, b"", b"")
    assert mn.register(BindingIdentifier(1), care_of=OTHER, lifetime=0).status == Status.ACCEPTED
    assert mn.bindings == {2: OTHER}
    assert mn.register(BindingIdentifier(1), care_of=OTHER, lifetime=0).status == 133
    assert mn.register(care_of=OTHER, lifetime=0).status == Status.ACCEPTED
    assert mn.bindings == {}


@pytest.mark.req("MCOA-60", "MCOA-61", "MCOA-65")
def test_of_several_bindings_the_one_with_the_lowest_number_and_then_the_latest() -> None:
    mn = MobileNode()
    for bid, care_of, priority in ((1, COA, 5), (2, OTHER, 5), (3, OTHER + 1, 9)):
        mn.test(care_of).register(BindingIdentifier(bid, priority=priority, care_of=care_of), care_of=care_of)
    assert mn.cn.destination(HOA, mn.now) == OTHER
    mn.test(COA).register(BindingIdentifier(1, priority=5, care_of=COA))
    assert mn.cn.destination(HOA, mn.now) == COA
    mn.register()
    assert mn.bindings == {0: COA}, "without a number it replaces all"


@pytest.mark.req("MCOA-62", "RR-19")
def test_what_is_wrong_with_binding_identifiers() -> None:
    mn = MobileNode().test()
    two = BindingIdentifier(1, care_of=COA), BindingIdentifier(2, care_of=COA)
    assert mn.register(*two).status == Status.MCOA_BULK_REGISTRATION_PROHIBITED
    assert mn.register(MalformedBindingIdentifier(bytes(5))).status == Status.MCOA_MALFORMED
    assert mn.register().status == Status.ACCEPTED
    assert mn.register(two[0]).status == Status.MCOA_NON_MCOA_BINDING_EXISTS
    assert mn.register(two[0], flags=ACK | BindingUpdateFlag.OVERWRITE).status == Status.ACCEPTED
    assert mn.bindings == {1: COA}


@pytest.mark.req("RR-19")
def test_a_binding_identifier_in_a_care_of_test_comes_back() -> None:
    answer = MobileNode().send(CareOfTestInit(bytes(8), (BindingIdentifier(3),)), COA)
    assert isinstance(answer, CareOfTest)
    assert answer.options == (BindingIdentifier(3),)


@pytest.mark.req("PKT-08", "PKT-09")
def test_a_packet_from_an_unknown_care_of_address_gets_a_binding_error() -> None:
    mn = MobileNode().test()
    mn.register()
    assert mn.cn.payload(COA, HOA, mn.now) == []
    (packet,) = mn.cn.payload(OTHER, HOA, mn.now)
    assert (packet.destination, packet.home_address) == (OTHER, None)
    assert decode(packet.data) == BindingError(1, HOA)
    mn.cn.forget()
    assert len(mn.cn.payload(COA, HOA, mn.now)) == 1


@pytest.mark.req("MCOA-67")
def test_it_can_ask_for_a_refresh() -> None:
    (packet,) = MobileNode().cn.ask_for_refresh(HOA, 2)
    assert (packet.destination, packet.home_address) == (HOA, None)
    assert decode(packet.data) == BindingRefreshRequest((BindingIdentifier(2),))


def test_after_a_restart_nothing_is_known() -> None:
    mn = MobileNode().test()
    mn.register()
    mn.cn.restart()
    assert mn.bindings == {}
    assert mn.register().status == Status.EXPIRED_NONCES


@pytest.mark.parametrize(
    ("fault", "home_test", "care_of_test", "status"),
    [
        (Fault.SILENT, False, False, None),
        (Fault.NO_HOME_TEST, False, True, 0),
        (Fault.NO_CARE_OF_TEST, True, False, 0),
        (Fault.NO_ACKNOWLEDGEMENT, True, True, None),
        (Fault.WRONG_AUTHENTICATOR, True, True, 0),
        (Fault.HOME_NONCE_EXPIRED, True, True, 136),
        (Fault.CARE_OF_NONCE_EXPIRED, True, True, 137),
        (Fault.BOTH_NONCES_EXPIRED, True, True, 138),
        (Fault.REFUSES, True, True, 129),
        (Fault.FULL, True, True, 130),
        (Fault.SINGLE, True, True, 166),
        (Fault.PLAIN, True, True, 0),
    ],
)
def test_faults(fault: Fault, home_test: bool, care_of_test: bool, status: int | None) -> None:
    mn = MobileNode().test()
    mn.cn.faults.add(fault)
    assert len(mn.send_all(HomeTestInit(bytes(8)), HOA)) == home_test
    assert len(mn.send_all(CareOfTestInit(bytes(8)), COA)) == care_of_test
    answers = [decode(one.data) for one in mn.send_all(mn.update(BindingIdentifier(4, care_of=COA)), COA, HOA)]
    assert [one.status for one in answers if isinstance(one, BindingAcknowledgement)] == (
        [] if status is None else [status]
    )
    if fault is Fault.PLAIN:
        assert mn.bindings == {0: COA}
    mn.cn.faults.clear()
    assert mn.register().status == Status.ACCEPTED
