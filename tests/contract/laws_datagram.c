#include "contract/laws_datagram.h"

#include "support/fault.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    DATAGRAMS_MAX = 64, /* of a vector */
    ARRIVALS_MAX = 3 * DATAGRAMS_MAX,
    RUNS = 200, /* of loss and disorder by chance */
    ALLOCATIONS_MAX = 10000,
    ROUNDS = 20,
};

/* Which datagrams of a vector arrive, in which order. */
struct arrivals {
    size_t at[ARRIVALS_MAX];
    size_t count;
};

static struct rig *open_echo(const struct datagram_vector *vector)
{
    struct rig_setup setup = vector->setup;
    struct rig *rig;

    setup.echo = true;
    rig = rig_new(&setup);
    cr_assert_not_null(rig, "%s: the options are not allowed", vector->name);
    return rig;
}

static void put(struct rig *rig, const struct datagram_vector *vector, size_t at)
{
    rig_put(rig, vector->datagrams[at].data, vector->datagrams[at].len);
}

/* So many in a turn. */
static void feed_by(struct rig *rig, const struct datagram_vector *vector, size_t step)
{
    for (size_t i = 0; i < vector->count; i++) {
        put(rig, vector, i);
        if ((i + 1) % step == 0) {
            rig_run(rig);
        }
    }
    rig_run(rig);
}

static void expect(const struct rig *rig, const struct datagram_vector *vector, const char *how)
{
    cr_assert_str_eq(rig_told(rig), vector->story, "%s, %s:\n%s\ninstead of\n%s", vector->name, how,
                     rig_told(rig), vector->story);
    cr_assert_str_eq(rig_sent(rig), vector->sent, "%s, %s: sent\n%s\ninstead of\n%s", vector->name,
                     how, rig_sent(rig), vector->sent);
}

static bool ends(const struct datagram_vector *vector)
{
    return strstr(vector->story, "\nclose ") != NULL;
}

/* ---- 1 ---- */

void law_of_batches(const struct datagram_vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t step = 1; step <= vectors[i].count + 1; step++) {
            for (size_t per_turn = 0; per_turn <= 2; per_turn++) {
                struct datagram_vector yielding = vectors[i];
                struct rig *rig;

                yielding.setup.messages_per_turn = per_turn;
                rig = open_echo(&yielding);
                feed_by(rig, &vectors[i], step);
                expect(rig, &vectors[i], "in batches");
                rig_free(rig);
            }
        }
    }
}

/* ---- 2 ---- */

static void add(struct arrivals *arrivals, size_t at)
{
    if (arrivals->count < ARRIVALS_MAX) {
        arrivals->at[arrivals->count++] = at;
    }
}

