/* The inside of the server's side of HTTP. */
#ifndef CW_HTTP_IMPL_H
#define CW_HTTP_IMPL_H

#include "http_fallback.h"
#include "http_parse.h"
#include "http_site.h"
#include "http_target.h"

#include <causeway/http_middleware.h>
#include <causeway/parts.h>
#include <causeway/protocol.h>

enum {
    CW_HTTP_FIRST_BLOCK = 2048,   /* memory that each exchange has at hand */
    CW_HTTP_MEMORY_MAX = 1048576, /* what cw_http_alloc gives to one exchange */
    CW_HTTP_FIELDS_BYTES = 65536, /* fields of an answer */
    CW_HTTP_DONE_MAX = 16,        /* cw_http_on_done */
    CW_HTTP_EXCHANGES_KEPT = 256, /* unused ones, of one loop */
    CW_HTTP_ROOM = 4096,          /* of a small body */
    CW_HTTP_ROOMS_KEPT = 256,     /* unused ones, of one loop */
    CW_HTTP_TAILS_KEPT = 256,     /* unused ones, of one loop */
    CW_HTTP_FILE_WHOLE = 32768,   /* a file this small is read and sent with its head */
    CW_HTTP_DATE_LINE = 37,       /* "Date: …\r\n" */
};

static const char cw_http_crlf[2] = {'\r', '\n'};

/* ---- of a loop ---- */

struct cw_http_exchange;
struct cw_http_memo;

/* What few connections need. */
struct cw_http_tail {
    struct cw_http_shared *shared;
    struct cw_http_tail *next;         /* unused */
    struct cw_http_scan scan;          /* of a head that has come in part */
    struct cw_http_fallback *fallback; /* NULL: 404 */
};

struct cw_http_shared {
    struct cw_http_tail
        none; /* the tail of all connections that need none: nothing but `shared` is ever set */
    struct cw_http_tail *tails; /* unused */
    size_t tails_count;
    struct cw_http_exchange *unused;
    size_t unused_count;
    struct cw_http_room *rooms; /* unused; bodies that come cut use them again */
    size_t rooms_count;
    struct cw_http_site *site;  /* NULL: none */
    struct cw_http_memo *memos; /* NULL: none yet */
    bool made;
    uint64_t date_ms; /* of the loop's clock, when the date was looked at */
    int64_t date_s;
    char date[CW_HTTP_DATE_LINE + 1];
    uint64_t now_ns;                  /* the clock, read in this on_bytes; 0: not yet */
    uint64_t serial;                  /* of the last exchange: its ids */
    uint64_t bodies;                  /* bytes of whole bodies */
    uint8_t *file;                    /* CW_HTTP_FILE_WHOLE; NULL: not needed yet */
    const struct cw_http_conn *armed; /* the one that has set its deadline last, */
    uint64_t armed_ms;                /* and when */
};

/* ---- of a connection ---- */

/* What its one deadline is for. */
enum cw_http_wait {
    CW_WAIT_NOTHING,
    CW_WAIT_FIRST, /* nothing has come yet */
    CW_WAIT_HEAD,
    CW_WAIT_BODY,
    CW_WAIT_ANSWER,
    CW_WAIT_NEXT, /* between requests */
    CW_WAIT_EVENT,
};

/* Idle ones are many: 24 bytes, as much as others keep behind the connection. */
struct cw_http_conn {
    struct cw_http_exchange *exchange; /* NULL: between requests */
    struct cw_http_tail *tail;         /* never NULL while it is open */
    uint32_t number;                   /* requests so far */
    uint8_t waits;                     /* enum cw_http_wait */
    bool in_bytes;       /* on_bytes is running: it looks after the exchange when it is back */
    bool held;           /* by us */
    bool last : 1;       /* no request is taken any more */
    bool head_begun : 1; /* its deadline runs */
    bool switched : 1;   /* another protocol takes over */
    bool stopping : 1;   /* the server is: the next answer is the last one */
    bool trusted : 1;    /* what the peer says of others is believed */
};

