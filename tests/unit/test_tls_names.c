/* Names: which certificate for which one, and what a pattern stands for. */
#include "support/fault.h"
#include "support/leak.h"
#include "support/pki.h"
#include "tls/tls_context_impl.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>

TestSuite(tls_names, .fini = rig_expect_no_leak, .timeout = 60);

static bool matches(const char *pattern, const char *host)
{
    return cw_tls_name_matches(pattern, strlen(pattern), host);
}

Test(tls_names, a_name_matches_itself_in_any_case_and_with_a_dot_behind)
{
    cr_expect(matches("example.org", "example.org"));
    cr_expect(matches("EXAMPLE.org", "example.ORG"));
    cr_expect(matches("example.org.", "example.org"));
    cr_expect_not(matches("example.org", "example.com"));
    cr_expect_not(matches("example.org", "www.example.org"));
    cr_expect_not(matches("", ""));
}

Test(tls_names, a_wildcard_stands_for_one_whole_label)
{
    cr_expect(matches("*.example.org", "www.example.org"));
    cr_expect_not(matches("*.example.org", "example.org"));
    cr_expect_not(matches("*.example.org", "a.b.example.org"));
    cr_expect_not(matches("*.example.org", ".example.org"));
    cr_expect_not(matches("w*.example.org", "www.example.org"));
    cr_expect_not(matches("www.*.org", "www.example.org"));
}

Test(tls_names, a_wildcard_over_a_whole_top_level_domain_is_no_name)
{
    cr_expect_not(matches("*.org", "example.org"));
    cr_expect_not(matches("*", "localhost"));
}

Test(tls_names, a_zero_byte_in_a_certificate_ends_no_name)
{
    cr_expect_not(cw_tls_name_matches("good.example\0.bad.example", 25, "good.example"));
}

/* ---- which certificate ---- */

static void add(struct cw_tls_names *names, const char *list, size_t identity)
{
    cr_assert_eq(cw_tls_names_add_list(names, list, identity), CW_OK);
}

static size_t found(const struct cw_tls_names *names, const char *name, size_t *first)
{
    size_t at = 0;
    size_t count = cw_tls_names_find(names, name, &at);

    *first = count > 0 ? names->all[at].identity : SIZE_MAX;
    return count;
}

Test(tls_names, an_exact_name_goes_before_a_wildcard_and_both_before_nothing)
{
    struct cw_tls_names names = {NULL, 0, 0};
    size_t identity;

    add(&names, "*.example.org", 1);
    add(&names, "WWW.example.org.", 2);
    add(&names, "other.example", 3);
    cw_tls_names_sort(&names);
    cr_expect_eq(found(&names, "www.example.org", &identity), 1);
    cr_expect_eq(identity, 2);
    cr_expect_eq(found(&names, "mail.example.org", &identity), 1);
    cr_expect_eq(identity, 1);
    cr_expect_eq(found(&names, "a.mail.example.org", &identity), 0);
    cr_expect_eq(found(&names, "localhost", &identity), 0);
    cw_tls_names_free(&names);
}

Test(tls_names, several_certificates_for_one_name_are_all_offered_in_their_order)
{
    struct cw_tls_names names = {NULL, 0, 0};
    size_t identity;

    add(&names, "a.example, a.example", 4);
    add(&names, "a.example", 0);
    cw_tls_names_sort(&names);
    cr_expect_eq(found(&names, "a.example", &identity), 2);
    cr_expect_eq(identity, 0);
    cw_tls_names_free(&names);
}

Test(tls_names, without_memory_nothing_leaks)
{
    bool failed = true;

    fault_install();
    for (size_t nth = 1; failed; nth++) {
        struct cw_tls_names names = {NULL, 0, 0};

        fault_arm(nth);
        int error = cw_tls_names_add_list(&names, "a b c d e f g h i j", 0);
        failed = fault_disarm();
        cr_expect_eq(error, failed ? CW_ENOMEM : CW_OK);
        cw_tls_names_free(&names);
    }
    fault_remove();
}

/* ---- in a certificate ---- */

static bool names_address(const mbedtls_x509_crt *crt, int family, const char *text)
{
    struct cw_tls_host host = {.name = (char *)text, .ip_len = family == AF_INET ? 4 : 16};

    cr_assert_eq(inet_pton(family, text, host.ip), 1);
    return cw_tls_host_in_certificate(&host, crt);
}

Test(tls_names, addresses_are_matched_as_addresses_and_never_as_names)
{
    mbedtls_x509_crt crt;

    if (!pki_made()) {
        cr_skip_test("no openssl command");
    }
    mbedtls_x509_crt_init(&crt);
    cr_assert_eq(mbedtls_x509_crt_parse_file(&crt, pki("server.pem")), 0);
    cr_expect(names_address(&crt, AF_INET, "127.0.0.1"));
    cr_expect(names_address(&crt, AF_INET6, "::1"));
    cr_expect_not(names_address(&crt, AF_INET, "127.0.0.2"));
    cr_expect_not(names_address(&crt, AF_INET6, "::ffff:127.0.0.1"));
    cr_expect(cw_tls_host_in_certificate(&(struct cw_tls_host){.name = (char *)"localhost"}, &crt));
    cr_expect_not(
        cw_tls_host_in_certificate(&(struct cw_tls_host){.name = (char *)"127.0.0.1"}, &crt));
    /* Its common name is `server`: it does not count beside alternative names. */
    cr_expect_not(cw_tls_host_in_certificate(&(struct cw_tls_host){.name = (char *)"server"}, &crt));
    mbedtls_x509_crt_free(&crt);
}
