/* What a hostile peer does to a server that speaks TLS: records that are wrong, handshakes that do not end. Each such
 * connection ends, with the alert that is due and a report that names it, and everybody else is served. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/tls_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

static void skip_without_certificates(void)
{
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(tls_attack, .init = skip_without_certificates, .fini = rig_expect_no_leak, .timeout = 120);

/* An open connection in the version, known to echo. */
static void enter(struct rig_tls_scene *scene, struct rig_tap *tap, int version)
{
    rig_tap_connect(tap, scene->port, version);
    rig_tap_expect_echo(tap, "hello");
}

/* It was ended with this alert, sent once, and the hooks were told. */
static void expect_alert(struct rig_tls_scene *scene, struct rig_tap *tap, int alert)
{
    unsigned closed = atomic_load(&scene->story.opened);
    int got = rig_tap_end(tap);

    rig_tls_expect_report(scene, CW_ETLS, alert);
    cr_assert_eq(got, alert, "alert %d, not %d", got, alert);
    cr_assert_leq(tap->alert_records, 1, "%zu alerts", tap->alert_records);
    rig_await(atomic_load(&scene->story.closed) == closed);
    cr_assert_eq(scene->story.reason.code, CW_ETLS);
    rig_tap_close(tap);
}

#define EACH_VERSION(version) for (int version = 12; version <= RIG_TLS_NEWEST; version++)

/* ---- records of an open connection ---- */

Test(tls_attack, a_flipped_bit_is_answered_with_bad_record_mac)
{
    struct rig_tls_scene scene;
    struct rig_tap tap;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        static const size_t places[] = {5, 13, 20, 36};

        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            struct cw_span record;

            enter(&scene, &tap, version);
            record = rig_tap_records(&tap, "sixteen bytes ok", 16);
            cr_assert_gt(record.len, places[i]);
            tap.held.data[places[i]] ^= 0x10;
            rig_peer_send(&tap.peer, record.data, record.len);
            expect_alert(&scene, &tap, RIG_BAD_RECORD_MAC);
        }
    }
    rig_tls_end(&scene);
}

Test(tls_attack, a_record_sent_twice_is_refused)
{
    struct rig_tls_scene scene;
    struct rig_tap tap;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        struct cw_span record;

        enter(&scene, &tap, version);
        record = rig_tap_records(&tap, "once", 4);
        rig_peer_send(&tap.peer, record.data, record.len);
        rig_peer_send(&tap.peer, record.data, record.len);
        expect_alert(&scene, &tap, RIG_BAD_RECORD_MAC);
    }
    rig_tls_end(&scene);
}

/* RFC 5246 §6.2.3, RFC 8446 §5.2 */
Test(tls_attack, a_record_longer_than_allowed_is_answered_with_record_overflow)
{
    static const uint8_t lengths[][2] = {{0x48, 0x01}, {0xff, 0xff}};
    struct rig_tls_scene scene;
    struct rig_tap tap;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        for (size_t i = 0; i < 2; i++) {
            uint8_t head[] = {RIG_RECORD_DATA, 3, 3, lengths[i][0], lengths[i][1]};

            enter(&scene, &tap, version);
            rig_peer_send(&tap.peer, head, sizeof head);
            expect_alert(&scene, &tap, RIG_RECORD_OVERFLOW);
        }
    }
    rig_tls_end(&scene);
}

Test(tls_attack, a_record_of_an_unknown_type_is_answered_with_unexpected_message)
{
    struct rig_tls_scene scene;
    struct rig_tap tap;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        static const uint8_t strange[] = {99, 3, 3, 0, 1, 0};

        enter(&scene, &tap, version);
        rig_peer_send(&tap.peer, strange, sizeof strange);
        expect_alert(&scene, &tap, RIG_UNEXPECTED_MESSAGE);
    }
    rig_tls_end(&scene);
}

