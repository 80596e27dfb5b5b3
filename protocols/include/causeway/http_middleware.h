/* The contract of HTTP middleware: rules for every request, or for those of a group or route.
 *
 * A middleware is a table of optional functions and a block of its own. There is no `next()`: requests come in the order in
 * which middleware was added (the server's, the group's, the route's), answers and ends in reverse.
 *
 * ```text
 * on_request     the head is there, the route is known, the body is not read yet
 *   handler
 * on_reply       the head of the answer is about to leave
 * on_reply_body  a piece of its body, for those that asked (cw_http_filter_body)
 * on_done        once for each on_request, whatever happened
 * ```
 *
 * on_reply and on_done run for exactly those whose on_request was called, the one that answered included, and for every answer of
 * the exchange: also the framework's own (404, 405, 408, 413, 503) and 101, whose status and body stay. An answer that was made
 * counts, whatever on_request says then; CW_HTTP_ANSWERED without one is 500. The body's limit is judged and `100 Continue` sent
 * behind the last on_request. A middleware serves one place: it is added once. */
#ifndef CAUSEWAY_HTTP_MIDDLEWARE_H
#define CAUSEWAY_HTTP_MIDDLEWARE_H

#include <causeway/http.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What on_request answers. */
enum cw_http_verdict {
    CW_HTTP_NEXT = 0,     /* the next middleware, then the handler */
    CW_HTTP_ANSWERED = 1, /* it has replied: nothing behind it is asked */
    CW_HTTP_LATER = 2,    /* it will reply, or call cw_http_next */
};

/* HTTP middleware: a constant table at the front of a block of its own. Absent functions mean "not interested". Functions run
 * on the loops' threads, several at once with several workers: what self shares is its own to guard. */
struct cw_http_middleware {
    const char *name;
    size_t slot_size; /* zeroed bytes for each exchange: `slot` below, aligned for anything. 0: none */

    /* Called once when the server starts, with what it serves: NULL for the whole server, otherwise the group's prefix or the
     * route's path. 0, or an enum cw_error with a complaint, which stops the start. */
    int (*start)(struct cw_http_middleware *self, struct cw_server *server, const char *prefix);

    /* A request's head. An enum cw_http_verdict. */
    int (*on_request)(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot);

    /* The head of the answer is about to leave: fields may be set, the status asked (cw_http_reply_status) and changed
     * (cw_http_set_status). */
    void (*on_reply)(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot);

    /* Changes a piece of the body on its way out; last: there is no more behind it. *piece: in: what comes; out: what leaves in its
     * place, maybe nothing, borrowed until the next call for this exchange. 0, or an enum cw_error that resets the
     * connection. */
    int (*on_reply_body)(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                         struct cw_span *piece, bool last);

    /* The exchange is over; the slot goes. */
    void (*on_done)(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                    const struct cw_http_outcome *outcome);

    /* The server goes: free self. */
    void (*release)(struct cw_http_middleware *self);

    struct cw_http_middleware *next; /* the server's */
};

/* Goes on behind the middleware `self` that says, or has said, CW_HTTP_LATER: the next one, then the handler; from the loop,
 * never inside of this call.
 *
 * returns  0; CW_ESTATE: it is not self that waits
 * thread   loop thread */
int cw_http_next(struct cw_http_exchange *http, const struct cw_http_middleware *self);

/* Within on_reply: what the answer is as it stands. The length is CW_NO_LIMIT where it is not known. */
int cw_http_reply_status(const struct cw_http_exchange *http);
uint64_t cw_http_reply_length(const struct cw_http_exchange *http);

/* Within on_reply: another status. 200 to 599.
 *
 * returns  0, CW_EINVAL, CW_ESTATE */
int cw_http_set_status(struct cw_http_exchange *http, int status);

/* Within on_reply: has on_reply_body called for this answer. Its length is then unknown, and a strong ETag would be a lie:
 * make it weak. Not for answers without a body.
 *
 * returns  0, CW_ESTATE */
int cw_http_filter_body(struct cw_http_exchange *http);

/* From on_request: limits of this exchange in place of the connection's and the route's. CW_NO_LIMIT and CW_OFF lift them.
 *
 * returns  0, CW_ESTATE: the body has been read already */
int cw_http_set_body_max(struct cw_http_exchange *http, uint64_t bytes);
int cw_http_set_times(struct cw_http_exchange *http, uint64_t body_ms,
                      uint64_t response_ms); /* 0: as it is */

/* From on_request: asks for the whole body before what follows is called, up to the exchange's limit: returns CW_HTTP_LATER,
 * to be returned; when the body is there, on_request is called again and cw_http_body has it. CW_HTTP_NEXT: it is there
 * already. Routes that stream are not for that: CW_HTTP_NEXT, and the body is empty.
 *
 * thread   loop thread */
int cw_http_need_body(struct cw_http_exchange *http);

/* What was found on the way in, for metrics and logs: called for answers that no exchange was made for, because the head was
 * refused (400, 408, 414, 431). Set once for the server; fn runs on the loops' threads.
 *
 * returns  0, CW_ENOMEM, CW_EFULL: 16 are set, CW_ESTATE
 * thread   before it runs */
int cw_http_on_refused(struct cw_server *server,
                       void (*fn)(struct cw_conn *conn, int status, void *user), void *user);

#ifdef __cplusplus
}
#endif

#endif
