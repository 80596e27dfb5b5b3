/* Reports of what went wrong, to on_error or to the log. */
#ifndef CW_REPORT_H
#define CW_REPORT_H

#include "service_impl.h"

struct cw_error_report;

/* To the service's on_error; without one, to the log. */
void cw_report(struct cw_loop *loop, const struct cw_service_ref *service,
               struct cw_error_report *report);

/* A refused connection. The log gets at most ten a second of each code. */
void cw_report_refused(struct cw_loop *loop, const struct cw_service_ref *service, int code,
                       const struct cw_address *peer, uint64_t limit);

#endif
