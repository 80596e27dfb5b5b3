/* HTTP/1.1 and 1.0, the server's side: routes, requests, replies.
 *
 * ```text
 * static void hello(struct cw_http_exchange *http, void *user) { cw_http_reply_text(http, 200, "Hello, world!"); }
 *
 * struct cw_server *server = cw_create_server(&cw_http);
 * cw_http_route(server, "GET /", hello, NULL);
 * cw_server_listen(server, &(struct cw_listen_options){.port = 8080});
 * return cw_server_main(server);
 * ```
 *
 * An exchange is one request and its answer. A handler answers before it returns, or takes the exchange's cw_http_id and answers
 * later, from a timer or another thread; one that does neither is answered with 500. One connection has one exchange at a time;
 * requests behind it wait unread (in_max_bytes bounds them) and are answered in their order.
 *
 * A `struct cw_http_exchange *` is good until the exchange is done. It is never done inside a call of this header: at the earliest
 * when the handler, hook, timer or post that answered has returned. Until then calls are allowed and answer CW_ESTATE. Spans that
 * its functions return are views: good until the function that asked for them (a handler, a hook, a timer) has returned. Whoever
 * answers later asks again, or copies. At the end come, in this order: the source's `done`, functions of cw_http_on_done (the last one
 * first), on_done of middleware in reverse, values, memory; the request may be read in them.
 *
 * When the server stops, idle connections close, streams of events end, other exchanges have drain_ms; each answer says
 * `Connection: close`.
 *
 * Spans whose `data` is NULL mean "not there"; an empty value has data and len 0.
 *
 * Routes, middleware and error pages belong to the server and serve all its listeners that speak HTTP. They are set
 * before it runs. As with all set-up calls the server keeps the first error. */
#ifndef CAUSEWAY_HTTP_H
#define CAUSEWAY_HTTP_H

#include <causeway/http_fields.h>
#include <causeway/server.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cJSON;
struct cw_http_exchange;
struct cw_http_group;
struct cw_http_middleware;
struct cw_service_ref;

/* The protocol. */
extern const struct cw_protocol cw_http;

/* Whose word counts behind trusted proxies. A proxy sets one kind and passes the other through as the client wrote it, so only
 * one is ever looked at. */
enum cw_http_forwarded {
    CW_HTTP_X_FORWARDED = 0,      /* X-Forwarded-For, X-Forwarded-Proto */
    CW_HTTP_X_FORWARDED_HOST = 1, /* and X-Forwarded-Host */
    CW_HTTP_FORWARDED = 2,        /* Forwarded (RFC 7239) */
    CW_HTTP_NOT_FORWARDED = 3,    /* none: the peer itself */
};

/* Limits and times of one connection and its requests. Zero means the default in every member; CW_NO_LIMIT and CW_OFF
 * lift one. */
struct cw_http_options {
    uint64_t head_max_bytes; /* request line and fields together; above: 431. 0: 16384 */
    uint64_t fields_max; /* fields of a head, and of trailers; above: 431. 0: 100; at most 1000 */
    uint64_t target_max_bytes; /* of the request line; above: 414. 0: 8192 */
    uint64_t body_max_bytes; /* above: 413, at the head or at the chunk. A route may say another. 0: 1048576 */
    uint64_t head_ms; /* from a request's first byte to the end of its head; above: 408. 0: 10000 */
    uint64_t body_ms; /* without a byte of a body that is waited for; above: 408. 0: 30000 */
    uint64_t body_rate_min; /* bytes per second, on average behind the first body_ms; below: 408. 0: 100; CW_OFF */
    uint64_t keep_alive_ms; /* between requests, then it is closed without a word. 0: 60000; CW_OFF: closed behind each
                                    answer */
    uint64_t requests_max; /* of one connection, then `Connection: close`. 0: 100000 */
    uint64_t response_ms; /* from the end of a request to the head of its answer; above: 503. A route may say another. 0: 60000 */
    uint64_t bodies_max_bytes; /* whole bodies that one loop holds at once; above: 503. 0: 268435456 */
    enum cw_http_forwarded forwarded; /* which fields of a trusted proxy count */
    uint64_t discard_max_bytes; /* of a body nobody wanted, read so that the connection lives on; above, it is closed.
                                    0: 65536; CW_OFF */
    const char *
        site; /* serves groups of that site and no others; see struct cw_http_group_options. NULL: those
                                    without one. Copied */
    const char *
        cors_origin; /* what the middleware cw_http_cors(NULL) allows: "*", or origins parted by spaces or commas.
                                    NULL: none. Copied */
    const char *server_name; /* the field `Server`. NULL: none is sent. Copied */
};

