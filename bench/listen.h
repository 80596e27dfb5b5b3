/* What the floor servers share: a listening socket with the line the runner waits for. */
#ifndef CW_BENCH_LISTEN_H
#define CW_BENCH_LISTEN_H

#include <netinet/in.h>
#include <stdbool.h>

/* Opens a non-blocking listener from `--host H --port N` and prints `listening on tcp://…`.
 * Raises the soft limit on descriptors to the hard one and ignores SIGPIPE.
 *
 * returns  the descriptor; -1: said why on standard error */
int listen_from_arguments(int argc, char **argv);

/* The parts of it, for programs with more options: the address before any is given, what `--host`
 * and `--port` ('h' and 'p') make of it, and the listener. */
struct sockaddr_in listen_default(void);
bool listen_parse(struct sockaddr_in *address, int letter, const char *text);
int listen_at(const struct sockaddr_in *address, const char *scheme);

/* A socket for datagrams that blocks, with room for DATAGRAM_BUFFER_BYTES, which every server of a measurement has: what
 * is in flight fits. */
enum { DATAGRAM_BUFFER_BYTES = 4 << 20 };
int listen_datagrams_at(const struct sockaddr_in *address);

/* Accepts one connection, non-blocking and without Nagle's delay.
 *
 * returns  the descriptor; -1: none now */
int accept_one(int listener);

#endif
