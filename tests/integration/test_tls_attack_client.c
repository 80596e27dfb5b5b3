/* What a hostile server does to our client: the same nonsense, and certificates that nobody should make. Each attempt ends
 * in time with a reason that can be shown as it is. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/program.h"
#include "support/tls_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <mbedtls/oid.h>
#include <mbedtls/x509_crt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static void skip_without_certificates(void)
{
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(tls_attack_client, .init = skip_without_certificates, .fini = rig_expect_no_leak,
          .timeout = 120);

#define EACH_VERSION(version) for (int version = 12; version <= RIG_TLS_NEWEST; version++)

/* ---- the client ---- */

struct meeting {
    struct cw_loop *loop;
    unsigned opened;
    int code; /* of what ended it */
    int alert;
    char text[CW_REPORT_TEXT_MAX];
    struct cw_tls_peer_cert cert;
    struct cw_tls_info info;
    /* The server's side. */
    int listener;
    void (*play)(struct meeting *meeting, struct rig_peer peer);
    struct rig_tap_setup setup;
    size_t budget;
};

static void expect_clean(const char *text)
{
    for (const char *at = text; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == 127) {
            rig_fail(__FILE__, __LINE__, "not clean: %s", text);
        }
    }
}

static void on_connection(struct cw_conn *conn, void *user)
{
    struct meeting *meeting = user;

    meeting->opened++;
    rig_check(cw_conn_tls(conn, &meeting->info) == CW_OK);
    rig_check(cw_conn_peer_cert(conn, &meeting->cert) == CW_OK);
    cw_conn_close(conn);
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct meeting *meeting = user;

    meeting->code = reason->code;
    cw_loop_stop(meeting->loop);
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    struct meeting *meeting = user;

    meeting->code = report->code;
    meeting->alert = report->tls_alert;
    snprintf(meeting->text, sizeof meeting->text, "%s", report->text);
    cw_loop_stop(meeting->loop);
}

static const struct cw_hooks hooks = {
    .on_connection = on_connection, .on_close = on_close, .on_error = on_error};

static void *serve(void *arg)
{
    struct meeting *meeting = arg;

    meeting->play(meeting, rig_accept(meeting->listener));
    return NULL;
}

/* Lets our client meet the server. tls NULL: the test's CA is trusted. */
static void meet(struct meeting *meeting, const struct cw_tls_options *tls)
{
    struct cw_tls_options usual = {.ca = pki("ca.pem"), .server_name = "localhost"};
    struct cw_connect_options options = {
        .connect_ms = 3000, .attempts_max = 1, .tls = tls ? tls : &usual};
    char address[32];
    uint16_t port;
    pthread_t thread;

    meeting->opened = 0;
    meeting->code = 0;
    meeting->alert = CW_NO_ALERT;
    meeting->listener = rig_listen(&port);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    rig_check(pthread_create(&thread, NULL, serve, meeting) == 0);
    meeting->loop = cw_loop_new();
    rig_check(meeting->loop);
    rig_check(cw_connect(meeting->loop, cw_service(&cw_tcp, &hooks, meeting), address, &options) >
              0);
    rig_check(cw_loop_run(meeting->loop) == CW_OK);
    cw_loop_free(meeting->loop);
    pthread_join(thread, NULL);
    close(meeting->listener);
    expect_clean(meeting->text);
}

static void expect_failed(const struct meeting *meeting, int code)
{
    cr_assert_eq(meeting->opened, 0);
    cr_assert_eq(meeting->code, code, "%s: %s", cw_error_name(meeting->code), meeting->text);
    cr_assert_gt(strlen(meeting->text), 5);
}

/* ---- servers ---- */

/* Sends a text and waits for the other side's end. */
static void say(struct rig_peer peer, const void *bytes, size_t len)
{
    uint8_t rest[512];

    rig_peer_send(&peer, bytes, len);
    while (rig_peer_receive_some(&peer, rest, sizeof rest) > 0) {}
    rig_peer_close(&peer);
}

static void talk_ssh(struct meeting *meeting, struct rig_peer peer)
{
    say(peer, "SSH-2.0-OpenSSH_9.2p1\r\n", 23);
}

