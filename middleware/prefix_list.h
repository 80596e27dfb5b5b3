/* A list of IP prefixes that is asked about every datagram: the time grows with the logarithm of its length. */
#ifndef CAUSEWAY_MIDDLEWARE_PREFIX_LIST_H
#define CAUSEWAY_MIDDLEWARE_PREFIX_LIST_H

#include <causeway/address.h>

struct cw_prefix_list;

/* Makes a list.
 *
 * texts    `10.0.0.0/8`, NULL at the end; not needed afterwards
 * wrong    *wrong is the first that is no prefix, NULL otherwise
 * returns  yours; NULL: memory ran out, or *wrong says why
 * thread   any */
struct cw_prefix_list *cw_prefix_list_new(const char *const *texts, const char **wrong);

/* Frees it. NULL is allowed.
 *
 * thread   any */
void cw_prefix_list_free(struct cw_prefix_list *list);

/* Whether one of them contains the address. False across families, and without an IP address.
 *
 * thread   any */
bool cw_prefix_list_contains(const struct cw_prefix_list *list, const struct cw_address *address);

#endif
