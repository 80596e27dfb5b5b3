/* Exchanges by number: answered from a timer, or from another thread. */
#include "http_impl.h"

#include <causeway/log.h>

struct cw_http_id cw_http_id(struct cw_http_exchange *http)
{
    http->id_taken = true;
    return (struct cw_http_id){cw_conn_id(http->conn), http->serial};
}

static struct cw_http_exchange *exchange_of(struct cw_conn *conn, uint64_t serial)
{
    const struct cw_http_conn *http;

    if (!conn || cw_conn_protocol(conn) != &cw_http) {
        return NULL;
    }
    http = cw_conn_state(conn);
    return http->exchange && http->exchange->serial == serial ? http->exchange : NULL;
}

struct cw_http_exchange *cw_http_find(struct cw_loop *loop, struct cw_http_id id)
{
    return exchange_of(cw_loop_conn(loop, id.conn), id.request);
}

/* ---- from any thread ---- */

struct post {
    uint64_t serial;
    cw_http_post_fn fn;
    void *arg;
};

static void run_post(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct post post = *(struct post *)arg;

    cw_release(arg);
    post.fn(exchange_of(conn, post.serial), post.arg);
}

int cw_http_post(struct cw_server *server, struct cw_http_id id, cw_http_post_fn fn, void *arg)
{
    struct post *post = cw_alloc(sizeof *post);
    int error = CW_ENOMEM;

    if (post) {
        *post = (struct post){id.request, fn, arg};
        error = cw_server_post(server, id.conn, run_post, post);
    }
    if (error < 0) {
        cw_release(post);
    }
    return error;
}

/* An answer on its way to the loop: the struct, the type, the body. */
struct letter {
    int status;
    size_t type_size; /* with the terminator; 0: none */
    size_t body_len;
    uint8_t bytes[];
};

static void deliver(struct cw_http_exchange *http, void *arg)
{
    struct letter *letter = arg;
    const char *type = letter->type_size > 0 ? (const char *)letter->bytes : NULL;

    if (http) {
        cw_http_reply(http, letter->status, type,
                      cw_span_of(letter->bytes + letter->type_size, letter->body_len));
    }
    cw_release(letter);
}

int cw_http_reply_to(struct cw_server *server, struct cw_http_id id, int status, const char *type,
                     struct cw_span body)
{
    size_t type_size = type ? strlen(type) + 1 : 0;
    struct letter *letter;
    int error;

    if (status < 200 || status > 599 || (type && !cw_http_is_value(cw_span_text(type)))) {
        return CW_EINVAL;
    }
    letter = cw_alloc(sizeof *letter + type_size + body.len);
    if (!letter) {
        return CW_ENOMEM;
    }
    *letter = (struct letter){status, type_size, body.len};
    if (type) {
        memcpy(letter->bytes, type, type_size);
    }
    if (body.len > 0) {
        memcpy(letter->bytes + type_size, body.data, body.len);
    }
    error = cw_http_post(server, id, deliver, letter);
    if (error < 0) {
        cw_release(letter);
    }
    return error;
}
