/* The programs of docs/recipes.md, built as a user would build them, driven over real sockets. */
#include "support/child.h"
#include "support/http_talk.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(recipes, .fini = rig_expect_no_leak, .timeout = 120);

/* ---- starting and ending ---- */

static void name_path(char *path, size_t cap, const char *name)
{
    snprintf(path, cap, "%s/tests/recipes/recipe_%s", CW_BUILD_DIR, name);
}

/* The port behind what it says of its listener. */
static uint16_t await_port_of(struct rig_child *child, const char *before)
{
    rig_child_await_text(child, before);
    return (uint16_t)strtoul(strstr(child->text, before) + strlen(before), NULL, 10);
}

static uint16_t await_port(struct rig_child *child)
{
    return await_port_of(child, "listening on tcp://[::]:");
}

static void start_with(struct rig_child *child, const char *name, char *second)
{
    char path[512];
    char *arguments[] = {path, "0", second, NULL};

    name_path(path, sizeof path, name);
    rig_child_start(child, path, arguments);
}

static uint16_t start(struct rig_child *child, const char *name)
{
    start_with(child, name, NULL);
    return await_port(child);
}

static uint16_t start_http(struct rig_child *child, const char *name, char *second)
{
    start_with(child, name, second);
    return await_port_of(child, "listening on http://[::]:");
}

/* Leaks, too, show in its status. */
static void end(struct rig_child *child)
{
    rig_child_signal(child, SIGTERM);
    cr_expect_eq(rig_child_join(child), 0, "%s", child->text);
}

/* ---- guests ---- */

static struct rig_peer guest(uint16_t port)
{
    return rig_peer_tcp_from("127.0.0.2", "127.0.0.1", port, 0);
}

Test(recipes, two_guests_are_let_in_a_third_is_not_and_this_machine_always_is)
{
    struct rig_child child;
    uint16_t port = start(&child, "guests");
    struct rig_peer guests[3];
    struct rig_peer own;

    for (int i = 0; i < 2; i++) {
        guests[i] = guest(port);
        rig_peer_expect(&guests[i], "welcome\n");
    }
    guests[2] = guest(port);
    rig_peer_expect_gone(&guests[2]);
    own = rig_peer_tcp(port);
    rig_peer_expect(&own, "welcome\n");
    rig_child_await_text(&child, "refused by a rule of this server (2)");
    for (int i = 0; i < 3; i++) {
        rig_peer_close(&guests[i]);
    }
    rig_peer_close(&own);
    end(&child);
}

/* Whether it is welcomed, or refused because the one before is not gone yet. */
static bool is_welcomed(uint16_t port)
{
    struct rig_peer peer = guest(port);
    char text[8];
    bool welcomed = rig_peer_receive_some(&peer, text, sizeof text) > 0;

    rig_peer_close(&peer);
    return welcomed;
}

Test(recipes, a_guest_who_leaves_makes_room)
{
    struct rig_child child;
    uint16_t port = start(&child, "guests");

    for (int i = 0; i < 5; i++) {
        rig_await(is_welcomed(port));
    }
    end(&child);
}

/* ---- heartbeat ---- */

Test(recipes, a_peer_that_answers_the_beat_stays_and_a_silent_one_ends)
{
    struct rig_child child;
    uint16_t port = start(&child, "heartbeat");
    struct rig_peer silent = rig_peer_tcp(port);
    struct rig_peer lively = rig_peer_tcp(port);

    for (int i = 0; i < 5; i++) { /* longer than the silence that is allowed */
        rig_peer_expect(&lively, "ping\n");
        rig_peer_send_text(&lively, "pong\n");
    }
    rig_child_await_text(&child, "closed: no byte from the peer for the read time");
    rig_peer_expect(&lively, "ping\n");
    cr_expect_geq(rig_peer_receive_all(&silent), strlen("ping\nping\n"));
    rig_peer_close(&silent);
    rig_peer_close(&lively);
    end(&child);
}

/* ---- login deadline ---- */

