/* Reports of what went wrong. */
#include "report.h"

#include "conn_impl.h"
#include "connector_impl.h"

#include <causeway/log.h>

#include <inttypes.h>
#include <stdio.h>

enum { LOGGED_PER_SECOND = 10, LOGGED_PER_MINUTE = 100 };

/* How much each kind matters, and what it is called where lines of it were left out. */
static const struct {
    enum cw_log_level level;
    const char *name;
} kinds[CW_LOGGED_KINDS] = {
    [CW_LOGGED_CONNS_MAX] = {CW_LOG_WARNING, "connections above conns_max"},
    [CW_LOGGED_ADDRESS_MAX] = {CW_LOG_WARNING, "connections above conns_per_ip_max"},
    [CW_LOGGED_DESCRIPTORS] = {CW_LOG_ERROR, "missing descriptors"},
    [CW_LOGGED_REFUSED] = {CW_LOG_WARNING, "connections refused by a rule"},
    [CW_LOGGED_CONN] = {CW_LOG_INFO, "connections that failed"},
    [CW_LOGGED_LIMIT] = {CW_LOG_WARNING, "connections closed by a limit"},
    [CW_LOGGED_DATAGRAM] = {CW_LOG_INFO, "datagrams"},
    [CW_LOGGED_REPORT] = {CW_LOG_WARNING, "connecting and rooms"},
    [CW_LOGGED_TROUBLE] = {CW_LOG_ERROR, "trouble of this process"},
};

/* What peers cause is no error of this process; what it lacks itself is, whoever meets it. */
static enum cw_log_kind kind_of(int code, enum cw_log_kind otherwise)
{
    switch (code) {
    case CW_ECONNSMAX:
        return CW_LOGGED_CONNS_MAX;
    case CW_EADDRESSMAX:
        return CW_LOGGED_ADDRESS_MAX;
    case CW_EDESCRIPTORS:
        return CW_LOGGED_DESCRIPTORS;
    case CW_ERATE:
    case CW_ESLOW:
    case CW_EDENIED:
        return otherwise == CW_LOGGED_CONN ? CW_LOGGED_LIMIT : otherwise;
    case CW_ENOMEM:
    case CW_EOS:
        return CW_LOGGED_TROUBLE;
    default:
        return otherwise;
    }
}

static void tell_left_out(struct cw_loop *loop, enum cw_log_kind kind)
{
    struct cw_log_quota *quota = &loop->log_quota[kind];

    if (quota->left_out > 0) {
        cw_log(kinds[kind].level, 0, "%" PRIu64 " more lines about %s were left out",
               quota->left_out, kinds[kind].name);
        quota->left_out = 0;
    }
}

void cw_report_left_out(struct cw_loop *loop)
{
    for (int kind = 0; kind < CW_LOGGED_KINDS; kind++) {
        tell_left_out(loop, (enum cw_log_kind)kind);
    }
}

/* Peers can cause lines as often as they like, and the disk is ours. */
static bool may_log(struct cw_loop *loop, enum cw_log_kind kind)
{
    struct cw_log_quota *quota = &loop->log_quota[kind];
    uint64_t second = loop->now_ms / 1000;

    if (!cw_log_takes(kinds[kind].level)) {
        return false;
    }
    if (quota->second != second) {
        quota->second = second;
        quota->in_second = 0;
    }
    if (quota->minute != second / 60) {
        quota->minute = second / 60;
        quota->in_minute = 0;
    }
    if (quota->in_second >= LOGGED_PER_SECOND || quota->in_minute >= LOGGED_PER_MINUTE) {
        quota->left_out++;
        return false;
    }
    quota->in_second++;
    quota->in_minute++;
    tell_left_out(loop, kind);
    return true;
}

static void to_log(struct cw_loop *loop, const struct cw_error_report *report, enum cw_log_kind kind)
{
    char peer[CW_ADDRESS_TEXT_MAX] = "";

    if (!may_log(loop, kind)) {
        return;
    }
    if (report->address && report->address->family != CW_FAMILY_NONE) {
        cw_address_print(report->address, peer);
    }
    cw_log(kinds[kind].level, report->conn_id, "%s%s%s (%s)", peer, peer[0] ? ": " : "",
           report->text, cw_error_name(report->code));
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
        to_log(loop, report, kind_of(report->code, CW_LOGGED_REPORT));
    }
}

