/* One connection's DTLS: what it has beside that of TLS (tls_stream_impl.h). A datagram goes in and out as a whole, what is lost
 * is sent again by a timer, and until the handshake is over whoever knows both addresses can say something. */
#ifndef CW_DTLS_IMPL_H
#define CW_DTLS_IMPL_H

#include "dtls_hello.h"
#include "tls_library.h"
#include "tls_stream_impl.h"

/* What waits of one connection, each way. More is lost, as it could be on its way. */
enum { CW_DTLS_WAITING_MAX = 32, CW_DTLS_WAITING_BYTES = 64 << 10 };

/* Whole datagrams that wait. */
struct cw_dtls_piece {
    struct cw_dtls_piece *next;
    size_t len;
    uint8_t bytes[];
};

struct cw_dtls_queue {
    struct cw_dtls_piece *first;
    struct cw_dtls_piece *last;
    size_t count;
    size_t bytes;
};

/* The library's timer, in ticks of the loop. */
struct cw_dtls_timer {
    uint32_t now;   /* as the library is to see it: the loop's at the last look */
    uint32_t since; /* when it was set */
    uint32_t intermediate;
    uint32_t final; /* 0: it is not set */
    bool fresh;     /* set by a helper, who does not know the time */
};

struct cw_dtls {
    struct cw_dtls_queue in;   /* has come, the library does not know it yet */
    struct cw_dtls_queue feed; /* what the library reads next; while a helper is at work, its own */
    struct cw_dtls_queue out; /* written by the library while a helper was at work; meanwhile its own */
    struct cw_dtls_timer timer;
    uint8_t random[CW_DTLS_RANDOM_BYTES]; /* of the hello that began it */
    int sent;                             /* what the core has said to the last datagram */
    bool counted;                         /* in dtls_handshakes of the loop */
    bool has_kept; /* there may be messages that came before the handshake was over */
    const struct cw_datagram
        *from; /* an address that this datagram may prove; NULL: it is the peer's already */
    struct cw_tls_window window; /* before this record */
};

/* ---- dtls_context.c ---- */

/* Cookies: made for an address, good for a minute on every loop. */
bool cw_dtls_cookie_is_good(struct cw_tls *tls, const struct cw_address *peer,
                            struct cw_span cookie);

/* The answer to a hello without a good one. False: the library has failed. */
bool cw_dtls_make_verify(struct cw_tls *tls, const struct cw_address *peer,
                         const struct cw_dtls_hello *hello, uint8_t out[CW_DTLS_VERIFY_BYTES]);

/* Whose cookie the library has to see in the hello. 0 or CW_ENOMEM. */
int cw_dtls_set_peer(struct cw_tls_session *session, const struct cw_address *peer);

/* With which connection id the peer is to send, when ids are an option. 0 or CW_ENOMEM. */
int cw_dtls_set_cid(struct cw_tls_session *session, uint64_t id);

uint32_t cw_dtls_retransmit_max(const struct cw_tls_session *session);

/* ---- dtls_handshake.c ---- */

/* Lets the library have what has come, and see the time. */
void cw_dtls_lay_out(struct cw_tls_stream *stream);

/* Whether the library has something to read. */
bool cw_dtls_has_input(const struct cw_tls_stream *stream);

/* A datagram for the handshake, copied. */
void cw_dtls_put(struct cw_tls_stream *stream, const uint8_t *data, size_t len);

/* What of it the library has not taken when the handshake is over, one by one; the caller's to release. NULL: nothing. */
struct cw_dtls_piece *cw_dtls_take_kept(struct cw_tls_stream *stream);

/* Sends what a helper has left to be sent, and starts the timer that it has set. */
void cw_dtls_collect(struct cw_tls_stream *stream);

/* The library's way in and out, and its timer. */
int cw_dtls_bio_send(void *ctx, const unsigned char *data, size_t len);
int cw_dtls_bio_recv(void *ctx, unsigned char *data, size_t len);
void cw_dtls_timer_set(void *ctx, uint32_t intermediate_ms, uint32_t final_ms);
int cw_dtls_timer_get(void *ctx);

/* The tick at which the library wants to be called; 0: not at all. */
uint32_t cw_dtls_timer_due(const struct cw_dtls *datagrams);

/* The handshake is over, in one way or another: it counts no more. */
void cw_dtls_end_count(struct cw_tls_stream *stream);

/* Frees what is DTLS's, if there is any. */
void cw_dtls_close(struct cw_tls_stream *stream);

/* ---- dtls_stream.c ---- */

/* A server's, for the peer whose hello this is. NULL: no memory. */
struct cw_tls_stream *cw_dtls_accept(struct cw_tls *tls, struct cw_loop *loop,
                                     const struct cw_address *peer,
                                     const struct cw_dtls_hello *hello);

#endif