/* Sets the options of a server made with cw_create_server(&cw_http).
 *
 * options  copied
 * returns  0; CW_EINVAL: cw_server_error names the member; CW_ESTATE
 * thread   before it runs */
int cw_http_configure(struct cw_server *server, const struct cw_http_options *options);

/* A service with options, for a listener beside others. They are borrowed until the call that takes the service returns.
 *
 * thread   any */
struct cw_service cw_http_service(const struct cw_http_options *options,
                                  const struct cw_hooks *hooks, void *user);

/* ---- routes ---- */

/* Answers a request, at once or later. Runs on the loop's thread. user: of the route. */
typedef void (*cw_http_fn)(struct cw_http_exchange *http, void *user);

/* Adds a route.
 *
 * pattern  method and path: `GET /users/:id`. Methods may be several (`GET|PUT /x`), of one's own (`PURGE /x`) or any
 *          (`* /x`). In the path, between slashes: a literal; `:name`, any one segment; `:name<int>`, one of a kind (int,
 *          alpha, alnum, hex, slug, uuid); `:name?`, may be missing, last only; `*name`, the rest, last only, may be
 *          empty. The most specific that has the method wins: literal, then constrained, then `:name`, then `*name`, segment
 *          by segment. `/users` and `/users/` are two paths. GET also answers HEAD, unless there is a route for that; OPTIONS
 *          and 405 with Allow are answered without a route
 * returns  0; CW_EINVAL: the pattern is none, or is there already (cw_server_error names both); CW_ENOMEM; CW_ESTATE
 * thread   before it runs
 * see      docs/http-routes.md */
int cw_http_route(struct cw_server *server, const char *pattern, cw_http_fn fn, void *user);

/* What one route does differently. Zero means: as the connection's options say. */
struct cw_http_route_options {
    bool stream; /* fn is called behind the head; it asks for the body with cw_http_read_body, piece by piece.
                                  false: fn is called when the whole body is there (cw_http_body) */
    uint64_t body_max_bytes;               /* CW_NO_LIMIT, for those that stream */
    uint64_t response_ms;                  /* CW_OFF: as long as it takes */
    struct cw_http_middleware *const *use; /* for this route alone, behind the group's. NULL: none */
    size_t use_count; /* a NULL among them is CW_ENOMEM, kept as the server's error */
    void (*drop)(
        void *user);  /* the route's user, when the server goes or the call fails. NULL: not ours */
    const char *name; /* for metrics, logs and the listing. NULL: the pattern. Copied */
};

/* The same with options.
 *
 * options  copied; the middleware is taken over, whatever is returned. NULL: the defaults
 * returns  as cw_http_route
 * thread   before it runs */
int cw_http_route_with(struct cw_server *server, const char *pattern, cw_http_fn fn, void *user,
                       const struct cw_http_route_options *options);

/* Adds middleware for every request, also those that no route answers, behind what was added before
 * (causeway/http_middleware.h, causeway/middleware/).
 *
 * middleware  the server owns it from here, whatever is returned
 * returns     0; CW_ENOMEM: middleware is NULL; CW_ESTATE
 * thread      before it runs */
int cw_http_use(struct cw_server *server, struct cw_http_middleware *middleware);

/* Where a group's routes are served. Zero means "everywhere". */
struct cw_http_group_options {
    const char *
        host; /* only for this name in Host: `api.example`, `*.example` (one label or more). Copied */
    const char *
        site; /* only on listeners whose cw_http_options.site says the same: an inner port, say. Copied */
};

