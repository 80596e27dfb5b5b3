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

static int write_switching(struct cw_http_exchange *x, const char *protocol)
{
    int error = cw_http_set_field(x, "Upgrade", protocol);

    if (error < 0) {
        return error;
    }
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

int cw_http_switch(struct cw_http_exchange *http, const char *protocol,
                   struct cw_service_ref *service, void *handover, void (*drop)(void *handover))
{
    int error;

    if (http->over || http->answer.state != CW_REPLY_NONE || !http->body.whole) {
        return CW_ESTATE;
    }
    if (!cw_http_wants_upgrade(http, protocol)) {
        return CW_EINVAL; /* RFC 9110 §7.8: to what was asked for, and to nothing else */
    }
    error = write_switching(http, protocol);
    if (error < 0) {
        return error;
    }
    error = cw_conn_switch(http->conn, service, handover, drop);
    if (error < 0) {
        /* The 101 is out: there is no way back. */
        http->end_code = error;
        cw_conn_abort(http->conn);
        return error;
    }
    http->http->switched = true;
    http->answer.state = CW_REPLY_DONE;
    return CW_OK;
}
