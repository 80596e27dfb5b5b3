/* What the two floor servers share: a listening socket with the line the runner waits for. */
#ifndef CW_BENCH_LISTEN_H
#define CW_BENCH_LISTEN_H

/* Opens a non-blocking listener from `--host H --port N` and prints `listening on tcp://…`.
 * Raises the soft limit on descriptors to the hard one and ignores SIGPIPE.
 *
 * returns  the descriptor; -1: said why on standard error */
int listen_from_arguments(int argc, char **argv);

/* Accepts one connection, non-blocking and without Nagle's delay.
 *
 * returns  the descriptor; -1: none now */
int accept_one(int listener);

#endif
