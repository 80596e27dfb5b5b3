#!/usr/bin/env python3
"""Programs that pages quote. A fenced block ```c file=PATH holds the text of that file; this writes it there.

The files are built and tested; tools/check_docs.py tells when a page has another text."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def quoted_file(info):
    """The file that a fence line names, or None."""
    match = re.fullmatch(r"c file=(\S+)", info)
    return match[1] if match else None


def wrong(root, info, text):
    """What is wrong with a block, as a sentence, or None."""
    path = root / quoted_file(info)
    if not path.is_file():
        return f"{quoted_file(info)} does not exist"
    if path.read_text() != text:
        return f"not what {quoted_file(info)} says now; run ./dev docs"
    return None


def fill(root, page):
    """Puts the files' text into the blocks of a page. Returns whether that changed it."""
    old = page.read_text()
    new = re.sub(r"^```(c file=(\S+))\n.*?^```$", lambda m: f"```{m[1]}\n{(root / m[2]).read_text()}```", old,
                 flags=re.M | re.S)
    if new != old:
        page.write_text(new)
    return new != old


def main():
    for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]):
        if fill(ROOT, page):
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
