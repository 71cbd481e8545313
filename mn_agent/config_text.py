"""The agent's configuration file as `monami6 setup` writes it."""

from collections.abc import Mapping

from mip6 import toml_text
from mip6.enrolment import Enrolment, IkeSecret, Keys, SharedKey, StaticKeys
from mip6.ipsec import StaticKeys as Direction
from mip6.ipsec import StaticPair
from mn_agent.core.settings import Authentication, Home, Ikev2, LinksSettings, Settings

PROTECTIONS: Mapping[type, str] = {SharedKey: "auth-option", IkeSecret: "ikev2", StaticKeys: "manual"}
"""What each kind of protection is called in status."""

_HEADER = "# The agent's configuration. The page docs/configuration.md explains it and all that can be set beside.\n\n"


def settings(enrolment: Enrolment) -> Settings:
    """What it says; all else has its default."""
    home = Home(address=enrolment.home_address, agent=enrolment.home_agent)
    match enrolment.protection:
        case SharedKey(spi, key):
            return Settings(home=home, authentication=Authentication(identity=enrolment.identity, spi=spi, key=key))
        case IkeSecret(home_agent_identity, secret):
            ikev2 = Ikev2(identity=enrolment.identity, home_agent_identity=home_agent_identity, secret=secret)
            return Settings(home=home, ikev2=ikev2)
        case StaticKeys(up, down):
            return Settings(home=home, manual=StaticPair(up=_direction(up), down=_direction(down)))


def _direction(keys: Keys) -> Direction:
    return Direction(spi=keys.spi, encryption_key=keys.encryption_key, integrity_key=keys.integrity_key)


def text(enrolment: Enrolment) -> str:
    """The file. It shows one thing with its default, for that is what most people change."""
    prefer = ", ".join(f'"{kind}"' for kind in LinksSettings().prefer)
    return f"{_HEADER}{toml_text.document(settings(enrolment))}\n[links]\nprefer = [{prefer}]    # the best first\n"