/* RFC 8446 §5: an encrypted record too has to be of a known type, and of one that may come now. */
Test(tls_attack, what_is_sealed_well_and_out_of_turn_is_answered_with_unexpected_message)
{
    static const uint8_t finished[] = {20, 0, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    static const uint8_t key_update[] = {24, 0, 0, 1, 0};
    struct rig_tls_scene scene;
    struct rig_tap tap;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        enter(&scene, &tap, version);
        rig_tap_forge(&tap, RIG_RECORD_HANDSHAKE, finished, sizeof finished);
        expect_alert(&scene, &tap, RIG_UNEXPECTED_MESSAGE);
        enter(&scene, &tap, version);
        rig_tap_forge(&tap, RIG_RECORD_HANDSHAKE, key_update, sizeof key_update);
        expect_alert(&scene, &tap, RIG_UNEXPECTED_MESSAGE);
    }
    /* mbedTLS 3.6 passes over this one under TLS 1.3, sealed or not. */
    enter(&scene, &tap, 12);
    rig_tap_forge(&tap, RIG_RECORD_CCS, "\1", 1);
    expect_alert(&scene, &tap, RIG_UNEXPECTED_MESSAGE);
    rig_tls_end(&scene);
}

Test(tls_attack, what_came_before_a_bad_record_is_delivered)
{
    struct rig_tls_scene scene;
    struct rig_tap tap;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        struct cw_span record;

        enter(&scene, &tap, version);
        record = rig_tap_records(&tap, "good", 4);
        rig_append(&tap.held, "\x17\x03\x03\x00\x20 not sealed by anybody, 32 bytes!", 37);
        record = cw_span_of(tap.held.data, tap.held.len);
        rig_peer_send(&tap.peer, record.data, record.len);
        expect_alert(&scene, &tap, RIG_BAD_RECORD_MAC);
        cr_assert_eq(atomic_load(&scene.story.bytes), strlen("hello") + 4);
        atomic_store(&scene.story.bytes, 0);
    }
    rig_tls_end(&scene);
}

Test(tls_attack, a_fatal_alert_of_the_peer_ends_the_connection_and_is_named)
{
    struct rig_tls_scene scene;
    struct rig_tap tap;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        enter(&scene, &tap, version);
        rig_tap_forge(&tap, RIG_RECORD_ALERT, "\2\x50", 2);
        cr_assert_leq(rig_tap_end(&tap), RIG_CLOSE_NOTIFY);
        rig_tls_expect_report(&scene, CW_ETLS, 0x50);
        cr_assert(strstr(scene.story.report.text, "internal_error"), "%s", scene.story.report.text);
        rig_tap_close(&tap);
    }
    rig_tls_end(&scene);
}

/* ---- the end ---- */

Test(tls_attack, an_end_without_close_notify_is_truncated_and_one_with_it_is_the_peers)
{
    struct rig_tls_scene scene;
    struct rig_tap tap;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        unsigned closed = atomic_load(&scene.story.closed);

        enter(&scene, &tap, version);
        rig_peer_shut(&tap.peer);
        (void)rig_tap_end(&tap);
        rig_tls_expect_report(&scene, CW_ETRUNCATED, CW_NO_ALERT);
        rig_await(atomic_load(&scene.story.closed) == closed + 1);
        cr_assert_eq(scene.story.reason.code, CW_ETRUNCATED);
        rig_tap_close(&tap);

        enter(&scene, &tap, version);
        rig_tap_notify(&tap);
        cr_assert_eq(rig_tap_end(&tap), RIG_CLOSE_NOTIFY);
        rig_await(atomic_load(&scene.story.closed) == closed + 2);
        cr_assert_eq(scene.story.reason.code, CW_BY_PEER, "%s", scene.story.reason.text);
        rig_tap_close(&tap);
    }
    rig_tls_end(&scene);
}