Test(recipes, who_logs_in_stays_and_who_does_not_is_told_and_closed)
{
    struct rig_child child;
    uint16_t port = start(&child, "login_deadline");
    struct rig_peer known = rig_peer_tcp(port);
    struct rig_peer stranger = rig_peer_tcp(port);

    rig_peer_send_text(&known, "open sesame\n");
    rig_peer_expect(&known, "welcome\n");
    rig_peer_send_text(&stranger, "open barley\n");
    rig_peer_expect(&stranger, "who are you?\ntoo late\n");
    rig_peer_expect_end(&stranger);
    rig_peer_send_text(&known, "still here\n");
    rig_peer_expect(&known, "still here\n");
    rig_peer_close(&known);
    rig_peer_close(&stranger);
    end(&child);
}

/* ---- clean-up ---- */

static bool none_is_kept(struct rig_peer *peer)
{
    char answer[16] = "";

    rig_peer_send_text(peer, "\n");
    rig_peer_receive(peer, answer, strlen("0 kept\n"));
    return strcmp(answer, "0 kept\n") == 0;
}

Test(recipes, notes_are_kept_for_a_while_and_then_forgotten)
{
    struct rig_child child;
    uint16_t port = start(&child, "cleanup");
    struct rig_peer peer = rig_peer_tcp(port);

    rig_peer_send_text(&peer, "buy milk\nsell milk\n");
    rig_peer_expect(&peer, "1 kept\n2 kept\n");
    rig_await(none_is_kept(&peer));
    rig_peer_close(&peer);
    end(&child);
}

/* ---- room ---- */

Test(recipes, what_one_says_in_a_room_all_others_hear_and_he_does_not)
{
    struct rig_child child;
    uint16_t port = start(&child, "room");
    struct rig_peer peers[6];

    for (int i = 0; i < 6; i++) {
        char welcome[64];
        peers[i] = rig_peer_tcp(port);
        snprintf(welcome, sizeof welcome, "welcome, there are %d of us\n", i + 1);
        rig_peer_expect(&peers[i], welcome);
    }
    rig_peer_send_text(&peers[5], "hello all\n");
    for (int i = 0; i < 5; i++) {
        rig_peer_expect(&peers[i], "hello all\n");
    }
    rig_peer_expect_silence(&peers[5], 100);
    for (int i = 0; i < 6; i++) {
        rig_peer_close(&peers[i]);
    }
    end(&child);
}

/* ---- presence ---- */

Test(recipes, those_who_are_here_know_of_each_other_and_hear_who_comes_and_goes)
{
    struct rig_child child;
    uint16_t port = start(&child, "presence");
    struct rig_peer ada = rig_peer_tcp(port);
    struct rig_peer bob = rig_peer_tcp(port);

    rig_peer_send_text(&ada, "hi ada\n");
    rig_peer_expect(&ada, "welcome\n");
    rig_peer_send_text(&bob, "hi bob\nhi again\n");
    rig_peer_expect(&bob, "welcome\n? no\n");
    rig_peer_expect(&ada, "+bob\n");
    rig_peer_send_text(&ada, "who\n");
    rig_peer_expect(&ada, "=ada\n=bob\n");
    rig_peer_reset(&bob);
    rig_peer_expect(&ada, "-bob\n");
    rig_peer_send_text(&ada, "who\n");
    rig_peer_expect(&ada, "=ada\n");
    rig_peer_close(&ada);
    end(&child);
}

/* ---- JSON ---- */

static void expect_answer(struct rig_peer *peer, const char *request, const char *answer)
{
    char got[200] = "";

    rig_peer_send_frame(peer, request, strlen(request));
    rig_peer_receive_frame(peer, got, sizeof got - 1);
    cr_expect_str_eq(got, answer);
}

Test(recipes, json_requests_are_answered_and_wrong_ones_are_told)
{
    struct rig_child child;
    uint16_t port = start(&child, "json");
    struct rig_peer peer = rig_peer_tcp(port);
    struct rig_peer other = rig_peer_tcp(port);

    expect_answer(&peer, "{\"name\": \"Ada\"}", "{\"hello\":\"Ada\"}");
    expect_answer(&peer, "{\"name\": 7}", "{\"error\":\"no name\"}");
    expect_answer(&peer, "{\"name\": ", "{\"error\":\"not JSON\"}");
    expect_answer(&peer, "{\"name\": \"Ada\"}", "{\"hello\":\"Ada\"}");
    rig_peer_send(&other, "\x00\x00\x40\x01", 4); /* 16385 bytes are to come */
    rig_peer_expect_end(&other);
    rig_peer_close(&peer);
    rig_peer_close(&other);
    end(&child);
}

