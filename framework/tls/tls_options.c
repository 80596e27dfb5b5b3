/* Options of TLS: what is allowed, what zero means, copies, lists. */
#include "tls_context_impl.h"

#include "../options.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

/* RFC 8446 §4.6.1: a ticket lives at most seven days. */
static const uint64_t week_ms = 7ull * 24 * 3600 * 1000;
static const uint64_t hour_ms = 3600 * 1000;

enum { RECORD_MAX = 16384, SESSIONS_MOST = 65536, ALPN_NAME_MAX = 255 };
enum { MTU_LEAST = 256, MTU_MOST = 65507 };

int cw_tls_complain(struct cw_complaint *complaint, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(complaint->text, sizeof complaint->text, format, args);
    va_end(args);
    return code;
}

/* ---- lists and fingerprints ---- */

int cw_tls_list_next(const char **rest, char *token, size_t cap)
{
    const char *start = *rest + strspn(*rest, ", \t\r\n");
    size_t len = strcspn(start, ", \t\r\n");

    *rest = start + len;
    if (len == 0) {
        return 0;
    }
    size_t kept = len < cap ? len : cap - 1;
    memcpy(token, start, kept);
    token[kept] = '\0';
    return len < cap ? 1 : CW_ETOOBIG;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int cw_tls_fingerprint_parse(const char *text, uint8_t digest[32])
{
    size_t digits = 0;

    for (; *text; text++) {
        int digit = digit_of(*text);

        if (*text == ':' && digits % 2 == 0 && digits > 0) {
            continue;
        }
        if (digit < 0 || digits == 64) {
            return CW_EINVAL;
        }
        digest[digits / 2] = (uint8_t)(digits % 2 == 0 ? digit << 4 : digest[digits / 2] | digit);
        digits++;
    }
    return digits == 64 ? CW_OK : CW_EINVAL;
}

/* ---- checks ---- */

#define RULE(member, standard, max, flags)                                                         \
    {                                                                                              \
        "tls." #member, offsetof(struct cw_tls_options, member), standard, max, flags              \
    }

static int apply_numbers(struct cw_tls_options *options, struct cw_complaint *complaint)
{
    const struct cw_option_rule rules[] = {
        RULE(record_start_bytes, 1360, RECORD_MAX, 0),
        RULE(record_grow_bytes, 65536, 1ull << 40, 0),
        RULE(record_rest_ms, 1000, 0, CW_IS_DURATION),
        RULE(ticket_key_ms, 3600000, week_ms, 0),
        RULE(session_ms, 0, week_ms, 0),
        RULE(sessions_max, 1024, SESSIONS_MOST, 0),
        RULE(mtu_bytes, 1400, MTU_MOST, 0),
        RULE(retransmit_min_ms, 1000, hour_ms, 0),
        RULE(retransmit_max_ms, 60000, hour_ms, 0),
    };

    return cw_options_apply(options, rules, sizeof rules / sizeof rules[0], complaint);
}

void cw_tls_options_fill(struct cw_tls_options *options)
{
    struct cw_complaint unused;

    (void)apply_numbers(options, &unused);
    if (options->session_ms == 0) {
        options->session_ms = options->ticket_key_ms;
    }
}

static int check_times(const struct cw_tls_options *options, struct cw_complaint *complaint)
{
    struct cw_tls_options filled = *options;
    int error = apply_numbers(&filled, complaint);

    if (error < 0) {
        return error;
    }
    if (filled.ticket_key_ms < 1000) {
        return cw_tls_complain(complaint, CW_EINVAL, "tls.ticket_key_ms: at least 1000");
    }
    if (options->session_ms != 0 && options->session_ms < 1000) {
        return cw_tls_complain(complaint, CW_EINVAL, "tls.session_ms: at least 1000");
    }
    if (options->resumption == CW_TLS_TICKETS && filled.session_ms > filled.ticket_key_ms) {
        return cw_tls_complain(complaint, CW_EINVAL,
                               "tls.session_ms is above tls.ticket_key_ms: a ticket lives no longer "
                               "than its key is good for");
    }
    return CW_OK;
}

static int check_datagrams(const struct cw_tls_options *options, struct cw_complaint *complaint)
{
    struct cw_tls_options filled = *options;

    cw_tls_options_fill(&filled);
    if (filled.mtu_bytes < MTU_LEAST) {
        return cw_tls_complain(complaint, CW_EINVAL, "tls.mtu_bytes: at least %d", MTU_LEAST);
    }
    if (filled.retransmit_min_ms > filled.retransmit_max_ms) {
        return cw_tls_complain(complaint, CW_EINVAL,
                               "tls.retransmit_min_ms is above tls.retransmit_max_ms");
    }
    if (options->connection_id && !CW_TLS_HAS_CONNECTION_IDS) {
        return cw_tls_complain(complaint, CW_EINVAL,
                               "tls.connection_id: needs mbedTLS 3.6, this is %s",
                               MBEDTLS_VERSION_STRING);
    }
    return CW_OK;
}

static int check_alpn(const char *list, struct cw_complaint *complaint)
{
    char name[CW_TLS_TOKEN_MAX];
    size_t count = 0;
    int more;

    while (list && (more = cw_tls_list_next(&list, name, sizeof name)) != 0) {
        if (more < 0) {
            return cw_tls_complain(complaint, CW_EINVAL, "tls.alpn: a name has at most %d bytes",
                                   ALPN_NAME_MAX);
        }
        if (++count > CW_TLS_ALPN_MAX) {
            return cw_tls_complain(complaint, CW_EINVAL, "tls.alpn: at most %d names",
                                   CW_TLS_ALPN_MAX);
        }
    }
    return CW_OK;
}

static int check_enums(const struct cw_tls_options *options, struct cw_complaint *complaint)
{
    if ((unsigned)options->client_cert > CW_CLIENT_CERT_REQUIRE) {
        return cw_tls_complain(complaint, CW_EINVAL, "tls.client_cert: off, request or require");
    }
    if ((unsigned)options->resumption > CW_TLS_NO_RESUMPTION) {
        return cw_tls_complain(complaint, CW_EINVAL,
                               "tls.resumption: tickets, a session cache, or none");
    }
    return cw_tls_policy_versions(options->min_version, options->max_version, complaint);
}

static int check_certificates(const struct cw_tls_options *options, struct cw_complaint *complaint)
{
    if (options->certificate_count > CW_TLS_CERTIFICATES_MAX) {
        return cw_tls_complain(complaint, CW_EINVAL, "tls.certificates: at most %d",
                               CW_TLS_CERTIFICATES_MAX);
    }
    if (options->certificate_count > 0 && !options->certificates) {
        return cw_tls_complain(complaint, CW_EINVAL,
                               "tls.certificates: certificate_count is set and they are missing");
    }
    for (size_t i = 0; i < options->certificate_count; i++) {
        if (!options->certificates[i].cert) {
            return cw_tls_complain(complaint, CW_EINVAL, "tls.certificates[%zu].cert: missing", i);
        }
    }
    return CW_OK;
}

static int check_server(const struct cw_tls_options *options, struct cw_complaint *complaint)
{
    const char *clients = options->server_name   ? "tls.server_name"
                          : options->fingerprint ? "tls.fingerprint"
                          : options->insecure    ? "tls.insecure"
                                                 : NULL;

    if (clients) {
        return cw_tls_complain(complaint, CW_EINVAL, "%s: is for clients, this is a server",
                               clients);
    }
    if (!options->cert) {
        return cw_tls_complain(complaint, CW_EINVAL, "tls.cert: a server needs a certificate");
    }
    if (options->client_cert == CW_CLIENT_CERT_OFF) {
        if (options->ca || options->crl || options->accept_unauthorized) {
            return cw_tls_complain(
                complaint, CW_EINVAL,
                "%s: clients are not asked for a certificate: set tls.client_cert",
                options->ca    ? "tls.ca"
                : options->crl ? "tls.crl"
                               : "tls.accept_unauthorized");
        }
        return check_certificates(options, complaint);
    }
    if (!options->ca && !options->accept_unauthorized) {
        return cw_tls_complain(complaint, CW_EINVAL,
                               "tls.ca: missing: tls.client_cert needs to know who may sign them");
    }
    return check_certificates(options, complaint);
}

static int check_client(const struct cw_tls_options *options, struct cw_complaint *complaint)
{
    uint8_t digest[32];
    const char *servers = options->certificate_count > 0 || options->certificates
                              ? "tls.certificates"
                          : options->client_cert != CW_CLIENT_CERT_OFF ? "tls.client_cert"
                          : options->accept_unauthorized               ? "tls.accept_unauthorized"
                                                                       : NULL;

    if (servers) {
        return cw_tls_complain(complaint, CW_EINVAL, "%s: is for servers, this is a client",
                               servers);
    }
    if (options->fingerprint && cw_tls_fingerprint_parse(options->fingerprint, digest) < 0) {
        return cw_tls_complain(
            complaint, CW_EINVAL,
            "tls.fingerprint: a SHA-256 has 64 hexadecimal digits, colons or not");
    }
    if (options->insecure && options->fingerprint) {
        return cw_tls_complain(complaint, CW_EINVAL,
                               "tls.insecure: accepts any certificate, tls.fingerprint only one");
    }
    return CW_OK;
}

static int check_key(const struct cw_tls_options *options, struct cw_complaint *complaint)
{
    if (!options->cert && (options->key || options->passphrase)) {
        return cw_tls_complain(complaint, CW_EINVAL, "tls.cert: missing beside tls.%s",
                               options->key ? "key" : "passphrase");
    }
    return CW_OK;
}

int cw_tls_options_check(const struct cw_tls_options *options, enum cw_role role,
                         struct cw_complaint *complaint)
{
    struct cw_tls_lists lists;
    int error = check_enums(options, complaint);

    error = error < 0 ? error : check_times(options, complaint);
    error = error < 0 ? error : check_datagrams(options, complaint);
    error = error < 0 ? error : check_alpn(options->alpn, complaint);
    error = error < 0 ? error : cw_tls_policy_ciphers(options->ciphers, &lists, complaint);
    error = error < 0 ? error : cw_tls_policy_groups(options->groups, &lists, complaint);
    error = error < 0 ? error : check_key(options, complaint);
    if (error < 0) {
        return error;
    }
    return role == CW_SERVER ? check_server(options, complaint) : check_client(options, complaint);
}

/* ---- copies ---- */

static const size_t texts[] = {
    offsetof(struct cw_tls_options, cert),        offsetof(struct cw_tls_options, key),
    offsetof(struct cw_tls_options, passphrase),  offsetof(struct cw_tls_options, ca),
    offsetof(struct cw_tls_options, crl),         offsetof(struct cw_tls_options, alpn),
    offsetof(struct cw_tls_options, ciphers),     offsetof(struct cw_tls_options, groups),
    offsetof(struct cw_tls_options, server_name), offsetof(struct cw_tls_options, fingerprint),
};

static const size_t certificate_texts[] = {
    offsetof(struct cw_tls_certificate, cert),
    offsetof(struct cw_tls_certificate, key),
    offsetof(struct cw_tls_certificate, passphrase),
    offsetof(struct cw_tls_certificate, names),
};

static char **text_at(void *base, size_t offset)
{
    return (char **)(void *)((char *)base + offset);
}

/* Replaces borrowed texts by copies. On a failure those that are not copied yet become NULL, so all can be freed. */
static int own_texts(void *base, const size_t *offsets, size_t count)
{
    int error = CW_OK;

    for (size_t i = 0; i < count; i++) {
        char **text = text_at(base, offsets[i]);
        size_t size = *text ? strlen(*text) + 1 : 0;
        char *copy = size > 0 && error == CW_OK ? cw_alloc(size) : NULL;

        if (copy) {
            memcpy(copy, *text, size);
        } else if (size > 0) {
            error = CW_ENOMEM;
        }
        *text = copy;
    }
    return error;
}

/* A key may stand in `cert` as well as in `key`: all are wiped. */
static void free_texts(void *base, const size_t *offsets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char **text = text_at(base, offsets[i]);

        if (*text) {
            mbedtls_platform_zeroize(*text, strlen(*text));
            cw_release(*text);
            *text = NULL;
        }
    }
}

