/* In steady state a message over a WebSocket costs no allocation. */
#include "support/host.h"
#include "support/leak.h"
#include "support/memory.h"
#include "support/wait.h"
#include "support/ws_raw.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

TestSuite(ws_no_allocation, .fini = rig_expect_no_leak, .timeout = 115);

enum { ROUNDS = 100, TRAILER = 4, RSV1 = 0x40 };

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_check(cw_conn_send(conn, msg) >= 0);
}

static struct rig_host *start(const struct cw_websocket_options *options)
{
    struct cw_server *server;

    rig_memory_count();
    server = rig_server(&cw_websocket, NULL);
    rig_check(cw_websocket_configure(server, options) == CW_OK);
    return rig_host_start(server, &(struct cw_hooks){.on_data = echo}, NULL);
}

static size_t length_of_answers(struct rig_peer *peer, unsigned frames)
{
    static uint8_t payload[131072];
    size_t sum = 0;

    for (unsigned i = 0; i < frames; i++) {
        uint8_t first;
        size_t len = ws_raw_read(peer, &first, payload, sizeof payload);

        cr_assert_neq(first & 15, WS_RAW_CLOSE, "%.*s", (int)len, (char *)payload + 2);
        sum += len + (len > 65535 ? 10 : len > 125 ? 4 : 2);
    }
    return sum;
}

struct talk {
    struct rig_peer *peer;
    const struct rig_bytes *frames;
    uint8_t *back;
    size_t len;
};

/* Sends the frames again and again; each time as many come back. */
static void talk(void *arg)
{
    struct talk *with = arg;

    for (int i = 0; i < ROUNDS; i++) {
        rig_peer_send(with->peer, with->frames->data, with->frames->len);
        rig_peer_receive(with->peer, with->back, with->len);
    }
}

static void expect_none(const struct cw_websocket_options *options, const char *fields,
                        struct rig_bytes *frames, unsigned answers)
{
    struct rig_host *host = start(options);
    struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));
    struct talk with = {&peer, frames, NULL, 0};
    uint64_t calls;

    ws_raw_upgrade_with(&peer, "/", fields);
    /* What may happen to frames on their way happens once before anything is counted: they come in pieces. */
    for (size_t piece = 3; piece < frames->len; piece *= 20) {
        rig_peer_send_slowly(&peer, frames->data, piece, piece);
        rig_peer_send(&peer, frames->data + piece, frames->len - piece);
        length_of_answers(&peer, answers);
    }
    rig_peer_send(&peer, frames->data, frames->len);
    with.len = length_of_answers(&peer, answers);
    with.back = malloc(with.len);
    cr_assert_not_null(with.back);
    talk(&with);
    calls = rig_memory_least(talk, &with);
    cr_expect_eq(calls, 0, "%d allocations in %d rounds", (int)calls, ROUNDS);
    cr_expect_gt(rig_memory_calls(), 0, "allocations are counted at all");
    free(with.back);
    rig_release(frames);
    rig_peer_close(&peer);
    rig_host_end(host);
}

static struct rig_bytes texts(size_t size, unsigned count)
{
    struct rig_bytes bytes = {NULL, 0, 0};
    char *text = malloc(size + 1);

    cr_assert_not_null(text);
    memset(text, 'x', size);
    text[size] = '\0';
    for (unsigned i = 0; i < count; i++) {
        ws_bare_text(&bytes, text);
    }
    free(text);
    return bytes;
}

static const struct cw_websocket_options defaults;
static const struct cw_websocket_options unlimited_pings = {.pings_per_second_max = CW_NO_LIMIT};

Test(ws_no_allocation, short_text_allocates_nothing)
{
    struct rig_bytes one = texts(20, 1);
    struct rig_bytes many = texts(20, 16);

    expect_none(&defaults, "", &one, 1);
    expect_none(&defaults, "", &many, 16);
}

Test(ws_no_allocation, text_of_a_kibibyte_allocates_nothing)
{
    struct rig_bytes one = texts(1024, 1);
    struct rig_bytes many = texts(1024, 16);

    expect_none(&defaults, "", &one, 1);
    expect_none(&defaults, "", &many, 16);
}

Test(ws_no_allocation, text_of_64_KiB_allocates_nothing)
{
    struct rig_bytes one = texts(65536, 1);

    expect_none(&defaults, "", &one, 1);
}

Test(ws_no_allocation, a_message_in_fragments_allocates_nothing)
{
    struct rig_bytes bytes = {NULL, 0, 0};

    ws_bare_put(&bytes, &(struct ws_bare_frame){
                            .opcode = WS_RAW_TEXT, .payload = "one ", .len = 4, .more = true});
    ws_bare_put(&bytes, &(struct ws_bare_frame){.opcode = WS_RAW_PING, .payload = "ping", .len = 4});
    ws_bare_put(&bytes, &(struct ws_bare_frame){.payload = "two", .len = 3});
    expect_none(&unlimited_pings, "", &bytes, 2);
}

/* A JSON document without a context, the four bytes at its end left out (RFC 7692 §7.2.1). */
static struct rig_bytes deflated(void)
{
    struct rig_bytes bytes = {NULL, 0, 0};
    struct rig_bytes text = {NULL, 0, 0};
    uint8_t out[4096];
    z_stream stream = {.next_out = out, .avail_out = sizeof out};
    char line[100];

    for (int i = 0; i < 20; i++) {
        int len = snprintf(line, sizeof line, "{\"id\":%d,\"name\":\"member %d\",\"on\":true},", i,
                           i * 7919);
        rig_append(&text, line, (size_t)len);
    }
    stream.next_in = text.data;
    stream.avail_in = (unsigned)text.len;
    rig_check(deflateInit2(&stream, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    rig_check(deflate(&stream, Z_SYNC_FLUSH) == Z_OK);
    ws_bare_put(&bytes, &(struct ws_bare_frame){.opcode = WS_RAW_TEXT,
                                                .rsv = RSV1,
                                                .payload = out,
                                                .len = sizeof out - stream.avail_out - TRAILER});
    deflateEnd(&stream);
    rig_release(&text);
    return bytes;
}

static const char offer[] = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

Test(ws_no_allocation, a_compressed_message_allocates_nothing)
{
    struct rig_bytes one = deflated();

    expect_none(&(struct cw_websocket_options){.compress = true}, offer, &one, 1);
}

Test(ws_no_allocation, compressed_messages_with_contexts_allocate_nothing)
{
    /* A context of the peer's own that it does not use. */
    struct rig_bytes one = deflated();

    expect_none(
        &(struct cw_websocket_options){.compress = true, .deflate = {.keep_peer_context = true}},
        offer, &one, 1);
}

Test(ws_no_allocation, a_message_that_streams_allocates_nothing)
{
    struct rig_bytes one = texts(2000, 1);

    /* Begin, one piece, the end: frames of their own. */
    expect_none(&(struct cw_websocket_options){.stream_above_bytes = 1000}, "", &one, 2);
}
