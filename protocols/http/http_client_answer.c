/* The protocol of a client's connection: the bytes of answers. */
#include "http_client_impl.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <inttypes.h>

enum { WANT_FROM = 16384 };

void cw_http_answer_begin(struct cw_conn *conn, struct cw_http_call *call)
{
    struct cw_http_answer *answer = cw_conn_state(conn);
    uint64_t answers = answer->answers;

    *answer = (struct cw_http_answer){
        .call = call, .answers = answers, .began_ms = cw_loop_now_ms(cw_conn_loop(conn))};
}

void cw_http_answer_forget(struct cw_conn *conn)
{
    struct cw_http_answer *answer = cw_conn_state(conn);

    answer->call = NULL;
}

uint64_t cw_http_raw_max(const struct cw_http_call *call)
{
    const uint64_t max = call->request.body_max_bytes;
    const uint64_t over = max / 8 + 65536; /* coding cannot make it longer than that */

    if (call->redirects) {
        return CW_REDIRECT_BODY_MAX;
    }
    return call->inflate && max < CW_NO_LIMIT - over ? max + over : max;
}

/* ---- the end of an answer ---- */

/* The call has failed; what else came is of no use. */
static ptrdiff_t give_up(struct cw_http_answer *answer, size_t len, int code, const char *why)
{
    if (answer->call) {
        cw_http_call_fail(answer->call, code, why);
    }
    return (ptrdiff_t)len;
}

static enum cw_http_parting parting_of(const struct cw_http_answer *answer)
{
    if (answer->cut || !answer->call->sent) {
        return CW_PART_ABORT;
    }
    return answer->keep_alive ? CW_PART_KEEP : CW_PART_CLOSE;
}

static void finish(struct cw_conn *conn, struct cw_http_answer *answer)
{
    struct cw_http_call *call = answer->call;
    enum cw_http_parting parting = parting_of(answer);
    const char *why;
    int error = cw_http_call_body_end(call, &why);

    if (error < 0) {
        cw_http_call_fail(call, error, why);
        return;
    }
    answer->call = NULL;
    answer->answers++;
    cw_conn_count_message(conn);
    cw_http_address_give_back(call, conn, parting);
    cw_http_call_answered(call);
}

/* ---- bodies ---- */

/* Bytes of the body: `used` of the input, of which `piece` is body. */
static ptrdiff_t take_body(struct cw_conn *conn, struct cw_http_answer *answer,
                           struct cw_span piece, size_t used)
{
    struct cw_http_call *call = answer->call;
    const char *why = "";
    int step = cw_http_call_body_put(call, piece, &why);

    if (step < 0) {
        return give_up(answer, used, step, why);
    }
    if (answer->call == call && step == CW_BODY_REST) {
        cw_conn_hold(conn);
    } else if (answer->call == call && answer->step == CW_ANSWER_WHOLE) {
        finish(conn, answer);
    }
    return (ptrdiff_t)used;
}

static ptrdiff_t take_length(struct cw_conn *conn, struct cw_http_answer *answer,
                             const uint8_t *data, size_t len)
{
    size_t used = len < answer->left ? len : (size_t)answer->left;

    answer->left -= used;
    if (answer->left == 0) {
        answer->step = CW_ANSWER_WHOLE;
    }
    return take_body(conn, answer, cw_span_of(data, used), used);
}

static ptrdiff_t take_until_end(struct cw_conn *conn, struct cw_http_answer *answer,
                                const uint8_t *data, size_t len)
{
    if (len > cw_http_raw_max(answer->call) - answer->raw) {
        return give_up(answer, len, CW_ETOOBIG, "the answer's body is larger than body_max_bytes");
    }
    answer->raw += len;
    return take_body(conn, answer, cw_span_of(data, len), len);
}

static struct cw_http_head_limits limits_of(const struct cw_http_answer *answer)
{
    size_t left = (size_t)answer->call->request.head_max_bytes - answer->interim;

    return (struct cw_http_head_limits){left, left, left};
}

static ptrdiff_t need_more(struct cw_conn *conn, size_t len)
{
    if (len >= WANT_FROM) {
        cw_conn_want(conn, len + 1); /* a head may be longer than what may wait unused otherwise */
    }
    return 0;
}

