/* The parts of the load program: options, connections, modes. Nothing here is shared with a server.
 */
#ifndef CW_BENCH_LOAD_IMPL_H
#define CW_BENCH_LOAD_IMPL_H

#include "measure.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum load_mode {
    LOAD_FRAMED,
    LOAD_RAW,
    LOAD_ROOMS,
    LOAD_ACCEPTS,
    LOAD_IDLE,
    LOAD_HANDSHAKES,
    LOAD_BUSY,
    LOAD_HTTP,
    LOAD_WS,
    LOAD_BROADCAST
};

enum { HEAD_MAX = 12, CONN_KEPT_MAX = 8192, WS_SIZE_MIN = 12, WS_DEFLATE_MAX = 4096 };

struct load_options {
    enum load_mode mode;
    const char *mode_name;
    struct sockaddr_in address;
    uint32_t connections;
    uint32_t depth;        /* messages in flight on each connection */
    uint32_t size;         /* bytes of a message, without the frame's length */
    uint32_t rate;         /* accepts: connections begun per second */
    uint32_t wait_seconds; /* idle: longest wait for a line on standard input */
    uint32_t beside;       /* busy: connections that do nothing but handshakes */
    double seconds;
    double warmup_seconds;
    pid_t server_pid; /* 0: its processor time is not asked for */
    bool unframed;    /* accepts, idle: no length before the message */
    const char *http; /* the request of HTTP; NULL: echoes */
    const char *ws;   /* the path of a WebSocket; NULL: none */
    bool deflate;     /* WebSocket: documents of JSON, compressed */
    bool wide;        /* WebSocket: text of several scripts */
    bool tls;
    bool resume; /* handshakes: resume a session */
    int tls_max; /* 2: TLS 1.2 at most; 3: 1.3 */
};

/* Everything that is sent is one message over and over: a head (the frame's length if framed, who
 * sends it, its number) in a pattern that every reply is compared with, byte by byte. Of HTTP it is
 * the request, without a head of that kind; replies are judged by load_http.c. */
struct shape {
    size_t length_len; /* 4 framed, 0 raw */
    size_t head_len;
    size_t wire_len;
    uint8_t *pattern; /* wire_len bytes */
    uint8_t *out;     /* out_messages copies of it, whose heads are filled in before each send */
    uint32_t out_messages;
    size_t varied_at; /* HTTP, WebSocket: where the number of one stands; 0: all are alike */
};

enum conn_phase {
    CONN_CLOSED,
    CONN_CONNECTING,
    CONN_HANDSHAKING, /* of TLS */
    CONN_UPGRADING,   /* to a WebSocket */
    CONN_GREETING,
    CONN_OPEN
};

struct conn {
    int fd;
    enum conn_phase phase;
    void *tls; /* NULL: plain, or not connected yet */
    bool wants_writable;
    uint32_t index;
    const struct shape *shape;
    uint32_t asked;   /* messages that were to be sent so far */
    uint32_t out_seq; /* the one being sent … */
    uint32_t in_seq;  /* … and the one being received, each with its offset */
    size_t out_at;
    size_t in_at;
    uint8_t in_head[HEAD_MAX];
    uint64_t began_ns;  /* connect() */
    uint64_t *asked_ns; /* of the last `depth` messages */
    uint64_t checksum;  /* rooms: of what this round brought */
    uint8_t *kept;      /* the beginning of an answer whose rest has not come; NULL: none */
    size_t kept_len;
};

/* HTTP: the answer seen last. One that looks the same is not parsed again. */
struct http_answer {
    uint8_t head[2048];
    size_t head_len;
    size_t wire_len; /* with its body; 0: none has been seen */
    size_t date_at;  /* offset of Date's value, that may differ; 0: it has none */
};

struct load {
    struct load_options options;
    struct shape shape;
    struct conn *conns;
    uint8_t *in;
    int epoll;
    uint32_t open_count;
    uint32_t failed_count; /* connections that could not be opened or were lost */
    uint64_t now_ns;
    bool measuring;
    uint32_t round_first_seq; /* rooms */
    uint64_t round_began_ns;
    uint32_t *delivered;    /* broadcast: how many have each of the messages in flight */
    uint32_t all_delivered; /* … and how many of them all have, in this turn */

    /* Called for each message that has arrived whole, its pattern already compared.
     * Returns false when it is not the one expected. */
    bool (*on_message)(struct load *load, struct conn *conn);

