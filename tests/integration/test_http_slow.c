/* Peers that are slow, half closed, or gone: others are served, memory stays bounded, deadlines answer. */
#include "support/descriptors.h"
#include "support/http_gallery.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/memory.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* KEPT: what loops keep for the next connections. */
enum { SLOW = 40, READERS = 20, KIB = 1024, LONG = 20000000, KEPT = 2048 * KIB };

static struct http_gallery gallery;
static struct rig_peer peers[SLOW];
static int64_t memory_before;

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    rig_memory_count();
}

TestSuite(http_slow, .init = init, .fini = rig_expect_no_leak, .timeout = 100);

static void expect_served(void)
{
    char body[64];

    cr_expect_eq(http_get(gallery.port, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", body, 64), 200);
    cr_expect_str_eq(body, "hello");
}

static void start(const struct cw_server_options *options, const struct cw_http_options *http)
{
    http_gallery_start(&gallery, options, http);
    expect_served();
    rig_await(rig_host_conns(gallery.host) == 0);
    memory_before = rig_memory_bytes();
}

/* Whatever they did, nothing of them is left. */
static void end(void)
{
    rig_await(rig_host_conns(gallery.host) == 0);
    expect_served();
    rig_await(rig_host_conns(gallery.host) == 0);
    cr_expect_leq(rig_memory_bytes(), memory_before + KEPT, "%lld bytes have stayed",
                  (long long)(rig_memory_bytes() - memory_before));
    http_gallery_end(&gallery);
}

static void expect_bounded(unsigned conns, int64_t each)
{
    int64_t bytes = rig_memory_bytes() - memory_before;

    cr_expect_leq(bytes, conns * each + 256 * KIB, "%lld bytes for %u connections",
                  (long long)bytes, conns);
}

/* ---- byte by byte ---- */

static bool has_answer(const struct rig_peer *peer)
{
    struct pollfd poll_fd = {.fd = peer->fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) > 0;
}

/* One byte of this from each peer, again and again, until all of them have been answered with this status. */
static void trickle(const char *begin, int status, int64_t each)
{
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;
    const uint8_t byte = 'x';
    char answer[4096];
    char line[32];
    unsigned told = 0;

    for (unsigned i = 0; i < SLOW; i++) {
        peers[i] = rig_peer_tcp(gallery.port);
        rig_peer_send_text(&peers[i], begin);
    }
    while (told < SLOW) {
        told = 0;
        for (unsigned i = 0; i < SLOW; i++) {
            if (has_answer(&peers[i])) {
                told++;
            } else {
                rig_peer_try_send(&peers[i], &byte, 1);
            }
        }
        expect_served();
        expect_bounded(SLOW, each);
        rig_check(rig_rest(deadline));
    }
    snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
    for (unsigned i = 0; i < SLOW; i++) {
        ptrdiff_t n = rig_peer_receive_some(&peers[i], answer, sizeof answer);

        /* A byte that comes behind the end may cost the answer. */
        cr_expect(n <= 0 || strncmp(answer, line, 13) == 0, "%.*s", (int)n, answer);
        rig_peer_close(&peers[i]);
    }
}

Test(http_slow, heads_byte_by_byte_end_in_408)
{
    start(NULL, &(struct cw_http_options){.head_ms = 500});
    trickle("GET /hello HTTP/1.1\r\nHost: a\r\nX: ", 408, 4 * KIB);
    end();
}

Test(http_slow, request_lines_byte_by_byte_end_in_408)
{
    start(NULL, &(struct cw_http_options){.head_ms = 500});
    trickle("GET /hel", 408, 4 * KIB);
    end();
}

Test(http_slow, bodies_byte_by_byte_end_in_408)
{
    start(NULL, &(struct cw_http_options){.body_ms = 300, .body_rate_min = 1000000});
    trickle("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", 408, 16 * KIB);
    end();
}

Test(http_slow, streamed_bodies_byte_by_byte_end_in_408)
{
    start(NULL, &(struct cw_http_options){.body_ms = 300, .body_rate_min = 1000000});
    trickle("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            "--b\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\n",
            408, 16 * KIB);
    end();
}

Test(http_slow, chunk_extensions_byte_by_byte_end_in_400)
{
    start(NULL, &(struct cw_http_options){.body_ms = 300, .body_rate_min = 1000000});
    trickle("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=", 400,
            16 * KIB);
    end();
}

/* Not a byte more. */
Test(http_slow, who_falls_silent_is_told_408)
{
    static const char *const begins[] = {
        "G",
        "GET /hello HTTP/1.1\r\nHost: a\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
        "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n",
    };
    static struct http_reply reply;

    start(NULL, &(struct cw_http_options){.head_ms = 300, .body_ms = 300});
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++) {
        struct http_peer peer = http_peer_new(gallery.port);

        http_peer_ask(&peer, begins[i], &reply);
        cr_expect_eq(reply.status, 408, "%s: %d", begins[i], reply.status);
        http_peer_expect_end(&peer);
        http_reply_release(&reply);
        http_peer_close(&peer);
        expect_served();
    }
    end();
}

Test(http_slow, who_says_nothing_between_requests_is_let_go)
{
    start(NULL, &(struct cw_http_options){.head_ms = 300, .keep_alive_ms = 300});
    for (unsigned i = 0; i < SLOW; i++) {
        peers[i] = rig_peer_tcp(gallery.port);
        if (i % 2) {
            rig_peer_send_text(&peers[i], "GET /pattern/100 HTTP/1.1\r\nHost: a\r\n\r\n");
            cr_expect_eq(http_gallery_read_pattern(&peers[i]), 100);
        }
    }
    for (unsigned i = 0; i < SLOW; i++) {
        rig_peer_expect_end(&peers[i]);
        rig_peer_close(&peers[i]);
    }
    end();
}

/* ---- slow readers ---- */

static void ask_without_reading(const char *request)
{
    for (unsigned i = 0; i < READERS; i++) {
        peers[i] = rig_peer_tcp_from(NULL, "127.0.0.1", gallery.port, 4096);
        rig_peer_send_text(&peers[i], request);
    }
    rig_await(rig_host_conns(gallery.host) == READERS);
    for (int i = 0; i < 50; i++) {
        expect_served();
        expect_bounded(READERS, 256 * KIB);
    }
}

/* They get all of it once they read. */
static void expect_patience(const char *request)
{
    start(NULL, NULL);
    http_gallery_put_pattern(&gallery, "long.bin", LONG);
    ask_without_reading(request);
    for (unsigned i = 0; i < READERS; i++) {
        if (i < 2) {
            cr_expect_eq(http_gallery_read_pattern(&peers[i]), LONG);
        }
        rig_peer_close(&peers[i]);
    }
    end();
}

Test(http_slow, slow_readers_of_a_file_take_little_memory)
{
    expect_patience("GET /files/long.bin HTTP/1.1\r\nHost: a\r\n\r\n");
}

Test(http_slow, slow_readers_of_a_source_take_little_memory)
{
    expect_patience("GET /pattern/20000000 HTTP/1.1\r\nHost: a\r\n\r\n");
}

Test(http_slow, slow_readers_of_a_source_in_chunks_take_little_memory)
{
    expect_patience("GET /chunks/20000000 HTTP/1.1\r\nHost: a\r\n\r\n");
}

Test(http_slow, slow_readers_of_a_pushed_stream_take_little_memory)
{
    expect_patience("GET /pushed/20000000 HTTP/1.1\r\nHost: a\r\n\r\n");
}

/* Those that never read are let go. */
Test(http_slow, who_does_not_read_at_all_is_let_go)
{
    static const char *const requests[] = {
        "GET /files/long.bin HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /chunks/20000000 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /pushed/20000000 HTTP/1.1\r\nHost: a\r\n\r\n",
    };

    start(&(struct cw_server_options){.write_ms = 500}, NULL);
    http_gallery_put_pattern(&gallery, "long.bin", LONG);
    for (unsigned i = 0; i < 3; i++) {
        peers[i] = rig_peer_tcp_from(NULL, "127.0.0.1", gallery.port, 4096);
        rig_peer_send_text(&peers[i], requests[i]);
    }
    rig_await(rig_host_conns(gallery.host) == 3);
    rig_await(rig_host_conns(gallery.host) == 0);
    for (unsigned i = 0; i < 3; i++) {
        rig_peer_close(&peers[i]);
    }
    end();
}

/* Requests without end and not a look at the answers: what waits unread is bounded too. */
Test(http_slow, who_asks_without_reading_stops_being_read)
{
    static const char request[] = "GET /pattern/5000 HTTP/1.1\r\nHost: a\r\n\r\n";
    char many[100 * (sizeof request - 1)];
    uint64_t sent = 0;
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;

    start(&(struct cw_server_options){.write_ms = 1000}, NULL);
    for (size_t i = 0; i < 100; i++) {
        memcpy(many + i * (sizeof request - 1), request, sizeof request - 1);
    }
    peers[0] = rig_peer_tcp_from(NULL, "127.0.0.1", gallery.port, 4096);
    rig_await(rig_host_conns(gallery.host) == 1);
    while (rig_host_conns(gallery.host) > 0) {
        /* Cut anywhere: the next byte goes on where the last one was. */
        size_t at = sent % (sizeof request - 1);
        ptrdiff_t n = rig_peer_try_send(&peers[0], many + at, sizeof many - at);

        sent += n > 0 ? (uint64_t)n : 0;
        expect_bounded(1, 1024 * KIB);
        rig_check(n > 0 || rig_rest(deadline));
    }
    rig_peer_close(&peers[0]);
    end();
}

/* ---- half closed ---- */

Test(http_slow, who_has_ended_its_input_still_gets_its_answers)
{
    static const char *const requests[] = {
        "GET /pattern/100000 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /chunks/100000 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /pushed/100000 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /files/page.bin HTTP/1.1\r\nHost: a\r\n\r\n",
    };

    start(NULL, NULL);
    http_gallery_put_pattern(&gallery, "page.bin", 100000);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        peers[0] = rig_peer_tcp(gallery.port);
        rig_peer_send_text(&peers[0], requests[i]);
        rig_peer_shut(&peers[0]);
        cr_expect_eq(http_gallery_read_pattern(&peers[0]), 100000, "%s", requests[i]);
        rig_peer_expect_end(&peers[0]);
        rig_peer_close(&peers[0]);
    }
    end();
}

