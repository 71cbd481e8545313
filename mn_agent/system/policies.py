"""Policy files: where they are, and how to read one."""

import pwd
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mip6.config import ConfigError, fault, load
from mip6.protocols import WITH_PORTS, WITH_SPI
from mn_agent.core.flows import MOST_SELECTORS, Flows, prepare, selectors
from mn_agent.core.policy_file import FlowRule, Policy

DIRECTORIES = (
    Path("/etc/monami6/policies"),
    Path("/usr/share/monami6/policies"),
    Path(sys.prefix, "share/monami6/policies"),
    Path(__file__).resolve().parents[2] / "policies",
)
"""The first that has a policy of some name is taken: the administrator's, the package's, the environment's, the
checkout's."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_CGROUPS = Path("/sys/fs/cgroup")
_CGROUP = re.compile(r"(?!\.\.?(/|$))[\w.@:-]+(/(?!\.\.?(/|$))[\w.@:-]+)*")
_LAST_USER = (1 << 32) - 2


def names() -> dict[str, Path]:
    """All policies, by name."""
    found: dict[str, Path] = {}
    for directory in DIRECTORIES:
        for path in sorted(directory.glob("*.toml")):
            if _NAME.fullmatch(path.stem):
                found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def use(name: str) -> Flows:
    """The policy of this name, or in the file with this absolute path, ready for use. Raises ConfigError."""
    path = Path(name) if name.startswith("/") and "\0" not in name else names().get(name)
    if path is None:
        raise ConfigError(f"no policy is called {name}; there are: {', '.join(names())}")
    policy = read(path)
    return prepare(name, policy, cgroups(policy))


def renew(flows: Flows) -> Flows:
    """The same with the control groups as they are now."""
    named = any(rule.cgroup is not None for rule in flows.policy.flow)
    return prepare(flows.name, flows.policy, cgroups(flows.policy)) if named else flows


def read(path: Path) -> Policy:
    """The policy in a file, users as numbers. Raises ConfigError with what is wrong."""
    policy = load(path, Policy)
    taken: set[str] = set()
    count = 0
    for place, rule in enumerate(policy.flow):
        if rule.name in taken:
            raise fault(path, ("flow", place, "name"), f' = "{rule.name}": another flow has it already')
        taken.add(rule.name)
        _check(path, place, rule)
        count += sum(1 for _ in selectors(rule))
        if count > MOST_SELECTORS:
            what = f": makes {count} combinations of what it lists with those before; at most {MOST_SELECTORS} fit"
            raise fault(path, ("flow", place), what)
    return replace(policy, flow=tuple(_with_number(path, place, rule) for place, rule in enumerate(policy.flow)))


def _check(path: Path, place: int, rule: FlowRule) -> None:
    where = ("flow", place)
    ports = rule.port or rule.local_port
    if rule.spi and ports:
        raise fault(path, (*where, "spi"), ": a packet has either ports or an SPI, not both")
    if ports and rule.protocol and not set(rule.protocol) & set(WITH_PORTS):
        raise fault(path, (*where, "protocol"), ": has no ports; must be tcp, udp, sctp, dccp or udplite with a port")
    if rule.spi and rule.protocol and not set(rule.protocol) & set(WITH_SPI):
        raise fault(path, (*where, "protocol"), ": has no SPI; must be esp or ah with an spi")
    if rule.cgroup is not None and not _CGROUP.fullmatch(rule.cgroup):
        raise fault(path, (*where, "cgroup"), f' = "{rule.cgroup}": must look like "user.slice/backup.service"')
    if 0 < len(rule.via) < rule.copies:
        raise fault(path, (*where, "copies"), f" = {rule.copies}: via must name as many links or kinds of links")


def _with_number(path: Path, place: int, rule: FlowRule) -> FlowRule:
    if rule.user is None:
        return rule
    try:
        number = int(rule.user) if rule.user.isdecimal() else pwd.getpwnam(rule.user).pw_uid
        if number > _LAST_USER:
            raise ValueError
        return replace(rule, user=str(number))
    except (KeyError, ValueError):
        raise fault(path, ("flow", place, "user"), f' = "{rule.user}": must be a user of this machine') from None


def cgroups(policy: Policy) -> Mapping[str, int]:
    """The control groups that its flows name, as far as they exist, each with a number of its own."""
    found = {}
    for rule in policy.flow:
        if rule.cgroup is not None and (_CGROUPS / rule.cgroup).is_dir():
            found[rule.cgroup] = (_CGROUPS / rule.cgroup).stat().st_ino
    return found
