/* TLS that begins on an open connection, and peers that want to be heard before it, or leave while it begins. */
#include "support/descriptors.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/scene.h"
#include "support/tls_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

enum { SHORT_MS = 500 };

static void skip_without_certificates(void)
{
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(tls_attack_start, .init = skip_without_certificates, .fini = rig_expect_no_leak,
          .timeout = 120);

/* A line `STARTTLS` is answered with `go` and TLS; any other comes back. */
static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_story_on_data(conn, msg, user);
    if (cw_span_equal(msg->body, cw_span_of((const uint8_t *)"STARTTLS", 8))) {
        rig_check(cw_conn_send_text(conn, "go") >= 0);
        rig_check(cw_conn_start_tls(conn) == CW_OK);
    } else {
        rig_echo(conn, msg, user);
    }
}

static void begin(struct rig_tls_scene *scene, const struct cw_server_options *options)
{
    struct cw_hooks hooks = rig_story_with_data(on_data);

    memset(scene, 0, sizeof *scene);
    scene->descriptors = rig_descriptors();
    scene->host = rig_host_start(
        rig_tls_server(&cw_line, options, &(struct cw_tls_options){.start_tls = true}), &hooks,
        &scene->story);
    scene->port = rig_host_port(scene->host, 0);
}

static struct rig_peer ask(const struct rig_tls_scene *scene)
{
    struct rig_peer peer = rig_peer_tcp(scene->port);

    rig_peer_send_text(&peer, "STARTTLS\n");
    rig_peer_expect(&peer, "go\n");
    return peer;
}

static void expect_closed(struct rig_tls_scene *scene, unsigned count, int code)
{
    rig_await(atomic_load(&scene->story.closed) == count);
    cr_assert_eq(scene->story.reason.code, code, "%s: %s", cw_error_name(scene->story.reason.code),
                 scene->story.reason.text);
}

Test(tls_attack_start, it_begins_after_a_word_in_the_clear)
{
    struct rig_tls_scene scene;
    struct rig_tap tap;

    begin(&scene, NULL);
    rig_tap_open(&tap, ask(&scene), &(struct rig_tap_setup){0});
    cr_assert_eq(rig_tap_handshake(&tap), 0);
    rig_tap_expect_echo(&tap, "sealed\n");
    rig_tap_notify(&tap);
    cr_assert_eq(rig_tap_end(&tap), RIG_CLOSE_NOTIFY);
    rig_tap_close(&tap);
    expect_closed(&scene, 1, CW_BY_PEER);
    rig_tls_end_quietly(&scene);
}

/* Somebody in between can put bytes behind the word; they must not count as said over TLS. */
Test(tls_attack_start, bytes_in_the_clear_behind_the_word_are_refused_and_never_delivered)
{
    static const char *const evil[] = {"STARTTLS\nevil\n", "STARTTLS\ne", "STARTTLS\n\x16\x03\x01"};
    struct rig_tls_scene scene;

    begin(&scene, NULL);
    for (unsigned i = 0; i < 3; i++) {
        struct rig_peer peer = rig_peer_tcp(scene.port);

        rig_peer_send_text(&peer, evil[i]);
        rig_peer_shut(&peer);
        (void)rig_peer_receive_all(&peer);
        expect_closed(&scene, i + 1, CW_EPLAIN);
        cr_assert_eq(atomic_load(&scene.story.messages), i + 1, "only the word itself");
        rig_peer_close(&peer);
    }
    rig_tls_end_quietly(&scene);
}

Test(tls_attack_start, plain_bytes_in_place_of_a_hello_are_refused)
{
    struct rig_tls_scene scene;
    struct rig_peer peer;

    begin(&scene, NULL);
    peer = ask(&scene);
    rig_peer_send_text(&peer, "QUIT\n");
    cr_assert_eq(rig_peer_alert(&peer), RIG_UNEXPECTED_MESSAGE);
    expect_closed(&scene, 1, CW_EPLAIN);
    cr_assert_eq(atomic_load(&scene.story.messages), 1);
    rig_peer_close(&peer);
    rig_tls_end_quietly(&scene);
}

Test(tls_attack_start, silence_in_place_of_a_hello_ends_at_the_handshake_deadline)
{
    struct rig_tls_scene scene;
    struct rig_peer peer;

    begin(&scene, &(struct cw_server_options){.handshake_ms = SHORT_MS});
    peer = ask(&scene);
    expect_closed(&scene, 1, CW_EHANDSHAKETIME);
    rig_peer_close(&peer);
    rig_tls_end_quietly(&scene);
}

static void end_it(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    bool *aborts = arg;

    if (conn && *aborts) {
        cw_conn_abort(conn);
    } else if (conn) {
        cw_conn_close(conn);
    }
}

/* The application closes at any moment: before the hello, while a helper calculates, when all is done. */
Test(tls_attack_start, closing_while_it_begins_is_told_once_and_leaves_nothing)
{
    struct rig_bytes hello = rig_tap_hello_bytes(0);
    struct rig_tls_scene scene;

    begin(&scene, NULL);
    for (unsigned round = 0; round < 120; round++) {
        struct rig_peer peer = ask(&scene);
        bool aborts = round % 2 == 0;

        rig_peer_send(&peer, hello.data, round % 3 == 0 ? hello.len / 2 : hello.len);
        usleep(round % 12 * 300);
        rig_host_run(scene.host, atomic_load(&scene.story.conn_id), end_it, &aborts);
        rig_await(atomic_load(&scene.story.closed) == round + 1);
        cr_assert_eq(scene.story.reason.code, aborts ? CW_BY_ABORT : CW_BY_APP, "%s",
                     scene.story.reason.text);
        rig_peer_close(&peer);
    }
    rig_release(&hello);
    rig_tls_end_quietly(&scene);
}

Test(tls_attack_start, a_stop_while_it_begins_waits_for_nobody)
{
    struct rig_bytes hello = rig_tap_hello_bytes(0);

    for (unsigned round = 0; round < 6; round++) {
        struct rig_tls_scene scene;
        struct rig_peer peers[10];

        begin(&scene, NULL);
        for (unsigned i = 0; i < 10; i++) {
            peers[i] = ask(&scene);
            rig_peer_send(&peers[i], hello.data, i % 3 == 0 ? i : hello.len);
        }
        usleep(round * 1000);
        rig_host_end(scene.host);
        cr_assert_eq(atomic_load(&scene.story.opened), 10);
        cr_assert_eq(atomic_load(&scene.story.closed), 10);
        for (unsigned i = 0; i < 10; i++) {
            rig_peer_close(&peers[i]);
        }
    }
    rig_release(&hello);
}
