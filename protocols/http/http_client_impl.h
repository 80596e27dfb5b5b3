/* The inside of the client's side of HTTP.
 *
 * ```text
 * http_client.c          the calls, and what a loop keeps: who is under way, time-outs, who has to be told
 * http_client_call.c     a request, copied; its end; redirects
 * http_client_address.c  connections to one address, kept
 * http_client_send.c     the request's bytes
 * http_client_answer.c   the protocol: the answer's bytes
 * http_client_body.c     what becomes of the answer's body
 * http_client_inflate.c  gzip and deflate                                       [zlib]
 * ```
 *
 * fn, and the end of a pulled body, are told from the loop's own timers only, never from inside a call or a hook. */
#ifndef CW_HTTP_CLIENT_IMPL_H
#define CW_HTTP_CLIENT_IMPL_H

#include "http_parse.h"
#include "http_url.h"

#include <causeway/http_client.h>
#include <causeway/parts.h>
#include <causeway/protocol.h>

enum {
    CW_CALL_TEXT_MAX = 400,
    CW_CALL_BUCKETS = 64,         /* a power of two */
    CW_REDIRECT_BODY_MAX = 65536, /* read to keep the connection; with more it is closed */
};

/* A ring of structs that hold one of these; an empty one, and a member of none, point at themselves. */
struct cw_http_ring {
    struct cw_http_ring *next;
    struct cw_http_ring *prev;
};

#define CW_RING_HOLDER(ring, type, member) ((type *)(void *)((char *)(ring)-offsetof(type, member)))

static inline void cw_http_ring_init(struct cw_http_ring *ring)
{
    ring->next = ring;
    ring->prev = ring;
}

static inline bool cw_http_ring_is_empty(const struct cw_http_ring *ring)
{
    return ring->next == ring;
}

/* Out of the ring it is in, if any. */
static inline void cw_http_ring_leave(struct cw_http_ring *member)
{
    member->prev->next = member->next;
    member->next->prev = member->prev;
    cw_http_ring_init(member);
}

/* In front of `place`: of a whole ring, at its end. */
static inline void cw_http_ring_join(struct cw_http_ring *place, struct cw_http_ring *member)
{
    cw_http_ring_leave(member);
    member->next = place;
    member->prev = place->prev;
    place->prev->next = member;
    place->prev = member;
}

/* ---- a loop's client ---- */

struct cw_http_client {
    struct cw_loop *loop; /* NULL: nothing has been made yet */
    bool stopped;
    struct cw_http_client_options options; /* filled in */
    struct cw_http_ring calls;             /* under way */
    struct cw_http_ring over;              /* to be told */
    struct cw_http_call *by_id[CW_CALL_BUCKETS];
    uint64_t count; /* of both rings */
    int64_t last_id;
    struct cw_timer *soon; /* NULL: nobody has to be told */
    struct cw_timer *tick; /* NULL: nothing is under way */
    struct cw_http_address *addresses;
    uint64_t address_count;
};

/* Somebody has to be told. */
void cw_http_client_wake(struct cw_http_client *client);

/* ---- an address: all that a connection depends on ---- */

struct cw_http_address {
    struct cw_http_address *next;
    struct cw_http_client *client;
    struct cw_pool *pool;
    struct cw_http_ring waiting; /* calls without a connection */
    size_t asked;                /* connections that the pool owes us */
    size_t running;              /* connections that calls have, or have just had */
    uint64_t used_ms;
    uint8_t *key;
    size_t key_len;
    char target[CW_URL_CONNECT_MAX]; /* as cw_connect is told */
    int why_code;                    /* of the last attempt that failed */
    char why[CW_REPORT_TEXT_MAX];
};

struct cw_http_call;
struct cw_http_answer;

/* Has a call wait for a connection to where its URL leads. 0, or an enum cw_error with the words in *why. */
int cw_http_address_join(struct cw_http_call *call, const char **why);

/* The call does not wait any more. */
void cw_http_address_leave(struct cw_http_call *call);

