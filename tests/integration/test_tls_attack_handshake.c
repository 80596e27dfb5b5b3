/* What a hostile peer does to a server in the handshake: nonsense, halves, slowness, crowds. Nobody but itself notices. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/tls_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SHORT_MS = 600, MANY = 300 };

static void skip_without_certificates(void)
{
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(tls_attack_handshake, .init = skip_without_certificates, .fini = rig_expect_no_leak,
          .timeout = 200);

#define EACH_VERSION(version) for (int version = 12; version <= RIG_TLS_NEWEST; version++)

static struct rig_peer connect_to(const struct rig_tls_scene *scene)
{
    return rig_peer_tcp(scene->port);
}

/* ---- nonsense ---- */

static void expect_refused(struct rig_tls_scene *scene, const void *bytes, size_t len, int code,
                           int alert)
{
    struct rig_peer peer = connect_to(scene);
    int got;

    rig_peer_send(&peer, bytes, len);
    rig_peer_shut(&peer);
    got = rig_peer_alert(&peer);
    rig_tls_expect_report(scene, code, alert);
    cr_assert_eq(got, alert, "alert %d, not %d", got, alert);
    rig_peer_close(&peer);
}

Test(tls_attack_handshake, bytes_that_are_no_tls_are_answered_with_unexpected_message)
{
    static const char *const words[] = {"EHLO mail.example\r\n", "SSH-2.0-OpenSSH_9\r\n",
                                        "\x17\x03\x03", "\xff\xff\xff\xff\xff\xff",
                                        "{\"json\": true}"};
    struct rig_tls_scene scene;

    rig_tls_begin(&scene, NULL, NULL);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        expect_refused(&scene, words[i], strlen(words[i]), CW_EPLAIN, RIG_UNEXPECTED_MESSAGE);
    }
    expect_refused(&scene, "\0\0\0\5hello", 9, CW_EPLAIN, RIG_UNEXPECTED_MESSAGE);
    rig_tls_end(&scene);
}

Test(tls_attack_handshake, random_bytes_end_the_connection_whatever_they_are)
{
    struct rig_tls_scene scene;
    unsigned seed = 42;

    rig_tls_begin(&scene, NULL, NULL);
    for (unsigned round = 0; round < 200; round++) {
        struct rig_peer peer = connect_to(&scene);
        uint8_t bytes[512];

        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 1103515245 + 12345;
            bytes[i] = (uint8_t)(seed >> 16);
        }
        if (round % 2 == 0) {
            memcpy(bytes, "\x16\x03\x01\x01\xfb\x01\x00\x01\xf7\x03\x03", 11);
        }
        rig_peer_send(&peer, bytes, sizeof bytes);
        rig_peer_shut(&peer);
        (void)rig_peer_alert(&peer);
        rig_peer_close(&peer);
    }
    rig_await(atomic_load(&scene.story.errors) == 200);
    rig_tls_end(&scene);
}

Test(tls_attack_handshake, plain_http_is_answered_in_the_clear)
{
    struct rig_tls_scene scene;
    struct rig_peer peer;
    char answer[512] = "";
    size_t len = 0;
    ptrdiff_t n;

    rig_tls_begin(&scene, NULL, NULL);
    peer = connect_to(&scene);
    rig_peer_send_text(&peer, "GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n");
    while ((n = rig_peer_receive_some(&peer, answer + len, sizeof answer - 1 - len)) > 0) {
        len += (size_t)n;
    }
    cr_assert_eq(strncmp(answer, "HTTP/1.1 400 Bad Request\r\n", 26), 0, "%s", answer);
    cr_assert(strstr(answer, "\r\n\r\nThis port speaks TLS"), "%s", answer);
    rig_tls_expect_report(&scene, CW_EPLAIN, CW_NO_ALERT);
    cr_assert(strstr(scene.story.report.text, "plain HTTP"), "%s", scene.story.report.text);
    rig_peer_close(&peer);
    rig_tls_end(&scene);
}

