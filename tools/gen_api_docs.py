#!/usr/bin/env python3
"""Writes docs/api/: one page per public header, made from its comments. --check: tells what is out of date."""
import sys
from pathlib import Path

import headers

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- Made by tools/gen_api_docs.py from the header's comments; change those. -->\n"
KINDS = [("struct", "Structs"), ("enum", "Enums"), ("typedef", "Function types"), ("constant", "Constants"),
         ("function", "Functions"), ("macro", "Macros")]


def cell(text):
    return text.replace("|", "\\|")


def page_path(name):
    """causeway/middleware/x.h → middleware/x.md"""
    return name.removeprefix("causeway/").removesuffix(".h") + ".md"


def heading(members):
    """A struct and a function may have one name; their headings differ."""
    first = members[0]
    return f"{first.kind} {first.name}" if first.text.startswith(f"{first.kind} {first.name}") else first.name


def anchor(members):
    return heading(members).lower().replace(" ", "-")


def render_fields(fields):
    lines = []
    for name, text in fields:
        label = f"**{name}**" if name in ("returns", "thread", "see") else f"`{name}`"
        lines.append(f"- {label}: {' '.join(text)}")
    return lines


def group(declarations):
    """Puts declarations that share one comment together."""
    groups = []
    for declaration in declarations:
        if declaration.grouped and groups:
            groups[-1].append(declaration)
        else:
            groups.append([declaration])
    return groups


def render(header):
    lines = [f"# `{header.name}`", "", NOTE]
    if header.intro:
        intro = headers.parse_comment(header.intro)
        for paragraph in [intro.summary, *intro.body]:
            lines += [paragraph, ""]
        if intro.fields:
            lines += [*render_fields(intro.fields), ""]
    groups = group(header.declarations)
    if groups:
        lines += ["| Name | What it is |", "|---|---|"]
    for kind, _ in KINDS:
        for members in (g for g in groups if g[0].kind == kind):
            summary = headers.parse_comment(members[0].raw).summary
            names = ", ".join(f"[`{d.name}`](#{anchor(members)})" for d in members)
            lines.append(f"| {names} | {cell(summary)} |")
    for kind, title in KINDS:
        chosen = [g for g in groups if g[0].kind == kind]
        if chosen:
            lines += ["", f"## {title}"]
        for members in chosen:
            comment = headers.parse_comment(members[0].raw)
            lines += ["", f"### {heading(members)}", "", "```c", *(d.text for d in members), "```", ""]
            lines.append(comment.summary)
            for paragraph in comment.body:
                lines += ["", paragraph]
            if comment.fields:
                lines += ["", *render_fields(comment.fields)]
    return "\n".join(lines).rstrip() + "\n"


def pages(root):
    """All pages as {path below docs/api: text}."""
    result = {}
    index = ["# The public headers", "", NOTE, "| Header | What it holds |", "|---|---|"]
    for path, name in headers.public_headers(root):
        header = headers.parse(path, name)
        result[page_path(name)] = render(header)
        about = headers.parse_comment(header.intro).summary if header.intro else ""
        index.append(f"| [`{name}`]({page_path(name)}) | {cell(about)} |")
    result["README.md"] = "\n".join(index) + "\n"
    return result


def outdated(root):
    """What --check has to say, one line each."""
    folder, wanted = root / "docs/api", pages(root)
    there = {str(p.relative_to(folder)) for p in folder.rglob("*.md")}
    for name, text in wanted.items():
        if name not in there:
            yield f"docs/api/{name}:1: missing; run ./dev docs"
        elif (folder / name).read_text() != text:
            yield f"docs/api/{name}:1: not what the header says now; run ./dev docs"
    for name in sorted(there - wanted.keys()):
        yield f"docs/api/{name}:1: there is no such header any more; run ./dev docs"


def main():
    if sys.argv[1:] == ["--check"]:
        problems = list(outdated(ROOT))
        print("\n".join(problems or ["docs/api is up to date"]))
        return 1 if problems else 0
    folder, wanted = ROOT / "docs/api", pages(ROOT)
    for path in folder.rglob("*.md"):
        if str(path.relative_to(folder)) not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    print(f"{len(wanted)} pages in docs/api")
    return 0


if __name__ == "__main__":
    sys.exit(main())