/* ---- of an exchange ---- */

struct cw_http_block {
    struct cw_http_block *next;
    size_t cap;
    max_align_t bytes[];
};

/* A field of the answer: `Name: value\r\n`, ready to be copied. */
struct cw_http_reply_line {
    struct cw_http_reply_line *next;
    uint32_t name_len;
    uint32_t len; /* all of it */
    char text[];
};

struct cw_http_value_entry {
    struct cw_http_value_entry *next;
    const char *name;
    void *value;
    void (*drop)(void *value);
};

struct cw_http_done_entry {
    struct cw_http_done_entry *next;
    void (*fn)(struct cw_http_exchange *http, const struct cw_http_outcome *outcome, void *user);
    void *user;
};

/* Where a request stands on its way to the handler. */
enum cw_http_stage {
    CW_STAGE_CHAIN,        /* in the middleware */
    CW_STAGE_LATER,        /* a middleware will go on */
    CW_STAGE_CHAIN_BODY,   /* a middleware wants the body first */
    CW_STAGE_HANDLER_BODY, /* the handler does */
    CW_STAGE_HANDLED,      /* somebody answers, or has */
};

enum cw_http_body_state {
    CW_BODY_NONE,    /* there is none, or it has been read */
    CW_BODY_UNREAD,  /* nobody has asked yet */
    CW_BODY_COLLECT, /* into one piece */
    CW_BODY_STREAM,  /* to body_fn */
    CW_BODY_DISCARD, /* the answer has left; the rest is read for nothing */
};

enum cw_http_reply_state {
    CW_REPLY_NONE,
    CW_REPLY_HEAD,   /* middleware is looking at it */
    CW_REPLY_OPEN,   /* its body comes with cw_http_send */
    CW_REPLY_ENDING, /* all has been handed over; some of it waits for room */
    CW_REPLY_SOURCE, /* its body is pulled */
    CW_REPLY_DONE,
};

struct cw_http_request_body {
    uint8_t state; /* enum cw_http_body_state */
    bool whole;    /* the last byte has come */
    bool paused;
    bool viewed; /* `bytes` is a view of the input */
    bool collected;
    bool continued; /* 100 has been sent */
    uint64_t max;
    uint64_t left; /* of a length that was told */
    uint64_t seen; /* bytes of it so far */
    uint64_t discarded;
    uint64_t waited_ms;
    uint64_t since_ms; /* the last byte, or the begin */
    uint64_t body_ms;
    uint8_t *bytes; /* collected */
    size_t len;
    size_t cap; /* 0: not ours */
    cw_http_body_fn fn;
    void *user;
};

/* Between the queue and whoever has the bytes: filters, chunks. Lives in the exchange. */
struct cw_http_pull {
    struct cw_http_exchange *x;
    cw_source_fn pull;
    cw_source_done_fn done;
    void *user;
    uint64_t left;       /* of the length that was told; CW_NO_LIMIT: until the end */
    struct cw_span rest; /* what the filters gave and has not left yet */
    uint8_t *room;       /* PULL_ROOM, for filters. NULL: none */
    bool chunked;
    bool drained; /* pull has said 0 */
    bool ended;   /* the last chunk has left */
};

/* Of a body in chunks alone; zero from the begin of the body on. */
struct cw_http_chunked {
    struct cw_http_chunks chunks;
    struct cw_http_scan scan; /* of the trailers */
    struct cw_http_head trailers;
    const uint8_t *trailer_data;
};