/* Makes a group: routes with a common prefix and middleware of their own.
 *
 * prefix   begins with a slash, may hold parameters, does not end in a slash; "" or "/": none
 * options  copied. NULL: the server's own host and site
 * returns  the server's, good as long as it; NULL: not allowed or no memory (the server keeps the error, and every call
 *          below accepts NULL)
 * thread   before it runs */
struct cw_http_group *cw_http_group(struct cw_server *server, const char *prefix,
                                    const struct cw_http_group_options *options);

/* A group inside of a group: its prefix and its middleware come first. NULL as for cw_http_group.
 *
 * thread   before it runs */
struct cw_http_group *cw_http_group_in(struct cw_http_group *group, const char *prefix);

/* The server that a group belongs to; NULL for NULL.
 *
 * thread   any */
struct cw_server *cw_http_group_server(const struct cw_http_group *group);

/* As cw_http_route_with and cw_http_use, for a group; options may be NULL. The path `/` is the prefix itself: `GET /` in the
 * group `/users` answers `/users`. A group's middleware runs for requests that one of its routes answers, or would with another
 * method, and for any below its prefix that no route has; of groups with the same prefix that of the first.
 *
 * returns  as those, and CW_EINVAL: group is NULL
 * thread   before it runs */
int cw_http_group_route(struct cw_http_group *group, const char *pattern, cw_http_fn fn, void *user,
                        const struct cw_http_route_options *options);
int cw_http_group_use(struct cw_http_group *group, struct cw_http_middleware *middleware);

/* Has fn make the answer wherever one with this status is made without a handler, or by cw_http_reply_error: a page for
 * 404. fn answers with a status of its choice; cw_http_error_status and cw_http_error_text tell what it is about. If it
 * does not answer, the plain answer follows. A head that is refused makes no exchange: it is answered plainly
 * (cw_http_on_refused).
 *
 * status   400 to 599; 0: all that have none of their own
 * returns  0, CW_EINVAL, CW_ENOMEM, CW_ESTATE
 * thread   before it runs */
int cw_http_set_error_page(struct cw_server *server, int status, cw_http_fn fn, void *user);

/* One route, for listings. The texts are good as long as the server. */
struct cw_http_route_info {
    const char *method; /* "*": any */
    const char *path;   /* with the group's prefix */
    const char *name;
    const char *host; /* NULL: any */
    const char *site; /* NULL: none */
};

/* Calls fn for each route, in the order in which they were added. Returns how many.
 *
 * thread   any while it runs */
size_t cw_http_each_route(const struct cw_server *server,
                          void (*fn)(const struct cw_http_route_info *route, void *user),
                          void *user);

/* ---- the request ---- */

/* The method as it came: methods are case-sensitive (RFC 9110 §9.1). A HEAD is told as HEAD. */
struct cw_span cw_http_method(const struct cw_http_exchange *http);

/* The path: decoded, without `.` and `..`, with one slash where there were several. An encoded slash stays `%2F`; a path that
 * climbs above the root, or holds a zero byte or half an escape has been answered with 400. Ends with a zero byte that
 * does not count. */
struct cw_span cw_http_path(const struct cw_http_exchange *http);

/* The target as it came, the query with it. */
struct cw_span cw_http_target(const struct cw_http_exchange *http);

/* The query as it came, without the question mark; data NULL: there is none. */
struct cw_span cw_http_query_string(const struct cw_http_exchange *http);

/* The first parameter of that name in the query, decoded (`+` is a space). For all of them: cw_http_form_next. */
struct cw_span cw_http_query(struct cw_http_exchange *http, const char *name);

/* What the route's `:name` or `*name` stands for: a piece of cw_http_path, not decoded again. Ends with a zero byte that does not
 * count. */
struct cw_span cw_http_param(const struct cw_http_exchange *http, const char *name);

/* The value of the first field of that name, whatever its case, without space around it. */
struct cw_span cw_http_field(const struct cw_http_exchange *http, const char *name);

/* The next field of that name, for those that may come several times. *at: 0 at first. */
struct cw_span cw_http_field_next(const struct cw_http_exchange *http, const char *name, size_t *at);

/* All values of that name as one list, joined by ", " (RFC 9110 §5.2). */
struct cw_span cw_http_field_list(struct cw_http_exchange *http, const char *name);

