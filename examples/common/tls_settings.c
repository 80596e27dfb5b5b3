#include "tls_settings.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BOTH = TLS_SERVER | TLS_CLIENT };

static const char *const versions[] = {"1.2", "1.3", NULL};
static const enum cw_tls_version version_numbers[] = {CW_TLS_1_2, CW_TLS_1_3};

#define AT(member) offsetof(struct tls_settings, member)

static const struct {
    struct option_entry entry; /* without `into` */
    size_t offset;
    unsigned roles;
} known[] = {
    {{.name = "tls-cert",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .about = "the certificate to show, those that lead to its root behind it; a server speaks TLS "
               "with it"},
     AT(options.cert),
     BOTH},
    {{.name = "tls-key",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .standard = "in the certificate's file",
      .about = "the certificate's key"},
     AT(options.key),
     BOTH},
    {{.name = "tls-passphrase-env",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .about = "the variable of the environment that holds the key's passphrase"},
     AT(passphrase_env),
     BOTH},
    {{.name = "tls-ca",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .about = "who may have signed the other side's certificate: a file or a directory"},
     AT(options.ca),
     BOTH},
    {{.name = "tls-crl",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .about = "which certificates are revoked"},
     AT(options.crl),
     BOTH},
    {{.name = "tls-request-client-cert",
      .kind = OPTION_SWITCH,
      .about = "ask clients for a certificate; one that is sent has to be good"},
     AT(request_client_cert),
     TLS_SERVER},
    {{.name = "tls-require-client-cert",
      .kind = OPTION_SWITCH,
      .about = "refuse clients without a good certificate"},
     AT(require_client_cert),
     TLS_SERVER},
    {{.name = "tls-min-version",
      .kind = OPTION_CHOICE,
      .value = "1.2|1.3",
      .standard = "1.2",
      .about = "refuse older versions of TLS",
      .choices = versions},
     AT(min_version),
     BOTH},
    {{.name = "tls-alpn",
      .kind = OPTION_TEXT,
      .value = "LIST",
      .about = "names of protocols for ALPN, most wanted first, with commas between"},
     AT(options.alpn),
     BOTH},
    {{.name = "tls-ciphers",
      .kind = OPTION_TEXT,
      .value = "LIST",
      .standard = "AEAD with forward secrecy: docs/tls.md",
      .about = "cipher suites by their IANA names, most wanted first"},
     AT(options.ciphers),
     BOTH},
    {{.name = "tls-name",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .standard = "the host",
      .about = "with tls://: whom the server's certificate has to name"},
     AT(options.server_name),
     TLS_CLIENT},
    {{.name = "tls-fingerprint",
      .kind = OPTION_TEXT,
      .value = "HEX",
      .about = "with tls://: accept this one certificate, by its SHA-256, and ask no CA"},
     AT(options.fingerprint),
     TLS_CLIENT},
    {{.name = "tls-insecure",
      .kind = OPTION_SWITCH,
      .about = "with tls://: accept any certificate; no protection, whoever is in between can read "
               "and change everything"},
     AT(options.insecure),
     TLS_CLIENT},
};

enum { KNOWN_COUNT = sizeof known / sizeof known[0] };

size_t tls_settings_entries(struct tls_settings *settings, unsigned roles,
                            struct option_entry *entries)
{
    size_t count = 0;

    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if ((known[i].roles & roles) != 0) {
            entries[count] = known[i].entry;
            entries[count++].into = (char *)settings + known[i].offset;
        }
    }
    return count;
}

/* ---- what does not go together ---- */

static const struct {
    unsigned roles;
    const char *name;
    const char *other;
    bool excludes; /* the two exclude each other; false: `name` needs `other` */
    const char *why;
} rules[] = {
    {BOTH, "tls-key", "tls-cert", false, "a key alone is of no use"},
    {BOTH, "tls-passphrase-env", "tls-cert", false, "it is for the key of a certificate"},
    {TLS_SERVER, "tls-request-client-cert", "tls-require-client-cert", true,
     "the second is the stricter"},
    {TLS_SERVER, "tls-request-client-cert", "tls-ca", false,
     "who may have signed the certificates of clients"},
    {TLS_SERVER, "tls-require-client-cert", "tls-ca", false,
     "who may have signed the certificates of clients"},
    {TLS_SERVER, "tls-crl", "tls-ca", false, "its lists are about the certificates of clients"},
    {TLS_CLIENT, "tls-insecure", "tls-ca", true, "the first accepts any certificate"},
    {TLS_CLIENT, "tls-insecure", "tls-crl", true, "the first accepts any certificate"},
    {TLS_CLIENT, "tls-insecure", "tls-fingerprint", true, "the first accepts any certificate"},
    {TLS_CLIENT, "tls-fingerprint", "tls-ca", true, "the first asks no CA"},
    {TLS_CLIENT, "tls-fingerprint", "tls-crl", true, "the first asks no CA"},
};

