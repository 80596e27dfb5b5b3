/* Peers of datagrams, of udp and of a protocol that numbers them. The first 4 bytes choose protocol, options and what a hook does, the
 * rest is what happens: datagrams that come, pauses, time, sends, the end.
 *
 * Whether the datagrams come in batches or alone changes nothing that is told or sent; each is heard once or counted as dropped, and
 * what is paused hears nothing. */
#include "support/rig.h"

#include <causeway/udp.h>
#include <stdio.h>
#include <stdlib.h>

extern const struct cw_protocol numbered;
#include "../docs/numbered.c"

enum {
    CHOICES = 4,
    SENT_MAX = 2000,
    STEP_MS = 700,
};

/* What happens. The upper five bits say how much, or which. */
enum deed { COMES, COMES_TOO, COMES_LONG, RUN, RESUME, PAUSE, WAIT, REST, DEEDS };
enum rest { CLOSE, ABORT, SEND, CONTROL, PAYLOAD, FULL, ROOM, RESTS };

struct play {
    struct rig *rig;
    bool batches;
    bool paused;
    size_t came; /* while it was open */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds, const char *what, const struct rig *rig)
{
    if (!holds) {
        fprintf(stderr, "fuzz_udp: %s\n%.2000s", what, rig_told(rig));
        abort();
    }
}

/* ---- what is sent ---- */

static void send_control(struct cw_conn *conn, struct cw_span bytes)
{
    const struct cw_span parts[] = {{bytes.data, bytes.len / 2},
                                    {bytes.data + bytes.len / 2, bytes.len - bytes.len / 2}};

    (void)cw_conn_write_control(conn, parts, 2);
}

static void send_payload(struct cw_conn *conn, struct cw_span bytes)
{
    struct cw_payload *payload = cw_payload_new(&bytes, 1);

    (void)cw_conn_write_payload(conn, cw_span_of("head", bytes.len % 5), payload);
    cw_payload_drop(payload);
}

static void send_some(struct rig *rig, enum rest how, size_t len)
{
    static const uint8_t zeros[SENT_MAX];
    const struct cw_span bytes = {zeros, len};
    size_t before = rig->sends;
    size_t most = 1;

    if (how == SEND) {
        most = cw_conn_send_bytes(rig->conn, zeros, len) >= 0 ? 1 : 0;
    } else if (how == CONTROL) {
        send_control(rig->conn, bytes);
    } else {
        send_payload(rig->conn, bytes);
    }
    check(rig->sends - before <= most, "one write, several datagrams", rig);
}

static void do_rest(struct play *play, enum rest what, uint8_t much)
{
    struct rig *rig = play->rig;

    switch (what) {
    case CLOSE:
        cw_conn_close(rig->conn);
        break;
    case ABORT:
        cw_conn_abort(rig->conn);
        break;
    case FULL:
    case ROOM:
        rig->peer_takes = what == ROOM;
        break;
    case SEND:
    case CONTROL:
    case PAYLOAD:
        send_some(rig, what, (size_t)much * 6);
        break;
    case RESTS:
        break;
    }
}

/* ---- what happens ---- */

/* Lets come what has been put. */
static void run(struct play *play)
{
    size_t before = play->rig->messages;

    rig_run(play->rig);
    check(!play->paused || play->rig->messages == before, "heard while paused", play->rig);
}

/* A datagram: its length, or three times that, then its bytes, or as many as there are. Returns what was used. */
static size_t come(struct play *play, struct cw_span left, bool is_long)
{
    size_t len = left.len > 0 ? left.data[0] * (is_long ? 3u : 1u) : 0;
    size_t used = left.len > 0 ? 1 : 0;

    len = len < left.len - used ? len : left.len - used;
    rig_put(play->rig, left.data + used, len);
    play->came++;
    if (!play->batches) {
        run(play);
    }
    return used + len;
}

static size_t happen(struct play *play, struct cw_span left)
{
    enum deed deed = (enum deed)(left.data[0] % DEEDS);
    uint8_t much = left.data[0] / DEEDS;
    struct cw_span behind = {left.data + 1, left.len - 1};

    if (deed <= COMES_LONG) {
        return 1 + come(play, behind, deed == COMES_LONG);
    }
    run(play);
    if (play->rig->conn == NULL) {
        return 1;
    }
    if (deed == RESUME) {
        play->paused = false;
        rig_resume(play->rig);
    } else if (deed == PAUSE) {
        play->paused = true;
        cw_conn_pause(play->rig->conn);
    } else if (deed == WAIT) {
        rig_advance(play->rig, (uint64_t)much * STEP_MS);
    } else if (deed == REST && behind.len > 0) {
        do_rest(play, (enum rest)(much % RESTS), behind.data[0]);
        return 2;
    }
    return 1;
}