/* Field number `index`, in the order in which they came. False: there is none. */
bool cw_http_field_at(const struct cw_http_exchange *http, size_t index, struct cw_span *name,
                      struct cw_span *value);

/* The value of a cookie, as it came. Of several of one name the first. */
struct cw_span cw_http_cookie(const struct cw_http_exchange *http, const char *name);

/* Host of the request (RFC 9112 §3.2): its name without the port; IPv6 in brackets. Behind a trusted proxy, the one that
 * the proxy was asked for. HTTP/1.0 may have none: data NULL. */
struct cw_span cw_http_host(const struct cw_http_exchange *http);

/* The port that stands beside it; 0: none does, so it is the one of the scheme. */
uint16_t cw_http_port(const struct cw_http_exchange *http);

/* "https" or "http": what the client spoke; behind a trusted proxy, what it says. */
const char *cw_http_scheme(const struct cw_http_exchange *http);

/* 10 or 11, as in HTTP/1.1. */
int cw_http_version(const struct cw_http_exchange *http);

/* The client: the peer, or behind trusted proxies (cw_server_options.trusted_proxies) the last address in Forwarded or
 * X-Forwarded-For that is not one of theirs. */
const struct cw_address *cw_http_client(const struct cw_http_exchange *http);

/* The connection; NULL never. Writing to it breaks the protocol; its id, peer and TLS may be asked. */
struct cw_conn *cw_http_conn(const struct cw_http_exchange *http);
struct cw_server *cw_http_server(const struct cw_http_exchange *http);
struct cw_loop *cw_http_loop(const struct cw_http_exchange *http);

/* The options of its connection, with the defaults filled in. */
const struct cw_http_options *cw_http_options_of(const struct cw_http_exchange *http);

/* Name of the route that answers; NULL: none does. */
const char *cw_http_route_name(const struct cw_http_exchange *http);

/* ---- the body ---- */

/* The whole body, for routes that do not stream; len 0: none. */
struct cw_span cw_http_body(const struct cw_http_exchange *http);

/* What Content-Length says; CW_NO_LIMIT: chunked; 0: there is no body. */
uint64_t cw_http_body_length(const struct cw_http_exchange *http);

/* A trailer field, once the body has ended. */
struct cw_span cw_http_trailer(const struct cw_http_exchange *http, const char *name);

/* A piece of the body, good until it returns. last: the body has ended; the piece is empty then. */
typedef void (*cw_http_body_fn)(struct cw_http_exchange *http, struct cw_span piece, bool last,
                                void *user);

/* Asks for the body of a route that streams; a client that waits for `100 Continue` is told now. fn is called from the loop,
 * never from inside this call, until its last piece; not any more when the exchange is done before. While what the exchange
 * sends waits above out_high, no more is read.
 *
 * returns  0; CW_ESTATE: not a route that streams, or asked for already
 * thread   loop thread */
int cw_http_read_body(struct cw_http_exchange *http, cw_http_body_fn fn, void *user);

/* Rests with the body, and goes on. They do not count.
 *
 * thread   loop thread */
void cw_http_pause_body(struct cw_http_exchange *http);
void cw_http_resume_body(struct cw_http_exchange *http);

/* ---- the answer: its head ---- */

/* Sets a field of the answer; one of that name is replaced; NULL takes it away. Fields that frame the message
 * (Content-Length, Transfer-Encoding, Connection, Keep-Alive, Trailer) and Date are the framework's own. Upgrade may be set for a
 * status of 400 and above (426).
 *
 * returns  0; CW_EINVAL: not a name, a value with control characters, or the framework's own; CW_ETOOBIG: above 65536
 *          bytes together; CW_ESTATE: the head has left; CW_ENOMEM
 * thread   loop thread */
int cw_http_set_field(struct cw_http_exchange *http, const char *name, const char *value);

/* Adds one beside those of that name; NULL adds none. Returns and thread as above. */
int cw_http_add_field(struct cw_http_exchange *http, const char *name, const char *value);

