#include "echo_http.h"

#include <causeway/causeway.h>
#include <causeway/middleware/http_cors.h>
#include <causeway/middleware/http_static.h>
#include <stdlib.h>

enum { SLOW_MS = 2000 };

#define BIG_MOST ((uint64_t)1 << 40)

/* ---- GET /, GET /empty ---- */

static void hello(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "Hello, world!");
}

static void empty(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_empty(http, 204);
}

/* ---- POST /echo ---- */

/* The answer begins with the first piece: a body that is refused before has one of its own. */
static void begin_echo(struct cw_http_exchange *http)
{
    struct cw_span type = cw_http_field(http, "Content-Type");

    if (type.data != NULL) {
        cw_http_set_fieldf(http, "Content-Type", "%.*s", (int)type.len, (const char *)type.data);
    }
    cw_http_begin(http, 200, type.data != NULL ? NULL : "application/octet-stream",
                  cw_http_body_length(http));
}

/* While the peer does not take the answer, no more of its body is read. */
static void echo_piece(struct cw_http_exchange *http, struct cw_span piece, bool last, void *user)
{
    bool *begun = user;

    if (!*begun) {
        *begun = true;
        begin_echo(http);
    }
    if (piece.len > 0 && cw_http_send(http, piece) < 0) {
        cw_http_abort(http);
    } else if (last) {
        cw_http_end(http);
    }
}

static void echo(struct cw_http_exchange *http, void *user)
{
    bool *begun = cw_http_alloc(http, sizeof *begun);

    if (begun == NULL) {
        cw_http_reply_error(http, 503, NULL);
        return;
    }
    cw_http_read_body(http, echo_piece, begun);
}

/* ---- GET /slow ---- */

/* An answer that is due. */
struct due {
    struct cw_http_id id;
    struct cw_timer *timer;
};

static void answer_late(struct cw_loop *loop, void *user)
{
    struct due *due = user;
    struct cw_http_exchange *http = cw_http_find(loop, due->id);

    due->timer = NULL;
    if (http != NULL) {
        cw_http_reply_text(http, 200, "That took two seconds.");
    }
}

/* The peer may be gone before that. */
static void forget(struct cw_http_exchange *http, const struct cw_http_outcome *outcome, void *user)
{
    struct due *due = user;

    cw_timer_stop(due->timer);
}

static void slow(struct cw_http_exchange *http, void *user)
{
    struct due *due = cw_http_alloc(http, sizeof *due);

    if (due == NULL || cw_http_on_done(http, forget, due) < 0) {
        cw_http_reply_error(http, 503, NULL);
        return;
    }
    due->id = cw_http_id(http);
    due->timer = cw_timer_start(cw_http_loop(http), SLOW_MS, 0, answer_late, due);
    if (due->timer == NULL) {
        cw_http_reply_error(http, 503, NULL);
    }
}

/* ---- GET /big?bytes=N ---- */

static ptrdiff_t pull_big(uint8_t *buffer, size_t cap, void *user)
{
    uint64_t *left = user;
    size_t len = *left < cap ? (size_t)*left : cap;

    memset(buffer, 'x', len);
    *left -= len;
    return (ptrdiff_t)len;
}

static void free_big(int code, void *user)
{
    free(user);
}

static void big(struct cw_http_exchange *http, void *user)
{
    uint64_t bytes;

    if (cw_span_to_u64(cw_http_query(http, "bytes"), BIG_MOST, &bytes) < 0) {
        cw_http_reply_error(http, 400, "bytes: a number up to 1099511627776 is needed");
        return;
    }

    uint64_t *left = malloc(sizeof *left);

    if (left == NULL) {
        cw_http_reply_error(http, 503, NULL);
        return;
    }
    *left = bytes;
    cw_http_reply_source(http, 200, "application/octet-stream", bytes, pull_big, free_big, left);
}

/* ---- all of them ---- */

void echo_http_set_up(struct cw_server *server, const char *static_dir)
{
    /* Allows what --cors-origin or the file says; without either, nothing. */
    cw_http_use(server, cw_http_cors(NULL));
    cw_http_route(server, "GET /", hello, NULL);
    cw_http_route(server, "GET /empty", empty, NULL);
    cw_http_route(server, "GET /slow", slow, NULL);
    cw_http_route(server, "GET /big", big, NULL);
    cw_http_route_with(server, "POST /echo", echo, NULL,
                       &(struct cw_http_route_options){.stream = true});
    if (static_dir != NULL) {
        cw_http_static(server, "/static", static_dir, NULL);
    }
}
