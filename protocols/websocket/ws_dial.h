/* The handshake of a client (RFC 6455 §4.1): what it asks, and what the answer has to be. Texts in, texts out; no connection.
 *
 * ```text
 * ws_request.c  options and what on_request sets → the request's bytes
 * ws_answer.c   the answer's bytes → what was agreed on, or why not
 * ws_client.c   both on a connection; cw_websocket_connect
 * ``` */
#ifndef CW_WS_DIAL_H
#define CW_WS_DIAL_H

#include "../http/http_parse.h"
#include "ws_impl.h"

enum { CW_WS_REQUEST_SET_MAX = 65536 }; /* what on_request may set together */

/* ---- what is asked ---- */

struct cw_ws_set_field; /* a field that on_request has set */

/* A request about to be sent. */
struct cw_websocket_request {
    const struct cw_websocket_options *options;
    char *target;                   /* set for this attempt; NULL: that of the options */
    struct cw_ws_set_field *fields; /* the same */
    size_t bytes;                   /* of both */
};

void cw_ws_request_release(struct cw_websocket_request *request);

/* Bytes that grow. */
struct cw_ws_text {
    uint8_t *data; /* cw_release */
    size_t len;
    size_t cap;
    bool failed; /* no memory */
};

/* Writes the request. host: for Host, where the options name none. offer: of extensions; NULL: none. 0 or CW_ENOMEM. */
int cw_ws_request_print(const struct cw_websocket_request *request, const char *host,
                        const char *key, const char *offer, struct cw_ws_text *text);

/* ---- what is answered ---- */

struct cw_ws_dial {
    char accept[CW_WS_ACCEPT_TEXT]; /* what Sec-WebSocket-Accept has to say */
    struct cw_http_scan scan;
    size_t interim; /* bytes of other 1xx answers */
    int status;     /* of the last answer; 0: none has come */
    bool is_done;   /* 101, and right: what comes behind are frames */
    struct cw_ws_agreed agreed;
    char *subprotocol; /* cw_release. NULL: none */
};

/* Reads on, from the start of what has not been used. Interim answers are passed over.
 *
 * returns  > 0: bytes used; is_done says whether that was all of it · 0: more are needed · < 0: CW_EDENIED: the server says
 *          no; CW_EPROTO: the answer breaks a rule; CW_ETOOBIG: above head_max_bytes; CW_ENOMEM; each worded */
ptrdiff_t cw_ws_read_answer(struct cw_ws_dial *dial, const struct cw_websocket_options *options,
                            struct cw_span input, struct cw_complaint *complaint);

#endif
