"""What a check of `monami6 doctor` is, and what it may look at.

A check is a function that takes the Patient and returns one Finding. To add one, write it in the check_*.py file of its
subject and name it in the CHECKS there.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from mip6.config import ConfigError
from mip6.linux.nftables import Nftables
from mn_agent import config
from monami6.client import Client
from monami6.exits import Failure

CAP_NET_ADMIN, CAP_NET_RAW = 12, 13

AS_ROOT = "run the doctor as root"


class Result(Enum):
    """How bad it is; in rising order."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found and what that means; `remedy` says what to do about it."""

    result: Result
    found: str
    remedy: str = ""


Findings: TypeAlias = Mapping[str, Mapping[str, Finding]]
"""By area, then by the name of the check."""


def ok(found: str) -> Finding:
    """Nothing to do."""
    return Finding(Result.OK, found)


def warning(found: str, remedy: str) -> Finding:
    """It works, but not as well as it should, or not for long."""
    return Finding(Result.WARNING, found, remedy)


def problem(found: str, remedy: str) -> Finding:
    """It cannot work like this."""
    return Finding(Result.PROBLEM, found, remedy)


class CannotTellError(Exception):
    """A check cannot find out: its result is unknown, which is neither good nor bad."""

    def __init__(self, why: str, remedy: str) -> None:
        self.remedy = remedy
        super().__init__(why)


class Configuration(NamedTuple):
    """What the checks want to know of it."""

    home_agent: str | None
    """None: the DNS has it."""
    state_file: Path
    security: str
    """auth-option, manual or ikev2."""


class Patient:
    """The machine, its configuration and its agent, each looked at once. What cannot be seen raises CannotTellError."""

    def __init__(self, config_path: Path, agent: Client) -> None:
        self.config_path = config_path
        self.agent = agent

    @cached_property
    def configuration(self) -> Configuration | ConfigError:
        """What the configuration file says, or what is wrong with it."""
        if not os.access(self.config_path, os.R_OK) and self.config_path.exists():
            raise CannotTellError(f"{self.config_path} may not be read", AS_ROOT)
        try:
            settings = config.read(self.config_path)
        except ConfigError as error:
            return error
        home_agent = str(settings.home.agent) if settings.home.is_agent_known else None
        return Configuration(home_agent, Path(settings.paths.state), settings.security.value)

    @property
    def valid_configuration(self) -> Configuration:
        if isinstance(self.configuration, ConfigError):
            raise CannotTellError("the configuration is not valid", "correct it first")
        return self.configuration

    @cached_property
    def answer(self) -> Mapping[str, Any] | Failure:
        """The agent's status, or why there is none."""
        try:
            status: Mapping[str, Any] = json.loads(self.agent.ask("status"))
        except Failure as failure:
            return failure
        return status

    @property
    def status(self) -> Mapping[str, Any]:
        if isinstance(self.answer, Failure):
            raise CannotTellError("only the running agent knows", f"start it: systemctl start {self.agent.daemon}")
        return self.answer

    @property
    def links(self) -> list[Mapping[str, Any]]:
        """The agent's links, as in its status; never empty."""
        links: list[Mapping[str, Any]] = self.status["links"]
        if not links:
            raise CannotTellError("the agent has no link", "connect one, or look at [links] exclude")
        return links

    @property
    def home_agent(self) -> str:
        is_running = not isinstance(self.answer, Failure)
        home_agent = self.status["home_agent"] if is_running else self.valid_configuration.home_agent
        if home_agent is None:
            raise CannotTellError(
                "the home agent's address is not known yet",
                "the check of DNS says why" if is_running else f"start the agent: systemctl start {self.agent.daemon}",
            )
        return str(home_agent)

    @property
    def security(self) -> str:
        """How messages are protected, as the agent or else the configuration says."""
        if isinstance(self.answer, Failure):
            return self.valid_configuration.security
        return str(self.answer["security"])

    @cached_property
    def features(self) -> Mapping[str, str | None]:
        """Of the kernel: what it said when they were tried (monami6.probe), None for those that work."""
        command = [sys.executable, "-m", "monami6.probe"]
        probe = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        if probe.returncode:
            return {"": (probe.stderr.strip().splitlines() or ["it ended without a word"])[-1]}
        features: Mapping[str, str | None] = json.loads(probe.stdout)
        return features

    def refusal(self, feature: str) -> str | None:
        """Why the kernel does not have this feature; None if it has it."""
        if "" in self.features:
            raise CannotTellError(f"it could not be tried: {self.features['']}", AS_ROOT)
        return self.features[feature]

    @cached_property
    def ruleset(self) -> list[dict[str, Any]]:
        """All of nftables, as its JSON objects."""
        if not effective_capabilities("self") >> CAP_NET_ADMIN & 1:
            raise CannotTellError("the packet filter may not be read", AS_ROOT)
        try:
            with closing(Nftables()) as nftables:
                return nftables.run("list ruleset")
        except OSError as error:
            raise CannotTellError(f"the packet filter cannot be read: {error}", AS_ROOT) from None


def effective_capabilities(pid: int | str) -> int:
    """Of a process, as a bit mask. Raises FileNotFoundError when it cannot be seen."""
    line = re.search(r"^CapEff:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert line is not None  # Linux has had it since 2.2
    return int(line[1], 16)


@dataclass(frozen=True, slots=True)
class Check:
    """One entry of the doctor's list."""

    name: str
    look: Callable[[Patient], Finding]

    def examine(self, patient: Patient) -> Finding:
        """Look; what the system refuses to show is unknown."""
        try:
            return self.look(patient)
        except CannotTellError as error:
            return Finding(Result.UNKNOWN, str(error), error.remedy)
        except OSError as error:
            return Finding(Result.UNKNOWN, f"it could not be looked at: {error}", AS_ROOT)
