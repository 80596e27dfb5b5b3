#include "support/leak.h"

#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/middleware/rate_limit.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* A connection and a loop that know no more than this middleware asks for. */
struct cw_loop {
    uint64_t now_ms;
};
struct cw_conn {
    struct cw_loop loop;
    uint64_t paused_ms;
};

uint64_t cw_loop_now_ms(const struct cw_loop *loop)
{
    return loop->now_ms;
}

struct cw_loop *cw_conn_loop(const struct cw_conn *conn)
{
    return (struct cw_loop *)(uintptr_t)&conn->loop;
}

int cw_conn_pause_for(struct cw_conn *conn, uint64_t ms)
{
    conn->paused_ms = ms;
    return CW_OK;
}

static struct cw_conn_middleware *limit;
static void *slot;
static struct cw_conn conn;
static char logged[500];

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    snprintf(logged, sizeof logged, "%s", text);
}

static void keep_log(void)
{
    cw_log_set(keep_line, NULL);
}

static void release_all(void)
{
    if (limit != NULL) {
        limit->release(limit);
    }
    free(slot);
    slot = NULL;
    limit = NULL;
    rig_expect_no_leak();
}

TestSuite(rate_limit, .init = keep_log, .fini = release_all, .timeout = 30);

static void begin(const struct cw_rate_limit_options *options)
{
    limit = cw_rate_limit(options);
    cr_assert_not_null(limit, "%s", logged);
    slot = calloc(1, limit->conn_size);
    cr_assert_not_null(slot);
    conn = (struct cw_conn){.loop = {.now_ms = 1000}};
}

static int piece(enum cw_part part, size_t len, uint64_t total)
{
    static const uint8_t bytes[1000];
    struct cw_message msg = {.body = cw_span_of(bytes, len), .part = part, .total = total};

    conn.paused_ms = 0;
    return limit->on_message(limit, &conn, slot, &msg);
}

static int message(size_t len)
{
    return piece(CW_WHOLE, len, 0);
}

Test(rate_limit, without_rates_everything_passes)
{
    begin(NULL);
    for (int i = 0; i < 100; i++) {
        cr_expect_eq(message(1000), CW_PASS);
        cr_expect_eq(conn.paused_ms, 0);
    }
}

Test(rate_limit, pausing_delivers_and_rests_until_the_next_may_come)
{
    begin(&(struct cw_rate_limit_options){.messages_per_s = 10, .messages_burst = 2});
    cr_expect_eq(message(1), CW_PASS);
    cr_expect_eq(conn.paused_ms, 0);
    cr_expect_eq(message(1), CW_PASS);
    cr_expect_eq(conn.paused_ms, 100);
    conn.loop.now_ms += 100;
    cr_expect_eq(message(1), CW_PASS);
    cr_expect_eq(conn.paused_ms, 100);
    conn.loop.now_ms += 200;
    cr_expect_eq(message(1), CW_PASS);
    cr_expect_eq(conn.paused_ms, 0);
}

static void count_limit(struct cw_conn *at, void *user)
{
    cr_expect_eq(at, &conn);
    (*(int *)user)++;
}

Test(rate_limit, who_rests_is_told_once_until_all_of_the_burst_was_there_again)
{
    int told = 0;

    begin(&(struct cw_rate_limit_options){.messages_per_s = 10,
                                          .messages_burst = 2,
                                          .bytes_per_s = 1000,
                                          .on_limit = count_limit,
                                          .user = &told});
    message(1);
    cr_expect_eq(told, 0);
    message(1);
    cr_expect_eq(told, 1);
    conn.loop.now_ms += 100;
    message(1);
    cr_expect_eq(told, 1);
    conn.loop.now_ms += 199;
    message(1);
    message(1);
    cr_expect_eq(told, 1);
    conn.loop.now_ms += 1000;
    message(1000); /* the other limit counts as well */
    cr_expect_eq(told, 2);
}

Test(rate_limit, who_has_a_message_dropped_is_told_once_too)
{
    int told = 0;

    begin(&(struct cw_rate_limit_options){
        .messages_per_s = 1, .action = CW_RATE_DROP, .on_limit = count_limit, .user = &told});
    cr_expect_eq(message(1), CW_PASS);
    cr_expect_eq(told, 0);
    cr_expect_eq(message(1), CW_DROP);
    cr_expect_eq(message(1), CW_DROP);
    cr_expect_eq(told, 1);
    conn.loop.now_ms += 1000;
    cr_expect_eq(message(1), CW_PASS);
    cr_expect_eq(message(1), CW_DROP);
    cr_expect_eq(told, 2);
}

Test(rate_limit, pausing_waits_out_a_message_larger_than_the_burst)
{
    begin(&(struct cw_rate_limit_options){.bytes_per_s = 100});
    cr_expect_eq(message(1000), CW_PASS);
    cr_expect_eq(conn.paused_ms, 9010); /* nine seconds of debt, and then one byte */
}