Test(tls_attack_handshake, a_hello_of_ssl_2_is_answered_with_protocol_version)
{
    static const uint8_t hello[] = {0x80, 0x1c, 1, 0, 2, 0, 3, 0, 0, 0, 16, 1, 0, 0x80, 1,
                                    2,    3,    4, 5, 6, 7, 8, 9, 1, 2, 3,  4, 5, 6,    7};
    struct rig_tls_scene scene;

    rig_tls_begin(&scene, NULL, NULL);
    expect_refused(&scene, hello, sizeof hello, CW_EPLAIN, RIG_PROTOCOL_VERSION);
    rig_tls_end(&scene);
}

/* A hello as it was sent before TLS 1.2, with nothing newer on offer. */
Test(tls_attack_handshake, old_versions_are_answered_with_protocol_version)
{
    struct rig_tls_scene scene;
    struct rig_bytes hello = rig_tap_hello_bytes(12);

    rig_tls_begin(&scene, NULL, NULL);
    for (uint8_t minor = 0; minor <= 2; minor++) {
        hello.data[10] = minor;
        expect_refused(&scene, hello.data, hello.len, CW_ETLS, RIG_PROTOCOL_VERSION);
    }
    rig_release(&hello);
    rig_tls_end(&scene);
}

Test(tls_attack_handshake, a_first_record_longer_than_allowed_is_answered_at_its_head)
{
    struct rig_tls_scene scene;

    rig_tls_begin(&scene, NULL, NULL);
    expect_refused(&scene, "\x16\x03\x01\x48\x01", 5, CW_ETLS, RIG_RECORD_OVERFLOW);
    expect_refused(&scene, "\x16\x03\x01\xff\xff\x01", 6, CW_ETLS, RIG_RECORD_OVERFLOW);
    rig_tls_end(&scene);
}

/* Each byte of a hello is altered in turn: it may be harmless, but nothing hangs and nothing breaks. */
Test(tls_attack_handshake, a_hello_with_any_byte_altered_is_answered_or_refused)
{
    struct rig_tls_scene scene;

    rig_tls_begin(&scene, &(struct cw_server_options){.handshake_ms = SHORT_MS}, NULL);
    EACH_VERSION(version)
    {
        struct rig_bytes hello = rig_tap_hello_bytes(version);

        for (size_t at = 0; at < hello.len; at++) {
            struct rig_peer peer = connect_to(&scene);

            hello.data[at] ^= 0xff;
            rig_peer_send(&peer, hello.data, hello.len);
            rig_peer_shut(&peer);
            (void)rig_peer_alert(&peer);
            rig_peer_close(&peer);
            hello.data[at] ^= 0xff;
            scene.errors++;
        }
        rig_release(&hello);
    }
    rig_await(atomic_load(&scene.story.errors) == scene.errors);
    rig_tls_end(&scene);
}

/* ---- halves ---- */

Test(tls_attack_handshake, a_hello_cut_at_any_byte_is_truncated)
{
    struct rig_tls_scene scene;
    struct rig_bytes hello = rig_tap_hello_bytes(0);

    rig_tls_begin(&scene, NULL, NULL);
    for (size_t cut = 0; cut < hello.len; cut++) {
        struct rig_peer peer = connect_to(&scene);

        if (cut > 0) {
            rig_peer_send(&peer, hello.data, cut);
        }
        rig_peer_shut(&peer);
        cr_assert_lt(rig_peer_alert(&peer), 0);
        rig_tls_expect_report(&scene, CW_ETRUNCATED, CW_NO_ALERT);
        rig_peer_close(&peer);
    }
    rig_release(&hello);
    rig_tls_end(&scene);
}

/* How many bytes a client sends in the whole handshake. */
static size_t handshake_bytes(const struct rig_tls_scene *scene, int version)
{
    struct rig_tap tap;
    size_t sent;

    rig_tap_connect(&tap, scene->port, version);
    sent = tap.sent;
    rig_tap_notify(&tap);
    (void)rig_tap_end(&tap);
    rig_tap_close(&tap);
    return sent;
}