static ptrdiff_t refuse_scan(struct cw_http_answer *answer, size_t len, ptrdiff_t status,
                             const char *why)
{
    if (status == -400) {
        return give_up(answer, len, CW_EPROTO, why);
    }
    return give_up(answer, len, CW_ETOOBIG, "the answer's head is longer than head_max_bytes");
}

static int judge_trailers(const struct cw_http_answer *answer, const uint8_t *data, size_t len,
                          const char **why)
{
    struct cw_http_head head = {.fields_cap = answer->scan.lines + 1};
    int status;

    head.fields = cw_alloc(head.fields_cap * sizeof *head.fields);
    if (!head.fields) {
        *why = "out of memory for trailers";
        return CW_ENOMEM;
    }
    status = cw_http_parse_trailers(data, len, &head, why);
    cw_release(head.fields);
    return status == 0 ? CW_OK : CW_EPROTO;
}

/* Trailers are judged, and left aside (RFC 9110 §6.5.1). */
static ptrdiff_t take_trailers(struct cw_conn *conn, struct cw_http_answer *answer,
                               const uint8_t *data, size_t len)
{
    struct cw_http_head_limits limits = limits_of(answer);
    const char *why = "";
    ptrdiff_t used = cw_http_scan_trailers(data, len, &limits, &answer->scan, &why);
    int error;

    if (used < 0) {
        return refuse_scan(answer, len, used, why);
    }
    if (used == 0) {
        return need_more(conn, len);
    }
    error = answer->scan.lines > 0 ? judge_trailers(answer, data, (size_t)used, &why) : CW_OK;
    if (error < 0) {
        return give_up(answer, len, error, why);
    }
    answer->step = CW_ANSWER_WHOLE;
    finish(conn, answer);
    return used;
}

static ptrdiff_t refuse_chunk(struct cw_http_answer *answer, size_t len, ptrdiff_t status,
                              const char *why)
{
    if (status != -413) {
        return give_up(answer, len, CW_EPROTO, why);
    }
    if (answer->call->redirects) { /* not worth to be read */
        answer->cut = true;
        return 0;
    }
    return give_up(answer, len, CW_ETOOBIG, "the answer's body is larger than body_max_bytes");
}

static ptrdiff_t take_chunks(struct cw_conn *conn, struct cw_http_answer *answer,
                             const uint8_t *data, size_t len)
{
    struct cw_http_call *call = answer->call;
    size_t used = 0;

    while (used < len && answer->call == call && !call->rests) {
        struct cw_span piece = {NULL, 0};
        const char *why = "";
        ptrdiff_t n = cw_http_chunks_next(&answer->chunks, cw_http_raw_max(call),
                                          cw_span_of(data + used, len - used), &piece, &why);

        if (n < 0) {
            if (refuse_chunk(answer, len, n, why) == 0) {
                finish(conn, answer);
            }
            return (ptrdiff_t)len;
        }
        used += (size_t)n;
        if (piece.len > 0) {
            take_body(conn, answer, piece, used);
        }
        if (answer->call == call && answer->chunks.step == CW_CHUNK_TRAILERS) {
            answer->step = CW_ANSWER_TRAILERS;
            answer->scan = (struct cw_http_scan){0};
            return used > 0 ? (ptrdiff_t)used : take_trailers(conn, answer, data, len);
        }
        if (n == 0) {
            break;
        }
    }
    return (ptrdiff_t)used;
}

/* ---- heads ---- */

/* Copies the head into the call. */
static int keep_head(struct cw_http_call *call, const uint8_t *data, size_t len,
                     const struct cw_http_head *head)
{
    call->headers.lines = head->fields;
    call->headers.count = head->field_count;
    call->headers.bytes = cw_alloc(len);
    if (!call->headers.bytes) {
        return CW_ENOMEM;
    }
    memcpy(call->headers.bytes, data, len);
    call->response.status = head->status;
    call->response.headers = &call->headers;
    return CW_OK;
}

