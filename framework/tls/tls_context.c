/* Certificates and policy of a listener or a client, made, renewed and given to connections. */
#include "tls_context_impl.h"

#include "../loop_impl.h"

#include <arpa/inet.h>
#include <stdio.h>

/* ---- a generation's life ---- */

static struct cw_tls_generation *hold_generation(struct cw_tls_generation *generation)
{
    atomic_fetch_add_explicit(&generation->holds, 1, memory_order_relaxed);
    return generation;
}

static void free_generation(struct cw_tls_generation *generation)
{
    mbedtls_ssl_config_free(&generation->conf);
    for (size_t i = 0; i < generation->identity_count; i++) {
        cw_tls_identity_free(&generation->identities[i]);
    }
    cw_release(generation->identities);
    mbedtls_x509_crt_free(&generation->ca);
    mbedtls_x509_crl_free(&generation->crl);
    cw_tls_names_free(&generation->names);
    cw_tls_resume_drop(generation->resume);
    cw_release(generation->host.name);
    cw_release(generation->alpn_text);
    cw_tls_options_free(generation->options);
    pthread_mutex_destroy(&generation->verify_lock);
    cw_release(generation);
}

static void drop_generation(struct cw_tls_generation *generation)
{
    if (generation && atomic_fetch_sub_explicit(&generation->holds, 1, memory_order_acq_rel) == 1) {
        free_generation(generation);
    }
}

static struct cw_tls_generation *new_generation(struct cw_tls *tls,
                                                const struct cw_tls_options *options)
{
    struct cw_tls_generation *generation = cw_alloc_zero(sizeof *generation);

    if (!generation) {
        return NULL;
    }
    atomic_init(&generation->holds, 1);
    generation->role = tls->role;
    generation->datagram = tls->datagram;
    generation->cookies = &tls->cookies;
    pthread_mutex_init(&generation->verify_lock, NULL);
    mbedtls_ssl_config_init(&generation->conf);
    mbedtls_x509_crt_init(&generation->ca);
    mbedtls_x509_crl_init(&generation->crl);
    generation->options = cw_tls_options_copy(options);
    if (!generation->options) {
        drop_generation(generation);
        return NULL;
    }
    cw_tls_options_fill(generation->options);
    return generation;
}

static int no_memory(struct cw_complaint *complaint)
{
    return cw_tls_complain(complaint, CW_ENOMEM, "tls: out of memory");
}

/* ---- what it reads ---- */

static int read_identity(struct cw_tls_generation *generation, const struct cw_tls_certificate *from,
                         const char *option, struct cw_complaint *complaint)
{
    size_t i = generation->identity_count++;
    struct cw_tls_identity *identity = &generation->identities[i];

    mbedtls_x509_crt_init(&identity->chain);
    mbedtls_pk_init(&identity->key);
    int error = cw_tls_identity_read(identity, from, option, generation->role, complaint);
    if (error < 0) {
        return error;
    }
    error = from->names ? cw_tls_names_add_list(&generation->names, from->names, i)
                        : cw_tls_names_add_certificate(&generation->names, &identity->chain, i);
    return error < 0 ? no_memory(complaint) : CW_OK;
}

static int read_identities(struct cw_tls_generation *generation, struct cw_complaint *complaint)
{
    const struct cw_tls_options *options = generation->options;
    const struct cw_tls_certificate first = {options->cert, options->key, options->passphrase, NULL};
    char option[64];
    int error;

    if (!options->cert) {
        return CW_OK;
    }
    generation->identities =
        cw_alloc_zero((options->certificate_count + 1) * sizeof *generation->identities);
    if (!generation->identities) {
        return no_memory(complaint);
    }
    error = read_identity(generation, &first, "tls", complaint);
    for (size_t i = 0; i < options->certificate_count && error == CW_OK; i++) {
        snprintf(option, sizeof option, "tls.certificates[%zu]", i);
        error = read_identity(generation, &options->certificates[i], option, complaint);
    }
    cw_tls_names_sort(&generation->names);
    return error;
}

