/* Behind other people's proxies: nginx and HAProxy in front, keep-alive to us. */
#include "support/http_gallery.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/scene.h"
#include "support/secure.h"
#include "support/silent.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the client connects from: not one of the proxies. */
#define CLIENT "127.0.0.2"

enum { REQUESTS = 200, CLIENTS = 8, MIB = 1 << 20, LARGE = 64 * MIB };

static struct http_gallery gallery;
static struct rig_child proxy;
static struct http_reply reply;
static uint16_t front;
static unsigned client_timeout_s = 60; /* of the proxy; and ours, for a body */

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(http_proxies, .init = init, .fini = rig_expect_no_leak, .timeout = 100);

/* ---- the proxies ---- */

struct kind {
    const char *program;
    void (*write)(FILE *file, bool forwarded);
};

/* The client's fields are handed on as they are, with the proxy's word behind: what both do when told to add, not to replace. */
static void write_nginx(FILE *file, bool forwarded)
{
    const char *const temporary[] = {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"};

    fprintf(file, "daemon off;\nmaster_process off;\npid %s/pid;\nerror_log stderr crit;\n",
            gallery.folder);
    fprintf(file, "events {}\nhttp {\n  access_log off;\n");
    for (size_t i = 0; i < sizeof temporary / sizeof temporary[0]; i++) {
        fprintf(file, "  %s_temp_path %s/%s;\n", temporary[i], gallery.folder, temporary[i]);
    }
    fprintf(file,
            "  upstream us { server 127.0.0.1:%u; keepalive 8; }\n  server {\n"
            "    listen 127.0.0.1:%u;\n    client_max_body_size 0;\n"
            "    client_header_timeout %us;\n    client_body_timeout %us;\n"
            "    proxy_http_version 1.1;\n    proxy_set_header Connection \"\";\n"
            "    proxy_set_header Host $host;\n    proxy_request_buffering off;\n"
            "    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
            "    proxy_set_header X-Forwarded-Proto https;\n",
            gallery.port, front, client_timeout_s, client_timeout_s);
    if (forwarded) {
        fprintf(file, "    proxy_set_header Forwarded "
                      "\"$http_forwarded, for=\\\"$remote_addr:1234\\\";proto=https\";\n");
    }
    fprintf(file, "    location / { proxy_pass http://us; }\n  }\n}\n");
}

static void write_haproxy(FILE *file, bool forwarded)
{
    fprintf(file,
            "global\n  maxconn 200\ndefaults\n  mode http\n  timeout connect 20s\n"
            "  timeout client %us\n  timeout server 60s\n  http-reuse always\n"
            "frontend outside\n  bind 127.0.0.1:%u\n  option forwardfor\n"
            "  http-request set-header X-Forwarded-Proto https\n",
            client_timeout_s, front);
    if (forwarded) {
        fprintf(file, "  http-request add-header Forwarded "
                      "for=\"%%[src]\";proto=https\n");
    }
    fprintf(file, "  default_backend us\nbackend us\n  server us 127.0.0.1:%u\n", gallery.port);
}

static const struct kind nginx = {"nginx", write_nginx};
static const struct kind haproxy = {"haproxy", write_haproxy};

static void start(const struct kind *kind, enum cw_http_forwarded forwarded)
{
    char conf[128];
    FILE *file;

    if (!rig_has_program(kind->program)) {
        cr_skip_test("%s is not there", kind->program);
    }
    http_gallery_start(
        &gallery, &(struct cw_server_options){.trusted_proxies = "127.0.0.1"},
        &(struct cw_http_options){.forwarded = forwarded, .body_ms = client_timeout_s * 1000});
    front = rig_free_port();
    snprintf(conf, sizeof conf, "%s", http_gallery_at(&gallery, "proxy.conf"));
    file = fopen(conf, "we");
    cr_assert_not_null(file);
    kind->write(file, forwarded == CW_HTTP_FORWARDED);
    fclose(file);
    if (kind == &nginx) {
        rig_start_words(&proxy,
                        RIG_WORDS("nginx", "-c", conf, "-p", gallery.folder, "-e", "stderr"));
    } else {
        rig_start_words(&proxy, RIG_WORDS("haproxy", "-db", "-f", conf));
    }
    rig_await(rig_port_is_open(front));
}

static void end(void)
{
    http_reply_release(&reply);
    rig_child_signal(&proxy, SIGTERM);
    rig_child_join(&proxy);
    http_gallery_end(&gallery);
}

static struct http_peer connect_to(uint16_t port)
{
    return (struct http_peer){.peer = rig_peer_tcp_from(CLIENT, "127.0.0.1", port, 0)};
}

static void ask(struct http_peer *peer, const char *request)
{
    http_reply_release(&reply);
    http_peer_ask(peer, request, &reply);
}

static void expect(struct http_peer *peer, const char *request, int status, const char *body)
{
    ask(peer, request);
    cr_expect_eq(reply.status, status, "%s: %d %s", request, reply.status, reply.body);
    if (body) {
        cr_expect_str_eq((const char *)reply.body, body, "%s", request);
    }
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: site.example\r\n\r\n"

/* ---- keep-alive ---- */

static void expect_few_conns(const struct kind *kind)
{
    struct http_peer peers[CLIENTS];
    char request[128];
    char answer[32];

    start(kind, CW_HTTP_X_FORWARDED);
    for (size_t i = 0; i < CLIENTS; i++) {
        peers[i] = connect_to(front);
    }
    for (int i = 0; i < REQUESTS; i++) {
        snprintf(request, sizeof request, "GET /number/%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
        snprintf(answer, sizeof answer, "%d", i);
        expect(&peers[i % CLIENTS], request, 200, answer);
    }
    cr_expect_leq(http_gallery_conns(&gallery), CLIENTS, "%llu connections for %d requests",
                  (unsigned long long)http_gallery_conns(&gallery), REQUESTS);
    for (size_t i = 0; i < CLIENTS; i++) {
        http_peer_close(&peers[i]);
    }
    end();
}

Test(http_proxies, nginx_keeps_its_connections)
{
    expect_few_conns(&nginx);
}

Test(http_proxies, haproxy_keeps_its_connections)
{
    expect_few_conns(&haproxy);
}

/* ---- who is asking ---- */

static void expect_client(const struct kind *kind)
{
    struct http_peer peer;

    start(kind, CW_HTTP_X_FORWARDED);
    peer = connect_to(front);
    expect(&peer, GET("/who"), 200, CLIENT " https site.example");
    expect(&peer,
           "GET /who HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.66\r\n"
           "Forwarded: for=192.0.2.66\r\n\r\n",
           200, CLIENT " https a");
    http_peer_close(&peer);
    peer = connect_to(gallery.port); /* past the proxy */
    expect(&peer,
           "GET /who HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.66\r\n"
           "X-Forwarded-Proto: https\r\nForwarded: for=192.0.2.66;proto=https\r\n\r\n",
           200, CLIENT " http a");
    http_peer_close(&peer);
    end();
}

Test(http_proxies, nginx_alone_is_believed)
{
    expect_client(&nginx);
}

Test(http_proxies, haproxy_alone_is_believed)
{
    expect_client(&haproxy);
}

static void expect_forwarded(const struct kind *kind)
{
    struct http_peer peer;

    start(kind, CW_HTTP_FORWARDED);
    peer = connect_to(front);
    expect(&peer,
           "GET /who HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.66\r\n"
           "Forwarded: for=192.0.2.66;proto=http\r\n\r\n",
           200, CLIENT " https a");
    http_peer_close(&peer);
    peer = connect_to(gallery.port);
    expect(&peer, "GET /who HTTP/1.1\r\nHost: a\r\nForwarded: for=192.0.2.66;proto=https\r\n\r\n",
           200, CLIENT " http a");
    http_peer_close(&peer);
    end();
}

Test(http_proxies, forwarded_of_nginx_is_believed)
{
    expect_forwarded(&nginx);
}

Test(http_proxies, forwarded_of_haproxy_is_believed)
{
    expect_forwarded(&haproxy);
}

/* ---- bodies ---- */

static void send_chunked(struct http_peer *peer, const char *target, const uint8_t *data, size_t len)
{
    char text[256];

    snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
             target);
    http_peer_send(peer, text);
    for (size_t at = 0; at < len;) {
        size_t n = len - at < 10007 ? len - at : 10007;

        snprintf(text, sizeof text, "%zx\r\n", n);
        http_peer_send(peer, text);
        rig_peer_send(&peer->peer, data + at, n);
        http_peer_send(peer, "\r\n");
        at += n;
    }
    http_peer_send(peer, "0\r\n\r\n");
}

static void expect_body(const uint8_t *data, size_t len)
{
    cr_assert_eq(reply.status, 200, "%s", reply.head);
    cr_assert_eq(reply.body_len, len);
    cr_expect_eq(memcmp(reply.body, data, len), 0);
}

static void expect_small_bodies(struct http_peer *peer)
{
    enum { LEN = 300000 };
    uint8_t *data = rig_pattern_new(LEN);
    char head[128];

    expect(peer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 200, "hello");
    expect(peer, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 200, "");
    snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", LEN);
    http_peer_send(peer, head);
    rig_peer_send(&peer->peer, data, LEN);
    http_reply_release(&reply);
    http_peer_read(peer, &reply, false);
    expect_body(data, LEN);
    send_chunked(peer, "/echo", data, LEN);
    http_reply_release(&reply);
    http_peer_read(peer, &reply, false);
    expect_body(data, LEN);
    send_chunked(peer, "/stream", data, 20000); /* the peer does not read while it writes */
    http_reply_release(&reply);
    http_peer_read(peer, &reply, false);
    expect_body(data, 20000);
    ask(peer, GET("/chunks/300000"));
    expect_body(data, LEN);
    ask(peer, GET("/pattern/300000"));
    expect_body(data, LEN);
    free(data);
}

static void expect_heads(struct http_peer *peer)
{
    expect(peer, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n", 200, "");
    cr_expect_str_eq(http_reply_field(&reply, "Content-Length"), "5");
    expect(peer, "HEAD /chunks/1000 HTTP/1.1\r\nHost: a\r\n\r\n", 200, "");
    expect(peer, "HEAD /files/proxy.conf HTTP/1.1\r\nHost: a\r\n\r\n", 200, "");
    expect(peer, "GET /files/proxy.conf HTTP/1.1\r\nHost: a\r\nRange: bytes=0-5\r\n\r\n", 206, NULL);
    cr_expect_eq(reply.body_len, 6);
    expect(peer, GET("/hello"), 200, "hello");
}

static void expect_errors(struct http_peer *peer)
{
    expect(peer, GET("/nowhere"), 404, NULL);
    expect(peer, "DELETE /hello HTTP/1.1\r\nHost: a\r\n\r\n", 405, NULL);
    cr_expect_not_null(strstr(http_reply_field(&reply, "Allow"), "GET"));
    expect(peer, "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world", 413,
           NULL);
    http_peer_close(peer); /* a refused body may cost the connection */
    *peer = connect_to(front);
    expect(peer, GET("/error/500"), 500, NULL);
    expect(peer, GET("/error/404"), 404, NULL);
    expect(peer, GET("/hello"), 200, "hello");
}

/* An answer that breaks is not taken for whole, and the next one is well. */
static void expect_broken(void)
{
    struct http_peer peer = connect_to(front);
    char text[4096];
    size_t len = 0;
    ptrdiff_t n;

    http_peer_send(&peer, GET("/broken"));
    do {
        n = rig_peer_receive_some(&peer.peer, text + len, sizeof text - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    } while (n > 0 && !memmem(text, len, "</html>", 7));
    text[len] = '\0';
    cr_expect(strncmp(text, "HTTP/1.1 502", 12) == 0 || n <= 0, "%s", text);
    http_peer_close(&peer);
    peer = connect_to(front);
    expect(&peer, GET("/hello"), 200, "hello");
    http_peer_close(&peer);
}

/* The proxy, or we through it, say 100 before the body is sent. */
static void expect_continue(struct http_peer *peer)
{
    http_reply_release(&reply);
    http_peer_ask(peer,
                  "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                  "Expect: 100-continue\r\n\r\n",
                  &reply);
    cr_expect_eq(reply.status, 100, "%s", reply.head);
    http_reply_release(&reply);
    rig_peer_send(&peer->peer,
                  (const uint8_t[]){rig_pattern(0), rig_pattern(1), rig_pattern(2), rig_pattern(3)},
                  4);
    http_peer_read(peer, &reply, false);
    cr_expect_eq(reply.status, 200, "%s", reply.head);
    cr_expect_str_eq((const char *)reply.body, "4");
}

static void expect_exchanges(const struct kind *kind)
{
    struct http_peer peer;

    start(kind, CW_HTTP_X_FORWARDED);
    peer = connect_to(front);
    expect_small_bodies(&peer);
    expect_heads(&peer);
    expect_continue(&peer);
    expect_errors(&peer);
    http_peer_close(&peer);
    expect_broken();
    end();
}

Test(http_proxies, nginx_carries_bodies_heads_and_errors)
{
    expect_exchanges(&nginx);
}

Test(http_proxies, haproxy_carries_bodies_heads_and_errors)
{
    expect_exchanges(&haproxy);
}

static void upload(struct http_peer *peer, size_t len)
{
    static uint8_t piece[MIB];
    char text[128];

    snprintf(text, sizeof text, "PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
             len);
    http_peer_send(peer, text);
    for (size_t at = 0; at < len; at += sizeof piece) {
        http_gallery_fill(piece, sizeof piece, at);
        rig_peer_send(&peer->peer, piece, sizeof piece);
    }
    http_reply_release(&reply);
    http_peer_read(peer, &reply, false);
    snprintf(text, sizeof text, "%zu", len);
    cr_expect_str_eq((const char *)reply.body, text);
}

static void expect_large(const struct kind *kind)
{
    struct http_peer peer;

    start(kind, CW_HTTP_X_FORWARDED);
    http_gallery_put_pattern(&gallery, "large.bin", LARGE);
    peer = connect_to(front);
    upload(&peer, LARGE);
    http_peer_send(&peer, GET("/files/large.bin"));
    cr_expect_eq(http_gallery_read_pattern(&peer.peer), LARGE);
    http_peer_send(&peer, GET("/chunks/67108864"));
    cr_expect_eq(http_gallery_read_pattern(&peer.peer), LARGE);
    http_peer_close(&peer);
    end();
}

Test(http_proxies, nginx_carries_64_mib_up_and_down)
{
    expect_large(&nginx);
}

Test(http_proxies, haproxy_carries_64_mib_up_and_down)
{
    expect_large(&haproxy);
}

/* ---- smuggling ---- */

#define HIDDEN "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n" /* 35 bytes */

static const char *const attacks[] = {
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n"
    "0\r\n\r\n" HIDDEN,
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
    "23\r\n" HIDDEN "\r\n0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nTransfer-Encoding: xchunked\r\n\r\n"
    "0\r\n\r\n" HIDDEN,
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nTransfer-Encoding : chunked\r\n\r\n"
    "0\r\n\r\n" HIDDEN,
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nTransfer-Encoding:\vchunked\r\n\r\n"
    "0\r\n\r\n" HIDDEN,
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nX: y\r\n Transfer-Encoding: "
    "chunked\r\n\r\n0\r\n\r\n" HIDDEN,
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nX: y\nTransfer-Encoding: chunked\r\n"
    "\r\n0\r\n\r\n" HIDDEN,
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nTransfer_Encoding: chunked\r\n\r\n"
    "0\r\n\r\n" HIDDEN,
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 35\r\n\r\n" HIDDEN,
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 35, 0\r\n\r\n" HIDDEN,
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +35\r\n\r\n" HIDDEN,
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x23\r\n\r\n" HIDDEN,
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 00035\r\n\r\n" HIDDEN,
    "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n" HIDDEN,
    "HEAD /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n" HIDDEN,
    "DELETE /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n" HIDDEN,
    "GET /hello HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n23\r\n" HIDDEN
    "\r\n0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "23;a=b\r\n" HIDDEN "\r\n0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "23;\n\r\n" HIDDEN "\r\n0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "100000023\r\n" HIDDEN "\r\n0\r\n\r\n",
    "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n" HIDDEN,
    "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n" HIDDEN,
    "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\nExpect: 100-continue\r\n\r\n" HIDDEN,
    "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\nExpect: 200-ok\r\n\r\n" HIDDEN,
    "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 35\r\n"
    "\r\n" HIDDEN,
    "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nContent-Length: 35\r\n\r\n" HIDDEN,
    "GET /hello\r\nGET /smuggled HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /hello%0d%0a%0d%0aGET%20/smuggled%20HTTP/1.1%0d%0aHost:a%0d%0a%0d%0a HTTP/1.1\r\n"
    "Host: a\r\n\r\n",
};

/* What the attacker is told is his own affair. He does not end his input: nginx drops the requests of those that do. */
static void attack(const char *request)
{
    struct rig_peer peer = rig_peer_tcp_from(CLIENT, "127.0.0.1", front, 0);
    char sink[4096];

    rig_peer_send_text(&peer, request);
    rig_peer_send_text(&peer, "GET /number/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    while (rig_peer_receive_some(&peer, sink, sizeof sink) > 0) {}
    rig_peer_close(&peer);
}

static void expect_victims_are_well(const char *request)
{
    struct http_peer victim = connect_to(front);

    for (int i = 0; i < 3; i++) {
        char text[128];
        char answer[16];

        snprintf(text, sizeof text, "GET /number/%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
        snprintf(answer, sizeof answer, "%d", i);
        http_reply_release(&reply);
        http_peer_ask(&victim, text, &reply);
        cr_expect_eq(reply.status, 200, "behind %s: %s", request, reply.head);
        cr_expect_str_eq((const char *)reply.body, answer, "behind %s", request);
    }
    http_peer_close(&victim);
}

static void expect_nothing_smuggled(const struct kind *kind)
{
    client_timeout_s = 3;
    start(kind, CW_HTTP_X_FORWARDED);
    attack(GET("/hello") HIDDEN);
    cr_expect_eq(atomic_exchange(&gallery.smuggled, 0), 1, "what is not hidden is seen");
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        attack(attacks[i]);
        expect_victims_are_well(attacks[i]);
        cr_expect_eq(atomic_exchange(&gallery.smuggled, 0), 0, "%s", attacks[i]);
    }
    end();
}

Test(http_proxies, nothing_is_smuggled_past_nginx)
{
    expect_nothing_smuggled(&nginx);
}

Test(http_proxies, nothing_is_smuggled_past_haproxy)
{
    expect_nothing_smuggled(&haproxy);
}

/* Pipelining into the proxy, and clients that leave in the middle. */
static void expect_pipelines(const struct kind *kind)
{
    struct http_peer peer;

    start(kind, CW_HTTP_X_FORWARDED);
    peer = connect_to(front);
    http_peer_send(&peer, GET("/number/1") GET("/number/2") GET("/chunks/5") GET("/number/4"));
    for (int i = 0; i < 4; i++) {
        http_reply_release(&reply);
        http_peer_read(&peer, &reply, false);
        cr_expect_eq(reply.status, 200);
        cr_expect_eq(reply.body_len, i == 2 ? 5 : 1, "%d: %zu", i, reply.body_len);
    }
    http_peer_close(&peer);
    for (int i = 0; i < 20; i++) {
        peer = connect_to(front);
        http_peer_send(&peer, i % 2 ? GET("/chunks/10000000")
                                    : "PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
        if (i % 2) {
            rig_peer_receive(&peer.peer, (char[100]){0}, 100);
        }
        rig_peer_reset(&peer.peer);
        http_peer_close(&peer);
    }
    peer = connect_to(front);
    expect(&peer, GET("/hello"), 200, "hello");
    http_peer_close(&peer);
    end();
}

Test(http_proxies, nginx_may_lose_its_clients)
{
    expect_pipelines(&nginx);
}

Test(http_proxies, haproxy_may_lose_its_clients)
{
    expect_pipelines(&haproxy);
}
