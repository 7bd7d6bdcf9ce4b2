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
OBJECTS_SHOWN = 8  # of each partition

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
    again, with all that the zone has of it. Bytes of objects that the zone had not been given yet
    when the others were lost, by its own repair queue, are named.
    """
    import asyncio

    _refuse_while_others_run(data, zone)
    database = data.absolute() / "coordinator.sqlite3"
    if not database.exists():
        raise click.ClickException(f"{data} is not the data directory of a `trilith serve` cluster")
    verdicts = asyncio.run(_with_coordinator(database, zone, change=False))
    found = _running_status(data, zone)
    broken, owed = _not_whole_in(found), _owed_in(found, zone)
    verdicts = [_as_it_is(verdict, broken or set()) for verdict in verdicts]
    if not as_json:
        _explain(zone, verdicts, owed)
        unseen = _unseen(zone, is_known=broken is not None, owed=owed)
        if unseen:
            click.echo(unseen)
    if not yes:
        click.confirm("Are the other zones gone for good?", abort=True)
    said = verdicts, owed
    verdicts = asyncio.run(_with_coordinator(database, zone, change=True))
    found = _wait_until_settled(data, zone)
    owed = _owed_in(found, zone)
    if found is not None:  # what it is the source of is the survivor's own word now
        verdicts = asyncio.run(_with_coordinator(database, zone, change=False, give_up=True))
    if as_json:
        partitions = [_as_json(verdict, owed) for verdict in verdicts]
        print_json({"zone": zone, "settled": found is not None, "partitions": partitions})
        return
    click.echo(f"zone {zone} is the sole source of {len(verdicts)} partitions")
    if found is None:
        click.echo(
            f"What its disk really holds, and which partitions that makes, shows when {zone} runs: "
            "start it before any other zone, and ask again then: this command says it."
        )
    elif (verdicts, owed) != said:
        _explain(zone, verdicts, owed)


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


def _not_whole_in(found: dict[str, Any] | None) -> set[int] | None:
    """Partitions whose replica in the zone is damaged, or was filled by a snapshot that its leader
    did not live to complete; None: nobody can say."""
    if found is None or not found.get("partitions"):
        return None
    return {p["id"] for p in found["partitions"] if p.get("damaged") or p.get("filled")}


def _owed_in(found: dict[str, Any] | None, zone: str) -> dict[int, dict[str, Any]] | None:
    """By partition: the chunks that the zone was never given, by its nodes' own logs, and objects
    that need them; None: nobody can say."""
    if found is None:
        return None
    owed: dict[int, dict[str, Any]] = {}
    for node in (n for z in found.get("zones", []) if z["name"] == zone for n in z["nodes"]):
        said = (found.get("node_facts") or {}).get(node["id"], {}).get("owed_chunks")
        if said is None:
            return None
        owed.update((one["partition"], one) for one in said)
    return owed


def _unseen(zone: str, *, is_known: bool, owed: dict[int, dict[str, Any]] | None) -> str:
    """What nobody has looked at before the operator decides; empty: nothing."""
    if not is_known:
        return (
            f"That is what the coordinator knows. {zone} does not run, or does not answer, so "
            "nobody has looked whether all of it is there, and can be read."
        )
    if owed is None:
        return f"{zone} runs, and cannot say now whether it was given all bytes of objects."
    return ""


def _as_it_is(verdict: Verdict, broken: set[int]) -> Verdict:
    import msgspec

    if verdict.partition_id not in broken:
        return verdict
    return msgspec.structs.replace(verdict, complete=False, complete_until_ms=None)


def _wait_until_settled(data: Path, zone: str) -> dict[str, Any] | None:
    """What the survivor says once it answers for all that it is the source of, as it should soon;
    None: it does not run, or does not come to it."""
    import time

    deadline = time.monotonic() + SETTLED_WITHIN_S
    while time.monotonic() < deadline:
        found = _running_status(data, zone)
        if found is None:
            return None
        partitions = found.get("partitions") or []
        if partitions and all(p.get("recovered") and not p.get("recovering") for p in partitions):
            return found
        time.sleep(SETTLED_POLL_S)
    return None


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


def _explain(zone: str, verdicts: list[Verdict], owed: dict[int, dict[str, Any]] | None) -> None:
    behind = [verdict for verdict in verdicts if not verdict.complete]
    if behind:
        _explain_behind(zone, verdicts, behind)
    else:
        has = "everything that was ever acknowledged"
        if owed is None:
            has = f"the log of {has}"
        elif owed:
            has = f"the log of {has}, but not all bytes of objects"
        click.echo(f"Zone {zone} was in sync with all {len(verdicts)} partitions: it has {has}.")
    if owed:
        _explain_owed(zone, list(owed.values()))


def _explain_behind(zone: str, verdicts: list[Verdict], behind: list[Verdict]) -> None:
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


def _explain_owed(zone: str, owed: list[dict[str, Any]]) -> None:
    counted = [one for one in owed if one["chunks"]]
    if counted:
        more = any(one["more"] for one in counted)
        click.echo(
            f"{'At least ' if more else ''}{sum(one['chunks'] for one in counted)} chunks of "
            f"objects that {zone} had not been given yet are lost with the other zones:"
        )
    for one in counted:
        names = ", ".join(one["objects"][:OBJECTS_SHOWN])
        further = ", ..." if one["more"] or len(one["objects"]) > OBJECTS_SHOWN else ""
        click.echo(f"  partition {one['partition']}: {one['chunks']} of {names}{further}")
    if any(one["rebuilding"] for one in owed):
        click.echo(
            f"A disk of {zone} was lost before, and is being filled anew: it may lack any chunk. "
            "`trilith status` shows how far that is."
        )
    click.echo("A disk of another zone that can be saved brings them, unless it must be emptied.")


def _time(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    from datetime import UTC, datetime

    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def _as_json(verdict: Verdict, owed: dict[int, dict[str, Any]] | None) -> dict[str, Any]:
    """`complete`: log and chunks. `chunks_lacking` null: nobody could look, or can say."""
    lacking = None if owed is None else owed.get(verdict.partition_id, {})
    known = lacking is not None and not lacking.get("rebuilding")
    return {
        "id": verdict.partition_id,
        "node": verdict.node,
        "complete": verdict.complete and not lacking,
        "complete_until": _time(verdict.complete_until_ms),
        "chunks_lacking": (lacking or {}).get("chunks", 0) if known else None,
        "objects": list((lacking or {}).get("objects", ())),
    }
