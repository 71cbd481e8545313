"""A daemon's answer as the structure that both share."""

from typing import Any, TypeVar

import msgspec

from monami6.exits import Failure

_T = TypeVar("_T", bound=msgspec.Struct)


def decode(answer: bytes, kind: type[_T], schema: int) -> _T:
    """Raises Failure when the daemon is of a version that answers otherwise. What it says beyond `kind` is left out."""
    try:
        found: Any = msgspec.json.decode(answer).get("schema")
        if found != schema:
            raise Failure(f"the answer is of schema {found}, and this program knows {schema}: {_ADVICE}")
        return msgspec.json.decode(answer, type=kind)
    except msgspec.MsgspecError as error:
        raise Failure(f"the answer is not what this program knows ({error}): {_ADVICE}") from None


_ADVICE = "after an upgrade restart the daemon; --json shows the answer as it is"