/* What becomes of a connection that a call needs no more. */
enum cw_http_parting { CW_PART_KEEP, CW_PART_CLOSE, CW_PART_ABORT };

void cw_http_address_give_back(struct cw_http_call *call, struct cw_conn *conn,
                               enum cw_http_parting parting);

/* The turn ends: the pool has the connection again. */
void cw_http_address_return(struct cw_http_answer *answer, struct cw_conn *conn);

/* Closes what is kept above addresses_max. */
void cw_http_addresses_trim(struct cw_http_client *client);
void cw_http_addresses_free(struct cw_http_client *client);

/* Why the last attempt failed, told by the hooks. */
void cw_http_address_note(struct cw_http_client *client, const struct cw_error_report *report);

/* ---- a call: one request until its answer ---- */

enum cw_call_phase {
    CW_CALL_WAITING, /* for a connection */
    CW_CALL_RUNNING, /* has one */
    CW_CALL_OVER,    /* has to be told */
};

struct cw_http_keep; /* memory that lives as long as the call */

/* The fields of an answer. */
struct cw_http_headers {
    uint8_t *bytes; /* the head; the lines are offsets into it */
    struct cw_http_line *lines;
    size_t count;
};

/* What is pulled as a body, or sent from memory because it is long. Lives until the connection has let go of it. */
struct cw_http_upload {
    struct cw_http_call *call; /* NULL: that is over */
    uint64_t sent;
    bool chunked;
    bool ended; /* … and the last chunk has been written */
};

struct cw_http_call {
    struct cw_http_ring home; /* of the client's calls, or of those that are over */
    struct cw_http_ring wait; /* of the address's waiting */
    struct cw_http_call *next_by_id;
    struct cw_http_client *client;
    int64_t id;
    enum cw_call_phase phase;
    struct cw_http_request request; /* copied and filled in; all it points to is kept */
    struct cw_tls_options tls;
    struct cw_http_url url; /* views of request.url */
    struct cw_http_keep *memory;
    cw_http_response_fn fn;
    void *user;
    uint64_t began_ms;
    uint64_t deadline_ms; /* CW_NO_LIMIT: none */
    struct cw_http_address *address;
    struct cw_conn *conn;          /* running */
    struct cw_http_upload *upload; /* NULL: none is under way */
    bool sent;                     /* all of the request has been queued or pulled */
    bool pulled_told;
    bool retried;

    /* The answer. */
    struct cw_http_response response;
    struct cw_http_headers headers;
    struct cw_http_inflate *inflate; /* NULL: the body is taken as it comes */
    uint8_t *body;
    size_t body_cap;
    uint64_t decoded; /* bytes of the body so far */
    bool redirects;   /* it leads elsewhere */
    bool rests;       /* on_body wants to rest */
    char text[CW_CALL_TEXT_MAX];
};

/* Copies a request, or says what is wrong with it.
 *
 * returns  0, or CW_EINVAL with *why, or CW_ENOMEM */
int cw_http_call_new(struct cw_http_client *client, const struct cw_http_request *request,
                     struct cw_http_call **call, const char **why);
void cw_http_call_free(struct cw_http_call *call);

