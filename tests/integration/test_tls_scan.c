/* What a scanner finds on a server of ours: nothing older than TLS 1.2, no cipher without forward secrecy or
 * authenticated encryption, the groups that were configured and no others. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <causeway/tcp.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(tls_scan, .init = init, .fini = rig_expect_no_leak, .timeout = 100);

static struct rig_secure secure;

static void start(const char *name, const char *groups)
{
    char cert[64];
    char key[64];
    struct cw_tls_options options;

    snprintf(cert, sizeof cert, "%s.pem", name);
    snprintf(key, sizeof key, "%s.key", name);
    options = rig_identity(cert, key);
    options.groups = groups;
    rig_secure_start(&secure, &cw_tcp, &options, NULL);
}

/* ---- the scanner ---- */

enum { REPORT_MAX = 65536, FOUND_MAX = 512 };

static char report[REPORT_MAX];

static void read_report(const char *path)
{
    FILE *file = fopen(path, "re");
    size_t len;

    cr_assert_not_null(file);
    len = fread(report, 1, sizeof report - 1, file);
    fclose(file);
    report[len] = '\0';
    cr_assert_not_null(strstr(report, "</document>"), "%s", report);
}

static void scan(void)
{
    struct rig_child child;
    char path[] = "/tmp/cw-scan-XXXXXX";
    char option[64];
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    close(fd);
    snprintf(option, sizeof option, "--xml=%s", path);
    cr_assert_eq(rig_run_words(&child, RIG_WORDS("sslscan", "--no-colour", option, secure.address)),
                 0, "%s", child.text);
    read_report(path);
    unlink(path);
}

/* The value of an attribute of the element at this place. */
static const char *attribute(const char *element, const char *name, char *value, size_t cap)
{
    char head[64];
    const char *end = strchr(element, '>');
    const char *at;

    snprintf(head, sizeof head, " %s=\"", name);
    at = strstr(element, head);
    cr_assert(at && end && at < end, "no %s in %.80s", name, element);
    at += strlen(head);
    snprintf(value, cap, "%.*s", (int)strcspn(at, "\""), at);
    return value;
}

/* Each element of that name: NULL at first, then the one before. */
static const char *next(const char *name, const char *element)
{
    char head[64];

    snprintf(head, sizeof head, "<%s ", name);
    return strstr(element ? element + 1 : report, head);
}

static void expect_versions(void)
{
    char type[32];
    char version[32];
    char enabled[32];
    unsigned seen = 0;

    for (const char *at = next("protocol", NULL); at; at = next("protocol", at)) {
        attribute(at, "type", type, sizeof type);
        attribute(at, "version", version, sizeof version);
        attribute(at, "enabled", enabled, sizeof enabled);
        bool wanted =
            strcmp(type, "tls") == 0 &&
            (strcmp(version, "1.2") == 0 || (strcmp(version, "1.3") == 0 && rig_has_tls_1_3()));
        cr_expect_str_eq(enabled, wanted ? "1" : "0", "%s %s", type, version);
        seen++;
    }
    cr_expect_eq(seen, 6);
}

/* How many ciphers of TLS 1.2 there are. */
static unsigned expect_ciphers(void)
{
    char version[32];
    char cipher[64];
    unsigned of_1_2 = 0;

    for (const char *at = next("cipher", NULL); at; at = next("cipher", at)) {
        attribute(at, "sslversion", version, sizeof version);
        attribute(at, "cipher", cipher, sizeof cipher);
        bool is_aead = strstr(cipher, "GCM") || strstr(cipher, "CHACHA20") || strstr(cipher, "CCM");
        cr_expect(is_aead, "%s", cipher);
        if (strcmp(version, "TLSv1.3") != 0) {
            cr_expect_str_eq(version, "TLSv1.2");
            cr_expect_eq(strncmp(cipher, "ECDHE-", 6), 0, "%s", cipher);
            of_1_2++;
        }
    }
    return of_1_2;
}

static void expect_no_flaw(void)
{
    char value[32];

    for (const char *at = next("heartbleed", NULL); at; at = next("heartbleed", at)) {
        cr_expect_str_eq(attribute(at, "vulnerable", value, sizeof value), "0");
    }
    for (const char *at = next("compression", NULL); at; at = next("compression", at)) {
        cr_expect_str_eq(attribute(at, "supported", value, sizeof value), "0");
    }
    for (const char *at = next("renegotiation", NULL); at; at = next("renegotiation", at)) {
        bool supported = strcmp(attribute(at, "supported", value, sizeof value), "0") != 0;
        bool safe = strcmp(attribute(at, "secure", value, sizeof value), "1") == 0;
        cr_expect(safe || !supported, "%.80s", at);
    }
}

/* Those of each version, in the order of their numbers. */
static void find_groups(const char *version, char *found, size_t cap)
{
    char name[64];
    char of[32];

    *found = '\0';
    for (const char *at = next("group", NULL); at; at = next("group", at)) {
        attribute(at, "name", name, sizeof name);
        attribute(at, "sslversion", of, sizeof of);
        if (strcmp(of, version) == 0) {
            size_t len = strlen(found);
            snprintf(found + len, cap - len, "%.*s ", (int)strcspn(name, " "), name);
        }
    }
}

