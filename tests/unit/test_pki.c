/* The certificates of the tests are what support/pki.h says: OpenSSL is asked about each of them. */
#include "support/child.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void skip_without_openssl(void)
{
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(pki, .init = skip_without_openssl, .fini = rig_expect_no_leak, .timeout = 60);

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { WORDS_MAX = 24 };

/* The reasons, by OpenSSL's numbers; its words differ between versions. */
enum reason {
    NOT_YET_VALID = 9,
    EXPIRED = 10,
    LIST_EXPIRED = 12,
    SELF_SIGNED = 18,
    ISSUER_UNKNOWN = 20,
    REVOKED = 23,
    WRONG_PURPOSE = 26,
    WRONG_HOST = 62,
    KEY_TOO_WEAK = 66,
};

/* Runs openssl with these words. Returns its exit status. */
static int openssl(struct rig_child *child, const char *const *words)
{
    char *argv[WORDS_MAX + 3] = {(char *)(uintptr_t) "env", (char *)(uintptr_t) "openssl"};

    for (size_t i = 0; words[i] != NULL; i++) {
        rig_check(i < WORDS_MAX);
        argv[i + 2] = (char *)(uintptr_t)words[i];
    }
    rig_child_start(child, "/usr/bin/env", argv);
    return rig_child_join(child);
}

static void expect_good(const char *name, const char *purpose, const char *host)
{
    struct rig_child child;
    const char *file = pki(name);
    const char *check = host[0] >= '0' && host[0] <= '9' ? "-verify_ip" : "-verify_hostname";
    int status = openssl(&child, WORDS("verify", "-x509_strict", "-auth_level", "2", "-CAfile",
                                       pki("ca.pem"), "-untrusted", file, "-purpose", purpose,
                                       check, host, file));

    cr_expect_eq(status, 0, "%s at %s: %s", name, host, child.text);
}

/* Refused for this reason, and for no other. */
static void expect_refusal(const struct rig_child *child, enum reason reason)
{
    static const char head[] = "\nerror ";
    char expected[32];
    const char *first = strstr(child->text, head);

    snprintf(expected, sizeof expected, "%s%d at 0 depth", head, (int)reason);
    cr_expect(first && strstr(child->text, expected) == first, "%d: %s", (int)reason, child->text);
    cr_expect(first && !strstr(strstr(first, "depth") + 1, "depth"), "%s", child->text);
}

static void expect_bad(const char *name, const char *purpose, enum reason reason)
{
    struct rig_child child;
    const char *file = pki(name);
    int status = openssl(&child, WORDS("verify", "-auth_level", "2", "-CAfile", pki("ca.pem"),
                                       "-CRLfile", pki("crl.pem"), "-crl_check", "-purpose",
                                       purpose, "-verify_hostname", "localhost", file));

    cr_expect_eq(status, 2, "%s: %s", name, child.text);
    expect_refusal(&child, reason);
}

Test(pki, servers_are_good_under_their_names)
{
    expect_good("server.pem", "sslserver", "localhost");
    expect_good("server.pem", "sslserver", "127.0.0.1");
    expect_good("next.pem", "sslserver", "localhost");
    expect_good("server_rsa.pem", "sslserver", "127.0.0.1");
    expect_good("chain.pem", "sslserver", "localhost");
    expect_good("other.pem", "sslserver", "alt.example");
    expect_good("other.pem", "sslserver", "any.wild.example");
    expect_good("third.pem", "sslserver", "third.example");
    expect_good("wrong_name.pem", "sslserver", "other.invalid");
}

Test(pki, clients_are_good_as_clients)
{
    expect_good("client.pem", "sslclient", "localhost");
    expect_good("client_wrong_purpose.pem", "sslserver", "localhost");
    expect_good("server_wrong_purpose.pem", "sslclient", "localhost");
}

Test(pki, each_bad_server_is_refused_for_its_own_reason)
{
    expect_bad("wrong_name.pem", "sslserver", WRONG_HOST);
    expect_bad("other.pem", "sslserver", WRONG_HOST);
    expect_bad("third.pem", "sslserver", WRONG_HOST);
    expect_bad("expired.pem", "sslserver", EXPIRED);
    expect_bad("not_yet.pem", "sslserver", NOT_YET_VALID);
    expect_bad("revoked.pem", "sslserver", REVOKED);
    expect_bad("server_wrong_purpose.pem", "sslserver", WRONG_PURPOSE);
    expect_bad("weak.pem", "sslserver", KEY_TOO_WEAK);
}

Test(pki, each_bad_client_is_refused_for_its_own_reason)
{
    expect_bad("client_revoked.pem", "sslclient", REVOKED);
    expect_bad("client_expired.pem", "sslclient", EXPIRED);
    expect_bad("client_not_yet.pem", "sslclient", NOT_YET_VALID);
    expect_bad("client_weak.pem", "sslclient", KEY_TOO_WEAK);
    expect_bad("client_wrong_purpose.pem", "sslclient", WRONG_PURPOSE);
}

/* Without a list of revocations: who is not trusted has none either, which would be a second reason. */
static void expect_unknown(const char *name, enum reason reason)
{
    struct rig_child child;
    int status = openssl(&child, WORDS("verify", "-CAfile", pki("ca.pem"), pki(name)));

    cr_expect_eq(status, 2, "%s: %s", name, child.text);
    expect_refusal(&child, reason);
}

Test(pki, strangers_are_unknown_here_and_good_at_home)
{
    struct rig_child child;

    expect_unknown("unknown_ca.pem", ISSUER_UNKNOWN);
    expect_unknown("client_rogue.pem", ISSUER_UNKNOWN);
    expect_unknown("self_signed.pem", SELF_SIGNED);
    expect_unknown("client_self_signed.pem", SELF_SIGNED);
    expect_unknown("rogue_ca.pem", SELF_SIGNED);
    cr_expect_eq(openssl(&child, WORDS("verify", "-CAfile", pki("rogue_ca.pem"), "-verify_hostname",
                                       "localhost", pki("unknown_ca.pem"), pki("client_rogue.pem"))),
                 0, "%s", child.text);
}

Test(pki, a_chain_needs_its_intermediate)
{
    struct rig_child child;

    expect_unknown("chain.pem", ISSUER_UNKNOWN);
    cr_expect_eq(openssl(&child, WORDS("verify", "-CAfile", pki("ca.pem"), "-untrusted",
                                       pki("intermediate.pem"), pki("chain.pem"))),
                 0, "%s", child.text);
}

static int verify_by_list(struct rig_child *child, const char *list, const char *name)
{
    return openssl(child, WORDS("verify", "-CAfile", pki("ca.pem"), "-CRLfile", pki(list),
                                "-crl_check", pki(name)));
}

Test(pki, a_list_of_revocations_names_only_the_revoked)
{
    struct rig_child child;

    cr_expect_eq(verify_by_list(&child, "crl.pem", "server.pem"), 0, "%s", child.text);
    cr_expect_eq(verify_by_list(&child, "crl.pem", "client.pem"), 0, "%s", child.text);
    cr_expect_eq(verify_by_list(&child, "crl_empty.pem", "revoked.pem"), 0, "%s", child.text);
    cr_expect_eq(verify_by_list(&child, "crl.pem", "revoked.pem"), 2, "%s", child.text);
}

Test(pki, the_old_list_has_expired)
{
    struct rig_child child;

    cr_expect_eq(verify_by_list(&child, "crl_old.pem", "server.pem"), 2, "%s", child.text);
    expect_refusal(&child, LIST_EXPIRED);
}

/* The public half, as text, of a key or of a certificate. */
static void public_key(struct rig_child *child, bool certificate, const char *name)
{
    int status = openssl(
        child, certificate ? WORDS("x509", "-in", pki(name), "-noout", "-pubkey")
                           : WORDS("pkey", "-in", pki(name), "-pubout", "-passin", "pass:secret"));

    rig_check(status == 0);
    rig_check(strstr(child->text, "BEGIN PUBLIC KEY"));
}

static void expect_pair(const char *certificate, const char *key)
{
    struct rig_child one;
    struct rig_child two;

    public_key(&one, true, certificate);
    public_key(&two, false, key);
    cr_expect_str_eq(one.text, two.text, "%s and %s", certificate, key);
}

Test(pki, keys_belong_to_their_certificates)
{
    expect_pair("server.pem", "server.key");
    expect_pair("next.pem", "next.key");
    expect_pair("chain.pem", "chain.key");
    expect_pair("server_rsa.pem", "server_rsa.key");
    expect_pair("client.pem", "client.key");
    expect_pair("ca.pem", "ca.key");
}

Test(pki, every_form_of_the_servers_key_is_the_same_key)
{
    expect_pair("server.der", "server_key.der");
    expect_pair("server.pem", "server_key.der");
    expect_pair("server_both.pem", "server_both.pem");
    expect_pair("server.pem", "server_both.pem");
    expect_pair("server.pem", "server_pass.key");
    expect_pair("server.pem", "server_pass_pkcs8.key");
}

Test(pki, keys_with_a_passphrase_need_it)
{
    static const char *const keys[] = {"server_pass.key", "server_pass_pkcs8.key"};
    struct rig_child child;

    for (size_t i = 0; i < 2; i++) {
        int status =
            openssl(&child, WORDS("pkey", "-in", pki(keys[i]), "-noout", "-passin", "pass:wrong"));
        cr_expect_neq(status, 0, "%s", keys[i]);
    }
}

Test(pki, the_fingerprint_is_that_of_the_servers_certificate)
{
    struct rig_child child;
    char line[80] = "";
    FILE *file = fopen(pki("server.sha256"), "re");

    cr_assert_not_null(file);
    cr_expect_not_null(fgets(line, sizeof line, file));
    fclose(file);
    cr_expect_eq(strlen(line), 65);
    cr_expect_eq(openssl(&child, WORDS("dgst", "-sha256", "-r", pki("server.der"))), 0);
    cr_expect_eq(strncmp(child.text, line, 64), 0, "%s", line);
}

Test(pki, a_path_stays_while_others_are_asked_for)
{
    const char *server = pki("server.pem");

    cr_expect_neq(server, pki("server.key"));
    cr_expect_eq(server, pki("server.pem"));
    cr_expect_not_null(strstr(server, "/server.pem"));
}
