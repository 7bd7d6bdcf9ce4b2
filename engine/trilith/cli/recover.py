"""`trilith recover`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trilith.cli.options import data_option, json_option
from trilith.cli.output import print_json
from trilith.node_options import ZONES

SETTLED_WITHIN_S = 30.0
SETTLED_POLL_S = 0.2

if TYPE_CHECKING:
    from trilith.cluster.recovery import Verdict


@click.command(short_help="Two zones are gone for good: go on from the third.")
@click.option(
    "--from-zone",
    "zone",
    required=True,
    metavar="ZONE",
    type=click.Choice(ZONES),
    help="The zone that is left.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
@json_option
def recover(zone: str, yes: bool, data: Path, as_json: bool) -> None:
    """Two zones are gone for good: make the third one the sole source.

    Its whole durable log counts from then on. Reads work at once; writes work again when another
    zone has caught up: empty the directories of the lost zones and start them with `trilith zone
    start`. What only the lost zones had is given up: where there was any, they do not start again
    before their directories were emptied. A partition that was split while the zone was away is one
    again, with all that the zone has of it.
    """
    import asyncio

    _refuse_while_others_run(data, zone)
    database = data.absolute() / "coordinator.sqlite3"
    if not database.exists():
        raise click.ClickException(f"{data} is not the data directory of a `trilith serve` cluster")
    verdicts = asyncio.run(_with_coordinator(database, zone, change=False))
    broken = _not_whole_in(data, zone)
    verdicts = [_as_it_is(verdict, broken or set()) for verdict in verdicts]
    if not as_json:
        _explain(zone, verdicts)
        if broken is None:
            click.echo(
                f"That is what the coordinator knows. {zone} does not run, so nobody has looked "
                "whether all of it is there, and can be read."
            )
    if not yes:
        click.confirm("Are the other zones gone for good?", abort=True)
    said = verdicts
    verdicts = asyncio.run(_with_coordinator(database, zone, change=True))
    settled = _wait_until_settled(data, zone)
    if settled:  # what it is the source of is the survivor's own word now
        verdicts = asyncio.run(_with_coordinator(database, zone, change=False, give_up=True))
    if as_json:
        partitions = [_as_json(verdict) for verdict in verdicts]
        print_json({"zone": zone, "settled": settled, "partitions": partitions})
        return
    click.echo(f"zone {zone} is the sole source of {len(verdicts)} partitions")
    if not settled:
        click.echo(
            f"What its disk really holds, and which partitions that makes, shows when {zone} runs: "
            "start it before any other zone, and ask again then: this command says it."
        )
    elif verdicts != said:
        _explain(zone, verdicts)


def _running_status(data: Path, zone: str) -> dict[str, Any] | None:
    """What the zone's node says of the cluster; None: it does not run, or does not answer."""
    from trilith.supervisor.control import ControlError, ask
    from trilith.supervisor.data_directory import control_socket

    try:
        found: dict[str, Any] = ask(control_socket(data.absolute()), {"command": "status"})
    except ControlError:
        return None
    states = {z["name"]: z["state"] for z in found.get("zones", [])}
    return None if states.get(zone) in ("stopped", "killed") else found


def _not_whole_in(data: Path, zone: str) -> set[int] | None:
    """Partitions whose replica in the zone is damaged, or was filled by a snapshot that its leader
    did not live to complete; None: nobody can say."""
    found = _running_status(data, zone)
    if found is None or not found.get("partitions"):
        return None
    return {p["id"] for p in found["partitions"] if p.get("damaged") or p.get("filled")}


def _as_it_is(verdict: Verdict, broken: set[int]) -> Verdict:
    import msgspec

    if verdict.partition_id not in broken:
        return verdict
    return msgspec.structs.replace(verdict, complete=False, complete_until_ms=None)


def _wait_until_settled(data: Path, zone: str) -> bool:
    """Whether the survivor runs and answers for all that it is the source of, as it should soon."""
    import time

    deadline = time.monotonic() + SETTLED_WITHIN_S
    while time.monotonic() < deadline:
        found = _running_status(data, zone)
        if found is None:
            return False
        partitions = found.get("partitions") or []
        if partitions and all(p.get("recovered") and not p.get("recovering") for p in partitions):
            return True
        time.sleep(SETTLED_POLL_S)
    return False


def _refuse_while_others_run(data: Path, zone: str) -> None:
    from trilith.supervisor.control import ControlError, ask
    from trilith.supervisor.data_directory import control_socket

    try:
        found: dict[str, Any] = ask(control_socket(data.absolute()), {"command": "status"})
    except ControlError:
        return  # no supervisor, so no node
    running = [
        z["name"]
        for z in found.get("zones", [])
        if z["name"] != zone and z["state"] not in ("stopped", "killed")
    ]
    if running:
        raise click.ClickException(
            f"{' and '.join(running)} may still run: a zone that runs is not gone. If its disk is "
            f"lost, take it away first: `trilith zone kill {running[0]}`"
        )


async def _with_coordinator(
    database: Path, zone: str, *, change: bool, give_up: bool = False
) -> list[Verdict]:
    from trilith.cluster.embedded_coordinator import EmbeddedCoordinator
    from trilith.cluster.recovery import assess_all, give_up_others, make_sole_source
    from trilith.runtime.workers import ThreadWorkers

    coordinator = await EmbeddedCoordinator.open(str(database), ThreadWorkers(1))
    try:
        if give_up:
            await give_up_others(coordinator, zone)
        work = make_sole_source if change else assess_all
        return await work(coordinator, zone)
    finally:
        await coordinator.close()


def _explain(zone: str, verdicts: list[Verdict]) -> None:
    behind = [verdict for verdict in verdicts if not verdict.complete]
    if not behind:
        click.echo(
            f"Zone {zone} was in sync with all {len(verdicts)} partitions: it has everything that "
            "was ever acknowledged."
        )
        return
    click.echo(
        f"Zone {zone} is not known to have everything of {len(behind)} of "
        f"{len(verdicts)} partitions:"
    )
    for verdict in behind:
        until = _time(verdict.complete_until_ms)
        click.echo(
            f"  partition {verdict.partition_id}: "
            + (f"provably complete until {until}" if until else "not known how far it is complete")
        )
    click.echo(
        "What was acknowledged later is lost, unless one of the other zones' disks can be saved.\n"
        "Empty the directories of the other zones before they are started again."
    )


def _time(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    from datetime import UTC, datetime

    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "id": verdict.partition_id,
        "node": verdict.node,
        "complete": verdict.complete,
        "complete_until": _time(verdict.complete_until_ms),
    }
