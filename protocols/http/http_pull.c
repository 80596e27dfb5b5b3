/* Bodies of answers that are pulled as the peer takes them. */
#include "http_impl.h"

#include <causeway/log.h>

enum {
    PULL_ROOM = 16384,
    SIZE_LINE = 6, /* of a chunk that is pulled: four digits and CRLF */
};

static ptrdiff_t ask(struct cw_http_pull *pull, uint8_t *buffer, size_t cap)
{
    size_t most = pull->left < cap ? (size_t)pull->left : cap;
    ptrdiff_t n = most > 0 ? pull->pull(buffer, most, pull->user) : 0;

    if (n == 0 && pull->left > 0 && pull->left != CW_NO_LIMIT) {
        return CW_ETRUNCATED;
    }
    if (n > 0 && (size_t)n > most) {
        return CW_EINVAL;
    }
    if (n > 0 && pull->left != CW_NO_LIMIT) {
        pull->left -= (uint64_t)n;
    }
    pull->drained = n == 0;
    return n;
}

/* Bytes behind the filters. 0: the end. */
static ptrdiff_t ask_filtered(struct cw_http_pull *pull, uint8_t *buffer, size_t cap)
{
    size_t n;

    while (pull->rest.len == 0 && !pull->drained) {
        ptrdiff_t got = ask(pull, pull->room, PULL_ROOM);
        int error = CW_OK;

        if (got < 0) {
            return got;
        }
        if (!cw_http_runs_filters(pull->x, cw_span_of(pull->room, (size_t)got), got == 0,
                                  &pull->rest, &error)) {
            return error;
        }
    }
    n = pull->rest.len < cap ? pull->rest.len : cap;
    if (n > 0) {
        memcpy(buffer, pull->rest.data, n);
        pull->rest = cw_span_of(pull->rest.data + n, pull->rest.len - n);
    }
    return (ptrdiff_t)n;
}

static ptrdiff_t ask_any(struct cw_http_pull *pull, uint8_t *buffer, size_t cap)
{
    ptrdiff_t n = pull->room ? ask_filtered(pull, buffer, cap) : ask(pull, buffer, cap);

    if (n > 0) {
        pull->x->answer.sent += (uint64_t)n;
    }
    return n;
}

static ptrdiff_t pull_bytes(uint8_t *buffer, size_t cap, void *user)
{
    return ask_any(user, buffer, cap);
}

static ptrdiff_t pull_chunk(uint8_t *buffer, size_t cap, void *user)
{
    static const char digits[] = "0123456789abcdef";
    static const uint8_t last_chunk[] = {'0', '\r', '\n', '\r', '\n'};
    struct cw_http_pull *pull = user;
    size_t room = cap - SIZE_LINE - 2;
    ptrdiff_t n;

    if (pull->ended) {
        return 0;
    }
    room = room < 0xffff ? room : 0xffff;
    n = ask_any(pull, buffer + SIZE_LINE, room);
    if (n < 0) {
        return n;
    }
    if (n == 0) {
        pull->ended = true;
        memcpy(buffer, last_chunk, sizeof last_chunk);
        return (ptrdiff_t)sizeof last_chunk;
    }
    for (size_t i = 0; i < 4; i++) {
        buffer[i] = (uint8_t)digits[((size_t)n >> (12 - 4 * i)) & 15];
    }
    memcpy(buffer + 4, cw_http_crlf, 2);
    memcpy(buffer + SIZE_LINE + n, cw_http_crlf, 2);
    return n + SIZE_LINE + 2;
}

static void pull_is_over(int code, void *user)
{
    struct cw_http_pull *pull = user;

    pull->x->answer.source_over = true;
    if (pull->done) {
        pull->done(code, pull->user);
    }
}

static int give_back(cw_source_done_fn done, void *user, int error)
{
    if (done) {
        done(error, user);
    }
    return error;
}

struct cw_http_pull *cw_http_make_pull(struct cw_http_exchange *x, cw_source_fn pull,
                                       cw_source_done_fn done, void *user)
{
    struct cw_http_pull *made = cw_http_take(x, sizeof *made);

    if (!made) {
        return NULL;
    }
    *made = (struct cw_http_pull){.x = x, .pull = pull, .done = done, .user = user};
    if (x->answer.filtered) {
        made->room = cw_http_take(x, PULL_ROOM);
        made = made->room ? made : NULL;
    }
    return made;
}

