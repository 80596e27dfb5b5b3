#include "support/ws_bare.h"

#include "websocket/ws_impl.h"

#include <string.h>

static int open_plain(struct cw_conn *conn, void *state, void *handover)
{
    return cw_ws_begin(conn, state, &(struct cw_ws_agreed){0}, NULL);
}

static int open_deflate(struct cw_conn *conn, void *state, void *handover)
{
    return cw_ws_begin(conn, state, &(struct cw_ws_agreed){.on = true, .bits = 15, .peer_bits = 15},
                       NULL);
}

static int open_kept(struct cw_conn *conn, void *state, void *handover)
{
    return cw_ws_begin(
        conn, state,
        &(struct cw_ws_agreed){
            .on = true, .keep = true, .peer_keeps = true, .bits = 15, .peer_bits = 15},
        NULL);
}

static ptrdiff_t take_bytes(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    return cw_websocket.on_bytes(conn, state, data, len);
}

static int take_end(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    return cw_websocket.on_end(conn, state, data, len);
}

static int on_deadline(struct cw_conn *conn, void *state)
{
    return cw_websocket.on_deadline(conn, state);
}

static int say_goodbye(struct cw_conn *conn, void *state, const struct cw_close_reason *reason)
{
    return cw_websocket.on_shutdown(conn, state, reason);
}

static void close_it(struct cw_conn *conn, void *state)
{
    cw_websocket.close(conn, state);
}

#define BARE(opener)                                                                               \
    {                                                                                              \
        .name = "websocket", .state_size = sizeof(struct cw_ws_conn),                              \
        .options_size = sizeof(struct cw_websocket_options), .configure = cw_ws_check_options,     \
        .release = cw_ws_release_options, .open = (opener), .on_bytes = take_bytes,                \
        .on_end = take_end, .on_deadline = on_deadline, .on_shutdown = say_goodbye,                \
        .close = close_it, .send = cw_ws_send, .encode = cw_ws_encode, .wire_key = cw_ws_wire_key, \
        .lost_code = CW_WEBSOCKET_ABNORMAL, .speaks_in_message = true,                             \
    }

const struct cw_protocol ws_bare = BARE(open_plain);
const struct cw_protocol ws_bare_deflate = BARE(open_deflate);
const struct cw_protocol ws_bare_kept = BARE(open_kept);

void ws_bare_put(struct rig_bytes *bytes, const struct ws_bare_frame *frame)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t head[CW_WS_HEAD_MAX];
    uint8_t first = (uint8_t)((frame->more ? 0 : CW_WS_FIN) | frame->rsv | frame->opcode);
    uint32_t word;
    size_t begin;

    memcpy(&word, mask, sizeof word);
    rig_append(bytes, head, cw_ws_write_head(head, first, frame->len, !frame->unmasked, word));
    begin = bytes->len;
    rig_append(bytes, frame->len > 0 ? frame->payload : "", frame->len);
    for (size_t i = 0; i < frame->len && !frame->unmasked; i++) {
        bytes->data[begin + i] ^= mask[i % 4];
    }
}

void ws_bare_text(struct rig_bytes *bytes, const char *text)
{
    ws_bare_put(
        bytes, &(struct ws_bare_frame){.opcode = CW_WS_TEXT, .payload = text, .len = strlen(text)});
}
