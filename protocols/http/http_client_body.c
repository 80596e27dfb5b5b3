/* What becomes of an answer's body: decoded if it is coded, then kept as a whole or handed on. */
#include "http_client_impl.h"

#include <causeway/error.h>
#include <causeway/log.h>

enum { BODY_FIRST = 4096 };

/* ---- where decoded bytes go ---- */

static int append(struct cw_http_call *call, struct cw_span piece, const char **why)
{
    size_t len = call->response.body.len;

    if (piece.len > call->body_cap - len) {
        size_t twice = call->body_cap < BODY_FIRST ? BODY_FIRST : call->body_cap * 2;
        size_t cap = len + piece.len > twice ? len + piece.len : twice;
        uint8_t *grown = cw_resize(call->body, cap);

        if (!grown) {
            *why = "out of memory for the answer's body";
            return CW_ENOMEM;
        }
        call->body = grown;
        call->body_cap = cap;
    }
    memcpy(call->body + len, piece.data, piece.len);
    call->response.body = cw_span_of(call->body, len + piece.len);
    return CW_BODY_GO;
}

static int hand_on(struct cw_http_call *call, struct cw_span piece, const char **why)
{
    int answer = call->request.on_body(&call->response, piece, call->user);

    if (answer < 0) {
        *why = "on_body gave up";
        return answer;
    }
    call->rests = answer > 0 && call->phase == CW_CALL_RUNNING;
    return call->rests ? CW_BODY_REST : CW_BODY_GO;
}

static int take(struct cw_http_call *call, struct cw_span piece, const char **why)
{
    if (call->redirects || piece.len == 0) {
        return CW_BODY_GO;
    }
    if (piece.len > call->request.body_max_bytes - call->decoded) {
        *why = "the answer's body is larger than body_max_bytes";
        return CW_ETOOBIG;
    }
    call->decoded += piece.len;
    return call->request.on_body ? hand_on(call, piece, why) : append(call, piece, why);
}

/* ---- decoding ---- */

int cw_http_call_body_begin(struct cw_http_call *call)
{
    struct cw_span coding = cw_http_response_field(&call->response, "content-encoding");

    if (call->redirects || call->request.keep_encoding || coding.len == 0) {
        return CW_OK;
    }
    return cw_http_inflate_new(coding, &call->inflate);
}

static int word_decoding(int code, const char **why)
{
    *why = code == CW_ENOMEM ? "out of memory for decoding"
                             : "the answer's body is not what its Content-Encoding says";
    return code;
}

int cw_http_call_body_go_on(struct cw_http_call *call, const char **why)
{
    struct cw_span piece;
    int answer = 0;

    call->rests = false;
    while (call->inflate && call->phase == CW_CALL_RUNNING &&
           (answer = cw_http_inflate_next(call->inflate, &piece)) == 1) {
        answer = take(call, piece, why);
        if (answer < 0) {
            return answer;
        }
        if (answer == CW_BODY_REST) {
            return cw_http_inflate_keep(call->inflate) < 0 ? word_decoding(CW_ENOMEM, why)
                                                           : CW_BODY_REST;
        }
    }
    return answer < 0 ? word_decoding(answer, why) : CW_BODY_GO;
}

int cw_http_call_body_put(struct cw_http_call *call, struct cw_span bytes, const char **why)
{
    if (!call->inflate) {
        return take(call, bytes, why);
    }
    cw_http_inflate_put(call->inflate, bytes);
    return cw_http_call_body_go_on(call, why);
}

int cw_http_call_body_end(struct cw_http_call *call, const char **why)
{
    if (call->inflate && !cw_http_inflate_is_whole(call->inflate)) {
        *why = "the coded body ends too early";
        return CW_ETRUNCATED;
    }
    return CW_OK;
}
