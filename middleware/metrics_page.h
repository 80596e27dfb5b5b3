/* A page of figures in the text format of Prometheus, and the figures that every server has. */
#ifndef CAUSEWAY_MIDDLEWARE_METRICS_PAGE_H
#define CAUSEWAY_MIDDLEWARE_METRICS_PAGE_H

#include <causeway/types.h>

/* Zeros at first. */
struct cw_metrics_page {
    char *bytes; /* to be given back with cw_release */
    size_t len;
    size_t cap;
    bool failed; /* no memory: something is missing */
};

/* Adds text. */
void cw_page_say(struct cw_metrics_page *page, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A label's value: backslash, quote and line feed are escaped. */
void cw_page_escaped(struct cw_metrics_page *page, const char *value);

/* Seconds with the decimal point that Prometheus wants. */
void cw_page_seconds(struct cw_metrics_page *page, uint64_t us);

/* The head of a family: its names have `causeway_` in front, here and below. */
void cw_page_family(struct cw_metrics_page *page, const char *name, const char *type,
                    const char *help);

/* One figure of a family, with a label. */
void cw_page_labelled(struct cw_metrics_page *page, const char *name, const char *label,
                      const char *value, uint64_t count);

/* A family of one figure. */
void cw_page_one(struct cw_metrics_page *page, const char *name, const char *type, const char *help,
                 uint64_t value);

/* The figures of the server, whatever it speaks.
 *
 * thread   any */
void cw_page_server(struct cw_metrics_page *page, const struct cw_server *server);

#endif
