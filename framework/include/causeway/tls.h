/* TLS: what a listener or a client needs for it, and what a connection can tell about it.
 *
 * TLS lies under the protocol and no protocol can tell that it is there:
 *
 * ```text
 * cw_server_listen(server, &(struct cw_listen_options){
 *     .port = 7443, .tls = &(struct cw_tls_options){.cert = "cert.pem", .key = "key.pem"}});
 * ```
 *
 * The defaults are the safe ones: TLS 1.2 and 1.3 with forward secrecy and authenticated ciphers alone, a client verifies
 * its server. No type of the library that does the work (mbedTLS) appears here. */
#ifndef CAUSEWAY_TLS_H
#define CAUSEWAY_TLS_H

#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Versions of TLS. Older ones do not exist here. */
enum cw_tls_version {
    CW_TLS_ANY = 0, /* as least: 1.2; as most: the newest that the library has */
    CW_TLS_1_2 = 12,
    CW_TLS_1_3 = 13, /* with mbedTLS 3.6 */
};

/* Whether a server asks its clients for a certificate. */
enum cw_client_cert {
    CW_CLIENT_CERT_OFF = 0,
    CW_CLIENT_CERT_REQUEST, /* one that is sent has to be good; none is fine */
    CW_CLIENT_CERT_REQUIRE, /* none is refused too */
};

/* How a peer that comes back is spared a full handshake. */
enum cw_tls_resumption {
    CW_TLS_TICKETS =
        0, /* the client keeps it, sealed with a key that changes (RFC 5077, RFC 8446 §4.6.1) */
    CW_TLS_SESSION_CACHE, /* the server keeps it, by session id; TLS 1.2 only */
    CW_TLS_NO_RESUMPTION,
};

/* A certificate with its key. Files are PEM or DER; a text with `-----BEGIN` in it is not a path but the PEM itself. */
struct cw_tls_certificate {
    const char *cert;       /* the certificate, behind it those that lead to the root */
    const char *key;        /* NULL: it stands in `cert` too */
    const char *passphrase; /* of the key. NULL: it has none */
    const char
        *names; /* for which names (SNI): "alt.example, *.alt.example"; a `*` stands for one label.
                               NULL: for those in the certificate */
};

/* TLS of a listener or a client. Zero means the default in every member; a server needs `cert`.
 * Lists are texts, parted by commas or spaces. */
struct cw_tls_options {
    /* Both roles. Files and texts as in struct cw_tls_certificate. */
    const char *cert; /* a client: the certificate to show when it is asked for one */
    const char *key;
    const char *passphrase;
    const char *
        ca; /* whom to trust: a file or a text with one or more certificates, or a directory of such
                               files. Client: NULL is the system's store. Server: who may sign certificates of clients */
    const char *
        crl; /* which of them are revoked: a file or text with one or more lists, none older than its
                               next update */
    const char *alpn; /* protocols by name (RFC 7301), most wanted first: "http/1.1"; at most 16 */
    enum cw_tls_version min_version;
    enum cw_tls_version max_version;
    const char *ciphers; /* by their IANA names, most wanted first. NULL: docs/options.md */
    const char *
        groups; /* for the key exchange: of "x25519, secp256r1, secp384r1, secp521r1". NULL: the first three */
    bool start_tls; /* the connection begins in the clear; cw_conn_start_tls begins TLS */
    uint64_t record_start_bytes; /* bytes in a record at first, so that each can be used as it arrives. 0: 1360; at most 16384 */
    uint64_t record_grow_bytes; /* after so many bytes records grow to 16384. 0: 65536 */
    uint64_t record_rest_ms;    /* after such a silence they start small again. 0: 1000 */

    /* DTLS alone (RFC 6347): versions, records and start_tls as above do not count there. */
    uint64_t mtu_bytes; /* of UDP payload that the path takes: hellos are cut to it, and no message may be larger. 0: 1400;
                           at least 256 */
    uint64_t retransmit_min_ms; /* the first repetition of what was not answered; each next one waits twice as long. 0: 1000 */
    uint64_t retransmit_max_ms; /* … up to this. 0: 60000 */
    bool connection_id; /* a peer may go on from another address (RFC 9146), which is to be proven then; the listener
                           is worker 0's alone. Needs mbedTLS 3.6 */

