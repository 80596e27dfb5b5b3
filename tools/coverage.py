#!/usr/bin/env python3
"""Prints line and branch coverage per source file from the counters of a coverage build (gcov).

coverage.py BUILD                  every file of the layers
coverage.py BUILD --whole FILE…    these alone, and what of them was not reached; fails unless that is nothing
"""
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("framework/", "protocols/", "middleware/")


class Counts:
    """Of one file, summed over all objects that were made from it."""

    def __init__(self):
        self.lines = defaultdict(int)  # line → times
        self.branches = defaultdict(int)  # (line, branches of the line, which of them) → times

    def add(self, line):
        number, branches = line["line_number"], line.get("branches", [])
        self.lines[number] += line["count"]
        for which, branch in enumerate(branches):
            self.branches[number, len(branches), which] += branch["count"]

    def missing(self):
        lines = {number for number, times in self.lines.items() if times == 0}
        lines |= {key[0] for key, times in self.branches.items() if times == 0}
        return sorted(lines)


def read(build, wanted):
    files = defaultdict(Counts)
    for counters in sorted(Path(build).resolve().rglob("*.gcno")):  # also of what never ran
        result = subprocess.run(["gcov", "--branch-probabilities", "--json-format", "--stdout", str(counters)],
                                capture_output=True, text=True, cwd=counters.parent)
        for document in filter(None, result.stdout.splitlines()):
            for file in json.loads(document)["files"]:
                path = Path(file["file"])
                name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else ""
                if name.startswith(FOLDERS) and (not wanted or name in wanted):
                    for line in file["lines"]:
                        files[name].add(line)
    return files


def share(counts):
    hit = sum(1 for times in counts.values() if times > 0)
    return f"{100 * hit / max(len(counts), 1):6.1f} %  {hit:5} of {len(counts):5}"


def main():
    build, wanted = sys.argv[1], sys.argv[3:]
    if len(sys.argv) > 2 and (sys.argv[2] != "--whole" or not wanted):
        sys.exit(__doc__)
    files = read(build, wanted)
    lines, branches = {}, {}
    for name in sorted(files):
        counts = files[name]
        print(f"{share(counts.lines)} lines  {share(counts.branches)} branches  {name}")
        if wanted and counts.missing():
            print(f"  not wholly reached in {name}: {', '.join(map(str, counts.missing()))}")
        lines.update({(name, key): times for key, times in counts.lines.items()})
        branches.update({(name, key): times for key, times in counts.branches.items()})
    print(f"{share(lines)} lines  {share(branches)} branches  together")
    for name in set(wanted) - set(files):
        print(f"no counters of {name}")
    good = all(name in files and not files[name].missing() for name in wanted)
    return 0 if lines and good else 1


if __name__ == "__main__":
    sys.exit(main())
