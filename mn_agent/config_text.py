"""The agent's configuration file as `monami6 setup` writes it."""

from collections.abc import Mapping
from ipaddress import IPv6Network

from mip6 import toml_text
from mip6.enrolment import Enrolment, IkeSecret, Keys, SharedKey, StaticKeys
from mip6.ipsec import StaticKeys as Direction
from mip6.ipsec import StaticPair
from mn_agent.core.settings import UNKNOWN, Authentication, Home, Ikev2, LinksSettings, RouterSettings, Settings

PROTECTIONS: Mapping[type, str] = {SharedKey: "auth-option", IkeSecret: "ikev2", StaticKeys: "manual"}
"""What each kind of protection is called in status."""

_HEADER = "# The agent's configuration. The page docs/configuration.md explains it and all that can be set beside.\n\n"


def settings(enrolment: Enrolment, inwards: tuple[str, ...] = ()) -> Settings:
    """What it says; all else has its default. `inwards`: the interfaces of a mobile router that lead to the networks
    behind it.
    """
    agent, name = enrolment.home_agent, enrolment.home_agent_name
    home = Home(address=enrolment.home_address, agent=agent if name is None else UNKNOWN, agent_name=name)
    prefixes = tuple(map(IPv6Network, enrolment.prefixes)) if inwards else ()
    router = RouterSettings(prefixes=prefixes, interfaces=inwards)
    match enrolment.protection:
        case SharedKey(spi, key):
            authentication = Authentication(identity=enrolment.identity, spi=spi, key=key)
            return Settings(home=home, authentication=authentication, router=router)
        case IkeSecret(home_agent_identity, secret):
            ikev2 = Ikev2(identity=enrolment.identity, home_agent_identity=home_agent_identity, secret=secret)
            return Settings(home=home, ikev2=ikev2, router=router)
        case StaticKeys(up, down):
            return Settings(home=home, manual=StaticPair(up=_direction(up), down=_direction(down)), router=router)


def _direction(keys: Keys) -> Direction:
    return Direction(spi=keys.spi, encryption_key=keys.encryption_key, integrity_key=keys.integrity_key)


def text(enrolment: Enrolment, inwards: tuple[str, ...] = ()) -> str:
    """The file. It shows one thing with its default, for that is what most people change."""
    prefer = ", ".join(f'"{kind}"' for kind in LinksSettings().prefer)
    document = toml_text.document(settings(enrolment, inwards))
    return f"{_HEADER}{document}\n[links]\nprefer = [{prefer}]    # the best first\n"
