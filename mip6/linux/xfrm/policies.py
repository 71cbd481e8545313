"""Policies and their migration as messages of XFRM, in both directions."""

import struct
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address
from socket import AF_INET6
from typing import Any

from mip6.linux.netlink import HEADER, Request, attribute, attributes, nested_pairs
from mip6.linux.xfrm.structures import (
    ID,
    NO_LIFETIMES,
    POLICY,
    POLICY_ID,
    XfrmAttribute,
    body,
    decoder,
    if_id_attribute,
    mark_attribute,
    mark_from,
    number_from,
    request,
    require_ipv6,
    selector_fields,
    selector_from,
)
from mip6.xfrm import (
    Action,
    Direction,
    Endpoints,
    Kind,
    Migration,
    Mode,
    Move,
    Policy,
    PolicyId,
    Protocol,
    Template,
)

# struct xfrm_user_tmpl, xfrm_user_migrate, xfrm_user_kmaddress, xfrm_userpolicy_type
_TEMPLATE = struct.Struct(f"={ID}H2x16sIBBBxIII")
_MOVE = struct.Struct("=16s16s16s16sBBHIHH")
_IKE = struct.Struct("=16s16sIH2x")
_KIND = struct.Struct("=BxHBx")

_ANY_ALGORITHM = 0xFFFF_FFFF


def policy_message(policy: Policy) -> Request:
    """To add or replace it."""
    id_ = policy.id
    fields = POLICY.pack(
        *selector_fields(id_.selector), *NO_LIFETIMES, policy.priority, 0, id_.direction, policy.action, 0, 0
    )
    templates = b"".join(_template(template) for template in policy.templates)
    return request(fields, attribute(XfrmAttribute.TMPL, templates) if templates else b"", _id_attributes(id_))


def policy_id_message(id_: PolicyId) -> Request:
    """To ask for it or to delete it."""
    return request(POLICY_ID.pack(*selector_fields(id_.selector), 0, id_.direction), _id_attributes(id_))


@decoder
def policy_from(message: bytes) -> Policy:
    """The policy that a message is about. Raises XfrmDecodeError."""
    return policy_from_structure(body(message), attributes(message, POLICY))


def policy_from_structure(data: bytes, found: Mapping[int, bytes]) -> Policy:
    """From the structure POLICY and attributes, wherever they are. Raises ValueError or struct.error."""
    fields = POLICY.unpack_from(data)
    priority, _index, direction, action, _flags, _share = fields[-6:]
    selector, if_id = selector_from(fields), number_from(found, XfrmAttribute.IF_ID)
    templates = _TEMPLATE.iter_unpack(found.get(XfrmAttribute.TMPL, b""))
    return Policy(
        PolicyId(Direction(direction), selector, kind_from(found), mark_from(found), if_id),
        tuple(_template_from(template) for template in templates),
        priority,
        Action(action),
    )


def _template(template: Template) -> bytes:
    return _TEMPLATE.pack(
        template.destination.packed,
        bytes(4),
        template.protocol,
        AF_INET6,
        template.source.packed,
        template.reqid,
        template.mode,
        0,
        template.optional,
        *[_ANY_ALGORITHM] * 3,
    )


def _template_from(fields: Sequence[Any]) -> Template:
    destination, _spi, protocol, family, source, reqid, mode, _share, optional, *_algorithms = fields
    require_ipv6(family)
    return Template(
        protocol=Protocol(protocol),
        mode=Mode(mode),
        reqid=reqid,
        source=IPv6Address(source),
        destination=IPv6Address(destination),
        optional=bool(optional),
    )


def _id_attributes(id_: PolicyId) -> bytes:
    return _kind_attribute(id_.kind) + mark_attribute(id_.mark) + if_id_attribute(id_.if_id)


def _kind_attribute(kind: Kind) -> bytes:
    return attribute(XfrmAttribute.POLICY_TYPE, _KIND.pack(kind, 0, 0))


def kind_from(found: Mapping[int, bytes]) -> Kind:
    """XFRMA_POLICY_TYPE; a kernel without sub-policies leaves it out."""
    data = found.get(XfrmAttribute.POLICY_TYPE)
    return Kind.MAIN if data is None else Kind(data[0])


def migration_message(migration: Migration) -> Request:
    """To make it happen."""
    id_, ike = migration.policy, migration.ike
    moves = b"".join(_move(move) for move in migration.moves)
    return request(
        POLICY_ID.pack(*selector_fields(id_.selector), 0, id_.direction),
        attribute(XfrmAttribute.MIGRATE, moves),
        b"" if ike is None else _ike(ike),
        _kind_attribute(id_.kind),
        if_id_attribute(id_.if_id),
    )


@decoder
def migration_from(message: bytes) -> Migration:
    """The migration that a message announces. Raises XfrmDecodeError."""
    *fields, _index, direction = POLICY_ID.unpack_from(body(message))
    pairs = list(nested_pairs(message[HEADER.size + POLICY_ID.size :]))
    found = dict(pairs)
    ike = found.get(XfrmAttribute.KMADDRESS)
    return Migration(
        PolicyId(Direction(direction), selector_from(fields), kind_from(found)),
        tuple(_move_from(_MOVE.unpack(data)) for kind, data in pairs if kind == XfrmAttribute.MIGRATE),
        None if ike is None else _ike_from(_IKE.unpack_from(ike)),
    )


def _move(move: Move) -> bytes:
    addresses = (move.old.destination, move.old.source, move.new.destination, move.new.source)
    packed = [address.packed for address in addresses]
    return _MOVE.pack(*packed, move.protocol, move.mode, 0, move.reqid, AF_INET6, AF_INET6)


def _move_from(fields: Sequence[Any]) -> Move:
    *packed, protocol, mode, _reserved, reqid, old_family, new_family = fields
    require_ipv6(old_family)
    require_ipv6(new_family)
    old_destination, old_source, new_destination, new_source = map(IPv6Address, packed)
    old, new = Endpoints(old_source, old_destination), Endpoints(new_source, new_destination)
    return Move(old, new, reqid, Protocol(protocol), Mode(mode))


def _ike(ends: Endpoints) -> bytes:
    fields = _IKE.pack(ends.source.packed, ends.destination.packed, 0, AF_INET6)
    return attribute(XfrmAttribute.KMADDRESS, fields)


def _ike_from(fields: Sequence[Any]) -> Endpoints:
    local, remote, _reserved, family = fields
    require_ipv6(family)
    return Endpoints(IPv6Address(local), IPv6Address(remote))