/* ---- upload ---- */

static void read_text_frame(struct rig_peer *peer, char *text, size_t cap)
{
    text[rig_peer_receive_frame(peer, text, cap - 1)] = '\0';
}

Test(recipes, an_upload_is_acknowledged_as_it_is_taken)
{
    static char bytes[300000];
    struct rig_child child;
    uint16_t port = start(&child, "upload");
    struct rig_peer peer = rig_peer_tcp(port);
    char text[64];
    unsigned long got = 0;

    rig_peer_send_frame(&peer, bytes, 100);
    read_text_frame(&peer, text, sizeof text);
    cr_expect_str_eq(text, "done 100");
    rig_peer_send_frame(&peer, bytes, sizeof bytes);
    read_text_frame(&peer, text, sizeof text);
    while (strncmp(text, "got ", 4) == 0) {
        unsigned long now = strtoul(text + 4, NULL, 10);
        cr_expect_geq(now, got + 65536, "%s", text);
        got = now;
        read_text_frame(&peer, text, sizeof text);
    }
    cr_expect_gt(got, 150000, "the last acknowledgement is %lu", got);
    cr_expect_str_eq(text, "done 300000");
    rig_peer_close(&peer);
    end(&child);
}

/* ---- restart ---- */

struct passed {
    int fd;
    char path[512];
};

/* As systemd does it: the socket at descriptor 3, and a word about it in the environment. */
static int run_passed(void *arg)
{
    struct passed *passed = arg;
    char *arguments[] = {passed->path, NULL};

    if (passed->fd != 3) {
        dup2(passed->fd, 3);
    }
    setenv("LISTEN_FDS", "1", 1);
    execv(passed->path, arguments);
    return 127;
}

static uint16_t listen_here(int *fd)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6};
    socklen_t len = sizeof address;

    *fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(*fd, 0);
    cr_assert_eq(bind(*fd, (struct sockaddr *)&address, len), 0);
    cr_assert_eq(listen(*fd, 10), 0);
    cr_assert_eq(getsockname(*fd, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin6_port);
}

Test(recipes, a_restart_says_goodbye_and_refuses_nobody)
{
    struct rig_child child;
    struct passed passed;
    struct rig_peer before;
    struct rig_peer between;
    uint16_t port = listen_here(&passed.fd);

    name_path(passed.path, sizeof passed.path, "restart");
    rig_child_fork(&child, run_passed, &passed);
    cr_expect_eq(await_port(&child), port);
    before = rig_peer_tcp(port);
    rig_peer_send_text(&before, "hello\n");
    rig_peer_expect(&before, "hello\n");
    rig_peer_send_text(&before, "restart\n");
    rig_peer_expect(&before, "we restart, please come again\n");
    rig_peer_expect_end(&before);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);

    between = rig_peer_tcp(port);
    rig_peer_send_text(&between, "anybody there?\n");
    rig_child_fork(&child, run_passed, &passed);
    rig_peer_expect(&between, "anybody there?\n");
    rig_peer_close(&before);
    rig_peer_close(&between);
    end(&child);
    close(passed.fd);
}

/* ---- later ---- */

Test(recipes, an_answer_may_come_later_and_others_are_answered_meanwhile)
{
    struct rig_child child;
    uint16_t port = start(&child, "later");
    struct rig_peer slow = rig_peer_tcp(port);
    struct rig_peer gone = rig_peer_tcp(port);
    struct rig_peer quick = rig_peer_tcp(port);

    rig_peer_send_text(&slow, "100000007\n");
    rig_peer_send_text(&gone, "10000019\n");
    rig_peer_close(&gone);
    rig_peer_send_text(&quick, "91\nninety\n");
    rig_peer_expect(&quick, "a number above 1, please\n91 is divided by 7\n");
    rig_peer_expect(&slow, "100000007 is divided by 100000007\n");
    rig_peer_close(&slow);
    rig_peer_close(&quick);
    end(&child);
}

/* ---- client ---- */

