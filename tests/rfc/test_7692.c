/* permessage-deflate over sockets: what is agreed on is kept to, whatever the sizes, windows, contexts and fragments. */
#include "support/host.h"
#include "support/leak.h"
#include "support/prose.h"
#include "support/wait.h"
#include "support/ws_talk.h"
#include "support/ws_visit.h"

#include <causeway/log.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(rfc_7692, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 120);

#define OURS "permessage-deflate"
#define BOTH_FORGET "; server_no_context_takeover; client_no_context_takeover"

enum { TAIL = 4, BIG = 131072, COMPRESSED = 0x40, FIN = 0x80 };

static const uint8_t tail[TAIL] = {0x00, 0x00, 0xff, 0xff};

/* ---- the server ---- */

static struct rig_host *host;

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_check(cw_conn_send(conn, msg) >= 0);
}

static void open_house(struct cw_websocket_options *options)
{
    struct cw_server *server = rig_server(&cw_websocket, &(struct cw_server_options){.workers = 1});

    options->compress = true;
    rig_check(cw_websocket_configure(server, options) == 0);
    host = rig_host_start(server, &(struct cw_hooks){.on_data = echo}, NULL);
}

static void close_house(void)
{
    rig_host_end(host);
}

static struct cw_websocket_options keeping(void)
{
    return (struct cw_websocket_options){
        .deflate = {.keep_context = true, .keep_peer_context = true, .above_bytes = 1},
        .message_max_bytes = 1 << 20};
}

/* ---- a client on zlib ---- */

struct side {
    struct ws_talk talk;
    z_stream deflater;
    z_stream inflater;
    bool keeps;      /* our context */
    bool peer_keeps; /* the server's */
    int bits;
    int peer_bits;
    size_t got; /* bytes of the last message as it came */
    bool was_compressed;
};

static int number_behind(const char *text, const char *name, int otherwise)
{
    const char *at = strstr(text, name);

    return at != NULL ? atoi(at + strlen(name)) : otherwise;
}

static const char *answer_of(struct side *side)
{
    const char *value = http_reply_field(&side->talk.reply, "Sec-WebSocket-Extensions");

    return value != NULL ? value : "";
}

/* Compresses with what the answer lets it. */
static void open_side(struct side *side, const char *offer)
{
    char field[512];

    *side = (struct side){.keeps = true};
    (void)snprintf(field, sizeof field, "Sec-WebSocket-Extensions: %s\r\n", offer);
    ws_talk_open(&side->talk, rig_peer_tcp(rig_host_port(host, 0)), "/", field);
    const char *answer = answer_of(side);
    side->keeps = strstr(answer, "client_no_context_takeover") == NULL;
    side->peer_keeps = strstr(answer, "server_no_context_takeover") == NULL;
    side->bits = number_behind(answer, "client_max_window_bits=", 15);
    side->peer_bits = number_behind(answer, "server_max_window_bits=", 15);
    cr_assert_eq(deflateInit2(&side->deflater, 6, Z_DEFLATED, -(side->bits == 8 ? 9 : side->bits),
                              8, Z_DEFAULT_STRATEGY),
                 Z_OK); /* zlib's window of 9 bits reaches back over 250 bytes */
    cr_assert_eq(inflateInit2(&side->inflater, -side->peer_bits), Z_OK);
}

static void close_side(struct side *side)
{
    deflateEnd(&side->deflater);
    inflateEnd(&side->inflater);
    ws_talk_say_goodbye(&side->talk);
}

/* Yours. */
static uint8_t *pack(struct side *side, const uint8_t *text, size_t len, size_t *packed_len)
{
    size_t cap = len + len / 8 + 256;
    uint8_t *packed = malloc(cap);

    if (!side->keeps) {
        deflateReset(&side->deflater);
    }
    side->deflater.next_in = (z_const Bytef *)text;
    side->deflater.avail_in = (unsigned)len;
    side->deflater.next_out = packed;
    side->deflater.avail_out = (unsigned)cap;
    cr_assert_eq(deflate(&side->deflater, Z_SYNC_FLUSH), Z_OK);
    *packed_len = cap - side->deflater.avail_out - TAIL;
    return packed;
}