    /* Server. */
    const struct cw_tls_certificate
        *certificates;        /* for more names on the same port; `cert` is for all others */
    size_t certificate_count; /* at most 1024 */
    enum cw_client_cert client_cert;
    bool accept_unauthorized; /* let a client in whose certificate is not good: cw_conn_tls says so */
    enum cw_tls_resumption resumption;
    uint64_t ticket_key_ms; /* a key seals for so long and opens for as long again. 0: 3600000 */
    uint64_t session_ms; /* how long a client may come back. 0: ticket_key_ms; at most 604800000 (RFC 8446 §4.6.1) */
    uint64_t sessions_max; /* in the session cache; the oldest leaves first. 0: 1024 */

    /* Client. */
    const char *
        server_name; /* whom the certificate has to name, and SNI. NULL: the host that is connected to; a unix
                                socket has none, and needs this or `fingerprint` */
    const char *
        fingerprint; /* SHA-256 of the one certificate that is accepted, in hexadecimal, colons or not; with it no
                                CA is asked */
    bool insecure; /* accept any certificate: no protection against a peer in between. It is logged */
};

/* What is spoken on a connection. Texts are good as long as the connection. */
struct cw_tls_info {
    const char *version; /* `TLSv1.2`, `TLSv1.3` */
    const char *cipher;  /* its IANA name */
    const char
        *group; /* of the key exchange: `x25519`. "": it was resumed without one, or is not known */
    const char *server_name; /* what the client asked for (SNI); "": nothing */
    const char *alpn;        /* the protocol that was chosen; "": none */
    bool resumed;
    bool has_peer_cert; /* the peer has shown one, now or in the handshake that is resumed */
    bool verified;      /* … and it is good for this */
    char why_not[96];   /* why not, in words; "" when verified */
};

/* A peer's certificate, in words. Texts that do not fit end in `…`. */
struct cw_tls_peer_cert {
    char subject[256]; /* `C=DE, O=Example, CN=example.org` */
    char issuer[256];
    char names[512];      /* subject alternative names: `example.org, *.example.org, 127.0.0.1` */
    char serial[64];      /* hexadecimal */
    char fingerprint[65]; /* SHA-256 of the whole certificate, hexadecimal, lower case */
    int64_t not_before;   /* seconds since 1970 */
    int64_t not_after;
};

/* What is spoken on a connection that is encrypted.
 *
 * returns  0; CW_ENOTFOUND: it is not encrypted, or not yet
 * thread   loop thread */
int cw_conn_tls(const struct cw_conn *conn, struct cw_tls_info *info);

/* The certificate that the peer has shown, good or not.
 *
 * returns  0; CW_ENOTFOUND: it has shown none, or it is not encrypted
 * thread   loop thread */
int cw_conn_peer_cert(const struct cw_conn *conn, struct cw_tls_peer_cert *cert);

/* Begins TLS on a connection that began in the clear (`start_tls` of its listener or client), after the two sides have
 * agreed on it in their own words. What was sent before leaves in the clear; what is sent from here on waits for the
 * handshake. Bytes that the peer sent in the clear behind its last word are refused, as somebody in between could have put
 * them there: the connection ends with CW_EPLAIN. on_secure tells of success; a failure ends the connection.
 *
 * returns  0
 *          CW_EFULL: what was sent before has not left yet; try again in on_drain
 *          CW_ESTATE: its listener or client has no `start_tls`, or it is encrypted already
 *          CW_ECLOSED, CW_ENOMEM
 * thread   loop thread */
int cw_conn_start_tls(struct cw_conn *conn);

/* Reads certificates, keys, trusted CAs and revocation lists again, and the configuration file if there is one
 * (cw_config_load). New connections get the new ones; open ones stay as they are. What cannot be read or does not fit
 * together changes nothing, and on_error is told why. cw_server_main does this on SIGHUP, but for the SIGHUP of a terminal
 * that is gone. The hook on_reload is told when it is over.
 *
 * returns  0: it has begun, on a helper thread; CW_EAGAIN: one is under way, it will be done again behind it;
 *          CW_ENOMEM, CW_ESTOPPED: the server does not run
 * thread   any */
int cw_server_reload(struct cw_server *server);

#ifdef __cplusplus
}
#endif

#endif