/* Stops sending for good at a byte of the handshake. */
static void stop_at(const struct rig_tls_scene *scene, struct rig_tap *tap, int version, size_t cut,
                    bool shuts)
{
    rig_tap_open(tap, connect_to(scene), &(struct rig_tap_setup){.version = version});
    tap->budget = cut;
    tap->shuts = shuts;
}

Test(tls_attack_handshake, a_handshake_cut_at_any_byte_behind_the_hello_is_truncated)
{
    struct rig_tls_scene scene;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        struct rig_bytes hello = rig_tap_hello_bytes(version);
        size_t all = handshake_bytes(&scene, version);

        cr_assert_gt(all, hello.len);
        for (size_t cut = hello.len; cut < all; cut++) {
            struct rig_tap tap;

            stop_at(&scene, &tap, version, cut, true);
            (void)rig_tap_handshake(&tap);
            rig_tls_expect_report(&scene, CW_ETRUNCATED, CW_NO_ALERT);
            rig_tap_close(&tap);
        }
        rig_release(&hello);
    }
    rig_tls_end(&scene);
}

Test(tls_attack_handshake, silence_at_any_byte_ends_at_the_handshake_deadline)
{
    enum { PEERS = 60 };
    struct rig_tls_scene scene;
    struct rig_bytes hello = rig_tap_hello_bytes(0);
    struct rig_peer peers[PEERS];

    rig_tls_begin(&scene, &(struct cw_server_options){.handshake_ms = SHORT_MS}, NULL);
    for (size_t i = 0; i < PEERS; i++) {
        size_t cut = hello.len * i / PEERS;

        peers[i] = connect_to(&scene);
        if (cut > 0) {
            rig_peer_send(&peers[i], hello.data, cut);
        }
    }
    rig_await(atomic_load(&scene.story.errors) == PEERS);
    cr_assert_eq(scene.story.report.code, CW_EHANDSHAKETIME, "%s", scene.story.report.text);
    cr_assert_eq(atomic_load(&scene.story.opened), 0);
    for (size_t i = 0; i < PEERS; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_release(&hello);
    rig_tls_end_quietly(&scene);
}

/* ---- slowness ---- */

Test(tls_attack_handshake, a_handshake_byte_by_byte_succeeds)
{
    struct rig_tls_scene scene;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        struct rig_tap tap;
        int error;

        rig_tap_open(&tap, connect_to(&scene), &(struct rig_tap_setup){.version = version});
        tap.piece = 1;
        error = rig_tap_handshake(&tap);
        cr_assert_eq(error, 0, "-0x%04x", (unsigned)-error);
        rig_tap_expect_echo(&tap, "byte by byte");
        rig_tap_notify(&tap);
        cr_assert_eq(rig_tap_end(&tap), RIG_CLOSE_NOTIFY);
        rig_tap_close(&tap);
    }
    rig_tls_end(&scene);
}

/* The deadline is the whole handshake's: a byte now and then buys no time. */
Test(tls_attack_handshake, a_handshake_that_trickles_ends_at_its_deadline_all_the_same)
{
    struct rig_tls_scene scene;
    struct rig_bytes hello = rig_tap_hello_bytes(0);
    struct rig_peer peer;
    uint64_t began;
    size_t sent = 0;

    rig_tls_begin(&scene, &(struct cw_server_options){.handshake_ms = SHORT_MS}, NULL);
    peer = connect_to(&scene);
    began = rig_now_ms();
    while (atomic_load(&scene.story.errors) == 0 && sent < hello.len) {
        if (rig_peer_try_send(&peer, hello.data + sent, 1) < 0) {
            break;
        }
        sent++;
        usleep(SHORT_MS * 1000 / 10);
    }
    rig_tls_expect_report(&scene, CW_EHANDSHAKETIME, CW_NO_ALERT);
    cr_assert_lt(sent, hello.len, "it was never too slow");
    cr_assert_geq(rig_now_ms() - began, SHORT_MS / 2);
    rig_peer_close(&peer);
    rig_release(&hello);
    rig_tls_end_quietly(&scene);
}

