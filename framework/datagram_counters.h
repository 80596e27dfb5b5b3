/* The figures of datagram sockets, of one loop. */
#ifndef CW_DATAGRAM_COUNTERS_H
#define CW_DATAGRAM_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* Counted by the loop, read by any thread. The names are those of struct cw_datagram_stats. */
struct cw_datagram_counters {
/* clang-format off */
#define CW_DATAGRAM_COUNTERS(X)                                                                    \
    X(sockets)                                                                                     \
    X(received)                                                                                    \
    X(sent)                                                                                        \
    X(peers_expired)                                                                               \
    X(peers_replaced)                                                                              \
    X(peers_refused)                                                                               \
    X(dropped_kernel)                                                                              \
    X(dropped_truncated)                                                                           \
    X(dropped_paused)                                                                              \
    X(dropped_rule)                                                                                \
    X(dropped_unproven)                                                                            \
    X(dropped_too_big)                                                                             \
    X(dropped_full)                                                                                \
    X(dropped_error)                                                                               \
    X(errors_refused)                                                                              \
    X(errors_unreachable)                                                                          \
    X(errors_other)                                                                                \
    X(dtls_cookies)                                                                                \
    X(dtls_ignored)
/* clang-format on */
#define CW_DATAGRAM_COUNTER(name) atomic_uint_least64_t name;
    CW_DATAGRAM_COUNTERS(CW_DATAGRAM_COUNTER)
#undef CW_DATAGRAM_COUNTER
};

#endif