static struct rig *perform(const struct rig_setup *setup, struct cw_span input, bool batches)
{
    struct play play = {.rig = rig_new(setup), .batches = batches};
    struct rig *rig = play.rig;

    while (rig != NULL && rig->conn != NULL && input.len > 0) {
        size_t used = happen(&play, input);

        input.data += used;
        input.len -= used;
    }
    if (rig != NULL) {
        run(&play);
        check(strstr(rig_told(rig), "\nwhile paused: ") == NULL, "told while paused", rig);
        uint64_t known = rig->messages + rig_dropped_paused(rig) + rig_dropped_long(rig);

        check(known <= play.came, "heard twice", rig);
        check(rig->conn == NULL || setup->protocol != &cw_udp || known == play.came,
              "neither heard nor counted", rig);
    }
    return rig;
}

static void play_both_ways(const struct rig_setup *setup, struct cw_span input)
{
    struct rig *alone = perform(setup, input, false);
    struct rig *batched = perform(setup, input, true);

    if (alone != NULL) {
        check(strcmp(rig_told(alone), rig_told(batched)) == 0, "a batch changes the messages",
              alone);
        check(strcmp(rig_sent(alone), rig_sent(batched)) == 0, "a batch changes the answers", alone);
    }
    rig_free(alone);
    rig_free(batched);
}

/* ---- without peers ---- */

static void on_datagram(struct cw_loop *loop, struct cw_datagram *from,
                        const struct cw_message *msg, void *user)
{
    struct cw_span *expected = user;
    uint64_t credit = from->credit;

    if (!cw_span_equal(*expected, msg->body) || msg->part != CW_WHOLE ||
        cw_datagram_reply(loop, from, msg->body) != CW_ENOTFOUND || from->credit != credit) {
        abort();
    }
    *expected = cw_span_of(NULL, SIZE_MAX);
}

static void ask_without_peers(const struct cw_udp_options *chosen, struct cw_span input)
{
    struct cw_udp_options options = *chosen;
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &cw_udp});
    struct cw_datagram from = {.socket = 1, .credit = 3 * input.len};
    struct cw_complaint complaint;
    struct cw_span expected = input;

    options.on_datagram = on_datagram;
    if (cw_udp.configure(&options, &complaint) == CW_OK) {
        check(cw_udp.on_datagram(cw_conn_loop(rig->conn), &options, &expected, &from, input) == 1,
              "not dealt with", rig);
        check(expected.len == SIZE_MAX, "not called", rig);
        options.on_datagram = NULL;
        check(cw_udp.on_datagram(cw_conn_loop(rig->conn), &options, NULL, &from, input) == 0,
              "dealt with by nobody", rig);
    }
    rig_free(rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t limits[] = {0, 1, 5, 100, 1472, 65507, 65508, CW_NO_LIMIT};
    static const size_t shares[] = {0, 1, 2, 7};
    static const size_t takes[] = {0, 1, 5, 1000};

    if (size < CHOICES) {
        return 0;
    }

    struct cw_udp_options options = {.datagram_max_bytes = limits[data[1] % 8],
                                     .kind = data[0] & 8 ? CW_TEXT : CW_BINARY};
    struct rig_setup setup = {
        .protocol = data[0] & 1 ? &numbered : &cw_udp,
        .options = data[0] & 1 ? NULL : &options,
        .role = data[0] & 2 ? CW_CLIENT : CW_SERVER,
        .echo = (data[0] & 4) != 0,
        .messages_per_turn = shares[data[0] / 16 % 4],
        .take = takes[data[2] % 4],
        .deed = (enum rig_deed)(data[3] % 4),
        .deed_at = data[3] / 8,
        .deed_repeats = (data[3] & 4) != 0,
    };
    struct cw_span input = {data + CHOICES, size - CHOICES};

    if (data[0] & 0x80) {
        ask_without_peers(&options, input);
    } else {
        play_both_ways(&setup, input);
    }
    return 0;
}
