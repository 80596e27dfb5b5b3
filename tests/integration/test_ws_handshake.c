/* Requests that want a WebSocket, and those that only look like it: each as a whole and in pieces, with a request behind it, which is
 * served where the connection stays HTTP and is not where it does not. */
#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(ws_handshake, .fini = rig_expect_no_leak, .timeout = 120);

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define UPGRADE "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define HOST "Host: a.example:8080\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n"
#define SOUND(path) GET(path) HOST UPGRADE KEY VERSION
#define BEHIND "GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

/* "Hello" from a client (RFC 6455 §5.7), and back. */
#define FRAME "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
#define FRAME_BACK "\x81\x05Hello"

static struct rig_host *host;

/* ---- the server ---- */

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

static void plain(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "plain");
}

static const struct cw_hooks hooks = {.on_data = echo};

static void begin_with(const struct cw_server_options *options)
{
    struct cw_server *server = rig_server(&cw_http, options);

    cw_http_route(server, "GET /plain", plain, NULL);
    cw_websocket_route(server, "/chat", &hooks, NULL);
    cw_websocket_route(server, "/any", &hooks, &(struct cw_websocket_options){.origins = "*"});
    cw_websocket_route(
        server, "/listed", &hooks,
        &(struct cw_websocket_options){.origins = "https://b.example, null, app://x"});
    cw_websocket_route(server, "/sub", &hooks,
                       &(struct cw_websocket_options){.subprotocols = "v2, v1"});
    cw_websocket_route(
        server, "/must", &hooks,
        &(struct cw_websocket_options){.subprotocols = "v2, v1", .subprotocol_required = true});
    cw_websocket_route(server, "/z", &hooks, &(struct cw_websocket_options){.compress = true});
    host = rig_host_start(server, NULL, NULL);
}

static void begin(void)
{
    begin_with(NULL);
}

static void begin_bare(void)
{
    struct cw_server *server = rig_server(&cw_websocket, NULL);

    cw_http_route(server, "GET /plain", plain, NULL);
    host = rig_host_start(server, &hooks, NULL);
}

static void end(void)
{
    rig_host_end(host);
}

/* ---- one request ---- */

struct row {
    const char *name;
    const char *request; /* without its empty line */
    int status;
    const char *field; /* of the answer, has to have this value. NULL: none */
    const char *value;
    const char *body; /* of the request, behind the empty line. NULL: none */
    bool closes;      /* nothing behind it is served */
};

static void send_in_pieces(struct http_peer *peer, const char *text, size_t piece)
{
    if (piece == 0) {
        http_peer_send(peer, text);
    } else {
        rig_peer_send_slowly(&peer->peer, text, strlen(text), piece);
    }
}

static void expect_frames(struct http_peer *peer, const char *name)
{
    char got[sizeof FRAME_BACK];
    size_t ahead = peer->ahead_len < sizeof got - 1 ? peer->ahead_len : sizeof got - 1;

    memcpy(got, peer->ahead, ahead);
    rig_peer_receive(&peer->peer, got + ahead, sizeof got - 1 - ahead);
    cr_expect_arr_eq(got, FRAME_BACK, sizeof got - 1, "%s", name);
}