static void talk_http(struct meeting *meeting, struct rig_peer peer)
{
    say(peer, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", 47);
}

static void refuse(struct meeting *meeting, struct rig_peer peer)
{
    say(peer, "\x15\x03\x03\0\2\2\x28", 7);
}

static void send_long_record(struct meeting *meeting, struct rig_peer peer)
{
    say(peer, "\x16\x03\x03\xff\xff\2", 6);
}

static void say_nothing(struct meeting *meeting, struct rig_peer peer)
{
    say(peer, "", 0);
}

static void hang_up(struct meeting *meeting, struct rig_peer peer)
{
    rig_peer_close(&peer);
}

Test(tls_attack_client, a_server_that_does_not_speak_tls_is_recognised)
{
    struct meeting meeting = {.play = talk_ssh};

    meet(&meeting, NULL);
    expect_failed(&meeting, CW_EPLAIN);
    meeting.play = talk_http;
    meet(&meeting, NULL);
    expect_failed(&meeting, CW_EPLAIN);
    cr_assert(strstr(meeting.text, "HTTP"), "%s", meeting.text);
}

Test(tls_attack_client, a_servers_alert_is_named)
{
    struct meeting meeting = {.play = refuse};

    meet(&meeting, NULL);
    expect_failed(&meeting, CW_ETLS);
    cr_assert(strstr(meeting.text, "handshake_failure"), "%s", meeting.text);
}

Test(tls_attack_client, a_record_that_is_too_long_is_refused_at_its_head)
{
    struct meeting meeting = {.play = send_long_record};

    meet(&meeting, NULL);
    expect_failed(&meeting, CW_ETLS);
}

Test(tls_attack_client, a_server_that_says_nothing_is_given_up)
{
    struct meeting meeting = {.play = say_nothing};

    meet(&meeting, NULL);
    cr_assert_eq(meeting.opened, 0);
    cr_assert(meeting.code == CW_EHANDSHAKETIME || meeting.code == CW_ECONNECTTIME, "%s",
              meeting.text);
    meeting.play = hang_up;
    meet(&meeting, NULL);
    cr_assert(meeting.code == CW_ETRUNCATED || meeting.code == CW_ERESET, "%s", meeting.text);
}

/* A server of the library, whose line may be cut. */
static void speak(struct meeting *meeting, struct rig_peer peer)
{
    struct rig_tap tap;

    rig_tap_open(&tap, peer, &meeting->setup);
    tap.budget = meeting->budget;
    tap.shuts = true;
    if (rig_tap_handshake(&tap) == 0) {
        (void)rig_tap_end(&tap);
    }
    rig_peer_close(&tap.peer);
    meeting->budget = tap.sent;
    rig_tap_close(&tap);
}

Test(tls_attack_client, a_servers_handshake_cut_at_many_places_is_truncated)
{
    EACH_VERSION(version)
    {
        struct meeting meeting = {
            .play = speak,
            .setup = {true, .version = version, .pem = "server.pem", .key = "server.key"}};
        size_t all;

        meeting.budget = SIZE_MAX;
        meet(&meeting, NULL);
        cr_assert_eq(meeting.opened, 1, "%s", meeting.text);
        all = meeting.budget - 200; /* tickets and goodbyes are behind the handshake */
        for (size_t cut = 1; cut < all; cut += 13) {
            meeting.budget = cut;
            meet(&meeting, NULL);
            if (meeting.opened > 0) {
                break;
            }
            expect_failed(&meeting, CW_ETRUNCATED);
        }
    }
}

/* ---- certificates ---- */

enum { DER_MAX = 16000, NAMES = 900 };

static int take_random(void *unused, unsigned char *bytes, size_t len)
{
    return getrandom(bytes, len, 0) == (ssize_t)len ? 0 : -1;
}

static void set_serial(mbedtls_x509write_cert *writer)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    unsigned char one[] = {1};
    rig_check(mbedtls_x509write_crt_set_serial_raw(writer, one, 1) == 0);
#else
    mbedtls_mpi one;

    mbedtls_mpi_init(&one);
    rig_check(mbedtls_mpi_lset(&one, 1) == 0);
    rig_check(mbedtls_x509write_crt_set_serial(writer, &one) == 0);
    mbedtls_mpi_free(&one);
#endif
}

static void read_key(mbedtls_pk_context *key)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    rig_check(mbedtls_pk_parse_keyfile(key, pki("server.key"), NULL, take_random, NULL) == 0);
#else
    rig_check(mbedtls_pk_parse_keyfile(key, pki("server.key"), NULL) == 0);
#endif
}

