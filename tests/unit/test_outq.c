/* The output queue: copied, shared and pulled, in order, counted. */
#include "outq.h"
#include "support/leak.h"
#include "support/scene.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct cw_outq_pool pool;
static struct cw_outq *queue;

static void open_queue(void)
{
    cr_assert(cw_outq_ensure(&queue, &pool, 7));
}

static void release_queue(void)
{
    cw_outq_clear(&queue, &pool, CW_ECLOSED);
    cr_expect_null(queue);
    cr_expect_eq(pool.bytes, 0);
    cw_outq_pool_release(&pool);
    rig_expect_no_leak();
}

TestSuite(outq, .init = open_queue, .fini = release_queue, .timeout = 60);

static void copy(const void *data, size_t len)
{
    struct cw_span part = cw_span_of(data, len);

    cr_assert(cw_outq_copy(queue, &pool, &part, 1, 0));
}

/* Takes everything up to the first source, `most` bytes at a time, and appends it to `to`. */
static size_t drink(uint8_t *to, size_t most)
{
    struct iovec iov[64];
    size_t len = 0;
    size_t total;

    while (cw_outq_gather(queue, iov, 64, &total) > 0) {
        size_t n = total < most ? total : most;
        size_t left = n;
        for (int i = 0; left > 0; i++) {
            size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
            memcpy(to + len, iov[i].iov_base, part);
            len += part;
            left -= part;
        }
        cw_outq_advance(queue, &pool, n);
    }
    return len;
}

Test(outq, parts_come_out_as_they_went_in)
{
    const struct cw_span parts[] = {cw_span_text("one"), cw_span_text(""), cw_span_text("two"),
                                    cw_span_text("three")};
    uint8_t out[32];

    cr_assert(cw_outq_copy(queue, &pool, parts, 4, 0));
    cr_expect_eq(queue->bytes, 11);
    cr_expect_eq(pool.bytes, 11);
    cr_expect_eq(drink(out, 100), 11);
    cr_expect_arr_eq(out, "onetwothree", 11);
    cr_expect_eq(queue->bytes, 0);
    cr_expect_null(queue->head);
    cr_expect_null(queue->tail);
}

Test(outq, skipped_bytes_are_left_out_across_parts)
{
    const struct cw_span parts[] = {cw_span_text("one"), cw_span_text("two"), cw_span_text("three")};
    uint8_t out[32];

    for (size_t skip = 0; skip <= 11; skip++) {
        cr_assert(cw_outq_copy(queue, &pool, parts, 3, skip));
        cr_expect_eq(drink(out, 100), 11 - skip);
        cr_expect_arr_eq(out, &"onetwothree"[skip], 11 - skip);
    }
}

Test(outq, sizes_around_every_class_of_memory_arrive_whole_in_any_steps)
{
    static const size_t sizes[] = {1, 2, 1990, 2030, 2048, 2049, 16300, 16384, 16385, 70000};
    static const size_t steps[] = {1, 7, 2048, 100000};
    uint8_t *bytes = rig_pattern_new(200000);
    uint8_t *out = malloc(300000);

    cr_assert_not_null(out);
    for (size_t step = 0; step < sizeof steps / sizeof steps[0]; step++) {
        size_t at = 0;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            copy(bytes + at, sizes[i]);
            at += sizes[i];
        }
        cr_expect_eq(queue->bytes, at);
        cr_expect_eq(drink(out, steps[step]), at);
        cr_expect_eq(memcmp(out, bytes, at), 0);
    }
    free(bytes);
    free(out);
}

Test(outq, small_writes_share_memory)
{
    size_t nodes = 0;

    for (int i = 0; i < 100; i++) {
        copy("0123456789", 10);
    }
    for (struct cw_out_node *node = queue->head; node; node = node->next) {
        nodes++;
    }
    cr_expect_eq(nodes, 1);
}

