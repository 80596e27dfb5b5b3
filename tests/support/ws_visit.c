#include "support/ws_visit.h"

#include "support/wait.h"

#include <mbedtls/base64.h>
#include <mbedtls/md.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

/* ---- hooks ---- */

static void count_attempt(struct ws_visit *visit)
{
    if (visit->attempts > 0 && visit->opened + visit->failed >= visit->attempts) {
        cw_client_stop(visit->loop, visit->id);
    }
}

static void on_connection(struct cw_conn *conn, void *user)
{
    struct ws_visit *visit = user;

    visit->opened++;
    visit->messages = 0;
    visit->status = cw_websocket_status(conn);
    visit->compressed = cw_websocket_is_compressed(conn);
    snprintf(visit->subprotocol, sizeof visit->subprotocol, "%s", cw_websocket_subprotocol(conn));
    if (visit->says) {
        struct cw_message msg = cw_message_text(visit->says);

        rig_check(cw_conn_send(conn, &msg) >= 0);
    }
    if (!visit->says && visit->rounds == 0 && !visit->then) {
        cw_conn_abort(conn);
    }
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct ws_visit *visit = user;
    size_t room = sizeof visit->got - 1 - visit->len;
    size_t len = msg->body.len < room ? msg->body.len : room;

    if (len > 0) {
        memcpy(visit->got + visit->len, msg->body.data, len);
    }
    visit->len += len;
    visit->got[visit->len] = '\0';
    visit->messages++;
    if (visit->then) {
        visit->then(visit, conn, msg);
    }
    if (visit->rounds > 0 && visit->messages >= visit->rounds) {
        cw_conn_close(conn);
    }
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct ws_visit *visit = user;

    if (visit->closed < WS_CLOSES_MAX) {
        visit->peer_codes[visit->closed] = reason->peer_code;
    }
    visit->closed++;
    visit->reason = *reason;
    count_attempt(visit);
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    struct ws_visit *visit = user;

    visit->failed++;
    visit->report = *report;
    if (report->conn) {
        visit->status = cw_websocket_status(report->conn);
    }
    count_attempt(visit);
}

const struct cw_hooks ws_visit_hooks = {
    .on_connection = on_connection, .on_data = on_data, .on_close = on_close, .on_error = on_error};

/* ---- its life ---- */

void ws_visit_begin(struct ws_visit *visit)
{
    visit->loop = cw_loop_new();
    rig_check(visit->loop);
}

int64_t ws_visit_to(struct ws_visit *visit, const char *format, ...)
{
    char url[512];
    va_list args;

    va_start(args, format);
    vsnprintf(url, sizeof url, format, args);
    va_end(args);
    visit->options.user = visit;
    visit->id =
        cw_websocket_connect(visit->loop, url, &ws_visit_hooks, &visit->options, &visit->connect);
    return visit->id;
}

void ws_visit_run(struct ws_visit *visit)
{
    rig_check(cw_loop_run(visit->loop) == 0);
    cw_loop_free(visit->loop);
    visit->loop = NULL;
}

/* ---- a server's part ---- */

void ws_accept_of(const char *request, char accept[29])
{
    static const char name[] = "\r\nSec-WebSocket-Key: ";
    const char *key = strstr(request, name);
    char text[128];
    uint8_t sum[20];
    size_t len;

    rig_check(key);
    key += sizeof name - 1;
    snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)strcspn(key, "\r"),
             key);
    rig_check(mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1), (const uint8_t *)text,
                         strlen(text), sum) == 0);
    rig_check(mbedtls_base64_encode((uint8_t *)accept, 29, &len, sum, sizeof sum) == 0);
}
