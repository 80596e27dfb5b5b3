/* Behind nginx, HAProxy and Caddy, with the configurations of docs/proxies.md. Each is skipped where it is not installed. */
#include "support/config_text.h"
#include "support/leak.h"
#include "support/scene.h"
#include "support/secure.h"
#include "support/silent.h"
#include "support/wait.h"
#include "support/ws_gallery.h"
#include "support/ws_talk.h"

#include <causeway/log.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE = 3 << 20, TEXT = 200000, TIMEOUT_S = 4, PING_MS = 500 };

/* Where the client connects from: not the proxy. */
#define CLIENT "127.0.0.2"
#define OWN_PAGE "Origin: http://site.example\r\n"
#define DEFLATE "Sec-WebSocket-Extensions: permessage-deflate\r\n"

static struct ws_gallery gallery;
static struct ws_talk talk;
static struct rig_child proxy;
static char folder[64];
static uint16_t front;

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(ws_proxies, .init = init, .fini = rig_expect_no_leak, .timeout = 115);

/* ---- the configurations of the page ---- */

/* The fenced block of that language. */
static char *block_of(const char *language)
{
    char fence[32];
    char *page = rig_config_read_file(CW_SOURCE_DIR "/docs/proxies.md");
    char *begin;
    char *end;

    snprintf(fence, sizeof fence, "\n```%s\n", language);
    begin = strstr(page, fence);
    cr_assert_not_null(begin, "docs/proxies.md has no block of %s", language);
    begin += strlen(fence);
    end = strstr(begin, "\n```\n");
    cr_assert_not_null(end);
    end[1] = '\0';
    memmove(page, begin, strlen(begin) + 1);
    return page;
}

/* Puts one text in another's place, wherever it stands, which has to be somewhere. */
static char *replace(char *text, const char *from, const char *to)
{
    size_t len = 0;
    char *made = NULL;
    FILE *out = open_memstream(&made, &len);
    char *at = text;
    char *found = strstr(text, from);

    cr_assert_not_null(found, "docs/proxies.md says nothing of %s", from);
    for (; found; found = strstr(at, from)) {
        fprintf(out, "%.*s%s", (int)(found - at), at, to);
        at = found + strlen(from);
    }
    fputs(at, out);
    fclose(out);
    free(text);
    return made;
}

static char *replace_port(char *text, const char *from, const char *format, uint16_t port)
{
    char to[64];

    snprintf(to, sizeof to, format, port);
    return replace(text, from, to);
}

struct kind {
    const char *program;
    const char *language;
    const char *listens; /* what the page says of it, */
    const char *here;    /* and what stands in its place: a format for the port */
    const char *before;  /* the text around it; %1$s: the folder */
    const char *behind;
    bool has_timeout;
};

static const struct kind nginx = {
    "nginx",
    "nginx",
    "listen 80;",
    "listen 127.0.0.1:%u;",
    "daemon off;\nmaster_process off;\npid %1$s/pid;\nerror_log stderr crit;\nevents {}\n"
    "http {\naccess_log off;\nclient_body_temp_path %1$s/a;\nproxy_temp_path %1$s/b;\n"
    "fastcgi_temp_path %1$s/c;\nuwsgi_temp_path %1$s/d;\nscgi_temp_path %1$s/e;\n",
    "}\n",
    true};
static const struct kind haproxy = {
    "haproxy", "haproxy", "bind :80", "bind 127.0.0.1:%u", "global\n    maxconn 200\n", "", true};
static const struct kind caddy = {
    "caddy",
    "caddy",
    "chat.example",
    "http://:%u",
    "{\n    admin off\n    auto_https off\n    default_bind 127.0.0.1\n}\n",
    "",
    false};

static void write_conf(const struct kind *kind, const char *path)
{
    char *text = block_of(kind->language);
    FILE *file = fopen(path, "we");
    char seconds[8];

    cr_assert_not_null(file);
    text = replace_port(text, kind->listens, kind->here, front);
    text = replace_port(text, "127.0.0.1:8080", "127.0.0.1:%u", gallery.port);
    if (kind->has_timeout) {
        snprintf(seconds, sizeof seconds, "%ds", TIMEOUT_S);
        text = replace(text, "75s", seconds);
    }
    fprintf(file, kind->before, folder);
    fputs(text, file);
    fputs(kind->behind, file);
    fclose(file);
    free(text);
}