Test(rate_limit, the_longer_of_both_rests_counts)
{
    begin(&(struct cw_rate_limit_options){.messages_per_s = 1, .bytes_per_s = 1000});
    cr_expect_eq(message(1), CW_PASS);
    cr_expect_eq(conn.paused_ms, 1000);
    conn.loop.now_ms += 1000;
    cr_expect_eq(message(1000), CW_PASS);
    cr_expect_eq(conn.paused_ms, 1000);
    conn.loop.now_ms += 1000;
    cr_expect_eq(message(1000), CW_PASS);
    cr_expect_eq(conn.paused_ms, 1000);
}

Test(rate_limit, one_second_of_the_rate_is_the_standard_burst)
{
    begin(&(struct cw_rate_limit_options){.messages_per_s = 3, .action = CW_RATE_DROP});
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(message(1), CW_PASS);
    }
    cr_expect_eq(message(1), CW_DROP);
}

Test(rate_limit, dropping_drops_what_is_above_the_rate_and_nothing_else)
{
    begin(&(struct cw_rate_limit_options){.bytes_per_s = 1000, .action = CW_RATE_DROP});
    cr_expect_eq(message(600), CW_PASS);
    cr_expect_eq(message(401), CW_DROP);
    cr_expect_eq(message(400), CW_PASS);
    cr_expect_eq(message(1), CW_DROP);
    conn.loop.now_ms += 1;
    cr_expect_eq(message(1), CW_PASS);
    cr_expect_eq(conn.paused_ms, 0);
}

Test(rate_limit, a_message_dropped_for_its_bytes_takes_no_turn)
{
    begin(&(struct cw_rate_limit_options){
        .messages_per_s = 1, .bytes_per_s = 10, .action = CW_RATE_DROP});
    cr_expect_eq(message(11), CW_DROP);
    cr_expect_eq(message(10), CW_PASS);
}

Test(rate_limit, a_message_in_pieces_is_dropped_whole_or_not_at_all)
{
    begin(&(struct cw_rate_limit_options){.bytes_per_s = 1000, .action = CW_RATE_DROP});
    cr_expect_eq(piece(CW_BEGIN, 0, 1000), CW_PASS);
    cr_expect_eq(piece(CW_CHUNK, 900, 0), CW_PASS);
    cr_expect_eq(piece(CW_CHUNK, 100, 0), CW_PASS);
    cr_expect_eq(piece(CW_END, 0, 0), CW_PASS);
    cr_expect_eq(piece(CW_BEGIN, 0, 1), CW_DROP);
    conn.loop.now_ms += 1000;
    cr_expect_eq(piece(CW_CHUNK, 1, 0), CW_DROP);
    cr_expect_eq(piece(CW_END, 0, 0), CW_DROP);
    cr_expect_eq(message(1000), CW_PASS);
}

Test(rate_limit, a_message_in_pieces_counts_once)
{
    begin(&(struct cw_rate_limit_options){.messages_per_s = 1, .action = CW_RATE_CLOSE});
    cr_expect_eq(piece(CW_BEGIN, 0, 2), CW_PASS);
    cr_expect_eq(piece(CW_CHUNK, 2, 0), CW_PASS);
    cr_expect_eq(piece(CW_END, 0, 0), CW_PASS);
    cr_expect_eq(piece(CW_BEGIN, 0, 2), CW_ERATE);
}

Test(rate_limit, closing_closes_at_the_first_message_above_the_rate)
{
    begin(&(struct cw_rate_limit_options){
        .messages_per_s = 1000, .messages_burst = 2, .action = CW_RATE_CLOSE});
    cr_expect_eq(message(1), CW_PASS);
    cr_expect_eq(message(1), CW_PASS);
    cr_expect_eq(message(1), CW_ERATE);
}

Test(rate_limit, pieces_count_their_bytes_as_they_come)
{
    begin(&(struct cw_rate_limit_options){.bytes_per_s = 1000, .action = CW_RATE_CLOSE});
    cr_expect_eq(piece(CW_BEGIN, 0, 2000), CW_PASS);
    cr_expect_eq(piece(CW_CHUNK, 1000, 0), CW_PASS);
    conn.loop.now_ms += 1000;
    cr_expect_eq(piece(CW_CHUNK, 1000, 0), CW_PASS);
    cr_expect_eq(piece(CW_END, 0, 0), CW_PASS);
}

Test(rate_limit, options_without_sense_are_refused_by_name)
{
    cr_expect_null(cw_rate_limit(&(struct cw_rate_limit_options){.messages_burst = 1}));
    cr_expect_str_eq(logged, "rate_limit: messages_burst needs messages_per_s");
    cr_expect_null(cw_rate_limit(&(struct cw_rate_limit_options){.bytes_burst = 1}));
    cr_expect_str_eq(logged, "rate_limit: bytes_burst needs bytes_per_s");
    cr_expect_null(cw_rate_limit(&(struct cw_rate_limit_options){.action = (enum cw_rate_action)3}));
    cr_expect_str_eq(logged, "rate_limit: there is no action 3");
}
