/* What is spoken: versions, cipher suites, groups, and how strong a certificate has to be. */
#include "tls_context_impl.h"

#include <stdio.h>

struct named {
    int id;
    const char *name;
};

/* In the default order: see docs/options.md for the measurements. */
#if CW_TLS_HAS_1_3
static const struct named ciphers[] = {
    {0x1303, "TLS_CHACHA20_POLY1305_SHA256"},
    {0x1301, "TLS_AES_128_GCM_SHA256"},
    {0x1302, "TLS_AES_256_GCM_SHA384"},
    {0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"},
    {0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
    {0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
    {0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
    {0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
    {0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"},
};
#else
static const struct named ciphers[] = {
    {0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"},
    {0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
    {0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
    {0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
    {0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
    {0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"},
    {0x1303, "TLS_CHACHA20_POLY1305_SHA256"},
    {0x1301, "TLS_AES_128_GCM_SHA256"},
    {0x1302, "TLS_AES_256_GCM_SHA384"},
};
#endif

static const struct named groups[] = {
    {CW_TLS_X25519, "x25519"},
    {CW_TLS_SECP256R1, "secp256r1"},
    {CW_TLS_SECP384R1, "secp384r1"},
    {CW_TLS_SECP521R1, "secp521r1"},
};

enum {
    CIPHERS = sizeof ciphers / sizeof ciphers[0],
    GROUPS = sizeof groups / sizeof groups[0],
    GROUPS_DEFAULT = 3,
};

const mbedtls_x509_crt_profile cw_tls_profile = {
    .allowed_mds = MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA256) |
                   MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA384) | MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA512),
    .allowed_pks = 0xfffffff,
    .allowed_curves = MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP256R1) |
                      MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP384R1) |
                      MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP521R1) |
                      MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_BP256R1) |
                      MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_BP384R1) |
                      MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_BP512R1),
    .rsa_min_bitlen = 2048,
};

static const struct named *find(const struct named *all, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i].name, name) == 0) {
            return &all[i];
        }
    }
    return NULL;
}

const char *cw_tls_cipher_name(int id)
{
    for (size_t i = 0; i < CIPHERS; i++) {
        if (ciphers[i].id == id) {
            return ciphers[i].name;
        }
    }
    return "";
}

const char *cw_tls_group_name(uint16_t group)
{
    for (size_t i = 0; i < GROUPS; i++) {
        if (groups[i].id == group) {
            return groups[i].name;
        }
    }
    return "";
}

/* ---- versions ---- */

static bool is_version(enum cw_tls_version version)
{
    return version == CW_TLS_ANY || version == CW_TLS_1_2 || version == CW_TLS_1_3;
}

int cw_tls_policy_versions(enum cw_tls_version least, enum cw_tls_version most,
                           struct cw_complaint *complaint)
{
    if (!is_version(least) || !is_version(most)) {
        return cw_tls_complain(complaint, CW_EINVAL, "tls.%s_version: 1.2 and 1.3 are allowed",
                               is_version(least) ? "max" : "min");
    }
    if (most != CW_TLS_ANY && least > most) {
        return cw_tls_complain(complaint, CW_EINVAL, "tls.min_version is above tls.max_version");
    }
    if (least == CW_TLS_1_3 && !CW_TLS_HAS_1_3) {
        return cw_tls_complain(complaint, CW_EINVAL,
                               "tls.min_version: mbedTLS %s has TLS 1.2 only; 1.3 needs 3.6",
                               MBEDTLS_VERSION_STRING);
    }
    return CW_OK;
}

/* ---- cipher suites ---- */

static bool is_of_1_3(int cipher)
{
    return cipher >> 8 == 0x13;
}

