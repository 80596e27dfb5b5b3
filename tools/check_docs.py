#!/usr/bin/env python3
"""Checks the documents against the tree. Prints file:line for each finding.

1. Every fenced block of C compiles:
       ```c        a file: with `int main` a whole program, else declarations and functions.
                   <causeway/causeway.h>, stdio.h, stdlib.h and string.h are included for it.
       ```c file=PATH   the text of that file, letter by letter; then as ```c.
       ```c body   statements: put into a function that has `server`, `conn`, `loop`, `msg`, `http`,
                   `hooks` and `user` at hand.
2. Every name in backticks exists: cw_…, CW_… and CAUSEWAY_… in the sources (with * or _ at the end: at
   least one begins so), ./dev COMMAND in dev, and paths below the top folders of the tree
   (`<x>` stands for any name); suite::test in the tests.
3. Every relative link leads somewhere, and its #anchor to a heading.
4. Every declaration in a public header has a comment of its own, in the fixed order.
5. docs/api is what tools/gen_api_docs.py makes of the headers. Its blocks are declarations from the
   headers; they are not compiled again."""
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gen_api_docs
import headers
import quotes

ROOT = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
TOP = ["framework", "protocols", "middleware", "examples", "bench", "tests", "docs", "tools", "cmake", ".ci"]
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
         "-Wno-unused-function", "-Wno-unused-variable", "-Wno-unused-const-variable", "-fsyntax-only"]
PRELUDE = "#include <causeway/causeway.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
BODY = ("struct cw_server; struct cw_conn; struct cw_loop; struct cw_message; struct cw_http_exchange;\n"
        "void example(struct cw_server *server, struct cw_conn *conn, struct cw_loop *loop,\n"
        "    const struct cw_message *msg, struct cw_http_exchange *http, const struct cw_hooks hooks,\n"
        "    void *user);\n"
        "void example(struct cw_server *server, struct cw_conn *conn, struct cw_loop *loop,\n"
        "    const struct cw_message *msg, struct cw_http_exchange *http, const struct cw_hooks hooks,\n"
        "    void *user)\n{\n")


def documents():
    """The Markdown files of the tree, build folders left out."""
    folders = [ROOT / name for name in TOP if (ROOT / name).is_dir()]
    return sorted([*ROOT.glob("*.md"), *(p for folder in folders for p in folder.rglob("*.md"))])


def split(path):
    """Returns (fenced blocks as (line, info, text), lines outside of them as (line, text))."""
    blocks, prose, fence = [], [], None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r"\s*(```+|~~~+)\s*(.*)$", line)
        if fence:
            if match and match[1].startswith(fence[0]) and not match[2]:
                blocks.append((fence[1], fence[2], "\n".join(fence[3]) + "\n"))
                fence = None
            else:
                fence[3].append(line)
        elif match:
            fence = (match[1], number, match[2].strip(), [])
        else:
            prose.append((number, line))
    if fence:
        blocks.append((fence[1], "unclosed", ""))
    return blocks, prose


def as_source(info, text, name, line):
    """The C file that a block stands for, or None when the fence line says something unknown."""
    here = f'#line {line + 1} "{name}"\n'
    if info == "c body":
        return PRELUDE + BODY + here + text + "}\n"
    if info != "c" and not quotes.quoted_file(info):
        return None
    complete = re.search(r"\bint main\b", text) and "#include" in text
    return ("" if complete else PRELUDE) + here + text


def compile_block(name, line, info, text):
    source = as_source(info, text, name, line)
    if source is None:
        return [f"{name}:{line}: a block of C is marked `c`, `c body` or `c file=PATH`, not `{info}`"]
    if quotes.quoted_file(info) and quotes.wrong(ROOT, info, text):
        return [f"{name}:{line}: {quotes.wrong(ROOT, info, text)}"]
    includes = [ROOT / layer / "include" for layer in headers.LAYERS] + [ROOT, ROOT / "framework"]
    command = [os.environ.get("CC", "cc"), "-xc", *FLAGS, *(f"-I{path}" for path in includes), "-"]
    result = subprocess.run(command, input=source, text=True, capture_output=True)
    found = [m for m in result.stderr.splitlines() if re.search(r": (fatal )?error:", m)]
    return [m if m.startswith(name) else f"{name}:{line}: {m}" for m in found]


def source_words():
    """Every word of the sources that could be a name of ours."""
    words = set()
    for folder in ["framework", "protocols", "middleware", "examples", "bench", "tests", "cmake"]:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".c", ".h", ".txt", ".cmake", ".in", ".py"):
                words.update(re.findall(r"\b(?:cw|CW|CAUSEWAY)_\w+", path.read_text(errors="replace")))
    words.update(re.findall(r"\bCAUSEWAY_\w+", (ROOT / "CMakeLists.txt").read_text()))
    return words


