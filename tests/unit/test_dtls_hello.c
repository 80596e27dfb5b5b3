/* Records and hellos of DTLS, as they lie in a datagram. */
#include "tls/dtls_hello.h"

#include <criterion/criterion.h>
#include <string.h>

enum { HEAD = 13, MESSAGE = 12, VERSION_AND_RANDOM = 34 };

/* A ClientHello as a peer sends it: session id of 4 bytes, a cookie, one suite, no compression. */
struct sample {
    uint8_t bytes[256];
    size_t len;
};

static void put(struct sample *sample, const void *bytes, size_t len)
{
    memcpy(sample->bytes + sample->len, bytes, len);
    sample->len += len;
}

static void put_fill(struct sample *sample, int value, size_t len)
{
    memset(sample->bytes + sample->len, value, len);
    sample->len += len;
}

static struct sample hello_with(const char *cookie)
{
    struct sample sample = {.len = 0};
    size_t cookie_len = strlen(cookie);
    uint8_t body_len = (uint8_t)(VERSION_AND_RANDOM + 5 + 1 + cookie_len + 2 + 2 + 2);
    const uint8_t head[HEAD] = {
        22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 7, 0, (uint8_t)(MESSAGE + body_len)};
    const uint8_t message[MESSAGE] = {1, 0, 0, body_len, 0, 1, 0, 0, 0, 0, 0, body_len};

    put(&sample, head, sizeof head);
    put(&sample, message, sizeof message);
    put(&sample, "\xfe\xfd", 2);
    put_fill(&sample, 'r', CW_DTLS_RANDOM_BYTES);
    put(&sample, "\x04sess", 5);
    put_fill(&sample, (int)cookie_len, 1);
    put(&sample, cookie, cookie_len);
    put(&sample, "\0\x02\xc0\x2b\x01\0", 6);
    return sample;
}

static bool reads(const struct sample *sample, struct cw_dtls_hello *hello)
{
    return cw_dtls_read_hello(cw_span_of(sample->bytes, sample->len), hello);
}

/* ---- hellos ---- */

Test(dtls_hello, a_hello_is_read_with_its_random_and_its_cookie)
{
    struct sample sample = hello_with("biscuit");
    struct cw_dtls_hello hello;

    cr_assert(reads(&sample, &hello));
    cr_assert_eq(hello.cookie.len, 7);
    cr_assert_eq(memcmp(hello.cookie.data, "biscuit", 7), 0);
    cr_assert_eq(hello.random[0], 'r');
    cr_assert_eq(hello.random[CW_DTLS_RANDOM_BYTES - 1], 'r');
    cr_assert_eq(hello.head, sample.bytes);
}

Test(dtls_hello, a_first_hello_has_an_empty_cookie)
{
    struct sample sample = hello_with("");
    struct cw_dtls_hello hello;

    cr_assert(reads(&sample, &hello));
    cr_assert_eq(hello.cookie.len, 0);
}

Test(dtls_hello, nothing_that_is_cut_off_is_a_hello)
{
    struct sample whole = hello_with("biscuit");
    struct cw_dtls_hello hello;

    for (size_t len = 0; len < whole.len; len++) {
        cr_assert_not(cw_dtls_read_hello(cw_span_of(whole.bytes, len), &hello), "%zu bytes", len);
    }
}

Test(dtls_hello, a_length_inside_that_points_beyond_the_message_is_no_hello)
{
    struct sample sample = hello_with("biscuit");
    struct cw_dtls_hello hello;
    size_t session = HEAD + MESSAGE + VERSION_AND_RANDOM;
    size_t cookie = session + 5;

    sample.bytes[cookie] = 200;
    cr_assert_not(reads(&sample, &hello));
    sample.bytes[cookie] = 7;
    sample.bytes[session] = 33;
    cr_assert_not(reads(&sample, &hello));
    sample.bytes[session] = 32;
    cr_assert_not(reads(&sample, &hello), "the cookie would begin behind the message");
}

Test(dtls_hello, a_fragment_of_a_hello_is_none)
{
    struct sample sample = hello_with("");
    struct cw_dtls_hello hello;

    sample.bytes[HEAD + 11]--; /* the fragment is shorter than the message */
    cr_assert_not(reads(&sample, &hello));
    sample.bytes[HEAD + 11]++;
    sample.bytes[HEAD + 8] = 1; /* it begins inside */
    cr_assert_not(reads(&sample, &hello));
    sample.bytes[HEAD + 8] = 0;
    cr_assert(reads(&sample, &hello));
}

