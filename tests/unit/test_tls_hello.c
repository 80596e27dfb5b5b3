/* What is read of TLS in the clear: is it TLS at all, where do records end, which group was agreed on. All of it comes
 * from a peer. */
#include "support/leak.h"
#include "tls/tls_hello.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(tls_hello, .fini = rig_expect_no_leak, .timeout = 60);

/* A copy of exactly that size, so that a read past the end is seen. */
static uint8_t *exact(const void *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    cr_assert(copy);
    if (len > 0) {
        memcpy(copy, data, len);
    }
    return copy;
}

static enum cw_tls_first judge(const void *data, size_t len)
{
    uint8_t *copy = exact(data, len);
    enum cw_tls_first first = cw_tls_judge_first(cw_span_of(copy, len));

    free(copy);
    return first;
}

static size_t whole(const void *data, size_t len)
{
    uint8_t *copy = exact(data, len);
    size_t used = cw_tls_whole_records(cw_span_of(copy, len));

    free(copy);
    return used;
}

static uint16_t find(const void *data, size_t len, bool *over)
{
    uint8_t *copy = exact(data, len);
    uint16_t group = cw_tls_find_group(cw_span_of(copy, len), over);

    free(copy);
    return group;
}

/* ---- the first bytes ---- */

/* Whatever the bytes are cut to, the answer is the one of the whole or that more are needed. */
static void expect_first(const void *data, size_t len, enum cw_tls_first wanted)
{
    cr_assert_eq(judge(data, len), wanted, "%.*s", (int)len, (const char *)data);
    for (size_t n = 0; n < len; n++) {
        enum cw_tls_first first = judge(data, n);

        cr_assert(first == CW_FIRST_MORE || first == wanted, "cut to %zu bytes: %d", n, first);
    }
}

Test(tls_hello, a_hello_is_known_by_two_bytes)
{
    expect_first("\x16\x03\x01", 3, CW_FIRST_TLS);
    expect_first("\x16\x03\x03\x00\x05", 5, CW_FIRST_TLS);
    expect_first("\x15\x03\x03\x00\x02\x02\x28", 7, CW_FIRST_TLS);
    cr_assert_eq(judge("\x16", 1), CW_FIRST_MORE);
    cr_assert_eq(judge("", 0), CW_FIRST_MORE);
}

Test(tls_hello, what_only_begins_like_a_hello_is_none)
{
    expect_first("\x16\x02\x00", 3, CW_FIRST_OTHER);
    expect_first("\x17\x03\x03", 3, CW_FIRST_OTHER);
    expect_first("\x14\x03\x03", 3, CW_FIRST_OTHER);
    expect_first("\x00\x00\x00\x05hello", 9, CW_FIRST_OTHER);
    expect_first("\xff\xff\xff", 3, CW_FIRST_OTHER);
}

Test(tls_hello, each_method_of_http_is_known)
{
    static const char *const lines[] = {
        "GET / HTTP/1.1\r\n",     "HEAD / HTTP/1.1\r\n",    "POST / HTTP/1.1\r\n",
        "PUT / HTTP/1.1\r\n",     "DELETE / HTTP/1.1\r\n",  "PATCH / HTTP/1.1\r\n",
        "TRACE / HTTP/1.1\r\n",   "OPTIONS * HTTP/1.1\r\n", "CONNECT a:1 HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"};

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        expect_first(lines[i], strlen(lines[i]), CW_FIRST_HTTP);
    }
}

Test(tls_hello, words_that_no_method_begins_with_are_other)
{
    expect_first("GETS", 4, CW_FIRST_OTHER);
    expect_first("get /", 5, CW_FIRST_OTHER);
    expect_first("EHLO mail", 9, CW_FIRST_OTHER);
    expect_first("P\r\n", 3, CW_FIRST_OTHER);
    expect_first("SSH-2.0-x", 9, CW_FIRST_OTHER);
}

