"""What the agent tells people while it works: `monami6 monitor` and the log."""

from dataclasses import dataclass
from enum import Enum


class NoticeKind(Enum):
    """The catalogue of event names."""

    LINK_USABLE = "link-usable"
    LINK_UNUSABLE = "link-unusable"
    LINK_GONE = "link-gone"
    LINK_LEAVING = "link-leaving"
    BINDING = "binding"
    PATH = "path"
    CARRIER = "carrier"
    FLOW = "flow"
    CORRESPONDENT = "correspondent"
    IKE = "ike"
    POLICY = "policy"
    HOME = "home"
    HOME_AGENT = "home-agent"
    DNS = "dns"
    ROUTER = "router"
    HOME_ADDRESS = "home-address"
    RESUMED = "resumed"
    REFUSED = "refused"
    SERVED_AGAIN = "served-again"
    SINGLE_CARE_OF_ADDRESS = "single-care-of-address"
    IGNORED = "ignored"
    TROUBLE = "trouble"
    TROUBLE_OVER = "trouble-over"


@dataclass(frozen=True, slots=True)
class Notice:
    """One event; `text` is for people, `link` and `status` (a Binding Acknowledgement's) for programs."""

    kind: NoticeKind
    text: str
    link: str | None = None
    status: int | None = None
