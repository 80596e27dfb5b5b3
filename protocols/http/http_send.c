/* Bodies of answers in pieces: pushed, pulled, or out of a file. */
#include "http_impl.h"

#include <causeway/log.h>

#include <errno.h>
#include <unistd.h>

enum {
    PULL_ROOM = 16384,
    SIZE_LINE = 6, /* of a chunk that is pulled: four digits and CRLF */
};

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

/* Whatever happens, these bytes leave, in their order. */
int cw_http_emit(struct cw_http_exchange *x, const struct cw_span *parts, size_t count)
{
    int error = x->answer.backlog_len > 0 ? (int)CW_EFULL : cw_conn_write(x->conn, parts, count);

    if (error != CW_EFULL && error != CW_ETOOBIG) {
        return error;
    }
    x->answer.drain_wanted = true;
    return keep(x, parts, count);
}

/* True: all of it has gone. */
static bool flush_backlog(struct cw_http_exchange *x)
{
    struct cw_http_answer *answer = &x->answer;
    const size_t slice = 65536;
    size_t gone = 0;

    while (gone < answer->backlog_len) {
        size_t left = answer->backlog_len - gone;
        const struct cw_span part = cw_span_of(answer->backlog + gone, left < slice ? left : slice);

        if (cw_conn_write(x->conn, &part, 1) < 0) {
            break;
        }
        gone += part.len;
    }
    if (gone > 0) {
        memmove(answer->backlog, answer->backlog + gone, answer->backlog_len - gone);
        answer->backlog_len -= gone;
    }
    return answer->backlog_len == 0;
}

/* ---- pushed ---- */

