/* Reports of what went wrong. */
#include "report.h"

#include "conn_impl.h"

#include <causeway/log.h>

#include <stdio.h>

enum { LOGGED_PER_SECOND = 10 };

static void to_log(const struct cw_error_report *report)
{
    char peer[CW_ADDRESS_TEXT_MAX] = "";
    enum cw_log_level level = report->conn_id || report->limit ? CW_LOG_INFO : CW_LOG_ERROR;

    if (report->address && report->address->family != CW_FAMILY_NONE) {
        cw_address_print(report->address, peer);
    }
    cw_log(level, report->conn_id, "%s%s%s (%s)", peer, peer[0] ? ": " : "", report->text,
           cw_error_name(report->code));
    if (report->repeated > 0) {
        cw_log(level, 0, "%llu more like the one before were left out",
               (unsigned long long)report->repeated);
    }
}

void cw_report(struct cw_loop *loop, const struct cw_service_ref *service,
               struct cw_error_report *report)
{
    report->tls_alert = CW_NO_ALERT;
    if (service && service->hooks.on_error) {
        service->hooks.on_error(loop->server, report, service->user);
    } else {
        to_log(report);
    }
}

/* Whether this one still goes into the log; counts those that do not. */
static bool may_log(struct cw_loop *loop, int code, uint64_t *left_out)
{
    size_t kind = code == CW_ECONNSMAX      ? 0
                  : code == CW_EADDRESSMAX  ? 1
                  : code == CW_EDESCRIPTORS ? 2
                                            : 3;
    uint64_t second = loop->now_ms / 1000;

    if (loop->log_quota[kind].second != second) {
        *left_out = loop->log_quota[kind].left_out;
        loop->log_quota[kind].second = second;
        loop->log_quota[kind].left_out = 0;
        loop->log_quota[kind].logged = 0;
    }
    if (loop->log_quota[kind].logged < LOGGED_PER_SECOND) {
        loop->log_quota[kind].logged++;
        return true;
    }
    loop->log_quota[kind].left_out++;
    return false;
}

void cw_report_refused(struct cw_loop *loop, const struct cw_service_ref *service, int code,
                       const struct cw_address *peer, uint64_t limit)
{
    struct cw_error_report report = {.code = code, .address = peer, .limit = limit};

    if (limit > 0) {
        snprintf(report.text, sizeof report.text, "accept: %s (%llu)", cw_strerror(code),
                 (unsigned long long)limit);
    } else {
        snprintf(report.text, sizeof report.text, "accept: %s", cw_strerror(code));
    }
    if (service->hooks.on_error || may_log(loop, code, &report.repeated)) {
        report.limit = limit;
        cw_report(loop, service, &report);
    }
}

static void say_why(const struct cw_conn *conn, char *text, size_t cap)
{
    const char *step =
        conn->phase == CW_PHASE_HANDSHAKING ? "handshake" : conn->service->protocol->name;
    const char *what =
        conn->extra && conn->extra->text[0] ? conn->extra->text : cw_strerror(conn->code);

    snprintf(text, cap, "%s: %s", step, what);
}

void cw_report_conn(struct cw_conn *conn)
{
    struct cw_error_report report = {
        .code = conn->code,
        .os_errno = conn->os_errno,
        .conn_id = cw_conn_id(conn),
        .conn = conn,
        .address = &conn->peer,
    };

    say_why(conn, report.text, sizeof report.text);
    cw_report(conn->loop, conn->service, &report);
}
