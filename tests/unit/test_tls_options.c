/* Options of TLS: each refusal by its name, lists, copies. */
#include "support/fault.h"
#include "support/leak.h"
#include "tls/tls_context_impl.h"

#include <criterion/criterion.h>

TestSuite(tls_options, .fini = rig_expect_no_leak, .timeout = 60);

static const char *refusal_of(const struct cw_tls_options *options, enum cw_role role)
{
    static struct cw_complaint complaint;

    complaint.text[0] = '\0';
    int error = cw_tls_options_check(options, role, &complaint);
    cr_expect_eq(error, complaint.text[0] ? CW_EINVAL : CW_OK);
    return complaint.text;
}

#define EXPECT_SERVER(text, ...)                                                                   \
    cr_expect_str_eq(refusal_of(&(struct cw_tls_options){__VA_ARGS__}, CW_SERVER), text)
#define EXPECT_CLIENT(text, ...)                                                                   \
    cr_expect_str_eq(refusal_of(&(struct cw_tls_options){__VA_ARGS__}, CW_CLIENT), text)

#define SHA256_DIGITS "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"

Test(tls_options, a_server_needs_a_certificate_and_a_client_nothing)
{
    EXPECT_SERVER("tls.cert: a server needs a certificate", 0);
    EXPECT_SERVER("", .cert = "cert.pem", .key = "key.pem");
    EXPECT_CLIENT("", 0);
}

Test(tls_options, an_option_of_the_other_role_is_refused)
{
    EXPECT_SERVER("tls.server_name: is for clients, this is a server", .server_name = "a");
    EXPECT_SERVER("tls.fingerprint: is for clients, this is a server", .fingerprint = "a");
    EXPECT_SERVER("tls.insecure: is for clients, this is a server", .insecure = true);
    EXPECT_CLIENT("tls.client_cert: is for servers, this is a client",
                  .client_cert = CW_CLIENT_CERT_REQUEST);
    EXPECT_CLIENT("tls.accept_unauthorized: is for servers, this is a client",
                  .accept_unauthorized = true);
    EXPECT_CLIENT("tls.certificates: is for servers, this is a client", .certificate_count = 1);
}

Test(tls_options, asking_clients_for_certificates_needs_to_know_who_signs_them)
{
    EXPECT_SERVER("tls.ca: missing: tls.client_cert needs to know who may sign them", .cert = "c",
                  .client_cert = CW_CLIENT_CERT_REQUIRE);
    EXPECT_SERVER("", .cert = "c", .client_cert = CW_CLIENT_CERT_REQUIRE, .ca = "ca.pem");
    EXPECT_SERVER("", .cert = "c", .client_cert = CW_CLIENT_CERT_REQUIRE,
                  .accept_unauthorized = true);
}

Test(tls_options, trust_in_clients_that_are_not_asked_is_refused)
{
    EXPECT_SERVER("tls.ca: clients are not asked for a certificate: set tls.client_cert",
                  .cert = "c", .ca = "ca.pem");
    EXPECT_SERVER("tls.crl: clients are not asked for a certificate: set tls.client_cert",
                  .cert = "c", .crl = "crl.pem");
    EXPECT_SERVER(
        "tls.accept_unauthorized: clients are not asked for a certificate: set tls.client_cert",
        .cert = "c", .accept_unauthorized = true);
}

Test(tls_options, a_key_without_its_certificate_is_refused)
{
    EXPECT_CLIENT("tls.cert: missing beside tls.key", .key = "key.pem");
    EXPECT_CLIENT("tls.cert: missing beside tls.passphrase", .passphrase = "secret");
}

