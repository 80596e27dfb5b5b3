/* Reports of what went wrong. */
#include "report.h"

#include "conn_impl.h"

#include <causeway/log.h>

#include <stdio.h>

enum { LOGGED_PER_SECOND = 10 };

/* What peers can cause as often as they like. A loop's log takes ten lines a second of each kind, and then says how
 * many it left out. */
static enum cw_log_kind kind_of(int code)
{
    switch (code) {
    case CW_ECONNSMAX:
        return CW_LOGGED_CONNS_MAX;
    case CW_EADDRESSMAX:
        return CW_LOGGED_ADDRESS_MAX;
    case CW_EDESCRIPTORS:
        return CW_LOGGED_DESCRIPTORS;
    default:
        return CW_LOGGED_REFUSED;
    }
}

static bool may_log(struct cw_loop *loop, enum cw_log_kind kind)
{
    uint64_t second = loop->now_ms / 1000;

    if (loop->log_quota[kind].second != second) {
        if (loop->log_quota[kind].left_out > 0) {
            cw_log(CW_LOG_INFO, 0, "%llu lines like those before were left out",
                   (unsigned long long)loop->log_quota[kind].left_out);
        }
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

static void to_log(const struct cw_error_report *report, enum cw_log_level level)
{
    char peer[CW_ADDRESS_TEXT_MAX] = "";

    if (report->address && report->address->family != CW_FAMILY_NONE) {
        cw_address_print(report->address, peer);
    }
    cw_log(level, report->conn_id, "%s%s%s (%s)", peer, peer[0] ? ": " : "", report->text,
           cw_error_name(report->code));
}

/* To on_error, where there is one. Returns whether there is. */
static bool tell(struct cw_loop *loop, const struct cw_service_ref *service,
                 struct cw_error_report *report)
{
    report->tls_alert = report->tls_alert > 0 ? report->tls_alert : CW_NO_ALERT;
    if (!service || !service->hooks.on_error) {
        return false;
    }
    service->hooks.on_error(loop->server, report, service->user);
    return true;
}

void cw_report(struct cw_loop *loop, const struct cw_service_ref *service,
               struct cw_error_report *report)
{
    if (!tell(loop, service, report)) {
        to_log(report, CW_LOG_ERROR);
    }
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
    if (!tell(loop, service, &report) && may_log(loop, kind_of(code))) {
        to_log(&report, code == CW_EDESCRIPTORS ? CW_LOG_ERROR : CW_LOG_INFO);
    }
}

static void say_why(const struct cw_conn *conn, char *text, size_t cap)
{
    bool of_tls = cw_conn_is_of_tls(conn->code);
    const char *step = of_tls                                ? "tls"
                       : conn->phase == CW_PHASE_HANDSHAKING ? "handshake"
                                                             : conn->service->protocol->name;
    const char *what =
        conn->extra && conn->extra->text[0] ? conn->extra->text : cw_strerror(conn->code);

    snprintf(text, cap, "%s: %s", step, what);
}

void cw_report_conn(struct cw_conn *conn)
{
    struct cw_error_report report = {
        .code = conn->code,
        .os_errno = conn->os_errno,
        .tls_alert = conn->extra ? conn->extra->tls_alert : 0,
        .conn_id = cw_conn_id(conn),
        .conn = conn,
        .address = &conn->peer,
    };

    say_why(conn, report.text, sizeof report.text);
    if (!tell(conn->loop, conn->service, &report) && may_log(conn->loop, CW_LOGGED_CONN)) {
        to_log(&report, CW_LOG_INFO);
    }
}