/* In fragments of `piece` bytes; 0: in one. A ping stands between them. */
static void send_packed(struct side *side, const uint8_t *text, size_t len, size_t piece)
{
    size_t packed_len;
    uint8_t *packed = pack(side, text, len, &packed_len);
    uint8_t first = WS_TALK_BINARY | COMPRESSED;

    for (size_t at = 0; piece > 0 && packed_len - at > piece; at += piece) {
        ws_talk_send(&side->talk, first & (uint8_t)~FIN, packed + at, piece);
        first = FIN;
    }
    size_t sent = piece > 0 ? (packed_len - 1) / piece * piece : 0;
    ws_talk_send(&side->talk, first, packed + sent, packed_len - sent);
    free(packed);
}

static void inflate_some(struct side *side, const uint8_t *data, size_t len, uint8_t *to, size_t cap)
{
    z_stream *z = &side->inflater;

    z->next_in = (z_const Bytef *)data;
    z->avail_in = (unsigned)len;
    for (int steps = 0; z->avail_in > 0 && steps < 4; steps++) {
        size_t room = cap - z->total_out;
        z->next_out = to + z->total_out;
        z->avail_out = (unsigned)room;
        int answer = inflate(z, Z_SYNC_FLUSH);
        cr_assert_eq(answer, Z_OK, "%d: %s", answer,
                     z->msg); /* no final block: some peers end there */
    }
    cr_assert_eq(z->avail_in, 0);
}

static void expect_message(struct side *side, const uint8_t *text, size_t len)
{
    uint8_t *back = malloc(len + 16);

    ws_talk_next(&side->talk);
    side->was_compressed = (side->talk.first & COMPRESSED) != 0;
    side->got = side->talk.len;
    cr_assert_eq(side->talk.first & 0xbf, WS_TALK_BINARY);
    if (side->was_compressed) {
        if (!side->peer_keeps) {
            inflateReset(&side->inflater);
        }
        side->inflater.total_out = 0;
        inflate_some(side, side->talk.body, side->talk.len, back, len + 16);
        inflate_some(side, tail, TAIL, back, len + 16);
        cr_assert_eq(side->inflater.total_out, len);
        cr_assert(len == 0 || memcmp(back, text, len) == 0);
    } else {
        cr_assert_eq(side->talk.len, len);
        cr_assert(len == 0 || memcmp(side->talk.body, text, len) == 0);
    }
    free(back);
}

/* ---- sizes, windows, contexts, fragments ---- */

static const char *const offers[] = {
    OURS,
    OURS "; server_no_context_takeover",
    OURS "; client_no_context_takeover",
    OURS BOTH_FORGET,
    OURS "; server_max_window_bits=8; client_max_window_bits=8",
    OURS "; server_max_window_bits=9; client_max_window_bits=9",
    OURS "; server_max_window_bits=12; client_max_window_bits",
    OURS "; server_max_window_bits=15; client_max_window_bits=15",
    OURS "; server_no_context_takeover; server_max_window_bits=8",
    OURS "; server_no_context_takeover; server_max_window_bits=9",
    OURS "; server_no_context_takeover; server_max_window_bits=15",
    OURS "; server_no_context_takeover; server_max_window_bits=9, " OURS
         "; server_no_context_takeover, " OURS,
};

static void exchange(struct side *side, size_t size, size_t piece, int count)
{
    for (int i = 0; i < count; i++) {
        uint8_t *text = prose_new(size);
        send_packed(side, text, size, piece);
        expect_message(side, text, size);
        free(text);
    }
}