static int read_trust(struct cw_tls_generation *generation, struct cw_complaint *complaint)
{
    const struct cw_tls_options *options = generation->options;
    const int verdict[] = {(int)options->client_cert, options->accept_unauthorized,
                           options->insecure};
    int error = CW_OK;

    cw_tls_digest_add(&generation->digest, verdict, sizeof verdict);
    if (options->ca) {
        error = cw_tls_ca_read(&generation->ca, options->ca, &generation->digest, complaint);
    } else if (generation->role == CW_CLIENT && !options->insecure && !options->fingerprint) {
        generation->uses_system_store = true;
        error = cw_tls_ca_system(&generation->ca, &generation->digest, complaint);
    }
    for (mbedtls_x509_crt *crt = &generation->ca; error == CW_OK && options->ca && crt;
         crt = crt->next) {
        cw_tls_fill_tables(&crt->pk);
    }
    if (error == CW_OK && options->crl) {
        error = cw_tls_crl_read(&generation->crl, options->crl, &generation->digest, complaint);
    }
    return error;
}

/* ---- whom a client verifies ---- */

static size_t parse_ip(const char *text, uint8_t ip[16])
{
    char plain[64];
    size_t len = strlen(text);
    bool in_brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';

    if (len >= sizeof plain) {
        return 0;
    }
    memcpy(plain, text + in_brackets, len + 1 - in_brackets);
    plain[strcspn(plain, in_brackets ? "%]" : "%")] = '\0';
    if (inet_pton(AF_INET, plain, ip) == 1) {
        return 4;
    }
    return inet_pton(AF_INET6, plain, ip) == 1 ? 16 : 0;
}

static int set_host(struct cw_tls_generation *generation, const char *host,
                    struct cw_complaint *complaint)
{
    const struct cw_tls_options *options = generation->options;
    const char *name = options->server_name ? options->server_name : host;

    if (!name || !*name || strchr(name, '/')) {
        if (!options->insecure && !options->fingerprint) {
            return cw_tls_complain(complaint, CW_EINVAL,
                                   "tls.server_name: missing: there is no host name to verify");
        }
        name = "";
    }
    if (strlen(name) >= CW_TLS_TOKEN_MAX) {
        return cw_tls_complain(complaint, CW_EINVAL, "tls.server_name: at most %d bytes",
                               CW_TLS_TOKEN_MAX - 1);
    }
    generation->host.ip_len = parse_ip(name, generation->host.ip);
    generation->host.name = cw_tls_name_copy(name, strlen(name));
    return generation->host.name ? CW_OK : no_memory(complaint);
}

/* ---- SNI ---- */

static int remember_name(struct cw_tls_session *session, const unsigned char *name, size_t len)
{
    cw_release(session->server_name);
    session->server_name = NULL;
    if (len == 0 || len >= CW_TLS_TOKEN_MAX || memchr(name, '\0', len)) {
        return CW_OK;
    }
    session->server_name = cw_tls_name_copy((const char *)name, len);
    return session->server_name ? CW_OK : CW_ENOMEM;
}

/* Never refuses a name: those that are not known get the default. */
static int choose_by_name(void *context, mbedtls_ssl_context *ssl, const unsigned char *name,
                          size_t len)
{
    struct cw_tls_generation *generation = context;
    struct cw_tls_session *session = (struct cw_tls_session *)(void *)ssl;
    size_t first;
    int result = 0;

    if (remember_name(session, name, len) < 0) {
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    }
    if (!session->server_name) {
        return 0;
    }
    size_t count = cw_tls_names_find(&generation->names, session->server_name, &first);
    for (size_t i = 0; i < count && result == 0; i++) {
        struct cw_tls_identity *identity =
            &generation->identities[generation->names.all[first + i].identity];
        result = mbedtls_ssl_set_hs_own_cert(ssl, &identity->chain, &identity->key);
    }
    return result;
}

/* ---- configuration of the library ---- */

