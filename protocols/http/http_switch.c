/* From HTTP to another protocol, on the same connection (RFC 9110 §7.8). */
#include "http_impl.h"

#include <causeway/log.h>

bool cw_http_wants_upgrade(const struct cw_http_exchange *http, const char *protocol)
{
    struct cw_span list;
    size_t at = 0;

    if (!http->head.upgrade || http->head.version < 11) {
        return false;
    }
    while ((list = cw_http_field_next(http, "upgrade", &at)).data) {
        if (cw_http_list_has(list, protocol)) {
            return true;
        }
    }
    return false;
}

static int write_switching(struct cw_http_exchange *x)
{
    int error;

    x->switches = true;
    error = cw_http_start_reply(x, 101, NULL, CW_NO_LIMIT);
    x->switches = false;
    if (error < 0) {
        return error;
    }
    error = cw_http_write_head(x, cw_http_nothing());
    if (error < 0) {
        x->end_code = error; /* middleware has seen an answer: there will be no other */
        cw_conn_abort(x->conn);
    }
    return error;
}

void cw_http_fallback_free(void *memory)
{
    struct cw_http_fallback *fallback = memory;

    if (fallback && fallback->drop) {
        fallback->drop(fallback->user);
    }
    cw_release(fallback);
}

int cw_http_switch(struct cw_http_exchange *http, const char *protocol,
                   struct cw_service_ref *service, void *handover, void (*drop)(void *handover))
{
    int error;

    if (!cw_http_may_reply(http) || !http->body.whole) {
        return CW_ESTATE;
    }
    /* RFC 9110 §7.8: to what was asked for, and to nothing else. */
    if (!service || !cw_http_wants_upgrade(http, protocol)) {
        return CW_EINVAL;
    }
    error = cw_http_set_field(http, "Upgrade", protocol);
    if (error == CW_OK) {
        error = cw_conn_switch(http->conn, service, handover, drop);
    }
    if (error < 0) {
        cw_http_set_field(http, "Upgrade", NULL);
        return error;
    }
    http->http->switched = true;
    error = write_switching(http);
    http->answer.state = CW_REPLY_DONE;
    if (error < 0) {
        /* The handover is no longer the caller's: that the connection ends is told by the end of the exchange. */
        http->end_code = error;
        cw_conn_abort(http->conn);
    }
    return CW_OK;
}
