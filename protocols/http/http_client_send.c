/* The bytes of a request. */
#include "http_client_impl.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <causeway/version.h>

#include <inttypes.h>
#include <stdio.h>

enum {
    WITH_HEAD_MAX = 65536, /* a body up to this leaves in one write with its head */
    CHUNK_HEAD = 6,        /* four digits, CR, LF */
    CHUNK_FRAME = CHUNK_HEAD + 2,
    CHUNK_MAX = 0xffff,
};

/* ---- the head ---- */

/* A head that grows. */
struct head {
    uint8_t *data;
    size_t len;
    size_t cap;
    bool failed;
};

static void put_span(struct head *head, struct cw_span span)
{
    if (span.len > head->cap - head->len && !head->failed) {
        size_t cap = (head->len + span.len) * 2 + 512;
        uint8_t *grown = cw_resize(head->data, cap);

        head->failed = !grown;
        if (grown) {
            head->data = grown;
            head->cap = cap;
        }
    }
    if (!head->failed && span.len > 0) {
        memcpy(head->data + head->len, span.data, span.len);
        head->len += span.len;
    }
}

static void put_text(struct head *head, const char *text)
{
    put_span(head, cw_span_text(text));
}

static void put_field(struct head *head, const char *name, const char *value)
{
    put_text(head, name);
    put_text(head, ": ");
    put_text(head, value);
    put_text(head, "\r\n");
}

static bool has_field(const struct cw_http_request *request, const char *name)
{
    for (const struct cw_http_pair *pair = request->fields; pair && pair->name; pair++) {
        if (cw_http_equal(cw_span_text(pair->name), name)) {
            return true;
        }
    }
    return false;
}

static void put_own(struct head *head, const struct cw_http_request *request, const char *name,
                    const char *value)
{
    if (value && !has_field(request, name)) {
        put_field(head, name, value);
    }
}

static void put_request_line(struct head *head, const struct cw_http_call *call)
{
    put_text(head, call->request.method);
    put_text(head, call->url.path.len == 0 ? " /" : " ");
    put_span(head, call->url.path);
    put_span(head, call->url.query);
    put_text(head, " HTTP/1.1\r\n");
}

/* RFC 9110 §8.6: a length also of nothing, where the method is one that usually has a body. */
static bool wants_length(const struct cw_http_request *request)
{
    return request->pull || request->body.len > 0 || strcmp(request->method, "POST") == 0 ||
           strcmp(request->method, "PUT") == 0 || strcmp(request->method, "PATCH") == 0;
}

static void put_framing(struct head *head, const struct cw_http_request *request)
{
    char length[24];

    if (!wants_length(request)) {
        return;
    }
    if (request->pull && request->body_len == CW_NO_LIMIT) {
        put_field(head, "Transfer-Encoding", "chunked");
    } else {
        snprintf(length, sizeof length, "%" PRIu64,
                 request->pull ? request->body_len : (uint64_t)request->body.len);
        put_field(head, "Content-Length", length);
    }
    if (request->pull || request->body.len > 0) {
        put_own(head, request, "Content-Type", request->type);
    }
}

static void put_head(struct head *head, const struct cw_http_call *call)
{
    const struct cw_http_request *request = &call->request;
    char host[CW_URL_CONNECT_MAX];

    put_request_line(head, call);
    cw_http_url_authority(&call->url, host, sizeof host);
    put_own(head, request, "Host", host); /* RFC 9110 §7.2: first */
    for (const struct cw_http_pair *pair = request->fields; pair && pair->name; pair++) {
        put_field(head, pair->name, pair->value);
    }
    put_own(head, request, "User-Agent", "Causeway/" CW_VERSION);
    put_own(head, request, "Accept", "*/*");
    put_own(head, request, "Accept-Encoding", request->keep_encoding ? NULL : cw_http_inflate_offer);
    put_framing(head, request);
    if (request->no_reuse || call->client->options.idle_ms == CW_OFF) {
        put_field(head, "Connection", "close");
    }
    put_text(head, "\r\n");
}

/* ---- bodies that are pulled ---- */

static ptrdiff_t copy_next(struct cw_http_upload *upload, uint8_t *buffer, size_t cap)
{
    struct cw_span body = upload->call->request.body;
    size_t left = body.len - (size_t)upload->sent;
    size_t n = left < cap ? left : cap;

    memcpy(buffer, body.data + upload->sent, n);
    upload->sent += n;
    return (ptrdiff_t)n;
}

