/* One connection's TLS: its buffers, and the steps of its handshake. */
#ifndef CW_TLS_STREAM_IMPL_H
#define CW_TLS_STREAM_IMPL_H

#include "tls_impl.h"

#include "../conn_impl.h"

/* The loop's, shared by all its connections. One read takes a 64 KiB frame in its records whole. */
enum {
    CW_TLS_IN_BYTES = CW_SCRATCH_BYTES,
    CW_TLS_OUT_BYTES = 96 << 10,
    CW_TLS_RECORD_MAX = 16384 + 2048 + 5, /* RFC 5246 §6.2.3 */
    CW_TLS_SPARES_MAX = 16,               /* each some 35 KB */
    CW_TLS_OWED_MAX =
        256 << 10, /* of what nobody asked for: answers to a peer that does not read them */
};

struct cw_dtls;

struct cw_tls_loop {
    struct cw_tls_stream *spares[CW_TLS_SPARES_MAX]; /* of connections that have ended */
    size_t spare_count;
    size_t dtls_handshakes; /* of peers whose cookies were good, under way */
    uint8_t in[CW_TLS_IN_BYTES];
    uint8_t out[CW_TLS_OUT_BYTES];
};

/* Bytes of one connection that have to wait. */
struct cw_tls_bytes {
    uint8_t *data;
    size_t start;
    size_t len;
    size_t cap;
};

struct cw_tls_stream {
    struct cw_stream stream; /* first: what conn->stream points to */
    struct cw_tls_session session;
    struct cw_loop *loop;
    struct cw_conn *conn; /* NULL: closed while a helper was at work */
    struct cw_dtls *
        datagrams; /* NULL: over a stream of bytes. Of what follows, it has no bytes that wait and no sink */

    struct cw_tls_bytes in;  /* received, and the library has not taken it */
    struct cw_tls_bytes out; /* made by the library, and the socket has not taken it */
    const uint8_t *feed;     /* what the library reads next */
    size_t feed_len;
    uint8_t *sink; /* where the library writes; NULL: behind `out` */
    size_t sink_len;

    size_t sent;      /* in records since the last silence */
    uint32_t rested;  /* tick of the last record */
    int failed;       /* the library's error that is still to be told */
    int result;       /* of the helper's steps */
    uint64_t late_ms; /* when a helper need not begin any more; 0: never */
    size_t laid_out;  /* bytes of `in` that the library was given */
    bool established;
    bool begun;      /* the first bytes have been looked at */
    bool urgent;     /* has been with a helper before: those who wait for their end come first */
    bool at_work;    /* a helper has it */
    bool helped;     /* … and has given it back */
    bool group_over; /* no more hellos will tell of the group */
    bool put_off;    /* its next step was costly, and another connection's was taken in that turn */
    bool seen_cert;  /* the handshake came to certificates: it is a full one */
    bool notified;   /* close_notify has been written */
    bool peer_notified;   /* … and read */
    bool dead;            /* nothing is encrypted or decrypted any more */
    bool alerted;         /* a fatal alert of ours is out */
    atomic_bool given_up; /* a helper need not begin */
};

static inline struct cw_tls_stream *cw_tls_stream_of(const struct cw_conn *conn)
{
    return (struct cw_tls_stream *)(void *)conn->stream;
}

extern const struct cw_stream_ops cw_tls_ops;
extern const struct cw_stream_ops cw_dtls_ops;

bool cw_tls_bytes_add(struct cw_tls_bytes *bytes, const uint8_t *data, size_t len);
void cw_tls_bytes_use(struct cw_tls_bytes *bytes, size_t len);
void cw_tls_bytes_release(struct cw_tls_bytes *bytes);

/* The library's way in and out. */
int cw_tls_bio_send(void *ctx, const unsigned char *data, size_t len);
int cw_tls_bio_recv(void *ctx, unsigned char *data, size_t len);

/* From here on the library writes into the loop's buffer. */
void cw_tls_sink_open(struct cw_tls_stream *stream);

/* Gives the socket what the library has written; what it does not take is owed. 0, or an enum cw_error with
 * loop->os_errno. */
int cw_tls_sink_close(struct cw_conn *conn);

/* Goes on with what is owed. 0, CW_STREAM_AGAIN, or an enum cw_error. */
int cw_tls_flush(struct cw_conn *conn);

/* Words a failure for the connection's report, sends the alert that is due. Returns its code. */
int cw_tls_fail(struct cw_conn *conn, int library_error);

/* close_notify, behind everything else, once. */
void cw_tls_goodbye(struct cw_conn *conn);

bool cw_tls_end_is_proven(const struct cw_conn *conn);

/* ---- tls_handshake.c ---- */

int cw_tls_handshake(struct cw_conn *conn);

/* Looks at what the library writes during the handshake. */
void cw_tls_note_sent(struct cw_tls_stream *stream, const uint8_t *data, size_t len);

/* One for bytes or for datagrams, without its ops and the library's ways in and out. NULL: no memory. */
struct cw_tls_stream *cw_tls_stream_make(struct cw_tls *tls, struct cw_loop *loop);

/* Frees it now, or when the helper that has it is done. */
void cw_tls_stream_free(struct cw_tls_stream *stream);

#endif
