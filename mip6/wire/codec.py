"""The field codec: a table of fields, read in both directions.

A `Layout` lists the fields of one value in wire order. Encoding collects the value's attributes, turns them into words
and packs these; decoding unpacks the words, turns them into attributes and builds the value. Each field says how one
word becomes none (reserved), one, or several (bits) attributes.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntFlag
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from operator import attrgetter
from typing import Any, Generic, TypeVar

from mip6.wire.errors import DecodeError, DecodeReason

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Field:
    """One word on the wire and the attributes it carries.

    `code` is the word's `struct` format; it is empty for the field that takes all octets that are left, which can only
    be the last. `to_word` takes the attributes; `from_word` returns the attribute, or a tuple when there isn't exactly
    one. A field without conversions carries its word as it is.
    """

    code: str
    names: tuple[str, ...]
    to_word: Callable[..., Any] | None = None
    from_word: Callable[[Any], Any] | None = None


def u8(name: str) -> Field:
    """An integer of 8 bits."""
    return Field("B", (name,))


def u16(name: str) -> Field:
    """An integer of 16 bits."""
    return Field("H", (name,))


def u32(name: str) -> Field:
    """An integer of 32 bits."""
    return Field("I", (name,))


def u64(name: str) -> Field:
    """An integer of 64 bits."""
    return Field("Q", (name,))


def constant(code: str, word: int | bytes) -> Field:
    """A word that is always sent like this and ignored on receipt."""
    return Field(code, (), lambda: word, lambda _: ())


def reserved(code: str) -> Field:
    """An integer that is sent as zero and ignored on receipt."""
    return constant(code, 0)


def flags(code: str, name: str, kind: type[IntFlag]) -> Field:
    """Flags; unassigned ones are ignored on receipt."""
    known = sum(kind)

    @lru_cache(256)  # the same few come again and again
    def from_word(word: int) -> IntFlag:
        return kind(word & known)

    return Field(code, (name,), int, from_word)


def bits(code: str, **widths: int) -> Field:
    """Several small integers in one word, from the top bit down; one bit is a bool, what is left over is reserved."""
    shift = 8 * struct.calcsize(">" + code)
    parts = []
    for width in widths.values():
        shift -= width
        parts.append((shift, (1 << width) - 1, bool if width == 1 else int))

    def join(*values: int) -> int:
        word = 0
        for (shift, mask, _), value in zip(parts, values, strict=True):
            if not 0 <= value <= mask:
                raise ValueError(f"{value} is not in 0..{mask}")
            word |= value << shift
        return word

    @lru_cache(256)  # the same few come again and again
    def split(word: int) -> tuple[int, ...]:
        return tuple(kind(word >> shift & mask) for shift, mask, kind in parts)

    return Field(code, tuple(widths), join, split if len(parts) > 1 else lambda word: split(word)[0])


def ipv4(name: str) -> Field:
    """An IPv4 address."""
    return Field("4s", (name,), attrgetter("packed"), IPv4Address)


def ipv6(name: str) -> Field:
    """An IPv6 address."""
    return Field("16s", (name,), attrgetter("packed"), IPv6Address)


def octets(name: str, length: int) -> Field:
    """A fixed number of octets."""

    def check(value: bytes) -> bytes:
        if len(value) != length:  # struct would cut or fill it silently
            raise ValueError(f"{name} has {len(value)} octets, not {length}")
        return value

    return Field(f"{length}s", (name,), check)


def rest(name: str) -> Field:
    """All octets that are left."""
    return Field("", (name,))


def u16s(name: str) -> Field:
    """All integers of 16 bits that are left."""

    def pack(values: Sequence[int]) -> bytes:
        try:
            return struct.pack(f">{len(values)}H", *values)
        except struct.error as error:
            raise ValueError(f"{name} {values}: {error}") from error

    def unpack(data: bytes) -> tuple[int, ...]:
        count, left = divmod(len(data), 2)
        if left:
            raise DecodeError(DecodeReason.BAD_OPTION_LENGTH)
        return struct.unpack(f">{count}H", data)

    return Field("", (name,), pack, unpack)


class Layout(Generic[T]):
    """The wire format of `value_type`, whose constructor takes the attributes in the order of the fields.

    `size` is the number of octets of the fields of fixed length.
    """

    def __init__(self, value_type: type[T], *fields: Field) -> None:
        self.value_type = value_type
        self._struct = struct.Struct(">" + "".join(field.code for field in fields))
        self.size = self._struct.size
        self._open = not fields[-1].code
        self._names = [name for field in fields for name in field.names]
        self._encoders = [(i, len(f.names), f.to_word) for i, f in enumerate(fields) if f.to_word]
        # From the last to the first, so that a word that becomes several attributes moves none that is still to come
        self._decoders = [(i, len(f.names), f.from_word) for i, f in enumerate(fields) if f.from_word][::-1]

    def encode(self, value: T) -> bytes:
        """The octets of `value`; ValueError if an attribute does not fit its field."""
        words: list[Any] = [getattr(value, name) for name in self._names]
        for index, count, to_word in self._encoders:
            words[index : index + count] = (to_word(*words[index : index + count]),)
        tail: bytes = words.pop() if self._open else b""
        try:
            return self._struct.pack(*words) + tail
        except struct.error as error:
            raise ValueError(f"{value}: {error}") from error

    def decode(self, data: bytes, start: int, end: int) -> T:
        """The value in `data[start:end]`; DecodeError if it has another length than that."""
        left = end - start - self.size
        if left < 0 or (left and not self._open):
            raise DecodeError(DecodeReason.BAD_OPTION_LENGTH)
        attributes: list[Any] = list(self._struct.unpack_from(data, start))
        if self._open:
            attributes.append(data[end - left : end])
        for index, count, from_word in self._decoders:
            if count == 1:
                attributes[index] = from_word(attributes[index])
            else:
                attributes[index : index + 1] = from_word(attributes[index])
        return self.value_type(*attributes)