/* The head has left: the body follows out of a source. */
int cw_http_follow(struct cw_http_exchange *x, struct cw_http_pull *pull, uint64_t wire_length)
{
    int error = cw_conn_send_source(x->conn, wire_length, pull->chunked ? pull_chunk : pull_bytes,
                                    pull_is_over, pull);

    if (error < 0) {
        x->end_code = error;
        cw_conn_abort(x->conn);
        return error;
    }
    x->answer.pull = pull;
    x->answer.state = CW_REPLY_SOURCE;
    return CW_OK;
}

int cw_http_reply_source(struct cw_http_exchange *http, int status, const char *type, uint64_t len,
                         cw_source_fn pull, cw_source_done_fn done, void *user)
{
    int error = cw_http_start_reply(http, status, type, len);
    struct cw_http_pull *made;

    if (error < 0) {
        return give_back(done, user, error);
    }
    made = http->answer.no_body ? NULL : cw_http_make_pull(http, pull, done, user);
    if (!made && !http->answer.no_body) {
        cw_http_abort(http);
        return give_back(done, user, CW_ENOMEM);
    }
    cw_http_frame_reply(http);
    error = cw_http_write_head(http, cw_http_nothing());
    http->answer.type = NULL;
    if (error < 0) {
        http->end_code = error;
        cw_conn_abort(http->conn); /* the next answer would be taken for this one */
    }
    if (error < 0 || !made) {
        cw_http_reply_is_over(http);
        return give_back(done, user, cw_http_judge_reply(http, error));
    }
    made->left = len;
    made->chunked = http->answer.chunked;
    error = cw_http_follow(http, made, http->answer.chunked ? CW_NO_LIMIT : http->answer.length);
    cw_http_settle_soon(http);
    return error < 0 ? give_back(done, user, error) : CW_OK;
}

void cw_http_source_ready(struct cw_http_exchange *http)
{
    cw_conn_source_ready(http->conn);
}

/* ---- bodies too large for the queue ---- */

struct held_body {
    struct cw_payload *payload;
    size_t at;
};

static ptrdiff_t pull_held(uint8_t *buffer, size_t cap, void *user)
{
    struct held_body *held = user;
    struct cw_span all = cw_payload_span(held->payload);
    size_t left = all.len - held->at;
    size_t n = left < cap ? left : cap;

    memcpy(buffer, all.data + held->at, n);
    held->at += n;
    return (ptrdiff_t)n;
}

static void drop_held(int code, void *user)
{
    struct held_body *held = user;

    cw_payload_drop(held->payload);
    held->payload = NULL;
}

/* Takes over a hold of the payload. */
static struct held_body *hold_body(struct cw_http_exchange *x, struct cw_payload *payload)
{
    struct held_body *held = payload ? cw_http_take(x, sizeof *held) : NULL;

    if (!held) {
        cw_payload_drop(payload);
        return NULL;
    }
    *held = (struct held_body){payload, 0};
    return held;
}

int cw_http_send_large(struct cw_http_exchange *x, struct cw_span body)
{
    struct held_body *held = hold_body(x, cw_payload_new(&body, 1));
    struct cw_http_pull *pull;

    if (!held) {
        return CW_ENOMEM;
    }
    x->answer.filtered = false; /* it has been through them */
    pull = cw_http_make_pull(x, pull_held, drop_held, held);
    if (!pull) {
        drop_held(0, held);
        return CW_ENOMEM;
    }
    pull->left = body.len;
    x->answer.sent = 0;
    if (cw_http_follow(x, pull, body.len) < 0) {
        drop_held(0, held);
        return CW_ECLOSED;
    }
    return CW_OK;
}

int cw_http_reply_payload(struct cw_http_exchange *http, int status, const char *type,
                          struct cw_payload *payload)
{
    struct cw_span body = cw_payload_span(payload);
    struct held_body *held;

    if (body.len <= CW_HTTP_FILE_WHOLE) {
        return cw_http_reply(http, status, type, body);
    }
    if (!cw_http_may_reply(http)) {
        return CW_ESTATE;
    }
    held = hold_body(http, cw_payload_hold(payload));
    return held ? cw_http_reply_source(http, status, type, body.len, pull_held, drop_held, held)
                : cw_http_judge_reply(http, CW_ENOMEM);
}
