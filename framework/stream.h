/* The lower seam: where a connection's bytes come from and go to. A plain socket, TLS over one, or memory.
 *
 * A stream's own state, where it has any, hangs from conn->stream; its first member is the table. */
#ifndef CW_STREAM_H
#define CW_STREAM_H

#include <causeway/types.h>

#include <sys/uio.h>

struct cw_conn;

/* What read and write answer beside a count. */
enum { CW_STREAM_AGAIN = -1000 };

struct cw_stream_ops {
    const char *name;

    /* Reads into the iovecs, in order. n > 0; 0: the peer's end; CW_STREAM_AGAIN; or an enum cw_error, with
     * conn's loop->os_errno set. */
    ptrdiff_t (*read)(struct cw_conn *conn, const struct iovec *iov, int count);

    /* Takes some of the bytes. n > 0; CW_STREAM_AGAIN; or an enum cw_error as above. A stream that has taken bytes which the
     * socket has not yet taken says so by `owes`. */
    ptrdiff_t (*write)(struct cw_conn *conn, const struct iovec *iov, int count);

    /* Goes on with what it owes the socket. 0: nothing is left; CW_STREAM_AGAIN; or an
     * enum cw_error as above. NULL: it never owes anything. */
    int (*flush)(struct cw_conn *conn);

    /* Takes some of a file's range. As write; 0: the file ended early. NULL: it cannot. */
    ptrdiff_t (*send_file)(struct cw_conn *conn, int fd, uint64_t offset, uint64_t len);

    /* Goes on with a handshake. 0: done; CW_STREAM_AGAIN; an enum cw_error. NULL: there is none. */
    int (*handshake)(struct cw_conn *conn);

    /* The stream's own goodbye, once, behind everything that was written. NULL: it has none. */
    void (*goodbye)(struct cw_conn *conn);

    /* Tells the peer that nothing more will be sent. */
    void (*end)(struct cw_conn *conn);

    /* Whether the peer itself has ended its input, once it has ended. NULL: nobody can know. */
    bool (*end_is_proven)(const struct cw_conn *conn);

    /* Frees what the stream holds and closes the descriptor; reset: without good order. */
    void (*close)(struct cw_conn *conn, bool reset);

    /* Of datagrams, in the place of read, write and flush. Sends one, all of the parts or nothing: 0, or an enum cw_error; a
     * datagram that is not sent has been counted by its reason. NULL: a stream of bytes. */
    int (*send)(struct cw_conn *conn, const struct cw_span *parts, size_t count);

    /* Of datagrams: takes one that has come for this connection, in place; hands what is in it to cw_conn_feed_datagram, or goes on
     * with a handshake. */
    void (*receive)(struct cw_conn *conn, uint8_t *data, size_t len);

    /* The tick at which on_due is to be called, not 0, a little late if need be; 0: not at all. It counts in every phase. NULL:
     * never. on_due: 0, or the enum cw_error that ends the connection. */
    uint32_t (*due)(const struct cw_conn *conn);
    int (*on_due)(struct cw_conn *conn);

    /* A read that filled less than it was offered has emptied the stream: no second read is needed to know. */
    bool short_read_is_empty;
};

/* What conn->stream points to. */
struct cw_stream {
    const struct cw_stream_ops *ops;
    bool owes;    /* has taken bytes that the socket has not taken yet */
    bool more;    /* a read has more to say, though the socket may have nothing */
    bool resting; /* is not to be read from now */
};

extern struct cw_stream cw_stream_plain;

#endif
