/* Server-sent events over sockets, read as a browser's EventSource reads them. */
#include "support/host.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/wait.h"

#include <causeway/http.h>
#include <causeway/log.h>
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(http_events, .fini = rig_expect_no_leak, .timeout = 90);

/* ---- the reader ---- */

enum { TEXT_MAX = 262144 };

/* An EventSource: the section "Interpreting an event stream" of the HTML standard. */
struct reader {
    struct rig_peer peer;
    char head[8192];
    bool chunked;
    size_t left; /* of the chunk under way */
    bool over;   /* the body has ended */
    unsigned comments;
    unsigned long retry_ms;
    char last_id[256];
    char name[256];
    char data[TEXT_MAX];
    char line[TEXT_MAX];
};

static bool take_byte(struct reader *reader, char *byte)
{
    ptrdiff_t n = rig_peer_receive_some(&reader->peer, byte, 1);

    rig_check(n >= 0);
    return n == 1;
}

/* Up to CRLF, which is left out. */
static void take_crlf_line(struct reader *reader, char *line, size_t cap)
{
    size_t len = 0;

    for (;;) {
        rig_check(len + 1 < cap);
        rig_check(take_byte(reader, &line[len]));
        if (len > 0 && line[len] == '\n' && line[len - 1] == '\r') {
            line[len - 1] = '\0';
            return;
        }
        len++;
    }
}

static void take_head(struct reader *reader)
{
    size_t len = 0;

    do {
        take_crlf_line(reader, reader->head + len, sizeof reader->head - len - 2);
        len += strlen(reader->head + len);
        memcpy(reader->head + len, "\r\n", 3);
        len += 2;
    } while (len < 4 || memcmp(reader->head + len - 4, "\r\n\r\n", 4) != 0);
    reader->chunked = strstr(reader->head, "Transfer-Encoding: chunked\r\n") != NULL;
}

/* The next byte of the body; false: it has ended in order. */
static bool body_byte(struct reader *reader, char *byte)
{
    char line[64];

    if (reader->over) {
        return false;
    }
    if (!reader->chunked) {
        reader->over = !take_byte(reader, byte);
        return !reader->over;
    }
    if (reader->left == 0) {
        take_crlf_line(reader, line, sizeof line);
        reader->left = strtoul(line, NULL, 16);
        if (reader->left == 0) {
            reader->over = true;
            rig_peer_expect(&reader->peer, "\r\n");
            return false;
        }
    }
    rig_check(take_byte(reader, byte));
    if (--reader->left == 0) {
        rig_peer_expect(&reader->peer, "\r\n");
    }
    return true;
}

static bool body_line(struct reader *reader)
{
    size_t len = 0;
    char byte;

    while (body_byte(reader, &byte)) {
        rig_check(byte != '\r'); /* the server ends lines with LF */
        rig_check(len + 1 < sizeof reader->line);
        if (byte == '\n') {
            reader->line[len] = '\0';
            return true;
        }
        reader->line[len++] = byte;
    }
    return false;
}

static void take_field(struct reader *reader, const char *field, const char *value)
{
    if (strcmp(field, "data") == 0) {
        size_t len = strlen(reader->data);
        rig_check(len + strlen(value) + 2 < sizeof reader->data);
        sprintf(reader->data + len, "%s\n", value);
    } else if (strcmp(field, "event") == 0) {
        snprintf(reader->name, sizeof reader->name, "%s", value);
    } else if (strcmp(field, "id") == 0) {
        snprintf(reader->last_id, sizeof reader->last_id, "%s", value);
    } else if (strcmp(field, "retry") == 0) {
        reader->retry_ms = strtoul(value, NULL, 10);
    } else {
        rig_fail(__FILE__, __LINE__, "a field that there is not: %s", field);
    }
}

static void take_line(struct reader *reader)
{
    char *colon = strchr(reader->line, ':');

    if (colon == reader->line) {
        reader->comments++;
        return;
    }
    rig_check(colon != NULL);
    *colon = '\0';
    take_field(reader, reader->line, colon + (colon[1] == ' ' ? 2 : 1));
}

/* The next event that a page would see; false: the stream has ended. */
static bool next_event(struct reader *reader)
{
    reader->name[0] = '\0';
    reader->data[0] = '\0';
    while (body_line(reader)) {
        if (reader->line[0] != '\0') {
            take_line(reader);
        } else if (reader->data[0] != '\0') {
            reader->data[strlen(reader->data) - 1] = '\0';
            return true;
        } else {
            reader->name[0] = '\0';
        }
    }
    return false;
}

