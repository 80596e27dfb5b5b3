/* What a room's message costs where members have agreed on compression: once for all who agree on the same. */
#include "support/host.h"
#include "support/leak.h"
#include "support/wait.h"
#include "support/ws_talk.h"

#include <causeway/log.h>
#include <causeway/room.h>
#include <causeway/websocket.h>

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>

/* The linker has every call of both come here (--wrap). */
struct cw_ws_deflater;
int __real_cw_ws_deflate(struct cw_loop *loop, unsigned bits, unsigned level, struct cw_span in,
                         struct cw_span *out);
int __wrap_cw_ws_deflate(struct cw_loop *loop, unsigned bits, unsigned level, struct cw_span in,
                         struct cw_span *out);
int __real_cw_ws_deflate_kept(struct cw_loop *loop, struct cw_ws_deflater *deflater,
                              struct cw_span in, struct cw_span *out);
int __wrap_cw_ws_deflate_kept(struct cw_loop *loop, struct cw_ws_deflater *deflater,
                              struct cw_span in, struct cw_span *out);

static atomic_uint compressed;

int __wrap_cw_ws_deflate(struct cw_loop *loop, unsigned bits, unsigned level, struct cw_span in,
                         struct cw_span *out)
{
    atomic_fetch_add(&compressed, 1);
    return __real_cw_ws_deflate(loop, bits, level, in, out);
}

int __wrap_cw_ws_deflate_kept(struct cw_loop *loop, struct cw_ws_deflater *deflater,
                              struct cw_span in, struct cw_span *out)
{
    atomic_fetch_add(&compressed, 1);
    return __real_cw_ws_deflate_kept(loop, deflater, in, out);
}

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(ws_rooms_deflate, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 60);

#define PLAIN "Sec-WebSocket-Extensions: permessage-deflate\r\n"
#define SMALL "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n"

static struct rig_host *host;

static void join(struct cw_conn *conn, void *user)
{
    static const struct cw_message hello = {.body = {(const uint8_t *)"in", 2}, .kind = CW_TEXT};

    rig_check(cw_room_join(conn, "all") >= 0);
    rig_check(cw_conn_send(conn, &hello) >= 0);
}

static void say(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_check(cw_room_send(cw_conn_server(conn), "all", msg, NULL) >= 0);
}

static void open_house(const struct cw_websocket_options *options)
{
    struct cw_server *server = rig_server(&cw_websocket, &(struct cw_server_options){.workers = 1});

    rig_check(cw_websocket_configure(server, options) == 0);
    host = rig_host_start(server, &(struct cw_hooks){.on_connection = join, .on_data = say}, NULL);
    atomic_store(&compressed, 0);
}

static void visit(struct ws_talk *talk, const char *fields)
{
    ws_talk_open(talk, rig_peer_tcp(rig_host_port(host, 0)), "/", fields);
    ws_talk_expect_text(talk, "in");
}

static void expect_said(struct ws_talk *talk, const char *text, bool packed)
{
    ws_talk_next(talk);
    cr_expect_eq(talk->first, packed ? WS_TALK_TEXT | WS_TALK_DEFLATED : WS_TALK_TEXT);
    if (packed) {
        size_t len;
        uint8_t *back = ws_talk_inflated(talk, &len);
        cr_expect_lt(talk->len, len);
        cr_expect_str_eq((char *)back, text);
        free(back);
    } else {
        cr_expect_str_eq((char *)talk->body, text);
    }
}

static char *long_text(void)
{
    char *text = malloc(2001);

    for (size_t i = 0; i < 2000; i++) {
        text[i] = (char)('a' + i * i % 7);
    }
    text[2000] = '\0';
    return text;
}

Test(ws_rooms_deflate, a_message_is_compressed_once_for_all_who_agree)
{
    static const char *const offers[] = {PLAIN, PLAIN, PLAIN, "", SMALL, SMALL};
    enum { MEMBERS = sizeof offers / sizeof *offers };
    struct ws_talk members[MEMBERS];
    char *text = long_text();

    open_house(&(struct cw_websocket_options){.compress = true});
    for (size_t i = 0; i < MEMBERS; i++) {
        visit(&members[i], offers[i]);
    }
    ws_talk_send_text(&members[3], text);
    for (size_t i = 0; i < MEMBERS; i++) {
        expect_said(&members[i], text, offers[i][0] != '\0');
    }
    cr_expect_eq(atomic_load(&compressed), 2, "%u", atomic_load(&compressed));
    cr_expect_eq(members[0].len, members[1].len);
    cr_expect_eq(memcmp(members[0].body, members[1].body, members[0].len), 0);
    ws_talk_send_text(&members[0], "short");
    for (size_t i = 0; i < MEMBERS; i++) {
        expect_said(&members[i], "short", false);
    }
    cr_expect_eq(atomic_load(&compressed), 2);
    for (size_t i = 0; i < MEMBERS; i++) {
        ws_talk_say_goodbye(&members[i]);
    }
    rig_host_end(host);
    free(text);
}

Test(ws_rooms_deflate, who_keeps_a_context_has_it_compressed_for_himself)
{
    enum { MEMBERS = 3 };
    struct ws_talk members[MEMBERS];
    char *text = long_text();

    open_house(&(struct cw_websocket_options){.compress = true, .deflate = {.keep_context = true}});
    for (size_t i = 0; i < MEMBERS; i++) {
        visit(&members[i], PLAIN);
    }
    ws_talk_send_text(&members[0], text);
    for (size_t i = 0; i < MEMBERS; i++) {
        expect_said(&members[i], text, true);
    }
    cr_expect_eq(atomic_load(&compressed), MEMBERS);
    for (size_t i = 0; i < MEMBERS; i++) {
        ws_talk_say_goodbye(&members[i]);
    }
    rig_host_end(host);
    free(text);
}