static uint32_t next_number(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static struct arrivals by_chance(size_t count, uint32_t seed)
{
    struct arrivals arrivals = {.count = 0};

    for (size_t i = 0; i < count; i++) {
        uint32_t luck = next_number(&seed) % 8;

        for (uint32_t copies = luck < 2 ? 0 : luck > 5 ? 2 : 1; copies > 0; copies--) {
            add(&arrivals, i);
        }
    }
    for (size_t i = arrivals.count; i > 1; i--) {
        size_t other = next_number(&seed) % (seed % 2 ? i : (i < 4 ? i : 4));
        size_t swap = arrivals.at[i - 1];

        arrivals.at[i - 1] = arrivals.at[i - 1 - other];
        arrivals.at[i - 1 - other] = swap;
    }
    return arrivals;
}

/* What one datagram comes to when it comes alone. */
struct alone {
    struct rig_bytes story;
    struct rig_bytes sent;
};

static struct alone learn(const struct datagram_vector *vector, size_t at)
{
    struct rig *rig = open_echo(vector);
    struct alone alone = {.story = {0}};
    size_t open = strlen("open\n");

    put(rig, vector, at);
    rig_run(rig);
    cr_assert(rig->closes == 0 || vector->ordered,
              "%s: it ends the connection, so there is an order", vector->name);
    rig_append(&alone.story, rig->story.data + open, rig->story.len - open);
    rig_append(&alone.sent, rig_sent(rig), strlen(rig_sent(rig)));
    rig_free(rig);
    return alone;
}

static bool is_known(const char *line, const struct datagram_vector *vector,
                     const struct alone *alone)
{
    bool known = strstr(vector->story, line) != NULL;

    for (size_t i = 0; i < vector->count && !known; i++) {
        known = strstr((const char *)alone[i].story.data, line) != NULL;
    }
    return known;
}

/* Every line of the text is one of the vector's story, or of what one of its datagrams comes to: nothing was made up. */
static void expect_known(const char *text, const struct datagram_vector *vector,
                         const struct alone *alone)
{
    while (*text != '\0') {
        int len = (int)strcspn(text, "\n");
        char line[8192];

        cr_assert_lt(len, (int)sizeof line - 2);
        snprintf(line, sizeof line, "%.*s\n", len, text);
        cr_assert(is_known(line, vector, alone), "%s: made up: %s", vector->name, line);
        text += len + 1;
    }
}

static void judge(const struct rig *rig, const struct datagram_vector *vector,
                  const struct arrivals *arrivals, const struct alone *alone)
{
    struct rig_bytes story = {0};
    struct rig_bytes sent = {0};

    if (vector->ordered) {
        expect_known(rig_told(rig), vector, alone);
        cr_assert_leq(rig->closes, 1);
        return;
    }
    rig_append(&story, "open\n", 5);
    rig_append(&sent, "", 0);
    for (size_t i = 0; i < arrivals->count; i++) {
        const struct alone *one = &alone[arrivals->at[i]];

        rig_append(&story, one->story.data, one->story.len);
        rig_append(&sent, one->sent.data, one->sent.len);
    }
    cr_assert_str_eq(rig_told(rig), (const char *)story.data, "%s:\n%s\ninstead of\n%s",
                     vector->name, rig_told(rig), (const char *)story.data);
    cr_assert_str_eq(rig_sent(rig), (const char *)sent.data, "%s: sent", vector->name);
    rig_release(&story);
    rig_release(&sent);
}

static void arrive(const struct datagram_vector *vector, const struct arrivals *arrivals,
                   const struct alone *alone, size_t step)
{
    struct rig *rig = open_echo(vector);

    for (size_t i = 0; i < arrivals->count; i++) {
        put(rig, vector, arrivals->at[i]);
        if ((i + 1) % step == 0) {
            rig_run(rig);
        }
    }
    rig_run(rig);
    judge(rig, vector, arrivals, alone);
    rig_free(rig);
}

/* Each lost alone, each doubled alone, each two changed over, all the other way round, none. */
static void arrive_in_plain_ways(const struct datagram_vector *vector, const struct alone *alone)
{
    struct arrivals backwards = {.count = 0};

    for (size_t odd = 0; odd < vector->count; odd++) {
        struct arrivals lost = {.count = 0};
        struct arrivals doubled = {.count = 0};
        struct arrivals swapped = {.count = 0};

        for (size_t i = 0; i < vector->count; i++) {
            if (i != odd) {
                add(&lost, i);
            } else {
                add(&doubled, i);
            }
            add(&doubled, i);
            add(&swapped, i == odd ? (i + 1) % vector->count : i == odd + 1 ? odd : i);
        }
        arrive(vector, &lost, alone, 1);
        arrive(vector, &doubled, alone, 1);
        arrive(vector, &swapped, alone, 1);
        add(&backwards, vector->count - 1 - odd);
    }
    arrive(vector, &backwards, alone, 1);
    arrive(vector, &(struct arrivals){.count = 0}, alone, 1);
}

void law_of_losses(const struct datagram_vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct datagram_vector *vector = &vectors[i];
        struct alone alone[DATAGRAMS_MAX] = {{.story = {0}}};

        cr_assert_leq(vector->count, DATAGRAMS_MAX);
        for (size_t n = 0; n < vector->count; n++) {
            alone[n] = learn(vector, n);
        }
        arrive_in_plain_ways(vector, alone);
        for (uint32_t seed = 1; seed <= RUNS; seed++) {
            struct arrivals arrivals = by_chance(vector->count, seed);

            arrive(vector, &arrivals, alone, 1 + seed % 5);
        }
        for (size_t n = 0; n < vector->count; n++) {
            rig_release(&alone[n].story);
            rig_release(&alone[n].sent);
        }
    }
}

/* ---- 3 ---- */

