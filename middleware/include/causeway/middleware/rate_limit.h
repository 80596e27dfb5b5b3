/* How much one connection may send: messages and bytes per second. */
#ifndef CAUSEWAY_MIDDLEWARE_RATE_LIMIT_H
#define CAUSEWAY_MIDDLEWARE_RATE_LIMIT_H

#include <causeway/middleware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What happens to a message above the rate. A peer of UDP that rests is not slowed down: what it sends meanwhile is dropped, and
 * counted in dropped_paused of struct cw_datagram_stats. */
enum cw_rate_action {
    CW_RATE_PAUSE = 0, /* it is delivered, and reading rests until the rate allows the next */
    CW_RATE_DROP = 1,  /* it is dropped and counted */
    CW_RATE_CLOSE = 2, /* the connection is closed with CW_ERATE */
};

/* Rates of one connection. Zero means the default in every member. With CW_RATE_DROP and CW_RATE_CLOSE a message
 * larger than bytes_burst never passes. With CW_RATE_DROP a message in pieces is judged when it begins, by its
 * total. */
struct cw_rate_limit_options {
    uint64_t messages_per_s; /* 0: no limit */
    uint64_t messages_burst; /* at once after a rest. 0: one second's worth */
    uint64_t bytes_per_s;    /* bodies of messages. 0: no limit */
    uint64_t bytes_burst;    /* 0: one second's worth */
    enum cw_rate_action action;

    /* A connection is at its limit: a place to tell it. Called with the message after which it rests, or with the first that
     * is dropped, before its hook; again only when it has been so quiet that all of its bursts were there once more. Not with
     * CW_RATE_CLOSE: the close says it. NULL: nobody wants to know */
    void (*on_limit)(struct cw_conn *conn, void *user);
    void *user;
};

/* Makes the middleware, for cw_server_use, which takes it over.
 *
 * options  copied; NULL: no limits
 * returns  NULL: memory ran out, or a burst without its rate (logged); cw_server_use keeps that as an error
 * thread   any */
struct cw_conn_middleware *cw_rate_limit(const struct cw_rate_limit_options *options);

#ifdef __cplusplus
}
#endif

#endif