/* The same as cw_http_set_field, as printf does it. */
int cw_http_set_fieldf(struct cw_http_exchange *http, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The value of a field of the answer as it stands. */
struct cw_span cw_http_reply_field(const struct cw_http_exchange *http, const char *name);

/* Adds a name to a list field of the answer, unless it is there: `Vary: Origin`.
 *
 * returns, thread  as cw_http_set_field */
int cw_http_add_to_list(struct cw_http_exchange *http, const char *name, const char *token);

/* How a cookie is kept. Zero: until the browser ends, for this host and every path, not for scripts, with top-level
 * navigation from elsewhere only, and over TLS only if the request came so. */
struct cw_http_cookie_options {
    uint64_t max_age_s;    /* 0: until the browser ends; CW_OFF: take the cookie away */
    const char *path;      /* NULL: "/" */
    const char *domain;    /* NULL: this host alone */
    const char *same_site; /* "Strict", "Lax", "None" (then Secure too). NULL: "Lax" */
    bool for_scripts;      /* without HttpOnly */
    bool secure;           /* Secure, whatever the request came over */
    bool not_secure;       /* never Secure */
};

/* Adds a cookie (Set-Cookie, RFC 6265 §4.1).
 *
 * options  NULL: the defaults
 * returns  as cw_http_set_field; CW_EINVAL also: not a cookie's name, value, path or domain, or a __Host- or __Secure- cookie
 *          whose options it forbids
 * thread   loop thread */
int cw_http_set_cookie(struct cw_http_exchange *http, const char *name, const char *value,
                       const struct cw_http_cookie_options *options);

/* Has the answer saved as a file of that name (Content-Disposition, RFC 6266).
 *
 * filename  UTF-8; slashes and control characters in it become `_`
 * returns   as cw_http_set_field
 * thread    loop thread */
int cw_http_set_download(struct cw_http_exchange *http, const char *filename);

/* ---- the answer, whole ---- */

/* All of these answer an exchange once.
 *
 * status   200 to 599. With 204, 205 and 304 no body is sent, for HEAD none either, but its length is told
 * type     Content-Type; NULL: as set with cw_http_set_field, or none
 * body     borrowed for the call
 * returns  0; CW_ESTATE: it has been answered already; CW_EINVAL: not a status, or type is none; CW_ENOMEM: the connection is
 *          closed; CW_ECLOSED: the peer is gone
 * thread   loop thread. Calls no hook; middleware sees the answer from inside the call */
int cw_http_reply(struct cw_http_exchange *http, int status, const char *type, struct cw_span body);
int cw_http_reply_text(struct cw_http_exchange *http, int status,
                       const char *text); /* text/plain; charset=utf-8 */
int cw_http_reply_html(struct cw_http_exchange *http, int status,
                       const char *html); /* text/html; charset=utf-8 */
int cw_http_replyf(struct cw_http_exchange *http, int status, const char *type, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));
int cw_http_reply_empty(struct cw_http_exchange *http, int status);

/* Prints a cJSON value. json: borrowed. CW_EINVAL: cJSON could not print it. */
int cw_http_reply_json(struct cw_http_exchange *http, int status, const struct cJSON *json);

/* Bytes that many answers share, not copied. payload: a hold of its own is taken. */
int cw_http_reply_payload(struct cw_http_exchange *http, int status, const char *type,
                          struct cw_payload *payload);

/* An error as text, as JSON where the request asks for that, or as the page set for it.
 *
 * status   400 to 599
 * text     a sentence for people; NULL: the status's own words */
int cw_http_reply_error(struct cw_http_exchange *http, int status, const char *text);

/* 301, 302, 303, 307 or 308. location: a target or URL; checked for characters it must not have. */
int cw_http_redirect(struct cw_http_exchange *http, int status, const char *location);

/* A range of an open file, sent by the kernel where it can. range->fd is duplicated. CW_EDESCRIPTORS: nothing has been answered. */
int cw_http_reply_file(struct cw_http_exchange *http, int status, const char *type,
                       const struct cw_file_range *range);

/* Bytes that are pulled as the peer takes them; len CW_NO_LIMIT: until pull says 0. See cw_conn_send_source; done may be
 * NULL, and is called once, also when an error is returned. cw_http_source_ready: pull, that said CW_EAGAIN, has bytes. */