static int configure_own(struct cw_tls_generation *generation, struct cw_complaint *complaint)
{
    size_t first;

    if (generation->identity_count == 0) {
        return CW_OK;
    }
    struct cw_tls_identity *own = &generation->identities[0];
    if (mbedtls_ssl_conf_own_cert(&generation->conf, &own->chain, &own->key) != 0) {
        return no_memory(complaint);
    }
    /* Those that stand beside the default under its own names (RSA beside ECDSA) are offered with it. */
    for (size_t i = 0; i < generation->names.count; i++) {
        const struct cw_tls_name *name = &generation->names.all[i];
        if (name->identity != 0) {
            continue;
        }
        size_t count = cw_tls_names_find(&generation->names, name->name, &first);
        for (size_t j = first; j < first + count; j++) {
            size_t other = generation->names.all[j].identity;
            if (other != 0 &&
                mbedtls_ssl_conf_own_cert(&generation->conf, &generation->identities[other].chain,
                                          &generation->identities[other].key) != 0) {
                return no_memory(complaint);
            }
        }
        break;
    }
    return CW_OK;
}

static int configure_alpn(struct cw_tls_generation *generation, struct cw_complaint *complaint)
{
    const char *list = generation->options->alpn;
    size_t size = list ? strlen(list) + 1 : 0;
    size_t count = 0;

    if (size <= 1) {
        return CW_OK;
    }
    generation->alpn_text = cw_alloc(size);
    if (!generation->alpn_text) {
        return no_memory(complaint);
    }
    for (char *name = generation->alpn_text;
         count < CW_TLS_ALPN_MAX &&
         cw_tls_list_next(&list, name, size - (size_t)(name - generation->alpn_text)) > 0;
         name += strlen(name) + 1) {
        generation->alpn[count++] = name;
    }
    if (count > 0 && mbedtls_ssl_conf_alpn_protocols(&generation->conf, generation->alpn) != 0) {
        return cw_tls_complain(complaint, CW_EINVAL, "tls.alpn: names have 1 to 255 bytes");
    }
    return CW_OK;
}

static int authmode_of(struct cw_tls_generation *generation)
{
    const struct cw_tls_options *options = generation->options;

    if (generation->role == CW_CLIENT) {
        return options->insecure ? MBEDTLS_SSL_VERIFY_OPTIONAL : MBEDTLS_SSL_VERIFY_REQUIRED;
    }
    if (options->client_cert == CW_CLIENT_CERT_REQUEST) {
        generation->refuses_in_callback = !options->accept_unauthorized;
        return MBEDTLS_SSL_VERIFY_OPTIONAL;
    }
    if (options->client_cert == CW_CLIENT_CERT_REQUIRE) {
        generation->accepts_in_callback = options->accept_unauthorized;
        return MBEDTLS_SSL_VERIFY_REQUIRED;
    }
    return MBEDTLS_SSL_VERIFY_NONE;
}

static bool least_is_1_3(const struct cw_tls_options *options)
{
    return options->min_version == CW_TLS_1_3;
}

static bool most_is_1_3(const struct cw_tls_options *options)
{
    return CW_TLS_HAS_1_3 && options->max_version != CW_TLS_1_2;
}

static void configure_versions(struct cw_tls_generation *generation)
{
    const struct cw_tls_options *options = generation->options;
    bool datagram = generation->datagram; /* the library's 1.3 is for streams of bytes alone */

    cw_tls_conf_versions(&generation->conf, !datagram && least_is_1_3(options),
                         !datagram && most_is_1_3(options));
}