static const char *const phases[] = {
    "",
    "GE",
    "GET /hello HTTP/1.1\r\nHo",
    "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /hel",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    "POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome",
    "POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nrefused",
    "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    "Content-Length: 1000\r\n\r\n--b\r\nContent-Disposition: form-data; name=file; "
    "filename=f\r\n\r\nsome",
    "GET /never HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /never HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /chunks/20000000 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /pushed/20000000 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /files/long.bin HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /files/long.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9999999,10000001-\r\n\r\n",
    "GET /events HTTP/1.1\r\nHost: a\r\n\r\n",
};

enum { PHASES = sizeof phases / sizeof phases[0] };

/* Half a request is none: the connection ends, with or without a word. */
Test(http_slow, who_ends_its_input_in_the_middle_is_let_go)
{
    start(&(struct cw_server_options){.write_ms = 1000},
          &(struct cw_http_options){.response_ms = 1000, .body_ms = 1000, .head_ms = 1000});
    http_gallery_put_pattern(&gallery, "long.bin", LONG);
    for (size_t i = 0; i < PHASES; i++) {
        peers[0] = rig_peer_tcp(gallery.port);
        rig_peer_send_text(&peers[0], phases[i]);
        rig_peer_shut(&peers[0]);
        while (rig_peer_receive_some(&peers[0], (char[65536]){0}, 65536) > 0) {}
        rig_peer_close(&peers[0]);
        expect_served();
    }
    end();
}

