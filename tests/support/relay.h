#ifndef CAUSEWAY_TESTS_RELAY_H
#define CAUSEWAY_TESTS_RELAY_H

/* A bad line for datagrams, on loopback: clients send to the relay's port, and each of them has a socket of its own towards the server,
 * so that the server sees as many peers.
 *
 * ```c
 * static const struct rig_step steps[] = {{.at = 2, .what = RIG_DROP}, {.at = 3, .what = RIG_HOLD, .amount = 1}};
 * struct rig_relay *relay = rig_relay_start("127.0.0.1", rig_host_port(host, 0), 7);
 * rig_relay_set(relay, RIG_UP, &(struct rig_faults){.steps = steps, .step_count = 2});
 * rig_relay_set(relay, RIG_DOWN, &(struct rig_faults){.per_mille = {[RIG_DROP] = 300, [RIG_DOUBLE] = 100}});
 * … clients use rig_relay_port(relay) …
 * rig_relay_end(relay);
 * ```
 *
 * What is done to a datagram depends on the seed, on the number of its client (in the order in which they were heard of first), on its
 * way and on how many came that way from this client before it; on nothing else. So two runs that send the same lose the same. A line
 * without faults delivers everything in order, as long as the kernel's buffers hold it.
 *
 * Everything may be called from any thread. What cannot be fails the test. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rig_relay;

enum {
    RIG_RELAY_CLIENTS_MAX = 1000, /* one more fails the test */
    RIG_RELAY_HELD_MAX = 64, /* of one client and way; what should wait beside them passes at once */
};

enum rig_way {
    RIG_UP,   /* from clients to the server */
    RIG_DOWN, /* back */
    RIG_WAYS,
};

/* What happens to a datagram. */
enum rig_mischief {
    RIG_PASS,
    RIG_DROP,
    RIG_DOUBLE, /* once now, and once more behind `amount` later ones of this client and way */
    RIG_HOLD,   /* delivered behind `amount` later ones */
    RIG_CHANGE, /* the byte at `amount`, modulo the length, becomes another; an empty one passes */
    RIG_CUT,    /* only `amount` bytes of it are left */
    RIG_MISCHIEFS,
};

/* Later ones that do not come: the datagram waits for rig_relay_release. */
#define RIG_FOR_LONG SIZE_MAX

/* One datagram that is meant by its number. */
struct rig_step {
    unsigned client; /* from 1; 0: every client's */
    size_t at;       /* from 1, in what came from this client on this way since the relay started */
    enum rig_mischief what;
    size_t amount;
};

/* What happens on one way. Zero: nothing. */
struct rig_faults {
    const struct rig_step *
        steps; /* these first, the first that fits. Borrowed until other faults are set or the relay ends */
    size_t step_count;
    unsigned per_mille
        [RIG_MISCHIEFS]; /* chances of all others; their sum is at most 1000, and RIG_PASS has what is left */
    size_t amount_max; /* by chance RIG_DOUBLE and RIG_HOLD wait for 1 to so many. 0: 3 */
    bool closed;       /* all are dropped, whatever is said above */
};

/* What a way has seen. */
struct rig_line_counts {
    uint64_t received;
    uint64_t received_bytes;
    uint64_t delivered; /* taken by the kernel, second ones and held ones too */
    uint64_t delivered_bytes;
    uint64_t done[RIG_MISCHIEFS]; /* how often what was done; their sum is received */
    uint64_t waiting;             /* held, or second ones, at this moment */
    uint64_t injected;            /* of those delivered */
    uint64_t refused; /* answers that nobody listens where something was delivered (ICMP) */
};

/* Starts a relay in front of a server, in a thread. host is numeric, 127.0.0.1 or ::1; the relay listens there, too. */
struct rig_relay *rig_relay_start(const char *host, uint16_t port, uint64_t seed);

/* Where clients have to send to. */
uint16_t rig_relay_port(const struct rig_relay *relay);

/* Puts other faults in force. NULL: none. What is held goes on waiting. */
void rig_relay_set(struct rig_relay *relay, enum rig_way way, const struct rig_faults *faults);

/* Delivers what is held on a way, in the order in which it came. */
void rig_relay_release(struct rig_relay *relay, enum rig_way way);

struct rig_line_counts rig_relay_counts(struct rig_relay *relay, enum rig_way way);

/* Clients so far. */
unsigned rig_relay_clients(struct rig_relay *relay);

/* The number of the client that sends from this port of its own; 0: not heard of. */
unsigned rig_relay_client(struct rig_relay *relay, uint16_t port);

/* Where the server thinks that a client is: a port of the relay's host. */
uint16_t rig_relay_port_of(struct rig_relay *relay, unsigned client);

/* Gives a client another address, as a NAT does that has forgotten it. What the server still sends to the old one is lost, and counted
 * nowhere. */
void rig_relay_rebind(struct rig_relay *relay, unsigned client);

/* Sends a datagram that nobody has sent: to the server from a client's address, or to the client from the server's. */
void rig_relay_inject(struct rig_relay *relay, unsigned client, enum rig_way way, const void *data,
                      size_t len);

/* Ends the thread and closes everything; what is held is lost. NULL is allowed. */
void rig_relay_end(struct rig_relay *relay);

#endif
