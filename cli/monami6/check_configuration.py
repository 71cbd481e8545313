"""Checks of the agent's configuration and of the places that it names."""

import os
import stat
import tomllib
from pathlib import Path

from mip6.config import ConfigError
from monami6.checks import AS_ROOT, CannotTellError, Check, Finding, Patient, ok, problem


def validity(patient: Patient) -> Finding:
    """Whether the agent could start with it."""
    configuration = patient.configuration
    if not isinstance(configuration, ConfigError):
        return ok(f"{patient.config_path} is valid")
    if not patient.config_path.exists():
        return problem(
            f"there is no {patient.config_path}: the agent does not start",
            "write it with `monami6 setup`, or name another with --config FILE",
        )
    return problem(f"the agent does not start with this:\n{configuration}", "correct it: each line says how")


def secrets(patient: Patient) -> Finding:
    """Who can read the key can take the home address."""
    _ = patient.valid_configuration  # without a valid file there is no telling where the key is
    file = _key_file(patient.config_path)
    mode = file.stat().st_mode
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        what = "read" if mode & stat.S_IROTH else "change"
        return problem(
            f"everybody on this machine may {what} {file}, and the key in it stands for the home address",
            f"chmod o= {file}; if strangers have an account here, get a new key",
        )
    return ok(f"{file}, which holds the key, is not for everybody")


def _key_file(config_path: Path) -> Path:
    document = tomllib.loads(config_path.read_text())
    files = [document.get("authentication", {}).get("key_file"), document.get("ikev2", {}).get("secret_file")]
    return next((config_path.parent / file for file in files if file is not None), config_path)


def state_directory(patient: Patient) -> Finding:
    """What a restarted agent goes on from."""
    directory = patient.valid_configuration.state_file.parent
    if not directory.is_dir():
        return problem(
            f"{directory} does not exist: a restarted agent has forgotten its bindings", f"mkdir -p {directory}"
        )
    if os.access(directory, os.W_OK):
        return ok(f"{directory} can be written")
    if os.geteuid() != 0:
        raise CannotTellError(f"only root can see whether {directory} can be written", AS_ROOT)
    return problem(
        f"{directory} cannot be written: a restarted agent has forgotten its bindings",
        "mount it for writing, or name another place under [paths] state",
    )


CHECKS = (
    Check("configuration", validity),
    Check("secrets", secrets),
    Check("state directory", state_directory),
)
