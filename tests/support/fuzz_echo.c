#include "support/fuzz_echo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LONGEST_LINE_SHOWN = 2000,
    DATE_LEN = 29,
};

struct outcome {
    struct rig_bytes story;
    struct rig_bytes output;
    bool good; /* nothing was refused, in either direction */
};

static size_t next_step(uint8_t seed, size_t at)
{
    switch (seed & 3) {
    case 0:
        return SIZE_MAX;
    case 1:
        return 1;
    default:
        return 1 + (seed ^ (at * 7)) % 29;
    }
}

void fuzz_feed(struct rig *rig, struct cw_span input, uint8_t seed)
{
    for (size_t at = 0; at < input.len;) {
        size_t step = next_step(seed, at);
        size_t part = step < input.len - at ? step : input.len - at;

        rig_feed(rig, input.data + at, part);
        at += part;
    }
    if (seed & 0x80) {
        rig_end(rig);
    }
}

void fuzz_forget_dates(struct rig_bytes *output)
{
    static const char name[] = "\r\nDate: ";
    uint8_t *at = output->data;
    size_t left = output->len;

    while (left > 0 && (at = memmem(at, left, name, sizeof name - 1)) != NULL) {
        at += sizeof name - 1;
        left = output->len - (size_t)(at - output->data);
        memset(at, 'x', left < DATE_LEN ? left : DATE_LEN);
    }
}

/* False: the options are not allowed. */
static bool run(const struct rig_setup *setup, struct cw_span input, uint8_t seed,
                struct outcome *outcome)
{
    struct rig *rig = rig_new(setup);

    if (rig == NULL) {
        return false;
    }
    fuzz_feed(rig, input, seed);
    *outcome = (struct outcome){.good = rig->code >= 0 && rig->send_error == 0};
    rig_append(&outcome->story, rig->story.data, rig->story.len);
    rig_append(&outcome->output, rig->output.data, rig->output.len);
    rig_free(rig);
    return true;
}

static void release(struct outcome *outcome)
{
    rig_release(&outcome->story);
    rig_release(&outcome->output);
}

static struct cw_span span_of(const struct rig_bytes *bytes)
{
    return cw_span_of(bytes->data, bytes->len);
}

static void expect_same(const struct rig_bytes *a, const struct rig_bytes *b, const char *what)
{
    if (!cw_span_equal(span_of(a), span_of(b))) {
        fprintf(stderr, "fuzz_echo: %s:\n%.*s\n---- and\n%.*s\n", what, LONGEST_LINE_SHOWN,
                (const char *)a->data, LONGEST_LINE_SHOWN, (const char *)b->data);
        abort();
    }
}

/* The same story and output, however the input is cut. */
static bool run_cut(const struct rig_setup *setup, struct cw_span input, uint8_t seed,
                    struct outcome *whole)
{
    struct outcome cut;

    if (!run(setup, input, seed & 0x80, whole)) {
        return false;
    }
    for (uint8_t way = 1; way <= 2; way++) {
        run(setup, input, way == 1 ? (seed & 0x80) | 1 : seed | 2, &cut);
        expect_same(&whole->story, &cut.story, "a cut changes the messages");
        expect_same(&whole->output, &cut.output, "a cut changes the output");
        release(&cut);
    }
    return true;
}

bool fuzz_cuts(const struct rig_setup *setup, struct cw_span input, uint8_t seed)
{
    struct rig_setup echo = *setup;
    struct outcome whole;

    echo.echo = true;
    if (!run_cut(&echo, input, seed, &whole)) {
        return false;
    }
    release(&whole);
    return true;
}

bool fuzz_echo(const struct rig_setup *setup, struct cw_span input, uint8_t seed)
{
    struct rig_setup echo = *setup;
    struct outcome whole, again;

    echo.echo = true;
    if (!run_cut(&echo, input, seed, &whole)) {
        return false;
    }
    if (whole.good) {
        run(&echo, span_of(&whole.output), seed, &again);
        expect_same(&whole.story, &again.story, "what was sent is read as something else");
        expect_same(&whole.output, &again.output, "what was sent is sent differently");
        release(&again);
    }
    release(&whole);
    return true;
}