/* ---- gone ---- */

static void vanish(const char *phase, bool reads, bool resets)
{
    for (unsigned i = 0; i < 8; i++) {
        peers[i] = rig_peer_tcp_from(NULL, "127.0.0.1", gallery.port, 4096);
        rig_peer_send_text(&peers[i], phase);
    }
    rig_await(rig_host_conns(gallery.host) == 8 || phase[0] != '\0');
    expect_served();
    for (unsigned i = 0; i < 8; i++) {
        if (reads) {
            rig_peer_receive(&peers[i], (char[15]){0}, 15);
        }
        if (resets) {
            rig_peer_reset(&peers[i]);
        }
        rig_peer_close(&peers[i]);
    }
    rig_await(rig_host_conns(gallery.host) == 0);
}

static void vanish_everywhere(void)
{
    for (size_t i = 0; i < PHASES; i++) {
        bool is_long = strncmp(phases[i], "GET /chunks", 11) == 0 ||
                       strncmp(phases[i], "GET /pushed", 11) == 0 ||
                       strncmp(phases[i], "GET /files", 10) == 0;

        vanish(phases[i], is_long, true);
        vanish(phases[i], is_long, false);
    }
}

Test(http_slow, who_vanishes_in_any_phase_leaves_nothing_behind)
{
    int64_t memory;
    int descriptors;

    /* An end of input alone is no reason not to answer. */
    start(NULL, &(struct cw_http_options){.response_ms = 500});
    http_gallery_put_pattern(&gallery, "long.bin", LONG);
    descriptors = rig_descriptors();
    vanish_everywhere();
    memory = rig_memory_bytes();
    vanish_everywhere();
    cr_expect_leq(rig_memory_bytes(), memory + 16 * KIB, "%lld, then %lld", (long long)memory,
                  (long long)rig_memory_bytes());
    end();
    cr_expect_lt(rig_descriptors(), descriptors); /* the server's own are gone too */
}