/* One in the middle of its hello, one behind it; a byte a second from each. */
Test(tls_attack_handshake, a_byte_a_second_ends_at_the_deadline_and_everyone_else_is_served)
{
    static const char next[] = "\x16\x03\x03\x00\x46\x10\x00\x00\x42\x41\x04";
    struct rig_tls_scene scene;
    struct rig_bytes hello = rig_tap_hello_bytes(12);
    struct rig_peer early;
    struct rig_peer late;
    size_t sent = 0;

    rig_tls_begin(&scene, &(struct cw_server_options){.handshake_ms = 3000}, NULL);
    early = connect_to(&scene);
    late = connect_to(&scene);
    rig_peer_send(&late, hello.data, hello.len);
    while (atomic_load(&scene.story.errors) < 2) {
        cr_assert_lt(sent, sizeof next - 1, "they were never too slow");
        (void)rig_peer_try_send(&early, hello.data + sent, 1);
        (void)rig_peer_try_send(&late, next + sent, 1);
        sent++;
        rig_tls_expect_served(&scene);
        usleep(1000000);
    }
    cr_assert_gt(sent, 1);
    cr_assert_eq(scene.story.report.code, CW_EHANDSHAKETIME, "%s", scene.story.report.text);
    rig_await(rig_host_conns(scene.host) == 0);
    rig_peer_close(&early);
    rig_peer_close(&late);
    rig_release(&hello);
    rig_tls_end(&scene);
}

/* ---- odd cuts ---- */

/* The same hello, a record for each byte of it. */
static struct rig_bytes in_pieces(const struct rig_bytes *hello, size_t piece)
{
    struct rig_bytes bytes = {0};

    for (size_t at = 5; at < hello->len; at += piece) {
        size_t n = hello->len - at < piece ? hello->len - at : piece;
        uint8_t head[] = {RIG_RECORD_HANDSHAKE, 3, 1, 0, (uint8_t)n};

        rig_append(&bytes, head, sizeof head);
        rig_append(&bytes, hello->data + at, n);
    }
    return bytes;
}

Test(tls_attack_handshake, a_hello_in_many_records_is_taken_or_refused_and_never_waited_for)
{
    static const size_t pieces[] = {1, 3, 4, 50};
    struct rig_tls_scene scene;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        struct rig_bytes hello = rig_tap_hello_bytes(version);

        for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
            struct rig_bytes records = in_pieces(&hello, pieces[i]);
            struct rig_peer peer = connect_to(&scene);

            rig_peer_send(&peer, records.data, records.len);
            rig_peer_shut(&peer);
            (void)rig_peer_alert(&peer);
            scene.errors++;
            rig_await(atomic_load(&scene.story.errors) == scene.errors);
            cr_assert(scene.story.report.code == CW_ETLS || scene.story.report.code == CW_ETRUNCATED,
                      "%s", scene.story.report.text);
            rig_peer_close(&peer);
            rig_release(&records);
        }
        rig_release(&hello);
    }
    rig_tls_end(&scene);
}

static void flood(struct rig_tls_scene *scene, const void *record, size_t len)
{
    struct rig_bytes all = {0};
    struct rig_peer peer = connect_to(scene);

    for (size_t i = 0; i < 4000; i++) {
        rig_append(&all, record, len);
    }
    for (size_t done = 0; done < all.len;) {
        ptrdiff_t n = rig_peer_try_send(&peer, all.data + done, all.len - done);

        if (n < 0) {
            break;
        }
        done += (size_t)n;
        if (n == 0) {
            usleep(1000);
        }
    }
    (void)rig_peer_alert(&peer);
    scene->errors++;
    rig_await(atomic_load(&scene->story.errors) == scene->errors);
    rig_peer_close(&peer);
    rig_release(&all);
}

