"""What all benchmarks share: who measured, how fast this machine multiplies, fair timing, and the Markdown they print.

Contestants are timed in turn, round after round, together with a plain matrix product, so that whatever else happens on
the machine happens to all of them alike; what is reported is each one's median.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

GIGA, MEGA = 1e9, 1e6
GEMM = "matrix product"


# --------------------------------------------------------------------------------------------------------------- timing


@dataclass(frozen=True)
class Work:
    """Something to time, and the floating-point operations that it does."""

    call: Callable[[], object]
    flops: float = 0.0


def gemm(dtype: torch.dtype = torch.float32, size: int = 1024, times: int = 8, device: str = "cpu") -> Work:
    """The yardstick: square matrix products, long enough to time."""
    a, b = (torch.randn(size, size).to(device, dtype) for _ in range(2))
    return Work(lambda: [a @ b for _ in range(times)], 2.0 * size**3 * times)


def race(works: Mapping[str, Work], seconds: float, rounds: int = 5, settle: bool = False) -> dict[str, float]:
    """Median seconds of one call of each work, called in turn for about `seconds`, at least `rounds` times each.

    The first call of each, which allocates and plans, is not counted. With `settle`, nor is the first one of each turn:
    a training step needs one more until memory fits it again after another's.
    """
    for work in works.values():
        work.call()
    took: dict[str, list[float]] = {name: [] for name in works}
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds or len(next(iter(took.values()))) < rounds:
        for name, work in works.items():
            if settle:
                work.call()
            took[name].append(_seconds(work.call))
    return {name: statistics.median(values) for name, values in took.items()}


def interleave(jobs: Mapping[str, Sequence[Callable[[], object]]]) -> dict[str, float]:
    """Total seconds of each contestant's list of calls; whoever has run for the shortest time so far is next."""
    spent, at = dict.fromkeys(jobs, 0.0), dict.fromkeys(jobs, 0)
    while waiting := [name for name in jobs if at[name] < len(jobs[name])]:
        name = min(waiting, key=spent.__getitem__)
        spent[name] += _seconds(jobs[name][at[name]])
        at[name] += 1
    return spent


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


# ------------------------------------------------------------------------------------------------------------ processes

# A process inherits the peak of the one that forks it, and ours holds torch: this one in between is small.
LAUNCHER = """
import json, os, sys, time
begun = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ), 0)
unit = 1 if sys.platform == "darwin" else 1024
print(json.dumps([time.perf_counter() - begun, usage.ru_maxrss * unit, os.waitstatus_to_exitcode(status)]))
"""


@dataclass(frozen=True)
class Spent:
    """Wall time and largest resident set of a process, in seconds and bytes."""

    seconds: float
    peak: int


def run(command: Sequence[str]) -> Spent:
    """Run a command to its end. Raises RuntimeError with what it said where it fails."""
    done = subprocess.run([sys.executable, "-IS", "-c", LAUNCHER, *command], capture_output=True, text=True)
    seconds, peak, code = json.loads(done.stdout.splitlines()[-1]) if done.stdout else (0.0, 0, done.returncode)
    if code:
        raise RuntimeError(f"{' '.join(command)} failed with {code}:\n{done.stderr}")
    return Spent(seconds, peak)


# ------------------------------------------------------------------------------------------------------------- counting

TOLERANCE = 0.05  # between numbers of parameters that count as equal


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def flops(call: Callable[[], object]) -> float:
    """Operations of a call, counted as it runs; attention is spelled out, for the CPU's fused kernel is not counted."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def nearest(build: Callable[..., nn.Module], shapes: Sequence[tuple[Any, ...]], target: int) -> nn.Module:
    """The network whose number of parameters is nearest; raises ValueError where none is near enough."""
    counts = []
    for shape in shapes:
        with torch.device("meta"):
            counts.append(parameters(build(*shape)))
    off, best = min((abs(count - target), i) for i, count in enumerate(counts))
    if off > TOLERANCE * target:
        raise ValueError(f"no shape has {target} parameters to {TOLERANCE:.0%}; the nearest has {counts[best]}")
    return build(*shapes[best])


# --------------------------------------------------------------------------------------------------------------- report


class Report:
    """Markdown that is printed as it grows, and written to a file at the end where one is asked for."""

    def __init__(self, title: str, arguments: argparse.Namespace):
        self.lines: list[str] = []
        self.output: Path | None = arguments.output
        self.short: bool = arguments.short
        self.say(f"# {title}\n")
        self.say(f"- date: {datetime.date.today().isoformat()}")
        self.say(f"- machine: {_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads in use")
        self.say(f"- software: torch {torch.__version__}, Python {platform.python_version()}")
        self.say(f"- load average at the start: {os.getloadavg()[0]:.1f}")
        self.say(f"- command: `python {' '.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])}`")
        if self.short:
            self.say("\n**Short form: it proves that the script works; sizes are tiny, figures mean nothing.**")

    def say(self, text: str) -> None:
        print(text, flush=True)
        self.lines.append(text)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Text to the left, numbers as they were formatted."""
        self.say("")
        for cells in (header, ["---"] * len(header), *rows):
            self.say(f"| {' | '.join(map(str, cells))} |")

    def bars(self, rows: Sequence[tuple[str, str, str, bool]]) -> None:
        """(claim, bar, measured, whether it is met); the short form judges nothing."""
        verdicts = ["not judged" if self.short else "yes" if row[3] else "**no**" for row in rows]
        table = [(*row[:3], verdict) for row, verdict in zip(rows, verdicts, strict=True)]
        self.table(("claim", "bar", "measured", "met"), table)

    def finish(self) -> None:
        if self.output:
            self.output.write_text("\n".join(self.lines) + "\n")


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--short", action="store_true", help="tiny sizes, under 20 s: does the script work?")
    made.add_argument("-o", "--output", type=Path, help="write the Markdown here as well")
    return made


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
    telling = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name} ({', '.join(telling)})" if telling else name
