"""From runs to figures: medians and ratios, the table, the JSON, the plot."""

import html
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import time

SCALE_TARGET = "≤1.15"
COLOURS = {"causeway": "#2f6fd0", "libuv": "#2a9d8f", "bufferevent": "#d98a1f", "node": "#9b6bc3",
           "floor again": "#8a8f98", "openssl": "#b5533c", "log + metrics": "#7ba7e6",
           "nginx": "#2a9d8f", "h2o": "#d98a1f", "evhttp": "#c9a227", "microhttpd": "#6b8e4e",
           "floor gso": "#6f7b8a", "floor single": "#b3b8c0", "no offload": "#7ba7e6", "stateless": "#2f9bd0",
           "bun": "#d0679d", "libwebsockets": "#d98a1f", "ws": "#9b6bc3"}

IDLE = ("idle", "udp_idle")  # modes that are about memory
UDP = ("udp", "udp_room")
SHARES = ("http", "ws", "broadcast")  # modes whose figures are shares of the floor


def value_of(case, result):
    """The figure that a case is about."""
    if case.mode in IDLE:
        return result["bytes_opened"]
    if case.mode in ("rooms", "broadcast", "udp_room"):
        return result["server_cpu_ns_per_delivery"]
    if case.mode == "busy":
        return result["messages_per_second"] / result["alone_per_second"]
    return result["server_cpu_ns_per_message"]


def unit_of(case):
    units = {"http": "ns/request", "idle": "B/conn", "udp_idle": "B/peer", "rooms": "ns/delivery", "broadcast": "ns/delivery", "udp_room": "ns/delivery", "accepts": "ns/conn",
             "handshakes": "ns/handshake", "busy": "of its rate"}
    return units.get(case.mode, "ns/msg")


def value_text(case, value):
    digits = 2 if value < 10 else 1 if value < 1000 else 0
    return f"{value:,.{digits}f} {unit_of(case)}"


def paired_ratio(results, floor, key="value"):
    """The median of the rounds' own ratios: what slows a whole round down cancels out."""
    pairs = [one[key] / two[key] for one, two in zip(results, floor) if one.get(key) and two.get(key)]
    return statistics.median(pairs) if pairs else None


def ratio_of_minima(values, floor):
    """Disturbance only ever adds, so the best rounds of both are the least disturbed."""
    others = [result["value"] for result in floor if result.get("value")]
    return min(values) / min(others) if others else None


def summarise(case, name, results, floor):
    """One row of the table: what a server did in a case, over all rounds."""
    row = {"scenario": case.scenario, "mode": case.mode, "tls_max": case.tls,
           "case": case.label, "server": name, "unit": unit_of(case),
           "connections": case.connections, "target": case.target if name == "causeway" else "",
           "rounds": results}
    good = [result for result in results if "failed" not in result]
    row["failures"] = [result["failed"] for result in results if "failed" in result]
    if not good:
        return row
    values = [result["value"] for result in good]
    row["value"] = statistics.median(values)
    row["min"] = min(values)
    row["spread"] = (max(values) - min(values)) / row["value"] if row["value"] else 0
    for key in ("messages_per_second", "deliveries_per_second", "p50_us", "p99_us", "setup_us_each",
                "setup_p50_us", "setup_p99_us", "bytes_opened", "bytes_closed", "bytes_reopened",
                "alone_per_second", "handshakes_per_second", "answer_bytes"):
        if key in good[0]:
            row[key] = statistics.median(result[key] for result in good)
    row["errors"] = sum(result["errors"] for result in good)
    if case.mode not in (*IDLE, "busy"):
        row["ratio"] = paired_ratio(results, floor)
        row["ratio_min"] = ratio_of_minima(values, floor)
    if case.mode in SHARES:
        row["kept"] = inverse(row["ratio"])
        row["kept_min"] = inverse(row["ratio_min"])
        row["server_share"] = server_share(good)
    if case.mode in UDP:
        row["lost"] = sum(result["lost"] for result in good)
        row["late"] = sum(result["late"] for result in good)
        row["server_share"] = server_share(good)
    elif case.tls:
        row["tls"] = good[0]["tls"]
        row["rate_ratio"] = paired_ratio(results, floor, "messages_per_second")
        row["server_share"] = server_share(good)
    return row


def inverse(ratio):
    return 1 / ratio if ratio else None


def server_share(results):
    """How much of its processor the server used."""
    return statistics.median(
        result["server_cpu_ns_per_message"] * result["messages_per_second"] / 1e9
        for result in results)


