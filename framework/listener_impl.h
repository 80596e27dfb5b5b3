/* What the files of the listeners share. */
#ifndef CW_LISTENER_IMPL_H
#define CW_LISTENER_IMPL_H

#include "loop_impl.h"

#include <causeway/types.h>

#include <stdbool.h>
#include <sys/types.h>

/* One socket on one loop. */
struct cw_listener {
    struct cw_listener *next;
    struct cw_loop *loop;
    struct cw_listen_entry *entry;
    struct cw_origin *origin; /* of the connections from here on */
    int fd;
    struct cw_datagram_socket *datagrams; /* in the place of the next three; owns fd */
    struct event *event;
    struct event *rest;
    bool resting;
    bool owns_path;
    dev_t path_device;
    ino_t path_inode;
    struct cw_address address;
};

/* Puts a bound socket behind the loop's other listeners and owns it from here on, when it fails too: then NULL, no memory. */
struct cw_listener *cw_listener_add(struct cw_loop *loop, struct cw_listen_entry *entry, int fd);

/* Whether its service speaks in datagrams. */
bool cw_listener_is_of_datagrams(const struct cw_listen_entry *entry);

#endif