Test(dtls_hello, other_records_and_messages_are_none)
{
    static const struct {
        size_t at;
        uint8_t value;
        const char *what;
    } cases[] = {
        {0, 23, "data"},         {0, 21, "an alert"},           {1, 3, "TLS"},
        {4, 1, "another epoch"}, {HEAD, 2, "a server's hello"}, {HEAD, 16, "a key exchange"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sample sample = hello_with("biscuit");
        struct cw_dtls_hello hello;

        sample.bytes[cases[i].at] = cases[i].value;
        cr_assert_not(reads(&sample, &hello), "%s", cases[i].what);
    }
}

/* ---- the answer ---- */

Test(dtls_hello, the_request_for_a_cookie_has_the_numbers_of_the_hello_and_is_shorter)
{
    struct sample sample = hello_with("");
    uint8_t cookie[CW_DTLS_COOKIE_BYTES];
    uint8_t out[CW_DTLS_VERIFY_BYTES];
    struct cw_dtls_hello hello;

    memset(cookie, 'c', sizeof cookie);
    cr_assert(reads(&sample, &hello));
    cw_dtls_write_verify(&hello, cookie, out);
    cr_assert_eq(memcmp(out, "\x16\xfe\xff\0\0\0\0\0\0\0\x07\0\x2f", HEAD), 0, "RFC 6347 §4.2.1");
    cr_assert_eq(memcmp(out + HEAD, "\x03\0\0\x23\0\x01\0\0\0\0\0\x23", MESSAGE), 0);
    cr_assert_eq(memcmp(out + HEAD + MESSAGE, "\xfe\xff\x20", 3), 0);
    cr_assert_eq(memcmp(out + sizeof out - sizeof cookie, cookie, sizeof cookie), 0);
    cr_assert_lt(sizeof out, sample.len, "nobody is sent more than he has sent himself");
}

/* ---- records ---- */

Test(dtls_hello, records_of_a_datagram_come_one_by_one)
{
    struct sample one = hello_with("");
    struct sample two = {.len = 0};
    struct cw_dtls_record record;
    struct cw_span datagram;

    put(&two, one.bytes, one.len);
    put(&two,
        "\x17\xfe\xfd\0\x01\0\0\0\0\0\x09\0\x03"
        "abc",
        16);
    datagram = cw_span_of(two.bytes, two.len);
    cr_assert(cw_dtls_next_record(&datagram, 8, &record));
    cr_assert_eq(record.bytes.len, one.len);
    cr_assert_eq(record.epoch, 0);
    cr_assert(cw_dtls_next_record(&datagram, 8, &record));
    cr_assert_eq(record.type, 23);
    cr_assert_eq(record.epoch, 1);
    cr_assert_eq(memcmp(record.body.data, "abc", 3), 0);
    cr_assert_null(record.cid);
    cr_assert_not(cw_dtls_next_record(&datagram, 8, &record));
}

Test(dtls_hello, a_record_with_a_connection_id_has_it_before_its_length)
{
    const uint8_t bytes[] = "\x19\xfe\xfd\0\x01\0\0\0\0\0\x09"
                            "ABCDEFGH"
                            "\0\x02xy";
    struct cw_span datagram = cw_span_of(bytes, sizeof bytes - 1);
    struct cw_dtls_record record;

    cr_assert(cw_dtls_next_record(&datagram, 8, &record), "RFC 9146 §4");
    cr_assert_eq(memcmp(record.cid, "ABCDEFGH", 8), 0);
    cr_assert_eq(record.body.len, 2);
    cr_assert_eq(datagram.len, 0);
}

Test(dtls_hello, what_is_left_of_a_broken_datagram_is_nothing)
{
    uint8_t bytes[] = "\x17\xfe\xfd\0\x01\0\0\0\0\0\x09\0\x04"
                      "abc";
    struct cw_span datagram = cw_span_of(bytes, sizeof bytes - 1);
    struct cw_dtls_record record;

    cr_assert_not(cw_dtls_next_record(&datagram, 0, &record));
    cr_assert_eq(datagram.len, 0);
}

/* ---- the group ---- */

Test(dtls_hello, the_group_is_read_from_the_first_fragment_of_a_key_exchange)
{
    uint8_t bytes[] = "\x16\xfe\xfd\0\0\0\0\0\0\0\x02\0\x11"
                      "\x0c\0\0\x90\0\x03\0\0\0\0\0\x05"
                      "\x03\0\x1d\x20x";
    struct cw_span datagram = cw_span_of(bytes, sizeof bytes - 1);

    cr_assert_eq(cw_dtls_find_group(datagram), 29, "x25519");
    bytes[13 + 8] = 1;
    cr_assert_eq(cw_dtls_find_group(datagram), 0, "another fragment says nothing of it");
}
