/* A service made ready, and where a connection comes from. Both are counted: a connection holds its own. */
#ifndef CW_SERVICE_IMPL_H
#define CW_SERVICE_IMPL_H

#include <causeway/protocol.h>
#include <causeway/server.h>

#include <stdatomic.h>

struct cw_client;
struct cw_tls;

struct cw_service_ref {
    atomic_size_t holds;
    const struct cw_protocol *protocol;
    struct cw_hooks hooks;
    void *user;
    void *options;   /* NULL: the protocol has none */
    size_t out_high; /* of its connections' queues. 0: as their limits say */
};

void cw_service_drop(struct cw_service_ref *service);

/* Limits and times of connections, defaults filled in. Ticks of 16 ms; 0: off. */
struct cw_limits {
    uint32_t idle;
    uint32_t read;
    uint32_t write;
    uint32_t handshake;
    uint32_t drain;
    size_t in_max;
    size_t out_high;
    size_t out_low;
    size_t out_max;
    size_t reads_per_turn;
    uint32_t messages_per_turn;
    bool half_open;
    bool read_while_full;
};

/* A listener's or a client's share in its connections. */
struct cw_origin {
    atomic_size_t holds;
    struct cw_service_ref *service;
    struct cw_limits limits;
    enum cw_role role;
    struct cw_tls *tls;      /* NULL: plain. Held */
    int64_t client;          /* CW_CLIENT: the client's id */
    struct cw_client *owner; /* CW_CLIENT: NULL once the client has ended */
    bool counts_address;     /* CW_SERVER: its peers are counted by address */
    const struct cw_datagram_options
        *datagram; /* of a client's socket, looked at when it is made; NULL: the defaults */
};

/* Takes over one hold of the service. NULL: no memory (the hold stays the caller's). */
struct cw_origin *cw_origin_new(struct cw_service_ref *service, const struct cw_limits *limits,
                                enum cw_role role);
struct cw_origin *cw_origin_hold(struct cw_origin *origin);
void cw_origin_drop(struct cw_origin *origin);

/* What stands before `://` where its listener is named. */
const char *cw_origin_scheme(const struct cw_origin *origin);

#endif
