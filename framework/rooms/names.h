/* Things by name, in chains of a table that grows. A thing holds its own entry, so that nothing is allocated to put it
 * in and nothing can fail. */
#ifndef CW_NAMES_H
#define CW_NAMES_H

#include <causeway/types.h>

/* A name and its hash under the server's seed. */
struct cw_name {
    const char *text; /* no terminator is needed */
    size_t len;
    uint64_t hash;
};

/* First member of what is to be found by name. */
struct cw_named {
    struct cw_named *next;
    struct cw_name name; /* the text belongs to the thing */
};

struct cw_names {
    struct cw_named **chains;
    size_t chain_count; /* a power of two */
    size_t count;
};

/* 0 or CW_ENOMEM. */
int cw_names_init(struct cw_names *names);

/* Frees the table; what is in it is the caller's. */
void cw_names_release(struct cw_names *names);

/* NULL: not there. */
struct cw_named *cw_names_find(const struct cw_names *names, const struct cw_name *name);

/* Not one that is there already. */
void cw_names_add(struct cw_names *names, struct cw_named *named);

/* One that is there. */
void cw_names_remove(struct cw_names *names, struct cw_named *named);

/* The first one (`at` NULL), or the one after `at`, in no order; NULL: no more. Nothing may be added in between, and
 * only ones that have been passed removed. */
struct cw_named *cw_names_next(const struct cw_names *names, const struct cw_named *at);

#endif
