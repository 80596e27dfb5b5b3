/* Sends packets, no more than a window of them on their way, and measures how long each acknowledgement
 * takes. Three things let it go on: an acknowledgement, a queue that has drained, and, with a rate, time. */
#include "packet.h"
#include "stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <causeway/causeway.h>

enum {
    SEQUENCES = 65536,
    TICK_MS = 5,
};

struct sender {
    struct stream_send_options options;
    struct cw_loop *loop;
    int64_t client; /* of cw_connect */
    uint64_t started_us;
    uint64_t waiting_since_us; /* for an acknowledgement */
    uint64_t sent;
    uint64_t acked;
    bool connected;
    bool queue_full;             /* until on_drain */
    uint64_t sent_us[SEQUENCES]; /* by sequence; 0: not on its way */
    uint32_t *round_trips_us;    /* of those acknowledged */
    uint8_t *bytes;              /* the packet that is being sent */
};

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- sending ---- */

static uint64_t due(const struct sender *sender, uint64_t now)
{
    const struct stream_send_options *options = &sender->options;
    uint64_t by_window = sender->acked + options->window;
    uint64_t count = options->packets < by_window ? options->packets : by_window;

    if (options->rate != CW_NO_LIMIT) {
        uint64_t by_rate = 1 + (now - sender->started_us) * options->rate / 1000000;
        count = count < by_rate ? count : by_rate;
    }
    return count;
}

static void send_next(struct sender *sender, struct cw_conn *conn, uint64_t now)
{
    bool video = sender->sent % 2 == 1;
    const struct packet packet = {.type = video ? PACKET_VIDEO : PACKET_AUDIO,
                                  .sequence = (uint16_t)sender->sent,
                                  .timestamp = (uint32_t)((now - sender->started_us) / 1000)};
    uint64_t len = video ? sender->options.video_bytes : sender->options.audio_bytes;

    packet_write_header(sender->bytes, &packet);
    int sent = cw_conn_send_bytes(conn, sender->bytes, PACKET_HEADER_BYTES + (size_t)len);
    if (sent >= 0) {
        sender->waiting_since_us = sender->sent == sender->acked ? now : sender->waiting_since_us;
        sender->sent_us[packet.sequence] = now;
        sender->sent++;
    } else if (sent != CW_EFULL) {
        fprintf(stderr, "stream: send: %s\n", cw_strerror(sent));
        cw_loop_stop(sender->loop);
    }
    sender->queue_full = sent != 0;
}

static void send_due(struct sender *sender)
{
    struct cw_conn *conn = cw_client_conn(sender->loop, sender->client);
    uint64_t now = now_us();
    uint64_t until = due(sender, now);

    while (conn != NULL && !sender->queue_full && sender->sent < until) {
        send_next(sender, conn, now);
    }
}

/* ---- hooks ---- */

static void on_tick(struct cw_loop *loop, void *user)
{
    struct sender *sender = user;

    if (sender->sent > sender->acked &&
        now_us() - sender->waiting_since_us > sender->options.patience_ms * 1000) {
        fprintf(stderr, "stream: no acknowledgement for %" PRIu64 " ms\n",
                sender->options.patience_ms);
        cw_loop_stop(loop);
        return;
    }
    send_due(sender);
}

static void on_connection(struct cw_conn *conn, void *user)
{
    struct sender *sender = user;

    sender->connected = true;
    sender->started_us = now_us();
    if (cw_timer_start(sender->loop, TICK_MS, TICK_MS, on_tick, sender) == NULL) {
        cw_conn_abort(conn);
        return;
    }
    send_due(sender);
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct sender *sender = user;
    uint64_t now = now_us();
    uint16_t sequence;

    if (!packet_read_ack(msg->body, &sequence) || sender->sent_us[sequence] == 0) {
        fprintf(stderr, "stream: the server acknowledged what was not sent\n");
        cw_loop_stop(sender->loop);
        return;
    }
    sender->round_trips_us[sender->acked++] = (uint32_t)(now - sender->sent_us[sequence]);
    sender->sent_us[sequence] = 0;
    sender->waiting_since_us = now;
    if (sender->acked == sender->options.packets) {
        cw_loop_stop(sender->loop);
    } else {
        send_due(sender);
    }
}

static void on_drain(struct cw_conn *conn, void *user)
{
    struct sender *sender = user;

    sender->queue_full = false;
    send_due(sender);
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct sender *sender = user;

    if (reason->code != CW_BY_STOP) {
        fprintf(stderr, "stream: connection lost: %s\n", reason->text);
        cw_loop_stop(sender->loop);
    }
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    struct sender *sender = user;

    /* on_close tells of a connection that was open. */
    if (!sender->connected) {
        fprintf(stderr, "stream: %s\n", report->text);
        cw_loop_stop(sender->loop);
    }
}

static const struct cw_hooks hooks = {.on_connection = on_connection,
                                      .on_data = on_data,
                                      .on_drain = on_drain,
                                      .on_close = on_close,
                                      .on_error = on_error};

/* ---- the result ---- */

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static double percentile_ms(const struct sender *sender, uint64_t percent)
{
    uint64_t index = (sender->acked - 1) * percent / 100;

    return sender->round_trips_us[index] / 1000.0;
}

static void print_result(const struct sender *sender)
{
    printf("sent %" PRIu64 "\nacknowledged %" PRIu64 "\nlost %" PRIu64 "\n", sender->sent,
           sender->acked, sender->sent - sender->acked);
    if (sender->acked > 0) {
        qsort(sender->round_trips_us, sender->acked, sizeof sender->round_trips_us[0], compare);
        printf("round trip p50 %.3f ms, p99 %.3f ms\n", percentile_ms(sender, 50),
               percentile_ms(sender, 99));
    }
}

/* ---- the program ---- */

static int complain(const char *what, int code)
{
    fprintf(stderr, "stream: %s: %s\n", what, cw_strerror(code));
    return 1;
}

static int run(struct sender *sender, uint64_t largest)
{
    const char *address = sender->options.address;
    const struct cw_framed_options framed = {.frame_max_bytes = largest};

    if (sender->loop == NULL || sender->round_trips_us == NULL || sender->bytes == NULL) {
        return complain("start", CW_ENOMEM);
    }
    sender->client = cw_connect(sender->loop, cw_framed_service(&framed, &hooks, sender), address,
                                &(struct cw_connect_options){.tls = sender->options.tls});
    if (sender->client < 0) {
        return sender->client == CW_ENOMEM ? complain(address, CW_ENOMEM)
                                           : 1; /* what is wrong has been logged */
    }
    int ended = cw_loop_main(sender->loop);
    if (ended < 0) {
        return complain("run", ended);
    }
    print_result(sender);
    return sender->acked == sender->options.packets ? 0 : 1;
}

int stream_send(const struct stream_send_options *options)
{
    struct sender *sender = calloc(1, sizeof *sender);
    uint64_t largest =
        options->video_bytes > options->audio_bytes ? options->video_bytes : options->audio_bytes;
    int status;

    if (sender == NULL) {
        return complain("start", CW_ENOMEM);
    }
    largest += PACKET_HEADER_BYTES;
    sender->options = *options;
    sender->loop = cw_loop_new();
    sender->round_trips_us = calloc(options->packets, sizeof sender->round_trips_us[0]);
    sender->bytes = calloc(1, largest);
    status = run(sender, largest);
    cw_loop_free(sender->loop);
    free(sender->bytes);
    free(sender->round_trips_us);
    free(sender);
    return status;
}
