#include "http/http_parse.h"
#include "support/leak.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(http_chunks, .fini = rig_expect_no_leak, .timeout = 60);

enum { ROOM = 4096, MAX = 1000 };

/* What became of a body. */
struct outcome {
    ptrdiff_t status; /* 0: whole or more is needed; otherwise minus the status */
    size_t used;      /* up to the trailers, or to the end of the input */
    uint8_t step;
    size_t len;
    uint8_t body[ROOM];
};

static uint64_t body_max = MAX;

/* Everything that `len` bytes give, as a connection would ask for it. */
static void feed(struct cw_http_chunks *chunks, struct outcome *outcome, const char *text,
                 size_t len)
{
    while (outcome->status == 0) {
        struct cw_span piece;
        const char *why = NULL;
        ptrdiff_t used = cw_http_chunks_next(
            chunks, body_max, cw_span_of(text + outcome->used, len - outcome->used), &piece, &why);

        outcome->step = chunks->step;
        if (used <= 0) {
            outcome->status = used;
            cr_expect(used == 0 || why != NULL, "refused without a sentence");
            return;
        }
        memcpy(outcome->body + outcome->len, piece.data, piece.len);
        outcome->len += piece.len;
        outcome->used += (size_t)used;
    }
}

static void expect_same(const struct outcome *a, const struct outcome *b, const char *text)
{
    cr_expect_eq(a->status, b->status, "%s", text);
    cr_expect_eq(a->step, b->step, "%s", text);
    cr_expect_eq(a->len, b->len, "%s", text);
    cr_expect(memcmp(a->body, b->body, a->len) == 0, "%s", text);
    cr_expect(a->status != 0 || a->used == b->used, "%s", text);
}

static struct outcome outcome_by(const char *text, size_t len, size_t first, size_t each)
{
    struct cw_http_chunks chunks = {0};
    struct outcome outcome = {0};

    for (size_t n = first; n < len && outcome.status == 0; n += each) {
        feed(&chunks, &outcome, text, n);
    }
    if (outcome.status == 0) {
        feed(&chunks, &outcome, text, len);
    }
    return outcome;
}

/* What becomes of a body, however it comes. */
static struct outcome outcome_of(const char *text, size_t len)
{
    struct outcome whole = outcome_by(text, len, len, 1);
    struct outcome bytes = outcome_by(text, len, 0, 1);

    expect_same(&bytes, &whole, text);
    for (size_t cut = 0; cut < len; cut++) {
        struct outcome two = outcome_by(text, len, cut, len);

        expect_same(&two, &whole, text);
    }
    return whole;
}

static void expect_body(const char *text, const char *body)
{
    struct outcome outcome = outcome_of(text, strlen(text));

    cr_expect_eq(outcome.status, 0, "%s", text);
    cr_expect_eq(outcome.step, CW_CHUNK_TRAILERS, "%s", text);
    cr_expect_eq(outcome.len, strlen(body), "%s", text);
    cr_expect(memcmp(outcome.body, body, strlen(body)) == 0, "%s", text);
}

static void expect_refusal(const char *text, int status)
{
    cr_expect_eq(outcome_of(text, strlen(text)).status, -status, "%s", text);
}

Test(http_chunks, pieces_are_handed_over_in_order_and_the_trailers_are_left)
{
    static const char text[] = "5\r\nhello\r\n1\r\n \r\n05\r\nworld\r\n0\r\nA: b\r\n\r\n";
    struct outcome outcome = outcome_of(text, sizeof text - 1);

    expect_body(text, "hello world");
    cr_expect_str_eq(text + outcome.used, "A: b\r\n\r\n");
}

Test(http_chunks, a_chunk_may_hold_anything)
{
    expect_body("9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n\r\n");
}

Test(http_chunks, sizes_are_hexadecimal_in_any_case)
{
    char text[ROOM];

    snprintf(text, sizeof text, "1a\r\n%026d\r\n1A\r\n%026d\r\n000\r\n\r\n", 0, 0);
    expect_body(text, "0000000000000000000000000000000000000000000000000000");
    expect_body("0000000000000001\r\na\r\n0\r\n\r\n", "a");
}

Test(http_chunks, extensions_are_judged_and_left_aside)
{
    expect_body("1;a\r\nx\r\n0;b\r\n\r\n", "x");
    expect_body("1;a=b;c=\"d;\\\"e\xff\t\"\r\nx\r\n0\r\n\r\n", "x");
    expect_body("1 ; a = b\t; c\r\nx\r\n0 ;d=\"\"\r\n\r\n", "x");
}