Test(outq, in_steady_state_nodes_and_queues_come_from_the_free_lists)
{
    struct cw_outq *first = queue;
    struct cw_out_node *node;
    uint8_t out[4096];

    copy("x", 1);
    node = queue->head;
    drink(out, 100);
    cw_outq_settle(&queue, &pool);
    cr_expect_null(queue);
    cr_assert(cw_outq_ensure(&queue, &pool, 9));
    cr_expect_eq(queue, first);
    cr_expect_eq(queue->since, 9);
    cr_expect_eq(queue->bytes, 0);
    copy("y", 1);
    cr_expect_eq(queue->head, node);
}

Test(outq, a_queue_that_holds_something_is_not_given_back)
{
    copy("x", 1);
    cw_outq_settle(&queue, &pool);
    cr_expect_not_null(queue);
}

/* ---- shared ---- */

static struct cw_payload *payload(const char *text)
{
    struct cw_span part = cw_span_text(text);
    struct cw_payload *made = cw_payload_new(&part, 1);

    cr_assert_not_null(made);
    return made;
}

Test(outq, shared_bytes_are_not_copied_and_are_held_until_they_are_gone)
{
    struct cw_payload *shared = payload("shared");
    struct iovec iov[4];
    size_t total;
    uint8_t out[32];

    copy("a", 1);
    cr_assert(cw_outq_share(queue, &pool, shared, NULL));
    copy("b", 1);
    cr_expect_eq(cw_outq_gather(queue, iov, 4, &total), 3);
    cr_expect_eq(iov[1].iov_base, cw_payload_span(shared).data);
    cw_payload_drop(shared); /* the queue has a hold of its own */
    cr_expect_eq(queue->shared_count, 1);
    cr_expect_eq(drink(out, 3), 8);
    cr_expect_arr_eq(out, "asharedb", 8);
    cr_expect_eq(queue->shared_count, 0);
}

Test(outq, two_shared_go_in_together)
{
    struct cw_payload *head = payload("head");
    struct cw_payload *body = payload("body");
    uint8_t out[32];

    cr_assert(cw_outq_share2(queue, &pool, head, body));
    cr_assert(cw_outq_share2(queue, &pool, NULL, body));
    cr_expect_eq(queue->shared_count, 3);
    cr_expect_eq(drink(out, 100), 12);
    cr_expect_arr_eq(out, "headbodybody", 12);
    cw_payload_drop(head);
    cw_payload_drop(body);
}

static void share_text(const char *text, struct cw_out_mark *mark)
{
    struct cw_payload *made = payload(text);

    cr_assert(cw_outq_share(queue, &pool, made, mark));
    cw_payload_drop(made);
}

Test(outq, dropping_takes_whole_messages_of_rooms_that_have_not_begun_oldest_first)
{
    struct cw_out_mark here = {0};
    struct cw_out_mark there = {0};
    uint8_t out[64];

    share_text("aaaa", &here);
    share_text("bbbb", &there);
    copy("own", 3);
    share_text("cccc", &here);
    share_text("dddd", NULL);
    share_text("eeee", &here);
    cr_expect_eq(queue->shared_bytes, 16);
    cw_outq_advance(queue, &pool, 1); /* the first has begun: it stays */
    cr_expect_eq(queue->shared_bytes, 15);
    cr_expect_eq(cw_outq_drop_oldest(queue, &pool, 1), 1);
    cr_expect_eq(cw_outq_drop_oldest(queue, &pool, 100000), 2);
    cr_expect_eq(cw_outq_drop_oldest(queue, &pool, 100000), 0);
    cr_expect_eq(queue->bytes, 3 + 3 + 4);
    cr_expect_eq(drink(out, 100), 10);
    cr_expect_arr_eq(out, "aaaowndddd", 10);
    copy("tail", 4); /* the end was found again */
    cr_expect_eq(drink(out, 100), 4);
    cr_expect_eq(queue->shared_bytes, 0);
}

