#!/usr/bin/env python3
"""Compiles every public header alone, twice in a row, as C11 and as C++17.

Exit status 77 (skipped, for CTest) when the headers are good C but there is no C++ compiler."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
LAYERS = ["framework", "protocols", "middleware"]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]


def compile_alone(compiler, language, header, includes):
    source = f"#include <{header}>\n#include <{header}>\n"
    command = [compiler, *language, *WARNINGS, *(f"-I{folder}" for folder in includes), "-"]
    return subprocess.run(command, input=source, text=True, capture_output=True)


def main():
    cc = os.environ.get("CC", "cc")
    cxx = os.environ.get("CXX") or next(filter(shutil.which, ["c++", "g++", "clang++"]), None)
    languages = [("C11", cc, ["-xc", "-std=c11"])]
    if cxx:
        languages.append(("C++17", cxx, ["-xc++", "-std=c++17"]))
    count, bad, includes = 0, 0, []
    for layer in LAYERS:
        base = ROOT / layer / "include"
        includes.append(base)
        for header in sorted(base.rglob("*.h")):
            count += 1
            for name, compiler, flags in languages:
                result = compile_alone(compiler, flags, header.relative_to(base), includes)
                if result.returncode != 0:
                    bad += 1
                    text = result.stderr.replace(f"{ROOT}/", "")
                    print(f"{header.relative_to(ROOT)}:1: not good {name} by itself\n{text}")
    print(f"{count} headers, {bad} failures, as {' and '.join(name for name, _, _ in languages)}")
    if bad or count == 0:
        return 1
    if not cxx:
        print("skipped: C++17, there is no C++ compiler")
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main())