struct cw_http_answer {
    uint8_t state; /* enum cw_http_reply_state */
    bool chunked;
    bool pushed;  /* with cw_http_begin */
    bool no_body; /* HEAD, 204, 205, 304 */
    bool filtered;
    bool close; /* behind it */
    bool is_events;
    bool drain_wanted;
    uint16_t status;
    const char *type; /* while its head is made */
    uint64_t length;  /* of what is sent; CW_NO_LIMIT: unknown */
    uint64_t told;    /* to cw_http_begin, before filters */
    uint64_t given;   /* of that, with cw_http_send */
    uint64_t sent;    /* body bytes queued, behind the filters and without chunks */
    struct cw_http_reply_line *fields;
    size_t fields_bytes;
    struct cw_http_reply_line *trailers;
    uint32_t *filters; /* links that filter, innermost first */
    size_t filter_count;
    uint8_t *backlog; /* what the queue had no room for */
    size_t backlog_len;
    size_t backlog_cap;
    struct cw_http_pull *pull;
    cw_http_fn on_drain;
    void *drain_user;
    bool source_over;
    uint64_t heartbeat_ms; /* of a stream of events */
};

struct cw_http_exchange {
    struct cw_http_exchange *next; /* unused */
    size_t lines_cap;
    uint8_t *at; /* free memory in the block under way */
    uint8_t *end;
    struct cw_http_block *blocks;
    size_t memory; /* taken with cw_http_alloc and by us, in blocks */

    /* From here on zero at first. */
    struct cw_conn *conn;
    struct cw_http_conn *http;
    struct cw_http_shared *shared;
    const struct cw_http_options *options;
    uint64_t number;   /* of its connection */
    uint64_t serial;   /* of its loop: never used twice */
    uint64_t began_ns; /* 0: nobody asks how long it took */
    const uint8_t *head_data;
    size_t head_len;
    struct cw_span host;
    uint16_t port;                 /* beside it; 0: none */
    struct cw_http_origin *origin; /* NULL: the peer itself */
    uint8_t *slots;
    uint32_t link;       /* the middleware under way */
    uint32_t reply_link; /* the one whose on_reply runs */
    uint32_t entered;    /* so many on_request have been called */
    uint8_t stage;
    bool detached; /* no views of the input are left */
    bool matched;  /* the route is known already */
    bool over;
    bool in_page;
    bool next_asked; /* cw_http_next, by the middleware under way */
    bool switches;   /* it may be answered with 101 */
    bool id_taken;
    int error_status;
    const char *error_text;
    int end_code;
    uint64_t response_ms;
    struct cw_http_value_entry *values;
    struct cw_http_done_entry *done;
    size_t done_count;
    struct cw_http_request_body body;
    struct cw_http_answer answer;
    /* Set before they are looked at. */
    struct cw_http_head head;
    struct cw_http_target target;
    struct cw_http_chunked chunked;
    struct cw_http_match match;
    max_align_t first[CW_HTTP_FIRST_BLOCK / sizeof(max_align_t)];
    struct cw_http_line lines[];
};

/* http_exchange.c */
extern const struct cw_loop_part cw_http_loop_part;
struct cw_http_exchange *cw_http_exchange_new(struct cw_conn *conn, struct cw_http_conn *http);
void cw_http_exchange_free(struct cw_http_exchange *x);          /* without telling anybody */
void cw_http_exchange_end(struct cw_http_exchange *x, int code); /* tells everybody, and frees it */
void cw_http_exchange_time(struct cw_http_exchange *x); /* somebody wants to know how long it takes */
void *cw_http_take(struct cw_http_exchange *x,
                   size_t size); /* as cw_http_alloc, not zeroed, not counted */
/* Memory for a body of so many bytes at least; *cap becomes what it holds. */
uint8_t *cw_http_body_room(struct cw_http_exchange *x, size_t *cap);
bool cw_http_detach(struct cw_http_exchange *x); /* copies what the input holds. False: no memory */

/* Has the end of the exchange looked at when nobody is inside of it any more. */
void cw_http_settle_soon(struct cw_http_exchange *x);

/* http_tail.c. Each of the first two takes a tail of the connection's own when it is needed; false: no memory. */
bool cw_http_keep_scan(struct cw_http_conn *http, const struct cw_http_scan *scan);
bool cw_http_keep_fallback(struct cw_http_conn *http, struct cw_http_fallback *fallback);
void cw_http_forget_scan(struct cw_http_conn *http); /* the head is whole, or there will be none */
void cw_http_tail_release(struct cw_http_conn *http);
void cw_http_tails_free(struct cw_http_shared *shared);

