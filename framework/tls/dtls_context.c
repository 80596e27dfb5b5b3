/* What DTLS shares between its connections and TLS does not have: cookies, times, connection ids. */
#include "dtls_impl.h"
#include "tls_context_impl.h"

/* The library gives a handshake up when it has waited for its longest time once; how long one may take is told by
 * handshake_ms here, and the times are cut by our own timer. */
enum { NEVER_MS = 1 << 30 };

enum { PEER_ID_BYTES = 16 + 4 + 2 + 1 };

int cw_dtls_configure(struct cw_tls_generation *generation)
{
    mbedtls_ssl_config *conf = &generation->conf;
    const struct cw_tls_options *options = generation->options;

    mbedtls_ssl_conf_handshake_timeout(conf, (uint32_t)options->retransmit_min_ms, NEVER_MS);
    mbedtls_ssl_conf_dtls_anti_replay(conf, MBEDTLS_SSL_ANTI_REPLAY_ENABLED);
#if defined(MBEDTLS_SSL_DTLS_BADMAC_LIMIT) || MBEDTLS_VERSION_NUMBER >= 0x03000000
    mbedtls_ssl_conf_dtls_badmac_limit(conf,
                                       0); /* or whoever sends rubbish could end a connection */
#endif
    if (generation->role == CW_SERVER) {
        mbedtls_ssl_conf_dtls_cookies(conf, mbedtls_ssl_cookie_write, mbedtls_ssl_cookie_check,
                                      generation->cookies);
    }
#if CW_TLS_HAS_CONNECTION_IDS
    /* A peer of a client's socket is always the same one: the server need not name it. */
    if (mbedtls_ssl_conf_cid(conf, generation->role == CW_SERVER ? CW_DTLS_CID_BYTES : 0,
                             MBEDTLS_SSL_UNEXPECTED_CID_IGNORE) != 0) {
        return CW_ENOMEM;
    }
#endif
    return CW_OK;
}

int cw_dtls_set_cid(struct cw_tls_session *session, uint64_t id)
{
    int error = 0;

#if CW_TLS_HAS_CONNECTION_IDS
    uint8_t bytes[CW_DTLS_CID_BYTES];
    bool server = session->generation->role == CW_SERVER;

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(id >> (56 - 8 * i));
    }
    if (session->generation->options->connection_id) {
        error = mbedtls_ssl_set_cid(&session->ssl, MBEDTLS_SSL_CID_ENABLED, bytes,
                                    server ? sizeof bytes : 0);
    }
#else
    (void)session;
    (void)id;
#endif
    return error == 0 ? CW_OK : CW_ENOMEM;
}

uint32_t cw_dtls_retransmit_max(const struct cw_tls_session *session)
{
    return (uint32_t)session->generation->options->retransmit_max_ms;
}

/* ---- cookies ---- */

static void peer_id(const struct cw_address *peer, uint8_t id[PEER_ID_BYTES])
{
    memcpy(id, peer->ip, sizeof peer->ip);
    memcpy(id + 16, &peer->scope, sizeof peer->scope);
    memcpy(id + 20, &peer->port, sizeof peer->port);
    id[22] = peer->family;
}

int cw_dtls_set_peer(struct cw_tls_session *session, const struct cw_address *peer)
{
    uint8_t id[PEER_ID_BYTES];

    peer_id(peer, id);
    return mbedtls_ssl_set_client_transport_id(&session->ssl, id, sizeof id) == 0 ? CW_OK
                                                                                  : CW_ENOMEM;
}

bool cw_dtls_cookie_is_good(struct cw_tls *tls, const struct cw_address *peer, struct cw_span cookie)
{
    uint8_t id[PEER_ID_BYTES];

    peer_id(peer, id);
    return cookie.len > 0 &&
           mbedtls_ssl_cookie_check(&tls->cookies, cookie.data, cookie.len, id, sizeof id) == 0;
}

bool cw_dtls_make_verify(struct cw_tls *tls, const struct cw_address *peer,
                         const struct cw_dtls_hello *hello, uint8_t out[CW_DTLS_VERIFY_BYTES])
{
    uint8_t id[PEER_ID_BYTES];
    uint8_t cookie[CW_DTLS_COOKIE_BYTES];
    unsigned char *end = cookie;

    peer_id(peer, id);
    if (mbedtls_ssl_cookie_write(&tls->cookies, &end, cookie + sizeof cookie, id, sizeof id) != 0 ||
        end != cookie + sizeof cookie) {
        return false;
    }
    cw_dtls_write_verify(hello, cookie, out);
    return true;
}
