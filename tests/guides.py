"""The commands that README and the guides name, and which test runs each of them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "policies/README.md", *sorted((ROOT / "docs/guide").glob("*.md")))

ON_THE_BUS = "tests/kernel/test_dbus_service.py::test_the_commands_of_the_guide"
INSTALLED = "tests/packaging/test_guides.py::test_a_machine_is_set_up_as_the_page_says"
FORWARDING = "tests/kernel/test_guides.py::test_forwarding_is_turned_on"

_SELF = "tests/kernel/test_guides.py::test_every_command_is_run_by_a_test"
_OPENWRT = "tests/packaging/test_openwrt.py::test_an_init_script_starts_reloads_and_renews"
_SERVICE = "tests/kernel/test_service.py::"
_SYSTEMD = "tests/vm/test_debian.py::"
_UNIT = "tests/packaging/test_systemd.py::test_the_unit_waits_for_the_file_that_the_program_reads"
ELSEWHERE: Mapping[str, str] = {
    r"\./dev demo": "tests/kernel/test_demo.py::test_every_step_is_there_in_both_directions",
    r"\./dev test": _SELF,
    r"\./dev test --fast": _SELF,
    r"\./dev deb": "tests/packaging/test_deb.py::test_they_are_installed_used_upgraded_and_removed_without_a_trace",
    r"\./dev deb --suite trixie": "tests/packaging/test_suites.py::"
    "test_they_are_built_and_installed_and_their_programs_run",
    r"\./dev vm COMMAND": "tests/vm/test_stock_kernel.py::test_the_lab_comes_up_and_traffic_goes_through_the_tunnel",
    r"monami6 setup --home-agent .*": "tests/unit/monami6/test_setup.py::test_the_home_agent_may_have_a_name",
    r"monami6 setup --router .*": "tests/unit/monami6/test_setup.py::test_a_mobile_router_is_told_what_else_it_needs",
    r"\./dev run monami6 lab up --router": "tests/kernel/test_mobile_router.py::"
    "test_up_tells_the_hosts_behind_the_router",
    r"\./dev run monami6 lab demo --router": "tests/kernel/test_mobile_router.py::"
    "test_a_host_behind_the_router_loses_no_more_than_the_router_would",
    r"\./dev run monami6 lab up": "tests/kernel/test_lab.py::test_up_says_what_there_is",
    **dict.fromkeys(
        (
            *(r"git clone .*", r"monami6/dev deb", r"apt install .*\.deb", r"apt install git .*"),
            *(r"python3 -m venv .*", r"/opt/\S+/pip install .*", r"ln -s .*"),
            *(r"pip install --no-deps .*\.whl", r"pip install click .*", r"cp monami6d\.init .*", r"chmod 755 .*"),
            *(r"adduser .*", r"systemd-tmpfiles .*", r"systemctl enable .*"),
        ),
        INSTALLED,
    ),
    **dict.fromkeys((r"echo '.*' \| tee /etc/sysctl\.d/.*", r"sysctl -w .*", r"sysctl --system"), FORWARDING),
    r"monami6d --config .*": f"{_SERVICE}test_a_restart_loses_no_packet",
    r"monami6-ha --config .*": f"{_SERVICE}test_a_restart_loses_no_packet",
    r"systemctl restart .*": f"{_SYSTEMD}test_restarts_lose_nothing",
    r"systemctl stop .*": f"{_SYSTEMD}test_they_are_removed_without_a_trace",
    r"systemctl start .*": _UNIT,
    r"systemctl reload .*": f"{_SYSTEMD}test_other_configurations_are_told_and_lose_nothing",
    **{rf"/etc/init\.d/monami6d {word}": _OPENWRT for word in ("enable", "start", "reload")},
    r"journalctl .*": "tests/unit/mip6/test_journal.py::test_an_event_has_fields_of_its_own",
    **{rf"busctl {word} .*": ON_THE_BUS for word in ("introspect", "get-property", "call")},
    r"gdbus monitor .*": "tests/kernel/test_dbus_service.py::test_everybody_hears_what_changes",
    r"eval .*": "tests/kernel/test_cli.py::test_links_are_completed_by_bash",
    r"monami6-ha radvd( \| tee .*)?": "tests/kernel/test_router_advertisements.py::"
    "test_home_agents_of_a_home_link_find_each_other_and_the_mobile_node_learns_of_both",
    r"monami6-ha switch-away .*": "tests/story/test_home_agents.py::"
    "test_sent_away_it_deregisters_and_goes_where_it_is_told",
}
"""Commands, as regular expressions, and who runs them or what they do. Those of monami6 and monami6-ha that are not
here are run in a lab by tests/kernel/test_guides.py.
"""

_FENCE = re.compile(r"^```(\S*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_PROGRAM = re.compile(
    r"(sudo )?(monami6|monami6-ha|monami6d|\./dev|/etc/init\.d/\S+|adduser|apt|busctl|chmod|chown|cp|eval|git|install|"
    r"ip|journalctl|nft|nmcli|pip|ps|python3|sysctl|systemctl|systemd-\S+)\s+\S"
)


@dataclass(frozen=True)
class Line:
    """A command in a page, without sudo and comment."""

    page: Path
    number: int
    command: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.number}: {self.command}"

    @property
    def claims(self) -> list[str]:
        """Which entries of ELSEWHERE it matches."""
        return [pattern for pattern in ELSEWHERE if re.fullmatch(pattern, self.command)]

    @property
    def is_run_in_a_lab(self) -> bool:
        return not self.claims and re.match(r"(monami6(-ha)?|install|\./dev run) ", self.command) is not None


def lines() -> Iterator[Line]:
    """All of them, in their order: the lines of shell blocks, and what stands in the text between backquotes."""
    for page in PAGES:
        yield from sorted(commands(page, page.read_text()), key=lambda line: line.number)


def commands(page: Path, text: str) -> Iterator[Line]:
    """Those of one page. Raises ValueError when some may stand where nobody looks for them."""
    for block in _FENCE.finditer(text):
        first = text.count("\n", 0, block.start()) + 2
        for number, line in enumerate(block[2].splitlines(), first):
            if block[1] == "sh":
                if command := _bare(line):
                    yield Line(page, number, command)
            elif block[1] not in ("", "toml") or _PROGRAM.match(line.removeprefix("$ ")):
                raise ValueError(f"{page}:{number}: commands belong into ```sh")
    prose = _FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
    for span in _SPAN.finditer(prose):
        if _PROGRAM.match(span[1]):
            yield Line(page, prose.count("\n", 0, span.start()) + 1, _bare(" ".join(span[1].split())))


def _bare(line: str) -> str:
    return re.sub(r"(^|\| )sudo ", r"\1", re.sub(r"(^|\s+)#.*", "", line)).strip()


def run_by(test: str) -> list[Line]:
    """What ELSEWHERE leaves to this test."""
    return [line for line in lines() if any(ELSEWHERE[pattern] == test for pattern in line.claims)]
