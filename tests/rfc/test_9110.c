/* What RFC 9110 and 9112 ask of answers, seen by a client. docs/rfc/ says which test shows what. */
#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/protocol.h>
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(rfc_9110, .fini = rig_expect_no_leak, .timeout = 90);

static struct {
    struct rig_host *host;
    struct cw_service_ref *lines;
    atomic_uint handled;
    atomic_int switched; /* what cw_http_switch returned */
} house;

/* ---- handlers ---- */

static void hello(struct cw_http_exchange *http, void *user)
{
    atomic_fetch_add(&house.handled, 1);
    cw_http_reply_text(http, 200, "hello");
}

static void say_status(struct cw_http_exchange *http, void *user)
{
    struct cw_span status = cw_http_param(http, "status");

    cw_http_reply_text(http, atoi((const char *)status.data), "words");
}

static void begin_status(struct cw_http_exchange *http, void *user)
{
    struct cw_span status = cw_http_param(http, "status");

    if (cw_http_begin(http, atoi((const char *)status.data), "text/plain", CW_NO_LIMIT) >= 0) {
        cw_http_send(http, cw_span_text("words"));
        cw_http_end(http);
    }
}

static void go_there(struct cw_http_exchange *http, void *user)
{
    cw_http_redirect(http, 302, "/");
}

static void want_upgrade(struct cw_http_exchange *http, void *user)
{
    cw_http_set_field(http, "Upgrade", "lines");
    cw_http_reply_error(http, 426, "only in lines");
}

static void change(struct cw_http_exchange *http, void *user)
{
    int result = cw_http_switch(http, "lines", house.lines, NULL, NULL);

    atomic_store(&house.switched, result);
    if (result < 0) {
        cw_http_reply_text(http, 200, "as before");
    }
}

static void say_back(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

static const struct cw_hooks line_hooks = {.on_data = say_back};

static void begin(void)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct cw_service lines = {.protocol = &cw_line, .hooks = &line_hooks};

    house.lines = cw_service_new(&lines, NULL);
    rig_check(house.lines != NULL);
    cw_http_route(server, "GET|POST /", hello, NULL);
    cw_http_route(server, "GET /status/:status", say_status, NULL);
    cw_http_route(server, "GET /pieces/:status", begin_status, NULL);
    cw_http_route(server, "GET /there", go_there, NULL);
    cw_http_route(server, "GET /426", want_upgrade, NULL);
    cw_http_route(server, "GET|POST /lines", change, NULL);
    house.host = rig_host_start(server, NULL, NULL);
}

static void end(void)
{
    rig_host_end(house.host);
    cw_service_free(house.lines);
}

static struct http_peer peer_new(void)
{
    return http_peer_new(rig_host_port(house.host, 0));
}

/* Asks on a connection of its own, which has to be in step afterwards. */
static void ask(const char *request, struct http_reply *reply)
{
    struct http_peer peer = peer_new();
    struct http_reply next = {0};

    http_peer_ask(&peer, request, reply);
    http_peer_ask(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &next);
    cr_expect_str_eq((const char *)next.body, "hello", "out of step behind %s", request);
    http_reply_release(&next);
    http_peer_close(&peer);
}

static bool has(const struct http_reply *reply, const char *name)
{
    return http_reply_field(reply, name)[0] != '\0';
}

/* ---- tests ---- */

Test(rfc_9110, every_answer_has_a_date)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /there HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /status/304 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    struct http_reply reply = {0};
    int64_t when;

    begin();
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        ask(requests[i], &reply);
        cr_expect_eq(cw_http_parse_date(cw_span_text(http_reply_field(&reply, "Date")), 0, &when),
                     0);
        cr_expect_eq(strlen(http_reply_field(&reply, "Date")), 29, "not an IMF-fixdate");
        http_reply_release(&reply);
    }
    end();
}

Test(rfc_9110, refused_heads_have_a_date_too_and_close)
{
    struct http_peer peer;
    struct http_reply reply = {0};

    begin();
    peer = peer_new();
    http_peer_ask(&peer, "GET / HTTP/1.1\r\n\r\n", &reply);
    cr_expect_eq(reply.status, 400);
    cr_expect(has(&reply, "Date"));
    cr_expect_str_eq(http_reply_field(&reply, "Connection"), "close");
    http_peer_expect_end(&peer);
    http_reply_release(&reply);
    http_peer_close(&peer);
    end();
}

Test(rfc_9110, a_status_line_has_its_space_also_before_words_that_nobody_knows)
{
    struct http_reply reply = {0};

    begin();
    ask("GET /status/599 HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_expect(strncmp(reply.head, "HTTP/1.1 599 ", 13) == 0);
    http_reply_release(&reply);
    end();
}

Test(rfc_9110, answers_without_content_are_not_framed)
{
    static const char *const paths[] = {"/status/204", "/pieces/204", "/status/304", "/pieces/304"};
    struct http_reply reply = {0};
    char request[100];

    begin();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
        ask(request, &reply);
        cr_expect_not(has(&reply, "Transfer-Encoding"), "%s", paths[i]);
        cr_expect_not(has(&reply, "Content-Length"), "%s", paths[i]);
        cr_expect_eq(reply.body_len, 0);
        http_reply_release(&reply);
    }
    end();
}

Test(rfc_9110, a_205_has_no_content_and_says_so)
{
    static const char *const paths[] = {"/status/205", "/pieces/205"};
    struct http_reply reply = {0};
    char request[100];

    begin();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
        ask(request, &reply);
        cr_expect_eq(reply.status, 205);
        cr_expect_str_eq(http_reply_field(&reply, "Content-Length"), "0");
        cr_expect_eq(reply.body_len, 0);
        http_reply_release(&reply);
    }
    end();
}