Test(outq, one_rooms_messages_are_dropped_and_no_others)
{
    struct cw_out_mark here = {0};
    struct cw_out_mark there = {0};
    uint8_t out[64];

    share_text("aaaa", &here);
    share_text("bbbb", &there);
    copy("own", 3);
    share_text("cccc", &here);
    share_text("dddd", NULL);
    share_text("eeee", &here);
    cw_outq_advance(queue, &pool, 1);
    cr_expect_eq(cw_outq_drop_marked(queue, &pool, &here), 2);
    cr_expect_eq(cw_outq_drop_marked(queue, &pool, &here), 0);
    share_text("ffff", &here);
    cr_expect_eq(cw_outq_drop_marked(queue, &pool, &there), 1);
    cr_expect_eq(drink(out, 100), 14);
    cr_expect_arr_eq(out, "aaaownddddffff", 14);
    cr_expect_eq(cw_outq_drop_marked(queue, &pool, &here), 0, "it has left the queue");
}

Test(outq, a_mark_of_what_has_left_does_not_touch_what_took_its_place)
{
    struct cw_out_mark here = {0};
    struct cw_out_mark there = {0};
    uint8_t out[64];

    share_text("aaaa", &here);
    cr_expect_eq(drink(out, 100), 4);
    share_text("bbbb", &there); /* in the same memory */
    cr_expect_eq(cw_outq_drop_marked(queue, &pool, &here), 0);
    cr_expect_eq(drink(out, 100), 4);
    cr_expect_arr_eq(out, "bbbb", 4);
}

Test(outq, the_tail_is_right_after_the_last_was_dropped)
{
    struct cw_out_mark mark = {0};
    uint8_t out[64];

    share_text("aaaa", &mark);
    share_text("aaaa", &mark);
    cr_expect_eq(cw_outq_drop_oldest(queue, &pool, 100000), 2);
    cr_expect_null(queue->head);
    cr_expect_null(queue->tail);
    copy("x", 1);
    share_text("aaaa", &mark);
    cr_expect_eq(cw_outq_drop_marked(queue, &pool, &mark), 1);
    copy("y", 1);
    cr_expect_eq(drink(out, 100), 2);
    cr_expect_arr_eq(out, "xy", 2);
}

/* ---- sources ---- */

static int done_code;
static int done_count;

static void done(int code, void *user)
{
    done_code = code;
    done_count++;
}

static void add_source(void)
{
    struct cw_out_node *node = cw_outq_source_node(&pool);

    cr_assert_not_null(node);
    cw_outq_add_source(queue, node, &(struct cw_out_source){.done = done, .left = 10});
}

Test(outq, gathering_stops_at_a_source)
{
    uint8_t out[32];

    copy("before", 6);
    add_source();
    copy("after", 5);
    cr_expect_eq(queue->bytes, 11, "a source does not count");
    cr_expect_eq(drink(out, 100), 6);
    cr_expect_eq(queue->head->kind, CW_OUT_SOURCE);
    cw_outq_pop(queue, &pool, CW_OK);
    cr_expect_eq(done_count, 1);
    cr_expect_eq(done_code, CW_OK);
    cr_expect_eq(drink(out, 100), 5);
    cr_expect_arr_eq(out, "after", 5);
}

Test(outq, a_sources_bytes_go_before_it)
{
    struct cw_out_node *node;
    uint8_t out[32];

    add_source();
    copy("after", 5);
    node = cw_outq_open_head(queue, &pool);
    cr_assert_not_null(node);
    memcpy(node->as.bytes, "pulled", 6);
    cw_outq_filled(queue, &pool, node, 6);
    cr_expect_eq(drink(out, 4), 6);
    cr_expect_arr_eq(out, "pulled", 6);
    cr_expect_eq(queue->head->kind, CW_OUT_SOURCE);
}

Test(outq, clearing_tells_every_source_why_and_closes_files)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct cw_out_node *node = cw_outq_source_node(&pool);

    add_source();
    cw_outq_add_file(queue, node, &(struct cw_out_file){.fd = fd, .len = 1, .done = done});
    copy("x", 1);
    cw_outq_clear(&queue, &pool, CW_ERESET);
    cr_expect_null(queue);
    cr_expect_eq(done_count, 2);
    cr_expect_eq(done_code, CW_ERESET);
    cr_expect_eq(fcntl(fd, F_GETFD), -1);
}

Test(outq, sources_that_wait_are_woken)
{
    add_source();
    cr_expect(!cw_outq_wake_sources(queue));
    queue->head->as.source.waiting = true;
    cr_expect(cw_outq_wake_sources(queue));
    cr_expect(!queue->head->as.source.waiting);
}

