#ifndef CW_ACCESS_LINE_H
#define CW_ACCESS_LINE_H

/* One line of an access log: from what is known of a request to bytes, without printf. */

#include <causeway/address.h>
#include <causeway/middleware/access_log.h>

/* What many lines have in common, printed once: the moment, for all lines of the same second, and the client, for lines in a
 * row. Zero at first. */
struct cw_access_common {
    int64_t second; /* since 1970 */
    unsigned ms;
    char combined[27]; /* 21/Nov/2026:11:15:02 +0000 */
    char iso[20];      /* 2026-11-21T11:15:02 */
    struct cw_address client;
    uint8_t client_len; /* 0: none was printed yet */
    char client_text[48];
};

/* What a line tells. Texts with data NULL are not there. */
struct cw_access_entry {
    const struct cw_address *client;
    struct cw_span user;
    struct cw_span method;
    struct cw_span target;
    struct cw_span host;
    struct cw_span referer;
    struct cw_span agent;
    struct cw_span id;
    struct cw_span route;
    int version; /* 10, 11; 0: not known */
    int status;  /* 0: none has left */
    int code;    /* of struct cw_http_outcome */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t took_us;
    bool refused; /* at its head: there is no more to tell than client and status */
};

/* Sets the moment. */
void cw_access_set_time(struct cw_access_common *common, int64_t second, unsigned ms);

/* How lines look. */
struct cw_access_style {
    enum cw_access_log_format format;
    size_t text_max; /* bytes of target, Referer and User-Agent that are printed */
};

/* Room that the line of an entry needs at most. */
size_t cw_access_line_max(const struct cw_access_entry *entry, const struct cw_access_style *style);

/* The same for any entry. */
size_t cw_access_line_most(const struct cw_access_style *style);

/* Prints it, with its end. Returns its length. */
size_t cw_access_line(const struct cw_access_entry *entry, const struct cw_access_style *style,
                      struct cw_access_common *common, uint8_t *to);

#endif
