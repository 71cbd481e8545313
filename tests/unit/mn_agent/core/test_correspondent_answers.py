"""What comes in a correspondent's name and fits nothing that we sent, or does; by hand."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from mip6.return_routability import sign
from mip6.wire.checksum import with_checksum
from mip6.wire.extension import Packet, build_from_mobile_node
from mip6.wire.icmp import parameter_problem
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    CareOfTest,
    HomeTest,
    Message,
    encode,
)
from mip6.wire.registry import BindingAcknowledgementFlag, BindingErrorStatus, Status
from mn_agent.core.correspondent_answers import DO_NOT_SEND_S, Problem
from mn_agent.core.correspondents import Correspondent, Correspondents, Entry, Pause
from mn_agent.core.events import IcmpReceived, PacketReceived
from mn_lab.correspondent import Fault
from tests.story.direct_world import CN, DirectWorld, optimizing
from tests.story.world import HOME, three_links

ETHERNET = three_links()["ethernet"].address
NO_FLAGS = BindingAcknowledgementFlag(0)


def asked(seconds: float = 0.05, *faults: Fault) -> DirectWorld:
    """A mobile node that waits for what the correspondent does not say."""
    world = DirectWorld(three_links())
    world.cn.faults.update(faults or {Fault.SILENT})
    world.start().run(seconds)
    return world


def one(world: DirectWorld) -> Correspondent:
    return world.mn.correspondents.known[CN]


def hear(
    world: DirectWorld,
    message: Message | bytes,
    destination: IPv6Address = ETHERNET,
    home_address: IPv6Address | None = None,
) -> None:
    data = message if isinstance(message, bytes) else encode(message)
    summed = with_checksum(data, CN, home_address or destination)
    world.mobile_node(PacketReceived(Packet(CN, destination, home_address, summed)))


def waiting(world: DirectWorld) -> Entry:
    """With an update that has no answer."""
    return next(entry for entry in one(world).entries.values() if entry.update is not None)


def answer(world: DirectWorld, status: int, *, lifetime: int = 105, ahead: int = 0, key: bytes | None = None) -> None:
    entry = waiting(world)
    update = entry.update
    assert update is not None
    message = BindingAcknowledgement(status, NO_FLAGS, update.sequence + ahead, lifetime)
    care_of = update.wanted.care_of
    hear(world, sign(message, key or update.key, care_of, CN), care_of, HOME)


@pytest.mark.req("RR-05")
def test_a_home_test_counts_with_its_cookie_at_the_home_address_and_once() -> None:
    world = asked()
    cookie = one(world).home.cookie
    assert cookie
    test = HomeTest(1, cookie, b"keygen-t")
    hear(world, test, ETHERNET)
    hear(world, test, ETHERNET, HOME)
    hear(world, replace(test, cookie=bytes(8)), HOME)
    assert one(world).home.token is None
    hear(world, test, HOME)
    token = one(world).home.token
    assert token is not None
    assert (token.value, token.nonce_index) == (b"keygen-t", 1)
    assert token.until_at == pytest.approx(one(world).recent[next(iter(one(world).recent))][0] + 210)
    hear(world, replace(test, nonce_index=2), HOME)
    assert one(world).home.token == token
    assert world.mn.ignored == {Problem.UNEXPECTED.value: 4}


@pytest.mark.req("RR-05")
def test_a_care_of_test_counts_with_its_cookie_at_its_address_and_once() -> None:
    world = asked()
    entry = one(world).entries[1]
    test = CareOfTest(1, entry.test.cookie, b"keygen-t")
    for wrong in (ETHERNET + 1, world.links["wifi"].address, HOME):
        hear(world, test, wrong)
    hear(world, test, ETHERNET, HOME)
    hear(world, replace(test, cookie=bytes(8)))
    assert one(world).entries[1].test.token is None
    hear(world, test)
    token = one(world).entries[1].test.token
    assert token is not None
    hear(world, replace(test, nonce_index=2))
    assert one(world).entries[1].test.token == token


@pytest.mark.req("RR-05", "SC-07")
def test_who_was_asked_nothing_is_not_heard() -> None:
    world = DirectWorld(three_links(), settings=optimizing(CN + 1))
    world.start().run(5)
    for message in (HomeTest(1, bytes(8), bytes(8)), BindingError(1, HOME), BindingRefreshRequest()):
        hear(world, message, HOME)
    assert CN not in world.mn.correspondents.known
    assert len(world.mn.ignored) == 1


@pytest.mark.req("REG-15", "REG-16", "RR-08")
def test_an_acknowledgement_needs_number_and_signature() -> None:
    world = asked(0.1, Fault.NO_ACKNOWLEDGEMENT)
    before = waiting(world)
    answer(world, Status.ACCEPTED, key=bytes(20))
    answer(world, Status.ACCEPTED, ahead=100)
    answer(world, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, ahead=100, key=bytes(20))
    answer(world, Status.EXPIRED_NONCES, ahead=100)
    update = before.update
    assert update is not None
    message = BindingAcknowledgement(0, NO_FLAGS, update.sequence, 105)
    data = sign(message, update.key, update.wanted.care_of, CN)
    hear(world, data, update.wanted.care_of)
    hear(world, data, update.wanted.care_of, HOME + 1)
    assert waiting(world) == before
    assert sum(world.mn.ignored.values()) == 6
    answer(world, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, ahead=100)
    assert one(world).sequence == update.sequence + 101, "it has been sent again"


@pytest.mark.req("FMT-06", "REG-18", "REG-22")
@pytest.mark.parametrize(
    ("status", "lifetime", "taken"), [(0, 105, True), (1, 2000, True), (127, 4, True), (128, 105, False), (0, 0, False)]
)
def test_what_counts_as_yes(status: int, lifetime: int, taken: bool) -> None:
    world = asked(0.1, Fault.NO_ACKNOWLEDGEMENT)
    bid, at = waiting(world).bid, world.now
    answer(world, status, lifetime=lifetime)
    entry = one(world).entries[bid]
    assert (entry.binding is not None) is taken
    if entry.binding is not None:
        assert entry.binding.expires_at <= at + 4 * min(lifetime, 105)
    else:
        assert entry.pause is not None
        assert entry.pause.until_at == at + DO_NOT_SEND_S


def bound() -> DirectWorld:
    world = DirectWorld(three_links())
    world.start().run(5)
    return world


@pytest.mark.req("PKT-12", "SC-07")
def test_a_binding_error_is_about_one_binding_of_ours() -> None:
    world = bound()
    before = world.mn.correspondents
    unknown = BindingErrorStatus.UNKNOWN_BINDING
    hear(world, BindingError(unknown, HOME + 1))
    hear(world, BindingError(unknown, HOME), ETHERNET + 1)
    assert world.mn.correspondents == before
    hear(world, BindingError(unknown, HOME))
    lost = one(world).entries[1]
    assert (lost.binding, lost.claimed_until_at) == (None, 0.0)
    assert lost.pause == Pause(world.now + 1, "it has lost the binding")
    assert all(one(world).entries[bid].binding for bid in (2, 3))


@pytest.mark.req("PKT-13")
def test_who_does_not_know_mobility_messages_is_left_alone() -> None:
    world = bound()
    before = world.mn.correspondents
    unknown = BindingError(BindingErrorStatus.UNRECOGNIZED_MH_TYPE, IPv6Address(0))
    hear(world, unknown)
    assert world.mn.correspondents == before, "nothing was asked"
    world = asked(0.2)
    at = world.now
    hear(world, unknown)
    assert one(world).pause is not None
    world.run(DO_NOT_SEND_S - 1)
    assert world.tests(at) == 0
    world.cn.faults.clear()
    world.run(2)
    assert world.directly()


@pytest.mark.req("PKT-14", "PKT-15")
def test_a_host_that_knows_no_mobility_headers_is_left_alone() -> None:
    world = asked(0.2)
    at = world.now
    (home, *_) = world.asked
    packet = build_from_mobile_node(home.packet)
    others = bytes(5), parameter_problem(1, 6, packet[:50], CN, HOME), parameter_problem(2, 6, packet, CN, HOME)
    stranger, cookie = packet[:24] + (CN + 1).packed + packet[40:], packet[:48] + bytes(8)
    unlike = packet[:6] + b"\x3c" + packet[7:]
    for data in (*others, *(parameter_problem(1, 6, one, CN, HOME) for one in (stranger, cookie, unlike))):
        world.mobile_node(IcmpReceived(data))
    assert one(world).pause is None
    world.mobile_node(IcmpReceived(parameter_problem(1, 6, packet, CN, HOME)))
    assert one(world).pause == Pause(at + DO_NOT_SEND_S, "it does not know Mobile IPv6")
    world.run(DO_NOT_SEND_S - 1)
    assert world.tests(at) == 0


@pytest.mark.req("RR-18")
def test_a_refresh_is_for_what_there_is() -> None:
    world = asked(20)
    before = world.mn.correspondents
    hear(world, BindingRefreshRequest(), HOME)
    assert world.mn.correspondents == before
    assert world.mn.ignored == {Problem.UNEXPECTED.value: 1}


def test_nobody_sees_a_secret() -> None:
    world = bound()
    text = repr(world.mn.correspondents)
    assert world.mn.correspondents.seed.hex() not in text
    for secret in ("seed", "cookie", "value", "key"):
        assert f"{secret}=" not in text
    assert Correspondents(bytes(32)).cookie() != Correspondents(bytes(32), 1).cookie()