def step_row(name, small, large, floor_small, floor_large):
    """How much dearer a message becomes from the small case to the large, against the floor's own."""
    rounds = []
    for runs in zip(small["rounds"], large["rounds"], floor_small["rounds"], floor_large["rounds"]):
        if all(result.get("value") for result in runs):
            low, high, floor_low, floor_high = (result["value"] for result in runs)
            rounds.append((high / low, (high / low) / (floor_high / floor_low)))
    if not rounds:
        return None
    steps = [step for step, _ in rounds]
    value = statistics.median(steps)
    return {"scenario": "scale", "mode": "framed", "tls_max": "", "case": "step, 1000 → 10000 conns", "server": name, "unit": "×",
            "target": SCALE_TARGET if name == "causeway" else "", "failures": [], "rounds": [],
            "value": value, "min": min(steps), "spread": (max(steps) - min(steps)) / value,
            "ratio": statistics.median(ratio for _, ratio in rounds),
            "ratio_min": large["min"] / small["min"] / (floor_large["min"] / floor_small["min"])}


def add_steps(rows):
    by_server = {}
    for row in rows:
        if row["scenario"] == "scale":
            by_server.setdefault(row["server"], []).append(row)
    floor = by_server.get("floor", [])
    for name, pair in by_server.items():
        if len(pair) == 2 and len(floor) == 2:
            step = step_row(name, *pair, *floor)
            if step is not None:
                rows.append(step)


def add_rows(rows, case, rounds):
    floor = rounds.get("floor", rounds.get("plain", []))
    added = [summarise(case, name, results, floor) for name, results in rounds.items() if results]
    if case.mode in SHARES:
        for row in added:
            own = rounds.get("causeway", [])
            row["of_ours"] = inverse(paired_ratio(row["rounds"], own))
    rows += added
    if case.scenario == "scale" and case.connections == 10000:
        add_steps(rows)


def first_line(path, prefix):
    try:
        for line in pathlib.Path(path).read_text().splitlines():
            if line.startswith(prefix):
                return line.split(":", 1)[-1].split("=", 1)[-1].strip()
    except OSError:
        pass
    return ""