int cw_http_reply_source(struct cw_http_exchange *http, int status, const char *type, uint64_t len,
                         cw_source_fn pull, cw_source_done_fn done, void *user);
void cw_http_source_ready(struct cw_http_exchange *http);

/* ---- the answer, in pieces ---- */

/* Begins an answer whose body follows with cw_http_send.
 *
 * length   of the body; CW_NO_LIMIT: unknown: chunked for HTTP/1.1, until the connection ends for 1.0
 * returns  as cw_http_reply
 * thread   loop thread */
int cw_http_begin(struct cw_http_exchange *http, int status, const char *type, uint64_t length);

/* Sends the next piece. Copied.
 *
 * returns  0; 1: sent, and the queue is above out_high: wait for on_drain; CW_EFULL: no room now, nothing was sent;
 *          CW_ETOOBIG: more than the length that was told, nothing was sent; CW_ESTATE: not begun, or ended; CW_ECLOSED
 * thread   loop thread */
int cw_http_send(struct cw_http_exchange *http, struct cw_span piece);

/* Ends it. Less than the length that was told breaks the connection, so that the peer does not take it for whole.
 *
 * returns  0; CW_ESTATE; CW_ETRUNCATED; CW_ECLOSED
 * thread   loop thread */
int cw_http_end(struct cw_http_exchange *http);

/* A field behind a chunked body; between cw_http_begin and cw_http_end. Left out for HTTP/1.0.
 *
 * returns  as cw_http_set_field; CW_EINVAL also: a field that must not be a trailer (RFC 9110 §6.5.1)
 * thread   loop thread */
int cw_http_add_trailer(struct cw_http_exchange *http, const char *name, const char *value);

/* Has fn called when the queue has fallen to out_low after cw_http_send had returned 1 or CW_EFULL.
 *
 * thread   loop thread */
void cw_http_on_drain(struct cw_http_exchange *http, cw_http_fn fn, void *user);

/* Gives up an answer that has begun: the connection is reset.
 *
 * thread   loop thread */
void cw_http_abort(struct cw_http_exchange *http);

/* Closes the connection behind this answer (`Connection: close`).
 *
 * thread   loop thread, before the head leaves */
void cw_http_close_after(struct cw_http_exchange *http);

/* ---- server-sent events (the HTML standard, section "Server-sent events") ---- */

/* How a stream of events behaves. Zero means the default. */
struct cw_http_events_options {
    uint64_t heartbeat_ms; /* a comment after so long without an event. 0: 15000; CW_OFF */
    uint64_t retry_ms;     /* pause before the browser comes again. 0: as it likes */
};

/* One event. NULL: left out. */
struct cw_http_event {
    const char *data;  /* lines are split as needed; NULL: an empty one */
    const char *event; /* its name; no line ends */
    const char *id;    /* comes back as cw_http_last_event_id; no line ends */
};

/* Answers with a stream of events, that lasts until cw_http_end or until the peer is gone (cw_http_on_done); a peer that has
 * gone without a word is found by the heartbeat. Sets Cache-Control, unless it is set, and X-Accel-Buffering. A HEAD is answered whole, and done.
 *
 * options  NULL: the defaults
 * returns  as cw_http_begin
 * thread   loop thread */
int cw_http_begin_events(struct cw_http_exchange *http,
                         const struct cw_http_events_options *options);

/* Sends one. Returns and thread as cw_http_send; CW_EINVAL: a line end in `event` or `id`. */
int cw_http_send_event(struct cw_http_exchange *http, const struct cw_http_event *event);

/* The id of the last event that the client has seen; data NULL: it starts anew. */
struct cw_span cw_http_last_event_id(const struct cw_http_exchange *http);

/* ---- later, and from other threads ---- */

/* An exchange by number: never used twice by its server. A plain value, to be kept and carried anywhere. */
struct cw_http_id {
    uint64_t conn;
    uint64_t request;
};

/* The id of an exchange. A handler that does not answer before it returns keeps it.
 *
 * thread   loop thread */
struct cw_http_id cw_http_id(struct cw_http_exchange *http);

/* The exchange of that id; NULL: it is done, its peer is gone, or it lives on another loop.
 *
 * thread   loop thread */