Test(tls_attack, an_end_in_the_middle_of_a_record_is_truncated_wherever_it_is_cut)
{
    struct rig_tls_scene scene;
    struct rig_tap tap;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        size_t len = 6;

        for (size_t cut = 1; cut < len; cut++) {
            struct cw_span record;

            enter(&scene, &tap, version);
            record = rig_tap_records(&tap, "hello", 5);
            len = record.len;
            rig_peer_send(&tap.peer, record.data, cut);
            rig_peer_shut(&tap.peer);
            (void)rig_tap_end(&tap);
            rig_tls_expect_report(&scene, CW_ETRUNCATED, CW_NO_ALERT);
            rig_tap_close(&tap);
        }
    }
    rig_tls_end(&scene);
}

/* RFC 8446 §6.1: data behind a closure alert is ignored. */
Test(tls_attack, nothing_behind_close_notify_is_delivered)
{
    struct rig_tls_scene scene;
    struct rig_tap tap;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        struct cw_span records;
        unsigned closed = atomic_load(&scene.story.closed);

        enter(&scene, &tap, version);
        tap.holds = true;
        tap.held.len = 0;
        rig_tap_write(&tap, "before", 6);
        rig_tap_notify(&tap);
        rig_tap_write(&tap, "behind", 6);
        tap.holds = false;
        records = cw_span_of(tap.held.data, tap.held.len);
        rig_peer_send(&tap.peer, records.data, records.len);

        char answer[6];
        rig_tap_read(&tap, answer, sizeof answer);
        cr_assert_eq(memcmp(answer, "before", 6), 0);
        cr_assert_eq(rig_tap_end(&tap), RIG_CLOSE_NOTIFY);
        rig_await(atomic_load(&scene.story.closed) == closed + 1);
        cr_assert_eq(scene.story.reason.code, CW_BY_PEER, "%s", scene.story.reason.text);
        rig_tap_close(&tap);
    }
    rig_tls_end(&scene);
}

/* ---- in great number ---- */

Test(tls_attack, thousands_of_records_of_one_byte_in_one_read_are_all_delivered)
{
    enum { RECORDS = 5000 };
    struct rig_tls_scene scene;
    struct rig_tap tap;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        char answer[RECORDS];

        enter(&scene, &tap, version);
        tap.held.len = 0;
        tap.holds = true;
        for (size_t i = 0; i < RECORDS; i++) {
            char byte = (char)(i % 251);
            rig_tap_write(&tap, &byte, 1);
        }
        tap.holds = false;
        rig_peer_send(&tap.peer, tap.held.data, tap.held.len);
        rig_tap_read(&tap, answer, sizeof answer);
        for (size_t i = 0; i < RECORDS; i++) {
            cr_assert_eq(answer[i], (char)(i % 251), "byte %zu", i);
        }
        rig_tap_notify(&tap);
        cr_assert_eq(rig_tap_end(&tap), RIG_CLOSE_NOTIFY);
        rig_tap_close(&tap);
    }
    rig_tls_end(&scene);
}

/* All in one go. */
static void send_empty(struct rig_tap *tap, size_t count)
{
    tap->held.len = 0;
    tap->holds = true;
    for (size_t i = 0; i < count; i++) {
        rig_tap_forge(tap, RIG_RECORD_DATA, "", 0);
    }
    tap->holds = false;
    rig_peer_send(&tap->peer, tap->held.data, tap->held.len);
}

Test(tls_attack, records_of_nothing_do_not_go_on_for_ever)
{
    struct rig_tls_scene scene;
    struct rig_tap tap;

    rig_tls_begin(&scene, NULL, NULL);
    EACH_VERSION(version)
    {
        enter(&scene, &tap, version);
        send_empty(&tap, 3); /* RFC 8446 §5.4: one way to hide when something is said */
        rig_tap_expect_echo(&tap, "a few are allowed");
        send_empty(&tap, 100);
        expect_alert(&scene, &tap, RIG_BAD_RECORD_MAC);
    }
    rig_tls_end(&scene);
}

