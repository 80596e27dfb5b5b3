#!/usr/bin/env python3
"""Checks every #include of the tree against tools/layers.txt. Prints file:line for each that is refused."""
import fnmatch
import re
import sys
from pathlib import Path

ROOT = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
LAYERS = ["framework", "protocols", "middleware"]  # each may see those before it
INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')


def read_rules(path):
    """Returns the lines of layers.txt as (kind, [what…], [files…])."""
    text = re.sub(r"\\\n", " ", path.read_text())
    rules = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        head, _, files = line.partition(" : ")
        kind, *what = head.split()
        if kind not in ("system", "library", "impl", "arrow", "umbrella"):
            sys.exit(f"{path}:{number}: unknown rule '{kind}'")
        rules.append((kind, what, files.split()))
    return rules


def matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


class Checker:
    def __init__(self, root):
        self.root = root
        self.rules = read_rules(root / "tools/layers.txt")
        self.protocols = {p.name for p in (root / "protocols").glob("*") if p.is_dir()} - {"include"}
        self.public = {}  # "causeway/x.h" → its layer
        for layer in LAYERS:
            base = root / layer / "include"
            for header in base.rglob("*.h"):
                self.public[str(header.relative_to(base))] = layer
        self.errors = []

    def allowed(self, kinds, header, file):
        return any(kind in kinds and matches(header, what) and matches(file, files)
                   for kind, what, files in self.rules)

    def protocol_of(self, file):
        """The protocol a file belongs to, by its folder or, for a public header, by its name."""
        parts = Path(file).parts
        if parts[0] != "protocols":
            return None
        if parts[1] != "include":
            return parts[1]
        stem = Path(file).stem
        return next((p for p in self.protocols if stem == p or stem.startswith(p + "_")), stem)

    def knows(self, file, other):
        own = self.protocol_of(file)
        return own is None or own == other or self.allowed(["arrow"], own, other)

    def public_include(self, file, header):
        if ["umbrella", file] in ([kind, what[0]] for kind, what, _ in self.rules):
            return None
        layer, target = Path(file).parts[0], self.public.get(header)
        if target is None:
            return "there is no such public header"
        target_file = f"{target}/include/{header}"
        if matches(target_file, [what[0] for kind, what, _ in self.rules if kind == "umbrella"]):
            return None if layer == "examples" else "is for applications; include what is needed"
        if layer in LAYERS and LAYERS.index(target) > LAYERS.index(layer):
            return f"{layer} may not know {target}"
        other = self.protocol_of(target_file)
        if other is not None and not self.knows(file, other):
            return f"protocol {self.protocol_of(file)} may not know {other} (no arrow in layers.txt)"
        return None

    def quoted_include(self, file, header):
        layer = Path(file).parts[0]
        places = [self.root / file, self.root / layer / "x"]
        if layer == "examples":
            places.append(self.root / "examples/common/x")
        found = next((p.parent / header for p in places if (p.parent / header).is_file()), None)
        if found is None:
            return "is not in this layer"
        target = str(found.resolve().relative_to(self.root))
        if not target.startswith(layer + "/"):
            return f"{layer} may not reach into {target}"
        if layer == "examples" and Path(target).parts[1] not in (Path(file).parts[1], "common"):
            return "belongs to another example"
        if layer == "protocols" and not self.knows(file, self.protocol_of(target)):
            return f"protocol {self.protocol_of(file)} may not know {self.protocol_of(target)}"
        if target.endswith("_impl.h") and not self.allowed(["impl"], target, file):
            return "no impl line of layers.txt allows this file"
        return None

    def judge(self, file, quote, header):
        if header.startswith("causeway/"):
            return self.public_include(file, header)
        if quote == '"':
            return self.quoted_include(file, header)
        if "/include/" in file:
            if any(kind == "system" and matches(header, what) and (files == ["*"] or file in files)
                   for kind, what, files in self.rules):
                return None
            return "public headers include no library and no system header"
        if self.allowed(["system", "library"], header, file):
            return None
        return "no line of layers.txt allows this file"

    def check(self, path):
        file = str(path.relative_to(self.root))
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            problem = match and self.judge(file, *match.groups())
            if problem:
                self.errors.append(f"{file}:{number}: {match[2]}: {problem}")


def main():
    checker = Checker(ROOT)
    count = 0
    for layer in LAYERS + ["examples"]:
        for path in sorted((ROOT / layer).rglob("*.[ch]")):
            checker.check(path)
            count += 1
    print("\n".join(checker.errors + [f"{count} files, {len(checker.errors)} includes refused"]))
    return 1 if checker.errors or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
