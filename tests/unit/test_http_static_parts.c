#include "http_static_parts.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

TestSuite(http_static_parts, .fini = rig_expect_no_leak, .timeout = 60);

enum { FILE_SIZE = 100000, BODY_MAX = 300000 };

static uint8_t bytes[FILE_SIZE];
static uint8_t body[BODY_MAX];

static int make_file(void)
{
    int fd = memfd_create("parts", MFD_CLOEXEC);

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    }
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, sizeof bytes), (ssize_t)sizeof bytes);
    return fd;
}

static struct cw_static_parts *parts_of(int fd, const struct cw_http_range *ranges, size_t count)
{
    const struct cw_static_whole whole = {fd, FILE_SIZE, "text/plain", "border"};
    struct cw_static_parts *parts = cw_static_parts_new(&whole, ranges, count);

    cr_assert_not_null(parts);
    return parts;
}

/* Pulls all of it, at most `most` bytes at a time. */
static size_t pull_all(struct cw_static_parts *parts, size_t most)
{
    size_t len = 0;

    for (;;) {
        ptrdiff_t got = cw_static_parts_pull(body + len, most, parts);

        cr_assert_geq(got, 0);
        if (got == 0) {
            return len;
        }
        len += (size_t)got;
        cr_assert_lt(len + most, sizeof body);
    }
}

static size_t expected_of(const struct cw_http_range *ranges, size_t count, uint8_t *to)
{
    size_t len = 0;

    for (size_t i = 0; i < count; i++) {
        len += (size_t)sprintf((char *)to + len,
                               "%s--border\r\nContent-Type: text/plain\r\n"
                               "Content-Range: bytes %llu-%llu/100000\r\n\r\n",
                               i ? "\r\n" : "", (unsigned long long)ranges[i].first,
                               (unsigned long long)(ranges[i].first + ranges[i].len - 1));
        memcpy(to + len, bytes + ranges[i].first, (size_t)ranges[i].len);
        len += (size_t)ranges[i].len;
    }
    return len + (size_t)sprintf((char *)to + len, "\r\n--border--\r\n");
}

static const struct cw_http_range ranges[] = {
    {0, 1}, {99999, 1}, {5, 70000}, {100, 37}, {80000, 20000}};

enum { COUNT = sizeof ranges / sizeof ranges[0] };

Test(http_static_parts, parts_come_in_the_order_asked_each_with_its_place)
{
    static uint8_t expected[BODY_MAX];
    static const size_t steps[] = {1, 2, 7, 4096, 65536};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct cw_static_parts *parts = parts_of(make_file(), ranges, COUNT);
        size_t len = pull_all(parts, steps[i]);

        cr_assert_eq(len, expected_of(ranges, COUNT, expected));
        cr_assert_eq(memcmp(body, expected, len), 0);
        cw_static_parts_done(0, parts);
    }
}

Test(http_static_parts, the_length_is_told_before_and_does_not_disturb)
{
    struct cw_static_parts *parts = parts_of(make_file(), ranges, COUNT);
    uint64_t length = cw_static_parts_length(parts);

    cr_expect_eq(length, pull_all(parts, 4096));
    cr_expect_eq(length, cw_static_parts_length(parts));
    cw_static_parts_done(0, parts);
}

Test(http_static_parts, a_file_that_has_shrunk_is_no_shorter_body)
{
    const struct cw_http_range last[] = {{0, 10}, {99990, 10}};
    int fd = make_file();
    struct cw_static_parts *parts = parts_of(fd, last, 2);
    ptrdiff_t got;

    cr_assert_eq(ftruncate(fd, 50000), 0);
    do {
        got = cw_static_parts_pull(body, sizeof body, parts);
    } while (got > 0);
    cr_expect_eq(got, CW_ETRUNCATED);
    cw_static_parts_done(CW_ETRUNCATED, parts);
}

Test(http_static_parts, the_file_is_closed_at_the_end)
{
    int fd = make_file();
    struct cw_static_parts *parts = parts_of(fd, ranges, COUNT);

    cr_expect_neq(fcntl(fd, F_GETFD), -1);
    cw_static_parts_done(0, parts);
    cr_expect_eq(fcntl(fd, F_GETFD), -1);
}