static void start_with(const struct kind *kind, uint64_t ping_interval_ms)
{
    char conf[128];

    if (!rig_has_program(kind->program)) {
        cr_skip_test("%s is not there", kind->program);
    }
    ws_gallery_start(&gallery, &(struct cw_server_options){.trusted_proxies = "127.0.0.1"},
                     &(struct cw_websocket_options){.ping_interval_ms = ping_interval_ms});
    snprintf(folder, sizeof folder, "/tmp/cw-proxies-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    setenv("HOME", folder, 1);
    front = rig_free_port();
    snprintf(conf, sizeof conf, "%s/proxy.conf", folder);
    write_conf(kind, conf);
    if (kind == &nginx) {
        rig_start_words(&proxy, RIG_WORDS("nginx", "-c", conf, "-p", folder, "-e", "stderr"));
    } else if (kind == &haproxy) {
        rig_start_words(&proxy, RIG_WORDS("haproxy", "-db", "-f", conf));
    } else {
        rig_start_words(&proxy,
                        RIG_WORDS("caddy", "run", "--config", conf, "--adapter", "caddyfile"));
    }
    rig_await(rig_port_is_open(front));
}

static void start(const struct kind *kind)
{
    start_with(kind, 0);
}

static void end(void)
{
    char command[96];

    rig_child_signal(&proxy, SIGTERM);
    rig_child_join(&proxy);
    ws_gallery_end(&gallery);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_expect_eq(system(command), 0);
}

static struct rig_peer through(void)
{
    return rig_peer_tcp_from(CLIENT, "127.0.0.1", front, 0);
}

static void open_at(const char *target, const char *fields)
{
    ws_talk_open(&talk, through(), target, fields);
}

/* ---- messages ---- */

static void expect_deflated(void)
{
    char *text = malloc(TEXT);
    size_t len;

    open_at("/z", DEFLATE);
    cr_expect_str_neq(http_reply_field(&talk.reply, "Sec-WebSocket-Extensions"), "");
    memset(text, 'x', TEXT);
    ws_talk_send_deflated(&talk, text, TEXT);
    ws_talk_next(&talk);
    cr_expect_eq(talk.first, WS_TALK_TEXT | WS_TALK_DEFLATED);

    uint8_t *got = ws_talk_inflated(&talk, &len);

    cr_expect_eq(len, TEXT);
    cr_expect_eq(memcmp(got, text, len), 0);
    free(got);
    free(text);
    ws_talk_say_goodbye(&talk);
}

static void expect_messages(const struct kind *kind)
{
    uint8_t *large = rig_pattern_new(LARGE);

    start(kind);
    open_at("/ws", "");
    ws_talk_send_text(&talk, "hello");
    ws_talk_expect_text(&talk, "hello");
    ws_talk_send(&talk, WS_TALK_PING, "now", 3);
    ws_talk_expect(&talk, WS_TALK_PONG, "now", 3);
    ws_talk_send(&talk, WS_TALK_BINARY, large, LARGE);
    ws_talk_expect(&talk, WS_TALK_BINARY, large, LARGE);
    ws_talk_say_goodbye(&talk);
    expect_deflated();
    open_at("/bye", "");
    ws_talk_send_text(&talk, "go");
    cr_expect_str_eq(ws_talk_expect_close(&talk, 4002), "enough");
    ws_talk_end(&talk);
    free(large);
    end();
}

Test(ws_proxies, nginx_carries_messages_of_all_kinds)
{
    expect_messages(&nginx);
}

Test(ws_proxies, haproxy_carries_messages_of_all_kinds)
{
    expect_messages(&haproxy);
}

Test(ws_proxies, caddy_carries_messages_of_all_kinds)
{
    expect_messages(&caddy);
}

/* ---- who is asking ---- */

/* What a client says of itself is dropped or stands before what the proxy says; pages are judged by the host that was asked for. */
static void expect_client(const struct kind *kind)
{
    struct http_peer peer;
    struct http_reply reply = {0};

    start(kind);
    open_at("/who", OWN_PAGE);
    ws_talk_expect_text(&talk, CLIENT " http site.example");
    ws_talk_say_goodbye(&talk);
    open_at("/who", "X-Forwarded-For: 192.0.2.66\r\n");
    ws_talk_expect_text(&talk, CLIENT " http site.example");
    ws_talk_say_goodbye(&talk);
    cr_expect_eq(ws_talk_ask(&talk, through(), "/who", "Origin: http://evil.example\r\n"), 403);
    ws_talk_end(&talk);
    ws_talk_open(&talk, rig_peer_tcp_from(CLIENT, "127.0.0.1", gallery.port, 0), "/who",
                 "X-Forwarded-For: 192.0.2.66\r\nX-Forwarded-Proto: https\r\n");
    ws_talk_expect_text(&talk, CLIENT " http site.example");
    ws_talk_say_goodbye(&talk);
    peer = (struct http_peer){.peer = through()};
    http_peer_ask(&peer, "GET / HTTP/1.1\r\nHost: site.example\r\n\r\n", &reply);
    cr_expect_eq(reply.status, 200);
    http_reply_release(&reply);
    http_peer_ask(&peer, "GET /ws HTTP/1.1\r\nHost: site.example\r\n\r\n", &reply);
    cr_expect_eq(reply.status, 426);
    http_reply_release(&reply);
    http_peer_close(&peer);
    end();
}

Test(ws_proxies, nginx_tells_who_is_asking)
{
    expect_client(&nginx);
}

Test(ws_proxies, haproxy_tells_who_is_asking)
{
    expect_client(&haproxy);
}

Test(ws_proxies, caddy_tells_who_is_asking)
{
    expect_client(&caddy);
}

/* ---- silence ---- */

/* So many pings take longer than the proxy bears silence. */
static void expect_alive(const struct kind *kind)
{
    start_with(kind, PING_MS);
    open_at("/ws", "");
    while (talk.pings * PING_MS <= 2 * TIMEOUT_S * 1000) {
        ws_talk_read(&talk);
        cr_assert_eq(talk.first, WS_TALK_PING);
        talk.pings++;
        ws_talk_send(&talk, WS_TALK_PONG, talk.body, talk.len);
    }
    ws_talk_send_text(&talk, "still there");
    ws_talk_expect_text(&talk, "still there");
    ws_talk_say_goodbye(&talk);
    end();
}

Test(ws_proxies, pings_keep_a_quiet_connection_behind_nginx)
{
    expect_alive(&nginx);
}

Test(ws_proxies, pings_keep_a_quiet_connection_behind_haproxy)
{
    expect_alive(&haproxy);
}

Test(ws_proxies, pings_keep_a_quiet_connection_behind_caddy)
{
    expect_alive(&caddy);
}

/* The time-out is the one that the page speaks of. */
static void expect_cut(const struct kind *kind)
{
    char sink[16];

    start_with(kind, CW_OFF);
    open_at("/ws", "");
    cr_expect_leq(rig_peer_receive_some(&talk.peer.peer, sink, sizeof sink), 0);
    rig_await(gallery.closed == 1);
    cr_expect_eq(gallery.close_code, 1006);
    ws_talk_end(&talk);
    end();
}

Test(ws_proxies, without_pings_nginx_ends_a_quiet_connection)
{
    expect_cut(&nginx);
}

Test(ws_proxies, without_pings_haproxy_ends_a_quiet_connection)
{
    expect_cut(&haproxy);
}

/* ---- a restart ---- */

static void expect_restart(const struct kind *kind)
{
    struct http_peer peer;
    struct http_reply reply = {0};

    start(kind);
    open_at("/ws", "");
    ws_talk_send_text(&talk, "before");
    ws_talk_expect_text(&talk, "before");
    cr_expect_eq(rig_host_stop(gallery.host), 0);
    ws_talk_expect_close(&talk, 1001);
    ws_talk_end(&talk);
    rig_host_free(gallery.host);
    peer = (struct http_peer){.peer = through()};
    http_peer_ask(&peer, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &reply);
    cr_expect(reply.status == 502 || reply.status == 503, "%d", reply.status);
    http_reply_release(&reply);
    http_peer_close(&peer);
    ws_gallery_start_again(&gallery);
    open_at("/ws", "");
    ws_talk_send_text(&talk, "after");
    ws_talk_expect_text(&talk, "after");
    ws_talk_say_goodbye(&talk);
    end();
}

Test(ws_proxies, a_restart_behind_nginx_is_told_and_got_over)
{
    expect_restart(&nginx);
}

Test(ws_proxies, a_restart_behind_haproxy_is_told_and_got_over)
{
    expect_restart(&haproxy);
}

Test(ws_proxies, a_restart_behind_caddy_is_told_and_got_over)
{
    expect_restart(&caddy);
}