static void expect_groups(const char *wanted)
{
    char found[FOUND_MAX];

    find_groups("TLSv1.2", found, sizeof found);
    cr_expect_str_eq(found, wanted, "%s", report);
    find_groups("TLSv1.3", found, sizeof found);
    cr_expect_str_eq(found, rig_has_tls_1_3() ? wanted : "", "%s", report);
}

static void need_scanner(void)
{
    if (!rig_has_program("sslscan")) {
        cr_skip_test("sslscan is not installed");
    }
}

Test(tls_scan, a_scanner_finds_nothing_weak_with_ecdsa)
{
    need_scanner();
    start("server", NULL);
    scan();
    expect_versions();
    cr_expect_eq(expect_ciphers(), 3, "%s", report);
    expect_no_flaw();
    rig_secure_end(&secure);
}

Test(tls_scan, a_scanner_finds_nothing_weak_with_rsa_and_the_default_groups)
{
    need_scanner();
    start("server_rsa", NULL);
    scan();
    expect_versions();
    cr_expect_eq(expect_ciphers(), 3, "%s", report);
    expect_no_flaw();
    expect_groups("secp256r1 secp384r1 x25519 ");
    rig_secure_end(&secure);
}

Test(tls_scan, a_scanner_finds_the_groups_that_were_configured)
{
    need_scanner();
    start("server_rsa", "x25519, secp521r1");
    scan();
    expect_groups("secp521r1 x25519 ");
    rig_secure_end(&secure);
}

/* ---- old versions ---- */

/* A hello whose version is put in; it would do for TLS 1.0 to 1.2. */
static const uint8_t hello[] = {
    22,   3,    1,    0,    93,                                             /* a handshake record */
    1,    0,    0,    89,                                                   /* client hello */
    3,    3,                                                                /* version */
    1,    2,    3,    4,    5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, /* random */
    17,   18,   19,   20,   21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 0, /* no session */
    0,    14,                                                                  /* cipher suites */
    0xc0, 0x2b, 0xc0, 0x2f,                         /* ECDHE with ECDSA or RSA, AES-128-GCM */
    0xc0, 0x09, 0xc0, 0x13,                         /* ECDHE with ECDSA or RSA, AES-128-CBC-SHA */
    0,    0x2f, 0,    0x35,                         /* RSA, AES-CBC-SHA */
    0,    0xff,                                     /* renegotiation info */
    1,    0,                                        /* no compression */
    0,    34,                                       /* extensions */
    0,    10,   0,    6,    0,  4,  0,  29, 0,  23, /* groups: x25519, secp256r1 */
    0,    11,   0,    2,    1,  0,                  /* points: uncompressed */
    0,    13,   0,    14,   0,  12, 4,  3,  4,  1,  8,  4,  5,  3,  5,  1,  2, 1, /* signatures */
};

static void say_hello(struct rig_peer *peer, uint8_t record_minor, uint8_t minor)
{
    uint8_t bytes[sizeof hello];

    memcpy(bytes, hello, sizeof hello);
    bytes[2] = record_minor;
    bytes[10] = minor;
    *peer = rig_peer_tcp(secure.port);
    rig_peer_send(peer, bytes, sizeof bytes);
}

static void expect_version_refused(uint8_t minor, unsigned n)
{
    struct rig_peer peer;
    uint8_t answer[7];
    const struct cw_error_report *told;

    say_hello(&peer, minor, minor);
    rig_peer_receive(&peer, answer, sizeof answer);
    cr_expect_eq(answer[0], 21, "3.%u: record %u", minor, answer[0]);
    cr_expect_eq(answer[1], 3);
    cr_expect_eq(answer[5], 2);
    cr_expect_eq(answer[6], 70, "3.%u: alert %u", minor, answer[6]);
    rig_peer_expect_end(&peer);
    rig_peer_close(&peer);
    told = rig_secure_report(&secure, n);
    cr_expect_eq(told->code, CW_ETLS, "%s", told->text);
    cr_expect_eq(told->tls_alert, 70, "%d: %s", told->tls_alert, told->text);
    cr_expect_not_null(strstr(told->text, "1.2"), "%s", told->text);
    cr_expect_not_null(told->address);
}

Test(tls_scan, versions_below_1_2_are_refused_with_protocol_version)
{
    start("server", NULL);
    expect_version_refused(2, 0);
    expect_version_refused(1, 1);
    expect_version_refused(0, 2);
    rig_secure_end(&secure);
}

Test(tls_scan, the_same_hello_for_1_2_is_answered)
{
    struct rig_peer peer;
    uint8_t answer[6];

    start("server", NULL);
    say_hello(&peer, 1, 3);
    rig_peer_receive(&peer, answer, sizeof answer);
    cr_expect_eq(answer[0], 22);
    cr_expect_eq(answer[5], 2, "message %u is no server hello", answer[5]);
    rig_peer_close(&peer);
    rig_secure_report(&secure, 0);
    rig_secure_end(&secure);
}