void cw_report_datagram(struct cw_loop *loop, const struct cw_service_ref *service,
                        struct cw_error_report *report)
{
    if (!tell(loop, service, report)) {
        to_log(loop, report, kind_of(report->code, CW_LOGGED_DATAGRAM));
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
    if (!tell(loop, service, &report)) {
        to_log(loop, &report, kind_of(code, CW_LOGGED_REFUSED));
    }
}

/* ---- connections ---- */

static const char *reason_of(const struct cw_conn *conn)
{
    return conn->extra && conn->extra->text[0] ? conn->extra->text : cw_strerror(conn->code);
}

static void report_conn(struct cw_conn *conn)
{
    struct cw_error_report report = {
        .code = conn->code,
        .os_errno = cw_conn_os_errno(conn),
        .tls_alert = conn->extra ? conn->extra->tls_alert : 0,
        .conn_id = cw_conn_id(conn),
        .conn = conn,
        .address = &conn->peer,
    };
    bool opened = (conn->flags & CW_PROTOCOL_OPEN) != 0;
    const char *step = cw_conn_is_of_tls(conn->code) ? "tls"
                       : opened                      ? conn->service->protocol->name
                                                     : "handshake";

    const char *target = cw_client_connecting_to(conn);

    snprintf(report.text, sizeof report.text, "%s%.60s%s%s: %s", target ? "connect " : "",
             target ? target : "", target ? ": " : "", step, reason_of(conn));
    if (!tell(conn->loop, conn->service, &report) &&
        !tell(conn->loop, conn->origin->service, &report)) {
        to_log(conn->loop, &report, kind_of(conn->code, CW_LOGGED_CONN));
    }
}

void cw_report_hello(struct cw_conn *conn)
{
    struct cw_error_report report = {
        .code = CW_EISTLS, .conn_id = cw_conn_id(conn), .address = &conn->peer};

    snprintf(report.text, sizeof report.text, "%s: the first bytes are a TLS hello",
             conn->service->protocol->name);
    to_log(conn->loop, &report, kind_of(CW_EISTLS, CW_LOGGED_CONN));
}

void cw_report_end(struct cw_conn *conn)
{
    if (conn->flags & CW_FAILED) {
        cw_count(&conn->loop->counters.closed_by_error, 1);
        report_conn(conn);
    }
    if (!cw_log_takes(CW_LOG_DEBUG)) {
        return;
    }
    cw_log(CW_LOG_DEBUG, cw_conn_id(conn),
           "ended: %s (%s); %" PRIu64 " bytes in, %" PRIu64 " bytes out", reason_of(conn),
           cw_error_name(conn->code), conn->bytes_in, conn->bytes_out);
}

/* An address is put into words only when somebody reads them. */
static void trace_peer(const struct cw_conn *conn, const char *what, const char *join,
                       const char *where)
{
    char peer[CW_ADDRESS_TEXT_MAX];

    if (cw_log_takes(CW_LOG_DEBUG)) {
        cw_log(CW_LOG_DEBUG, cw_conn_id(conn), "%s %s %s %s", what,
               cw_address_print(&conn->peer, peer), join, where);
    }
}

void cw_trace_accepted(const struct cw_conn *conn, const char *where)
{
    trace_peer(conn, "accepted from", "on", where);
}

void cw_trace_connected(const struct cw_conn *conn, const char *where)
{
    trace_peer(conn, "connected to", "for", where);
}

void cw_trace_opened(const struct cw_conn *conn)
{
    cw_log(CW_LOG_DEBUG, cw_conn_id(conn), "open: %s", conn->service->protocol->name);
}

void cw_trace_switched(const struct cw_conn *conn, const struct cw_service_ref *next)
{
    cw_log(CW_LOG_DEBUG, cw_conn_id(conn), "switched: %s to %s", conn->service->protocol->name,
           next->protocol->name);
}
