/* Members of options structs by table: what zero means, what is allowed. */
#ifndef CW_OPTIONS_H
#define CW_OPTIONS_H

#include <causeway/client.h>
#include <causeway/protocol.h>

/* What a member may say beside a number. */
enum {
    CW_MAY_OFF = 1,
    CW_MAY_NO_LIMIT = 2,
    CW_MAY_PER_CORE = 4,
    CW_IS_DURATION = 8, /* at most a year; longer is a mistake in the unit */
    CW_AT_START = 16,   /* of a server: cw_server_update leaves it alone */
};

/* One uint64_t of an options struct. */
struct cw_option_rule {
    const char *name;
    size_t offset;
    uint64_t standard; /* what zero means; 0: it stays zero */
    uint64_t max;      /* of a duration not looked at */
    unsigned flags;
};

/* Checks the members and fills in the defaults. 0, or CW_EINVAL with the complaint worded. */
int cw_options_apply(void *options, const struct cw_option_rule *rules, size_t count,
                     struct cw_complaint *complaint);

/* The members of struct cw_server_options that are numbers. */
const struct cw_option_rule *cw_server_option_rules(size_t *count);

/* TCP options of a listener, a client, or an open connection. 0, or CW_EINVAL with the complaint worded. */
int cw_tcp_options_check(const struct cw_tcp_options *options, struct cw_complaint *complaint);

/* Whether a member of them is not zero. */
bool cw_tcp_options_are_given(const struct cw_tcp_options *options);

/* cw_tcp_options_check for the options of a connection that we make. as_server: receives what its limits follow from. */
int cw_connect_options_fill(struct cw_connect_options *options, struct cw_server_options *as_server,
                            struct cw_complaint *complaint);

/* The same for those of a pool, its connect options left aside. */
int cw_pool_options_fill(struct cw_pool_options *options, struct cw_complaint *complaint);

#endif
