/* Bodies of answers that are pushed in pieces, and what the queue has no room for. */
#include "http_impl.h"

#include <causeway/log.h>

enum { SLICE_MAX = 65536 };

/* ---- what the queue has no room for ---- */

static int keep(struct cw_http_exchange *x, const struct cw_span *parts, size_t count)
{
    struct cw_http_answer *answer = &x->answer;
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        total += parts[i].len;
    }
    if (total > answer->backlog_cap - answer->backlog_len) {
        size_t cap = answer->backlog_len + total;
        uint8_t *grown = cw_resize(answer->backlog, cap);

        if (!grown) {
            x->end_code = CW_ENOMEM;
            cw_conn_abort(x->conn);
            return CW_ENOMEM;
        }
        answer->backlog = grown;
        answer->backlog_cap = cap;
    }
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > 0) {
            memcpy(answer->backlog + answer->backlog_len, parts[i].data, parts[i].len);
            answer->backlog_len += parts[i].len;
        }
    }
    return 1;
}

/* 0, 1: all of it has gone, as cw_conn_write says; < 0: not yet. */
static int flush_backlog(struct cw_http_exchange *x)
{
    struct cw_http_answer *answer = &x->answer;
    size_t slice = SLICE_MAX;
    size_t gone = 0;
    int error = CW_OK;

    while (gone < answer->backlog_len) {
        size_t left = answer->backlog_len - gone;
        const struct cw_span part = cw_span_of(answer->backlog + gone, left < slice ? left : slice);

        error = cw_conn_write(x->conn, &part, 1);
        if (error == CW_ETOOBIG && slice > 1) {
            slice /= 2; /* the queue may never hold so much */
            continue;
        }
        if (error == CW_ENOMEM) {
            x->end_code = error;
            cw_conn_abort(x->conn);
        }
        if (error < 0) {
            break;
        }
        gone += part.len;
    }
    if (gone > 0) {
        memmove(answer->backlog, answer->backlog + gone, answer->backlog_len - gone);
        answer->backlog_len -= gone;
    }
    return error;
}

/* Whatever happens, these bytes leave, in their order. */
int cw_http_emit(struct cw_http_exchange *x, const struct cw_span *parts, size_t count)
{
    int error = x->answer.backlog_len > 0 ? (int)CW_EFULL : cw_conn_write(x->conn, parts, count);

    if (error != CW_EFULL && error != CW_ETOOBIG) {
        return error;
    }
    if (keep(x, parts, count) < 0) {
        return CW_ENOMEM;
    }
    /* A queue that was not full does not tell when there is room: it is filled first. */
    if (error == CW_ETOOBIG && flush_backlog(x) == CW_OK) {
        return CW_OK;
    }
    x->answer.drain_wanted = true;
    return 1;
}

/* ---- pushed ---- */

int cw_http_begin(struct cw_http_exchange *http, int status, const char *type, uint64_t length)
{
    int error;

    if (!cw_http_may_reply(http)) {
        return CW_ESTATE;
    }
    http->answer.pushed = true;
    error = cw_http_start_reply(http, status, type, length);
    if (error < 0) {
        http->answer.pushed = false;
        return error;
    }
    http->answer.told = length;
    cw_http_frame_reply(http);
    error = cw_http_write_head(http, cw_http_nothing());
    http->answer.state = CW_REPLY_OPEN;
    http->answer.type = NULL;
    if (error < 0) {
        http->end_code = error;
        cw_conn_abort(http->conn);
        return error;
    }
    cw_conn_set_message_open(http->conn, !http->answer.no_body);
    cw_http_settle_soon(http);
    return CW_OK;
}

static int write_piece(struct cw_http_exchange *x, struct cw_span piece)
{
    static const char digits[] = "0123456789abcdef";
    char line[18];
    size_t at = sizeof line - 2;

    if (!x->answer.chunked) {
        return cw_http_emit(x, &piece, 1);
    }
    memcpy(line + at, cw_http_crlf, 2);
    for (size_t left = piece.len; left > 0; left >>= 4) {
        line[--at] = digits[left & 15];
    }
    const struct cw_span parts[] = {cw_span_of(line + at, sizeof line - at), piece,
                                    cw_span_of("\r\n", 2)};

    return cw_http_emit(x, parts, 3);
}

