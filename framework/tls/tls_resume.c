/* How peers come back: a server's ticket keys and session cache, a client's kept session. */
#include "tls_context_impl.h"

/* Locked by the library itself. */
struct cw_tls_resume {
    atomic_size_t holds;
    enum cw_tls_resumption kind;
    uint64_t session_ms;
    uint64_t ticket_key_ms;
    uint64_t sessions_max;
    mbedtls_ssl_ticket_context tickets;
    mbedtls_ssl_cache_context cache;
};

static uint64_t to_seconds(uint64_t ms)
{
    return (ms + 999) / 1000;
}

/* ---- a server's ---- */

/* Off the rule of five parameters because the library calls it with six.
 * NOLINTNEXTLINE(readability-function-size) */
static int write_ticket(void *context, const mbedtls_ssl_session *session, unsigned char *start,
                        const unsigned char *end, size_t *len, uint32_t *lifetime)
{
    struct cw_tls_resume *resume = context;
    int result = mbedtls_ssl_ticket_write(&resume->tickets, session, start, end, len, lifetime);

    if (result == 0) {
        *lifetime = (uint32_t)to_seconds(resume->session_ms);
    }
    return result;
}

static int parse_ticket(void *context, mbedtls_ssl_session *session, unsigned char *ticket,
                        size_t len)
{
    struct cw_tls_resume *resume = context;
    int result = mbedtls_ssl_ticket_parse(&resume->tickets, session, ticket, len);

    if (result == 0 && cw_tls_session_age(session) > resume->session_ms) {
        return MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
    }
    return result;
}

struct cw_tls_resume *cw_tls_resume_new(const struct cw_tls_options *options, int *error)
{
    struct cw_tls_resume *resume = cw_alloc_zero(sizeof *resume);

    *error = CW_ENOMEM;
    if (!resume) {
        return NULL;
    }
    atomic_init(&resume->holds, 1);
    resume->kind = options->resumption;
    resume->session_ms = options->session_ms;
    resume->ticket_key_ms = options->ticket_key_ms;
    resume->sessions_max = options->sessions_max;
    mbedtls_ssl_ticket_init(&resume->tickets);
    mbedtls_ssl_cache_init(&resume->cache);
    mbedtls_ssl_cache_set_timeout(&resume->cache, (int)to_seconds(options->session_ms));
    mbedtls_ssl_cache_set_max_entries(&resume->cache, (int)options->sessions_max);
    if (resume->kind == CW_TLS_TICKETS &&
        mbedtls_ssl_ticket_setup(&resume->tickets, cw_tls_random, NULL, MBEDTLS_CIPHER_AES_256_GCM,
                                 (uint32_t)to_seconds(options->ticket_key_ms)) != 0) {
        cw_tls_resume_drop(resume);
        return NULL;
    }
    *error = CW_OK;
    return resume;
}

bool cw_tls_resume_fits(const struct cw_tls_resume *resume, const struct cw_tls_options *options)
{
    return resume->kind == options->resumption && resume->session_ms == options->session_ms &&
           resume->ticket_key_ms == options->ticket_key_ms &&
           resume->sessions_max == options->sessions_max;
}

struct cw_tls_resume *cw_tls_resume_hold(struct cw_tls_resume *resume)
{
    atomic_fetch_add_explicit(&resume->holds, 1, memory_order_relaxed);
    return resume;
}

void cw_tls_resume_drop(struct cw_tls_resume *resume)
{
    if (resume && atomic_fetch_sub_explicit(&resume->holds, 1, memory_order_acq_rel) == 1) {
        mbedtls_ssl_ticket_free(&resume->tickets);
        mbedtls_ssl_cache_free(&resume->cache);
        cw_release(resume);
    }
}

void cw_tls_resume_configure(struct cw_tls_resume *resume, mbedtls_ssl_config *conf)
{
    if (resume->kind == CW_TLS_TICKETS) {
        mbedtls_ssl_conf_session_tickets_cb(conf, write_ticket, parse_ticket, resume);
    } else if (resume->kind == CW_TLS_SESSION_CACHE) {
        mbedtls_ssl_conf_session_cache(conf, &resume->cache, mbedtls_ssl_cache_get,
                                       mbedtls_ssl_cache_set);
    }
}

/* ---- a client's ---- */

/* With the lock held. */
static void drop_kept(struct cw_tls_kept *kept)
{
    mbedtls_ssl_session_free(&kept->session);
    mbedtls_ssl_session_init(&kept->session);
    kept->full = false;
    kept->generation = NULL;
}

void cw_tls_kept_drop(struct cw_tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    drop_kept(&tls->kept);
    pthread_mutex_unlock(&tls->lock);
}

void cw_tls_kept_offer(struct cw_tls_session *session)
{
    struct cw_tls *tls = session->tls;

    pthread_mutex_lock(&tls->lock);
    if (tls->kept.full && tls->kept.generation == session->generation) {
        /* Without memory for a copy the handshake is a full one. */
        (void)mbedtls_ssl_set_session(&session->ssl, &tls->kept.session);
    }
    pthread_mutex_unlock(&tls->lock);
}

void cw_tls_session_keep(struct cw_tls_session *session)
{
    struct cw_tls *tls = session->tls;
    mbedtls_ssl_session fresh;

    if (tls->role != CW_CLIENT || session->verdict != 0 ||
        session->generation->options->resumption == CW_TLS_NO_RESUMPTION) {
        return;
    }
    mbedtls_ssl_session_init(&fresh);
    if (mbedtls_ssl_get_session(&session->ssl, &fresh) == 0 &&
        cw_tls_is_resumable(&fresh, cw_tls_is_1_3(&session->ssl))) {
        pthread_mutex_lock(&tls->lock);
        if (tls->generation == session->generation) {
            drop_kept(&tls->kept);
            tls->kept = (struct cw_tls_kept){true, fresh, session->generation};
            mbedtls_ssl_session_init(&fresh); /* what it held is the kept one's now */
        }
        pthread_mutex_unlock(&tls->lock);
    }
    mbedtls_ssl_session_free(&fresh);
}

void cw_tls_session_forget(struct cw_tls_session *session)
{
    if (session->tls && session->tls->role == CW_CLIENT) {
        cw_tls_kept_drop(session->tls);
    }
}