def about(root, build):
    """What the figures depend on besides the code."""
    cache = build / "CMakeCache.txt"
    described = subprocess.run(["git", "-C", str(root), "describe", "--always", "--dirty"], timeout=30,
                               capture_output=True, text=True, check=False)
    kind = first_line(cache, "CMAKE_BUILD_TYPE:")
    found = {
        "cpu": first_line("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": os.uname().release,
        "build": kind,
        "compiler": first_line(cache, "CMAKE_C_COMPILER:"),
        "commit": described.stdout.strip() or "unknown",
        "command": shlex.join([os.path.basename(sys.executable), *sys.argv]),
        "when": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "load_average": round(os.getloadavg()[0], 2),
    }
    found["warnings"] = []
    if kind not in ("Release", "RelWithDebInfo"):
        found["warnings"].append(f"build type is {kind or 'not known'}: figures of it mean little")
    for option in ("CAUSEWAY_SANITIZE", "CAUSEWAY_CHECKED"):
        if first_line(cache, f"{option}:") not in ("", "OFF"):
            found["warnings"].append(f"{option} is on: figures of this build mean little")
    if found["load_average"] > 0.5:
        found["warnings"].append(f"load average is {found['load_average']}: other work disturbs")
    return found


def aligned(head, body):
    """Columns as wide as their widest cell; all but the first three lean right."""
    lines = [head, *body]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = []
    for line in lines:
        cells = [cell.ljust(width) if i < 3 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        text.append("  ".join(cells).rstrip())
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text)


def number(row, key, digits=0, suffix=""):
    value = row.get(key)
    return f"{value:,.{digits}f}{suffix}" if value is not None else ""


def per_second(row):
    key = "deliveries_per_second" if row["unit"] == "ns/delivery" else "messages_per_second"
    return number(row, key)


def ratio_text(row):
    ratio = row.get("ratio")
    if ratio is None:
        return ""
    if row["scenario"] == "rooms" and row["server"] == "causeway":
        return f"{ratio:.3f} (1/{1 / ratio:.0f})"
    return f"{ratio:.2f}"


def load_table(rows):
    head = ["scenario", "case", "server", "CPU", "unit", "min", "spread", "ratio", "of minima",
            "target", "per s",
            "p50 µs", "p99 µs", "set-up µs", "p50", "p99", "errors"]
    body = []
    for row in rows:
        if "value" not in row:
            body.append([row["scenario"], row["case"], row["server"], "failed"] + [""] * 13)
            continue
        digits = 2 if row["unit"] == "×" else 1 if row["value"] < 1000 else 0
        body.append([row["scenario"], row["case"], row["server"], number(row, "value", digits),
                     row["unit"], number(row, "min", digits), f"{row['spread']:.0%}",
                     ratio_text(row), number(row, "ratio_min", 3 if row["scenario"] == "rooms" else 2),
                     row["target"], per_second(row), number(row, "p50_us"), number(row, "p99_us"),
                     number(row, "setup_us_each") if row["scenario"] != "accepts" else "",
                     number(row, "setup_p50_us"), number(row, "setup_p99_us"),
                     number(row, "errors")])
    return aligned(head, body)


def share(row, key):
    value = row.get(key)
    return f"{value:.0%}" if value is not None else ""


def tls_table(rows):
    """`rate` is the ratio of messages per second; it says something where the server was busy."""
    head = ["scenario", "case", "server", "CPU", "unit", "min", "spread", "ratio", "of minima", "rate",
            "target", "per s", "busy", "p50 µs", "p99 µs", "errors", "TLS"]
    body = []
    for row in rows:
        if "value" not in row:
            body.append([row["scenario"], row["case"], row["server"], "failed"] + [""] * 13)
            continue
        body.append([row["scenario"], row["case"], row["server"], number(row, "value"), row["unit"],
                     number(row, "min"), share(row, "spread"), ratio_text(row),
                     number(row, "ratio_min", 2), number(row, "rate_ratio", 2), row["target"],
                     per_second(row), share(row, "server_share"), number(row, "p50_us"),
                     number(row, "p99_us"), number(row, "errors"), row["tls"]])
    return aligned(head, body)


def shares_table(rows):
    """`kept` and `of minima` are the floor's processor time over the server's own; `of ours`: ours over it.
    `answer B`, of WebSocket: bytes of an answer on the wire."""
    head = ["scenario", "case", "server", "CPU", "unit", "min", "spread", "kept", "of minima",
            "target", "of ours", "per s", "busy", "p50 µs", "p99 µs", "answer B", "errors"]
    body = []
    for row in rows:
        if "value" not in row:
            body.append([row["scenario"], row["case"], row["server"], "failed"] + [""] * 13)
            continue
        body.append([row["scenario"], row["case"], row["server"], number(row, "value"), row["unit"],
                     number(row, "min"), share(row, "spread"), number(row, "kept", 2),
                     number(row, "kept_min", 2), row["target"], number(row, "of_ours", 2),
                     per_second(row), share(row, "server_share"), number(row, "p50_us"),
                     number(row, "p99_us"), number(row, "answer_bytes"), number(row, "errors")])
    return aligned(head, body)


def udp_table(rows):
    """`lost`: datagrams that were not answered in half a second, `late`: answers after that, or more than one; all rounds
    together. Of DTLS `ratio` is to the same server without."""
    head = ["scenario", "case", "server", "CPU", "unit", "min", "spread", "ratio", "of minima",
            "target", "per s", "busy", "p50 µs", "p99 µs", "lost", "late", "errors"]
    body = []
    for row in rows:
        if "value" not in row:
            body.append([row["scenario"], row["case"], row["server"], "failed"] + [""] * 13)
            continue
        body.append([row["scenario"], row["case"], row["server"], number(row, "value"), row["unit"],
                     number(row, "min"), share(row, "spread"), ratio_text(row),
                     number(row, "ratio_min", 2), row["target"], per_second(row),
                     share(row, "server_share"), number(row, "p50_us"), number(row, "p99_us"),
                     number(row, "lost"), number(row, "late"), number(row, "errors")])
    return aligned(head, body)


def busy_table(rows):
    head = ["scenario", "case", "server", "kept", "spread", "target", "alone per s", "beside per s",
            "handshakes per s", "p50 µs", "p99 µs", "errors"]
    body = [[row["scenario"], row["case"], row["server"],
             number(row, "value", 2) if "value" in row else "failed", share(row, "spread"),
             row["target"], number(row, "alone_per_second"), number(row, "messages_per_second"),
             number(row, "handshakes_per_second"), number(row, "p50_us"), number(row, "p99_us"),
             number(row, "errors")] for row in rows]
    return aligned(head, body)


def idle_table(rows):
    head = ["scenario", "case", "server", "B/conn opened", "closed", "reopened", "target", "errors"]
    body = [[row["scenario"], row["case"], row["server"],
             number(row, "bytes_opened") if "value" in row else "failed", number(row, "bytes_closed"),
             number(row, "bytes_reopened"), row["target"], number(row, "errors")] for row in rows]
    return aligned(head, body)


def failures(rows):
    return [f"failed: {row['scenario']}, {row['case']}, {row['server']}: {text}"
            for row in rows for text in dict.fromkeys(row["failures"])]


PLOT_STYLE = """
.page { fill: #ffffff } .ink { fill: #1f2328 } .dim { fill: #59636e } .grid { stroke: #d1d9e0 }
.one { stroke: #1f2328 } .target { stroke: #c4322b }
text { font: 12px system-ui, sans-serif }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } .ink { fill: #e6edf3 } .dim { fill: #9198a1 } .grid { stroke: #30363d }
.one { stroke: #e6edf3 } .target { stroke: #ff7b72 } }
"""


class Plot:
    """A bar per server and case, as long as its ratio to the floor; cut off past `limit`."""

    left, width, bar, gap, limit = 330, 560, 14, 14, 3.0

    def __init__(self):
        self.parts = []
        self.y = 64

    def x(self, ratio):
        return self.left + min(ratio, self.limit) / self.limit * self.width

    def text(self, x, y, words, style="ink", anchor="start"):
        self.parts.append(f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
                          f"{html.escape(words)}</text>")

    def line(self, x, top, bottom, style, dash=""):
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"'
                          f"{dashes}/>")

    def group(self, label, rows):
        top = self.y
        self.text(self.left - 90, top + self.bar - 3, label, anchor="end")
        for row in rows:
            ratio = row["ratio"]
            self.text(self.left - 8, self.y + self.bar - 3, row["server"], "dim", "end")
            self.parts.append(f'<rect x="{self.left}" y="{self.y}" height="{self.bar - 2}" rx="2" '
                              f'width="{max(self.x(ratio) - self.left, 1):.1f}" '
                              f'fill="{COLOURS.get(row["server"], "#8a8f98")}"/>')
            cut = " →" if ratio > self.limit else ""
            digits = 3 if ratio < 0.2 else 2
            self.text(self.x(ratio) + 5, self.y + self.bar - 3, f"{ratio:.{digits}f}×{cut}")
            if row["target"].startswith("≤"):
                self.line(self.x(float(row["target"][1:])), self.y - 2, self.y + self.bar, "target")
            self.y += self.bar
        self.y += self.gap

    def svg(self, title, subtitle):
        height = self.y + 12
        grid = Plot()
        for tenth in range(0, int(self.limit * 10) + 1, 5):
            ratio = tenth / 10
            grid.text(self.x(ratio), 54, f"{ratio:g}×", "dim", "middle")
            grid.line(self.x(ratio), 60, self.y - 6, "one" if ratio == 1 else "grid",
                      "" if ratio == 1 else "2 3")
        grid.text(16, 20, title)
        grid.text(16, 37, subtitle, "dim")
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 {height}" width="960" '
                f'height="{height}" role="img" aria-label="{html.escape(title)}">'
                f"<style>{PLOT_STYLE}</style>"
                f'<rect class="page" width="960" height="{height}"/>'
                + "\n".join(grid.parts + self.parts) + "</svg>\n")