/* Returns false when there is no such hook call. */
static bool close_in(const struct datagram_vector *vector, enum rig_deed deed, size_t nth,
                     size_t step)
{
    struct datagram_vector closing = *vector;
    struct rig *rig;
    bool done;

    closing.setup.deed = deed;
    closing.setup.deed_at = nth;
    rig = open_echo(&closing);
    feed_by(rig, vector, step);
    done = rig->hooks >= nth;
    if (done) {
        cr_assert_null(rig->conn, "%s: still open after hook call %zu", vector->name, nth);
        cr_assert_eq(rig->hooks, nth, "%s: hooks were called after hook call %zu", vector->name,
                     nth);
        cr_assert_eq(rig->closes, 1);
        cr_assert_eq(rig->code, deed == RIG_CLOSE ? CW_BY_APP : CW_BY_ABORT, "%s: %s", vector->name,
                     rig_told(rig));
        cr_assert_eq(strncmp(vector->sent, rig_sent(rig), strlen(rig_sent(rig))), 0,
                     "%s: sent after hook call %zu\n%s", vector->name, nth, rig_sent(rig));
    }
    rig_free(rig);
    return done;
}

void law_of_datagram_closing(const struct datagram_vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t step = 1; step <= vectors[i].count + 1; step += vectors[i].count) {
            for (size_t nth = 1; close_in(&vectors[i], RIG_CLOSE, nth, step); nth++) {}
            for (size_t nth = 1; close_in(&vectors[i], RIG_ABORT, nth, step); nth++) {}
        }
    }
}

/* ---- 4 ---- */

static size_t count_lines(const char *text)
{
    size_t lines = 0;

    for (; *text != '\0'; text++) {
        lines += *text == '\n';
    }
    return lines;
}

/* Returns how many came behind the hook call that paused. */
static size_t feed_until_paused(struct rig *rig, const struct datagram_vector *vector, size_t nth,
                                bool alone)
{
    size_t missed = nth == 1 ? vector->count : 0;

    for (size_t i = 0; i < vector->count; i++) {
        size_t before = rig->hooks;

        put(rig, vector, i);
        if (alone) {
            rig_run(rig);
        }
        missed = before < nth && rig->hooks >= nth ? vector->count - 1 - i : missed;
    }
    rig_run(rig);
    return missed;
}

static void expect_heard_again(struct rig *rig, const struct datagram_vector *vector)
{
    size_t lines = count_lines(rig_told(rig));

    rig_resume(rig);
    cr_assert_eq(count_lines(rig_told(rig)), lines, "%s: something had waited", vector->name);
    feed_by(rig, vector, 1);
    cr_assert_eq(count_lines(rig_told(rig)), lines + count_lines(vector->story) - 1,
                 "%s: not heard after a pause", vector->name);
}

/* False: there is no such hook call. */
static bool pause_in(const struct datagram_vector *vector, size_t nth, bool alone)
{
    struct datagram_vector pausing = *vector;
    struct rig *rig;
    size_t missed;
    bool done;

    pausing.setup.deed = RIG_PAUSE;
    pausing.setup.deed_at = nth;
    rig = open_echo(&pausing);
    missed = feed_until_paused(rig, vector, nth, alone);
    done = rig->hooks >= nth;
    if (done) {
        cr_assert_eq(rig->hooks, nth, "%s: %s", vector->name, rig_told(rig));
        cr_assert(!alone || rig_dropped_paused(rig) == missed,
                  "%s, paused in hook call %zu: %lu instead of %zu", vector->name, nth,
                  (unsigned long)rig_dropped_paused(rig), missed);
    }
    if (done && !vector->ordered) {
        expect_heard_again(rig, vector);
    }
    rig_free(rig);
    return done;
}

void law_of_pauses(const struct datagram_vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t nth = 1; !ends(&vectors[i]) && pause_in(&vectors[i], nth, true); nth++) {}
        for (size_t nth = 1; !ends(&vectors[i]) && pause_in(&vectors[i], nth, false); nth++) {}
    }
}

/* ---- 5 ---- */

/* Returns false when there is no n-th allocation. */
static bool fail_at(const struct datagram_vector *vector, size_t nth)
{
    struct rig_setup setup = vector->setup;
    struct rig *rig;
    bool failed;

    setup.echo = true;
    setup.fail_at = nth;
    rig = rig_new(&setup);
    if (rig != NULL) {
        feed_by(rig, vector, 1);
    }
    failed = fault_disarm();
    if (rig != NULL && rig->send_error != CW_ENOMEM && rig->code != CW_ENOMEM) {
        expect(rig, vector, "without an allocation");
    }
    rig_free(rig);
    return failed;
}