/* Ends a call without an answer, whatever its phase; told soon. `words`: why, behind method and URL. */
void cw_http_call_fail(struct cw_http_call *call, int code, const char *words);
void cw_http_call_failf(struct cw_http_call *call, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Its connection has ended, or could not be used. dead: it had been kept, and nothing has come on it. */
void cw_http_call_lost(struct cw_http_call *call, int code, const char *words, bool dead);

/* Its answer is whole, and the connection is not its own any more: tells it, or goes where the redirect leads. */
void cw_http_call_answered(struct cw_http_call *call);

/* Whether this answer is a redirect that will be followed. */
bool cw_http_call_is_redirect(const struct cw_http_call *call, int status);

/* Forgets what has come of an answer. */
void cw_http_call_reset(struct cw_http_call *call);

/* Tells fn, and frees the call. */
void cw_http_call_tell(struct cw_http_call *call);

/* ---- the request's bytes ---- */

/* Sends a call's request; the connection is its own from here on. */
void cw_http_call_send(struct cw_http_call *call, struct cw_conn *conn);

/* Whoever pulls will find nobody any more. */
void cw_http_upload_leave(struct cw_http_call *call);

/* ---- the protocol ---- */

enum cw_http_answer_step {
    CW_ANSWER_HEAD,
    CW_ANSWER_LENGTH,
    CW_ANSWER_CHUNKS,
    CW_ANSWER_TRAILERS,
    CW_ANSWER_UNTIL_END,
    CW_ANSWER_WHOLE
};

/* The state of a connection. */
struct cw_http_answer {
    struct cw_http_call *call;       /* NULL: the connection is kept, or closing */
    struct cw_http_address *returns; /* not NULL: goes back to its pool at the end of the turn */
    uint64_t answers;                /* on this connection so far */
    uint64_t began_ms;
    enum cw_http_answer_step step;
    bool heard; /* a byte of this answer has come */
    bool keep_alive;
    bool cut;       /* the rest of the body is not read */
    uint64_t left;  /* of Content-Length */
    uint64_t raw;   /* bytes of the body before they are decoded */
    size_t interim; /* bytes of 1xx answers so far */
    struct cw_http_scan scan;
    struct cw_http_chunks chunks;
};

extern const struct cw_protocol cw_http_client_protocol;
extern const struct cw_hooks cw_http_client_hooks;

/* The call begins on this connection; or has ended, and the connection knows nobody any more. */
void cw_http_answer_begin(struct cw_conn *conn, struct cw_http_call *call);
void cw_http_answer_forget(struct cw_conn *conn);

/* Bytes that an encoded body may have at most. */
uint64_t cw_http_raw_max(const struct cw_http_call *call);

/* ---- the answer's body ---- */

/* What a body does next. */
enum { CW_BODY_GO = 0, CW_BODY_REST = 1 };

/* Whether a body of this coding is decoded; sets call->inflate. 0, or CW_ENOMEM. */
int cw_http_call_body_begin(struct cw_http_call *call);

/* Takes bytes: decodes, keeps or hands on. CW_BODY_GO, CW_BODY_REST, or an enum cw_error with words in *why. The call may be
 * over when it is back. */
int cw_http_call_body_put(struct cw_http_call *call, struct cw_span bytes, const char **why);

/* Goes on with what was not handed on when on_body wanted to rest. As above. */
int cw_http_call_body_go_on(struct cw_http_call *call, const char **why);

/* All bytes have come. 0, or CW_ETRUNCATED, CW_EPROTO with *why. */
int cw_http_call_body_end(struct cw_http_call *call, const char **why);

/* ---- gzip and deflate ---- */

/* What Accept-Encoding says; NULL: nothing can be decoded in this build. */
extern const char *const cw_http_inflate_offer;

/* A decoder for this coding; *decoder NULL: it is none that is known. 0 or CW_ENOMEM. */
int cw_http_inflate_new(struct cw_span coding, struct cw_http_inflate **decoder);
void cw_http_inflate_free(struct cw_http_inflate *decoder);

/* Gives it bytes, borrowed until the next call. */
void cw_http_inflate_put(struct cw_http_inflate *decoder, struct cw_span bytes);

/* Decodes the next piece. 1: *piece is one; 0: it needs more bytes; CW_EPROTO or CW_ENOMEM. */
int cw_http_inflate_next(struct cw_http_inflate *decoder, struct cw_span *piece);

/* Copies the bytes that it has not looked at, as they will go. 0 or CW_ENOMEM. */
int cw_http_inflate_keep(struct cw_http_inflate *decoder);

/* Whether the coded data may end here. */
bool cw_http_inflate_is_whole(const struct cw_http_inflate *decoder);

#endif