/* What is wrong with a suite that other programs know. NULL: it is none we have heard of. */
static const char *weakness(const char *name)
{
    static const struct {
        const char *part;
        const char *why;
    } parts[] = {
        {"_anon_", "it proves nobody's identity"},
        {"_NULL_", "it does not encrypt"},
        {"_EXPORT_", "its keys are too short"},
        {"TLS_RSA_", "it has no forward secrecy"},
        {"TLS_ECDH_", "it has no forward secrecy"},
        {"TLS_DH_", "it has no forward secrecy"},
        {"PSK", "keys shared beforehand are not supported"},
        {"TLS_DHE_", "DHE is not supported, ECDHE is"},
        {"_CBC_", "it is no authenticated encryption (CBC)"},
        {"_RC4_", "RC4 is broken"},
        {"_CCM", "CCM is not supported, GCM is"},
        {"_ARIA_", "ARIA is not supported, AES is"},
        {"_CAMELLIA_", "Camellia is not supported, AES is"},
    };

    if (strncmp(name, "TLS_", 4) != 0) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strstr(name, parts[i].part)) {
            return parts[i].why;
        }
    }
    return NULL;
}

static int refuse_cipher(const char *name, struct cw_complaint *complaint)
{
    const char *why = weakness(name);

    if (why) {
        return cw_tls_complain(complaint, CW_EINVAL, "tls.ciphers: %.64s is not allowed: %s", name,
                               why);
    }
    return cw_tls_complain(complaint, CW_EINVAL,
                           "tls.ciphers: %.32s is not known; ECDHE with AES-GCM or "
                           "CHACHA20-POLY1305 is allowed, by IANA names (docs/options.md)",
                           name);
}

static bool has_cipher(const struct cw_tls_lists *lists, int id)
{
    for (const int *known = lists->ciphers; *known != 0; known++) {
        if (*known == id) {
            return true;
        }
    }
    return false;
}

static void add_cipher(struct cw_tls_lists *lists, int id)
{
    size_t count = 0;

    if (has_cipher(lists, id) || (is_of_1_3(id) && !CW_TLS_HAS_1_3)) {
        return;
    }
    while (lists->ciphers[count] != 0) {
        count++;
    }
    lists->ciphers[count] = id;
}

/* A version of which no suite was named keeps its defaults: whoever orders those of 1.2 has not switched 1.3 off. */
static void fill_version(struct cw_tls_lists *lists, bool of_1_3)
{
    for (const int *known = lists->ciphers; *known != 0; known++) {
        if (is_of_1_3(*known) == of_1_3) {
            return;
        }
    }
    for (size_t i = 0; i < CIPHERS; i++) {
        if (is_of_1_3(ciphers[i].id) == of_1_3) {
            add_cipher(lists, ciphers[i].id);
        }
    }
}

int cw_tls_policy_ciphers(const char *list, struct cw_tls_lists *lists,
                          struct cw_complaint *complaint)
{
    char name[CW_TLS_TOKEN_MAX];
    int more;

    memset(lists->ciphers, 0, sizeof lists->ciphers);
    while (list && (more = cw_tls_list_next(&list, name, sizeof name)) != 0) {
        const struct named *cipher = more > 0 ? find(ciphers, CIPHERS, name) : NULL;

        if (!cipher) {
            return refuse_cipher(name, complaint);
        }
        add_cipher(lists, cipher->id);
    }
    fill_version(lists, true);
    fill_version(lists, false);
    return CW_OK;
}

/* ---- groups ---- */

static void add_group(struct cw_tls_lists *lists, int id)
{
    uint16_t *group = lists->groups;

    while (*group != 0 && *group != id) {
        group++;
    }
    *group = (uint16_t)id;
}

int cw_tls_policy_groups(const char *list, struct cw_tls_lists *lists,
                         struct cw_complaint *complaint)
{
    char name[CW_TLS_TOKEN_MAX];
    int more;

    memset(lists->groups, 0, sizeof lists->groups);
    while (list && (more = cw_tls_list_next(&list, name, sizeof name)) != 0) {
        const struct named *group = more > 0 ? find(groups, GROUPS, name) : NULL;

        if (!group) {
            return cw_tls_complain(complaint, CW_EINVAL,
                                   "tls.groups: %.32s is not allowed; x25519, secp256r1, secp384r1 "
                                   "and secp521r1 are",
                                   name);
        }
        add_group(lists, group->id);
    }
    if (lists->groups[0] == 0) {
        for (size_t i = 0; i < GROUPS_DEFAULT; i++) {
            add_group(lists, groups[i].id);
        }
    }
    return CW_OK;
}
