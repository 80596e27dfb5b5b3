/* Reports of what went wrong, to on_error or to the log. */
#ifndef CW_REPORT_H
#define CW_REPORT_H

#include "service_impl.h"

struct cw_error_report;

/* To the service's on_error; without one, to the log. The log gets at most ten lines a second and a hundred a minute of
 * each kind from each loop, and is told how many were left out; so it is with the next two. */
void cw_report(struct cw_loop *loop, const struct cw_service_ref *service,
               struct cw_error_report *report);

/* The same of a listener's datagrams. Anybody can cause such reports: they are no warnings, and their lines take nobody else's place. */
void cw_report_datagram(struct cw_loop *loop, const struct cw_service_ref *service,
                        struct cw_error_report *report);

/* To the log: this peer speaks TLS to a port that does not, and its protocol took that for its own bytes. */
void cw_report_hello(struct cw_conn *conn);

/* A refused connection. */
void cw_report_refused(struct cw_loop *loop, const struct cw_service_ref *service, int code,
                       const struct cw_address *peer, uint64_t limit);

/* The end of a connection: counted and reported when it failed, and a line for those who follow each one. */
void cw_report_end(struct cw_conn *conn);

/* Says how many lines were left out and have not been told yet. */
void cw_report_left_out(struct cw_loop *loop);

/* ---- lines at CW_LOG_DEBUG: the life of each connection ---- */

/* where: the listener, or what was connected to. */
void cw_trace_accepted(const struct cw_conn *conn, const char *where);
void cw_trace_connected(const struct cw_conn *conn, const char *where);
void cw_trace_opened(const struct cw_conn *conn);
void cw_trace_switched(const struct cw_conn *conn, const struct cw_service_ref *next);

#endif