static int configure_policy(struct cw_tls_generation *generation, struct cw_complaint *complaint)
{
    mbedtls_ssl_config *conf = &generation->conf;
    const struct cw_tls_options *options = generation->options;
    int error = cw_tls_policy_ciphers(options->ciphers, &generation->lists, complaint);

    error =
        error < 0 ? error : cw_tls_policy_groups(options->groups, &generation->lists, complaint);
    if (error < 0) {
        return error;
    }
    configure_versions(generation);
    cw_tls_conf_lists(conf, &generation->lists);
    mbedtls_ssl_conf_cert_profile(conf, &cw_tls_profile);
    mbedtls_ssl_conf_renegotiation(conf, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
    mbedtls_ssl_conf_legacy_renegotiation(conf, MBEDTLS_SSL_LEGACY_NO_RENEGOTIATION);
    return CW_OK;
}

static void configure_trust(struct cw_tls_generation *generation)
{
    mbedtls_ssl_config *conf = &generation->conf;

    /* The library refuses to work without a list of CAs: the empty one trusts nobody. */
    mbedtls_ssl_conf_ca_chain(conf, &generation->ca,
                              generation->options->crl ? &generation->crl : NULL);
    mbedtls_ssl_conf_authmode(conf, authmode_of(generation));
}

/* A ticket of TLS 1.3 does not carry the peer's certificate, nor does any session the verdict on one that was let in
 * although it is bad: with those everybody shakes hands in full. */
static int configure_resumption(struct cw_tls_generation *generation,
                                const struct cw_tls_generation *previous,
                                struct cw_complaint *complaint)
{
    const struct cw_tls_options *options = generation->options;
    bool wanted = options->resumption != CW_TLS_NO_RESUMPTION && !generation->accepts_in_callback;
    int error = CW_OK;

    cw_tls_conf_resumption(&generation->conf, wanted, options->client_cert == CW_CLIENT_CERT_OFF);
    if (generation->role == CW_CLIENT || !wanted) {
        return CW_OK;
    }
    if (previous && previous->resume && cw_tls_resume_fits(previous->resume, options) &&
        memcmp(&previous->digest, &generation->digest, sizeof previous->digest) == 0) {
        generation->resume = cw_tls_resume_hold(previous->resume);
    } else {
        generation->resume = cw_tls_resume_new(options, &error);
    }
    if (error < 0) {
        return no_memory(complaint);
    }
    cw_tls_resume_configure(generation->resume, &generation->conf);
    return CW_OK;
}

static int configure(struct cw_tls_generation *generation, const struct cw_tls_generation *previous,
                     struct cw_complaint *complaint)
{
    mbedtls_ssl_config *conf = &generation->conf;

    if (mbedtls_ssl_config_defaults(
            conf, generation->role == CW_SERVER ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
            generation->datagram ? MBEDTLS_SSL_TRANSPORT_DATAGRAM : MBEDTLS_SSL_TRANSPORT_STREAM,
            MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
        return no_memory(complaint);
    }
    mbedtls_ssl_conf_rng(conf, cw_tls_random, NULL);
    int error = configure_policy(generation, complaint);
    error = error < 0 ? error : configure_own(generation, complaint);
    error = error < 0 ? error : configure_alpn(generation, complaint);
    if (error < 0) {
        return error;
    }
    configure_trust(generation);
    if (generation->role == CW_SERVER) {
        mbedtls_ssl_conf_sni(conf, choose_by_name, generation);
    }
    if (generation->datagram && cw_dtls_configure(generation) < 0) {
        return no_memory(complaint);
    }
    return configure_resumption(generation, previous, complaint);
}

static int make_generation(struct cw_tls *tls, const struct cw_tls_options *options,
                           struct cw_tls_generation **made, struct cw_complaint *complaint)
{
    int error = cw_tls_options_check(options, tls->role, complaint);

    *made = NULL;
    if (error < 0) {
        return error;
    }
    struct cw_tls_generation *generation = new_generation(tls, options);
    if (!generation) {
        return no_memory(complaint);
    }
    if (tls->role == CW_CLIENT) {
        error = set_host(generation, tls->host, complaint);
        if (error == CW_OK && options->fingerprint) {
            generation->has_fingerprint = true;
            error = cw_tls_fingerprint_parse(options->fingerprint, generation->fingerprint);
        }
    }
    error = error < 0 ? error : read_identities(generation, complaint);
    error = error < 0 ? error : read_trust(generation, complaint);
    error = error < 0 ? error : configure(generation, tls->generation, complaint);
    if (error < 0) {
        drop_generation(generation);
        return error;
    }
    *made = generation;
    return CW_OK;
}

/* ---- struct cw_tls ---- */

static void free_tls(struct cw_tls *tls)
{
    mbedtls_ssl_session_free(&tls->kept.session);
    mbedtls_ssl_cookie_free(&tls->cookies);
    drop_generation(tls->generation);
    pthread_mutex_destroy(&tls->lock);
    cw_release(tls->host);
    cw_release(tls);
}

static struct cw_tls *alloc_tls(const struct cw_tls_setup *setup)
{
    struct cw_tls *tls = cw_alloc_zero(sizeof *tls);

    if (!tls) {
        return NULL;
    }
    atomic_init(&tls->holds, 1);
    pthread_mutex_init(&tls->lock, NULL);
    mbedtls_ssl_session_init(&tls->kept.session);
    mbedtls_ssl_cookie_init(&tls->cookies);
    tls->role = setup->role;
    tls->datagram = setup->datagram;
    tls->begins_plain = setup->options->start_tls && !setup->datagram;
    tls->has_moving_peers = setup->options->connection_id && setup->datagram;
    if (setup->host) {
        tls->host = cw_alloc(strlen(setup->host) + 1);
        if (!tls->host) {
            free_tls(tls);
            return NULL;
        }
        memcpy(tls->host, setup->host, strlen(setup->host) + 1);
    }
    return tls;
}

static void fill_records(struct cw_tls *tls)
{
    const struct cw_tls_options *options = tls->generation->options;

    tls->records = (struct cw_tls_records){
        .start = (size_t)options->record_start_bytes,
        .grow = (size_t)options->record_grow_bytes,
        .rest = cw_ticks(options->record_rest_ms),
    };
}

static bool open_cookies(struct cw_tls *tls)
{
    return !tls->datagram || tls->role != CW_SERVER ||
           mbedtls_ssl_cookie_setup(&tls->cookies, cw_tls_random, NULL) == 0;
}

struct cw_tls *cw_tls_new(const struct cw_tls_setup *setup, struct cw_complaint *complaint,
                          int *error)
{
    struct cw_tls *tls = alloc_tls(setup);

    if (!tls || cw_tls_library_begin() < 0 || !open_cookies(tls)) {
        *error = no_memory(complaint);
        cw_tls_drop(tls);
        return NULL;
    }
    *error = make_generation(tls, setup->options, &tls->generation, complaint);
    if (!tls->generation) {
        cw_tls_drop(tls);
        return NULL;
    }
    fill_records(tls);
    if (setup->options->insecure) {
        cw_log(CW_LOG_WARNING, 0, "tls.insecure: the certificate of %s is not verified",
               tls->generation->host.name);
    }
    return tls;
}

struct cw_tls *cw_tls_hold(struct cw_tls *tls)
{
    atomic_fetch_add_explicit(&tls->holds, 1, memory_order_relaxed);
    return tls;
}

void cw_tls_drop(struct cw_tls *tls)
{
    if (tls && atomic_fetch_sub_explicit(&tls->holds, 1, memory_order_acq_rel) == 1) {
        free_tls(tls);
    }
}

/* Only one at a time: nobody else replaces the generation, so it is read without the lock. */
int cw_tls_reload(struct cw_tls *tls, const struct cw_tls_options *options,
                  struct cw_complaint *complaint)
{
    struct cw_tls_generation *old = tls->generation;
    struct cw_tls_generation *fresh;
    int error = make_generation(tls, options ? options : old->options, &fresh, complaint);

    if (error < 0) {
        return error;
    }
    pthread_mutex_lock(&tls->lock);
    tls->generation = fresh;
    pthread_mutex_unlock(&tls->lock);
    cw_tls_kept_drop(tls);
    drop_generation(old);
    return CW_OK;
}

bool cw_tls_begins_plain(const struct cw_tls *tls)
{
    return tls->begins_plain;
}

bool cw_tls_has_moving_peers(const struct cw_tls *tls)
{
    return tls->has_moving_peers;
}

const struct cw_tls_records *cw_tls_records(const struct cw_tls *tls)
{
    return &tls->records;
}

/* ---- sessions ---- */

static int set_up(struct cw_tls_session *session)
{
    const struct cw_tls_generation *generation = session->generation;
    const struct cw_tls_host *host = &generation->host;

    if (mbedtls_ssl_setup(&session->ssl, &generation->conf) != 0) {
        return CW_ENOMEM;
    }
    mbedtls_ssl_set_verify(&session->ssl, cw_tls_verify, session);
    if (generation->datagram) {
        mbedtls_ssl_set_mtu(&session->ssl, (uint16_t)generation->options->mtu_bytes);
    }
    if (generation->role == CW_CLIENT) {
        /* RFC 6066 §3: an address is no server name. NULL: our callback checks the name, not the library. */
        const char *name = host->ip_len == 0 && *host->name ? host->name : NULL;

        if (mbedtls_ssl_set_hostname(&session->ssl, name) != 0) {
            return CW_ENOMEM;
        }
        cw_tls_kept_offer(session);
    }
    return CW_OK;
}

int cw_tls_session_open(struct cw_tls_session *session, struct cw_tls *tls)
{
    mbedtls_ssl_init(&session->ssl);
    session->tls = cw_tls_hold(tls);
    pthread_mutex_lock(&tls->lock);
    session->generation = hold_generation(tls->generation);
    pthread_mutex_unlock(&tls->lock);
    int error = set_up(session);
    if (error < 0) {
        cw_tls_session_close(session);
    }
    return error;
}

/* The tables of the system's store would take 100 ms to fill beforehand, for CAs of which few are ever used: there, one
 * verification follows the other. */
static bool verifies_alone(const struct cw_tls_session *session)
{
    return CW_TLS_FILLS_TABLES && session->generation->uses_system_store &&
           cw_tls_is_at_certificate(&session->ssl);
}

int cw_tls_session_step(struct cw_tls_session *session)
{
    struct cw_tls_generation *generation = session->generation;

    cw_tls_before_step(&session->ssl);
    if (!verifies_alone(session)) {
        return mbedtls_ssl_handshake_step(&session->ssl);
    }
    pthread_mutex_lock(&generation->verify_lock);
    int result = mbedtls_ssl_handshake_step(&session->ssl);
    pthread_mutex_unlock(&generation->verify_lock);
    return result;
}

bool cw_tls_session_is_newest(const struct cw_tls_session *session)
{
    pthread_mutex_lock(&session->tls->lock);
    bool newest = session->generation == session->tls->generation;
    pthread_mutex_unlock(&session->tls->lock);
    return newest;
}

bool cw_tls_session_verifies(const struct cw_tls_session *session)
{
    const struct cw_tls_generation *generation = session->generation;

    return generation->role == CW_CLIENT || generation->options->client_cert != CW_CLIENT_CERT_OFF;
}

bool cw_tls_session_reset(struct cw_tls_session *session)
{
    if (session->tls->role != CW_SERVER || !cw_tls_session_is_newest(session) ||
        mbedtls_ssl_session_reset(&session->ssl) != 0) {
        return false;
    }
    cw_release(session->server_name);
    cw_release(session->why);
    session->server_name = NULL;
    session->why = NULL;
    session->group = 0;
    session->resumed = false;
    session->verdict = 0;
    return true;
}

void cw_tls_session_close(struct cw_tls_session *session)
{
    if (!session->tls) {
        return;
    }
    mbedtls_ssl_free(&session->ssl);
    cw_release(session->server_name);
    cw_release(session->why);
    drop_generation(session->generation);
    cw_tls_drop(session->tls);
    memset(session, 0, sizeof *session);
}