def test_names():
    """Every test as `suite::name`. The laws of protocols are tests of each suite that keeps them."""
    texts = [path.read_text() for path in (ROOT / "tests").rglob("*.[ch]")]
    tests = {f"{suite}::{name}" for text in texts for suite, name in re.findall(r"^Test\((\w+), (\w+)", text, re.M)}
    laws = {name for text in texts for name in re.findall(r"^    Test\(suite, (\w+)\)", text, re.M)}
    keepers = {suite for text in texts for suite in re.findall(r"^LAWS_HOLD\((\w+),", text, re.M)}
    return tests | {f"{suite}::{law}" for suite in keepers for law in laws}


def path_exists(word):
    base = word.split(":")[0].rstrip("/")
    pattern = re.sub(r"<[^>]*>", "*", base)
    if pattern.startswith("causeway/"):
        return any(any((ROOT / layer / "include").glob(pattern)) for layer in headers.LAYERS)
    return any(ROOT.glob(pattern))


def unknown_names(span, words, commands):
    """What a code span names that is not there."""
    if re.fullmatch(r"(?!causeway)[a-z]\w*::\w+", span) and span not in words:
        yield span
    for name, star in re.findall(r"\b((?:cw|CW|CAUSEWAY)_\w*)(\*?)", span):
        prefix = star or name.endswith("_")
        if not (any(w.startswith(name) for w in words) if prefix else name in words):
            yield name + star
    match = re.match(r"\./dev (\w+)", span)
    if match and match[1] not in commands:
        yield match[0]
    for word in span.split():
        if re.fullmatch(r"[\w.*<>{}-]+(/[\w.*<>-]+)*/?(:\d+)?", word) and "/" in word:
            if word.split("/")[0] in [*TOP, "causeway"] and not path_exists(word):
                yield word


def anchors(path):
    """The #anchors of a page's headings, in the way of the usual hosts."""
    _, prose = split(path)
    for _, line in prose:
        match = re.match(r"#+\s+(.*)", line)
        if match:
            text = re.sub(r"[^\w\- ]", "", match[1].strip().lower())
            yield text.replace(" ", "-")


def broken_link(path, target):
    if re.match(r"[a-z]+:", target):
        return False
    file, _, anchor = target.partition("#")
    there = path if not file else path.parent / file
    if not there.exists():
        return True
    return bool(anchor) and there.suffix == ".md" and anchor not in anchors(there)


def check_prose(path, prose, words, commands):
    name = path.relative_to(ROOT)
    for number, line in prose:
        for span in re.findall(r"`([^`]+)`", line):
            for unknown in unknown_names(span, words, commands):
                yield f"{name}:{number}: `{unknown}` does not exist"
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
            if broken_link(path, target):
                yield f"{name}:{number}: the link to {target} leads nowhere"


def check_comments():
    """Declarations without a comment, with an empty or a copied one, or with its parts out of order."""
    for path, name in headers.public_headers(ROOT):
        seen = {}
        file = path.relative_to(ROOT)
        for item in headers.parse(path, name).declarations:
            if item.kind == "macro" and item.name.endswith("_H"):
                continue
            where = f"{file}:{item.line}: {item.name}"
            comment = headers.parse_comment(item.raw)
            if not comment.summary:
                yield f"{where} has no comment"
                continue
            first = seen.setdefault(item.raw, where)
            if first != where and not item.grouped:
                yield f"{where} has the comment of {first}"
            order = [n for n, _ in comment.fields if n in ("returns", "thread", "see")]
            if order != sorted(order, key=["returns", "thread", "see"].index):
                yield f"{where}: the order is returns, thread, see"


def main():
    words, found, jobs, count = source_words() | test_names(), [], [], 0
    commands = set(re.findall(r"^([\w| -]+)\)", (ROOT / "dev").read_text(), re.M))
    commands = {word for entry in commands for word in re.split(r"[| ]+", entry)}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path in documents():
            name = str(path.relative_to(ROOT))
            blocks, prose = split(path)
            found += check_prose(path, prose, words, commands)
            for line, info, text in blocks:
                if info == "unclosed":
                    found.append(f"{name}:{line}: this block is never closed")
                elif re.match(r"[cC]\b(?![+#])", info) and not name.startswith("docs/api/"):
                    count += 1
                    jobs.append(pool.submit(compile_block, name, line, info, text))
        for job in jobs:
            found += job.result()
    found += check_comments()
    found += gen_api_docs.outdated(ROOT)
    print("\n".join([*found, f"{len(documents())} pages, {count} blocks of C, {len(found)} findings"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
