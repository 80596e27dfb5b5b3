/* The parts of the load program for datagrams: options, sockets, modes. Nothing here is shared with a server. */
#ifndef CW_BENCH_LOAD_UDP_IMPL_H
#define CW_BENCH_LOAD_UDP_IMPL_H

#include "measure.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum udp_mode { UDP_ECHO, UDP_ROOM, UDP_IDLE };

enum { UDP_BATCH = 64, UDP_HEAD = 8, UDP_SIZE_MAX = 8192 };

struct udp_options {
    enum udp_mode mode;
    const char *mode_name;
    struct sockaddr_in address;
    uint32_t sockets; /* room: members; idle: ports that the peers share */
    uint32_t depth;   /* datagrams in flight on each socket; room: of the one that sends */
    uint32_t size;
    uint32_t peers; /* idle: addresses and ports that are spoken from */
    double seconds;
    double warmup_seconds;
    uint32_t wait_seconds; /* idle: longest wait for a line on standard input */
    pid_t server_pid;      /* 0: its processor time is not asked for */
    bool gso;              /* what is sent at once is one packet that the kernel cuts */
    bool gro;              /* … and so may be what is received */
    bool dtls;
};

/* One datagram that is under way. Its number says where it stands: number % depth. */
struct flight {
    uint32_t seq;
    uint32_t delivered; /* room, of the one that sends: how many members have it … */
    uint32_t got;       /* … of each: the number that has come, and one */
    uint64_t asked_ns;
};

struct peer {
    int fd;
    uint32_t index;
    void *dtls;             /* NULL: plain */
    struct flight *flights; /* `depth` of them */
    bool joined;            /* room */
};

/* What is sent by one call. Each datagram is a head, who sends it and its number, in a pattern that every answer is compared
 * with, byte by byte. */
struct udp_batch {
    uint32_t count;
    uint8_t *bytes; /* UDP_BATCH datagrams behind one another */
    struct iovec parts[UDP_BATCH];
    struct mmsghdr messages[UDP_BATCH];
};

struct udp_load {
    struct udp_options options;
    int epoll;
    struct peer *peers;
    struct udp_batch out;
    uint8_t *in; /* UDP_BATCH buffers of in_stride bytes */
    size_t in_stride;
    uint8_t *pattern;
    uint64_t now_ns;
    uint64_t heard_ns; /* when an answer came last */
    bool measuring;

    /* Judges one datagram; it may ask for more by udp_ask. */
    void (*take)(struct udp_load *load, struct peer *peer, const uint8_t *data, size_t len);

    uint32_t *due; /* room: numbers to be sent, at most `depth` */
    uint32_t due_count;
    uint32_t *answered; /* idle: the pass in which each peer was answered last */
    uint32_t pass;

    uint64_t messages;
    uint64_t deliveries;
    uint64_t lost;   /* asked for again, or given up, after a time-out */
    uint64_t late;   /* came after that, or twice */
    uint64_t errors; /* wrong in content or length */
    uint64_t window_ns;
    uint64_t server_cpu_ns;
    struct histogram latency;
};

/* Starts and ends the measured window: clears the counters; takes time and the server's CPU. */
void udp_window_begin(struct udp_load *load);
void udp_window_end(struct udp_load *load);

/* Writes head and pattern. */
void udp_fill(const struct udp_load *load, uint8_t *at, uint32_t index, uint32_t seq);

/* Whether a datagram has its length and pattern; counts an error if not. */
bool udp_is_whole(struct udp_load *load, const uint8_t *data, size_t len);
uint32_t udp_be32(const uint8_t *p);

/* Adds a datagram to the batch of this socket, which udp_flush sends; a full one is sent at once. */
void udp_ask(struct udp_load *load, struct peer *peer, uint32_t index, uint32_t seq);
void udp_flush(struct udp_load *load, struct peer *peer);

/* Opens the sockets, connected to the server, and prepares the buffers.
 *
 * returns  false: said why on standard error */
bool udp_open(struct udp_load *load);
void udp_close(struct udp_load *load);

/* Waits, takes what has come and sends what was asked for meanwhile.
 *
 * returns  false: more sockets may have something, so nothing can be said to be lost */
bool udp_turn(struct udp_load *load, int wait_ms);

/* DTLS over the connected sockets, without verification. udp_dtls_receive returns the datagram's bytes, 0 when there is none
 * left, -1 when the connection has failed. */
bool udp_dtls_open(struct udp_load *load);
void udp_dtls_close(struct udp_load *load);
int udp_dtls_receive(struct peer *peer, uint8_t *data, size_t cap);
bool udp_dtls_send(struct peer *peer, const uint8_t *data, size_t len);

/* The modes; each returns false when the measurement is void. */
bool udp_run_echo(struct udp_load *load);
bool udp_run_room(struct udp_load *load);
bool udp_run_idle(struct udp_load *load);

#endif