Test(http_chunks, what_is_no_chunk_is_refused)
{
    static const char *const texts[] = {
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        " 1\r\n",
        "0x1\r\n",
        "1\nx\r\n",
        "1\rx",
        "1 \r\nx\r\n",
        "1\t\r\nx\r\n",
        "1,\r\nx\r\n",
        "1 1\r\nx\r\n",
        "1;\r\nx\r\n",
        "1; \r\nx\r\n",
        "1;=a\r\nx\r\n",
        "1;a=\r\nx\r\n",
        "1;a \r\nx\r\n",
        "1;a=b c\r\nx\r\n",
        "1;a=\"b\r\nx\r\n",
        "1;a=\"b\"c\r\nx\r\n",
        "1;a=\"\\\r\n\"\r\nx\r\n",
        "1;a=b \r\nx\r\n",
        "1;a=\x01\r\nx\r\n",
        "1;a\nx\r\n",
        "1;a=\"\n\"\r\nx\r\n",
        "1;a;;b\r\nx\r\n",
        "1\r\nxy\r\n",
        "1\r\nx\n",
        "1\r\nx\r\r\n",
        "1\r\nx0\r\n\r\n",
        "0\n\r\n",
        "00000000000000001\r\nx\r\n",
        "10000000000000000\r\n",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        expect_refusal(texts[i], 400);
    }
    cr_expect_eq(outcome_of("1\0\r\nx\r\n", 7).status, -400);
}

Test(http_chunks, a_chunk_that_passes_the_limit_is_refused_at_its_size)
{
    char text[ROOM];

    expect_refusal("3e9\r\n", 413);
    expect_refusal("ffffffffffffffff\r\n", 413);
    expect_refusal("7fffffffffffffff\r\n", 413);
    snprintf(text, sizeof text, "1f4\r\n%0500d\r\n1f5\r\n", 0);
    expect_refusal(text, 413);
    snprintf(text, sizeof text, "1f4\r\n%0500d\r\n1f4\r\n%0500d\r\n0\r\n\r\n", 0, 0);
    cr_expect_eq(outcome_by(text, strlen(text), strlen(text), 1).len, MAX);
    cr_expect_eq(outcome_by(text, strlen(text), strlen(text), 1).step, CW_CHUNK_TRAILERS);
}

Test(http_chunks, without_a_limit_sizes_still_do_not_wrap_around)
{
    body_max = UINT64_MAX;
    cr_expect_eq(outcome_of("ffffffffffffffff\r\nabc", 21).len, 3);

    struct cw_http_chunks chunks = {.total = UINT64_MAX - 1};
    struct cw_span piece;
    const char *why = NULL;
    cr_expect_eq(cw_http_chunks_next(&chunks, UINT64_MAX, cw_span_text("2\r\n"), &piece, &why),
                 -413);
}

Test(http_chunks, a_size_line_is_bounded)
{
    char text[ROOM];

    snprintf(text, sizeof text, "1;a=%0*d\r\nx\r\n0\r\n\r\n", CW_CHUNK_LINE_MAX - 6, 0);
    expect_body(text, "x");
    snprintf(text, sizeof text, "1;a=%0*d\r\nx\r\n0\r\n\r\n", CW_CHUNK_LINE_MAX - 5, 0);
    expect_refusal(text, 400);
}

Test(http_chunks, bytes_of_size_lines_are_counted)
{
    static const char text[] = "1;a\r\nx\r\n2\r\nyz\r\n0\r\n";
    struct cw_http_chunks chunks = {0};
    struct outcome outcome = {0};

    feed(&chunks, &outcome, text, sizeof text - 1);
    cr_expect_eq(chunks.overhead, 5 + 3 + 3);
    cr_expect_eq(chunks.total, 3);
}

Test(http_chunks, size_lines_that_outweigh_their_data_are_refused)
{
    struct cw_http_chunks few = {.total = 100, .overhead = CW_CHUNK_OVERHEAD_FREE + 1600};
    struct cw_http_chunks many = few;
    struct outcome fine = {0};
    struct outcome refused = {0};

    many.overhead += 40;
    feed(&few, &fine, "1;a=b\r\nx\r\n", 10);
    feed(&many, &refused, "1;a=b\r\nx\r\n", 10);
    cr_expect_eq(fine.status, 0);
    cr_expect_eq(refused.status, -400);
}

Test(http_chunks, nothing_behind_the_last_chunk_is_touched)
{
    static const char text[] = "0\r\n5\r\nhello\r\n";
    struct outcome outcome = outcome_of(text, sizeof text - 1);

    cr_expect_eq(outcome.used, 3);
    cr_expect_eq(outcome.len, 0);
}