Test(rfc_9110, a_length_stands_beside_no_transfer_coding)
{
    struct http_reply reply = {0};

    begin();
    ask("GET /pieces/200 HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_expect(has(&reply, "Transfer-Encoding"));
    cr_expect_not(has(&reply, "Content-Length"));
    cr_expect_str_eq((const char *)reply.body, "words");
    http_reply_release(&reply);
    end();
}

Test(rfc_9110, http_1_0_gets_neither_chunks_nor_interim_answers)
{
    struct http_peer peer;
    struct http_reply reply = {0};

    begin();
    peer = peer_new();
    http_peer_ask(&peer,
                  "POST / HTTP/1.0\r\nExpect: 100-continue\r\nConnection: keep-alive\r\n"
                  "Content-Length: 1\r\n\r\nx",
                  &reply);
    cr_expect_eq(reply.status, 200);
    http_reply_release(&reply);
    http_peer_ask(&peer, "GET /pieces/200 HTTP/1.0\r\n\r\n", &reply);
    cr_expect_not(has(&reply, "Transfer-Encoding"));
    cr_expect_str_eq((const char *)reply.body, "words");
    http_reply_release(&reply);
    http_peer_close(&peer);
    end();
}

Test(rfc_9110, a_head_has_the_length_of_its_get)
{
    struct http_reply reply = {0};

    begin();
    ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_expect_str_eq(http_reply_field(&reply, "Content-Length"), "5");
    cr_expect_eq(reply.body_len, 0);
    http_reply_release(&reply);
    ask("HEAD /pieces/200 HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_expect_not(has(&reply, "Content-Length"));
    cr_expect_eq(reply.body_len, 0);
    http_reply_release(&reply);
    end();
}

Test(rfc_9110, nothing_is_handled_behind_an_answer_that_closes)
{
    struct http_peer peer;
    struct http_reply reply = {0};

    begin();
    peer = peer_new();
    http_peer_send(&peer, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                          "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    http_peer_read(&peer, &reply, false);
    cr_expect_str_eq(http_reply_field(&reply, "Connection"), "close");
    http_peer_expect_end(&peer);
    cr_expect_eq(atomic_load(&house.handled), 1);
    http_reply_release(&reply);
    http_peer_close(&peer);
    end();
}

Test(rfc_9110, an_https_target_is_refused_on_a_connection_without_tls)
{
    struct http_peer peer;
    struct http_reply reply = {0};

    begin();
    peer = peer_new();
    http_peer_ask(&peer, "GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_expect_eq(reply.status, 421);
    http_peer_expect_end(&peer);
    cr_expect_eq(atomic_load(&house.handled), 0);
    http_reply_release(&reply);
    http_peer_close(&peer);
    end();
}

/* ---- upgrade ---- */

Test(rfc_9110, an_answer_that_wants_an_upgrade_names_the_protocol)
{
    struct http_reply reply = {0};

    begin();
    ask("GET /426 HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_expect_eq(reply.status, 426);
    cr_expect_str_eq(http_reply_field(&reply, "Upgrade"), "lines");
    cr_expect_str_eq(http_reply_field(&reply, "Connection"), "upgrade");
    http_reply_release(&reply);
    end();
}

Test(rfc_9110, a_switch_names_its_protocol_and_what_follows_is_that)
{
    static const char line[] = "GET / HTTP/1.1\n"; /* said back, by then */
    struct http_peer peer;
    struct http_reply reply = {0};

    begin();
    peer = peer_new();
    http_peer_send(&peer, "GET /lines HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                          "Upgrade: x, lines\r\n\r\nGET / HTTP/1.1\r\n");
    http_peer_read(&peer, &reply, false);
    cr_expect_eq(reply.status, 101);
    cr_expect_str_eq(http_reply_field(&reply, "Upgrade"), "lines");
    cr_expect_str_eq(http_reply_field(&reply, "Connection"), "upgrade");
    cr_expect_not(has(&reply, "Transfer-Encoding"));
    cr_expect_not(has(&reply, "Content-Length"));
    cr_assert_leq(peer.ahead_len, strlen(line));
    cr_expect(strncmp((const char *)peer.ahead, line, peer.ahead_len) == 0);
    rig_peer_expect(&peer.peer, line + peer.ahead_len);
    http_reply_release(&reply);
    http_peer_close(&peer);
    end();
}

Test(rfc_9110, there_is_no_switch_to_what_was_not_asked_for)
{
    static const char *const requests[] = {
        "GET /lines HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /lines HTTP/1.1\r\nHost: a\r\nUpgrade: lines\r\n\r\n",
        "GET /lines HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET /lines HTTP/1.0\r\nConnection: upgrade, keep-alive\r\nUpgrade: lines\r\n\r\n",
    };
    struct http_reply reply = {0};

    begin();
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        ask(requests[i], &reply);
        cr_expect_eq(reply.status, 200, "%s", requests[i]);
        cr_expect_eq(atomic_load(&house.switched), CW_EINVAL);
        http_reply_release(&reply);
    }
    end();
}

Test(rfc_9110, a_body_that_is_waited_for_is_asked_for_before_the_switch)
{
    struct http_peer peer;
    struct http_reply reply = {0};

    begin();
    peer = peer_new();
    http_peer_ask(&peer,
                  "POST /lines HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: lines\r\n"
                  "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n",
                  &reply);
    cr_expect_eq(reply.status, 100);
    http_reply_release(&reply);
    http_peer_ask(&peer, "x", &reply);
    cr_expect_eq(reply.status, 101);
    http_reply_release(&reply);
    http_peer_close(&peer);
    end();
}