struct cw_http_exchange *cw_http_find(struct cw_loop *loop, struct cw_http_id id);

/* What cw_http_post calls; http is NULL when the exchange is done. */
typedef void (*cw_http_post_fn)(struct cw_http_exchange *http, void *arg);

/* Has fn run for an exchange on its loop, once, soon.
 *
 * returns  as cw_server_post
 * thread   any */
int cw_http_post(struct cw_server *server, struct cw_http_id id, cw_http_post_fn fn, void *arg);

/* Answers, or sends an event, from any thread. Copies what it is given. An event that finds no room in its stream's queue ends
 * the stream: the browser comes again and tells what it has seen, and nothing is lost in silence.
 *
 * returns  0: on its way; CW_EINVAL: not a status or type, a line end in `event` or `id`; CW_EFULL, CW_ENOTFOUND, CW_ENOMEM,
 *          CW_ESTOPPED: it is not
 * thread   any */
int cw_http_reply_to(struct cw_server *server, struct cw_http_id id, int status, const char *type,
                     struct cw_span body);
int cw_http_send_event_to(struct cw_server *server, struct cw_http_id id,
                          const struct cw_http_event *event);

/* ---- what hangs from an exchange ---- */

/* Memory that lives as long as the exchange, zeroed, aligned for anything. NULL: none, or more than 1 MiB together.
 *
 * thread   loop thread */
void *cw_http_alloc(struct cw_http_exchange *http, size_t size);

/* A value under a name, for what middleware finds and handlers read (the user who logged in).
 *
 * name     borrowed as long as the exchange: a constant
 * drop     frees the value when the exchange is done, or another takes its place; may be NULL
 * returns  0, CW_ENOMEM (drop has been called)
 * thread   loop thread */
int cw_http_set_value(struct cw_http_exchange *http, const char *name, void *value,
                      void (*drop)(void *value));
void *cw_http_value(const struct cw_http_exchange *http, const char *name); /* NULL: none */

/* How an exchange ended. */
struct cw_http_outcome {
    int code; /* 0: answered whole; otherwise the enum cw_error, or CW_ECLOSED: the peer went first */
    int status;         /* of the answer; 0: none has left */
    uint64_t bytes_in;  /* of the request's body */
    uint64_t bytes_out; /* of the answer's body, as it was queued */
    uint64_t took_us;   /* from the head's arrival */
};

/* Has fn called once when the exchange is over: answered, or its peer gone. A place to free, not to answer. Up to 16.
 *
 * returns  0, CW_ENOMEM, CW_EFULL; CW_ESTATE: it is over
 * thread   loop thread */
int cw_http_on_done(struct cw_http_exchange *http,
                    void (*fn)(struct cw_http_exchange *http, const struct cw_http_outcome *outcome,
                               void *user),
                    void *user);

/* ---- error pages ---- */

/* Inside of a page set with cw_http_set_error_page: what it is about. */
int cw_http_error_status(const struct cw_http_exchange *http);
const char *cw_http_error_text(const struct cw_http_exchange *http); /* never NULL */

/* ---- upgrade ---- */

/* Whether the request asks to change to this protocol (RFC 9110 §7.8): HTTP/1.1, `Connection: upgrade`, and the name in
 * Upgrade.
 *
 * thread   loop thread */
bool cw_http_wants_upgrade(const struct cw_http_exchange *http, const char *protocol);

/* Answers 101 with the fields set so far, `Connection: upgrade` and `Upgrade: protocol`, and puts another service in charge
 * from the next byte on (cw_conn_switch). The exchange is done before that. CONNECT is not served (405).
 *
 * returns  0: the connection has the handover, whatever becomes of it; CW_ESTATE: answered, or its body has not ended; CW_EINVAL:
 *          the request does not ask for it (cw_http_wants_upgrade), or service is NULL; CW_ECLOSED, CW_ENOMEM. On an error
 *          nothing has changed and handover stays the caller's
 * thread   loop thread */
int cw_http_switch(struct cw_http_exchange *http, const char *protocol,
                   struct cw_service_ref *service, void *handover, void (*drop)(void *handover));

#ifdef __cplusplus
}
#endif

#endif
