"""monami6 doctor."""

import json
from pathlib import Path

import click

from monami6 import check_agent, check_configuration, check_firewall, check_machine, check_network, client
from monami6.checks import Findings, Patient, Result
from monami6.exits import FAILED

SCHEMA = 1

AREAS = {
    "machine": check_machine.CHECKS,
    "configuration": check_configuration.CHECKS,
    "agent": check_agent.CHECKS,
    "network": check_network.CHECKS,
    "firewall": check_firewall.CHECKS,
}


@click.command()
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, readable=False),  # what cannot be read is a finding
    default=Path("/etc/monami6/agent.toml"),
    show_default=True,
    metavar="FILE",
    help="The agent's configuration.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def doctor(context: click.Context, config_path: Path, *, as_json: bool) -> None:
    """Check what the agent needs, and say what to do about what is wrong.

    Some checks need root: anybody else sees their result as unknown. Ends with 0 when nothing is worse than a warning,
    with 1 otherwise.
    """
    patient = Patient(config_path, client.agent(context))
    findings = {area: {check.name: check.examine(patient) for check in checks} for area, checks in AREAS.items()}
    if as_json:
        click.echo(json.dumps(_as_json(findings)))
    else:
        from monami6.doctor_view import show  # rich is for those who look

        show(findings)
    if any(finding.result is Result.PROBLEM for checked in findings.values() for finding in checked.values()):
        context.exit(FAILED)


def _as_json(findings: Findings) -> dict[str, object]:
    checks = [
        {
            "area": area,
            "check": name,
            "result": finding.result.value,
            "found": finding.found,
            "remedy": finding.remedy or None,
        }
        for area, checked in findings.items()
        for name, finding in checked.items()
    ]
    return {"schema": SCHEMA, "checks": checks}
