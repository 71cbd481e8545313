"""Checks of the running agent: whether it answers, and whether what it sees is so."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from ipaddress import IPv6Address

from monami6.checks import CannotTellError, Check, Finding, Patient, ok, problem, warning
from monami6.exits import Failure

_HINTS = {
    "home agent refuses our key": "key, spi and identity must be the same here and in the home agent's [[node]]",
    "acknowledgement not authentic": "key, spi and identity must be the same here and in the home agent's [[node]]",
    "bad checksum": "something on the way changes packets: compare `monami6 trace` here and at the home agent",
}
"""What a reason for which the agent ignored messages tells about a registration that does not succeed."""


def running(patient: Patient) -> Finding:
    """Without it there is nothing."""
    if isinstance(patient.answer, Failure):
        why, _, how_to_start = patient.answer.message.partition("\n")
        return problem(why, how_to_start or f"look at its log: journalctl -u {patient.agent.daemon}")
    its, ours = patient.answer["version"], version("monami6")
    if its != ours:
        return warning(
            f"{patient.agent.daemon} is version {its}, this program {ours}",
            f"restart it: systemctl restart {patient.agent.daemon}",
        )
    return ok(f"{patient.agent.daemon} {its} answers (process {patient.answer['pid']})")


def registration(patient: Patient) -> Finding:
    """Whether the home agent has our care-of addresses."""
    registered = patient.status["registration"]
    why = f": {registered['problem']}" if registered["problem"] else ""
    told = [_HINTS[reason] for reason in patient.status["counters"] if reason in _HINTS]
    match registered["state"]:
        case "registered":
            return ok(f"registered with home agent {patient.home_agent}")
        case "at home":
            return ok("at home: nothing has to be registered")
        case "partly registered":
            names = [link["name"] for link in patient.links if link["state"] not in ("registered", "standby")]
            return warning(f"not over every link: {', '.join(names)}", "`monami6 status` says why")
        case "no link":
            return problem("no link can be used", "`monami6 status` says for each link why not")
        case "refused":
            return problem(f"the home agent refuses{why}", told[0] if told else "ask whoever runs the home agent")
    hint = f"is {patient.status['home_agent']} up, and does it know this node? See `monami6 trace` while this goes on"
    return problem(f"the home agent has not accepted a registration{why}", told[0] if told else hint)


def dns(patient: Patient) -> Finding:
    """Whether the DNS tells who the home agent is, where that is its business."""
    lookup = patient.status.get("lookup")
    if lookup is None:
        return ok("the DNS is not asked: the configuration has the home agent's address")
    name, address, source = (patient.status[key] for key in ("home_agent_name", "home_agent", "home_agent_from"))
    known = f"home agent {name or address} is {address} (by {source})"
    remedy = "see /etc/resolv.conf; do its servers answer over these links, and is the name right?"
    if lookup["problem"] is not None and address is None:
        return problem(f"the DNS does not say who the home agent is: {lookup['problem']}", remedy)
    if lookup["problem"] is not None:
        return warning(f"{known}, and the DNS does not answer: {lookup['problem']}", remedy)
    if address is None:
        raise CannotTellError(f"the DNS is being asked for {lookup['question']}", "ask again in a moment")
    return ok(known)


def ike(patient: Patient) -> Finding:
    """Whether strongSwan has negotiated keys with the home agent's."""
    told = patient.status["ike"]
    if patient.security != "ikev2":
        return ok("no keys are negotiated: IKEv2 is not asked for")
    if not told["strongswan"]:
        return problem(
            "strongSwan is not there to negotiate keys",
            "apt install charon-systemd strongswan-swanctl; systemctl start strongswan; is [ikev2] vici its socket?",
        )
    if told["sa"] is None:
        why = patient.status["troubles"].get("IKE", "no IKE SA is established")
        return problem(
            f"{why}: no message can be protected",
            "secret and identities must be the same here and at the home agent; see journalctl -u strongswan at both",
        )
    if "IKE" in patient.status["troubles"]:
        return warning(
            patient.status["troubles"]["IKE"],
            "payload under [ikev2] here, and under [node.ikev2] at the home agent, must be the same",
        )
    return ok(f"an IKE SA is established at {told['sa']['care_of_address']}")


def troubles(patient: Patient) -> Finding:
    """What the operating system does not let the agent do."""
    # What the DNS has to do with, its own check says
    found = {what: why for what, why in patient.status["troubles"].items() if what != "DNS"}
    if found:
        listed = "; ".join(f"{what}: {why}" for what, why in found.items())
        return problem(f"the system refuses the agent something: {listed}", "see the checks of the machine above")
    return ok("the system lets the agent do all it wants")


def interfaces(patient: Patient) -> Finding:
    """The agent's picture of the interfaces against getifaddrs, another way to ask the same kernel."""
    theirs = {name: set(addresses) for name, addresses in _agents_view(patient).items() if addresses}
    ours = _system_view()
    wrong = sorted(name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name))
    if not wrong:
        return ok(f"the agent sees the addresses of {', '.join(sorted(ours)) or 'no interface'} as they are")
    name = wrong[0]
    seen, there = theirs.get(name, set()), ours.get(name, set())
    return warning(
        f"the agent sees other addresses than there are on {', '.join(wrong)}; on {name} it sees "
        f"{_listed(seen - there)} that is not there, and not {_listed(there - seen)}",
        "if it stays so: is the agent in another network namespace? Otherwise restart it, and report this",
    )


def _listed(addresses: set[str]) -> str:
    return ", ".join(sorted(addresses)) or "nothing"


def _agents_view(patient: Patient) -> Mapping[str, list[str]]:
    _ = patient.status  # says so if the agent does not run
    try:
        view: Mapping[str, list[str]] = json.loads(patient.agent.ask("interfaces"))
    except Failure as failure:
        raise CannotTellError(failure.message, "restart the agent after an upgrade") from None
    return view


def _system_view() -> dict[str, set[str]]:
    """Addresses by interface, those of a link only and of the loopback interface left out."""
    try:
        import netifaces  # an extra: nothing else needs it
    except ImportError:
        raise CannotTellError(
            "netifaces, which would look at the interfaces another way, is not installed",
            "pip install 'monami6[inspect]'",
        ) from None
    view = {}
    for name in netifaces.interfaces():
        try:
            entries = netifaces.ifaddresses(name).get(netifaces.AF_INET6, [])
        except ValueError:
            continue  # It has no address of any kind, as the devices of IPsec's tunnels
        addresses = [IPv6Address(entry["addr"].partition("%")[0]) for entry in entries]
        kept = {str(address) for address in addresses if not address.is_link_local}
        if kept and name != "lo":
            view[name] = kept
    return view


CHECKS = (
    Check("agent", running),
    Check("DNS", dns),
    Check("registration", registration),
    Check("IKE", ike),
    Check("troubles", troubles),
    Check("interfaces", interfaces),
)