static struct reader *subscribe(uint16_t port, const char *request)
{
    struct reader *reader = calloc(1, sizeof *reader);

    rig_check(reader != NULL);
    reader->peer = rig_peer_tcp(port);
    rig_peer_send_text(&reader->peer, request);
    take_head(reader);
    return reader;
}

static void leave(struct reader *reader)
{
    rig_peer_close(&reader->peer);
    free(reader);
}

static void expect_event(struct reader *reader, const char *name, const char *data)
{
    rig_check(next_event(reader));
    cr_expect_str_eq(reader->name, name, "%s", reader->name);
    cr_expect_str_eq(reader->data, data, "%s", reader->data);
}

/* ---- the server ---- */

#define GET "GET /events HTTP/1.1\r\nHost: h\r\n\r\n"

/* What a test has its stream do. */
struct stage {
    struct rig_host *host;
    struct cw_http_events_options options;
    void (*script)(struct cw_http_exchange *http, struct stage *stage); /* once it has begun */
    struct cw_http_id id;
    atomic_int begun;
    atomic_int done;
    atomic_int code;
    int answers[8]; /* what calls returned */
};

static void note_end(struct cw_http_exchange *http, const struct cw_http_outcome *outcome,
                     void *user)
{
    struct stage *stage = user;

    (void)http;
    atomic_store(&stage->code, outcome->code);
    atomic_fetch_add(&stage->done, 1);
}

static void serve_events(struct cw_http_exchange *http, void *user)
{
    struct stage *stage = user;

    stage->id = cw_http_id(http);
    rig_check(cw_http_on_done(http, note_end, stage) == 0);
    rig_check(cw_http_begin_events(http, &stage->options) == 0);
    if (stage->script) {
        stage->script(http, stage);
    }
    atomic_fetch_add(&stage->begun, 1);
}

static void serve_hello(struct cw_http_exchange *http, void *user)
{
    (void)user;
    cw_http_reply_text(http, 200, "hello");
}

static uint16_t begin_with(struct stage *stage, const struct cw_server_options *options)
{
    struct cw_server *server = rig_server(&cw_http, options);

    rig_check(cw_http_route(server, "* /events", serve_events, stage) == 0);
    rig_check(cw_http_route(server, "GET /hello", serve_hello, NULL) == 0);
    stage->host = rig_host_start(server, NULL, NULL);
    return rig_host_port(stage->host, 0);
}

static uint16_t begin(struct stage *stage)
{
    return begin_with(stage, NULL);
}

/* From the test's own thread. */
static void send_to(struct stage *stage, const char *data)
{
    const struct cw_http_event event = {.data = data};

    rig_await(atomic_load(&stage->begun) > 0);
    rig_check(cw_http_send_event_to(rig_host_server(stage->host), stage->id, &event) == 0);
}

static void end_stream(struct cw_http_exchange *http, void *arg)
{
    (void)arg;
    rig_check(http != NULL);
    rig_check(cw_http_end(http) == 0);
}

/* ---- the head ---- */

Test(http_events, a_stream_says_what_it_is_and_is_not_stored)
{
    struct stage stage = {.host = NULL};
    struct reader *reader = subscribe(begin(&stage), GET);

    cr_expect_eq(strncmp(reader->head, "HTTP/1.1 200 ", 13), 0);
    cr_expect_not_null(strstr(reader->head, "\r\nContent-Type: text/event-stream\r\n"));
    cr_expect_not_null(strstr(reader->head, "\r\nCache-Control: no-store\r\n"));
    cr_expect_not_null(strstr(reader->head, "\r\nX-Accel-Buffering: no\r\n"));
    cr_expect(reader->chunked);
    leave(reader);
    rig_host_end(stage.host);
}

Test(http_events, head_is_answered_without_a_stream_and_the_next_request_is_served)
{
    struct stage stage = {.host = NULL};
    struct reader *reader = subscribe(begin(&stage), "HEAD /events HTTP/1.1\r\nHost: h\r\n\r\n"
                                                     "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");

    cr_expect_not_null(strstr(reader->head, "\r\nContent-Type: text/event-stream\r\n"));
    take_head(reader);
    rig_peer_expect(&reader->peer, "hello");
    cr_expect_eq(atomic_load(&stage.done), 1);
    leave(reader);
    rig_host_end(stage.host);
}