int cw_http_send(struct cw_http_exchange *http, struct cw_span piece)
{
    struct cw_http_answer *answer = &http->answer;
    int error = CW_OK;

    if (http->over || answer->state != CW_REPLY_OPEN) {
        return CW_ESTATE;
    }
    if (answer->told != CW_NO_LIMIT && piece.len > answer->told - answer->given) {
        return CW_ETOOBIG;
    }
    if (answer->backlog_len > 0) {
        answer->drain_wanted = true;
        return CW_EFULL;
    }
    answer->given += piece.len;
    if (answer->no_body || piece.len == 0) {
        return CW_OK;
    }
    if (answer->filtered && !cw_http_runs_filters(http, piece, false, &piece, &error)) {
        http->end_code = error;
        cw_conn_abort(http->conn);
        return error;
    }
    answer->sent += piece.len;
    error = piece.len > 0 ? write_piece(http, piece) : CW_OK;
    if (error < 0) {
        http->end_code = http->end_code != 0 ? http->end_code : error;
        cw_conn_abort(http->conn); /* what follows would stand in its place */
    }
    answer->drain_wanted = answer->drain_wanted || error == 1;
    return error;
}

static int write_last_chunk(struct cw_http_exchange *x)
{
    struct cw_span zero = cw_span_of("0\r\n", 3);
    struct cw_span end = cw_span_of("\r\n", 2);
    int error = cw_http_emit(x, &zero, 1);

    for (const struct cw_http_reply_line *line = x->answer.trailers; line && error >= 0;
         line = line->next) {
        struct cw_span part = cw_span_of(line->text, line->len);

        error = cw_http_emit(x, &part, 1);
    }
    return error < 0 ? error : cw_http_emit(x, &end, 1);
}

static void is_handed_over(struct cw_http_exchange *x)
{
    x->answer.state = CW_REPLY_ENDING;
    if (x->answer.backlog_len == 0) {
        cw_http_reply_is_over(x);
    }
}

int cw_http_end(struct cw_http_exchange *http)
{
    struct cw_http_answer *answer = &http->answer;
    struct cw_span rest = cw_http_nothing();
    int error = CW_OK;

    if (http->over || answer->state != CW_REPLY_OPEN) {
        return CW_ESTATE;
    }
    if (!answer->no_body && answer->told != CW_NO_LIMIT && answer->given < answer->told) {
        http->end_code = CW_ETRUNCATED;
        cw_conn_abort(http->conn);
        return CW_ETRUNCATED;
    }
    if (answer->filtered && !answer->no_body) {
        if (cw_http_runs_filters(http, rest, true, &rest, &error) && rest.len > 0) {
            answer->sent += rest.len;
            error = write_piece(http, rest);
        }
    }
    if (error >= 0 && answer->chunked && !answer->no_body) {
        error = write_last_chunk(http);
    }
    if (error < 0) {
        http->end_code = error;
        cw_conn_abort(http->conn);
        return error;
    }
    is_handed_over(http);
    return CW_OK;
}

static bool may_be_trailer(const char *name)
{
    static const char *const not_these[] = {"host",          "authorization",    "set-cookie",
                                            "content-type",  "content-range",    "content-encoding",
                                            "cache-control", "expires",          "vary",
                                            "location",      "www-authenticate", "upgrade"};

    for (size_t i = 0; i < sizeof not_these / sizeof not_these[0]; i++) {
        if (cw_http_equal(cw_span_text(name), not_these[i])) {
            return false;
        }
    }
    return true;
}

int cw_http_add_trailer(struct cw_http_exchange *http, const char *name, const char *value)
{
    struct cw_http_answer *answer = &http->answer;

    if (!value || cw_http_check_field(name, value) < 0 || !may_be_trailer(name)) {
        return CW_EINVAL;
    }
    if (answer->state != CW_REPLY_OPEN) {
        return CW_ESTATE;
    }
    return cw_http_append_line(http, &answer->trailers, name, value);
}

void cw_http_on_drain(struct cw_http_exchange *http, cw_http_fn fn, void *user)
{
    http->answer.on_drain = fn;
    http->answer.drain_user = user;
}

void cw_http_abort(struct cw_http_exchange *http)
{
    if (!http->over) {
        http->end_code = http->end_code != 0 ? http->end_code : CW_ECLOSED;
        cw_conn_abort(http->conn);
    }
}

/* ---- room again ---- */

int cw_http_on_writable(struct cw_http_exchange *x)
{
    struct cw_http_answer *answer = &x->answer;

    if (answer->state == CW_REPLY_SOURCE && answer->source_over) {
        cw_http_reply_is_over(x);
        cw_conn_soon(x->conn);
        return CW_OK;
    }
    if (flush_backlog(x) < 0) {
        return CW_OK;
    }
    if (answer->state == CW_REPLY_ENDING) {
        cw_http_reply_is_over(x);
        cw_conn_soon(x->conn);
    } else if (answer->state == CW_REPLY_OPEN && answer->drain_wanted) {
        answer->drain_wanted = false;
        if (answer->on_drain) {
            answer->on_drain(x, answer->drain_user);
        }
    }
    return CW_OK;
}