/* http_memo.c */
const struct cw_http_memo *cw_http_memo_find(struct cw_http_shared *shared,
                                             const struct cw_http_options *options,
                                             const uint8_t *data, size_t len);
size_t cw_http_memo_len(const struct cw_http_memo *memo);
bool cw_http_memo_recall(const struct cw_http_memo *memo, struct cw_http_exchange *x,
                         const uint8_t *data); /* false: no memory */
void cw_http_memo_remember(struct cw_http_exchange *x);

/* http_protocol.c: sets the one deadline. */
void cw_http_wait_for(struct cw_conn *conn, struct cw_http_conn *http, enum cw_http_wait what,
                      uint64_t ms);

/* http_chain.c */
void cw_http_begin_chain(struct cw_http_exchange *x);
void cw_http_body_is_whole(struct cw_http_exchange *x); /* a collected one */
void cw_http_go_on(
    struct cw_http_exchange *x); /* behind a middleware that has waited, if it said so */
static inline void *cw_http_slot(const struct cw_http_exchange *x, size_t link)
{
    return x->slots + x->match.chain->links[link].slot;
}

/* http_body.c */
bool cw_http_has_body(const struct cw_http_exchange *x);
void cw_http_begin_body(struct cw_http_exchange *x,
                        enum cw_http_body_state state); /* says 100 if need be */
ptrdiff_t cw_http_take_body(struct cw_http_exchange *x, const uint8_t *data, size_t len);
bool cw_http_wants_input(const struct cw_http_exchange *x);
int cw_http_body_late(struct cw_http_exchange *x); /* its deadline has passed */

/* http_reply.c: judges and begins an answer, asks the middleware, frames it, and sends its head. */
int cw_http_start_reply(struct cw_http_exchange *x, int status, const char *type, uint64_t length);
void cw_http_frame_reply(struct cw_http_exchange *x);
int cw_http_write_head(struct cw_http_exchange *x, struct cw_span body);
struct cw_span cw_http_date_line(struct cw_http_exchange *x);
int cw_http_check_field(const char *name, const char *value);
void cw_http_reply_is_over(struct cw_http_exchange *x);
int cw_http_append_line(struct cw_http_exchange *x, struct cw_http_reply_line **list,
                        const char *name, const char *value); /* judged by the caller */
/* What a reply returns: an error but CW_ECLOSED resets the connection. */
int cw_http_judge_reply(struct cw_http_exchange *x, int error);
static inline bool cw_http_may_reply(const struct cw_http_exchange *x)
{
    return !x->over && x->answer.state == CW_REPLY_NONE;
}
bool cw_http_runs_filters(struct cw_http_exchange *x, struct cw_span in, bool last,
                          struct cw_span *out, int *error);

/* http_events.c: the deadline of a stream, from now; and what is sent when it has passed. */
void cw_http_events_wait(struct cw_http_exchange *x);
void cw_http_events_heartbeat(struct cw_http_exchange *x);

/* http_send.c */
int cw_http_emit(struct cw_http_exchange *x, const struct cw_span *parts, size_t count);
int cw_http_on_writable(struct cw_http_exchange *x);

/* http_pull.c. The pull lives in the exchange; cw_http_follow sends it behind a head that has left. NULL, < 0: no memory, or
 * closed. */
struct cw_http_pull *cw_http_make_pull(struct cw_http_exchange *x, cw_source_fn pull,
                                       cw_source_done_fn done, void *user);
int cw_http_follow(struct cw_http_exchange *x, struct cw_http_pull *pull, uint64_t wire_length);
int cw_http_send_large(struct cw_http_exchange *x, struct cw_span body);

/* http_error.c: answers a head that makes no exchange, and says with which code the connection ends. */
int cw_http_refuse(struct cw_conn *conn, struct cw_http_conn *http, int status, const char *why);

/* http_settings.c, http_later.c … are behind the public headers. */
static inline struct cw_span cw_http_nothing(void)
{
    return (struct cw_span){NULL, 0};
}

#endif