/* Signed by itself with server.key; alternative names as given, DER. Returns its length at the end of `der`. */
static struct cw_span make_certificate(uint8_t der[DER_MAX], const void *names, size_t len)
{
    mbedtls_x509write_cert writer;
    mbedtls_pk_context key;
    int size;

    mbedtls_pk_init(&key);
    read_key(&key);
    mbedtls_x509write_crt_init(&writer);
    mbedtls_x509write_crt_set_version(&writer, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&writer, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&writer, &key);
    mbedtls_x509write_crt_set_issuer_key(&writer, &key);
    rig_check(mbedtls_x509write_crt_set_subject_name(&writer, "O=Hostile,CN=subject") == 0);
    rig_check(mbedtls_x509write_crt_set_issuer_name(&writer, "O=Hostile,CN=subject") == 0);
    rig_check(mbedtls_x509write_crt_set_validity(&writer, "20240101000000", "20490101000000") == 0);
    set_serial(&writer);
    rig_check(mbedtls_x509write_crt_set_extension(&writer, MBEDTLS_OID_SUBJECT_ALT_NAME,
                                                  MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0,
                                                  names, len) == 0);
    size = mbedtls_x509write_crt_der(&writer, der, DER_MAX, take_random, NULL);
    rig_check(size > 0);
    mbedtls_x509write_crt_free(&writer);
    mbedtls_pk_free(&key);
    return cw_span_of(der + DER_MAX - size, (size_t)size);
}

static void meet_certificate(struct meeting *meeting, int version, struct cw_span der,
                             const struct cw_tls_options *tls)
{
    *meeting = (struct meeting){
        .play = speak,
        .budget = SIZE_MAX,
        .setup = {.is_server = true, .version = version, .der = der, .key = "server.key"}};
    meet(meeting, tls);
}

static void expect_clean_certificate(const struct cw_tls_peer_cert *cert)
{
    expect_clean(cert->subject);
    expect_clean(cert->issuer);
    expect_clean(cert->names);
    expect_clean(cert->serial);
    cr_assert_eq(strlen(cert->fingerprint), 64);
}

/* "local\0ost" is not "local", however it is compared. */
Test(tls_attack_client, a_zero_byte_in_a_name_does_not_end_it)
{
    static const char names[] = "\x30\x0b\x82\x09local\0ost";
    uint8_t der[DER_MAX];
    struct cw_span certificate = make_certificate(der, names, sizeof names - 1);
    char path[] = "/tmp/causeway-ca-XXXXXX";
    int fd = mkstemp(path);

    rig_check(write(fd, certificate.data, certificate.len) == (ssize_t)certificate.len);
    close(fd);
    EACH_VERSION(version)
    {
        struct meeting meeting;

        meet_certificate(&meeting, version, certificate,
                         &(struct cw_tls_options){.ca = path, .server_name = "local"});
        expect_failed(&meeting, CW_ECERT);
        cr_assert_eq(meeting.alert, 42, "alert %d: %s", meeting.alert, meeting.text);
    }
    unlink(path);
}

Test(tls_attack_client, control_characters_in_a_certificate_are_shown_as_question_marks)
{
    static const char names[] = "\x30\x10\x82\x0e"
                                "a\r\nb\x1b[2J\x7f\0\1c.d";
    uint8_t der[DER_MAX];
    struct cw_span certificate = make_certificate(der, names, sizeof names - 1);
    uint8_t *subject = memmem(certificate.data, certificate.len, "subject", 7);
    uint8_t *second;

    rig_check(subject);
    second = memmem(subject + 7, certificate.len - (size_t)(subject + 7 - certificate.data),
                    "subject", 7);
    rig_check(second);
    memcpy(subject, "s\x1b[31m\n", 7);
    memcpy(second, "s\x1b[31m\n", 7);
    EACH_VERSION(version)
    {
        struct meeting meeting;

        meet_certificate(&meeting, version, certificate,
                         &(struct cw_tls_options){.insecure = true, .server_name = "localhost"});
        cr_assert_eq(meeting.opened, 1, "%s", meeting.text);
        expect_clean_certificate(&meeting.cert);
        cr_assert(strstr(meeting.cert.subject, "s?[31m?"), "%s", meeting.cert.subject);
        cr_assert_not(meeting.info.verified);
        expect_clean(meeting.info.why_not);
        meet_certificate(&meeting, version, certificate, NULL);
        expect_failed(&meeting, CW_ECERT);
    }
}