int cw_http_begin(struct cw_http_exchange *http, int status, const char *type, uint64_t length)
{
    int error = cw_http_start_reply(http, status, type, length);

    if (error < 0) {
        return error;
    }
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
    memcpy(line + at, "\r\n", 2);
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
    if (answer->length != CW_NO_LIMIT && piece.len > answer->length - answer->sent) {
        return CW_ETOOBIG;
    }
    if (answer->backlog_len > 0) {
        answer->drain_wanted = true;
        return CW_EFULL;
    }
    answer->sent += piece.len;
    if (answer->no_body || piece.len == 0) {
        return CW_OK;
    }
    if (answer->filtered && !cw_http_runs_filters(http, piece, false, &piece, &error)) {
        http->end_code = error;
        cw_conn_abort(http->conn);
        return error;
    }
    error = piece.len > 0 ? write_piece(http, piece) : CW_OK;
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
    if (!answer->no_body && answer->length != CW_NO_LIMIT && answer->sent < answer->length) {
        http->end_code = CW_ETRUNCATED;
        cw_conn_abort(http->conn);
        return CW_ETRUNCATED;
    }
    if (answer->filtered && !answer->no_body) {
        if (cw_http_runs_filters(http, rest, true, &rest, &error) && rest.len > 0) {
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
    struct cw_http_reply_line **tail = &answer->trailers;
    size_t len = strlen(name) + strlen(value) + 4;
    int error = cw_http_check_field(name, value);

    if (error < 0 || !may_be_trailer(name)) {
        return CW_EINVAL;
    }
    if (answer->state != CW_REPLY_OPEN) {
        return CW_ESTATE;
    }
    if (len > CW_HTTP_FIELDS_BYTES - answer->fields_bytes) {
        return CW_ETOOBIG;
    }
    while (*tail) {
        tail = &(*tail)->next;
    }
    *tail = cw_http_take(http, sizeof **tail + len + 1);
    if (!*tail) {
        return CW_ENOMEM;
    }
    (*tail)->next = NULL;
    (*tail)->name_len = (uint32_t)strlen(name);
    (*tail)->len = (uint32_t)len;
    answer->fields_bytes += len;
    memcpy((*tail)->text, name, strlen(name));
    memcpy((*tail)->text + strlen(name), ": ", 2);
    memcpy((*tail)->text + strlen(name) + 2, value, strlen(value));
    memcpy((*tail)->text + len - 2, "\r\n", 2);
    return CW_OK;
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

/* ---- pulled ---- */

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
        memcpy(buffer, "0\r\n\r\n", 5);
        return 5;
    }
    for (size_t i = 0; i < 4; i++) {
        buffer[i] = (uint8_t)digits[((size_t)n >> (12 - 4 * i)) & 15];
    }
    memcpy(buffer + 4, "\r\n", 2);
    memcpy(buffer + SIZE_LINE + n, "\r\n", 2);
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

static struct cw_http_pull *make_pull(struct cw_http_exchange *x, cw_source_fn pull,
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
static int follow(struct cw_http_exchange *x, struct cw_http_pull *pull, uint64_t wire_length)
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
    made = http->answer.no_body ? NULL : make_pull(http, pull, done, user);
    if (!made && !http->answer.no_body) {
        cw_http_abort(http);
        return give_back(done, user, CW_ENOMEM);
    }
    cw_http_frame_reply(http);
    error = cw_http_write_head(http, cw_http_nothing());
    http->answer.type = NULL;
    if (error < 0 || !made) {
        cw_http_reply_is_over(http);
        return give_back(done, user, error < 0 ? error : CW_OK);
    }
    made->left = len;
    made->chunked = http->answer.chunked;
    error = follow(http, made, http->answer.chunked ? CW_NO_LIMIT : http->answer.length);
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
    pull = make_pull(x, pull_held, drop_held, held);
    if (!pull) {
        drop_held(0, held);
        return CW_ENOMEM;
    }
    pull->left = body.len;
    x->answer.sent = 0;
    if (follow(x, pull, body.len) < 0) {
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
    if (http->over || http->answer.state != CW_REPLY_NONE) {
        return CW_ESTATE;
    }
    held = hold_body(http, cw_payload_hold(payload));
    return held ? cw_http_reply_source(http, status, type, body.len, pull_held, drop_held, held)
                : CW_ENOMEM;
}

/* ---- files ---- */

struct file_pull {
    int fd;
    uint64_t at;
};

static ptrdiff_t pull_file(uint8_t *buffer, size_t cap, void *user)
{
    struct file_pull *file = user;
    ssize_t n = pread(file->fd, buffer, cap, (off_t)file->at);

    if (n < 0) {
        return cw_error_from_errno(errno);
    }
    file->at += (uint64_t)n;
    return n;
}

static void close_file(int code, void *user)
{
    struct file_pull *file = user;

    close(file->fd);
}

static int reply_small_file(struct cw_http_exchange *x, int status, const char *type,
                            const struct cw_file_range *range)
{
    struct cw_http_shared *shared = x->http->shared;
    size_t got = 0;

    if (!shared->file) {
        shared->file = cw_alloc(CW_HTTP_FILE_WHOLE);
    }
    if (!shared->file) {
        return CW_ENOMEM;
    }
    while (got < range->len) {
        ssize_t n = pread(range->fd, shared->file + got, (size_t)range->len - got,
                          (off_t)(range->offset + got));
        if (n <= 0) {
            return n < 0 ? cw_error_from_errno(errno) : CW_ETRUNCATED;
        }
        got += (size_t)n;
    }
    return cw_http_reply(x, status, type, cw_span_of(shared->file, got));
}

static int reply_filtered_file(struct cw_http_exchange *x, const struct cw_file_range *range)
{
    struct file_pull *file = cw_http_take(x, sizeof *file);
    struct cw_http_pull *pull = file ? make_pull(x, pull_file, close_file, file) : NULL;
    int error;

    if (!pull) {
        return CW_ENOMEM;
    }
    *file = (struct file_pull){dup(range->fd), range->offset};
    if (file->fd < 0) {
        return CW_EDESCRIPTORS;
    }
    pull->left = range->len;
    pull->chunked = x->answer.chunked;
    error = follow(x, pull, CW_NO_LIMIT);
    if (error < 0) {
        close(file->fd);
    }
    return error;
}

static void file_is_over(int code, void *user)
{
    struct cw_http_exchange *x = user;

    x->answer.source_over = true;
}

static int reply_whole_file(struct cw_http_exchange *x, const struct cw_file_range *range)
{
    int error = cw_conn_send_file(x->conn, range, file_is_over, x);

    if (error == CW_OK) {
        x->answer.sent = range->len;
        x->answer.state = CW_REPLY_SOURCE;
    }
    return error;
}

int cw_http_reply_file(struct cw_http_exchange *http, int status, const char *type,
                       const struct cw_file_range *range)
{
    int error;

    if (range->len <= CW_HTTP_FILE_WHOLE && http->head.known_method != CW_METHOD_HEAD) {
        return reply_small_file(http, status, type, range);
    }
    error = cw_http_start_reply(http, status, type, range->len);
    if (error < 0) {
        return error;
    }
    cw_http_frame_reply(http);
    error = cw_http_write_head(http, cw_http_nothing());
    http->answer.type = NULL;
    if (error >= 0 && http->answer.no_body) {
        cw_http_reply_is_over(http);
        return CW_OK;
    }
    if (error >= 0) {
        error = http->answer.filtered ? reply_filtered_file(http, range)
                                      : reply_whole_file(http, range);
    }
    if (error < 0) {
        http->end_code = error;
        cw_conn_abort(http->conn);
    }
    cw_http_settle_soon(http);
    return error < 0 ? error : CW_OK;
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
    if (!flush_backlog(x)) {
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
