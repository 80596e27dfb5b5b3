"""What is measured: the scenarios, their loads and the project's aims."""

import dataclasses
import resource

KIB64 = 65536
SPARE_FDS = 200


@dataclasses.dataclass(frozen=True)
class Case:
    """One load: what is sent, over how many connections, and what the project aims at."""

    scenario: str
    label: str
    mode: str
    connections: int
    depth: int = 1
    size: int = 64
    target: str = ""
    peers: bool = True
    tls: str = ""  # highest version that the load offers
    resume: bool = False
    request: str = ""  # of HTTP: which one the load sends; others echo
    path: str = ""  # of a WebSocket; others have none
    deflate: bool = False
    wide: bool = False  # text of several scripts
    sockets: int = 0  # udp_idle: ports that the peers share, so many peers have one address
    offload: str = ""  # of datagrams: what the load leaves to the kernel
    also: tuple = ()  # servers of datagrams beside ours and its floor

    @property
    def protocol(self):
        return "tcp" if self.mode == "raw" else "framed"


def sized(scenario, mode, targets):
    """The loads that framed and raw share."""
    low, high, large = targets
    return [
        Case(scenario, "64 B, depth 1, 64 conns", mode, 64, 1, 64, low),
        Case(scenario, "64 B, depth 1, 1000 conns", mode, 1000, 1, 64, low),
        Case(scenario, "64 B, depth 16, 64 conns", mode, 64, 16, 64, high),
        Case(scenario, "64 B, depth 16, 1000 conns", mode, 1000, 16, 64, high),
        Case(scenario, "64 KiB, depth 1, 16 conns", mode, 16, 1, KIB64, large),
    ]


def over_tls(scenario, version):
    """The loads over TLS, each by one version of it."""
    def case(label, mode, connections, target, **more):
        return Case(scenario, f"TLS {version}, {label}", mode, connections, target=target, tls=version,
                    **more)

    return [
        case("64 B, depth 1, 64 conns", "framed", 64, "≤1.10"),
        case("64 B, depth 16, 64 conns", "framed", 64, "≤1.10", depth=16),
        case("64 KiB, depth 1, 16 conns", "framed", 16, "rate ≥0.95", size=KIB64),
        case("full handshakes, 16 at once", "handshakes", 16, "rate ≥0.95"),
        case("resumed handshakes, 16 at once", "handshakes", 16, "≤1.05", resume=True),
        case("4 busy beside 4 in handshakes", "busy", 4, "≥0.40"),
    ]


def idle_over_tls(version, target):
    label = f"TLS {version}, 1000 conns, "
    return [
        Case("tls_idle", label + "64 B each way", "idle", 1000, target=target, tls=version),
        Case("tls_idle", label + "64 KiB each way", "idle", 1000, size=KIB64, tls=version),
    ]


def over_http():
    """The targets are the floor's processor time per request over ours."""
    def case(label, target, depth, request):
        return Case("http", f"{label}, depth {depth}, 64 conns", "http", 64, depth, 0, target,
                    request=request)

    return [
        case("small GET", "≥0.93", 1, "small"),
        case("small GET", "≥0.72", 16, "small"),
        case("browser's GET", "", 1, "browser"),
        case("browser's GET", "", 16, "browser"),
        case("GET, no two alike", "", 1, "varied"),
        case("GET, no two alike", "", 16, "varied"),
        case("browser's, no two alike", "", 1, "varied-browser"),
        case("browser's, no two alike", "", 16, "varied-browser"),
    ]


def over_websocket():
    """The targets are the floor's processor time per message over ours."""
    def case(label, target, connections, depth, size, **more):
        return Case("ws", label, "ws", connections, depth, size, target, path="/", **more)

    return [
        case("20 B, depth 1, 64 conns", "≥0.98", 64, 1, 20),
        case("20 B, depth 16, 64 conns", "≥0.97", 64, 16, 20),
        case("1 KiB, depth 1, 64 conns", "≥0.97", 64, 1, 1024),
        case("16 KiB, depth 1, 64 conns", "≥0.97", 64, 1, 16384),
        case("20 B, depth 64, 1 conn", "≥0.92", 1, 64, 20),
        Case("ws", "64 B to 1000 conns, 8 in flight", "broadcast", 1000, 8, 64, "≥1.00", path="/bc"),
        case("16 KiB of several scripts", "", 64, 1, 16384, wide=True),
    ]