Test(tls_attack_client, a_certificate_with_very_many_names_is_cut_where_it_is_shown)
{
    uint8_t names[4 + NAMES * 13];
    uint8_t der[DER_MAX];
    struct cw_span certificate;

    names[0] = 0x30;
    names[1] = 0x82;
    names[2] = (uint8_t)(NAMES * 13 >> 8);
    names[3] = (uint8_t)(NAMES * 13 & 0xff);
    for (size_t i = 0; i < NAMES; i++) {
        char name[16];

        snprintf(name, sizeof name, "%c%cn%04zu.abcd", 0x82, 11, i);
        memcpy(names + 4 + i * 13, name, 13);
    }
    certificate = make_certificate(der, names, sizeof names);
    EACH_VERSION(version)
    {
        struct meeting meeting;

        meet_certificate(&meeting, version, certificate,
                         &(struct cw_tls_options){.insecure = true, .server_name = "localhost"});
        cr_assert_eq(meeting.opened, 1, "%s", meeting.text);
        expect_clean_certificate(&meeting.cert);
        cr_assert_gt(strlen(meeting.cert.names), 400);
        cr_assert_str_eq(meeting.cert.names + strlen(meeting.cert.names) - 3, "\xe2\x80\xa6");
        meet_certificate(&meeting, version, certificate, NULL);
        expect_failed(&meeting, CW_ECERT);
    }
}

Test(tls_attack_client, a_chain_that_repeats_one_certificate_is_refused)
{
    static const char names[] = "\x30\x0b\x82\x09localhost";
    uint8_t der[DER_MAX];
    struct cw_span certificate = make_certificate(der, names, sizeof names - 1);
    struct meeting meeting;

    meeting = (struct meeting){
        .play = speak,
        .budget = SIZE_MAX,
        .setup = {.is_server = true, .der = certificate, .repeat = 20, .key = "server.key"}};
    meet(&meeting, NULL);
    expect_failed(&meeting, CW_ECERT);
}

/* ---- a chain without an end ---- */

static void put_record(struct rig_bytes *to, const uint8_t *body, size_t len)
{
    uint8_t head[] = {RIG_RECORD_HANDSHAKE, 3, 3, (uint8_t)(len >> 8), (uint8_t)len};

    rig_append(to, head, sizeof head);
    rig_append(to, body, len);
}

/* TLS 1.2 with a chain of a hundred certificates, cut into records of 16384 bytes. */
static void send_long_chain(struct meeting *meeting, struct rig_peer peer)
{
    static const uint8_t hello[4 + 38] = {2, 0, 0, 38, 3, 3, [4 + 34] = 0, 0xc0, 0x2b, 0};
    struct cw_span der = meeting->setup.der;
    struct rig_bytes message = {0};
    struct rig_bytes all = {0};
    size_t list = 100 * (der.len + 3);
    uint8_t head[7] = {11,
                       (uint8_t)((list + 3) >> 16),
                       (uint8_t)((list + 3) >> 8),
                       (uint8_t)(list + 3),
                       (uint8_t)(list >> 16),
                       (uint8_t)(list >> 8),
                       (uint8_t)list};

    rig_append(&message, head, sizeof head);
    for (unsigned i = 0; i < 100; i++) {
        uint8_t size[3] = {0, (uint8_t)(der.len >> 8), (uint8_t)der.len};

        rig_append(&message, size, sizeof size);
        rig_append(&message, der.data, der.len);
    }
    put_record(&all, hello, sizeof hello);
    for (size_t at = 0; at < message.len; at += 16384) {
        put_record(&all, message.data + at, message.len - at < 16384 ? message.len - at : 16384);
    }
    say(peer, all.data, all.len);
    rig_release(&message);
    rig_release(&all);
}

Test(tls_attack_client, a_chain_of_a_hundred_certificates_is_refused)
{
    static const char names[] = "\x30\x0b\x82\x09localhost";
    uint8_t der[DER_MAX];
    struct meeting meeting = {.play = send_long_chain};

    meeting.setup.der = make_certificate(der, names, sizeof names - 1);
    meet(&meeting, NULL);
    cr_assert_eq(meeting.opened, 0);
    cr_assert(meeting.code == CW_ETLS || meeting.code == CW_ECERT, "%s", meeting.text);
}
