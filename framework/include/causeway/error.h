/* Error codes, and the report that says what went wrong in a sentence.
 *
 * A function that can fail returns 0 (or a count) for success and a negative enum cw_error for
 * failure. docs/errors.md says of each code when it comes and what to do. */
#ifndef CAUSEWAY_ERROR_H
#define CAUSEWAY_ERROR_H

#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cw_address;

/* name, number, sentence. Numbers are part of the interface and are never given twice. */
#define CW_ERRORS(X)                                                                               \
    X(CW_ENOMEM, -1, "out of memory")                                                              \
    X(CW_EINVAL, -2, "an argument or option is not allowed")                                       \
    X(CW_ESTATE, -3, "the call is not possible in this state")                                     \
    X(CW_EFULL, -4, "no room now; try again after on_drain")                                       \
    X(CW_ETOOBIG, -5, "larger than the limit allows")                                              \
    X(CW_ECLOSED, -6, "the connection is closed or closing")                                       \
    X(CW_ENOTFOUND, -7, "nothing there under that name or id")                                     \
    X(CW_EKIND, -8, "the receiver's protocol cannot carry this message")                           \
    X(CW_EPROTO, -9, "the peer broke a rule of the protocol")                                      \
    X(CW_ETRUNCATED, -10, "the peer's input ended in the middle of a message")                     \
    X(CW_ERESET, -11, "the peer reset the connection")                                             \
    X(CW_EPIPE, -12, "the peer no longer reads")                                                   \
    X(CW_ETIMEDOUT, -13, "the network no longer reaches the peer")                                 \
    X(CW_EREFUSED, -14, "nobody listens at that address")                                          \
    X(CW_EUNREACHABLE, -15, "no route to that address")                                            \
    X(CW_ERESOLVE, -16, "the host name has no address")                                            \
    X(CW_EADDRINUSE, -17, "the address is in use")                                                 \
    X(CW_EADDRNOTAVAIL, -18, "the address is not one of this machine")                             \
    X(CW_EACCESS, -19, "permission denied")                                                        \
    X(CW_ENOPATH, -20, "a file or directory of the path does not exist")                           \
    X(CW_EDESCRIPTORS, -21, "out of file descriptors")                                             \
    X(CW_EOS, -22, "the operating system reported an error")                                       \
    X(CW_EIDLE, -23, "no byte in either direction for the idle time")                              \
    X(CW_EREADTIME, -24, "no byte from the peer for the read time")                                \
    X(CW_EWRITETIME, -25, "the peer took no byte for the write time")                              \
    X(CW_EHANDSHAKETIME, -26, "the handshake took longer than allowed")                            \
    X(CW_EDRAINTIME, -27, "the peer did not take the last bytes in time")                          \
    X(CW_ECONNECTTIME, -28, "connecting took longer than allowed")                                 \
    X(CW_EDEADLINE, -29, "a deadline of the protocol has passed")                                  \
    X(CW_ECONNSMAX, -30, "refused: the limit on connections is reached")                           \
    X(CW_EADDRESSMAX, -31, "refused: the limit on connections of one address is reached")          \
    X(CW_EDENIED, -32, "refused by a rule of this server")                                         \
    X(CW_ERATE, -33, "more messages or bytes than the rate allows")                                \
    X(CW_ESLOW, -34, "closed: the receiver is too slow for the room's policy")                     \
    X(CW_EJSON, -35, "not JSON, or deeper or longer than the limit")                               \
    X(CW_ESTOPPED, -36, "the server or loop has stopped")                                          \
    X(CW_EAGAIN, -37, "nothing now; there will be more")                                           \
    X(CW_ETLS, -38, "TLS failed: the peer broke its rules, or nothing is spoken by both")          \
    X(CW_ECERT, -39, "the peer's certificate is not accepted")                                     \
    X(CW_EPLAIN, -40, "plain bytes came where TLS is spoken")                                      \
    X(CW_EISTLS, -41, "TLS came where plain bytes are spoken")                                     \
    X(CW_ECONFIG, -42, "a key or value of the configuration file is not allowed")                  \
    X(CW_EUNPROVEN, -43, "the peer has not proved its address, and may not be sent more")

/* What went wrong. */
enum cw_error {
    CW_OK = 0,
#define CW_ERROR_ENUM(name, number, text) name = number,
    CW_ERRORS(CW_ERROR_ENUM)
#undef CW_ERROR_ENUM
};

/* How a connection ended when nothing went wrong; stands where an enum cw_error stands otherwise. */
enum cw_close_code {
    CW_BY_PEER = 1,     /* the peer ended it in good order */
    CW_BY_APP = 2,      /* cw_conn_close or cw_close_id */
    CW_BY_ABORT = 3,    /* cw_conn_abort or cw_abort_id */
    CW_BY_STOP = 4,     /* the server or loop is stopping */
    CW_SWITCHED = 5,    /* another service has taken over; the connection lives on */
    CW_BY_PROTOCOL = 6, /* the protocol was done with it */
    CW_EXPIRED = 7,     /* a peer of datagrams: silent for peer_idle_ms or peer_silent_ms */
    CW_REPLACED = 8,    /* a peer of datagrams: made room for another, peers_max was reached */
};

/* The name of a code (`CW_ERESET`), for logs. Never NULL.
 *
 * thread   any */
const char *cw_error_name(int code);

/* A sentence for an enum cw_error or an enum cw_close_code. Never NULL.
 *
 * thread   any */
const char *cw_strerror(int code);

/* The enum cw_error that an errno value belongs to; CW_EOS when there is no closer one.
 *
 * thread   any */
int cw_error_from_errno(int os_errno);

/* Room for texts, with their terminators, and the values that mean "none". */
enum {
    CW_REPORT_TEXT_MAX = 160,
    CW_REASON_TEXT_MAX = 124, /* what a WebSocket close frame can carry, and a terminator */
    CW_NO_ALERT = -1,
};

/* What went wrong, for people and for logs. Handed to on_error and good until it returns. */
struct cw_error_report {
    int code;                         /* enum cw_error */
    int os_errno;                     /* 0: not from the operating system */
    int tls_alert;                    /* CW_NO_ALERT: not from TLS */
    uint64_t conn_id;                 /* 0: no connection */
    struct cw_conn *conn;             /* NULL: none, or refused before there was one */
    const struct cw_address *address; /* the peer's or the listener's; NULL: none */
    uint64_t limit;                   /* the limit that was reached; 0: no limit was */
    char text[CW_REPORT_TEXT_MAX];    /* outermost step first, never empty */
};

/* Why a connection ended. Handed to on_close and good until it returns. */
struct cw_close_reason {
    int code;                      /* enum cw_close_code, or a negative enum cw_error */
    int os_errno;                  /* 0: not from the operating system */
    uint32_t peer_code;            /* the close code of the protocol (WebSocket); 0: it has none */
    char text[CW_REASON_TEXT_MAX]; /* never empty */
};

#ifdef __cplusplus
}
#endif

#endif
