/* Many connections that rest, and bodies of gibibytes: memory stays as it is. Whole sizes when CW_TEST_LARGE is set: bodies of
 * 2 GiB; otherwise of 64 MiB. */
#include "support/http_gallery.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/memory.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

enum { CROWD = 10000, SPARE = 200, PER_CONN_MAX = 2048 };

static struct http_gallery gallery;
static atomic_uint_fast64_t sent_by_kernel;

/* In place of the C library's: the program is linked against this one first. */
ssize_t sendfile(int to, int from, off_t *offset, size_t count)
{
    ssize_t sent = syscall(SYS_sendfile, to, from, offset, count);

    if (sent > 0) {
        atomic_fetch_add(&sent_by_kernel, (uint64_t)sent);
    }
    return sent;
}

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    rig_memory_count();
}

TestSuite(http_scale, .init = init, .fini = rig_expect_no_leak, .timeout = 115);

static uint64_t full_size(void)
{
    return getenv("CW_TEST_LARGE") ? 2 * GIB + 12345 : 64 * MIB + 12345;
}

/* ---- a crowd that rests ---- */

struct crowd {
    unsigned size;
    int orders[2]; /* the port goes in */
};

static size_t most_descriptors(void)
{
    struct rlimit limit;

    rig_check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    rig_check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    return limit.rlim_cur;
}

/* In a process of its own: each end of a connection needs a descriptor. */
static int be_a_crowd(void *arg)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: site.example\r\n\r\n";
    struct crowd *crowd = arg;
    struct rig_peer *peers = calloc(crowd->size, sizeof *peers);
    uint16_t port;
    char answer[1024];

    close(crowd->orders[1]);
    if (!peers || read(crowd->orders[0], &port, sizeof port) != sizeof port) {
        return 1;
    }
    for (unsigned i = 0; i < crowd->size; i++) {
        peers[i] = rig_peer_tcp(port);
        rig_peer_send(&peers[i], request, sizeof request - 1);
        if (rig_peer_receive_some(&peers[i], answer, sizeof answer) < 100) {
            return 1;
        }
    }
    printf("all are here\n");
    fflush(stdout);
    if (read(crowd->orders[0], &port, sizeof port) != sizeof port) {
        return 1;
    }
    for (unsigned i = 0; i < crowd->size; i++) { /* nobody has been forgotten */
        if (i % 50 == 0) {
            rig_peer_send(&peers[i], request, sizeof request - 1);
            if (rig_peer_receive_some(&peers[i], answer, sizeof answer) < 100) {
                return 1;
            }
        }
        rig_peer_close(&peers[i]);
    }
    free(peers);
    return 0;
}

static void order(const struct crowd *crowd)
{
    rig_check(write(crowd->orders[1], &gallery.port, sizeof gallery.port) == sizeof gallery.port);
}