/* ---- events ---- */

static void send_all_kinds(struct cw_http_exchange *http, struct stage *stage)
{
    static const struct cw_http_event events[] = {
        {.data = "plain"},
        {.data = "named", .event = "tick", .id = "41"},
        {.data = NULL},
        {.data = ""},
        {.data = " one space\tkept ", .id = ""},
        {.data = "a\nb\rc\r\nd\n"},
        {.data = "\n"},
        {.data = "x\n\nevent: forged\nid: 9\r\rdata: y", .event = "true"},
        {.data = "gr\xc3\xbc\xc3\x9f: 1", .event = "", .id = "a b:c"},
    };

    (void)stage;
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        rig_check(cw_http_send_event(http, &events[i]) >= 0);
    }
}

Test(http_events, a_browser_sees_each_event_as_it_was_sent)
{
    struct stage stage = {.script = send_all_kinds};
    struct reader *reader = subscribe(begin(&stage), GET);

    expect_event(reader, "", "plain");
    expect_event(reader, "tick", "named");
    cr_expect_str_eq(reader->last_id, "41");
    expect_event(reader, "", "");
    expect_event(reader, "", "");
    cr_expect_str_eq(reader->last_id, "41");
    expect_event(reader, "", " one space\tkept ");
    cr_expect_str_eq(reader->last_id, "");
    expect_event(reader, "", "a\nb\nc\nd\n");
    expect_event(reader, "", "\n");
    expect_event(reader, "true", "x\n\nevent: forged\nid: 9\n\ndata: y");
    cr_expect_str_eq(reader->last_id, "");
    expect_event(reader, "", "gr\xc3\xbc\xc3\x9f: 1");
    cr_expect_str_eq(reader->last_id, "a b:c");
    leave(reader);
    rig_host_end(stage.host);
}

static void send_long(struct cw_http_exchange *http, struct stage *stage)
{
    char *data = malloc(100001);

    (void)stage;
    rig_check(data != NULL);
    for (size_t i = 0; i < 100000; i++) {
        data[i] = i % 100 == 99 ? '\n' : (char)('a' + i % 26);
    }
    data[100000] = '\0';
    rig_check(cw_http_send_event(http, &(struct cw_http_event){.data = data}) >= 0);
    free(data);
}

Test(http_events, a_long_event_arrives_whole)
{
    struct stage stage = {.script = send_long};
    struct reader *reader = subscribe(begin(&stage), GET);

    rig_check(next_event(reader));
    cr_assert_eq(strlen(reader->data), 100000);
    for (size_t i = 0; i < 100000; i++) {
        cr_assert_eq(reader->data[i], i % 100 == 99 ? '\n' : (char)('a' + i % 26));
    }
    leave(reader);
    rig_host_end(stage.host);
}

static void send_forgeries(struct cw_http_exchange *http, struct stage *stage)
{
    static const struct cw_http_event events[] = {
        {.data = "x", .event = "a\nb"},
        {.data = "x", .event = "a\r"},
        {.data = "x", .id = "1\r\n"},
        {.data = "x", .id = "\n"},
    };

    for (size_t i = 0; i < 4; i++) {
        stage->answers[i] = cw_http_send_event(http, &events[i]);
        stage->answers[4 + i] =
            cw_http_send_event_to(cw_http_server(http), cw_http_id(http), &events[i]);
    }
    rig_check(cw_http_send_event(http, &(struct cw_http_event){.data = "after"}) >= 0);
}

Test(http_events, a_line_end_in_a_name_or_an_id_is_refused)
{
    struct stage stage = {.script = send_forgeries};
    struct reader *reader = subscribe(begin(&stage), GET);

    expect_event(reader, "", "after");
    for (size_t i = 0; i < 8; i++) {
        cr_expect_eq(stage.answers[i], CW_EINVAL, "%zu: %d", i, stage.answers[i]);
    }
    leave(reader);
    rig_host_end(stage.host);
}

Test(http_events, the_pause_before_coming_again_is_told)
{
    struct stage stage = {.options = {.retry_ms = 2500}};
    struct reader *reader = subscribe(begin(&stage), GET);

    send_to(&stage, "x");
    expect_event(reader, "", "x");
    cr_expect_eq(reader->retry_ms, 2500);
    leave(reader);
    rig_host_end(stage.host);
}

/* ---- coming again ---- */