Test(tls_attack_handshake, empty_records_and_warnings_in_place_of_a_hello_come_to_an_end)
{
    struct rig_tls_scene scene;

    rig_tls_begin(&scene, &(struct cw_server_options){.handshake_ms = SHORT_MS}, NULL);
    flood(&scene, "\x16\x03\x01\x00\x00", 5);
    flood(&scene, "\x15\x03\x03\x00\x02\x01\x5a", 7);
    flood(&scene, "\x15\x03\x03\x00\x00", 5);
    flood(&scene, "\x16\x03\x01\x00\x04\x00\x00\x00\x00", 9);
    rig_tls_end_quietly(&scene);
}

/* ---- leaving, and crowds ---- */

Test(tls_attack_handshake, a_reset_while_a_helper_has_the_connection_leaves_nothing)
{
    struct rig_tls_scene scene;
    struct rig_bytes hello = rig_tap_hello_bytes(0);

    rig_tls_begin(&scene, NULL, NULL);
    for (unsigned round = 0; round < 200; round++) {
        struct rig_peer peer = connect_to(&scene);

        rig_peer_send(&peer, hello.data, hello.len);
        if (round % 3 == 0) {
            rig_await(rig_peer_has_arrived(&peer));
        } else if (round % 3 == 1) {
            usleep(round * 20);
        }
        rig_peer_reset(&peer);
    }
    rig_await(rig_host_conns(scene.host) == 0);
    rig_release(&hello);
    rig_tls_end(&scene);
}

Test(tls_attack_handshake, stopping_does_not_wait_for_handshakes_that_are_under_way)
{
    enum { PEERS = 40 };

    for (unsigned round = 0; round < 4; round++) {
        struct rig_tls_scene scene;
        struct rig_bytes hello = rig_tap_hello_bytes(0);
        struct rig_peer peers[PEERS];

        rig_tls_begin(&scene, NULL, NULL);
        for (size_t i = 0; i < PEERS; i++) {
            peers[i] = connect_to(&scene);
            rig_peer_send(&peers[i], hello.data, i % 4 == 0 ? i : hello.len);
        }
        if (round > 0) {
            usleep(round * 3000);
        }
        rig_host_end(scene.host);
        cr_assert_eq(atomic_load(&scene.story.opened), 0);
        for (size_t i = 0; i < PEERS; i++) {
            rig_peer_close(&peers[i]);
        }
        rig_release(&hello);
    }
}

Test(tls_attack_handshake, three_hundred_that_stop_half_way_do_not_keep_others_out)
{
    struct rig_tls_scene scene;
    struct rig_tap *taps = calloc(MANY, sizeof *taps);
    struct rig_tap open;

    rig_check(taps);
    rig_tls_begin(&scene, NULL, NULL);
    rig_tap_connect(&open, scene.port, 0);
    for (size_t i = 0; i < MANY; i++) {
        struct cw_span hello;

        rig_tap_open(&taps[i], connect_to(&scene), &(struct rig_tap_setup){0});
        hello = rig_tap_hello(&taps[i]);
        rig_peer_send(&taps[i].peer, hello.data, i % 2 == 0 ? hello.len : hello.len / 2);
        if (i % 50 == 0) {
            rig_tap_expect_echo(&open, "while they wait");
        }
    }
    rig_tls_expect_served(&scene);
    rig_tap_expect_echo(&open, "and when all are there");
    cr_assert_geq(rig_host_conns(scene.host), MANY);
    for (size_t i = 0; i < MANY; i++) {
        rig_peer_reset(&taps[i].peer);
        rig_tap_close(&taps[i]);
    }
    rig_await(atomic_load(&scene.story.errors) == MANY);
    rig_tap_notify(&open);
    cr_assert_eq(rig_tap_end(&open), RIG_CLOSE_NOTIFY);
    rig_tap_close(&open);
    free(taps);
    rig_tls_end(&scene);
}