    struct http_answer answer;
    uint64_t messages;
    uint64_t deliveries;
    uint64_t errors;
    uint64_t window_ns;
    uint64_t server_cpu_ns;
    uint64_t opened_ns; /* wall time that opening all took */
    struct histogram latency;
    struct histogram setup;
    char tls_text[64];            /* version and cipher of the first connection */
    double alone_per_second;      /* busy: messages before the handshakes began … */
    double handshakes_per_second; /* … and how many of these there were then */
};

/* Another process that does nothing but full handshakes. */
struct handshakers {
    pid_t pid;
    int go;                         /* its end of life is ours, or the closing of this pipe */
    struct handshake_count *shared; /* memory of both */
};

/* Starts and ends the measured window: clears the counters; takes time and the server's CPU. */
void load_window_begin(struct load *load);
void load_window_end(struct load *load);

/* Prepares pattern and buffers.
 *
 * returns  false: memory ran out */
bool load_init(struct load *load);
void load_release(struct load *load);

/* Begins one connection. It greets with one message once it is established, except in a room. */
void conn_begin(struct load *load, struct conn *conn);
void conn_close(struct load *load, struct conn *conn);

/* Closes a connection that failed and counts the error. */
void conn_fail(struct load *load, struct conn *conn, const char *why);

/* Asks for `count` more messages and sends what the socket takes. */
void conn_send(struct load *load, struct conn *conn, uint32_t count);

/* The request by its name ("small", "browser", "varied", "varied-browser"); NULL: there is none. */
const char *http_request(const char *name);

/* What stands in requests that vary, and in whose place http_vary writes the number of one. */
#define HTTP_VARIED "000000000000"
enum { HTTP_VARIED_LEN = sizeof HTTP_VARIED - 1 };
void http_vary(uint8_t *at, uint32_t index, uint32_t seq);

/* The value of a field of a head, behind `name` (with its colon) and the space; NULL: it is not there. */
const char *http_field(const char *head, size_t head_len, const char *name);

/* Keeps the beginning of an answer: it stands before what is received next.
 *
 * returns  false: it is too long, or memory ran out */
bool conn_keep(struct conn *conn, const uint8_t *data, size_t len);

/* WebSocket: makes the frames, in load->shape or, compressed, in one shape for each document.
 *
 * returns  false: memory ran out */
bool ws_prepare(struct load *load);
void ws_release(void);
uint32_t ws_shapes(const struct load *load);
struct shape *ws_shape(struct load *load, uint32_t index);

/* The request of the handshake; the number of a message, masked. */
const uint8_t *ws_request(size_t *len);
void ws_vary(uint8_t *at, uint32_t index, uint32_t seq);

/* Judges the answer to the handshake.
 *
 * returns  its length; 0: it is not whole; -1: it is wrong, or compression was not agreed on */
int64_t ws_take_head(const struct load *load, const uint8_t *data, size_t len);

/* As http_take_all, for frames. */
int64_t ws_take_all(struct load *load, struct conn *conn, const uint8_t *data, size_t len);

/* Bytes of an answer on the wire, on average over the documents. */
double ws_answer_bytes(void);

/* Takes whole answers of HTTP, each with status 200 and the body "Hello, world!", and keeps the beginning
 * of one that is not whole.
 *
 * returns  how many; -1: one is wrong, or too long */
int64_t http_take_all(struct load *load, struct conn *conn, const uint8_t *data, size_t len);

/* Does what epoll says is possible.
 *
 * returns  how many messages arrived whole */
uint32_t conn_serve(struct load *load, struct conn *conn, uint32_t ready);

/* Opens all connections, a bounded number at a time, within 80 seconds.
 *
 * returns  false: not all are open; said why on standard error */
bool load_open_all(struct load *load);
void load_close_all(struct load *load);

/* The head that the message `seq` of connection `index` carries. */
void load_fill_head(const struct load *load, uint8_t *head, uint32_t index, uint32_t seq);
uint32_t load_be32(const uint8_t *p);

/* Makes the process, which waits; lets it begin; counts what it has done so far; ends it and adds
 * its errors. */
bool handshakers_fork(const struct load *load, struct handshakers *handshakers);
void handshakers_go(struct handshakers *handshakers);
uint64_t handshakers_done(const struct handshakers *handshakers);
void handshakers_end(struct load *load, struct handshakers *handshakers);

/* The modes; each returns false when the measurement is void. */
bool load_run_echo(struct load *load);
bool load_run_rooms(struct load *load);
bool load_run_accepts(struct load *load);
bool load_run_idle(struct load *load);
bool load_run_handshakes(struct load *load);
bool load_run_busy(struct load *load);
bool load_run_broadcast(struct load *load);

#endif