static void put_line_end(uint8_t *to)
{
    to[0] = '\r';
    to[1] = '\n';
}

/* RFC 9112 §7.1. The size has four digits always, so that it can be written when the bytes are there already. */
static ptrdiff_t pull_chunk(struct cw_http_upload *upload, uint8_t *buffer, size_t cap)
{
    const struct cw_http_request *request = &upload->call->request;
    static const char digits[] = "0123456789abcdef";
    size_t room = cap - CHUNK_FRAME < CHUNK_MAX ? cap - CHUNK_FRAME : CHUNK_MAX;
    ptrdiff_t n;

    if (upload->ended) {
        return 0;
    }
    n = request->pull(buffer + CHUNK_HEAD, room, request->pull_user);
    if (n < 0 || (size_t)n > room) {
        return n < 0 ? n : CW_EINVAL;
    }
    if (n == 0) {
        upload->ended = true;
        buffer[0] = '0';
        put_line_end(buffer + 1);
        put_line_end(buffer + 3);
        return 5;
    }
    for (int i = 0; i < 4; i++) {
        buffer[i] = (uint8_t)digits[(size_t)n >> (12 - 4 * i) & 0x0f];
    }
    put_line_end(buffer + 4);
    put_line_end(buffer + CHUNK_HEAD + n);
    return n + CHUNK_FRAME;
}

static ptrdiff_t pull(uint8_t *buffer, size_t cap, void *user)
{
    struct cw_http_upload *upload = user;

    if (!upload->call) {
        return CW_ECLOSED; /* its call is over, and the connection will be */
    }
    if (upload->chunked) {
        return cap > CHUNK_FRAME ? pull_chunk(upload, buffer, cap) : CW_EINVAL;
    }
    return upload->call->request.pull
               ? upload->call->request.pull(buffer, cap, upload->call->request.pull_user)
               : copy_next(upload, buffer, cap);
}

static void on_pulled(int code, void *user)
{
    struct cw_http_upload *upload = user;
    struct cw_http_call *call = upload->call;

    cw_release(upload);
    if (!call) {
        return;
    }
    call->upload = NULL;
    call->sent = code == CW_OK;
    if (call->sent && call->request.pulled && !call->pulled_told) {
        call->pulled_told = true;
        call->request.pulled(code, call->request.pull_user);
    }
}

void cw_http_upload_leave(struct cw_http_call *call)
{
    if (call->upload) {
        call->upload->call = NULL;
        call->upload = NULL;
    }
}

static int begin_upload(struct cw_http_call *call, struct cw_conn *conn)
{
    const struct cw_http_request *request = &call->request;
    uint64_t len = request->pull ? request->body_len : (uint64_t)request->body.len;
    struct cw_http_upload *upload = cw_alloc_zero(sizeof *upload);
    int error;

    if (!upload) {
        return CW_ENOMEM;
    }
    upload->call = call;
    upload->chunked = request->pull && request->body_len == CW_NO_LIMIT;
    error = cw_conn_send_source(conn, len, pull, on_pulled, upload);
    if (error < 0) {
        cw_release(upload);
        return error;
    }
    call->upload = upload;
    return CW_OK;
}

/* ---- sending ---- */

static int write_request(struct cw_http_call *call, struct cw_conn *conn)
{
    bool uploads = call->request.pull || call->request.body.len > WITH_HEAD_MAX;
    struct head head = {0};
    struct cw_span parts[2];
    int error;

    put_head(&head, call);
    parts[0] = cw_span_of(head.data, head.len);
    parts[1] = uploads ? cw_span_of(NULL, 0) : call->request.body;
    error = head.failed ? CW_ENOMEM : cw_conn_write(conn, parts, 2);
    cw_release(head.data);
    if (error < 0) {
        return error;
    }
    call->sent = !uploads;
    return uploads ? begin_upload(call, conn) : CW_OK;
}

void cw_http_call_send(struct cw_http_call *call, struct cw_conn *conn)
{
    const struct cw_http_answer *answer = cw_conn_state(conn);
    bool kept = answer->answers > 0;
    int error;

    call->phase = CW_CALL_RUNNING;
    call->conn = conn;
    call->sent = false;
    cw_http_answer_begin(conn, call);
    cw_conn_set_idle(conn, call->request.quiet_ms);
    error = write_request(call, conn);
    if (error < 0) {
        cw_http_answer_forget(conn);
        cw_http_address_give_back(call, conn, CW_PART_ABORT);
        cw_http_call_lost(call, error, cw_strerror(error), kept && error == CW_ECLOSED);
    }
}