Test(tls_attack_handshake, handshakes_above_handshakes_max_are_refused_and_those_below_served)
{
    enum { PEERS = 100 };
    struct rig_tls_scene scene;
    struct rig_bytes hello = rig_tap_hello_bytes(0);
    struct rig_peer peers[PEERS];

    rig_tls_begin(&scene, &(struct cw_server_options){.handshake_threads = 1, .handshakes_max = 2},
                  NULL);
    for (size_t i = 0; i < PEERS; i++) {
        peers[i] = connect_to(&scene);
        rig_peer_send(&peers[i], hello.data, hello.len);
    }
    rig_await(atomic_load(&scene.story.errors) > 0);
    cr_assert_eq(scene.story.report.code, CW_EFULL, "%s", scene.story.report.text);
    cr_assert(strstr(scene.story.report.text, "handshakes_max"), "%s", scene.story.report.text);
    for (size_t i = 0; i < PEERS; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_release(&hello);
    rig_await(rig_host_conns(scene.host) == 0);
    rig_tls_end(&scene);
}

struct storm {
    uint16_t port;
    atomic_bool over;
    atomic_uint handshakes;
};

static void *shake_hands(void *arg)
{
    struct storm *storm = arg;

    while (!atomic_load(&storm->over)) {
        struct rig_tap tap;

        rig_tap_open(&tap, rig_peer_tcp(storm->port), &(struct rig_tap_setup){0});
        rig_check(rig_tap_handshake(&tap) == 0);
        rig_peer_reset(&tap.peer);
        rig_tap_close(&tap);
        atomic_fetch_add(&storm->handshakes, 1);
    }
    return NULL;
}

Test(tls_attack_handshake, a_storm_of_handshakes_does_not_stop_who_is_in)
{
    enum { STORMERS = 6, ECHOES = 200, SHAKEN = 60 };
    struct rig_tls_scene scene;
    struct storm storm;
    struct rig_tap open;
    pthread_t threads[STORMERS];
    unsigned echoes = 0;

    rig_tls_begin(&scene, NULL, NULL);
    storm = (struct storm){.port = scene.port};
    rig_tap_connect(&open, scene.port, 0);
    for (size_t i = 0; i < STORMERS; i++) {
        rig_check(pthread_create(&threads[i], NULL, shake_hands, &storm) == 0);
    }
    while (echoes < ECHOES || atomic_load(&storm.handshakes) < SHAKEN) {
        rig_tap_expect_echo(&open, "it goes on");
        echoes++;
    }
    atomic_store(&storm.over, true);
    for (size_t i = 0; i < STORMERS; i++) {
        pthread_join(threads[i], NULL);
    }
    rig_tap_notify(&open);
    cr_assert_eq(rig_tap_end(&open), RIG_CLOSE_NOTIFY);
    rig_tap_close(&open);
    rig_tls_end(&scene);
}

/* All peers of the test come from one address. */
Test(tls_attack_handshake, one_address_may_not_hold_all_connections_with_handshakes)
{
    enum { ALLOWED = 10 };
    struct rig_tls_scene scene;
    struct rig_peer peers[ALLOWED];
    struct rig_peer refused;

    rig_tls_begin(&scene, &(struct cw_server_options){.conns_per_ip_max = ALLOWED}, NULL);
    for (size_t i = 0; i < ALLOWED; i++) {
        peers[i] = connect_to(&scene);
        rig_peer_send(&peers[i], "\x16\x03", 2);
    }
    rig_await(rig_host_conns(scene.host) == ALLOWED);
    refused = connect_to(&scene);
    rig_peer_expect_gone(&refused);
    rig_await(atomic_load(&scene.story.errors) == 1);
    cr_assert_eq(scene.story.report.code, CW_EADDRESSMAX, "%s", scene.story.report.text);
    rig_peer_close(&refused);
    for (size_t i = 0; i < ALLOWED; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_await(rig_host_conns(scene.host) == 0);
    rig_tls_end(&scene);
}
