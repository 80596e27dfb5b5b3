/* A connection over memory: bytes go in cut as the test likes, messages and output come out; no socket, no clock but
 * the rig's own.
 *
 * What the application would see is written down as text, one line an event, so that two runs are compared with
 * one call and an expectation can be read:
 *
 * ```text
 * open
 * binary "hello"
 * begin binary 12
 * chunk "hello, world"
 * end
 * error CW_ETOOBIG: frame of 70000 bytes, limit 65536
 * close CW_ETOOBIG: frame of 70000 bytes, limit 65536
 * ```
 *
 * A message that comes while the connection is paused is told as `while paused: …`, which no expectation has.
 * Each body is overwritten as soon as it has been written down: whoever kept the span keeps rubbish.
 *
 * Of a protocol of datagrams the connection is a peer without a socket. Each rig_put is one datagram, which may be empty; those that
 * wait come in one turn, as a batch from the kernel does. What the peer gets is written down too, one line a datagram:
 *
 * ```text
 * "hello"
 * ""
 * ``` */
#ifndef CAUSEWAY_TESTS_RIG_H
#define CAUSEWAY_TESTS_RIG_H

#include <causeway/protocol.h>

/* Bytes that grow. From malloc, whatever the framework's allocator does. Always followed by a zero byte. */
struct rig_bytes {
    uint8_t *data;
    size_t len;
    size_t cap;
};

void rig_append(struct rig_bytes *bytes, const void *data, size_t len);
void rig_release(struct rig_bytes *bytes);

/* What a hook does at one of its calls. */
enum rig_deed { RIG_NOTHING, RIG_PAUSE, RIG_CLOSE, RIG_ABORT };

/* How pieces are written down: they may be cut differently and mean the same. */
enum rig_merge {
    RIG_EXACT,  /* as they come */
    RIG_CHUNKS, /* CW_CHUNKs that follow each other are one */
    RIG_STREAM, /* all bodies are one: tcp */
};

struct rig_setup {
    const struct cw_protocol *protocol;
    const void *options; /* of the protocol; NULL: its defaults */
    enum cw_role role;
    enum rig_merge merge;
    bool echo;      /* on_data sends back what it gets */
    bool half_open; /* and closes when the peer's input ends */
    size_t take; /* bytes the peer takes in one go. 0: all there are. A longer datagram is CW_ETOOBIG */
    enum rig_deed deed; /* done in the hook call number `deed_at`, */
    size_t deed_at;     /* counted from 1 over on_connection, on_data, on_drain and on_end */
    bool deed_repeats;  /* and in each one after it */
    size_t fail_at; /* number of the allocation that fails, counted from the service on; 0: none.
                                Needs fault_install (support/fault.h) */
    size_t messages_per_turn; /* 0: 1024 */
    size_t out_high;          /* 0: 65536 */
    size_t out_max;           /* 0: 1048576 */
    struct cw_server *server; /* whose parts the protocol finds; started by the caller. NULL: none */
};

struct rig {
    struct cw_conn *conn;    /* NULL: it has ended */
    struct rig_bytes story;  /* see above */
    struct rig_bytes output; /* what the peer got */
    struct rig_bytes sent;   /* the same of datagrams, see above */
    size_t sends;            /* how many */
    size_t hooks;            /* calls so far, as deed_at counts them */
    size_t messages;         /* calls of on_data */
    size_t closes;           /* calls of on_close */
    int code;                /* the last on_close's; 0: it was not called */
    int send_error;          /* the first that the echo got */
    bool stream_closed;
    bool peer_takes; /* false: the peer takes nothing, and datagrams are CW_EFULL. At first true */
    struct rig_inside *inside;
};

/* Opens a connection.
 *
 * returns  yours; NULL: memory ran out or the options are not allowed */
struct rig *rig_new(const struct rig_setup *setup);

/* Ends the connection, if it has not ended, and frees all. Fails the test when on_close came other than once. NULL
 * is allowed. */
void rig_free(struct rig *rig);

/* The peer sends bytes that arrive in one read; then everything that can happen does. */
void rig_feed(struct rig *rig, const void *data, size_t len);

/* The same without letting anything happen: several can wait to be read. */
void rig_put(struct rig *rig, const void *data, size_t len);

/* The peer ends its input. */
void rig_end(struct rig *rig);

/* Lets everything happen that can. */
void rig_run(struct rig *rig);

/* Undoes what RIG_PAUSE did. */
void rig_resume(struct rig *rig);

/* Lets time pass. */
void rig_advance(struct rig *rig, uint64_t ms);

/* The story so far, a C string. */
const char *rig_told(const struct rig *rig);

/* The datagrams that the peer got so far, a C string; and one of them, counted from 0. */
const char *rig_sent(const struct rig *rig);
struct cw_span rig_sent_at(const struct rig *rig, size_t nth);

/* Datagrams that came while the connection was paused. */
uint64_t rig_dropped_paused(const struct rig *rig);

/* The same of those above the protocol's limit. */
uint64_t rig_dropped_long(const struct rig *rig);

/* The hooks alone, for the connections of a real server, one at a time: their `user` is a teller. Of its setup count merge,
 * echo and the deed (none that pauses); of the rig the story and the counters. */
extern const struct cw_hooks rig_hooks;
struct rig *rig_teller_new(const struct rig_setup *setup);
void rig_teller_reset(struct rig *rig); /* between two connections */
void rig_teller_free(struct rig *rig);

#endif