Test(recipes, a_client_asks_again_when_the_server_has_come_back)
{
    struct rig_child server;
    struct rig_child client;
    struct passed passed;
    char path[512];
    char address[32];
    char *arguments[] = {path, address, NULL};
    uint16_t port = listen_here(&passed.fd);

    name_path(passed.path, sizeof passed.path, "restart");
    name_path(path, sizeof path, "client");
    snprintf(address, sizeof address, "localhost:%u", port);
    rig_child_fork(&server, run_passed, &passed);
    await_port(&server);
    rig_child_start(&client, path, arguments);
    rig_child_await_text(&client, "91\n");
    end(&server);
    rig_child_fork(&server, run_passed, &passed);
    rig_child_await_text(&client, "91\n91\n");
    end(&client);
    end(&server);
    close(passed.fd);
}

/* ---- pool ---- */

static uint16_t start_pool(struct rig_child *child, uint16_t backend)
{
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%u", backend);
    start_with(child, "pool", address);
    return await_port(child);
}

Test(recipes, many_questions_share_a_few_connections_to_the_backend)
{
    struct rig_child backend;
    struct rig_child child;
    uint16_t port = start_pool(&child, start(&backend, "later"));
    struct rig_peer peers[5];

    for (int i = 0; i < 5; i++) {
        peers[i] = rig_peer_tcp(port);
        rig_peer_send_text(&peers[i], "91\n");
    }
    for (int i = 0; i < 5; i++) {
        rig_peer_expect(&peers[i], "91 is divided by 7\n");
        rig_peer_close(&peers[i]);
    }
    end(&child);
    end(&backend);
}

Test(recipes, without_its_backend_a_question_is_answered_with_an_excuse)
{
    struct rig_child backend;
    struct rig_child child;
    uint16_t nobody = start(&backend, "later");
    uint16_t port;
    struct rig_peer peer;

    end(&backend);
    port = start_pool(&child, nobody);
    peer = rig_peer_tcp(port);
    rig_peer_send_text(&peer, "91\n");
    rig_peer_expect(&peer, "no answer, try again\n");
    rig_peer_close(&peer);
    end(&child);
}

/* ---- a login over HTTP ---- */

/* One request on a connection of its own; where it leads to, and the cookie it sets. */
static int visit(uint16_t port, const char *request, const char *fields, char cookie[128])
{
    static struct rig_answer answer;
    char text[512];
    const char *set;
    int status;

    snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: a.example\r\n%s\r\n", request, fields);
    rig_ask_once(port, text, (struct cw_span){0}, &answer);
    set = rig_answer_field(&answer, "Set-Cookie");
    snprintf(cookie, 128, "%s", set ? set : "");
    status = answer.status;
    rig_answer_free(&answer);
    return status;
}

static int log_in(uint16_t port, const char *form, char cookie[128])
{
    static struct rig_answer answer;
    const char *set;
    int status;

    rig_post_once(port, "/login", "Content-Type: application/x-www-form-urlencoded\r\n",
                  cw_span_text(form), &answer);
    set = rig_answer_field(&answer, "Set-Cookie");
    snprintf(cookie, 128, "%s", set ? set : "");
    status = answer.status;
    rig_answer_free(&answer);
    return status;
}

Test(recipes, a_cookie_lets_in_who_knew_the_password_until_the_way_out)
{
    struct rig_child child;
    char cookie[128];
    char field[160];
    uint16_t port;

    setenv("SITE_PASSWORD", "open sesame", 1);
    port = start_http(&child, "http_login", NULL);
    cr_expect_eq(visit(port, "GET /", "", cookie), 303);
    cr_expect_eq(visit(port, "GET /", "Cookie: sid=\r\n", cookie), 303);
    cr_expect_eq(log_in(port, "password=open+barley", cookie), 403);
    cr_expect_eq(log_in(port, "name=ada", cookie), 403);
    cr_expect_str_empty(cookie);
    cr_expect_eq(log_in(port, "password=open+sesame", cookie), 303);
    cr_assert_eq(strncmp(cookie, "sid=", 4), 0, "%s", cookie);
    cr_expect_not_null(strstr(cookie, "; HttpOnly; SameSite=Lax"), "%s", cookie);
    snprintf(field, sizeof field, "Cookie: %.36s\r\n", cookie);
    cr_expect_eq(visit(port, "GET /", field, cookie), 200);
    cr_expect_eq(visit(port, "POST /logout", field, cookie), 303);
    cr_expect_not_null(strstr(cookie, "Max-Age=0"), "%s", cookie);
    cr_expect_eq(visit(port, "GET /", field, cookie), 303);
    end(&child);
}

