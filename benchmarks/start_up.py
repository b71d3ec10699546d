"""How long `import shisen` and `shisen --help` take, beside Python itself and `import torch`.

    python benchmarks/start_up.py [--repetitions 11]

Each is a process of its own; the times are medians of whole processes, in turns, after one round that is not
counted (it writes the byte code and warms the file cache). The ratio is to a Python that does nothing.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import shisen": ["-c", "import shisen"],
    "shisen --help": ["-m", "shisen", "--help"],
    "import torch": ["-c", "import torch"],
}


def seconds(arguments: list[str]) -> float:
    """One process from start to end."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> None:
    """Measure in turns, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repetitions", type=int, default=11)
    repetitions = parser.parse_args().repetitions
    rounds = [
        {name: seconds(arguments) for name, arguments in COMMANDS.items()} for _ in range(repetitions + 1)
    ]
    times = {name: [one[name] for one in rounds[1:]] for name in COMMANDS}
    base = statistics.median(times["python -c pass"])
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors, {repetitions} times.\n")
    print("| | median, s | longest, s | ratio |\n|---|---:|---:|---:|")
    for name, measured in times.items():
        median = statistics.median(measured)
        print(f"| `{name}` | {median:.3f} | {max(measured):.3f} | {median / base:.1f} |")


if __name__ == "__main__":
    main()
