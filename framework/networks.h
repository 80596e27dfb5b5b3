/* A list of networks that is read on every thread and may be replaced meanwhile. */
#ifndef CW_NETWORKS_H
#define CW_NETWORKS_H

#include <causeway/address.h>
#include <causeway/protocol.h>

#include <pthread.h>
#include <stdatomic.h>

enum { CW_NETWORKS_MAX = 256 };

struct cw_networks {
    pthread_mutex_t lock;
    atomic_size_t count;
    struct cw_cidr *list; /* as many; NULL: none */
};

void cw_networks_init(struct cw_networks *networks);
void cw_networks_clear(struct cw_networks *networks);

/* Replaces the list by that of a text: `10.0.0.0/8, ::1`; NULL or "": none.
 *
 * networks  NULL: it is only checked
 * returns   0; CW_EINVAL with the complaint worded, CW_ENOMEM: nothing has changed
 * thread    any */
int cw_networks_set(struct cw_networks *networks, const char *text, struct cw_complaint *complaint);

/* Whether one of them holds the address. False for unix sockets.
 *
 * thread  any */
bool cw_networks_hold(struct cw_networks *networks, const struct cw_address *address);

#endif