def plot(rows, found):
    groups = {}
    for row in rows:
        if row.get("ratio") is None or row["server"] == "floor":
            continue
        if row["scenario"] == "scale" and row["unit"] != "×":
            continue
        groups.setdefault(f"{row['scenario']}: {row['case']}", []).append(row)
    if not groups:
        return None
    drawing = Plot()
    for label, members in groups.items():
        drawing.group(label, members)
    return drawing.svg("Server processor time per message, relative to a bare epoll loop (1×); "
                       "less is better, red is the target",
                       f"{found['commit']} · {found['cpu']}, {found['cores']} cores · Linux "
                       f"{found['kernel']} · {found['when']}")


def write(rows, found, notes, options):
    options.out.mkdir(parents=True, exist_ok=True)
    name = "all" if options.everything else "-".join(options.scenario)
    data = {"about": found, "notes": notes, "rounds": options.rounds, "seconds": options.seconds,
            "warmup": options.warmup, "rows": rows}
    paths = [options.out / f"{name}.json"]
    paths[0].write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    picture = plot(rows, found)
    if picture is not None:
        paths.append(options.out / f"{name}.svg")
        paths[1].write_text(picture)
    return paths


def table_of(row):
    by_mode = {**dict.fromkeys(SHARES, shares_table), **dict.fromkeys(IDLE, idle_table),
               **dict.fromkeys(UDP, udp_table), "busy": busy_table}
    return by_mode.get(row["mode"], tls_table if row["tls_max"] else load_table)


def finish(rows, found, notes, options):
    """Prints the tables and what the figures depend on; writes the files."""
    tables = {table: [] for table in (load_table, tls_table, shares_table, udp_table, busy_table, idle_table)}
    for row in rows:
        tables[table_of(row)].append(row)
    print()
    for table, members in tables.items():
        if members:
            print(table(members), end="\n\n")
    for text in [*notes, *failures(rows)]:
        print(text)
    print(f"machine: {found['cpu']}, {found['cores']} cores, Linux {found['kernel']}, load average "
          f"{found['load_average']} at the start")
    if any(row["tls_max"] for row in rows):
        print(f"library: {found['tls_library']}")
    print(f"commit:  {found['commit']}, {found['build'] or 'unknown'} build, {found['compiler']}")
    print(f"command: {found['command']}  ({options.rounds} rounds of {options.seconds:g} s)")
    if rows:
        print("written: " + ", ".join(str(path) for path in write(rows, found, notes, options)))
