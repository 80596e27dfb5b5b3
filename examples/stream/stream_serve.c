/* Takes packets and acknowledges each. What a packet means is up to the handler of its type. */
#include "packet.h"
#include "stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <causeway/causeway.h>

/* A peer that sends nonsense must not fill the log: the rest is only counted. */
enum { REPORTS_MAX = 10 };

/* One connection. */
struct receiver {
    uint64_t audio_packets;
    uint64_t video_packets;
    uint64_t video_bytes;
    uint64_t not_understood;
};

/* ---- what to do with a packet ---- */

static void take_audio(struct receiver *receiver, const struct packet *packet)
{
    receiver->audio_packets++;
}

static void take_video(struct receiver *receiver, const struct packet *packet)
{
    receiver->video_packets++;
    receiver->video_bytes += packet->payload.len;
}

/* By type. A new type of packet is a new line here. */
static void (*const handlers[])(struct receiver *receiver, const struct packet *packet) = {
    [PACKET_AUDIO] = take_audio,
    [PACKET_VIDEO] = take_video,
};

enum { HANDLER_COUNT = sizeof handlers / sizeof handlers[0] };

static bool handle(struct receiver *receiver, const struct packet *packet)
{
    if (packet->type >= HANDLER_COUNT || handlers[packet->type] == NULL) {
        return false;
    }
    handlers[packet->type](receiver, packet);
    return true;
}

/* ---- hooks ---- */

static void on_connection(struct cw_conn *conn, void *user)
{
    struct receiver *receiver = calloc(1, sizeof *receiver);

    cw_conn_set_user(conn, receiver);
    if (receiver == NULL) {
        cw_conn_abort(conn);
    }
}

static bool may_report(struct receiver *receiver)
{
    return ++receiver->not_understood <= REPORTS_MAX;
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct receiver *receiver = cw_conn_user(conn);
    struct packet packet;
    uint8_t ack[PACKET_ACK_BYTES];

    if (!packet_read(msg->body, &packet)) {
        if (may_report(receiver)) {
            cw_log(CW_LOG_WARNING, cw_conn_id(conn),
                   "a packet of %zu bytes is shorter than its header", msg->body.len);
        }
        return;
    }
    if (!handle(receiver, &packet)) {
        if (may_report(receiver)) {
            cw_log(CW_LOG_WARNING, cw_conn_id(conn), "unknown packet type %u, sequence %u",
                   packet.type, packet.sequence);
        }
        return;
    }
    packet_write_ack(ack, packet.sequence);
    /* Refused only when the connection is closing: while its acknowledgements wait, it is not read. */
    (void)cw_conn_send_bytes(conn, ack, sizeof ack);
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct receiver *receiver = cw_conn_user(conn);
    char peer[CW_ADDRESS_TEXT_MAX];

    if (receiver != NULL) {
        cw_log(CW_LOG_INFO, cw_conn_id(conn),
               "%s: audio %" PRIu64 ", video %" PRIu64 " (%" PRIu64
               " bytes), not understood %" PRIu64 ": %s",
               cw_address_print(cw_conn_peer(conn), peer), receiver->audio_packets,
               receiver->video_packets, receiver->video_bytes, receiver->not_understood,
               reason->text);
    }
    free(receiver);
}

/* Whoever started this program waits for the line, so it must not stay in a buffer. */
static void on_listening(struct cw_server *server, const struct cw_address *address,
                         const char *text, void *user)
{
    printf("listening on %s\n", text);
    fflush(stdout);
}

static const struct cw_hooks hooks = {.on_connection = on_connection,
                                      .on_data = on_data,
                                      .on_close = on_close,
                                      .on_listening = on_listening};

int stream_serve(const struct command_line *line)
{
    struct cw_server *server = cw_create_server(&cw_framed);

    cw_server_set_hooks(server, &hooks, NULL);
    cw_framed_configure(server,
                        &(struct cw_framed_options){.frame_max_bytes = line->frame_max_bytes});
    command_line_set_up(server, line, NULL, 0);
    return cw_server_main(server);
}
