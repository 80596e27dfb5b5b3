#ifndef CAUSEWAY_TESTS_PEER_H
#define CAUSEWAY_TESTS_PEER_H

/* A scripted peer: a blocking socket with a deadline on everything. What does not happen in time, or happens
 * otherwise than expected, ends the process with abort() and says what came instead. Works on any thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rig_peer {
    int fd; /* -1: closed */
};

/* ---- connect ---- */

/* To 127.0.0.1. */
struct rig_peer rig_peer_tcp(uint16_t port);

/* The same; fd is -1 when nobody listens there. */
struct rig_peer rig_peer_try_tcp(uint16_t port);

/* To any numeric address, from any address of this machine (NULL: the system chooses), with a receive buffer of
 * about so many bytes (0: the system's; a small one makes a slow reader of it). */
struct rig_peer rig_peer_tcp_from(const char *source, const char *host, uint16_t port,
                                  int receive_buffer);

struct rig_peer rig_peer_unix(const char *path);

/* Whether somebody listens there; does not fail the test. The port is on 127.0.0.1. */
bool rig_port_is_open(uint16_t port);

/* ---- send ---- */

void rig_peer_send(struct rig_peer *peer, const void *data, size_t len);
void rig_peer_send_text(struct rig_peer *peer, const char *text);

/* In pieces of so many bytes; each is with the other side's kernel before the next one follows. */
void rig_peer_send_slowly(struct rig_peer *peer, const void *data, size_t len, size_t piece);

/* Whether all that was sent is with the other side's kernel. */
bool rig_peer_has_arrived(const struct rig_peer *peer);

/* One frame with a 4-byte big-endian length. */
void rig_peer_send_frame(struct rig_peer *peer, const void *data, size_t len);

/* Takes what the kernel takes; returns how much, 0 when it takes nothing now, -1 (and errno) when the connection is
 * gone. Does not fail the test. */
ptrdiff_t rig_peer_try_send(struct rig_peer *peer, const void *data, size_t len);

/* ---- receive ---- */

/* Exactly len bytes. */
void rig_peer_receive(struct rig_peer *peer, void *buffer, size_t len);

/* Exactly this text. */
void rig_peer_expect(struct rig_peer *peer, const char *text);

/* One frame. Returns its length. */
size_t rig_peer_receive_frame(struct rig_peer *peer, void *buffer, size_t cap);

/* What there is, at least a byte. 0: the end; -1: an error, in errno. Fails only when nothing comes in time. */
ptrdiff_t rig_peer_receive_some(struct rig_peer *peer, void *buffer, size_t cap);

/* Everything up to the end in good order. Returns how many bytes it was. */
size_t rig_peer_receive_all(struct rig_peer *peer);

/* The other side has ended in good order, and sent nothing more. */
void rig_peer_expect_end(struct rig_peer *peer);

/* The other side has reset the connection; bytes before that are skipped. */
void rig_peer_expect_reset(struct rig_peer *peer);

/* Ended either way, and nothing was sent: for connections refused at once. */
void rig_peer_expect_gone(struct rig_peer *peer);

/* Nothing comes for so long. The one helper that has to wait in vain: keep it short. */
void rig_peer_expect_silence(struct rig_peer *peer, int ms);

/* ---- end ---- */

/* No more bytes from here, but still reads. */
void rig_peer_shut(struct rig_peer *peer);

/* A reset instead of an end. */
void rig_peer_reset(struct rig_peer *peer);

void rig_peer_close(struct rig_peer *peer);

/* This side's port. */
uint16_t rig_peer_port(const struct rig_peer *peer);

#endif
