#include "contract/laws.h"

#include "support/fault.h"

enum {
    CUTS_MAX =
        400, /* longer input is not cut at every point, only near its ends and here and there */
    ALLOCATIONS_MAX = 10000,
};

static void feed(struct rig *rig, const struct law_vector *vector, size_t from, size_t to)
{
    rig_feed(rig, vector->input.data + from, to - from);
}

static void finish_input(struct rig *rig, const struct law_vector *vector)
{
    if (vector->ends) {
        rig_end(rig);
    }
}

static void feed_by(struct rig *rig, const struct law_vector *vector, size_t step)
{
    for (size_t at = 0; at < vector->input.len; at += step) {
        size_t left = vector->input.len - at;

        feed(rig, vector, at, at + (left < step ? left : step));
    }
    finish_input(rig, vector);
}

static struct rig *open_echo(const struct law_vector *vector)
{
    struct rig_setup setup = vector->setup;
    struct rig *rig;

    setup.echo = true;
    rig = rig_new(&setup);
    cr_assert_not_null(rig, "%s: the options are not allowed", vector->name);
    return rig;
}

static void expect_all(struct rig *rig, const struct law_vector *vector, const char *how, size_t n)
{
    struct cw_span output = cw_span_of(rig->output.data, rig->output.len);

    cr_assert_str_eq(rig_told(rig), vector->story, "%s, %s %zu:\n%s\ninstead of\n%s", vector->name,
                     how, n, rig_told(rig), vector->story);
    cr_assert(cw_span_equal(output, vector->output),
              "%s, %s %zu: %zu bytes of output instead of %zu", vector->name, how, n, output.len,
              vector->output.len);
    rig_free(rig);
}

/* ---- 1 and 2 ---- */

static void cut_at(const struct law_vector *vector, size_t cut)
{
    struct rig *rig = open_echo(vector);

    feed(rig, vector, 0, cut);
    feed(rig, vector, cut, vector->input.len);
    finish_input(rig, vector);
    expect_all(rig, vector, "cut at", cut);
}

static size_t next_cut(size_t cut, size_t len)
{
    bool near_an_end = cut < CUTS_MAX / 4 || len - cut <= CUTS_MAX / 4;

    return len <= CUTS_MAX || near_an_end ? cut + 1 : cut + len / 32;
}

void law_of_cuts(const struct law_vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct law_vector *vector = &vectors[i];

        for (size_t cut = 0; cut < vector->input.len; cut = next_cut(cut, vector->input.len)) {
            cut_at(vector, cut);
        }
        for (size_t step = 1; step <= 5; step++) {
            struct rig *rig = open_echo(vector);

            feed_by(rig, vector, step);
            expect_all(rig, vector, "in steps of", step);
        }
    }
}

void law_of_spans(const struct law_vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct rig *rig = open_echo(&vectors[i]);

        feed(rig, &vectors[i], 0, vectors[i].input.len);
        finish_input(rig, &vectors[i]);
        expect_all(rig, &vectors[i], "whole", 0);
    }
}

/* ---- 3 ---- */

void law_of_refusal(const struct law_vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct law_vector *vector = &vectors[i];
        struct rig *rig = open_echo(vector);

        if (vector->refused_at > 0) {
            feed(rig, vector, 0, vector->refused_at - 1);
            cr_assert_eq(rig->closes, 0, "%s: refused too early\n%s", vector->name, rig_told(rig));
            feed(rig, vector, vector->refused_at - 1, vector->refused_at);
            cr_assert_eq(rig->closes, 1, "%s: byte %zu is not refused", vector->name,
                         vector->refused_at);
            cr_assert_lt(rig->code, 0);
        }
        rig_free(rig);
    }
}

/* ---- 4 ---- */

static bool begins_with(struct cw_span whole, const struct rig_bytes *part)
{
    return part->len <= whole.len &&
           (part->len == 0 || memcmp(whole.data, part->data, part->len) == 0);
}

/* Returns false when there is no such hook call. */
static bool close_in(const struct law_vector *vector, enum rig_deed deed, size_t nth)
{
    struct rig_setup setup = vector->setup;
    struct rig *rig;

    setup.echo = true;
    setup.deed = deed;
    setup.deed_at = nth;
    rig = rig_new(&setup);
    cr_assert_not_null(rig);
    feed_by(rig, vector, 1);

    bool done = rig->hooks >= nth;

    if (done) {
        cr_assert_null(rig->conn, "%s: still open after hook call %zu", vector->name, nth);
        cr_assert_eq(rig->hooks, nth, "%s: hooks were called after hook call %zu", vector->name,
                     nth);
        cr_assert_eq(rig->closes, 1);
        cr_assert_eq(rig->code, deed == RIG_CLOSE ? CW_BY_APP : CW_BY_ABORT, "%s: %s", vector->name,
                     rig_told(rig));
        cr_assert(begins_with(vector->output, &rig->output));
    }
    rig_free(rig);
    return done;
}