static void expect_served(void)
{
    char body[64];

    for (int i = 0; i < 50; i++) {
        cr_expect_eq(http_get(gallery.port, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", body, 64),
                     200);
        cr_expect_str_eq(body, "hello");
    }
}

Test(http_scale, ten_thousand_connections_rest_at_little_cost_and_others_are_served)
{
    size_t most = most_descriptors();
    struct crowd crowd = {.size = most > CROWD + SPARE ? CROWD : (unsigned)most - SPARE};
    struct rig_child child;

    cr_assert_gt(most, 2 * SPARE);
    rig_check(pipe(crowd.orders) == 0);
    rig_child_fork(&child, be_a_crowd, &crowd); /* before there are threads */
    close(crowd.orders[0]);
    http_gallery_start(&gallery,
                       &(struct cw_server_options){.conns_max = crowd.size + SPARE,
                                                   .conns_per_ip_max = crowd.size + SPARE},
                       NULL);
    expect_served();

    int64_t bytes = rig_memory_bytes();
    size_t resident = rig_memory_resident();

    order(&crowd);
    rig_child_await_text(&child, "all are here");
    cr_expect_eq(rig_host_conns(gallery.host), crowd.size);
    bytes = (rig_memory_bytes() - bytes) / crowd.size;
    resident = (rig_memory_resident() - resident) / crowd.size;
    cr_log_info("%u connections: %lld bytes of ours each, %zu of the process", crowd.size,
                (long long)bytes, resident);
    cr_expect_leq(bytes, PER_CONN_MAX, "%lld bytes a connection", (long long)bytes);
    expect_served();
    order(&crowd);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
    rig_await(rig_host_conns(gallery.host) == 0);
    close(crowd.orders[1]);
    http_gallery_end(&gallery);
}

/* ---- large bodies ---- */

/* What the process and our allocator have grown by since then, at most. */
struct growth {
    size_t resident;
    int64_t bytes;
    size_t most_resident;
    int64_t most_bytes;
};

static struct growth growth_begin(void)
{
    return (struct growth){.resident = rig_memory_resident(), .bytes = rig_memory_bytes()};
}

static void growth_look(struct growth *growth)
{
    size_t resident = rig_memory_resident();
    int64_t bytes = rig_memory_bytes() - growth->bytes;

    resident = resident > growth->resident ? resident - growth->resident : 0;
    growth->most_resident = resident > growth->most_resident ? resident : growth->most_resident;
    growth->most_bytes = bytes > growth->most_bytes ? bytes : growth->most_bytes;
}

static void expect_constant(const struct growth *growth, uint64_t size, uint64_t began_ms)
{
    uint64_t took_ms = rig_now_ms() - began_ms;

    cr_log_info("%llu MiB in %llu ms: %lld KiB of ours at most, %zu KiB of the process",
                (unsigned long long)(size / MIB), (unsigned long long)took_ms,
                (long long)growth->most_bytes / 1024, growth->most_resident / 1024);
    cr_expect_lt(growth->most_bytes, (int64_t)(4 * MIB), "%lld", (long long)growth->most_bytes);
    cr_expect_lt(growth->most_resident, 24 * MIB, "%zu", growth->most_resident);
}

static void send_pieces(struct rig_peer *peer, uint64_t size, bool chunked, struct growth *growth)
{
    static uint8_t piece[65536 + 16];
    char line[32];

    http_gallery_fill(piece, 65536, 0);
    for (uint64_t at = 0; at < size; at += 65536) {
        size_t n = size - at < 65536 ? (size_t)(size - at) : 65536;

        if (chunked) {
            int len = snprintf(line, sizeof line, "%zx\r\n", n);
            rig_peer_send(peer, line, (size_t)len);
        }
        rig_peer_send(peer, piece, n);
        if (chunked) {
            rig_peer_send(peer, "\r\n", 2);
        }
        if (at % (16 * MIB) == 0) {
            growth_look(growth);
        }
    }
    if (chunked) {
        rig_peer_send(peer, "0\r\n\r\n", 5);
    }
}

static void expect_upload(bool chunked)
{
    const uint64_t size = full_size();
    struct growth growth;
    struct http_peer peer;
    static struct http_reply reply;
    char text[256];
    char count[32];
    uint64_t began;

    http_gallery_start(&gallery, NULL, NULL);
    peer = http_peer_new(gallery.port);
    http_peer_ask(&peer, "PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", &reply);
    http_reply_release(&reply);
    growth = growth_begin();
    began = rig_now_ms();
    snprintf(count, sizeof count, "%llu", (unsigned long long)size);
    snprintf(text, sizeof text, "PUT /count HTTP/1.1\r\nHost: a\r\n%s%s\r\n\r\n",
             chunked ? "Transfer-Encoding: " : "Content-Length: ", chunked ? "chunked" : count);
    http_peer_send(&peer, text);
    send_pieces(&peer.peer, size, chunked, &growth);
    http_peer_read(&peer, &reply, false);
    cr_expect_eq(reply.status, 200, "%s", reply.head);
    cr_expect_str_eq((const char *)reply.body, count);
    expect_constant(&growth, size, began);
    http_reply_release(&reply);
    http_peer_close(&peer);
    http_gallery_end(&gallery);
}

Test(http_scale, a_large_upload_takes_no_memory)
{
    expect_upload(false);
}

Test(http_scale, a_large_upload_in_chunks_takes_no_memory)
{
    expect_upload(true);
}

enum { PATTERN_PERIOD = 65536, READ_MAX = 262144 };

/* Bytes of the pattern, or zeros, as a sparse file has them. */
static void read_body(struct rig_peer *peer, uint64_t size, bool pattern, struct growth *growth)
{
    static uint8_t buffer[READ_MAX];
    static uint8_t expected[READ_MAX + PATTERN_PERIOD];
    uint64_t next = 0;

    if (pattern) {
        http_gallery_fill(expected, sizeof expected, 0);
    }
    for (uint64_t at = 0; at < size;) {
        uint64_t left = size - at;
        ptrdiff_t n =
            rig_peer_receive_some(peer, buffer, left < READ_MAX ? (size_t)left : READ_MAX);

        rig_check(n > 0 && memcmp(buffer, expected + at % PATTERN_PERIOD, (size_t)n) == 0);
        at += (uint64_t)n;
        if (at >= next) {
            growth_look(growth);
            next += 16 * MIB;
        }
    }
}

static void download(const char *target, uint64_t size, bool pattern)
{
    struct rig_peer peer;
    struct growth growth;
    char text[2048] = "";
    uint64_t began;

    expect_served();
    peer = rig_peer_tcp(gallery.port);
    growth = growth_begin();
    began = rig_now_ms();
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    rig_peer_send_text(&peer, text);
    memset(text, 0, sizeof text);
    for (size_t len = 0; !strstr(text, "\r\n\r\n"); len++) {
        cr_assert_lt(len, sizeof text - 1);
        rig_peer_receive(&peer, text + len, 1);
    }
    cr_expect_eq(strncmp(text, "HTTP/1.1 200 ", 13), 0, "%s", text);
    read_body(&peer, size, pattern, &growth);
    expect_constant(&growth, size, began);
    rig_peer_close(&peer);
}

Test(http_scale, a_large_file_is_sent_by_the_kernel_and_takes_no_memory)
{
    const uint64_t size = full_size();

    http_gallery_start(&gallery, NULL, NULL);
    http_gallery_put(&gallery, "large.bin", "");
    cr_assert_eq(truncate(http_gallery_at(&gallery, "large.bin"), (off_t)size), 0);
    download("/files/large.bin", size, false);
    rig_await(atomic_load(&sent_by_kernel) == size);
    http_gallery_end(&gallery);
}

Test(http_scale, a_large_answer_that_is_pulled_takes_no_memory)
{
    char target[64];

    http_gallery_start(&gallery, NULL, NULL);
    snprintf(target, sizeof target, "/pattern/%llu", (unsigned long long)full_size());
    download(target, full_size(), true);
    http_gallery_end(&gallery);
}