Test(tls_options, suites_that_are_weak_or_not_known_are_refused_by_name)
{
    EXPECT_CLIENT(
        "tls.ciphers: TLS_RSA_WITH_AES_128_CBC_SHA is not allowed: it has no forward secrecy",
        .ciphers = "TLS_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA");
    EXPECT_CLIENT("tls.ciphers: TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 is not allowed: it is no "
                  "authenticated encryption (CBC)",
                  .ciphers = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256");
    EXPECT_CLIENT("tls.ciphers: TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 is not allowed: DHE is not "
                  "supported, ECDHE is",
                  .ciphers = "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256");
    EXPECT_CLIENT("tls.ciphers: TLS_ECDH_anon_WITH_AES_128_CBC_SHA is not allowed: it proves "
                  "nobody's identity",
                  .ciphers = "TLS_ECDH_anon_WITH_AES_128_CBC_SHA");
    EXPECT_CLIENT("tls.ciphers: TLS_ECDHE_RSA_WITH_NULL_SHA is not allowed: it does not encrypt",
                  .ciphers = "TLS_ECDHE_RSA_WITH_NULL_SHA");
    EXPECT_CLIENT("tls.ciphers: AES128-SHA is not known; ECDHE with AES-GCM or CHACHA20-POLY1305 "
                  "is allowed, by IANA names (docs/options.md)",
                  .ciphers = "AES128-SHA");
    EXPECT_CLIENT("", .ciphers = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 "
                                 "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");
}

Test(tls_options, groups_that_are_not_known_are_refused_by_name)
{
    EXPECT_CLIENT("tls.groups: ffdhe2048 is not allowed; x25519, secp256r1, secp384r1 and secp521r1 "
                  "are",
                  .groups = "x25519 ffdhe2048");
    EXPECT_CLIENT("", .groups = "secp521r1,x25519");
}

Test(tls_options, versions_have_an_order_and_older_ones_do_not_exist)
{
    EXPECT_CLIENT("tls.min_version: 1.2 and 1.3 are allowed", .min_version = 11);
    EXPECT_CLIENT("tls.max_version: 1.2 and 1.3 are allowed", .max_version = 14);
    EXPECT_CLIENT("tls.min_version is above tls.max_version", .min_version = CW_TLS_1_3,
                  .max_version = CW_TLS_1_2);
    EXPECT_CLIENT("", .max_version = CW_TLS_1_3);
}

Test(tls_options, a_least_version_that_the_library_lacks_is_refused)
{
    const char *text = refusal_of(&(struct cw_tls_options){.min_version = CW_TLS_1_3}, CW_CLIENT);

    if (CW_TLS_HAS_1_3) {
        cr_expect_str_empty(text);
    } else {
        cr_expect_str_eq(text, "tls.min_version: mbedTLS " MBEDTLS_VERSION_STRING
                               " has TLS 1.2 only; 1.3 needs 3.6");
    }
}

Test(tls_options, fingerprints_have_64_digits)
{
    const char *wrong = "tls.fingerprint: a SHA-256 has 64 hexadecimal digits, colons or not";

    EXPECT_CLIENT("", .fingerprint = SHA256_DIGITS);
    EXPECT_CLIENT("", .fingerprint = "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:AB:CD:EF:"
                                     "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef");
    EXPECT_CLIENT(wrong, .fingerprint = "");
    EXPECT_CLIENT(wrong, .fingerprint = SHA256_DIGITS "0");
    EXPECT_CLIENT(wrong, .fingerprint = &SHA256_DIGITS[1]);
    EXPECT_CLIENT(wrong, .fingerprint = "g" SHA256_DIGITS);
    EXPECT_CLIENT("tls.insecure: accepts any certificate, tls.fingerprint only one",
                  .fingerprint = SHA256_DIGITS, .insecure = true);
}

Test(tls_options, protocols_by_name_have_limits)
{
    char longer[300];

    memset(longer, 'a', sizeof longer);
    longer[256] = '\0';
    EXPECT_CLIENT("tls.alpn: a name has at most 255 bytes", .alpn = longer);
    EXPECT_CLIENT("", .alpn = longer + 1);
    EXPECT_CLIENT("tls.alpn: at most 16 names", .alpn = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17");
}

Test(tls_options, numbers_have_limits)
{
    EXPECT_CLIENT("tls.record_start_bytes: at most 16384 is allowed", .record_start_bytes = 16385);
    EXPECT_CLIENT("tls.session_ms: at most 604800000 is allowed", .session_ms = 604800001);
    EXPECT_CLIENT("tls.ticket_key_ms: at most 604800000 is allowed", .ticket_key_ms = CW_NO_LIMIT);
    EXPECT_CLIENT("tls.ticket_key_ms: at least 1000", .ticket_key_ms = 999);
    EXPECT_CLIENT("tls.session_ms: at least 1000", .session_ms = 999);
    EXPECT_CLIENT("tls.sessions_max: at most 65536 is allowed", .sessions_max = 65537);
    EXPECT_CLIENT("tls.session_ms is above tls.ticket_key_ms: a ticket lives no longer than its key "
                  "is good for",
                  .session_ms = 3600001);
    EXPECT_CLIENT("", .session_ms = 604800000, .resumption = CW_TLS_SESSION_CACHE);
}

Test(tls_options, datagrams_have_a_size_and_times_in_order)
{
    EXPECT_CLIENT("tls.mtu_bytes: at least 256", .mtu_bytes = 255);
    EXPECT_CLIENT("", .mtu_bytes = 256);
    EXPECT_CLIENT("tls.mtu_bytes: at most 65507 is allowed", .mtu_bytes = 65508);
    EXPECT_CLIENT("tls.retransmit_min_ms is above tls.retransmit_max_ms",
                  .retransmit_min_ms = 60001);
    EXPECT_CLIENT("tls.retransmit_min_ms is above tls.retransmit_max_ms", .retransmit_max_ms = 999);
    EXPECT_CLIENT("tls.retransmit_max_ms: at most 3600000 is allowed", .retransmit_max_ms = 3600001);
    EXPECT_CLIENT("", .retransmit_min_ms = 20, .retransmit_max_ms = 20);
}

Test(tls_options, connection_ids_need_a_library_that_has_them)
{
    const char *words = refusal_of(&(struct cw_tls_options){.connection_id = true}, CW_CLIENT);

    if (CW_TLS_HAS_CONNECTION_IDS) {
        cr_expect_str_eq(words, "");
    } else {
        cr_expect_str_eq(words,
                         "tls.connection_id: needs mbedTLS 3.6, this is " MBEDTLS_VERSION_STRING);
    }
}

Test(tls_options, datagrams_have_their_defaults)
{
    struct cw_tls_options options = {0};

    cw_tls_options_fill(&options);
    cr_expect_eq(options.mtu_bytes, 1400);
    cr_expect_eq(options.retransmit_min_ms, 1000);
    cr_expect_eq(options.retransmit_max_ms, 60000);
}

Test(tls_options, more_certificates_have_limits_and_files)
{
    const struct cw_tls_certificate one = {.key = "k"};

    EXPECT_SERVER("tls.certificates[0].cert: missing", .cert = "c", .certificates = &one,
                  .certificate_count = 1);
    EXPECT_SERVER("tls.certificates: at most 1024", .cert = "c", .certificates = &one,
                  .certificate_count = 1025);
    EXPECT_SERVER("tls.certificates: certificate_count is set and they are missing", .cert = "c",
                  .certificate_count = 1);
}

Test(tls_options, what_is_no_choice_is_refused)
{
    EXPECT_SERVER("tls.client_cert: off, request or require", .cert = "c", .client_cert = 3);
    EXPECT_SERVER("tls.resumption: tickets, a session cache, or none", .cert = "c", .resumption = 3);
}

/* ---- suites in order ---- */

static void expect_order(const char *list, const int *ids)
{
    struct cw_tls_lists lists;
    struct cw_complaint complaint;
    size_t at = 0;

    cr_assert_eq(cw_tls_policy_ciphers(list, &lists, &complaint), CW_OK);
    for (size_t i = 0; lists.ciphers[i] != 0; i++) {
        if (lists.ciphers[i] >> 8 != 0x13) {
            cr_expect_eq(lists.ciphers[i], ids[at], "%s: %zu is %04x", list, at, lists.ciphers[i]);
            at++;
        }
    }
    cr_expect_eq(ids[at], 0);
}

Test(tls_options, suites_are_spoken_in_the_order_that_is_given)
{
    expect_order("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 "
                 "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
                 (const int[]){0xc030, 0xc02f, 0});
}

Test(tls_options, naming_suites_of_one_version_leaves_the_other_its_defaults)
{
    struct cw_tls_lists lists;
    struct cw_complaint complaint;
    size_t of_1_2 = 0;
    size_t of_1_3 = 0;

    cr_assert_eq(cw_tls_policy_ciphers("TLS_AES_256_GCM_SHA384", &lists, &complaint), CW_OK);
    for (size_t i = 0; lists.ciphers[i] != 0; i++) {
        of_1_2 += lists.ciphers[i] >> 8 != 0x13;
        of_1_3 += lists.ciphers[i] >> 8 == 0x13;
    }
    cr_expect_eq(of_1_2, 6);
    cr_expect_eq(of_1_3, CW_TLS_HAS_1_3 ? 1 : 0);
}

/* ---- copies ---- */

static const struct cw_tls_certificate two[] = {
    {.cert = "a.pem", .key = "a.key", .passphrase = "secret", .names = "a.example"},
    {.cert = "b.pem"},
};

static const struct cw_tls_options all_texts = {
    .cert = "c",
    .key = "k",
    .passphrase = "p",
    .ca = "ca",
    .crl = "crl",
    .alpn = "h2",
    .ciphers = "ciphers",
    .groups = "groups",
    .server_name = "name",
    .fingerprint = "f",
    .certificates = two,
    .certificate_count = 2,
    .session_ms = 5,
};

Test(tls_options, a_copy_has_its_own_texts)
{
    struct cw_tls_options *copy = cw_tls_options_copy(&all_texts);

    cr_assert_not_null(copy);
    cr_expect_neq(copy->cert, all_texts.cert);
    cr_expect_str_eq(copy->fingerprint, "f");
    cr_expect_neq(copy->certificates, all_texts.certificates);
    cr_expect_str_eq(copy->certificates[0].names, "a.example");
    cr_expect_null(copy->certificates[1].key);
    cr_expect_eq(copy->session_ms, 5);
    cw_tls_options_free(copy);
}

Test(tls_options, a_copy_without_memory_leaks_nothing)
{
    bool failed = true;

    fault_install();
    for (size_t nth = 1; failed; nth++) {
        fault_arm(nth);
        struct cw_tls_options *copy = cw_tls_options_copy(&all_texts);
        failed = fault_disarm();
        cr_expect_eq(copy == NULL, failed);
        cw_tls_options_free(copy);
    }
    fault_remove();
}

static const void *watched;
static bool watched_is_clean;

static void release_watching(void *memory)
{
    if (memory == watched) {
        watched_is_clean = strstr(memory, "secret") == NULL;
    }
    free(memory);
}

Test(tls_options, a_passphrase_is_wiped_before_its_memory_goes)
{
    cw_allocator_set(&(struct cw_allocator){malloc, realloc, release_watching});
    struct cw_tls_options *copy = cw_tls_options_copy(&all_texts);
    cr_assert_not_null(copy);
    watched = copy->certificates[0].passphrase;
    cw_tls_options_free(copy);
    cr_expect(watched_is_clean);
    cw_allocator_set(NULL);
}