static void tell_last_id(struct cw_http_exchange *http, struct stage *stage)
{
    struct cw_span id = cw_http_last_event_id(http);
    char text[64];

    (void)stage;
    snprintf(text, sizeof text, "%.*s", id.data ? (int)id.len : 4,
             id.data ? (const char *)id.data : "none");
    rig_check(cw_http_send_event(http, &(struct cw_http_event){.data = text}) >= 0);
}

static void expect_last_id(uint16_t port, const char *request, const char *wanted)
{
    struct reader *reader = subscribe(port, request);

    expect_event(reader, "", wanted);
    leave(reader);
}

Test(http_events, a_browser_that_comes_again_says_what_it_has_seen)
{
    struct stage stage = {.script = tell_last_id};
    uint16_t port = begin(&stage);

    expect_last_id(port, "GET /events HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 41 b\r\n\r\n", "41 b");
    expect_last_id(port, "GET /events HTTP/1.1\r\nHost: h\r\nlast-event-id:\r\n\r\n", "none");
    expect_last_id(port, GET, "none");
    rig_host_end(stage.host);
}

/* ---- heartbeat ---- */

Test(http_events, a_comment_comes_while_no_event_does_and_a_page_does_not_see_it)
{
    struct stage stage = {.options = {.heartbeat_ms = 100}};
    struct reader *reader = subscribe(begin(&stage), GET);

    while (reader->comments < 3) {
        rig_check(body_line(reader));
        if (reader->line[0] != '\0') {
            take_line(reader);
        }
    }
    send_to(&stage, "x");
    expect_event(reader, "", "x");
    leave(reader);
    rig_host_end(stage.host);
}

Test(http_events, without_a_heartbeat_nothing_comes)
{
    struct stage stage = {.options = {.heartbeat_ms = CW_OFF}};
    struct reader *reader = subscribe(begin(&stage), GET);

    rig_peer_expect_silence(&reader->peer, 300);
    send_to(&stage, "x");
    expect_event(reader, "", "x");
    cr_expect_eq(reader->comments, 0);
    leave(reader);
    rig_host_end(stage.host);
}

Test(http_events, a_peer_that_is_gone_is_found_by_the_heartbeat)
{
    struct stage stage = {.options = {.heartbeat_ms = 100}};
    struct reader *reader = subscribe(begin(&stage), GET);
    const struct cw_http_event event = {.data = "to nobody"};

    rig_await(atomic_load(&stage.begun) == 1);
    leave(reader);
    rig_await(atomic_load(&stage.done) == 1);
    cr_expect_neq(atomic_load(&stage.code), 0);

    int sent = cw_http_send_event_to(rig_host_server(stage.host), stage.id, &event);
    cr_expect(sent == 0 || sent == CW_ENOTFOUND, "%d", sent);
    rig_host_end(stage.host);
    cr_expect_eq(atomic_load(&stage.done), 1);
}

/* ---- from other threads ---- */

enum { MANY = 2000 };

Test(http_events, events_from_another_thread_arrive_in_their_order)
{
    struct stage stage = {.host = NULL};
    struct reader *reader = subscribe(begin(&stage), GET);
    char text[16];

    rig_await(atomic_load(&stage.begun) == 1);
    for (int i = 0; i < MANY; i++) {
        const struct cw_http_event event = {.data = text, .event = "n", .id = text};
        uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;

        snprintf(text, sizeof text, "%d", i);
        while (cw_http_send_event_to(rig_host_server(stage.host), stage.id, &event) == CW_EFULL) {
            rig_check(rig_rest(deadline));
        }
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "%d", i);
        expect_event(reader, "n", text);
        cr_assert_str_eq(reader->last_id, text);
    }
    leave(reader);
    rig_host_end(stage.host);
}

Test(http_events, a_reader_that_is_too_slow_loses_its_stream_and_not_an_event)
{
    struct stage stage = {.host = NULL};
    const struct cw_server_options options = {
        .out_low_bytes = 1000, .out_high_bytes = 5000, .out_max_bytes = 10000};
    struct reader *reader = subscribe(begin_with(&stage, &options), GET);
    char *data = malloc(8001);

    cr_assert_not_null(data);
    memset(data, 'x', 8000);
    data[8000] = '\0';
    rig_await(atomic_load(&stage.begun) == 1);
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;
    while (atomic_load(&stage.done) == 0) {
        const struct cw_http_event event = {.data = data};
        int sent = cw_http_send_event_to(rig_host_server(stage.host), stage.id, &event);

        rig_check(sent == 0 || sent == CW_EFULL || sent == CW_ENOTFOUND);
        if (sent != 0) {
            rig_check(rig_rest(deadline));
        }
        rig_check(rig_now_ms() < deadline);
    }
    cr_expect_eq(atomic_load(&stage.code), CW_EFULL);
    free(data);
    leave(reader);
    rig_host_end(stage.host);
}

