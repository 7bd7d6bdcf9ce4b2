"""The tables of the DynamoDB comparison, in Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from benchmarks.load.report import describe_machine
from benchmarks.load.s3_driver import Result

OURS = "Trilith"
# what the project wants to reach, by the start of the other server's name and the workload
TARGETS = {
    ("ministack", "put"): 2.0,
    ("ministack", "update"): 2.0,
    ("ministack", "get"): 3.0,
    ("ministack", "query"): 3.0,
    ("ministack", "transact"): 1.5,
    ("dynalite", "put"): 0.5,
    ("dynalite", "get"): 0.7,
    ("dynalite", "update"): 0.8,
    ("dynalite", "query"): 1.0,
    ("etcd", "put"): 1.0,
}
P99_MS_MAX = 10.0
GROWTH_MAX = 1.3
LABELS = {
    "put": "PutItem",
    "get": "GetItem, consistent",
    "update": "UpdateItem with a condition",
    "query": "Query, 4 items",
    "transact": "TransactWriteItems, 2 items",
}


@dataclass
class Report:
    """`full`: by server and operation; `half`: ours at half of that rate.

    `scale`: by operation, the rates (small table, large table) in each round.
    """

    connections: int
    size_bytes: int
    seconds: int
    rounds: int
    full: dict[str, dict[str, Result]] = field(default_factory=dict)
    half: dict[str, Result] = field(default_factory=dict)
    etcd_writes_per_s: float | None = None
    scale: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    scale_items: tuple[int, int] = (0, 0)

    def render(self) -> str:
        """The whole report."""
        method = (
            f"{self.size_bytes}-byte values, {self.connections} connections; medians of"
            f" {self.rounds} rounds of {self.seconds} s; the servers take turns. Trilith syncs"
            " three copies; the emulators keep one in memory."
        )
        where = f"Measured {datetime.now(UTC):%Y-%m-%d} on {describe_machine()}."
        parts = [f"{where} {method}", self._rates()]
        if self.half:
            parts.append(self._half())
        if self.scale:
            parts.append(self._scale())
        if refused := self._refused():
            parts.append(refused)
        return "\n\n".join(parts) + "\n"

    def _rates(self) -> str:
        names = [OURS, *(name for name in self.full if name != OURS)]
        others = names[1:]
        header = ["operation", *names]
        if self.etcd_writes_per_s is not None:
            header.append("etcd, 3 members")
        header += [f"ratio to {name.partition(',')[0]}" for name in others]
        if self.etcd_writes_per_s is not None:
            header.append("ratio to etcd")
        rows = [self._row(operation, names, others) for operation in self.full[OURS]]
        return _table(header, rows)

    def _row(self, operation: str, names: list[str], others: list[str]) -> list[str]:
        ours = self.full[OURS][operation]
        row = [LABELS[operation], *(_rate(self.full[name].get(operation)) for name in names)]
        etcd = self.etcd_writes_per_s
        if etcd is not None:
            row.append(f"{etcd:,.0f}/s" if operation == "put" else "")
        for name in others:
            theirs = self.full[name].get(operation)
            row.append(_ratio(ours, _good_rate(theirs), TARGETS.get((_word(name), operation))))
        if etcd is not None:
            row.append(_ratio(ours, etcd, TARGETS["etcd", "put"]) if operation == "put" else "")
        return row

    def _half(self) -> str:
        rows = []
        for operation, result in self.half.items():
            verdict = ""
            if operation in ("put", "get", "update"):
                reached = result.p99_ms <= P99_MS_MAX
                verdict = f" ({'within' if reached else 'above'} {P99_MS_MAX:g} ms)"
            full = self.full[OURS][operation]
            rows.append(
                [
                    LABELS[operation],
                    f"{result.requests_per_s:,.0f}/s",
                    f"{result.p50_ms:.1f}",
                    f"**{result.p99_ms:.1f}**{verdict}",
                    f"{full.p50_ms:.1f}",
                    f"{full.p99_ms:.1f}",
                ]
            )
        header = ["Trilith at half of its rate", "rate", "p50, ms", "p99, ms"]
        return _table([*header, "p50 at full rate", "p99 at full rate"], rows)

    def _scale(self) -> str:
        small, large = self.scale_items
        rows = []
        for operation, pairs in self.scale.items():
            # The costs of each round are compared with each other: the machine's mood is theirs.
            growth = sorted(before / after for before, after in pairs)[len(pairs) // 2]
            verdict = "within" if growth <= GROWTH_MAX else "above"
            middle = sorted(pairs)[len(pairs) // 2]
            rows.append(
                [
                    LABELS[operation],
                    f"{middle[0]:,.0f}/s",
                    f"{middle[1]:,.0f}/s",
                    f"**{growth:.2f}x** ({verdict} {GROWTH_MAX:g}x)",
                ]
            )
        header = ["Trilith", f"at {small:,} items", f"at {large:,} items", "cost grows"]
        return _table(header, rows)

    def _refused(self) -> str:
        lines = [
            f"* {name}, {LABELS[operation]}: {result.refused} refused, {result.socket_errors}"
            f" socket errors of {result.requests} requests"
            for name, found in [*self.full.items(), (f"{OURS} at half", self.half)]
            for operation, result in found.items()
            if result.refused or result.socket_errors
        ]
        return "Not all requests succeeded:\n\n" + "\n".join(lines) if lines else ""


def _word(name: str) -> str:
    return name.partition(",")[0]


def _good_rate(result: Result | None) -> float:
    """Requests/s that succeeded; 0 when most did not."""
    if result is None or not result.requests or result.refused * 2 > result.requests:
        return 0.0
    return result.requests_per_s * (result.requests - result.refused) / result.requests


def _rate(result: Result | None) -> str:
    if result is None:
        return "-"
    rate = _good_rate(result)
    return f"{rate:,.0f}/s" if rate else "refused"


def _ratio(ours: Result, theirs: float, target: float | None) -> str:
    rate = _good_rate(ours)
    if not theirs or not rate:
        return "-"
    ratio = rate / theirs
    if target is None:
        return f"{ratio:.2f}x"
    return f"**{ratio:.2f}x** ({'reaches' if ratio >= target else 'misses'} {target:g}x)"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)