static int own_certificates(struct cw_tls_options *copy)
{
    size_t count = copy->certificate_count;
    const struct cw_tls_certificate *from = copy->certificates;
    struct cw_tls_certificate *all;
    int error = CW_OK;

    copy->certificates = NULL;
    copy->certificate_count = 0;
    if (count == 0) {
        return CW_OK;
    }
    all = cw_alloc(count * sizeof *all);
    if (!all) {
        return CW_ENOMEM;
    }
    memcpy(all, from, count * sizeof *all);
    for (size_t i = 0; i < count; i++) {
        int one = own_texts(&all[i], certificate_texts,
                            sizeof certificate_texts / sizeof certificate_texts[0]);
        error = error < 0 ? error : one;
    }
    copy->certificates = all;
    copy->certificate_count = count;
    return error;
}

struct cw_tls_options *cw_tls_options_copy(const struct cw_tls_options *options)
{
    struct cw_tls_options *copy = cw_alloc(sizeof *copy);

    if (!copy) {
        return NULL;
    }
    *copy = *options;
    int error = own_texts(copy, texts, sizeof texts / sizeof texts[0]);
    int certificates = own_certificates(copy);
    if (error < 0 || certificates < 0) {
        cw_tls_options_free(copy);
        return NULL;
    }
    return copy;
}

void cw_tls_options_free(struct cw_tls_options *options)
{
    if (!options) {
        return;
    }
    struct cw_tls_certificate *all = (struct cw_tls_certificate *)options->certificates;
    for (size_t i = 0; i < options->certificate_count; i++) {
        free_texts(&all[i], certificate_texts,
                   sizeof certificate_texts / sizeof certificate_texts[0]);
    }
    cw_release(all);
    free_texts(options, texts, sizeof texts / sizeof texts[0]);
    cw_release(options);
}