void law_of_closing(const struct law_vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t nth = 1; close_in(&vectors[i], RIG_CLOSE, nth); nth++) {}
        for (size_t nth = 1; close_in(&vectors[i], RIG_ABORT, nth); nth++) {}
    }
}

/* ---- 5 ---- */

/* Both end with the same code; the wording may be lost. */
static bool fails_alike(const struct rig *rig, const struct law_vector *vector)
{
    const char *expected = strstr(vector->story, "\nclose ");
    const char *seen = strstr(rig_told(rig), "\nclose ");

    return rig->code < 0 && expected != NULL && seen != NULL &&
           strncmp(expected, seen, strcspn(expected, ":")) == 0;
}

/* Everything as it should be, or an error that somebody was told of. */
static void expect_sense(struct rig *rig, const struct law_vector *vector, size_t nth)
{
    bool told = rig == NULL || rig->send_error == CW_ENOMEM || rig->code == CW_ENOMEM;

    if (!told && !fails_alike(rig, vector)) {
        expect_all(rig, vector, "without allocation", nth);
        return;
    }
    cr_assert(rig == NULL || rig->send_error != 0 || begins_with(vector->output, &rig->output),
              "%s, without allocation %zu: wrong output", vector->name, nth);
    rig_free(rig);
}

/* Returns false when there is no n-th allocation. */
static bool fail_at(const struct law_vector *vector, size_t nth)
{
    struct rig_setup setup = vector->setup;
    struct rig *rig;

    setup.echo = true;
    setup.fail_at = nth;
    rig = rig_new(&setup);
    if (rig != NULL) {
        feed_by(rig, vector, 3);
    }

    bool failed = fault_disarm();

    expect_sense(rig, vector, nth);
    return failed;
}

void law_of_memory(const struct law_vector *vectors, size_t count)
{
    fault_install();
    for (size_t i = 0; i < count; i++) {
        size_t nth = 1;

        while (nth < ALLOCATIONS_MAX && fail_at(&vectors[i], nth)) {
            nth++;
        }
        cr_assert_gt(nth, 1, "%s: no allocation failed, so nothing was shown", vectors[i].name);
    }
    fault_remove();
}

/* ---- 6 ---- */

void law_of_slow_peers(const struct law_vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct law_vector slow = vectors[i];
        struct rig *rig;

        slow.setup.take = slow.output.len > 4096 ? 997 : 1;
        slow.setup.out_high = 8;
        rig = open_echo(&slow);
        feed(rig, &slow, 0, slow.input.len);
        finish_input(rig, &slow);
        expect_all(rig, &slow, "taken by", slow.setup.take);
    }
}

/* ---- 7 ---- */

static void pause_at(const struct law_vector *vector, size_t nth, bool again, size_t step)
{
    struct rig_setup setup = vector->setup;
    struct rig *rig;
    size_t hooks;

    setup.echo = true;
    setup.deed = RIG_PAUSE;
    setup.deed_at = nth;
    setup.deed_repeats = again;
    rig = rig_new(&setup);
    cr_assert_not_null(rig);
    feed_by(rig, vector, step);
    do {
        hooks = rig->hooks;
        cr_assert(rig->conn == NULL || hooks >= nth, "%s: hook call %zu does not come",
                  vector->name, nth);
        rig_resume(rig);
    } while (rig->hooks > hooks);
    expect_all(rig, vector, "paused in hook call", nth);
}

static size_t count_hooks(const struct law_vector *vector, size_t step)
{
    struct rig *rig = open_echo(vector);
    size_t hooks;

    feed_by(rig, vector, step);
    hooks = rig->hooks;
    rig_free(rig);
    return hooks;
}

void law_of_holding(const struct law_vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct law_vector *vector = &vectors[i];
        size_t whole = vector->input.len > 0 ? vector->input.len : 1;
        struct law_vector yielding = *vector;
        struct rig *rig;

        for (size_t nth = 1; nth <= count_hooks(vector, whole); nth++) {
            pause_at(vector, nth, false, whole);
            pause_at(vector, nth, true, whole);
        }
        for (size_t nth = 1; nth <= count_hooks(vector, 2); nth++) {
            pause_at(vector, nth, nth % 2 == 0, 2);
        }
        yielding.setup.messages_per_turn = 1;
        rig = open_echo(&yielding);
        feed_by(rig, vector, whole);
        expect_all(rig, vector, "with a turn for each message", 1);
    }
}