/* ---- the end ---- */

Test(http_events, a_stream_ends_in_order_and_the_request_behind_it_is_served)
{
    struct stage stage = {.host = NULL};
    struct reader *reader = subscribe(begin(&stage), GET "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");

    send_to(&stage, "last");
    rig_check(cw_http_post(rig_host_server(stage.host), stage.id, end_stream, NULL) == 0);
    expect_event(reader, "", "last");
    cr_expect_not(next_event(reader));
    take_head(reader);
    rig_peer_expect(&reader->peer, "hello");
    cr_expect_eq(atomic_load(&stage.code), 0);
    leave(reader);
    rig_host_end(stage.host);
}

Test(http_events, http_1_0_gets_the_stream_up_to_the_end_of_the_connection)
{
    struct stage stage = {.options = {.retry_ms = 1}};
    struct reader *reader = subscribe(begin(&stage), "GET /events HTTP/1.0\r\n\r\n");

    cr_expect_not(reader->chunked);
    cr_expect_not_null(strstr(reader->head, "\r\nConnection: close\r\n"));
    send_to(&stage, "only");
    rig_check(cw_http_post(rig_host_server(stage.host), stage.id, end_stream, NULL) == 0);
    expect_event(reader, "", "only");
    cr_expect_not(next_event(reader));
    leave(reader);
    rig_host_end(stage.host);
}

Test(http_events, a_server_that_stops_ends_its_streams_in_order)
{
    struct stage stage = {.host = NULL};
    struct reader *reader = subscribe(begin(&stage), GET);

    send_to(&stage, "x");
    expect_event(reader, "", "x");
    cw_server_stop(rig_host_server(stage.host));
    cr_expect_not(next_event(reader));
    rig_peer_expect_end(&reader->peer);
    leave(reader);
    cr_expect_eq(rig_host_join(stage.host), 0);
    rig_host_free(stage.host);
    cr_expect_eq(atomic_load(&stage.code), 0);
}

/* ---- at the wrong time ---- */

static void serve_wrongly(struct cw_http_exchange *http, void *user)
{
    const struct cw_http_event event = {.data = "x"};
    int *answers = user;

    answers[0] = cw_http_send_event(http, &event);
    rig_check(cw_http_begin(http, 200, "text/plain", CW_NO_LIMIT) == 0);
    answers[1] = cw_http_send_event(http, &event);
    answers[2] = cw_http_begin_events(http, NULL);
    rig_check(cw_http_end(http) == 0);
    answers[3] = cw_http_send_event(http, &event);
}

Test(http_events, there_are_no_events_but_in_their_stream)
{
    int answers[4] = {0};
    struct cw_server *server = rig_server(&cw_http, NULL);

    rig_check(cw_http_route(server, "GET /events", serve_wrongly, answers) == 0);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    struct reader *reader = subscribe(rig_host_port(host, 0), GET);
    cr_expect_not(next_event(reader));
    leave(reader);
    rig_host_end(host);
    for (size_t i = 0; i < 4; i++) {
        cr_expect_eq(answers[i], CW_ESTATE, "%zu: %d", i, answers[i]);
    }
}

static void serve_stored(struct cw_http_exchange *http, void *user)
{
    (void)user;
    rig_check(cw_http_set_field(http, "Cache-Control", "no-cache") == 0);
    rig_check(cw_http_begin_events(http, NULL) == 0);
    rig_check(cw_http_end(http) == 0);
}

Test(http_events, a_handler_s_own_cache_control_stays)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    rig_check(cw_http_route(server, "GET /events", serve_stored, NULL) == 0);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    struct reader *reader = subscribe(rig_host_port(host, 0), GET);
    cr_expect_not_null(strstr(reader->head, "\r\nCache-Control: no-cache\r\n"));
    cr_expect_null(strstr(reader->head, "no-store"));
    cr_expect_not(next_event(reader));
    leave(reader);
    rig_host_end(host);
}
