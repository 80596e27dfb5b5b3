/* The inside of TLS: between what is shared (tls_context.c and those around it) and what is one connection's
 * (tls_stream.c, tls_handshake.c). */
#ifndef CW_TLS_IMPL_H
#define CW_TLS_IMPL_H

#include "tls.h"

#include <causeway/error.h>

#include <mbedtls/ssl.h>
#include <stdatomic.h>

/* What connections are made from: never changed once it is in use, counted. A reload makes a new one. */
struct cw_tls_generation;

/* The library's side of one connection. The first member is how the library's callbacks find the rest. A helper thread
 * may be the one that works with it: then the loop does not touch it. */
struct cw_tls_session {
    mbedtls_ssl_context ssl;
    struct cw_tls *tls;
    struct cw_tls_generation *generation;
    char *server_name; /* SNI that was asked for, lower case; NULL: none. From cw_alloc */
    uint16_t group;    /* RFC 8446 §4.2.7; 0: not known. Set by who sees the hellos */
    bool resumed;      /* set by who takes the steps */
    uint32_t verdict; /* flags of the library: what is wrong with the peer's certificate; 0: nothing, or none came */
    char *why; /* the same in words, from cw_alloc; NULL: nothing, or no memory */
};

/* 0, or CW_ENOMEM. Takes the newest generation; a client's session that may be resumed is offered. The BIO is the
 * caller's to set. session is zeroed memory. thread: any */
int cw_tls_session_open(struct cw_tls_session *session, struct cw_tls *tls);

/* mbedtls_ssl_handshake_step, and what the library's own leaves out. Answers the same. */
int cw_tls_session_step(struct cw_tls_session *session);

/* The handshake is over: what a client may resume later is kept. Called again when the library answers
 * MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET. */
void cw_tls_session_keep(struct cw_tls_session *session);

/* The connection failed, in its handshake or later: what a client has kept is not offered again. A helper may be at work
 * with the session. */
void cw_tls_session_forget(struct cw_tls_session *session);

/* Makes a server's session as if it had just been opened, by the generation it has; the BIO stays. Keys and texts are
 * wiped. False: it cannot be, close it. */
bool cw_tls_session_reset(struct cw_tls_session *session);

/* Whether its generation is still the one that new sessions get. */
bool cw_tls_session_is_newest(const struct cw_tls_session *session);

/* Whether its handshake may have a certificate of the peer's to verify. */
bool cw_tls_session_verifies(const struct cw_tls_session *session);

/* Frees everything in it; zeroed memory is allowed. */
void cw_tls_session_close(struct cw_tls_session *session);

/* Record sizes, from the options with the defaults filled in. */
struct cw_tls_records {
    size_t start;
    size_t grow;
    uint32_t rest; /* ticks */
};
const struct cw_tls_records *cw_tls_records(const struct cw_tls *tls);

/* Why something failed. */
struct cw_tls_failure {
    int code;      /* enum cw_error: CW_ETLS, CW_ECERT, CW_ETRUNCATED, CW_ENOMEM */
    int alert;     /* the peer's, or the one that is due to it; CW_NO_ALERT: none */
    bool received; /* the alert is the peer's */
    char text[CW_REASON_TEXT_MAX];
};

/* Puts an error of the library into words: whose alert and which, what is wrong with the certificate. */
void cw_tls_explain(const struct cw_tls_session *session, int library_error,
                    struct cw_tls_failure *failure);

/* `handshake_failure` for 40; never NULL. */
const char *cw_tls_alert_name(int alert);

/* What cw_conn_tls and cw_conn_peer_cert answer, for an established session. */
void cw_tls_describe(const struct cw_tls_session *session, struct cw_tls_info *info);
int cw_tls_describe_peer(const struct cw_tls_session *session, struct cw_tls_peer_cert *cert);

/* The name of a group: `x25519` for 29; "" for one we do not know. */
const char *cw_tls_group_name(uint16_t group);

#endif
