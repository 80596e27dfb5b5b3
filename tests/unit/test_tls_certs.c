/* Certificates, keys and lists from files and texts: what is read, what is refused and in which words. */
#include "support/leak.h"
#include "support/pki.h"
#include "tls/tls_context_impl.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char logged[4][300];
static size_t lines;

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    if (level == CW_LOG_WARNING && lines < 4) {
        snprintf(logged[lines++], sizeof logged[0], "%s", text);
    }
}

static void need_certificates(void)
{
    if (!pki_made()) {
        cr_skip_test("no openssl command");
    }
    cw_log_set(keep_line, NULL);
}

TestSuite(tls_certs, .init = need_certificates, .fini = rig_expect_no_leak, .timeout = 60);

/* What stands behind `tls.cert: FOLDER/`. */
static const char *refusal(const struct cw_tls_options *options, enum cw_role role, int code)
{
    static struct cw_complaint complaint;
    int error = CW_OK;
    struct cw_tls *tls =
        cw_tls_new(&(struct cw_tls_setup){options, role, "localhost", false}, &complaint, &error);

    cr_expect_null(tls);
    cr_expect_eq(error, code, "%s: %s", cw_error_name(error), complaint.text);
    cw_tls_drop(tls);
    return complaint.text;
}

/* The words at the end, and the option at the beginning. */
static void expect_words(const char *text, const char *option, const char *words)
{
    size_t len = strlen(words);

    cr_expect_eq(strncmp(text, option, strlen(option)), 0, "%s", text);
    cr_expect(strlen(text) >= len);
    cr_expect_str_eq(text + strlen(text) - len, words, "%s", text);
}

static void expect_made(const struct cw_tls_options *options, enum cw_role role)
{
    struct cw_complaint complaint = {""};
    int error = CW_OK;
    struct cw_tls *tls =
        cw_tls_new(&(struct cw_tls_setup){options, role, "localhost", false}, &complaint, &error);

    cr_expect_not_null(tls, "%s", complaint.text);
    cw_tls_drop(tls);
}

static void expect_server(const char *cert, const char *key, const char *passphrase)
{
    expect_made(&(struct cw_tls_options){.cert = cert, .key = key, .passphrase = passphrase},
                CW_SERVER);
}