Test(tls_hello, a_hello_of_ssl_2_is_known_by_three_bytes)
{
    expect_first("\x80\x2e\x01\x00\x02", 5, CW_FIRST_SSL2);
    expect_first("\x80\x2e\x02", 3, CW_FIRST_OTHER);
    cr_assert_eq(judge("\x80\x2e", 2), CW_FIRST_MORE);
}

/* No byte string however odd waits for more than the longest word. */
Test(tls_hello, sixteen_bytes_are_always_enough_to_say)
{
    uint8_t bytes[16];

    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            memset(bytes, 'x', sizeof bytes);
            bytes[0] = (uint8_t)first;
            bytes[1] = (uint8_t)second;
            cr_assert_neq(judge(bytes, sizeof bytes), CW_FIRST_MORE, "%02x %02x", first, second);
        }
    }
}

Test(tls_hello, a_hello_at_a_port_without_tls_is_known_only_when_it_is_one)
{
    static const uint8_t hello[] = {22, 3, 1, 0, 50, 1, 0, 0, 46};
    uint8_t other[sizeof hello];

    cr_assert(cw_tls_is_hello(cw_span_of(hello, sizeof hello)));
    cr_assert_not(cw_tls_is_hello(cw_span_of(hello, 5)), "the kind of message is not there");
    for (size_t at = 0; at < 6; at++) {
        memcpy(other, hello, sizeof hello);
        other[at] = 0xee;
        cr_assert_eq(cw_tls_is_hello(cw_span_of(other, sizeof other)), at == 4, "byte %zu", at);
    }
}

/* ---- records ---- */

Test(tls_hello, only_whole_records_count)
{
    static const uint8_t bytes[] = {22, 3, 3, 0, 2, 'a', 'b', 23, 3, 3, 0, 0, 21, 3, 3, 0, 1, 'c'};
    static const size_t ends[] = {0, 7, 12, 18};
    size_t next = 0;

    for (size_t n = 0; n <= sizeof bytes; n++) {
        if (next + 1 < sizeof ends / sizeof ends[0] && n >= ends[next + 1]) {
            next++;
        }
        cr_assert_eq(whole(bytes, n), ends[next], "%zu bytes", n);
    }
}

Test(tls_hello, the_longest_record_is_waited_for_and_one_byte_more_is_not)
{
    static const uint8_t longest[] = {22, 3, 3, 0x48, 0x00, 'a'};
    static const uint8_t longer[] = {22, 3, 3, 0x48, 0x01, 'a'};

    cr_assert_eq(whole(longest, sizeof longest), 0);
    cr_assert_eq(whole(longer, sizeof longer), sizeof longer, "the library has to see it");
    cr_assert_eq(whole(longer, 4), 0);
}

/* ---- the group ---- */

enum { HELLO_CAP = 256 };

struct text {
    uint8_t bytes[HELLO_CAP];
    size_t len;
};

static void add(struct text *text, const void *data, size_t len)
{
    cr_assert_leq(len, HELLO_CAP - text->len);
    memcpy(text->bytes + text->len, data, len);
    text->len += len;
}

static void put16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* A message of a handshake in a record of its own. */
static struct text record_of(uint8_t type, const struct text *body)
{
    struct text record = {{22, 3, 3, 0, 0, type, 0, 0, 0}, 9};

    put16(record.bytes + 3, body->len + 4);
    put16(record.bytes + 7, body->len);
    add(&record, body->bytes, body->len);
    return record;
}

static struct text server_hello(size_t session_len, const void *extensions, size_t len)
{
    struct text body = {{3, 3}, 34};
    uint8_t fixed[3] = {0x13, 0x01, 0};
    uint8_t size[2];

    body.bytes[body.len++] = (uint8_t)session_len;
    body.len += session_len;
    add(&body, fixed, sizeof fixed);
    put16(size, len);
    add(&body, size, sizeof size);
    add(&body, extensions, len);
    return record_of(2, &body);
}

static const uint8_t shares_x25519[] = {0, 43, 0, 2, 3, 4, 0, 51, 0, 6, 0, 29, 0, 2, 'a', 'b'};

