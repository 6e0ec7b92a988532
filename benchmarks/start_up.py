"""How long a newcomer waits for nothing: `import worldpatch` and `worldpatch --help`, each in a fresh process.

    python benchmarks/start_up.py [--short] [-o result.md]

Bars: under 0.2 s and under 0.5 s. Both include the start of Python itself, which is timed beside them.
"""

import statistics
import sys

from _machine import Report, parser, run

BARS = {"import worldpatch": 0.2, "worldpatch --help": 0.5}


def main() -> None:
    arguments = parser(__doc__).parse_args()
    commands = {
        "Python alone": [sys.executable, "-c", "pass"],
        "import worldpatch": [sys.executable, "-c", "import worldpatch"],
        "worldpatch --help": [sys.executable, "-m", "worldpatch", "--help"],
    }
    report = Report("Start-up time", arguments)
    took: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():
        run(command)  # reads the files from disk and compiles them; users pay for that once
    for _ in range(3 if arguments.short else 10):
        for name, command in commands.items():
            took[name].append(run(command).seconds)
    rows = [(name, f"{1e3 * min(t):.0f}", f"{1e3 * statistics.median(t):.0f}") for name, t in took.items()]
    report.table(("what", "fastest, ms", "median, ms"), rows)
    medians = {name: statistics.median(took[name]) for name in BARS}
    report.bars([(n, f"< {bar} s", f"{medians[n]:.2f} s", medians[n] < bar) for n, bar in BARS.items()])
    report.finish()


if __name__ == "__main__":
    main()