Test(recipes, without_a_password_set_nobody_logs_in)
{
    struct rig_child child;
    char cookie[128];
    uint16_t port;

    unsetenv("SITE_PASSWORD");
    port = start_http(&child, "http_login", NULL);
    cr_expect_eq(log_in(port, "password=", cookie), 403);
    end(&child);
}

/* ---- later over HTTP ---- */

static void ask_divisor(struct rig_peer *peer, const char *number)
{
    char head[128];

    snprintf(head, sizeof head, "GET /divisor/%s HTTP/1.1\r\nHost: a\r\n\r\n", number);
    rig_ask(peer, head, (struct cw_span){0});
}

static void expect_text(struct rig_peer *peer, int status, const char *text)
{
    static struct rig_answer answer;

    rig_answer_read(peer, true, &answer);
    cr_expect_eq(answer.status, status);
    cr_expect_str_eq((const char *)answer.body, text);
    rig_answer_free(&answer);
}

Test(recipes, an_http_answer_may_come_later_and_others_are_answered_meanwhile)
{
    struct rig_child child;
    uint16_t port = start_http(&child, "http_later", NULL);
    struct rig_peer slow = rig_peer_tcp(port);
    struct rig_peer gone = rig_peer_tcp(port);
    struct rig_peer quick = rig_peer_tcp(port);

    ask_divisor(&slow, "100000007");
    ask_divisor(&gone, "10000019");
    rig_peer_close(&gone);
    ask_divisor(&quick, "1");
    expect_text(&quick, 400, "400 Bad Request: a number above 1, please\n");
    ask_divisor(&quick, "91");
    expect_text(&quick, 200, "91 is divided by 7\n");
    expect_text(&slow, 200, "100000007 is divided by 100000007\n");
    rig_peer_close(&slow);
    rig_peer_close(&quick);
    end(&child);
}

/* ---- events ---- */

static void expect_event(struct rig_peer *reader, const char *text)
{
    struct rig_answer answer = {0};

    cr_expect_eq(rig_answer_read_chunk(reader, &answer), strlen(text));
    cr_expect_str_eq((const char *)answer.body, text);
    rig_answer_free(&answer);
}

/* How many are told of a line, once those who have gone are forgotten. */
static bool tells_one(struct rig_peer *speaker)
{
    char answer[8] = "";

    rig_peer_send_text(speaker, "is anybody there?\n");
    rig_peer_receive(speaker, answer, strlen("told 1\n"));
    return strcmp(answer, "told 1\n") == 0;
}

Test(recipes, every_browser_is_told_what_one_line_says)
{
    static struct rig_answer answer;
    struct rig_child child;
    uint16_t port = start_http(&child, "http_events", "0");
    struct rig_peer speaker = rig_peer_tcp(await_port_of(&child, "tcp://127.0.0.1:"));
    struct rig_peer readers[3];

    for (int i = 0; i < 3; i++) {
        readers[i] = rig_peer_tcp(port);
        rig_ask(&readers[i], "GET /feed HTTP/1.1\r\nHost: a\r\n\r\n", (struct cw_span){0});
        rig_answer_read_head(&readers[i], &answer);
        cr_expect_str_eq(rig_answer_field(&answer, "Content-Type"), "text/event-stream");
        rig_answer_free(&answer);
    }
    rig_peer_send_text(&speaker, "hello all\n");
    rig_peer_expect(&speaker, "told 3\n");
    for (int i = 0; i < 3; i++) {
        expect_event(&readers[i], "id: 1\ndata: hello all\n\n");
    }
    rig_peer_close(&readers[1]);
    rig_peer_close(&readers[2]);
    rig_await(tells_one(&speaker));
    rig_peer_close(&readers[0]);
    rig_peer_close(&speaker);
    end(&child);
}
