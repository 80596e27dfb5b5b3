/* Requests to other services: HTTP/1.1 as a client, over plain TCP, TLS or a unix socket.
 *
 * ```text
 * static void got(struct cw_http_response *response, void *user)
 * {
 *     if (response->error != 0) { ... response->text ... return; }
 *     printf("%d %.*s\n", response->status, (int)response->body.len, (const char *)response->body.data);
 * }
 *
 * cw_http_get(loop, "https://api.example/users?page=2", got, NULL);
 * ```
 *
 * Connections are kept and used again, per loop and address, bounded by struct cw_http_client_options. In a program of its own,
 * a loop goes on running while one is kept: end it with cw_loop_stop.
 *
 * A request on a kept connection that the server has just ended is sent again, once, if that does no harm: GET, HEAD, PUT,
 * DELETE, OPTIONS and TRACE, with a body that is not pulled (RFC 9110 §9.2.2). */
#ifndef CAUSEWAY_HTTP_CLIENT_H
#define CAUSEWAY_HTTP_CLIENT_H

#include <causeway/client.h>
#include <causeway/http_fields.h>
#include <causeway/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cw_http_headers;

/* One field to be sent. */
struct cw_http_pair {
    const char *name;
    const char *value;
};

/* The answer, or why there is none. Good until the function it is handed to returns. */
struct cw_http_response {
    int error;           /* 0: an answer is here, whatever its status; otherwise an enum cw_error */
    const char *text;    /* of the error, outermost step first; "" without one */
    int status;          /* 0: none has come */
    struct cw_span body; /* whole, decoded (gzip, deflate); empty where on_body takes it */
    const char *url;     /* the last one, behind redirects */
    uint64_t redirects;  /* that were followed */
    uint64_t took_ms;
    const struct cw_http_headers *headers;
};

/* A field of the answer, whatever its case; data NULL: not there. The first of several; with *at, from 0 on, the next. */
struct cw_span cw_http_response_field(const struct cw_http_response *response, const char *name);
struct cw_span cw_http_response_field_next(const struct cw_http_response *response,
                                           const char *name, size_t *at);

/* Told once for each request. */
typedef void (*cw_http_response_fn)(struct cw_http_response *response, void *user);

/* A request. Zero means the default in every member; only url has none. */
struct cw_http_request {
    /* http://host[:port]/path?query, https://…, or http+unix://%2Frun%2Fx.sock/path. In ASCII: the path encoded as %XX, the
     * name as xn--. Without user and password. */
    const char *url;
    const char *method; /* NULL: GET, or POST with a body */

    /* Fields beside Host, User-Agent, Accept, Accept-Encoding and those of the body; ends with a NULL name. One's own takes
     * the place of ours. Those that frame the message or speak of the connection (Content-Length, Connection, Expect and
     * their kin) are refused. */
    const struct cw_http_pair *fields;
    struct cw_span body; /* copied */
    const char *type;    /* its Content-Type. NULL: application/octet-stream */

    /* A body that is pulled instead: as cw_conn_send_source. body_len CW_NO_LIMIT: chunked. After CW_EAGAIN
     * cw_http_request_resume says that there are bytes. With redirects that keep the method, and when a kept connection
     * proves dead, it cannot be sent again: that is an error. */
    cw_source_fn pull;
    cw_source_done_fn pulled; /* once, before fn; also when cw_http_request returns an error */
    void *pull_user;
    uint64_t body_len;

    /* The answer's body piece by piece; NULL: whole in the response. Answers an enum cw_error to give up, 0 to go on, 1 to
     * rest until cw_http_request_resume. `response` has status and fields. */
    int (*on_body)(struct cw_http_response *response, struct cw_span piece, void *user);

    uint64_t timeout_ms;     /* all of it, waiting and redirects too. 0: 30000; CW_OFF */
    uint64_t connect_ms;     /* names, all addresses, TLS. 0: 10000 */
    uint64_t quiet_ms;       /* without a byte in either direction. 0: 30000; CW_OFF */
    uint64_t redirects_max;  /* 0: 5; at most 100; CW_OFF: a redirect is an answer like others */
    uint64_t body_max_bytes; /* of the answer, decoded, streamed or not. 0: 16777216; CW_NO_LIMIT */
    uint64_t head_max_bytes; /* of the answer, with 1xx answers before it. 0: 65536; at most 16777216 */
    bool keep_encoding;      /* no Accept-Encoding of ours, and nothing is decoded */
    bool no_reuse;           /* a connection of its own, closed behind the answer */
    const struct cw_tls_options *tls; /* for https. NULL: the system's CAs, the host's name. Copied */
};

/* Sends a request. fn is called once from the loop, never from inside this call.
 *
 * request  copied, with its texts and body
 * returns  a number above 0, for cw_http_request_cancel; CW_EINVAL: the URL, a field or an option (logged); CW_EFULL: too many
 *          wait; CW_ENOMEM; CW_ESTOPPED. On an error fn is not called
 * fn       told of an error: CW_ECONNECTTIME, CW_EREFUSED, CW_ERESOLVE, CW_ECERT and others of cw_connect; CW_EDEADLINE:
 *          timeout_ms; CW_EIDLE: quiet_ms; CW_EPROTO: the answer breaks the rules, or a redirect leads where it must not;
 *          CW_ETRUNCATED, CW_ERESET: the connection ended too early; CW_ETOOBIG: a limit; CW_ESTATE: a pulled body was
 *          wanted twice; CW_ECLOSED: cancelled; CW_ESTOPPED: the loop stops; or what on_body or pull said
 * thread   loop thread, or before the loop runs */
int64_t cw_http_request(struct cw_loop *loop, const struct cw_http_request *request,
                        cw_http_response_fn fn, void *user);

/* The short form: a GET with all defaults.
 *
 * returns, thread  as cw_http_request */
int64_t cw_http_get(struct cw_loop *loop, const char *url, cw_http_response_fn fn, void *user);

/* Gives a request up: fn is called with CW_ECLOSED, soon.
 *
 * returns  0; CW_ENOTFOUND: it is over
 * thread   loop thread */
int cw_http_request_cancel(struct cw_loop *loop, int64_t request);

/* Goes on with a body that on_body let rest, and with a pull that said CW_EAGAIN. Calls neither from inside.
 *
 * returns  0; CW_ENOTFOUND
 * thread   loop thread */
int cw_http_request_resume(struct cw_loop *loop, int64_t request);

/* Bounds of one loop's kept connections. Zero means the default. */
struct cw_http_client_options {
    uint64_t conns_max; /* at once, to one address. 0: 8; at most 65536 */
    uint64_t addresses_max; /* with connections kept; the longest unused goes first. 0: 256; at most 65536 */
    uint64_t waiting_max; /* requests under way or waiting, on this loop. 0: 1024; at most 16777216 */
    uint64_t idle_ms; /* an unused connection is closed after this. 0: 30000; CW_OFF: none is kept */
};

/* Sets them for a loop; what is open already stays.
 *
 * returns  0, CW_EINVAL, CW_ENOMEM
 * thread   loop thread, or before the loop runs */
int cw_http_client_configure(struct cw_loop *loop, const struct cw_http_client_options *options);

#ifdef __cplusplus
}
#endif

#endif