static bool is_set(const struct tls_settings *settings, size_t index)
{
    const void *into = (const char *)settings + known[index].offset;

    switch (known[index].entry.kind) {
    case OPTION_SWITCH:
        return *(const bool *)into;
    case OPTION_CHOICE:
        return *(const size_t *)into != SIZE_MAX;
    default:
        return *(const char *const *)into != NULL;
    }
}

static bool is_given(const struct tls_settings *settings, const char *name)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (strcmp(known[i].entry.name, name) == 0) {
            return is_set(settings, i);
        }
    }
    return false;
}

/* Options of the other role, and those that come without TLS. */
static bool all_apply(const struct tls_settings *settings, enum tls_role role, bool used,
                      char *complaint)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        const char *why = NULL;

        if (!is_set(settings, i)) {
            continue;
        }
        if ((known[i].roles & (unsigned)role) == 0) {
            why = role == TLS_SERVER ? "is for a client, and this is a server"
                                     : "is for a server, and this is a client";
        } else if (!used) {
            why = role == TLS_SERVER ? "needs --tls-cert FILE: TLS begins with a certificate"
                                     : "needs tls:// before the address: nothing is encrypted";
        }
        if (why != NULL) {
            snprintf(complaint, TLS_COMPLAINT_BYTES, "--%s %s", known[i].entry.name, why);
            return false;
        }
    }
    return true;
}

static bool go_together(const struct tls_settings *settings, enum tls_role role, char *complaint)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if ((rules[i].roles & (unsigned)role) != 0 && is_given(settings, rules[i].name) &&
            is_given(settings, rules[i].other) == rules[i].excludes) {
            snprintf(complaint, TLS_COMPLAINT_BYTES,
                     rules[i].excludes ? "--%s and --%s exclude each other: %s"
                                       : "--%s needs --%s FILE: %s",
                     rules[i].name, rules[i].other, rules[i].why);
            return false;
        }
    }
    if (role == TLS_SERVER && settings->options.ca != NULL && !settings->request_client_cert &&
        !settings->require_client_cert) {
        snprintf(complaint, TLS_COMPLAINT_BYTES,
                 "--tls-ca needs --tls-require-client-cert or --tls-request-client-cert: nobody is "
                 "asked for a certificate");
        return false;
    }
    return true;
}

/* What cannot be told from what the options say together. */
static bool resolve(struct tls_settings *settings, char *complaint)
{
    struct cw_tls_options *options = &settings->options;

    if (settings->passphrase_env != NULL) {
        options->passphrase = getenv(settings->passphrase_env);
        if (options->passphrase == NULL) {
            snprintf(complaint, TLS_COMPLAINT_BYTES,
                     "--tls-passphrase-env %s: the environment has no such variable",
                     settings->passphrase_env);
            return false;
        }
    }
    if (settings->min_version != SIZE_MAX) {
        options->min_version = version_numbers[settings->min_version];
    }
    options->client_cert = settings->require_client_cert   ? CW_CLIENT_CERT_REQUIRE
                           : settings->request_client_cert ? CW_CLIENT_CERT_REQUEST
                                                           : CW_CLIENT_CERT_OFF;
    return true;
}

bool tls_settings_finish(struct tls_settings *settings, enum tls_role role, bool over_file,
                         bool *used, char *complaint)
{
    *used = role == TLS_SERVER ? settings->options.cert != NULL : *used;
    return all_apply(settings, role, *used || over_file, complaint) &&
           (over_file || go_together(settings, role, complaint)) && resolve(settings, complaint);
}

static void over(const char **text, const char *given)
{
    *text = given == NULL ? *text : given;
}

void tls_settings_over(const struct tls_settings *settings, struct cw_tls_options *options)
{
    const struct cw_tls_options *given = &settings->options;

    if (given->cert != NULL) {
        options->key = NULL; /* the file's, which belongs to another certificate */
        options->passphrase = NULL;
    }
    over(&options->cert, given->cert);
    over(&options->key, given->key);
    over(&options->passphrase, given->passphrase);
    over(&options->ca, given->ca);
    over(&options->crl, given->crl);
    over(&options->alpn, given->alpn);
    over(&options->ciphers, given->ciphers);
    if (given->min_version != CW_TLS_ANY) {
        options->min_version = given->min_version;
    }
    if (given->client_cert != CW_CLIENT_CERT_OFF) {
        options->client_cert = given->client_cert;
    }
}

/* ---- memory ---- */

enum { MAPPED_FROM_BYTES = 16384, TRIM_BYTES = 65536 };

void tls_spare_memory(void)
{
#ifdef __GLIBC__
    /* mbedTLS 2.28 holds two buffers of 16.7 KB for each connection and touches the first pages of them. Pages of a
     * mapping of their own that nobody touches cost nothing; cut out of a used heap they do. malloc maps what its
     * heap has no room for at the top, so the top has to stay small too: with all three an idle connection takes
     * 10.6 KB instead of 35 KB, with the first alone 21 KB. Above 65536 mappings (32768 connections) malloc takes the
     * heap again. */
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
    (void)mallopt(M_TOP_PAD, 0);
#endif
}
