/* Files of more than 2 GiB: memory stays as it is, the kernel copies, ranges are right behind 32 bits. The whole file goes over
 * the socket when CW_TEST_LARGE is set; otherwise a sixteenth of it does. */
#include "support/leak.h"
#include "support/memory.h"
#include "support/static_site.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GIB ((uint64_t)1 << 30)
#define MIB ((uint64_t)1 << 20)

static struct static_site site;
static struct http_reply reply;
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

static void lay(void)
{
    static_site_lay(&site);
}

static void clear(void)
{
    http_reply_release(&reply);
    static_site_end(&site);
    rig_expect_no_leak();
}

TestSuite(http_static_large, .init = lay, .fini = clear, .timeout = 300);

/* A file of zeros with a word at each of some places. */
static void put_sparse(const char *name, uint64_t size, const uint64_t *places, size_t count)
{
    char path[256];
    int fd;

    static_site_put_text(&site, name, "");
    snprintf(path, sizeof path, "root/%s", name);
    fd = open(static_site_at(&site, path), O_WRONLY);
    rig_check(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    for (size_t i = 0; i < count; i++) {
        rig_check(pwrite(fd, "causeway", 8, (off_t)places[i]) == 8);
    }
    close(fd);
    static_site_touch(&site, name, -60);
}

static bool has_word(uint64_t at, uint64_t place)
{
    return at >= place && at < place + 8;
}

/* Judges bytes by where they stand. */
static void expect_bytes(const uint8_t *data, size_t len, uint64_t at, const uint64_t *places)
{
    for (size_t i = 0; i < len; i++, at++) {
        uint8_t expected = has_word(at, places[0])   ? (uint8_t) "causeway"[at - places[0]]
                           : has_word(at, places[1]) ? (uint8_t) "causeway"[at - places[1]]
                                                     : 0;

        if (data[i] != expected) {
            rig_fail(__FILE__, __LINE__, "byte %llu is %u", (unsigned long long)at, data[i]);
        }
    }
}

static bool is_zero(const uint8_t *data, size_t len)
{
    return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

/* Reads a body that is too long to be kept, and looks at the memory of the process from time to time. */
static size_t read_long(struct http_peer *peer, uint64_t size, const uint64_t *places)
{
    static uint8_t buffer[256 * 1024];
    size_t most = 0;
    uint64_t at = 0;

    while (at < size) {
        uint64_t left = size - at;
        ptrdiff_t len = rig_peer_receive_some(&peer->peer, buffer,
                                              left < sizeof buffer ? (size_t)left : sizeof buffer);
        bool looks = at / (32 * MIB) != (at + (uint64_t)len) / (32 * MIB);
        size_t resident = looks ? rig_memory_resident() : 0;

        rig_check(len > 0);
        if (!is_zero(buffer, (size_t)len)) {
            expect_bytes(buffer, (size_t)len, at, places);
        }
        at += (uint64_t)len;
        most = resident > most ? resident : most;
    }
    return most;
}

Test(http_static_large, memory_stays_as_it_is_and_the_kernel_copies)
{
    uint64_t size = getenv("CW_TEST_LARGE") ? 2 * GIB + 12345 : GIB / 8 + 12345;
    const uint64_t places[] = {size / 2 - 3, size - 8};
    char line[512];

    put_sparse("large.bin", size, places, 2);
    static_site_serve(&site, NULL);
    static_site_ask(&site, "GET /files/large.bin", "Range: bytes=0-99999\r\n", &reply);

    struct http_peer peer = http_peer_new(site.port);
    size_t before = rig_memory_resident();

    http_peer_send(&peer, "GET /files/large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    snprintf(line, sizeof line, "Content-Length: %llu\r\n", (unsigned long long)size);

    char head[1024] = "";

    for (size_t len = 0; !strstr(head, "\r\n\r\n"); len++) {
        rig_peer_receive(&peer.peer, head + len, 1);
    }
    cr_expect_eq(strncmp(head, "HTTP/1.1 200 ", 13), 0);
    cr_expect_not_null(strstr(head, line), "%s", head);

    size_t most = read_long(&peer, size, places);

    cr_expect_lt(most, before + 16 * MIB, "%zu, then %zu", before, most);
    rig_await(atomic_load(&sent_by_kernel) == size + 100000);
    http_reply_release(&reply);
    http_peer_ask(&peer, "GET /files/none HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_expect_eq(reply.status, 404);
    http_peer_close(&peer);
}

Test(http_static_large, ranges_behind_two_and_four_gibibytes_are_right)
{
    const uint64_t size = 5 * GIB;
    const uint64_t places[] = {2 * GIB - 4, 4 * GIB - 4};

    put_sparse("huge.bin", size, places, 2);
    static_site_serve(&site, NULL);
    static_site_expect(&site, "GET /files/huge.bin", "Range: bytes=2147483644-2147483651\r\n", 206,
                       "causeway");
    static_site_expect(&site, "GET /files/huge.bin", "Range: bytes=4294967292-4294967299\r\n", 206,
                       "causeway");
    static_site_ask(&site, "GET /files/huge.bin",
                    "Range: bytes=2147483640-2147483655,4294967292-4294967299,-1\r\n", &reply);
    cr_expect_eq(reply.status, 206);

    const uint8_t *first = memmem(reply.body, reply.body_len, "\0\0\0\0causeway", 12);

    cr_assert_not_null(memmem(reply.body, reply.body_len,
                              "Content-Range: bytes 4294967292-4294967299/5368709120\r\n\r\n"
                              "causeway\r\n",
                              64));
    cr_assert_not_null(first);
    expect_bytes(first, 16, places[0] - 4, places);
    http_reply_release(&reply);
    static_site_ask(&site, "HEAD /files/huge.bin", "", &reply);
    cr_expect_str_eq(http_reply_field(&reply, "Content-Length"), "5368709120");
}

/* What was promised cannot be kept: the connection says so by its end. */
Test(http_static_large, a_file_that_shrinks_while_it_is_sent_breaks_the_connection)
{
    const uint64_t size = 64 * MIB;
    const uint64_t places[] = {0, 8};
    struct http_peer peer;

    put_sparse("shrinks.bin", size, places, 2);
    static_site_serve(&site, NULL);
    peer = (struct http_peer){.peer = rig_peer_tcp_from(NULL, "127.0.0.1", site.port, 4096)};
    http_peer_send(&peer, "GET /files/shrinks.bin HTTP/1.1\r\nHost: a\r\n\r\n");

    char begin[12];

    rig_peer_receive(&peer.peer, begin, sizeof begin);
    cr_assert_eq(memcmp(begin, "HTTP/1.1 200", 12), 0);
    cr_assert_eq(truncate(static_site_at(&site, "root/shrinks.bin"), 1000), 0);
    rig_peer_expect_reset(&peer.peer);
    http_peer_close(&peer);
    static_site_expect(&site, "GET /files/shrinks.bin", "Range: bytes=-2\r\n", 206, NULL);
}

/* The same with several ranges, which no sendfile sends. */
Test(http_static_large, parts_of_a_file_that_shrinks_break_the_connection)
{
    const uint64_t size = 64 * MIB;
    const uint64_t places[] = {0, 8};
    struct http_peer peer;

    put_sparse("shrinks.bin", size, places, 2);
    static_site_serve(&site, NULL);
    peer = (struct http_peer){.peer = rig_peer_tcp_from(NULL, "127.0.0.1", site.port, 4096)};
    http_peer_send(&peer, "GET /files/shrinks.bin HTTP/1.1\r\nHost: a\r\n"
                          "Range: bytes=0-33554431,33554440-67108863\r\n\r\n");

    char begin[12];

    rig_peer_receive(&peer.peer, begin, sizeof begin);
    cr_assert_eq(memcmp(begin, "HTTP/1.1 206", 12), 0);
    cr_assert_eq(truncate(static_site_at(&site, "root/shrinks.bin"), 1000), 0);
    rig_peer_expect_reset(&peer.peer);
    http_peer_close(&peer);
}

/* Readers that leave in the middle leave nothing behind. */
Test(http_static_large, readers_that_leave_free_what_they_had)
{
    const uint64_t places[] = {0, 8};

    put_sparse("large.bin", 64 * MIB, places, 2);
    static_site_serve(&site, NULL);

    int lowest = dup(0);

    for (int i = 0; i < 50; i++) {
        struct http_peer peer = http_peer_new(site.port);
        char begin[12];

        http_peer_send(&peer, i % 2 ? "GET /files/large.bin HTTP/1.1\r\nHost: a\r\n\r\n"
                                    : "GET /files/large.bin HTTP/1.1\r\nHost: a\r\n"
                                      "Range: bytes=0-9999999,20000000-40000000\r\n\r\n");
        rig_peer_receive(&peer.peer, begin, sizeof begin);
        if (i % 3 == 0) {
            rig_peer_reset(&peer.peer);
        }
        http_peer_close(&peer);
    }
    rig_await(rig_host_conns(site.host) == 0);

    int after = dup(0);

    cr_expect_eq(after, lowest + 1);
    close(lowest);
    close(after);
}