def over_deflate():
    """Against each other: a floor that compresses nothing says nothing."""
    return [Case("ws_deflate", f"1 KiB of JSON, depth {depth}, 64 conns", "ws", 64, depth, 1024,
                 path="/z", deflate=True) for depth in (1, 16)]


def idle_websockets():
    """As many as both sides' descriptors allow, at most 20,000."""
    most = min(20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_FDS)
    return [Case("ws_idle", f"{count} conns", "idle", count, size=20, target="≤400 B", path="/")
            for count in (5000, most)]


def over_udp():
    """Datagrams. A run to one peer may leave as one packet, which the floor does not do; a load that takes it whole is like a
    network card that cuts it."""
    def case(label, sockets, depth, size, target="", **more):
        return Case("udp", label, "udp", sockets, depth, size, target, **more)

    floors = ("floor gso", "floor single")
    return [
        case("64 B, depth 1, 16 sockets", 16, 1, 64),
        case("64 B, depth 16, 16 sockets", 16, 16, 64, "≤1.10", also=(*floors, "no offload", "stateless")),
        case("64 B, depth 64, 16 sockets", 16, 64, 64),
        case("64 B, depth 1, 1000 sockets", 1000, 1, 64),
        case("1200 B, depth 16, 16 sockets", 16, 16, 1200),
        case("64 B, depth 64, 1 socket", 1, 64, 64, "≤1.00", also=floors),
        case("1200 B, depth 64, 1 socket", 1, 64, 1200, "≤1.00", also=floors),
        case("64 B, depth 64, 1 socket that takes runs", 1, 64, 64, "≤1.00", also=floors, peers=False,
             offload="--gro"),
        case("64 B, depth 64, 1 socket, runs both ways", 1, 64, 64, "", also=floors, peers=False,
             offload="--gso --gro"),
        Case("udp", "64 B to 100 members, 8 in flight", "udp_room", 100, 8, 64, peers=False),
    ]


def idle_udp():
    """Peers of as many addresses, and sixteen to an address."""
    return [Case("udp_idle", f"100000 peers, {shared} to an address", "udp_idle", 100000, sockets=shared,
                 target="≤300 B", peers=False) for shared in (1, 16)]


def over_dtls():
    """Beside the same server without DTLS, whose load is plain."""
    return [Case("dtls", f"DTLS 1.2, 64 B, depth {depth}, 16 sockets", "udp", 16, depth, 64, tls="1.2", peers=False)
            for depth in (1, 16)]


SCENARIOS = {
    "framed": sized("framed", "framed", ("≤1.08", "≤1.20", "≤1.15")),
    "raw": sized("raw", "raw", ("", "", "")),
    "scale": [
        Case("scale", "64 B, depth 1, 1000 conns", "framed", 1000, peers=False),
        Case("scale", "64 B, depth 1, 10000 conns", "framed", 10000, peers=False),
    ],
    "rooms": [
        Case("rooms", "64 B, 50 members", "rooms", 50, target="≤0.05", peers=False),
        Case("rooms", "64 B, 50 members, 4 each", "rooms", 50, 4, target="≤0.05", peers=False),
        Case("rooms", "64 B, 500 members", "rooms", 500, target="≤0.05", peers=False),
    ],
    "idle": [Case("idle", "10000 conns", "idle", 10000, target="≤400 B")],
    "accepts": [Case("accepts", "connect, one echo, close", "accepts", 64)],
    "http": over_http(),
    "http_idle": [Case("http_idle", "10000 keep-alive conns", "idle", 10000, request="small")],
    "ws": over_websocket(),
    "ws_deflate": over_deflate(),
    "ws_idle": idle_websockets(),
    "udp": over_udp(),
    "udp_idle": idle_udp(),
    "dtls": over_dtls(),
    "tls": over_tls("tls", "1.2"),
    "tls13": over_tls("tls13", "1.3"),
    "tls_idle": idle_over_tls("1.2", "≤20 KB") + idle_over_tls("1.3", ""),
}