static char *text_of(const char *path)
{
    static char text[1 << 16];
    FILE *file = fopen(path, "r");

    cr_assert_not_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

/* ---- what is read ---- */

/* A key whose first line was lost on its way through a variable, or that came as bare base64. */
Test(tls_certs, what_is_neither_pem_nor_a_path_is_not_repeated)
{
    static const char *const texts[] = {
        "MHcCAQEEIO+SECRET\nAwEHoUQDQgAE\n-----END EC PRIVATE KEY-----\n",
        "MHcCAQEEIOmeSECRETmeSECRETmeSECRETmeSECRETmeSECRETmeSECRETmeSECRET",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const struct cw_tls_options options = {.cert = pki("server.pem"), .key = texts[i]};
        const char *text = refusal(&options, CW_SERVER, CW_ENOPATH);

        cr_expect_str_eq(text, "tls.key: a text that is neither PEM nor a path: no such file");
    }
}

Test(tls_certs, files_may_be_pem_or_der_or_both_in_one)
{
    expect_server(pki("server.pem"), pki("server.key"), NULL);
    expect_server(pki("server.der"), pki("server_key.der"), NULL);
    expect_server(pki("server_both.pem"), NULL, NULL);
    expect_server(pki("server.pem"), pki("server_pass.key"), "secret");
}

Test(tls_certs, a_text_with_a_certificate_in_it_is_no_path)
{
    char *text = text_of(pki("server_both.pem"));

    expect_server(text, NULL, NULL);
    expect_server(pki("server.pem"), text, NULL);
}

/* ---- what is refused ---- */

Test(tls_certs, a_file_that_is_not_there_is_named)
{
    const char *text =
        refusal(&(struct cw_tls_options){.cert = "/no/where.pem"}, CW_SERVER, CW_ENOPATH);

    cr_expect_str_eq(text, "tls.cert: /no/where.pem: no such file");
    text = refusal(&(struct cw_tls_options){.cert = pki("server.pem"), .key = "key.pem"}, CW_SERVER,
                   CW_ENOPATH);
    cr_expect_str_eq(text, "tls.key: key.pem: no such file");
    text = refusal(&(struct cw_tls_options){.ca = "ca.pem"}, CW_CLIENT, CW_ENOPATH);
    cr_expect_str_eq(text, "tls.ca: ca.pem: no such file");
    text = refusal(&(struct cw_tls_options){.ca = pki("ca.pem"), .crl = "crl.pem"}, CW_CLIENT,
                   CW_ENOPATH);
    cr_expect_str_eq(text, "tls.crl: crl.pem: no such file");
}

Test(tls_certs, a_further_certificate_is_named_by_its_number)
{
    const struct cw_tls_certificate more[] = {
        {.cert = pki("other.pem"), .key = pki("other.key")},
        {.cert = "none.pem"},
    };
    const struct cw_tls_options options = {.cert = pki("server.pem"),
                                           .key = pki("server.key"),
                                           .certificates = more,
                                           .certificate_count = 2};

    cr_expect_str_eq(refusal(&options, CW_SERVER, CW_ENOPATH),
                     "tls.certificates[1].cert: none.pem: no such file");
}

Test(tls_certs, a_passphrase_may_be_missing_or_wrong)
{
    struct cw_tls_options options = {.cert = pki("server.pem"), .key = pki("server_pass.key")};

    expect_words(refusal(&options, CW_SERVER, CW_ECERT),
                 "tls.key: ", "server_pass.key: the passphrase is missing");
    options.passphrase = "guess";
    expect_words(refusal(&options, CW_SERVER, CW_ECERT),
                 "tls.key: ", "server_pass.key: the passphrase is wrong");
}

Test(tls_certs, a_key_of_pkcs8_needs_its_passphrase_too)
{
    struct cw_tls_options options = {.cert = pki("server.pem"), .key = pki("server_pass_pkcs8.key")};

    expect_words(refusal(&options, CW_SERVER, CW_ECERT),
                 "tls.key: ", "server_pass_pkcs8.key: the passphrase is missing");
    options.passphrase = "secret";
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    expect_made(&options, CW_SERVER);
#else
    expect_words(refusal(&options, CW_SERVER, CW_ECERT), "tls.key: ",
                 "is encrypted in a way that mbedTLS " MBEDTLS_VERSION_STRING
                 " cannot open: openssl pkey -traditional -aes256");
#endif
}

Test(tls_certs, a_key_has_to_belong_to_its_certificate)
{
    const struct cw_tls_options options = {.cert = pki("server.pem"), .key = pki("other.key")};
    const char *text = refusal(&options, CW_SERVER, CW_ECERT);

    cr_expect_not_null(strstr(text, "other.key: does not belong to the certificate "), "%s", text);
    expect_words(text, "tls.key: ", "server.pem");
}

Test(tls_certs, a_certificate_without_any_key_says_so)
{
    expect_words(refusal(&(struct cw_tls_options){.cert = pki("server.pem")}, CW_SERVER, CW_ECERT),
                 "tls.cert: ", "server.pem: holds no private key");
}

Test(tls_certs, a_certificate_for_clients_does_for_no_server)
{
    const struct cw_tls_options options = {.cert = pki("server_wrong_purpose.pem"),
                                           .key = pki("server_wrong_purpose.key")};

    expect_words(refusal(&options, CW_SERVER, CW_ECERT),
                 "tls.cert: ", "the certificate is not for servers (key usage)");
}

Test(tls_certs, a_directory_is_no_certificate)
{
    expect_words(refusal(&(struct cw_tls_options){.cert = "/tmp"}, CW_SERVER, CW_EINVAL),
                 "tls.cert: ", "/tmp: not a file");
}

/* ---- files of our own ---- */

static char folder[] = "/tmp/tls_certs_XXXXXX";

static const char *made(const char *name, const char *text, off_t size)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
    cr_assert_eq(size > 0 ? truncate(path, size) : 0, 0);
    return path;
}

static void remove_folder(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_expect_eq(system(command), 0);
}

Test(tls_certs, a_file_that_is_too_large_is_not_read)
{
    cr_assert_not_null(mkdtemp(folder));
    const char *path = made("large.pem", "", (1 << 20) + 1);

    expect_words(refusal(&(struct cw_tls_options){.cert = path}, CW_SERVER, CW_ETOOBIG),
                 "tls.cert: ", "large.pem: larger than 1048576 bytes");
    path = made("ca.pem", "", (16 << 20) + 1);
    expect_words(refusal(&(struct cw_tls_options){.ca = path}, CW_CLIENT, CW_ETOOBIG),
                 "tls.ca: ", "ca.pem: larger than 16777216 bytes");
    remove_folder();
}

Test(tls_certs, rubbish_is_no_certificate_and_an_empty_file_neither)
{
    cr_assert_not_null(mkdtemp(folder));
    static const char *const texts[] = {
        "", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};

    for (size_t i = 0; i < 3; i++) {
        const char *path = made("rubbish.pem", texts[i], 0);
        const char *text = refusal(&(struct cw_tls_options){.cert = path}, CW_SERVER, CW_ECERT);
        cr_expect_not_null(strstr(text, "rubbish.pem: holds no certificate"), "%s", text);
        text = refusal(&(struct cw_tls_options){.ca = path}, CW_CLIENT, CW_ECERT);
        cr_expect_not_null(strstr(text, "rubbish.pem: holds no certificate"), "%s", text);
        text = refusal(&(struct cw_tls_options){.ca = pki("ca.pem"), .crl = path}, CW_CLIENT,
                       CW_ECERT);
        cr_expect_not_null(strstr(text, "rubbish.pem: holds no revocation list"), "%s", text);
    }
    remove_folder();
}