static void choose_step(struct cw_http_answer *answer, const struct cw_http_head *head)
{
    answer->keep_alive = head->keep_alive && !head->until_end;
    answer->left = head->content_length;
    if (head->chunked) {
        answer->step = CW_ANSWER_CHUNKS;
    } else if (head->until_end) {
        answer->step = CW_ANSWER_UNTIL_END;
    } else {
        answer->step = head->content_length > 0 ? CW_ANSWER_LENGTH : CW_ANSWER_WHOLE;
    }
}

/* The body of a redirect is read if it is short, so that the connection can be kept. */
static void shorten_redirect(struct cw_http_answer *answer)
{
    if (answer->step == CW_ANSWER_UNTIL_END || answer->left > CW_REDIRECT_BODY_MAX) {
        answer->cut = true;
        answer->step = CW_ANSWER_WHOLE;
    }
}

/* The head of the one answer that counts. Takes head->fields. */
static ptrdiff_t begin_answer(struct cw_conn *conn, struct cw_http_answer *answer,
                              const uint8_t *data, size_t len, const struct cw_http_head *head)
{
    struct cw_http_call *call = answer->call;

    if (keep_head(call, data, len, head) < 0) {
        return give_up(answer, len, CW_ENOMEM, "out of memory for the answer's head");
    }
    choose_step(answer, head);
    call->redirects = cw_http_call_is_redirect(call, head->status);
    if (call->redirects) {
        shorten_redirect(answer);
    } else if (cw_http_call_body_begin(call) < 0) {
        return give_up(answer, len, CW_ENOMEM, "out of memory for decoding");
    } else if (answer->left > cw_http_raw_max(call)) {
        return give_up(answer, len, CW_ETOOBIG, "the answer's body is larger than body_max_bytes");
    }
    if (answer->step == CW_ANSWER_WHOLE) {
        cw_http_inflate_free(call->inflate); /* HEAD tells what the coding would have been */
        call->inflate = NULL;
        finish(conn, answer);
    }
    return (ptrdiff_t)len;
}

/* RFC 9110 §15.2: any number of them may come, and those that nobody waits for are passed over. They count towards the
 * head's limit, so that they come to an end. */
static ptrdiff_t pass_interim(struct cw_http_answer *answer, size_t len, unsigned status)
{
    if (status == 101) {
        return give_up(answer, len, CW_EPROTO,
                       "the server switches protocols (101), which was not asked for");
    }
    answer->interim += len;
    answer->scan = (struct cw_http_scan){0};
    return (ptrdiff_t)len;
}

static ptrdiff_t read_head(struct cw_conn *conn, struct cw_http_answer *answer, const uint8_t *data,
                           size_t len)
{
    struct cw_http_head head = {.fields_cap = answer->scan.lines + 1};
    bool is_head = strcmp(answer->call->request.method, "HEAD") == 0;
    const char *why = "the answer's head is malformed";

    if (answer->scan.skipped > 0) {
        return give_up(answer, len, CW_EPROTO, "an empty line stands before the status line");
    }
    head.fields = cw_alloc(head.fields_cap * sizeof *head.fields);
    if (!head.fields) {
        return give_up(answer, len, CW_ENOMEM, "out of memory for the answer's head");
    }
    if (cw_http_parse_response(cw_span_of(data, len), is_head, false, &head, &why) < 0) {
        cw_release(head.fields);
        return give_up(answer, len, CW_EPROTO, why);
    }
    if (head.status < 200) {
        cw_release(head.fields);
        return pass_interim(answer, len, head.status);
    }
    return begin_answer(conn, answer, data, len, &head);
}

static ptrdiff_t take_head(struct cw_conn *conn, struct cw_http_answer *answer, const uint8_t *data,
                           size_t len)
{
    struct cw_http_head_limits limits = limits_of(answer);
    const char *why = "";
    ptrdiff_t used;

    if (limits.head_max == 0) {
        return refuse_scan(answer, len, -431, why);
    }
    used = cw_http_scan_response(data, len, &limits, &answer->scan, &why);
    if (used < 0) {
        return refuse_scan(answer, len, used, why);
    }
    return used > 0 ? read_head(conn, answer, data, (size_t)used) : need_more(conn, len);
}

/* ---- the protocol ---- */

