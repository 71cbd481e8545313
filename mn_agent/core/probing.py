"""Whether the path over each link reaches the home agent, and how good it is.

A probe is an echo request from the link's own care-of address to the home agent. Traffic that comes out of the tunnel
over a link proves its path, and costs nothing; so a link is probed often only while packets leave over it and none
comes back, and now and then otherwise. A path is dead when probes go unanswered while another path proves that the home
agent is there: if none does, it is not the path. One over which no probe was ever answered is not judged: some networks
and home agents drop echo requests, and carry the rest.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from math import inf

from mn_agent.core.settings import ProbingSettings

LOOKS_PER_NOTICE = 3
"""How often to look within the time in which a dead path has to be noticed."""
IDLE_LOOKS = 2
"""A pause is so many times longer when there was no traffic: when some begins, there must be time to notice."""
LOST_AFTER_S = 2.0
"""A probe that is not answered by then counts as lost."""
FIRST_HEALING_S, LAST_HEALING_S = 0.5, 5.0
"""A dead path is probed after so long, and then twice as long each time, but no longer than that."""
PROBE_OCTETS = 2 * 56
"""A request and its answer: IPv6 header, ICMPv6 header, 8 octets."""
_WINDOW = 32
"""Probes that the loss is reckoned from."""
_FEW = 20
"""Fewer count as so many: one that gets lost is no loss rate."""
SUSPICIONS = 2
"""Unanswered probes in a row that it takes while packets leave over the path."""
IDLE_SUSPICIONS = 4
"""The same otherwise: nothing is at stake, and a probe may get lost on a good path."""
_ASK_AGAIN_S = 1.0
"""How long after an unanswered probe over an idle path the next one follows, and after the first the second."""


@dataclass(frozen=True, slots=True)
class Path:
    """The path over one link. Instants of what never happened are -inf."""

    care_of: IPv6Address
    waiting: Mapping[int, float] = field(default_factory=dict)
    """Probes that are not answered yet: sequence number and when they were sent."""
    results: tuple[bool, ...] = ()
    """Of the last probes, the newest last: whether they were answered."""
    rtt_s: float | None = None
    variation_s: float = 0.0
    """Of the round-trip time (RFC 6298 section 2)."""
    jitter_s: float | None = None
    """Smoothed difference between one round trip and the next (RFC 3550 section 6.4.1)."""
    last_rtt_s: float | None = None
    proof_at: float = -inf
    """When something came back over this path last."""
    sent_at: float = -inf
    unproved: int = 0
    """Probes sent since something came back."""
    asked_at: float = inf
    """When the first of them was sent."""
    busy: bool = False
    """Whether packets left over it lately, and none came back."""
    dead: bool = False
    dead_since_at: float = inf
    octets: float = inf
    """Budget that was left at `octets_at`."""
    octets_at: float = -inf

    @property
    def loss(self) -> float | None:
        """0 to 1; None before the first result. What is lost while the path is dead does not count."""
        return self.results.count(False) / max(len(self.results), _FEW) if self.results else None


@dataclass(frozen=True, slots=True)
class Probing:
    """All paths, by binding identifier."""

    paths: Mapping[int, Path] = field(default_factory=dict)
    sequence: int = 0
    """Of the last probe sent."""
    look_at: float = -inf
    """When to look for traffic."""
    matters: bool = False
    """Whether anything can be done about a dead path: there is another one, or another home agent."""


@dataclass(frozen=True, slots=True)
class Target:
    """A link that can be probed."""

    care_of: IPv6Address
    metered: bool


@dataclass(frozen=True, slots=True)
class Probe:
    """An echo request to send."""

    care_of: IPv6Address
    sequence: int


def follow(
    probing: Probing, targets: Mapping[int, Target], settings: ProbingSettings, now: float, *, elsewhere: bool
) -> Probing:
    """Know these links and no others; one with another care-of address is another path. `elsewhere`: there is another
    home agent.
    """
    paths = {}
    for bid, target in targets.items():
        known = probing.paths.get(bid)
        if known is None or known.care_of != target.care_of:
            budget = float(settings.metered_octets_per_hour) if target.metered else inf
            known = Path(target.care_of, octets=budget, octets_at=now)
        paths[bid] = known
    matters = len(paths) > 1 or elsewhere
    is_known = paths == probing.paths and matters == probing.matters
    return probing if is_known else replace(probing, paths=paths, matters=matters)


def counted(
    probing: Probing, arrived: Collection[int], left: Collection[int], settings: ProbingSettings, now: float
) -> Probing:
    """Traffic since the last look: links over which tunnelled packets arrived, and over which some left."""
    paths = dict(probing.paths)
    for bid, path in probing.paths.items():
        paths[bid] = _proved(path, now) if bid in arrived else replace(path, busy=bid in left)
    pause_s = _look_s(settings) * (1 if left else IDLE_LOOKS)
    return replace(probing, paths=paths, look_at=now + pause_s)


def answered(probing: Probing, sequence: int, now: float) -> Probing:
    """An echo reply arrived."""
    for bid, path in probing.paths.items():
        sent_at = path.waiting.get(sequence)
        if sent_at is not None:
            proved = _proved(path, now)
            waiting = {number: at for number, at in proved.waiting.items() if number != sequence}
            better = _measured(replace(proved, waiting=waiting), now - sent_at)
            return replace(probing, paths={**probing.paths, bid: better})
    return probing


def heard(probing: Probing, care_of: IPv6Address, now: float) -> Probing:
    """A message of the home agent came to this care-of address: that proves its path too."""
    paths = {bid: _proved(path, now) if path.care_of == care_of else path for bid, path in probing.paths.items()}
    return replace(probing, paths=paths)


def start_anew(probing: Probing) -> Probing:
    """Ask every path at once. What was asked before tells nothing any more; a dead path stays dead until it answers."""
    paths = {
        bid: replace(path, waiting={}, sent_at=-inf, unproved=0, asked_at=inf) for bid, path in probing.paths.items()
    }
    return replace(probing, paths=paths, look_at=-inf)


def _proved(path: Path, now: float) -> Path:
    if path.dead:
        path = replace(path, results=(), waiting={})
    return replace(path, proof_at=now, unproved=0, asked_at=inf, busy=False, dead=False, dead_since_at=inf)


def _measured(path: Path, rtt_s: float) -> Path:
    if path.rtt_s is None or path.last_rtt_s is None:
        smooth_s, variation_s, jitter_s = rtt_s, rtt_s / 2, None
    elif path.jitter_s is None:
        # The first of all waited for the router's hardware address, perhaps: it tells little of the path
        smooth_s, variation_s, jitter_s = rtt_s, rtt_s / 2, 0.0
    else:
        variation_s = path.variation_s + (abs(path.rtt_s - rtt_s) - path.variation_s) / 4
        smooth_s = path.rtt_s + (rtt_s - path.rtt_s) / 8
        before_s = path.jitter_s or 0.0
        jitter_s = before_s + (abs(path.last_rtt_s - rtt_s) - before_s) / 16
    return replace(
        path,
        rtt_s=smooth_s,
        variation_s=variation_s,
        jitter_s=jitter_s,
        last_rtt_s=rtt_s,
        results=(*path.results, True)[-_WINDOW:],
    )


def step(
    probing: Probing, targets: Mapping[int, Target], settings: ProbingSettings, now: float
) -> tuple[Probing, list[Probe]]:
    """What is due: probes to send, probes to give up, paths to give up."""
    if now < deadline(probing, targets, settings):
        return probing, []
    paths = {bid: _given_up(path, now) for bid, path in probing.paths.items()}
    paths = {bid: _judged(bid, paths, settings, now) for bid in paths}
    seen = replace(probing, paths=paths)
    due = [bid for bid in paths if _due_at(bid, seen, targets[bid], settings) <= now]
    probes = []
    for sequence, bid in enumerate(due, probing.sequence + 1):
        probes.append(Probe(paths[bid].care_of, sequence & 0xFFFF))
        paths[bid] = _sent(paths[bid], sequence & 0xFFFF, targets[bid], settings, now)
    return replace(probing, paths=paths, sequence=(probing.sequence + len(due)) & 0xFFFF), probes


def deadline(probing: Probing, targets: Mapping[int, Target], settings: ProbingSettings) -> float:
    """When `step` has something to do."""
    moments = [inf]
    for bid, path in probing.paths.items():
        moments.append(_due_at(bid, probing, targets[bid], settings))
        moments += [at + LOST_AFTER_S for at in path.waiting.values()]
        if _is_suspect(path) and _is_alive_elsewhere(bid, probing.paths):
            moments.append(path.proof_at + _patience_s(path, settings))
    return min(moments)


def _look_s(settings: ProbingSettings) -> float:
    return settings.notice_s / LOOKS_PER_NOTICE


def _patience_s(path: Path, settings: ProbingSettings) -> float:
    """How long nothing may come back: longer on a path that is slow."""
    return settings.notice_s + (path.rtt_s or 0.0) + 4 * path.variation_s


def _is_suspect(path: Path) -> bool:
    return not path.dead and path.rtt_s is not None and path.unproved >= (SUSPICIONS if path.busy else IDLE_SUSPICIONS)


def _is_alive_elsewhere(bid: int, paths: Mapping[int, Path]) -> bool:
    """Whether another path has proved since we began to ask that the home agent is there."""
    return any(other.proof_at > paths[bid].asked_at for place, other in paths.items() if place != bid)


def _given_up(path: Path, now: float) -> Path:
    late = [number for number, at in path.waiting.items() if at + LOST_AFTER_S <= now]
    if not late:
        return path
    waiting = {number: at for number, at in path.waiting.items() if number not in late}
    return replace(path, waiting=waiting, results=(*path.results, *(False for _ in late))[-_WINDOW:])


def _judged(bid: int, paths: Mapping[int, Path], settings: ProbingSettings, now: float) -> Path:
    path = paths[bid]
    silent = _is_suspect(path) and now >= path.proof_at + _patience_s(path, settings)
    return replace(path, dead=True, dead_since_at=now) if silent and _is_alive_elsewhere(bid, paths) else path


def _due_at(bid: int, probing: Probing, target: Target, settings: ProbingSettings) -> float:
    """When to send the next probe: as often as it takes, but not more than the budget allows."""
    path = probing.paths[bid]
    usual_s = settings.metered_every_s if target.metered else settings.every_s
    asks_again = 0 < path.unproved < IDLE_SUSPICIONS and path.proof_at > -inf and probing.matters
    if path.dead:
        pause_s = min(max(FIRST_HEALING_S, path.sent_at - path.dead_since_at), LAST_HEALING_S)
    elif path.busy and probing.matters:
        pause_s = _look_s(settings)
    elif path.unproved == 0 and _is_witness(bid, probing.paths):
        pause_s = 0.0
    elif asks_again or (path.rtt_s is not None and path.jitter_s is None):
        pause_s = min(_ASK_AGAIN_S, usual_s)
    else:
        pause_s = usual_s
    return max(path.sent_at + pause_s, _affordable_at(path, target, settings))


def _is_witness(bid: int, paths: Mapping[int, Path]) -> bool:
    """Another path is silent: this one has to tell whether the home agent is."""
    others = (path for place, path in paths.items() if place != bid)
    return any(_is_suspect(path) and path.busy and path.asked_at >= paths[bid].proof_at for path in others)


def _affordable_at(path: Path, target: Target, settings: ProbingSettings) -> float:
    """When the budget allows another probe."""
    if not target.metered or path.octets >= PROBE_OCTETS:
        return -inf
    return path.octets_at + (PROBE_OCTETS - path.octets) * 3600 / settings.metered_octets_per_hour


def _sent(path: Path, sequence: int, target: Target, settings: ProbingSettings, now: float) -> Path:
    octets = inf
    if target.metered:
        most = float(settings.metered_octets_per_hour)
        octets = min(most, path.octets + (now - path.octets_at) * most / 3600) - PROBE_OCTETS
    return replace(
        path,
        waiting={**path.waiting, sequence: now},
        sent_at=now,
        unproved=path.unproved + 1,
        asked_at=min(path.asked_at, now),
        octets=octets,
        octets_at=now,
    )
