"""Reads the public headers: declarations with the comment above each. Shared by the docs tools."""
import re
from dataclasses import dataclass, field
from pathlib import Path

LAYERS = ["framework", "protocols", "middleware"]
ENTRY = re.compile(r"^(\w+(?:, \w+)*)\s{2,}(\S.*)$")


@dataclass
class Comment:
    summary: str = ""
    body: list = field(default_factory=list)  # paragraphs after the first sentence's
    fields: list = field(default_factory=list)  # (name, [lines]): parameters, returns, thread, see


@dataclass
class Declaration:
    kind: str  # function struct enum typedef constant macro
    name: str
    text: str
    line: int
    raw: str  # the comment as written; "" when there is none
    grouped: bool = False  # shares the comment of the declaration before it


@dataclass
class Header:
    path: Path
    name: str  # as in #include <…>
    intro: str
    declarations: list


def public_headers(root):
    """Yields (file, name to include it by) of every public header, in a stable order."""
    for layer in LAYERS:
        base = root / layer / "include"
        for path in sorted(base.rglob("*.h")):
            yield path, str(path.relative_to(base))


def strip_comment(raw):
    """The words of a /* … */ comment, one string per line, without stars and outer indent."""
    lines = re.sub(r"^/\*+|\*+/$", "", raw.strip()).splitlines()
    return [re.sub(r"^\s*\*( |$)", "", line).rstrip() if i else line.strip() for i, line in enumerate(lines)]


def parse_comment(raw):
    """Splits a comment into its sentence, its paragraphs and its fields. A block between ``` is a paragraph, as it stands."""
    paragraphs, fields, current, block = [[]], [], None, None
    for line in strip_comment(raw):
        entry = ENTRY.match(line)
        if line.startswith("```") or block is not None:
            block = (block or []) + [line.rstrip()]
            if len(block) > 1 and line.startswith("```"):
                paragraphs += [["\n".join(block)], []]
                block = None
        elif not line.strip():
            paragraphs.append([])
            current = None
        elif entry:
            current = [entry[2]]
            fields.append((entry[1], current))
        elif current is not None and line.startswith(" "):
            current.append(line.strip())
        else:
            current = None
            paragraphs[-1].append(line.strip())
    texts = [" ".join(p) for p in paragraphs if p]
    first = texts[0] if texts else ""
    sentence = re.match(r"(.*?[.!?])(?:\s+|$)(.*)", first)
    summary, rest = (sentence[1], sentence[2]) if sentence else (first, "")
    return Comment(summary, ([rest] if rest else []) + texts[1:], fields)


def declaration_end(text, start):
    """The position after the declaration that starts there: past its ; or its function body."""
    depth, i, function = 0, start, False
    while i < len(text):
        if text.startswith("/*", i):
            i = text.index("*/", i) + 2
            continue
        c = text[i]
        if c in "({":
            if c == "{" and depth == 0:
                function = text[start:i].rstrip().endswith(")")
            depth += 1
        elif c in ")}":
            depth -= 1
            if c == "}" and depth == 0 and function:
                return i + 1
        elif c == ";" and depth == 0:
            return i + 1
        i += 1
    return len(text)


def classify(text):
    """Returns (kind, name) of a declaration, or None for what needs no comment (forward, include)."""
    plain = re.sub(r"/\*.*?\*/", " ", text, flags=re.S).strip()
    if re.fullmatch(r"(struct|enum|union)\s+\w+\s*;", plain):
        return None
    if plain.startswith("typedef"):
        match = (re.match(r"typedef[^(]*\(\s*\*\s*(\w+)\s*\)", plain)
                 or re.match(r"typedef[^(]*?(\w+)\s*\(", plain)
                 or re.search(r"(\w+)\s*;$", plain))
        return "typedef", match[1]
    match = re.match(r"(struct|enum|union)\s+(\w+)?\s*\{", plain)
    if match:
        first = re.search(r"\{\s*(\w+)", plain)
        return ("struct" if match[1] == "union" else match[1]), match[2] or first[1]
    match = re.search(r"(\w+)\s*\(", plain)
    if match and not plain.startswith("extern const"):
        return "function", match[1]
    match = re.search(r"(\w+)\s*(?:\[[^\]]*\])?\s*(?:=|;)", plain)
    return "constant", match[1] if match else plain


def parse(path, name):
    """Reads one header into its introduction and its declarations."""
    text = path.read_text()
    pos, raw, intro, declarations = 0, "", "", []
    previous_end, previous_raw = -1, ""
    while pos < len(text):
        if text[pos].isspace():
            run = re.compile(r"\s+").match(text, pos)
            if run[0].count("\n") > 1:  # a blank line: the comment before it stood for itself
                if raw and not declarations and not intro:
                    intro = raw
                raw, previous_end = "", -1
            pos = run.end()
            continue
        line = text.count("\n", 0, pos) + 1
        if text.startswith("/*", pos):
            end = text.index("*/", pos) + 2
            raw, previous_end = text[pos:end], -1
            pos = end
            continue
        if text[pos] == "#":
            end = re.compile(r"(?:[^\n\\]|\\\n|\\.)*").match(text, pos).end()
            found = re.match(r"#\s*define\s+(CW_\w+)", text[pos:end])
            kind_name = ("macro", found[1]) if found else None
        elif text.startswith('extern "C"', pos):
            end, kind_name = text.index("{", pos) + 1, None
        elif text[pos] == "}":
            end, kind_name = pos + 1, None
        else:
            end = declaration_end(text, pos)
            kind_name = classify(text[pos:end])
            if kind_name is None and raw:  # a forward declaration between a comment and its function
                pos = end
                continue
        if kind_name:
            grouped = not raw and previous_end >= 0
            declarations.append(Declaration(*kind_name, text[pos:end], line, raw or
                                            (previous_raw if grouped else ""), grouped))
            previous_end, previous_raw = end, raw or previous_raw
        elif raw and not declarations and not intro:
            intro = raw  # above the include guard, an #include or extern "C"
        raw = ""
        pos = end
        # A remark behind the declaration on the same line belongs to it.
        behind = re.compile(r"[ \t]*/\*.*?\*/", re.S).match(text, pos)
        if behind:
            if kind_name:
                declarations[-1].text += behind[0]
                if not declarations[-1].raw:
                    declarations[-1].raw = behind[0].strip()
            pos = behind.end()
    return Header(path, name, intro, declarations)