static void exchange_all(struct cw_websocket_options options)
{
    static const size_t sizes[] = {1, 16, 64, 256, 1024, 4096, 8192, 32768, 65536, BIG};
    static const size_t pieces[] = {0, 256, 1000, 32768};

    open_house(&options);
    for (size_t i = 0; i < sizeof offers / sizeof *offers; i++) {
        struct side side;
        open_side(&side, offers[i]);
        cr_assert_str_neq(answer_of(&side), "");
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            exchange(&side, sizes[j], 0, sizes[j] < 5000 ? 10 : 2);
            exchange(&side, sizes[j], pieces[1 + (i + j) % 3], 1);
        }
        close_side(&side);
    }
    close_house();
}

Test(rfc_7692, messages_of_every_size_come_back_whatever_is_offered)
{
    exchange_all((struct cw_websocket_options){.message_max_bytes = 1 << 20});
}

Test(rfc_7692, they_do_where_contexts_are_kept)
{
    exchange_all(keeping());
}

Test(rfc_7692, they_do_where_the_server_wants_small_windows)
{
    struct cw_websocket_options options = keeping();

    options.deflate.window_bits = 8;
    options.deflate.peer_window_bits = 9;
    options.deflate.level = 9;
    exchange_all(options);
}

/* ---- what is agreed on (§5, §7.1) ---- */

static void expect_answer(const char *offer, const char *answer)
{
    struct ws_talk talk;
    char field[512];

    (void)snprintf(field, sizeof field, "Sec-WebSocket-Extensions: %s\r\n", offer);
    ws_talk_open(&talk, rig_peer_tcp(rig_host_port(host, 0)), "/", field);
    const char *value = http_reply_field(&talk.reply, "Sec-WebSocket-Extensions");
    cr_expect_str_eq(value != NULL ? value : "", answer, "%s: %s", offer, value);
    ws_talk_say_goodbye(&talk);
}

Test(rfc_7692, the_answer_says_what_was_agreed_on)
{
    struct cw_websocket_options options = {.message_max_bytes = 0};

    open_house(&options);
    expect_answer(OURS, OURS BOTH_FORGET);
    expect_answer(OURS "; client_max_window_bits", OURS BOTH_FORGET);
    expect_answer(OURS "; server_max_window_bits=9", OURS BOTH_FORGET "; server_max_window_bits=9");
    expect_answer(OURS "; server_max_window_bits=7, " OURS "; server_max_window_bits=\"10\"",
                  OURS BOTH_FORGET "; server_max_window_bits=10");
    expect_answer("x-webkit-deflate-frame\r\nSec-WebSocket-Extensions: " OURS, OURS BOTH_FORGET);
    expect_answer("x-webkit-deflate-frame", "");
    expect_answer(OURS "; unknown", "");
    expect_answer(OURS "; client_max_window_bits=016", "");
    close_house();
}

Test(rfc_7692, a_list_that_is_none_is_400)
{
    struct cw_websocket_options options = {.message_max_bytes = 0};
    struct ws_talk talk;

    open_house(&options);
    cr_expect_eq(ws_talk_ask(&talk, rig_peer_tcp(rig_host_port(host, 0)), "/",
                             "Sec-WebSocket-Extensions: " OURS "; =1\r\n"),
                 400);
    ws_talk_end(&talk);
    close_house();
}

/* ---- frames (§6) ---- */

static void expect_refused(const char *offer, uint8_t first, const void *data, size_t len,
                           unsigned code)
{
    struct side side;

    open_side(&side, offer);
    ws_talk_send(&side.talk, first, data, len);
    (void)ws_talk_expect_close(&side.talk, code);
    deflateEnd(&side.deflater);
    inflateEnd(&side.inflater);
    ws_talk_end(&side.talk);
}

Test(rfc_7692, the_bit_is_for_the_first_frame_of_a_message_and_must_have_been_agreed_on)
{
    struct cw_websocket_options options = {.message_max_bytes = 0};
    struct side side;

    open_house(&options);
    expect_refused("x", WS_TALK_TEXT | COMPRESSED, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7, 1002);
    expect_refused(OURS, WS_TALK_PING | COMPRESSED, "", 0, 1002);
    expect_refused(OURS, WS_TALK_CLOSE | COMPRESSED, "", 0, 1002);
    expect_refused(OURS, WS_TALK_TEXT | 0x20, "a", 1, 1002);
    open_side(&side, OURS);
    ws_talk_send(&side.talk, 0x01 | COMPRESSED, "\xf2\x48\xcd", 3);
    ws_talk_send(&side.talk, 0x80 | COMPRESSED, "\xc9\xc9\x07\x00", 4);
    (void)ws_talk_expect_close(&side.talk, 1002);
    deflateEnd(&side.deflater);
    inflateEnd(&side.inflater);
    ws_talk_end(&side.talk);
    close_house();
}