static void expect_head(const struct row *row, const struct http_reply *reply)
{
    cr_expect_eq(reply->status, row->status, "%s: %d %s", row->name, reply->status,
                 reply->body ? (const char *)reply->body : "");
    if (row->field) {
        cr_expect_str_eq(http_reply_field(reply, row->field), row->value, "%s", row->name);
    }
    if (row->status == 426) {
        cr_expect_str_eq(http_reply_field(reply, "Upgrade"), "websocket", "%s", row->name);
        cr_expect_not_null(strstr(http_reply_field(reply, "Connection"), "upgrade"), "%s",
                           row->name);
        cr_expect_str_eq(http_reply_field(reply, "Sec-WebSocket-Version"), "13", "%s", row->name);
    } else if (row->status == 101) {
        cr_expect_str_eq(http_reply_field(reply, "Upgrade"), "websocket", "%s", row->name);
        cr_expect_str_eq(http_reply_field(reply, "Connection"), "upgrade", "%s", row->name);
        cr_expect_str_eq(http_reply_field(reply, "Sec-WebSocket-Accept"),
                         "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "%s", row->name);
    } else {
        cr_expect_str_eq(http_reply_field(reply, "Sec-WebSocket-Accept"), "", "%s", row->name);
    }
}

static void try_row(const struct row *row, size_t piece, struct http_reply *reply)
{
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    char text[8192];

    snprintf(text, sizeof text, "%s\r\n%s%s", row->request, row->body ? row->body : "",
             row->status == 101 ? FRAME : BEHIND);
    send_in_pieces(&peer, text, piece);
    http_peer_read(&peer, reply, strncmp(row->request, "HEAD ", 5) == 0);
    expect_head(row, reply);
    http_reply_release(reply);
    if (row->status == 101 && reply->status == 101) {
        expect_frames(&peer, row->name);
    } else if (!row->closes) {
        http_peer_read(&peer, reply, false);
        cr_expect_eq(reply->status, 200, "%s: the request behind it", row->name);
        cr_expect_str_eq((const char *)reply->body, "plain", "%s", row->name);
        http_reply_release(reply);
    }
    if (row->status != 101) {
        http_peer_expect_end(&peer);
    }
    http_peer_close(&peer);
}

static void try_rows(const struct row *rows, size_t count)
{
    struct http_reply *reply = calloc(1, sizeof *reply);

    for (size_t i = 0; i < count; i++) {
        try_row(&rows[i], 0, reply);
        try_row(&rows[i], 1, reply);
    }
    free(reply);
}

#define TRY(rows) try_rows(rows, sizeof(rows) / sizeof(rows)[0])

/* ---- what makes a handshake (RFC 6455 §4.2.1) ---- */

static const struct row sound[] = {
    {"sound", SOUND("/chat"), 101, "Sec-WebSocket-Protocol", "", NULL, false},
    {"any case of the names",
     GET("/chat") "hOST: a\r\nCONNECTION: UPGRADE\r\nupgrade: WebSocket\r\n"
                  "SEC-WEBSOCKET-KEY: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n",
     101, NULL, NULL, NULL, false},
    {"tokens in lists",
     GET("/chat") HOST
     "Connection: keep-alive,, Upgrade , x\r\nUpgrade: h2c, websocket\r\n" KEY VERSION,
     101, NULL, NULL, NULL, false},
    {"tokens over several fields",
     GET("/chat") HOST "Connection: keep-alive\r\nUpgrade: h2c\r\nConnection: upgrade\r\n"
                       "Upgrade: websocket\r\n" KEY VERSION,
     101, NULL, NULL, NULL, false},
    {"space around the values",
     GET("/chat") HOST UPGRADE "Sec-WebSocket-Key: \t dGhlIHNhbXBsZSBub25jZQ== \r\n"
                               "Sec-WebSocket-Version:  13\t\r\n",
     101, NULL, NULL, NULL, false},
    {"a length of nothing", SOUND("/chat") "Content-Length: 0\r\n", 101, NULL, NULL, NULL, false},
    {"a query", SOUND("/chat?a=b&c"), 101, NULL, NULL, NULL, false},
    {"an absolute target", SOUND("http://a.example:8080/chat"), 101, NULL, NULL, NULL, false},
    {"fields that nobody knows", SOUND("/chat") "Sec-WebSocket-Accept: x\r\nX-A: b\r\n", 101, NULL,
     NULL, NULL, false},
};

Test(ws_handshake, what_the_rfc_asks_for_is_enough_however_it_is_written)
{
    begin();
    TRY(sound);
    end();
}

static const struct row refused[] = {
    {"a plain GET", GET("/chat") HOST, 426, NULL, NULL, NULL, false},
    {"a plain HEAD", "HEAD /chat HTTP/1.1\r\n" HOST, 426, NULL, NULL, NULL, false},
    {"no Connection", GET("/chat") HOST "Upgrade: websocket\r\n" KEY VERSION, 426, NULL, NULL, NULL,
     false},
    {"Connection without upgrade",
     GET("/chat") HOST "Connection: keep-alive\r\nUpgrade: websocket\r\n" KEY VERSION, 426, NULL,
     NULL, NULL, false},
    {"no Upgrade", GET("/chat") HOST "Connection: upgrade\r\n" KEY VERSION, 426, NULL, NULL, NULL,
     false},
    {"another protocol", GET("/chat") HOST "Connection: upgrade\r\nUpgrade: h2c\r\n" KEY VERSION,
     426, NULL, NULL, NULL, false},
    {"a protocol that begins like it",
     GET("/chat") HOST "Connection: upgrade\r\nUpgrade: websockets\r\n" KEY VERSION, 426, NULL,
     NULL, NULL, false},
    {"HTTP/1.0", "GET /chat HTTP/1.0\r\n" HOST UPGRADE KEY VERSION, 426, NULL, NULL, NULL, true},
    {"POST", "POST /chat HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "Content-Length: 0\r\n", 405,
     "Allow", "GET, HEAD, OPTIONS", NULL, false},
    {"HEAD", "HEAD /chat HTTP/1.1\r\n" HOST UPGRADE KEY VERSION, 405, "Allow", "GET", NULL, false},
    {"no version", GET("/chat") HOST UPGRADE KEY, 426, NULL, NULL, NULL, false},
    {"version 8", GET("/chat") HOST UPGRADE KEY "Sec-WebSocket-Version: 8\r\n", 426, NULL, NULL,
     NULL, false},
    {"version 013", GET("/chat") HOST UPGRADE KEY "Sec-WebSocket-Version: 013\r\n", 426, NULL, NULL,
     NULL, false},
    {"a list of versions", GET("/chat") HOST UPGRADE KEY "Sec-WebSocket-Version: 13, 8\r\n", 426,
     NULL, NULL, NULL, false},
    {"an empty version", GET("/chat") HOST UPGRADE KEY "Sec-WebSocket-Version:\r\n", 426, NULL,
     NULL, NULL, false},
    {"a version twice", SOUND("/chat") VERSION, 400, NULL, NULL, NULL, false},
    {"two versions", SOUND("/chat") "Sec-WebSocket-Version: 8\r\n", 400, NULL, NULL, NULL, false},
    {"no key", GET("/chat") HOST UPGRADE VERSION, 400, NULL, NULL, NULL, false},
    {"an empty key", GET("/chat") HOST UPGRADE VERSION "Sec-WebSocket-Key:\r\n", 400, NULL, NULL,
     NULL, false},
    {"a short key", GET("/chat") HOST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n",
     400, NULL, NULL, NULL, false},
    {"a long key",
     GET("/chat") HOST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZXM=\r\n", 400, NULL,
     NULL, NULL, false},
    {"a key without padding",
     GET("/chat") HOST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n", 400, NULL,
     NULL, NULL, false},
    {"a key with bits left over",
     GET("/chat") HOST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n", 400, NULL,
     NULL, NULL, false},
    {"a key of another alphabet",
     GET("/chat") HOST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j_Q==\r\n", 400, NULL,
     NULL, NULL, false},
    {"a key twice", SOUND("/chat") KEY, 400, NULL, NULL, NULL, false},
    {"two keys", SOUND("/chat") "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", 400, NULL, NULL,
     NULL, false},
    {"no host", GET("/chat") UPGRADE KEY VERSION, 400, NULL, NULL, NULL, true},
    {"two hosts", SOUND("/chat") "Host: b\r\n", 400, NULL, NULL, NULL, true},
    {"the same host twice", SOUND("/chat") HOST, 400, NULL, NULL, NULL, true},
    {"a length and chunks", SOUND("/chat") "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
     400, NULL, NULL, "0\r\n\r\n", true},
    {"a body", SOUND("/chat") "Content-Length: 5\r\n", 400, NULL, NULL, "hello", false},
    {"a body in chunks", SOUND("/chat") "Transfer-Encoding: chunked\r\n", 400, NULL, NULL,
     "5\r\nhello\r\n0\r\n\r\n", false},
    {"an empty body in chunks", SOUND("/chat") "Transfer-Encoding: chunked\r\n", 400, NULL, NULL,
     "0\r\n\r\n", false},
    {"a body that looks like frames", SOUND("/chat") "Content-Length: 11\r\n", 400, NULL, NULL,
     FRAME, false},
    {"a body to continue with", SOUND("/chat") "Content-Length: 5\r\nExpect: 100-continue\r\n", 400,
     NULL, NULL, NULL, true},
    {"a path that nobody serves", SOUND("/elsewhere"), 404, NULL, NULL, NULL, false},
};

Test(ws_handshake, what_is_none_is_refused_as_the_rfcs_say_and_http_goes_on)
{
    begin();
    TRY(refused);
    end();
}

Test(ws_handshake, frames_behind_a_refused_request_are_not_taken_for_frames)
{
    struct http_reply *reply = calloc(1, sizeof *reply);
    struct http_peer peer;

    begin();
    peer = http_peer_new(rig_host_port(host, 0));
    http_peer_send(&peer, GET("/chat") HOST UPGRADE KEY "\r\n" FRAME "\r\n\r\n");
    http_peer_read(&peer, reply, false);
    cr_expect_eq(reply->status, 426);
    http_reply_release(reply);
    http_peer_read(&peer, reply, false);
    cr_expect_eq(reply->status, 400, "as a request they are none");
    cr_expect_str_eq(http_reply_field(reply, "Connection"), "close");
    http_reply_release(reply);
    http_peer_expect_end(&peer);
    http_peer_close(&peer);
    free(reply);
    end();
}

/* ---- origins (RFC 6455 §10.2) ---- */

static const struct row origins[] = {
    {"its own", SOUND("/chat") "Origin: http://a.example:8080\r\n", 101, NULL, NULL, NULL, false},
    {"its own in capitals", SOUND("/chat") "Origin: http://A.EXAMPLE:8080\r\n", 101, NULL, NULL,
     NULL, false},
    {"its own behind a TLS that is not seen", SOUND("/chat") "Origin: https://a.example:8080\r\n",
     101, NULL, NULL, NULL, false},
    {"without a port",
     GET("/chat") "Host: a.example\r\n" UPGRADE KEY VERSION "Origin: http://a.example\r\n", 101,
     NULL, NULL, NULL, false},
    {"with the usual port said once",
     GET("/chat") "Host: a.example:80\r\n" UPGRADE KEY VERSION "Origin: http://a.example\r\n", 101,
     NULL, NULL, NULL, false},
    {"the usual port of https",
     GET("/chat") "Host: a.example\r\n" UPGRADE KEY VERSION "Origin: https://a.example\r\n", 101,
     NULL, NULL, NULL, false},
    {"an address", GET("/chat") "Host: [::1]:80\r\n" UPGRADE KEY VERSION "Origin: http://[::1]\r\n",
     101, NULL, NULL, NULL, false},
    {"another port", SOUND("/chat") "Origin: http://a.example:8081\r\n", 403, NULL, NULL, NULL,
     false},
    {"the usual port", SOUND("/chat") "Origin: http://a.example\r\n", 403, NULL, NULL, NULL, false},
    {"another host", SOUND("/chat") "Origin: http://b.example:8080\r\n", 403, NULL, NULL, NULL,
     false},
    {"a host that begins like it", SOUND("/chat") "Origin: http://a.example.evil.test:8080\r\n",
     403, NULL, NULL, NULL, false},
    {"a host that ends like it", SOUND("/chat") "Origin: http://xa.example:8080\r\n", 403, NULL,
     NULL, NULL, false},
    {"null", SOUND("/chat") "Origin: null\r\n", 403, NULL, NULL, NULL, false},
    {"nothing", SOUND("/chat") "Origin:\r\n", 403, NULL, NULL, NULL, false},
    {"a name alone", SOUND("/chat") "Origin: a.example:8080\r\n", 403, NULL, NULL, NULL, false},
    {"a path", SOUND("/chat") "Origin: http://a.example:8080/\r\n", 403, NULL, NULL, NULL, false},
    {"somebody at it", SOUND("/chat") "Origin: http://x@a.example:8080\r\n", 403, NULL, NULL, NULL,
     false},
    {"another scheme", SOUND("/chat") "Origin: app://a.example:8080\r\n", 403, NULL, NULL, NULL,
     false},
    {"two", SOUND("/chat") "Origin: http://a.example:8080\r\nOrigin: http://a.example:8080\r\n",
     400, NULL, NULL, NULL, false},
    {"two in one", SOUND("/chat") "Origin: http://a.example:8080 http://b\r\n", 403, NULL, NULL,
     NULL, false},
    {"any: another", SOUND("/any") "Origin: https://evil.test\r\n", 101, NULL, NULL, NULL, false},
    {"any: null", SOUND("/any") "Origin: null\r\n", 101, NULL, NULL, NULL, false},
    {"listed", SOUND("/listed") "Origin: https://b.example\r\n", 101, NULL, NULL, NULL, false},
    {"listed: null", SOUND("/listed") "Origin: null\r\n", 101, NULL, NULL, NULL, false},
    {"listed: a scheme", SOUND("/listed") "Origin: app://x\r\n", 101, NULL, NULL, NULL, false},
    {"listed: its own is not", SOUND("/listed") "Origin: http://a.example:8080\r\n", 403, NULL,
     NULL, NULL, false},
    {"listed: none is said", SOUND("/listed"), 101, NULL, NULL, NULL, false},
};

Test(ws_handshake, pages_of_the_host_that_is_asked_for_may_connect_and_those_that_are_listed)
{
    cw_log_set_level(CW_LOG_WARNING);
    begin();
    TRY(origins);
    end();
}

static const struct row forwarded[] = {
    {"the host that the proxy was asked for",
     SOUND("/chat") "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: site.example\r\n"
                    "X-Forwarded-Proto: https\r\nOrigin: https://site.example\r\n",
     101, NULL, NULL, NULL, false},
    {"with its port",
     SOUND("/chat") "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: site.example:8443\r\n"
                    "X-Forwarded-Proto: https\r\nOrigin: https://site.example:8443\r\n",
     101, NULL, NULL, NULL, false},
    {"another port",
     SOUND("/chat") "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: site.example:8443\r\n"
                    "X-Forwarded-Proto: https\r\nOrigin: https://site.example\r\n",
     403, NULL, NULL, NULL, false},
    {"a page that anybody in between may have written",
     SOUND("/chat") "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: site.example:80\r\n"
                    "X-Forwarded-Proto: https\r\nOrigin: http://site.example\r\n",
     403, NULL, NULL, NULL, false},
    {"the host that we are asked for",
     SOUND("/chat") "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: site.example\r\n"
                    "Origin: http://a.example:8080\r\n",
     403, NULL, NULL, NULL, false},
};

Test(ws_handshake, behind_a_trusted_proxy_the_host_is_the_one_that_it_was_asked_for)
{
    struct cw_server *server =
        rig_server(&cw_http, &(struct cw_server_options){.trusted_proxies = "127.0.0.1"});

    cw_log_set_level(CW_LOG_WARNING);
    cw_http_configure(server, &(struct cw_http_options){.forwarded = CW_HTTP_X_FORWARDED_HOST});
    cw_http_route(server, "GET /plain", plain, NULL);
    cw_websocket_route(server, "/chat", &hooks, NULL);
    host = rig_host_start(server, NULL, NULL);
    TRY(forwarded);
    end();
}

/* ---- subprotocols (RFC 6455 §4.1, §4.2.2) ---- */

#define OFFER(list) "Sec-WebSocket-Protocol: " list "\r\n"

static const struct row subprotocols[] = {
    {"the first of ours", SOUND("/sub") OFFER("v1, v2"), 101, "Sec-WebSocket-Protocol", "v2", NULL,
     false},
    {"over several fields", SOUND("/sub") OFFER("x") OFFER("v1"), 101, "Sec-WebSocket-Protocol",
     "v1", NULL, false},
    {"none in common", SOUND("/sub") OFFER("v3"), 101, "Sec-WebSocket-Protocol", "", NULL, false},
    {"none offered", SOUND("/sub"), 101, "Sec-WebSocket-Protocol", "", NULL, false},
    {"another case is another name", SOUND("/sub") OFFER("V2"), 101, "Sec-WebSocket-Protocol", "",
     NULL, false},
    {"none wanted", SOUND("/chat") OFFER("v1"), 101, "Sec-WebSocket-Protocol", "", NULL, false},
    {"empty elements", SOUND("/sub") OFFER(", v1,,"), 101, "Sec-WebSocket-Protocol", "v1", NULL,
     false},
    {"one twice", SOUND("/sub") OFFER("v1, v1"), 400, NULL, NULL, NULL, false},
    {"one in two fields", SOUND("/sub") OFFER("v1") OFFER("v1"), 400, NULL, NULL, NULL, false},
    {"no token", SOUND("/sub") OFFER("v1, v/2"), 400, NULL, NULL, NULL, false},
    {"a quoted one", SOUND("/sub") OFFER("\"v1\""), 400, NULL, NULL, NULL, false},
    {"two without a comma", SOUND("/sub") OFFER("v1 v2"), 400, NULL, NULL, NULL, false},
    {"nothing", SOUND("/sub") OFFER(""), 400, NULL, NULL, NULL, false},
    {"nothing but commas", SOUND("/sub") OFFER(",,"), 400, NULL, NULL, NULL, false},
    {"required and there", SOUND("/must") OFFER("v1"), 101, "Sec-WebSocket-Protocol", "v1", NULL,
     false},
    {"required and not there", SOUND("/must"), 400, NULL, NULL, NULL, false},
    {"required and another", SOUND("/must") OFFER("v3"), 400, "Sec-WebSocket-Protocol", "", NULL,
     false},
};

Test(ws_handshake, the_first_subprotocol_of_ours_that_is_offered_is_taken)
{
    begin();
    TRY(subprotocols);
    end();
}

Test(ws_handshake, more_subprotocols_than_anybody_speaks_are_refused)
{
    char request[2048] = SOUND("/sub") "Sec-WebSocket-Protocol: ";
    struct row row = {"65 of them", request, 400, NULL, NULL, NULL, false};
    struct http_reply *reply = calloc(1, sizeof *reply);

    for (int i = 0; i < 65; i++) {
        snprintf(request + strlen(request), 16, "p%d,", i);
    }
    strcat(request, "\r\n");
    begin();
    try_row(&row, 0, reply);
    *strstr(request, "p64,") = '\0';
    strcat(request, "\r\n");
    row.status = 101;
    try_row(&row, 0, reply);
    free(reply);
    end();
}

/* ---- extensions (RFC 6455 §9.1) ---- */

#define EXTEND(list) "Sec-WebSocket-Extensions: " list "\r\n"

static const struct row extensions[] = {
    {"not wanted", SOUND("/chat") EXTEND("permessage-deflate"), 101, "Sec-WebSocket-Extensions", "",
     NULL, false},
    {"not offered", SOUND("/z"), 101, "Sec-WebSocket-Extensions", "", NULL, false},
    {"one that nobody knows", SOUND("/z") EXTEND("x-unknown; a=1"), 101, "Sec-WebSocket-Extensions",
     "", NULL, false},
    {"no list", SOUND("/z") EXTEND("permessage-deflate; ;"), 400, NULL, NULL, NULL, false},
    {"no list where none is wanted", SOUND("/chat") EXTEND("a b"), 400, NULL, NULL, NULL, false},
};

Test(ws_handshake, extensions_are_agreed_to_where_they_are_wanted)
{
    struct http_reply *reply = calloc(1, sizeof *reply);
    struct http_peer peer;

    begin();
    TRY(extensions);
    peer = http_peer_new(rig_host_port(host, 0));
    http_peer_ask(&peer, SOUND("/z") EXTEND("x-unknown") EXTEND("permessage-deflate") "\r\n", reply);
    cr_expect_eq(reply->status, 101);
    cr_expect_eq(
        strncmp(http_reply_field(reply, "Sec-WebSocket-Extensions"), "permessage-deflate", 18), 0);
    http_reply_release(reply);
    http_peer_close(&peer);
    free(reply);
    end();
}

/* ---- servers that speak nothing else ---- */

static const struct row bare[] = {
    {"any path", SOUND("/whatever"), 101, NULL, NULL, NULL, false},
    {"the root", SOUND("/"), 101, NULL, NULL, NULL, false},
    {"a plain GET", GET("/whatever") HOST, 426, NULL, NULL, NULL, false},
    {"a plain HEAD", "HEAD / HTTP/1.1\r\n" HOST, 426, NULL, NULL, NULL, false},
    {"POST", "POST / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "Content-Length: 5\r\n", 405, "Allow",
     "GET", "hello", false},
    {"DELETE", "DELETE /x HTTP/1.1\r\n" HOST, 405, "Allow", "GET", NULL, false},
    {"a body", SOUND("/") "Content-Length: 5\r\n", 400, NULL, NULL, "hello", false},
    {"an origin", SOUND("/") "Origin: http://b.example\r\n", 403, NULL, NULL, NULL, false},
    {"a bad key", GET("/") HOST UPGRADE VERSION "Sec-WebSocket-Key: x\r\n", 400, NULL, NULL, NULL,
     false},
    {"a head that is none", "GET / HTTP/1.1\r\nHost: a b\r\n", 400, NULL, NULL, NULL, true},
};

Test(ws_handshake, a_server_of_websockets_upgrades_on_every_path_that_no_route_answers)
{
    cw_log_set_level(CW_LOG_WARNING);
    begin_bare();
    TRY(bare);
    cr_expect_eq(
        http_get(rig_host_port(host, 0), "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0), 200);
    end();
}

static atomic_uint lines;

static void count_lines(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    static const char page[] =
        "websocket: a page of https://evil.test may not connect to http://a.example:8080: ";

    if (level == CW_LOG_INFO && strncmp(text, page, sizeof page - 1) == 0) {
        atomic_fetch_add(&lines, 1);
    }
}

Test(ws_handshake, pages_that_may_not_connect_are_few_lines_in_the_log)
{
    struct http_reply *reply = calloc(1, sizeof *reply);
    struct http_peer peer;
    uint64_t before;

    cw_log_set(count_lines, NULL);
    begin();
    peer = http_peer_new(rig_host_port(host, 0));
    before = rig_now_ms();
    for (int i = 0; i < 200; i++) {
        http_peer_ask(&peer, SOUND("/chat") "Origin: https://evil.test\r\n\r\n", reply);
        cr_assert_eq(reply->status, 403);
        http_reply_release(reply);
    }
    cr_expect_geq(atomic_load(&lines), 1);
    cr_expect_leq(atomic_load(&lines), 2 + (rig_now_ms() - before) / 1000);
    http_peer_close(&peer);
    free(reply);
    end();
}

/* ---- with TLS ---- */

static void expect_over_tls(struct rig_secure *secure, const char *request, const char *hears)
{
    struct cw_tls_options trust = {.ca = pki("ca.pem")};
    struct rig_visit visit = {.says = request, .hears = hears};

    rig_visit(&visit, secure->address, &trust);
    cr_expect_eq(visit.opened, 1);
    cr_expect_not_null(strstr(visit.got, hears), "%s", visit.got);
}

Test(ws_handshake, over_tls_a_page_that_came_without_it_may_not_connect)
{
    static struct rig_secure secure;
    struct cw_tls_options tls;

    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
    tls = rig_identity("server.pem", "server.key");
    cw_log_set_level(CW_LOG_WARNING);
    rig_secure_start(&secure, &cw_websocket, &tls, NULL);
    expect_over_tls(&secure, SOUND("/") "Origin: https://a.example:8080\r\n\r\n", "HTTP/1.1 101 ");
    expect_over_tls(&secure, SOUND("/") "Origin: http://a.example:8080\r\n\r\n", "HTTP/1.1 403 ");
    rig_secure_end(&secure);
}

/* ---- what else a bare connection has to do with its listener ---- */

static atomic_uint reports;

static void note_report(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    rig_check(report->code == CW_EPROTO);
    atomic_fetch_add(&reports, 1);
}

Test(ws_handshake, what_is_wrong_with_a_request_is_told_to_the_listener_s_hook)
{
    static const struct cw_hooks told = {.on_data = echo, .on_error = note_report};

    host = rig_host_start(rig_server(&cw_websocket, NULL), &told, NULL);
    cr_expect_eq(http_get(rig_host_port(host, 0), "GET / HTTP/1.1\r\n\r\n", NULL, 0), 400);
    rig_await(atomic_load(&reports) == 1);
    end();
}

Test(ws_handshake, a_connection_that_waits_outlives_what_its_listener_was_told)
{
    struct http_reply *reply = calloc(1, sizeof *reply);
    struct http_peer peer;

    begin_bare();
    peer = http_peer_new(rig_host_port(host, 0));
    http_peer_ask(&peer, GET("/") HOST "\r\n", reply);
    http_reply_release(reply);
    cr_assert_eq(
        cw_server_update(rig_host_server(host), &(struct cw_server_options){.conns_max = 20}), 0);
    http_peer_ask(&peer, SOUND("/") "\r\n", reply);
    cr_expect_eq(reply->status, 101);
    http_reply_release(reply);
    http_peer_send(&peer, FRAME);
    expect_frames(&peer, "behind an update");
    http_peer_close(&peer);
    free(reply);
    end();
}

static int not_now(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    cw_http_reply_error(http, 429, NULL);
    return CW_HTTP_ANSWERED;
}

static struct cw_http_middleware busy = {.name = "busy", .on_request = not_now};

Test(ws_handshake, middleware_of_the_server_comes_before_a_handshake_without_a_route)
{
    struct cw_server *server = rig_server(&cw_websocket, NULL);
    struct http_reply *reply = calloc(1, sizeof *reply);
    struct http_peer peer;

    cw_http_use(server, &busy);
    host = rig_host_start(server, &hooks, NULL);
    peer = http_peer_new(rig_host_port(host, 0));
    http_peer_ask(&peer, SOUND("/") "\r\n", reply);
    cr_expect_eq(reply->status, 429);
    http_reply_release(reply);
    http_peer_close(&peer);
    free(reply);
    end();
}

Test(ws_handshake, limits_of_requests_are_those_of_its_http_and_nothing_is_borrowed)
{
    struct cw_server *server = rig_server(&cw_websocket, NULL);
    char name[] = "W";
    char list[] = "v1";
    struct cw_http_options http = {.target_max_bytes = 10, .server_name = name};
    struct http_reply *reply = calloc(1, sizeof *reply);
    struct http_peer peer;

    cw_websocket_configure(server,
                           &(struct cw_websocket_options){.http = &http, .subprotocols = "v0"});
    cw_websocket_configure(server,
                           &(struct cw_websocket_options){.http = &http, .subprotocols = list});
    memset(name, 'x', 1);
    memset(list, 'x', 2);
    memset(&http, 0, sizeof http);
    host = rig_host_start(server, &hooks, NULL);
    cw_log_set_level(CW_LOG_WARNING);
    cr_expect_eq(http_get(rig_host_port(host, 0), GET("/12345678901") HOST "\r\n", NULL, 0), 414);
    cr_expect_eq(http_get(rig_host_port(host, 0), GET("/123") HOST "\r\n", NULL, 0), 426);
    peer = http_peer_new(rig_host_port(host, 0));
    http_peer_ask(&peer, SOUND("/") "Sec-WebSocket-Protocol: v0, v1\r\n\r\n", reply);
    cr_expect_str_eq(http_reply_field(reply, "Server"), "W");
    cr_expect_str_eq(http_reply_field(reply, "Sec-WebSocket-Protocol"), "v1");
    http_reply_release(reply);
    http_peer_close(&peer);
    free(reply);
    end();
}
