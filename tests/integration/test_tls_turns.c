/* Many peers over TLS on one processor, and much that one peer sends at once: nobody is forgotten between two turns, and
 * nothing that is decrypted waits for an event that does not come. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/scene.h"
#include "support/tls_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static void skip_without_certificates(void)
{
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(tls_turns, .init = skip_without_certificates, .fini = rig_expect_no_leak, .timeout = 120);

/* The loop waits until the test lets it go. */
static struct {
    atomic_bool held;
    atomic_bool released;
} gate;

static void wait_at(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    atomic_store(&gate.held, true);
    rig_await(atomic_load(&gate.released));
}

static void hold_loop(struct rig_host *host)
{
    atomic_store(&gate.held, false);
    atomic_store(&gate.released, false);
    rig_check(cw_server_post(rig_host_server(host), 0, wait_at, NULL) == CW_OK);
    rig_await(atomic_load(&gate.held));
}

static void release_loop(void)
{
    atomic_store(&gate.released, true);
}

/* ---- many at once, on one processor ---- */

enum { MANY_MAX = 200 };

static struct {
    uint16_t port;
    atomic_uint waiting; /* hellos that have been sent */
    atomic_uint open;
    atomic_bool leave;
} crowd;

/* Says hello, and goes on when it is answered; stays until all are in. */
static void *come_in(void *arg)
{
    struct rig_tap tap;
    struct cw_span hello;

    rig_tap_open(&tap, rig_peer_tcp(crowd.port), &(struct rig_tap_setup){0});
    hello = rig_tap_hello(&tap);
    rig_peer_send(&tap.peer, hello.data, hello.len);
    atomic_fetch_add(&crowd.waiting, 1);
    rig_check(rig_tap_handshake(&tap) == 0);
    rig_tap_expect_echo(&tap, "in");
    atomic_fetch_add(&crowd.open, 1);
    rig_await(atomic_load(&crowd.leave));
    rig_tap_notify(&tap);
    rig_check(rig_tap_end(&tap) == RIG_CLOSE_NOTIFY);
    rig_tap_close(&tap);
    return NULL;
}

/* Threads that the server starts from here on have one processor; the test's own stay as they are. */
static void begin_on_one_processor(struct rig_tls_scene *scene)
{
    const struct cw_server_options options = {.handshake_ms = RIG_DEADLINE_MS};
    cpu_set_t all;
    cpu_set_t one;
    int first = 0;

    rig_check(sched_getaffinity(0, sizeof all, &all) == 0);
    while (!CPU_ISSET(first, &all)) {
        first++;
    }
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    rig_check(sched_setaffinity(0, sizeof one, &one) == 0);
    rig_tls_begin(scene, &options, NULL);
    rig_check(sched_setaffinity(0, sizeof all, &all) == 0);
}

static void expect_all_in(unsigned count)
{
    struct rig_tls_scene scene;
    pthread_t threads[MANY_MAX];

    begin_on_one_processor(&scene);
    memset(&crowd, 0, sizeof crowd);
    crowd.port = scene.port;
    hold_loop(scene.host);
    for (unsigned i = 0; i < count; i++) {
        rig_check(pthread_create(&threads[i], NULL, come_in, NULL) == 0);
    }
    rig_await(atomic_load(&crowd.waiting) == count);
    release_loop();
    rig_await(atomic_load(&crowd.open) == count);
    cr_expect_eq(atomic_load(&scene.story.opened), count);
    atomic_store(&crowd.leave, true);
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_expect_eq(atomic_load(&scene.story.errors), 0, "%s", scene.story.report.text);
    rig_tls_end(&scene);
}

Test(tls_turns, sixty_four_that_begin_at_once_on_one_processor_are_all_let_in)
{
    expect_all_in(64);
}

Test(tls_turns, two_hundred_that_begin_at_once_on_one_processor_are_all_let_in)
{
    expect_all_in(200);
}

/* ---- decrypted, and no room for it ---- */

enum { RECORD = 16384, RECORDS = 5, LAST_PART = 400, SEVERAL_TURNS = 3 };

static struct rig_host *start_reading(struct rig_story *story,
                                      const struct cw_server_options *options)
{
    struct cw_server *server = cw_create_server(&cw_tcp);
    const struct cw_tls_options tls = {.cert = pki("server.pem"), .key = pki("server.key")};
    const struct cw_listen_options listen = {
        .host = "127.0.0.1", .tcp = {.receive_buffer_bytes = 1 << 20}, .tls = &tls};

    memset(story, 0, sizeof *story);
    rig_check(cw_server_configure(server, options) == CW_OK);
    rig_check(cw_server_listen(server, &listen) == CW_OK);
    return rig_host_start(server, &rig_story_hooks, story);
}

/* Most of a record, which the library keeps to itself; then, in one read, the rest of it and four more. What comes out of
 * them is more than a read has room for, of all that went in nothing is left, and from the peer comes nothing more. */
static void send_more_than_fits(struct rig_host *host, struct rig_tap *tap)
{
    uint8_t *bytes = rig_pattern_new(RECORDS * RECORD);
    struct cw_span records = rig_tap_records(tap, bytes, RECORDS * RECORD);
    size_t first = records.len / RECORDS - LAST_PART;

    rig_peer_send(&tap->peer, records.data, first);
    rig_await(rig_peer_has_arrived(&tap->peer));
    for (unsigned i = 0; i < SEVERAL_TURNS; i++) {
        rig_host_run(host, 0, rig_pass, NULL);
    }
    hold_loop(host);
    rig_peer_send(&tap->peer, records.data + first, records.len - first);
    rig_await(rig_peer_has_arrived(&tap->peer));
    release_loop();
    free(bytes);
}

static void expect_every_byte(const struct cw_server_options *options)
{
    for (int version = 12; version <= RIG_TLS_NEWEST; version++) {
        struct rig_story story;
        struct rig_host *host = start_reading(&story, options);
        struct rig_tap tap;

        rig_tap_connect(&tap, rig_host_port(host, 0), version);
        rig_await(atomic_load(&story.opened) == 1);
        for (size_t round = 1; round <= 3; round++) {
            send_more_than_fits(host, &tap);
            rig_await(atomic_load(&story.bytes) == round * RECORDS * RECORD);
        }
        rig_tap_notify(&tap);
        cr_assert_eq(rig_tap_end(&tap), RIG_CLOSE_NOTIFY);
        rig_tap_close(&tap);
        rig_host_end(host);
    }
}

Test(tls_turns, what_was_decrypted_and_had_no_room_is_read_without_another_event)
{
    expect_every_byte(&(struct cw_server_options){0});
}

Test(tls_turns, what_was_decrypted_and_had_no_turn_any_more_is_read_in_the_next)
{
    expect_every_byte(&(struct cw_server_options){.reads_per_turn_bytes = RECORD});
}
