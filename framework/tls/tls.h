/* TLS as the rest of the framework knows it; no type of the library. */
#ifndef CW_TLS_H
#define CW_TLS_H

#include "../service_impl.h"
#include "../stream.h"

#include <causeway/tls.h>

/* Certificates and policy of one listener or client: counted, used by all loops, renewed while in use. */
struct cw_tls;

/* What one is made from. */
struct cw_tls_setup {
    const struct cw_tls_options *options; /* copied with its texts */
    enum cw_role role;
    const char
        *host; /* CW_CLIENT: what is connected to, the name to verify unless the options name one; a
                         numeric address or a unix socket's path is verified as what it is. CW_SERVER: NULL */
    bool datagram; /* DTLS */
};

/* NULL: *error is CW_ENOMEM, or CW_EINVAL, CW_ENOPATH, CW_EACCESS, CW_ETOOBIG, CW_ECERT with the complaint worded:
 * `tls.cert: server.pem: no such file`. Reads files. thread: any */
struct cw_tls *cw_tls_new(const struct cw_tls_setup *setup, struct cw_complaint *complaint,
                          int *error);
struct cw_tls *cw_tls_hold(struct cw_tls *tls);
void cw_tls_drop(struct cw_tls *tls); /* NULL is allowed */

/* Whether the options are allowed, without reading a file. 0 or CW_EINVAL with the complaint worded. thread: any */
int cw_tls_options_check(const struct cw_tls_options *options, enum cw_role role,
                         struct cw_complaint *complaint);

/* A copy with its texts, for later; NULL: no memory. The passphrases are wiped when it is freed. */
struct cw_tls_options *cw_tls_options_copy(const struct cw_tls_options *options);
void cw_tls_options_free(struct cw_tls_options *options);

/* Reads everything again, from new options (copied) or NULL: the same. On an error nothing has changed. Blocks on files.
 * thread: any, one at a time */
int cw_tls_reload(struct cw_tls *tls, const struct cw_tls_options *options,
                  struct cw_complaint *complaint);

/* start_tls: connections begin in the clear. */
bool cw_tls_begins_plain(const struct cw_tls *tls);

/* connection_id: peers may go on from another address. */
bool cw_tls_has_moving_peers(const struct cw_tls *tls);

/* The stream for a new connection of this loop, or for cw_conn_start_tls. NULL: no memory. */
struct cw_stream *cw_tls_stream_new(struct cw_tls *tls, struct cw_loop *loop);

/* Frees what its streams have shared; none is left. */
void cw_tls_loop_free(struct cw_loop *loop);

/* Frees one that no connection has got. */
void cw_tls_stream_drop(struct cw_stream *stream);

#endif