Test(tls_attack, a_flood_of_warnings_costs_no_answer_and_changes_nothing)
{
    struct rig_tls_scene scene;
    struct rig_tap tap;

    rig_tls_begin(&scene, NULL, NULL);
    enter(&scene, &tap, 12);
    for (size_t i = 0; i < 5000; i++) {
        rig_tap_forge(&tap, RIG_RECORD_ALERT, "\1\x5a", 2);
    }
    rig_tap_expect_echo(&tap, "hello");
    cr_assert_eq(tap.alert_records, 0);
    rig_tap_notify(&tap);
    cr_assert_eq(rig_tap_end(&tap), RIG_CLOSE_NOTIFY);
    rig_tap_close(&tap);
    rig_tls_end(&scene);
}

/* ---- a second handshake ---- */

/* A ClientHello without the head of its record. */
static struct cw_span hello_message(const struct rig_bytes *hello)
{
    return cw_span_of(hello->data + 5, hello->len - 5);
}

Test(tls_attack, a_second_hello_is_refused_and_a_broken_record_behind_it_has_its_own_alert)
{
    struct rig_bytes hello = rig_tap_hello_bytes(12);
    struct cw_span message = hello_message(&hello);
    struct rig_tls_scene scene;
    struct rig_tap tap;
    struct cw_span record;

    rig_tls_begin(&scene, NULL, NULL);
    enter(&scene, &tap, 12);
    rig_tap_forge(&tap, RIG_RECORD_HANDSHAKE, message.data, message.len);
    rig_tap_expect_echo(&tap, "it goes on");
    cr_assert_eq(tap.alert_records, 1, "no_renegotiation is a warning");
    tap.alert_records = 0;
    record = rig_tap_records(&tap, "hello", 5);
    tap.held.data[record.len - 1] ^= 1;
    rig_peer_send(&tap.peer, record.data, record.len);
    expect_alert(&scene, &tap, RIG_BAD_RECORD_MAC);
    rig_release(&hello);
    rig_tls_end(&scene);
}

/* Each is answered with a warning: a peer that sends them and reads nothing must not make us collect those. */
Test(tls_attack, a_flood_of_hellos_whose_answers_nobody_reads_ends_and_is_the_peers_fault)
{
    struct rig_bytes hello = rig_tap_hello_bytes(12);
    struct cw_span message = hello_message(&hello);
    struct rig_tls_scene scene;
    struct rig_tap tap;

    rig_tls_begin(&scene, &(struct cw_server_options){.write_ms = 2000}, NULL);
    rig_tap_open(&tap, rig_peer_tcp_from(NULL, "127.0.0.1", scene.port, 4096),
                 &(struct rig_tap_setup){.version = 12});
    cr_assert_eq(rig_tap_handshake(&tap), 0);
    rig_tap_expect_echo(&tap, "hello");
    tap.held.len = 0;
    tap.holds = true;
    while (atomic_load(&scene.story.closed) == 0) {
        rig_tap_forge(&tap, RIG_RECORD_HANDSHAKE, message.data, message.len);
        for (size_t done = 0; done < tap.held.len && atomic_load(&scene.story.closed) == 0;) {
            ptrdiff_t n = rig_peer_try_send(&tap.peer, tap.held.data + done, tap.held.len - done);
            if (n < 0) {
                rig_await(atomic_load(&scene.story.closed) == 1);
            } else if (n == 0) {
                usleep(500);
            } else {
                done += (size_t)n;
            }
        }
        tap.held.len = 0;
    }
    scene.errors++;
    cr_assert(scene.story.reason.code == CW_EWRITETIME || scene.story.reason.code == CW_EPIPE,
              "%s: %s", cw_error_name(scene.story.reason.code), scene.story.reason.text);
    rig_tap_close(&tap);
    rig_release(&hello);
    rig_tls_end(&scene);
}