Test(rfc_7692, the_examples_of_the_rfc_are_echoed)
{
    static const struct {
        const char *bytes;
        size_t len;
    } examples[] = {{"\xf2\x48\xcd\xc9\xc9\x07\x00", 7},
                    {"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11},
                    {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8},
                    {"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13}};
    struct cw_websocket_options options = {.message_max_bytes = 0};
    struct side side;

    open_house(&options);
    open_side(&side, OURS);
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        ws_talk_send(&side.talk, WS_TALK_TEXT | COMPRESSED, examples[i].bytes, examples[i].len);
        ws_talk_expect_text(&side.talk, "Hello"); /* below the threshold: as it is */
        for (size_t cut = 0; cut <= examples[i].len; cut++) {
            ws_talk_send(&side.talk, 0x01 | COMPRESSED, examples[i].bytes, cut);
            ws_talk_send(&side.talk, WS_TALK_PING, "between", 7);
            ws_talk_expect(&side.talk, WS_TALK_PONG, "between", 7);
            ws_talk_send(&side.talk, 0x80, examples[i].bytes + cut, examples[i].len - cut);
            ws_talk_expect_text(&side.talk, "Hello");
        }
    }
    ws_talk_send(&side.talk, WS_TALK_TEXT | COMPRESSED, "\0", 1);
    ws_talk_expect_text(&side.talk, "");
    ws_talk_send(&side.talk, WS_TALK_TEXT | COMPRESSED, "", 0);
    ws_talk_expect_text(&side.talk, "");
    ws_talk_send_text(&side.talk, "not compressed");
    ws_talk_expect_text(&side.talk, "not compressed");
    close_side(&side);
    close_house();
}

Test(rfc_7692, a_context_is_looked_back_into_only_where_it_is_kept)
{
    struct cw_websocket_options options = keeping();
    struct side side;

    options.deflate.above_bytes = 1000;
    open_house(&options);
    open_side(&side, OURS);
    for (int i = 0; i < 2; i++) {
        ws_talk_send(&side.talk, WS_TALK_TEXT | COMPRESSED, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
        ws_talk_expect_text(&side.talk, "Hello");
        ws_talk_send(&side.talk, WS_TALK_TEXT | COMPRESSED, "\xf2\x00\x11\x00\x00", 5);
        ws_talk_expect_text(&side.talk, "Hello");
    }
    close_side(&side);
    expect_refused(OURS "; client_no_context_takeover", WS_TALK_TEXT | COMPRESSED,
                   "\xf2\x00\x11\x00\x00", 5, 1007);
    close_house();
}

/* ---- limits ---- */

static void expect_limits(struct cw_websocket_options options)
{
    static uint8_t zeros[1 << 20];
    struct side side;
    size_t len;

    options.message_max_bytes = 65536;
    open_house(&options);
    expect_refused(OURS, WS_TALK_TEXT | COMPRESSED, "\xff\xff\xff\xff", 4, 1007);
    expect_refused(OURS, WS_TALK_TEXT | COMPRESSED, "\xf2\x48\xcd", 3, 1007);
    expect_refused(OURS, WS_TALK_TEXT | COMPRESSED, "\x00\x01\x00\xfe\xff\xff\x00", 7, 1007);
    open_side(&side, OURS);
    exchange(&side, 65536, 0, 1);
    uint8_t *bomb = pack(&side, zeros, sizeof zeros, &len);
    ws_talk_send(&side.talk, WS_TALK_BINARY | COMPRESSED, bomb, len);
    (void)ws_talk_expect_close(&side.talk, 1009);
    free(bomb);
    deflateEnd(&side.deflater);
    inflateEnd(&side.inflater);
    ws_talk_end(&side.talk);
    close_house();
}

Test(rfc_7692, rubbish_is_1007_and_a_bomb_is_1009)
{
    expect_limits((struct cw_websocket_options){.user = NULL});
}

Test(rfc_7692, they_are_where_contexts_are_kept)
{
    expect_limits(keeping());
}

/* ---- the threshold and what contexts are worth ---- */

Test(rfc_7692, below_the_threshold_nothing_is_compressed)
{
    struct cw_websocket_options options = {.deflate = {.above_bytes = 300}};
    struct side side;
    uint8_t *text;

    open_house(&options);
    open_side(&side, OURS);
    for (size_t len = 299; len <= 300; len++) {
        text = prose_new(len);
        memset(text, 'a', len);
        send_packed(&side, text, len, 0);
        expect_message(&side, text, len);
        cr_expect_eq(side.was_compressed, len == 300);
        free(text);
    }
    close_side(&side);
    close_house();
}

Test(rfc_7692, what_does_not_become_smaller_is_sent_as_it_is)
{
    struct cw_websocket_options options = {.message_max_bytes = 0};
    struct side side;
    uint8_t noise[1000];

    for (size_t i = 0; i < sizeof noise; i++) {
        noise[i] = (uint8_t)prose_roll();
    }
    open_house(&options);
    open_side(&side, OURS);
    send_packed(&side, noise, sizeof noise, 0);
    expect_message(&side, noise, sizeof noise);
    cr_expect_not(side.was_compressed);
    close_side(&side);
    close_house();
}

Test(rfc_7692, a_kept_context_makes_the_next_message_smaller)
{
    struct cw_websocket_options options = keeping();
    uint8_t *text = prose_new(2000);
    struct side side;

    open_house(&options);
    open_side(&side, OURS);
    send_packed(&side, text, 2000, 0);
    expect_message(&side, text, 2000);
    size_t first = side.got;
    send_packed(&side, text, 2000, 0);
    expect_message(&side, text, 2000);
    cr_expect_lt(side.got, first / 4);
    close_side(&side);
    open_side(&side, OURS "; server_no_context_takeover");
    send_packed(&side, text, 2000, 0);
    expect_message(&side, text, 2000);
    send_packed(&side, text, 2000, 0);
    expect_message(&side, text, 2000);
    cr_expect_gt(side.got, first / 2);
    close_side(&side);
    close_house();
    free(text);
}

/* ---- both sides are ours ---- */

static char said[3000];

static void visit_with(struct cw_websocket_deflate client)
{
    struct ws_visit *visit = calloc(1, sizeof *visit);

    visit->options = (struct cw_websocket_options){.compress = true, .deflate = client};
    visit->says = said;
    visit->rounds = 1;
    ws_visit_begin(visit);
    rig_check(ws_visit_to(visit, "ws://127.0.0.1:%u/", rig_host_port(host, 0)) > 0);
    ws_visit_run(visit);
    cr_expect_eq(visit->failed, 0, "%s", visit->report.text);
    cr_expect(visit->compressed);
    cr_expect_str_eq(visit->got, said);
    free(visit);
}

Test(rfc_7692, a_client_of_ours_agrees_with_a_server_of_ours_whatever_they_want)
{
    memset(said, 'x', sizeof said - 1);
    for (unsigned i = 0; i < 16; i++) {
        struct cw_websocket_options options = {.deflate = {.window_bits = 8 + i % 8,
                                                           .peer_window_bits = 15 - i % 3,
                                                           .keep_context = i & 1,
                                                           .keep_peer_context = i & 2}};
        open_house(&options);
        for (unsigned j = 0; j < 8; j++) {
            visit_with((struct cw_websocket_deflate){.window_bits = 8 + j,
                                                     .peer_window_bits = 15 - j,
                                                     .keep_context = j & 1,
                                                     .keep_peer_context = j & 4});
        }
        close_house();
    }
}