static ptrdiff_t on_bytes(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    struct cw_http_answer *answer = state;

    if (!answer->call) {
        return cw_conn_fail(conn, CW_EPROTO, "an answer came that nobody had asked for");
    }
    answer->heard = true;
    switch (answer->step) {
    case CW_ANSWER_HEAD:
        return take_head(conn, answer, data, len);
    case CW_ANSWER_LENGTH:
        return take_length(conn, answer, data, len);
    case CW_ANSWER_CHUNKS:
        return take_chunks(conn, answer, data, len);
    case CW_ANSWER_TRAILERS:
        return take_trailers(conn, answer, data, len);
    case CW_ANSWER_UNTIL_END:
        return take_until_end(conn, answer, data, len);
    case CW_ANSWER_WHOLE:
        break;
    }
    return 0; /* it rests: nothing is fed */
}

static int on_end(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    struct cw_http_answer *answer = state;

    (void)data;
    (void)len;
    if (!answer->call) {
        return CW_END_IN_ORDER;
    }
    if (answer->step == CW_ANSWER_UNTIL_END) {
        /* RFC 9112 §9.8: over TLS the body is whole only if the peer has said that it ends. */
        if (!cw_conn_end_is_proven(conn)) {
            return cw_conn_fail(conn, CW_ETRUNCATED,
                                "the end came without close_notify: a part may be missing");
        }
        answer->step = CW_ANSWER_WHOLE;
        finish(conn, answer);
        return CW_END_IN_ORDER;
    }
    return cw_conn_fail(conn, CW_ETRUNCATED, "the connection ended %s",
                        answer->heard ? "in the middle of the answer" : "before an answer came");
}

/* The connection goes back to its pool; or the application goes on with a body that it let rest. */
static int on_soon(struct cw_conn *conn, void *state)
{
    struct cw_http_answer *answer = state;
    struct cw_http_call *call = answer->call;
    const char *why = "";
    int step;

    if (answer->returns) {
        cw_http_address_return(answer, conn);
        return CW_OK;
    }
    if (!call || !call->rests) {
        return CW_OK;
    }
    step = cw_http_call_body_go_on(call, &why);
    if (answer->call != call || step == CW_BODY_REST) {
        return CW_OK;
    }
    cw_conn_unhold(conn);
    if (step < 0) {
        give_up(answer, 0, step, why);
    } else if (answer->step == CW_ANSWER_WHOLE) {
        finish(conn, answer);
    }
    return CW_OK;
}

static int send_raw(struct cw_conn *conn, void *state, uint64_t len)
{
    const struct cw_http_answer *answer = state;

    (void)conn;
    (void)len;
    return answer->call ? CW_OK : CW_EKIND;
}

const struct cw_protocol cw_http_client_protocol = {
    .name = "http",
    .scheme = "http",
    .scheme_tls = "https",
    .state_size = sizeof(struct cw_http_answer),
    .on_bytes = on_bytes,
    .on_end = on_end,
    .on_soon = on_soon,
    .send_raw = send_raw,
};

/* ---- what the connections' hooks tell ---- */

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct cw_http_answer *answer = cw_conn_state(conn);
    struct cw_http_call *call = answer->call;
    const struct cw_http_client *client = user;

    if (answer->returns && !client->stopped) {
        answer->returns->running--;
    }
    if (call) {
        answer->call = NULL;
        call->conn = NULL;
        call->address->running--;
        cw_http_call_lost(call, reason->code, reason->text, !answer->heard && answer->answers > 0);
    }
}

/* quiet_ms counts from the last byte, and on a kept connection that may have been long ago: it is not over before the request
 * has left. */
static int on_idle(struct cw_conn *conn, void *user)
{
    const struct cw_http_answer *answer = cw_conn_state(conn);
    uint64_t since = cw_loop_now_ms(cw_conn_loop(conn)) - answer->began_ms;

    (void)user;
    return answer->call && since < answer->call->request.quiet_ms / 2 ? CW_KEEP : 0;
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    (void)server;
    cw_http_address_note(user, report);
}

const struct cw_hooks cw_http_client_hooks = {
    .on_idle = on_idle, .on_close = on_close, .on_error = on_error};
