/* In steady state a message costs no allocation. */
#include "support/leak.h"
#include "support/memory.h"
#include "support/scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(no_allocation, .fini = rig_expect_no_leak, .timeout = 120);

enum { MESSAGES = 1600 };

/* So many frames of that size; `depth` of them are under way. */
static void echo_many(struct rig_peer *peer, size_t size, int depth, int count)
{
    size_t frame = size + 4;
    uint8_t *out = malloc(frame * (size_t)depth);
    uint8_t *back = malloc(frame * (size_t)depth);

    cr_assert_not_null(out);
    cr_assert_not_null(back);
    for (int i = 0; i < depth; i++) {
        uint8_t *at = out + (size_t)i * frame;
        at[0] = 0;
        at[1] = (uint8_t)(size >> 16);
        at[2] = (uint8_t)(size >> 8);
        at[3] = (uint8_t)size;
        memset(at + 4, 'a' + i % 26, size);
    }
    for (int i = 0; i < count; i += depth) {
        rig_peer_send(peer, out, frame * (size_t)depth);
        rig_peer_receive(peer, back, frame * (size_t)depth);
        cr_assert_eq(memcmp(back, out, frame * (size_t)depth), 0);
    }
    free(out);
    free(back);
}

/* What may happen to a frame on its way happens once before anything is counted: it comes in pieces. */
static void warm_up(struct rig_peer *peer, size_t size, int depth)
{
    uint8_t *frame = calloc(1, size + 4);
    uint8_t *back = malloc(size + 4);

    cr_assert_not_null(frame);
    cr_assert_not_null(back);
    frame[1] = (uint8_t)(size >> 16);
    frame[2] = (uint8_t)(size >> 8);
    frame[3] = (uint8_t)size;
    for (size_t piece = 3; piece < size; piece *= 20) {
        rig_peer_send_slowly(peer, frame, piece, piece);
        rig_peer_send(peer, frame + piece, size + 4 - piece);
        rig_peer_receive(peer, back, size + 4);
    }
    free(frame);
    free(back);
    echo_many(peer, size, depth, 50 * depth);
}

struct talk {
    struct rig_peer *peer;
    size_t size;
    int depth;
};

static void talk(void *arg)
{
    const struct talk *with = arg;

    echo_many(with->peer, with->size, with->depth, MESSAGES);
}

static void expect_none(const struct cw_protocol *protocol, size_t size, int depth)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_scene scene;
    uint64_t calls;

    rig_memory_count();
    rig_scene_begin(&scene, protocol, NULL, &hooks);
    rig_scene_conn(&scene);
    warm_up(&scene.peer, size, depth);
    calls = rig_memory_least(talk, &(struct talk){&scene.peer, size, depth});
    cr_expect_eq(calls, 0, "%d allocations for %d messages of %zu bytes, %d at a time", (int)calls,
                 MESSAGES, size, depth);
    cr_expect_gt(rig_memory_calls(), 0, "allocations are counted at all");
    rig_scene_end(&scene);
}

Test(no_allocation, an_echo_of_64_bytes_allocates_nothing)
{
    expect_none(&cw_framed, 64, 1);
}

Test(no_allocation, sixteen_echoes_of_64_bytes_at_a_time_allocate_nothing)
{
    expect_none(&cw_framed, 64, 16);
}

Test(no_allocation, an_echo_of_64_KiB_allocates_nothing)
{
    expect_none(&cw_framed, 65536, 1);
}

Test(no_allocation, an_echo_of_bytes_as_they_come_allocates_nothing)
{
    expect_none(&cw_tcp, 64, 1);
}

/* A message cut at any point waits in the input buffer. */
Test(no_allocation, an_echo_that_trickles_in_allocates_little)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_scene scene;
    uint64_t before;
    char back[16];

    rig_memory_count();
    rig_scene_begin(&scene, &cw_framed, NULL, &hooks);
    rig_scene_conn(&scene);
    before = rig_memory_calls();
    for (int i = 0; i < 20; i++) {
        rig_peer_send_slowly(&scene.peer, "\0\0\0\5hello", 9, 4);
        cr_assert_eq(rig_peer_receive_frame(&scene.peer, back, sizeof back), 5);
    }
    cr_expect_leq(rig_memory_calls() - before, 24, "%d for 20 messages",
                  (int)(rig_memory_calls() - before));
    rig_scene_end(&scene);
}

static void post_nothing(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    atomic_fetch_add((atomic_uint *)arg, 1);
}

Test(no_allocation, a_post_allocates_nothing)
{
    atomic_uint runs = 0;
    struct rig_host *host;
    uint64_t before = 0;

    rig_memory_count();
    host = rig_host_start(rig_server(&cw_tcp, NULL), NULL, NULL);
    for (unsigned i = 1; i <= 2000; i++) {
        if (i == 1000) {
            before = rig_memory_calls();
        }
        cr_assert_eq(cw_server_post(rig_host_server(host), 0, post_nothing, &runs), CW_OK);
        rig_await(atomic_load(&runs) == i);
    }
    cr_expect_eq(rig_memory_calls(), before);
    rig_host_end(host);
}
