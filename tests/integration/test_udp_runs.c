/* What one turn brings to several peers: gathered into runs, and each gets all of its own, in its order. */
#include "support/leak.h"
#include "support/udp_scene.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <string.h>

TestSuite(udp_runs, .fini = rig_expect_no_leak, .timeout = 60);

enum { GUESTS = 5, SAID = 96, LONGEST = 1500 };

static struct rig_scene scene;
static struct rig_udp guests[GUESTS];
static uint64_t heard; /* by all of them */

/* To whom one goes. */
enum audience { ALL, ALL_BUT_SPEAKER, SPEAKER, AUDIENCES };

/* Lengths that begin runs, end them and fit none; bytes that are those of the one before, or not. */
static size_t word(unsigned i, uint8_t *text)
{
    static const size_t lengths[] = {8, 8, 8, 8, 8, 8, 3, 8, 0, 8, 40, 40, 1400, 1400, LONGEST, 8};
    size_t len = lengths[i % (sizeof lengths / sizeof *lengths)];

    memset(text, 'a' + (int)(i / 5 % 26), len);
    return len;
}

static enum audience audience_of(unsigned i)
{
    return i < SAID / 2 ? (i % AUDIENCES) : ALL;
}

static void join(struct cw_conn *conn, void *user)
{
    rig_story_on_connection(conn, user);
    cr_assert_eq(cw_room_join(conn, "hall"), CW_OK);
}

static void say(struct cw_conn *conn, unsigned i)
{
    struct cw_room_send_options options = {0};
    uint8_t text[LONGEST];
    const struct cw_message msg = {.body = cw_span_of(text, word(i, text))};

    if (audience_of(i) == SPEAKER) {
        cw_conn_send(conn, &msg);
        return;
    }
    options.except = audience_of(i) == ALL_BUT_SPEAKER ? cw_conn_id(conn) : 0;
    cw_room_send(cw_conn_server(conn), "hall", &msg, &options);
}

static void say_much(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    if (msg->body.len > 0 && msg->body.data[0] == '!') {
        for (unsigned i = 0; i < SAID; i++) {
            say(conn, i);
        }
    } else {
        cw_conn_send(conn, msg);
    }
}

static void expect_all(struct rig_udp *guest, bool speaker)
{
    for (unsigned i = 0; i < SAID; i++) {
        uint8_t text[LONGEST];
        size_t len = word(i, text);

        if (audience_of(i) != (speaker ? ALL_BUT_SPEAKER : SPEAKER)) {
            rig_udp_expect_bytes(guest, text, len);
            heard++;
        }
    }
    rig_udp_expect_echo(guest, "that was all");
    heard++;
}

static void expect_much(const struct rig_udp_setup *options)
{
    struct cw_hooks hooks = rig_story_with_data(say_much);
    struct rig_udp_setup setup = *options;

    heard = 0;
    hooks.on_connection = join;
    setup.hooks = &hooks;
    rig_udp_begin(&scene, &setup);
    for (int i = 0; i < GUESTS; i++, heard++) {
        guests[i] = rig_udp_peer(&scene);
        rig_udp_expect_echo(&guests[i], "here I am");
    }
    for (int i = 0; i < GUESTS; i++) {
        rig_udp_send_text(&guests[i], "!");
        for (int j = 0; j < GUESTS; j++) {
            expect_all(&guests[j], i == j);
        }
    }
    rig_udp_await(&scene, sent, heard);
    for (int i = 0; i < GUESTS; i++) {
        rig_udp_close(&guests[i]);
    }
    rig_scene_end(&scene);
}

Test(udp_runs, each_gets_all_that_one_turn_brings_in_its_order)
{
    expect_much(&(struct rig_udp_setup){.datagram = {.amplification = CW_NO_LIMIT}});
}

Test(udp_runs, so_it_is_without_offload)
{
    expect_much(
        &(struct rig_udp_setup){.datagram = {.amplification = CW_NO_LIMIT, .no_offload = true}});
}

Test(udp_runs, so_it_is_from_a_socket_of_all_addresses)
{
    expect_much(
        &(struct rig_udp_setup){.host = "0.0.0.0", .datagram = {.amplification = CW_NO_LIMIT}});
}