/* ---- no memory ---- */

static int allocations_left;

static void *few_alloc(size_t size)
{
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void *few_resize(void *memory, size_t size)
{
    return allocations_left-- > 0 ? realloc(memory, size) : NULL;
}

Test(outq, without_memory_nothing_is_queued_and_nothing_lost)
{
    uint8_t *bytes = rig_pattern_new(50000);
    uint8_t out[64];
    const struct cw_span part = {bytes, 50000};
    struct cw_payload *a = payload("aaaa");

    copy("kept", 4);
    cw_allocator_set(&(struct cw_allocator){few_alloc, few_resize, free});
    cr_expect(!cw_outq_copy(queue, &pool, &part, 1, 0));
    cr_expect_eq(queue->bytes, 4);
    cr_expect(!cw_outq_share(queue, &pool, a, NULL));
    allocations_left = 1;
    cr_expect(!cw_outq_share2(queue, &pool, a, a), "both or none");
    cr_expect_eq(queue->shared_count, 0);
    cr_expect_eq(drink(out, 100), 4);
    cr_expect_arr_eq(out, "kept", 4);
    cw_allocator_set(NULL);
    cw_payload_drop(a);
    free(bytes);
}

/* Gives a queue and a small node back to the pool. */
static void fill_pool(void)
{
    uint8_t taken[8];

    copy("once", 4);
    cr_assert_eq(drink(taken, SIZE_MAX), 4);
    cw_outq_settle(&queue, &pool);
    cr_assert_null(queue);
}

Test(outq, begins_with_what_the_loop_keeps_or_not_at_all)
{
    struct cw_outq *other = NULL;

    cr_expect(!cw_outq_begin(&other, &pool, 7));
    cr_expect_null(other);
    fill_pool();
    cr_assert(cw_outq_begin(&queue, &pool, 9));
    cr_expect_eq(queue->since, 9);
    cr_expect_eq(queue->bytes, 0);
    cr_expect(!cw_outq_begin(&other, &pool, 7));
    memcpy(cw_outq_extend(queue, &pool, 5), "bytes", 5);
    cr_expect_eq(pool.bytes, 5);
}

Test(outq, extends_by_what_fits_behind_the_last_bytes)
{
    uint8_t taken[16];
    struct cw_out_node *tail;

    cr_expect_null(cw_outq_extend(queue, &pool, 1), "nothing to be behind");
    copy("first ", 6);
    tail = queue->tail;
    memcpy(cw_outq_extend(queue, &pool, 6), "second", 6);
    cr_expect_eq(queue->bytes, 12);
    cr_expect_null(cw_outq_extend(queue, &pool, tail->cap - 11));
    cr_expect_eq(queue->bytes, 12);
    cr_expect_eq(drink(taken, 7), 12);
    cr_expect_arr_eq(taken, "first second", 12);
}

Test(outq, a_single_node_that_was_taken_goes_back_whole)
{
    fill_pool();
    cr_assert(cw_outq_begin(&queue, &pool, 7));
    memcpy(cw_outq_extend(queue, &pool, 5), "bytes", 5);
    cr_expect(cw_outq_is_single(queue));
    cw_outq_end_single(queue, &pool);
    cr_expect_eq(pool.bytes, 0);
    cr_expect_null(queue->head);
    cr_expect_null(queue->tail);
    cw_outq_settle(&queue, &pool);
    cr_expect(cw_outq_begin(&queue, &pool, 7), "both are there again");
    memcpy(cw_outq_extend(queue, &pool, 1), "x", 1);
}

Test(outq, two_nodes_or_a_shared_one_are_not_single)
{
    struct cw_span part = cw_span_of("shared", 6);
    struct cw_payload *payload = cw_payload_new(&part, 1);

    cr_assert(cw_outq_share(queue, &pool, payload, NULL));
    cr_expect(!cw_outq_is_single(queue));
    copy("more", 4);
    cr_expect(!cw_outq_is_single(queue));
    cw_payload_drop(payload);
}
