/* The client when memory runs out, at any moment; and what requests leave behind. */
#include "support/fault.h"
#include "support/http_script.h"
#include "support/leak.h"
#include "support/memory.h"
#include "support/wait.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

static struct script script;

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(http_client_memory, .init = init, .fini = rig_expect_no_leak, .timeout = 120);

static char gzipped[512];
static size_t gzipped_len;

static void make_gzipped(void)
{
    z_stream z = {0};
    size_t head =
        (size_t)snprintf(gzipped, sizeof gzipped,
                         "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: "
                         "chunked\r\n\r\n19\r\n");

    rig_check(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (z_const Bytef *)(uintptr_t) "hello";
    z.avail_in = 5;
    z.next_out = (Bytef *)gzipped + head;
    z.avail_out = 100;
    rig_check(deflate(&z, Z_FINISH) == Z_STREAM_END);
    rig_check(100 - z.avail_out == 0x19);
    deflateEnd(&z);
    gzipped_len = head + 0x19;
    memcpy(gzipped + gzipped_len, "\r\n0\r\nX-T: 1\r\n\r\n", 15);
    gzipped_len += 15;
}

/* ---- one round of it all ---- */

struct round {
    struct cw_loop *loop;
    unsigned asked;
    unsigned told;
    unsigned good;
    unsigned pulled;
    size_t left;
};

static void on_answer(struct cw_http_response *response, void *user)
{
    struct round *round = user;

    round->told++;
    rig_check((response->error == 0) == (response->status != 0) || response->error < 0);
    rig_check((response->error == 0) == (response->text[0] == 0));
    round->good += response->error == 0 && response->status == 200;
    if (round->told == round->asked) {
        cw_loop_stop(round->loop);
    }
}

static ptrdiff_t pull(uint8_t *buffer, size_t cap, void *user)
{
    struct round *round = user;
    size_t n = round->left < cap ? round->left : cap;

    memset(buffer, 'x', n);
    round->left -= n;
    return (ptrdiff_t)n;
}

static void pulled(int code, void *user)
{
    struct round *round = user;

    round->pulled++;
}

static const struct cw_http_pair fields[] = {{"X-A", "b"}, {"Cookie", "c=d"}, {NULL, NULL}};

static void ask(struct round *round, const char *path, struct cw_http_request request)
{
    char url[64];
    int64_t id;

    snprintf(url, sizeof url, "http://127.0.0.1:%u/%s", script.port, path);
    request.url = url;
    request.fields = fields;
    request.timeout_ms = 15000;
    id = cw_http_request(round->loop, &request, on_answer, round);
    rig_check(id > 0 || id == CW_ENOMEM || id == CW_EINVAL);
    round->asked += id > 0;
}

/* cw_loop_stop needs memory too: it is asked again. */
static void stop_again(struct cw_loop *loop, void *user)
{
    struct round *round = user;

    if (round->told == round->asked) {
        cw_loop_stop(loop);
    }
}

/* Returns how many were answered well. */
static unsigned run_round(void)
{
    static char large[100000];
    struct round round = {.loop = cw_loop_new(), .left = 5000};

    if (!round.loop || !cw_timer_start(round.loop, 50, 50, stop_again, &round)) {
        cw_loop_free(round.loop);
        return 0;
    }
    if (cw_http_client_configure(round.loop, &(struct cw_http_client_options){.conns_max = 1}) < 0) {
        cw_loop_free(round.loop);
        return 0;
    }
    ask(&round, "a", (struct cw_http_request){0});
    ask(&round, "b", (struct cw_http_request){0});
    ask(&round, "c",
        (struct cw_http_request){
            .pull = pull, .pulled = pulled, .pull_user = &round, .body_len = CW_NO_LIMIT});
    ask(&round, "c", (struct cw_http_request){.body = cw_span_of(large, sizeof large)});
    if (round.asked > 0) {
        rig_check(cw_loop_run(round.loop) == CW_OK || round.told < round.asked);
    }
    cw_loop_free(round.loop);
    rig_check(round.told == round.asked);
    rig_check(round.pulled == 1);
    return round.good;
}

static void start_all(void)
{
    make_gzipped();
    const struct script_turn turns[] = {
        {.answer = gzipped, .len = gzipped_len},
        {.answer = "HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n"},
        {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback"}};

    script_start_endless(&script, turns, 3);
}

Test(http_client_memory, each_allocation_may_fail_and_everybody_is_told_once)
{
    bool failed = true;
    size_t n = 0;

    fault_install();
    start_all();
    while (failed) {
        unsigned good;

        fault_arm(++n);
        good = run_round();
        failed = fault_disarm();
        cr_assert(failed || good == 4, "%u at %zu", good, n);
        cr_assert_lt(n, 2000u);
    }
    script_end(&script);
    fault_remove();
    cr_expect_gt(n, 50u);
}

/* ---- again and again ---- */

struct again {
    struct cw_loop *loop;
    char url[64];
    unsigned left;
};

static void once_more(struct cw_http_response *response, void *user)
{
    struct again *again = user;

    rig_check(response->error == 0);
    if (--again->left == 0) {
        cw_loop_stop(again->loop);
    } else {
        rig_check(cw_http_get(again->loop, again->url, once_more, again) > 0);
    }
}

Test(http_client_memory, a_thousand_requests_use_one_connection_and_leave_nothing)
{
    struct again again = {.loop = cw_loop_new(), .left = 1000};

    start_all();
    snprintf(again.url, sizeof again.url, "http://127.0.0.1:%u/b", script.port);
    cr_assert_gt(cw_http_get(again.loop, again.url, once_more, &again), 0);
    cr_assert_eq(cw_loop_run(again.loop), CW_OK);
    cw_loop_free(again.loop);
    cr_expect_eq(atomic_load(&script.asked), 2000);
    cr_expect_eq(atomic_load(&script.conns), 1);
    script_end(&script);
}