void law_of_datagram_memory(const struct datagram_vector *vectors, size_t count)
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

void law_of_steady_state(const struct datagram_vector *vectors, size_t count)
{
    fault_install();
    for (size_t i = 0; i < count; i++) {
        struct rig *rig = ends(&vectors[i]) ? NULL : open_echo(&vectors[i]);

        if (rig != NULL) {
            feed_by(rig, &vectors[i], 1);
            fault_arm(1);
            for (size_t round = 0; round < ROUNDS; round++) {
                feed_by(rig, &vectors[i], 1 + round % vectors[i].count);
            }
            cr_assert_not(fault_disarm(), "%s: a datagram cost memory", vectors[i].name);
            rig_free(rig);
        }
    }
    fault_remove();
}

/* ---- 7 ---- */

void law_of_full_sockets(const struct datagram_vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct datagram_vector *vector = &vectors[i];
        struct rig *rig = open_echo(vector);

        rig->peer_takes = false;
        feed_by(rig, vector, 1);
        cr_assert_str_eq(rig_told(rig), vector->story, "%s: %s", vector->name, rig_told(rig));
        cr_assert_eq(rig->sends, 0);
        cr_assert_eq(rig->send_error, vector->sent[0] != '\0' ? CW_EFULL : 0, "%s", vector->name);
        rig->peer_takes = true;
        rig_run(rig);
        cr_assert_eq(rig->sends, 0, "%s: something had waited", vector->name);
        if (!vector->ordered) {
            feed_by(rig, vector, 1);
            cr_assert_str_eq(rig_sent(rig), vector->sent, "%s", vector->name);
        }
        rig_free(rig);
    }
}

/* ---- 8 ---- */

static void expect_same(struct rig *rig, const struct cw_message *msg, const char *name)
{
    const struct cw_protocol *protocol = cw_conn_protocol(rig->conn);
    struct cw_wire_format format = {.loop = cw_conn_loop(rig->conn),
                                    .options = cw_conn_options(rig->conn),
                                    .role = cw_conn_role(rig->conn),
                                    .key = 1};
    struct cw_payload *payload = NULL;
    size_t before = rig->sends;
    int encoded;
    int sent = cw_conn_send(rig->conn, msg);

    format.key =
        protocol->wire_key ? protocol->wire_key(rig->conn, cw_conn_state(rig->conn)) : format.key;
    encoded = protocol->encode(&format, msg, &payload);
    cr_assert_eq(encoded < 0 ? encoded : 0, sent < 0 ? sent : 0,
                 "%s: %zu bytes, part %d: encode says %s, send says %s", name, msg->body.len,
                 (int)msg->part, cw_error_name(encoded), cw_error_name(sent));
    cr_assert_eq(rig->sends, before + (sent >= 0 ? 1 : 0), "%s: one message, one datagram", name);
    if (encoded == CW_OK) {
        cr_assert(cw_span_equal(cw_payload_span(payload), rig_sent_at(rig, before)),
                  "%s: %zu bytes", name, msg->body.len);
        cw_payload_drop(payload);
    }
}

static void send_and_encode(const struct datagram_vector *vector)
{
    static const enum cw_part parts[] = {CW_WHOLE, CW_BEGIN, CW_CHUNK, CW_END};
    struct rig *rig = rig_new(&vector->setup);
    size_t max = 65600;
    uint8_t *bytes = malloc(max);

    cr_assert_not_null(bytes);
    cr_assert_not_null(rig);
    memset(bytes, 'x', max);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && rig->conn; i++) {
        for (size_t len = 0; len <= max; len = len < 70 ? len + 1 : len * 2 + 1) {
            struct cw_message msg = {.body = {bytes, len}, .part = parts[i]};

            expect_same(rig, &msg, vector->name);
            msg.kind = CW_TEXT;
            expect_same(rig, &msg, vector->name);
        }
    }
    for (size_t len = 65490; len < 65530 && rig->conn; len++) {
        expect_same(rig, &(struct cw_message){.body = {bytes, len}}, vector->name);
    }
    free(bytes);
    rig_free(rig);
}

void law_of_encoding(const struct datagram_vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (vectors[i].setup.protocol->encode != NULL) {
            send_and_encode(&vectors[i]);
        }
    }
}
