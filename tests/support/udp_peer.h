#ifndef CAUSEWAY_TESTS_UDP_PEER_H
#define CAUSEWAY_TESTS_UDP_PEER_H

/* A plain peer of datagrams: a socket with a deadline on everything. What does not happen in time, or happens otherwise than
 * expected, ends the process with abort() and says what came instead. Works on any thread.
 *
 * ```c
 * struct rig_udp peer = rig_udp_to(rig_host_port(host, 0));
 * rig_udp_send_text(&peer, "hello");
 * rig_udp_expect(&peer, "hello");
 * rig_udp_close(&peer);
 * ```
 *
 * The kernel of one machine loses a datagram only when a receive buffer is full, and keeps the order: what a server was
 * sent before a question has been dealt with when the answer is there. So nobody has to wait for what must not come. */

#include <causeway/address.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RIG_UDP_MAX = 65507 }; /* bytes of the largest datagram over IPv4 */

struct rig_udp {
    int fd;               /* -1: closed */
    struct cw_address to; /* where it sends to, and the only place that anything may come from */
};

/* ---- open ---- */

/* From 127.0.0.1, any port, to a port of 127.0.0.1. */
struct rig_udp rig_udp_to(uint16_t port);

/* From an address of this machine to another, both as text and with a port or without: `127.0.0.2`, `[::1]:7000`. An
 * address to send to that is NULL, or without a port, is set later by rig_udp_turn. */
struct rig_udp rig_udp_open(const char *own, const char *to);

/* The same with numbers, and a receive buffer of about so many bytes (0: the system's). */
struct rig_udp rig_udp_open_at(const struct cw_address *own, const struct cw_address *to,
                               int receive_buffer);

/* Two that talk to each other, on 127.0.0.1. */
void rig_udp_pair(struct rig_udp pair[2]);

/* From now on to that address, or to another port of it. */
void rig_udp_turn(struct rig_udp *peer, const char *to);
void rig_udp_turn_port(struct rig_udp *peer, uint16_t port);

/* Whether this machine has an IPv6 loopback. */
bool rig_udp_has_ipv6(void);

/* An address as text, with a port or without; the test fails when it is none. */
struct cw_address rig_address(const char *text);

/* ---- send ---- */

void rig_udp_send(struct rig_udp *peer, const void *data, size_t len);
void rig_udp_send_text(struct rig_udp *peer, const char *text);

/* Returns errno, 0: sent. Does not fail the test. */
int rig_udp_try_send(struct rig_udp *peer, const void *data, size_t len);

/* Several of one length, the last perhaps shorter, in one call that the kernel may keep together (UDP_SEGMENT). False: this
 * kernel cannot. */
bool rig_udp_send_run(struct rig_udp *peer, const void *data, size_t len, uint16_t segment);

/* From a peer that is bound to all addresses, as if from one of them (127.0.0.0/8 are all this machine's): so one socket is
 * as many peers as wanted. The port is its own. `from` has at most 64 entries. Returns how many were sent. */
size_t rig_udp_send_as(struct rig_udp *peer, const struct cw_address *from, size_t count,
                       const void *data, size_t len);

/* ---- receive ---- */

/* One datagram, which has to fit. Returns its length. */
size_t rig_udp_receive(struct rig_udp *peer, void *buffer, size_t cap);

/* The same from anywhere. */
size_t rig_udp_receive_from(struct rig_udp *peer, void *buffer, size_t cap, struct cw_address *from);

/* The next one is this text, or these bytes. */
void rig_udp_expect(struct rig_udp *peer, const char *text);
void rig_udp_expect_bytes(struct rig_udp *peer, const void *data, size_t len);

/* Takes one if one waits, and cuts it to what fits: its length, or -1. */
ptrdiff_t rig_udp_try_receive(struct rig_udp *peer, void *buffer, size_t cap);

/* Drops all that waits. Returns how many. */
size_t rig_udp_forget(struct rig_udp *peer);

/* Nothing waits: for when what could have come must be there already. */
void rig_udp_expect_nothing(struct rig_udp *peer);

/* Sends a text to a server that echoes and has it back next: nothing else was on its way. */
void rig_udp_expect_echo(struct rig_udp *peer, const char *text);

/* ---- end ---- */

void rig_udp_close(struct rig_udp *peer);

/* This side's address and port. */
struct cw_address rig_udp_address(const struct rig_udp *peer);
uint16_t rig_udp_port(const struct rig_udp *peer);

#endif