Test(tls_hello, the_group_of_tls_1_3_is_in_the_key_share)
{
    struct text hello = server_hello(32, shares_x25519, sizeof shares_x25519);
    bool over = false;

    cr_assert_eq(find(hello.bytes, hello.len, &over), 29);
    cr_assert(over);
    hello = server_hello(0, shares_x25519, sizeof shares_x25519);
    over = false;
    cr_assert_eq(find(hello.bytes, hello.len, &over), 29);
}

Test(tls_hello, the_group_of_tls_1_2_is_in_the_key_exchange_behind_other_messages)
{
    struct text all = server_hello(32, "", 0);
    struct text certificate = {{0, 0, 0}, 3};
    struct text exchange = {{3, 0, 23, 2, 'p', 'q'}, 6};
    struct text done = {{0}, 0};
    struct text records[] = {record_of(11, &certificate), record_of(12, &exchange),
                             record_of(14, &done)};
    bool over = false;

    for (size_t i = 0; i < 3; i++) {
        add(&all, records[i].bytes, records[i].len);
    }
    cr_assert_eq(find(all.bytes, all.len, &over), 23);
    cr_assert(over);
}

/* RFC 8446 §5.1: a record may hold several messages. */
Test(tls_hello, the_group_is_found_behind_another_message_of_the_same_record)
{
    struct text hello = server_hello(0, "", 0);
    struct text exchange = {{3, 0, 24, 1, 'p'}, 5};
    struct text second = record_of(12, &exchange);
    bool over = false;

    add(&hello, second.bytes + 5, second.len - 5);
    put16(hello.bytes + 3, hello.len - 5);
    cr_assert_eq(find(hello.bytes, hello.len, &over), 24);
}

Test(tls_hello, a_resumed_handshake_has_no_group_and_is_over_with_change_cipher_spec)
{
    struct text hello = server_hello(32, "", 0);
    bool over = false;

    cr_assert_eq(find(hello.bytes, hello.len, &over), 0);
    cr_assert_not(over);
    add(&hello, "\x14\x03\x03\x00\x01\x01", 6);
    cr_assert_eq(find(hello.bytes, hello.len, &over), 0);
    cr_assert(over);
}

Test(tls_hello, no_cut_and_no_length_in_a_hello_reads_past_its_end)
{
    struct text hello = server_hello(32, shares_x25519, sizeof shares_x25519);
    struct text exchange = {{3, 0, 23, 2, 'p', 'q'}, 6};
    struct text second = record_of(12, &exchange);

    add(&hello, second.bytes, second.len);
    for (size_t n = 0; n <= hello.len; n++) {
        bool over = false;
        (void)find(hello.bytes, n, &over);
    }
    for (size_t at = 0; at < hello.len; at++) {
        uint8_t kept = hello.bytes[at];

        for (unsigned value = 0; value < 256; value++) {
            bool over = false;

            hello.bytes[at] = (uint8_t)value;
            (void)find(hello.bytes, hello.len, &over);
            (void)whole(hello.bytes, hello.len);
        }
        hello.bytes[at] = kept;
    }
}

Test(tls_hello, extensions_that_claim_more_than_there_is_name_no_group)
{
    static const uint8_t too_long[] = {0, 51, 0, 7, 0, 29, 0, 2, 'a', 'b'};
    static const uint8_t too_short[] = {0, 51, 0, 1, 29};
    static const uint8_t behind[] = {0, 10, 0xff, 0xff, 0, 51, 0, 2, 0, 29};
    struct text hello = server_hello(0, too_long, sizeof too_long);
    bool over = false;

    cr_assert_eq(find(hello.bytes, hello.len, &over), 0);
    hello = server_hello(0, too_short, sizeof too_short);
    cr_assert_eq(find(hello.bytes, hello.len, &over), 0);
    hello = server_hello(0, behind, sizeof behind);
    cr_assert_eq(find(hello.bytes, hello.len, &over), 0);
    hello = server_hello(0, shares_x25519, sizeof shares_x25519);
    put16(hello.bytes + 9 + 34 + 1 + 3, sizeof shares_x25519 + 1);
    cr_assert_eq(find(hello.bytes, hello.len, &over), 0);
    cr_assert_not(over);
}
