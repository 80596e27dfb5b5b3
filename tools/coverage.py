#!/usr/bin/env python3
"""Prints line coverage per source file from the counters of a coverage build (gcov)."""
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("framework/", "protocols/", "middleware/")


def main():
    lines = defaultdict(dict)  # file → {line: times}
    for counters in sorted(Path(sys.argv[1]).resolve().rglob("*.gcno")):  # also of what never ran
        result = subprocess.run(["gcov", "--json-format", "--stdout", str(counters)],
                                capture_output=True, text=True, cwd=counters.parent)
        for document in filter(None, result.stdout.splitlines()):
            for file in json.loads(document)["files"]:
                path = Path(file["file"])
                name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else ""
                if name.startswith(FOLDERS):
                    for line in file["lines"]:
                        times = lines[name].get(line["line_number"], 0)
                        lines[name][line["line_number"]] = times + line["count"]
    total = reached = 0
    for name in sorted(lines):
        hit = sum(1 for times in lines[name].values() if times > 0)
        total, reached = total + len(lines[name]), reached + hit
        print(f"{100 * hit / len(lines[name]):6.1f} %  {hit:5} of {len(lines[name]):5}  {name}")
    print(f"{100 * reached / max(total, 1):6.1f} %  {reached:5} of {total:5}  lines")
    return 0 if total else 1


if __name__ == "__main__":
    sys.exit(main())