Test(tls_certs, a_directory_of_cas_is_read_and_what_is_none_passed_over)
{
    cr_assert_not_null(mkdtemp(folder));
    made("README", "certificates", 0);
    expect_words(refusal(&(struct cw_tls_options){.ca = folder}, CW_CLIENT, CW_ECERT),
                 "tls.ca: ", "holds no certificate");
    made("ca.pem", text_of(pki("ca.pem")), 0);
    expect_made(&(struct cw_tls_options){.ca = folder}, CW_CLIENT);
    remove_folder();
}

Test(tls_certs, the_systems_store_is_where_the_environment_says)
{
    setenv("SSL_CERT_FILE", "/no/where.pem", 1);
    cr_expect_str_eq(refusal(&(struct cw_tls_options){0}, CW_CLIENT, CW_ENOPATH),
                     "SSL_CERT_FILE: /no/where.pem: no such file");
    setenv("SSL_CERT_FILE", pki("ca.pem"), 1);
    expect_made(&(struct cw_tls_options){0}, CW_CLIENT);
}

/* ---- what is only said ---- */

static bool was_logged(const char *words)
{
    for (size_t i = 0; i < lines; i++) {
        if (strstr(logged[i], words)) {
            return true;
        }
    }
    return false;
}

Test(tls_certs, a_certificate_that_has_expired_is_a_warning)
{
    expect_server(pki("expired.pem"), pki("expired.key"), NULL);
    cr_expect(was_logged("expired.pem: the certificate has expired"));
}

Test(tls_certs, a_revocation_list_that_has_expired_is_a_warning)
{
    expect_made(&(struct cw_tls_options){.ca = pki("ca.pem"), .crl = pki("crl_old.pem")}, CW_CLIENT);
    cr_expect(was_logged("crl_old.pem: the list has expired"));
}

Test(tls_certs, a_key_that_everybody_may_read_is_a_warning)
{
    cr_assert_not_null(mkdtemp(folder));
    const char *path = made("server.key", text_of(pki("server.key")), 0);

    chmod(path, 0644);
    expect_server(pki("server.pem"), path, NULL);
    cr_expect(was_logged("server.key: every user of this machine may read the key"));
    lines = 0;
    chmod(path, 0600);
    expect_server(pki("server.pem"), path, NULL);
    cr_expect_eq(lines, 0);
    remove_folder();
}

Test(tls_certs, switching_verification_off_is_logged_once)
{
    expect_made(&(struct cw_tls_options){.insecure = true}, CW_CLIENT);
    cr_expect_eq(lines, 1);
    cr_expect(was_logged("tls.insecure: the certificate of localhost is not verified"));
}

/* ---- a certificate in words ---- */

Test(tls_certs, a_certificate_tells_whom_it_is_for_and_by_whom)
{
    struct cw_tls_peer_cert cert;
    mbedtls_x509_crt crt;
    char digits[65] = "";
    FILE *file = fopen(pki("server.sha256"), "r");

    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%64s", digits), 1);
    fclose(file);
    memset(&cert, 0, sizeof cert);
    mbedtls_x509_crt_init(&crt);
    cr_assert_eq(mbedtls_x509_crt_parse_file(&crt, pki("server.pem")), 0);
    cw_tls_describe_certificate(&crt, &cert);
    cr_expect_str_eq(cert.subject, "O=Causeway tests, CN=server");
    cr_expect_str_eq(cert.issuer, "O=Causeway tests, CN=ca");
    cr_expect_str_eq(cert.names, "localhost, 127.0.0.1, ::1");
    cr_expect_str_eq(cert.fingerprint, digits);
    cr_expect_str_not_empty(cert.serial);
    cr_expect_lt(cert.not_before, 1735689600); /* 2025 */
    cr_expect_gt(cert.not_after, 2461449600);  /* 2048 */
    mbedtls_x509_crt_free(&crt);
}

Test(tls_certs, names_that_do_not_fit_end_in_an_ellipsis)
{
    static unsigned char long_name[300];
    struct cw_tls_peer_cert cert;
    mbedtls_x509_crt crt;

    memset(long_name, 'a', sizeof long_name);
    memset(&cert, 0, sizeof cert);
    mbedtls_x509_crt_init(&crt);
    crt.subject_alt_names.buf = (mbedtls_x509_buf){.tag = 0x82, .len = 300, .p = long_name};
    mbedtls_x509_sequence second = crt.subject_alt_names;
    crt.subject_alt_names.next = &second;
    cw_tls_describe_certificate(&crt, &cert);
    size_t len = strlen(cert.names);
    cr_expect_lt(len, sizeof cert.names);
    cr_expect_gt(len, sizeof cert.names - 8);
    cr_expect_str_eq(cert.names + len - 3, "\xe2\x80\xa6");
}
