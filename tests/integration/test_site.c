/* The example `site`, as a browser meets it. */
#include "support/http_talk.h"
#include "support/leak.h"
#include "support/program.h"
#include "support/secure.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(site, .fini = rig_expect_no_leak, .timeout = 110);

static struct rig_child child;
static uint16_t port;
static struct rig_answer answer;

static void start(const char *option, const char *value)
{
    const char *const arguments[] = {"--port", "0", option, value, NULL};

    if (!rig_program_start(&child, "site", arguments)) {
        cr_skip_test("the examples were left out of this build");
    }
    port = rig_program_port_of(&child, "http");
}

static void end(void)
{
    rig_answer_free(&answer);
    rig_program_end(&child);
}

/* The status of an answer that stays in `answer` until the next one. */
static int ask(const char *request)
{
    rig_answer_free(&answer);
    rig_ask_once(port, request, cw_span_of(NULL, 0), &answer);
    return answer.status;
}

static int post(const char *path, const char *type, const char *body)
{
    char fields[200];

    snprintf(fields, sizeof fields, "Content-Type: %s\r\nAccept: application/json\r\n", type);
    rig_answer_free(&answer);
    rig_post_once(port, path, fields, cw_span_text(body), &answer);
    return answer.status;
}

static int post_note(const char *json)
{
    return post("/api/notes", "application/json", json);
}

static bool body_has(const char *text)
{
    return strstr((const char *)answer.body, text) != NULL;
}

static void expect_field(const char *name, const char *value)
{
    const char *field = rig_answer_field(&answer, name);

    cr_expect_not_null(field, "%s", name);
    cr_expect_str_eq(field ? field : "", value);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

Test(site, the_page_and_all_it_needs_come_from_here)
{
    start("--workers", "2");
    cr_expect_eq(ask(GET("/")), 200);
    expect_field("Content-Type", "text/html; charset=utf-8");
    cr_expect(body_has("<script type=\"module\" src=\"site.js\">"));
    cr_expect(strstr(rig_answer_field(&answer, "Content-Security-Policy"), "default-src 'self'"));
    cr_expect_eq(ask(GET("/site.js")), 200);
    expect_field("Content-Type", "text/javascript; charset=utf-8");
    cr_expect_not(body_has("://"), "it loads nothing from elsewhere");
    cr_expect_eq(ask(GET("/site.css")), 200);
    cr_expect_not(body_has("url("), "it loads nothing from elsewhere");
    cr_expect_eq(ask(GET("/favicon.svg")), 200);
    cr_expect_eq(ask(GET("/about.html")), 200);
    cr_expect_eq(ask(GET("/../site.c")), 400);
    cr_expect_eq(ask(GET("/none")), 404);
    end();
}

Test(site, notes_are_added_listed_and_removed)
{
    start("--workers", "2");
    cr_expect_eq(ask(GET("/api/notes")), 200);
    cr_expect_str_eq((char *)answer.body, "[]");
    cr_expect_eq(post_note("{\"text\":\"tea\"}"), 201);
    cr_expect_str_eq((char *)answer.body, "{\"id\":1,\"text\":\"tea\"}");
    cr_expect_eq(post_note("{\"text\":\"milk\"}"), 201);
    cr_expect_eq(ask("DELETE /api/notes/1 HTTP/1.1\r\nHost: a\r\n\r\n"), 204);
    cr_expect_eq(ask("DELETE /api/notes/1 HTTP/1.1\r\nHost: a\r\n\r\n"), 404);
    cr_expect_eq(ask("DELETE /api/notes/-1 HTTP/1.1\r\nHost: a\r\n\r\n"), 404);
    cr_expect_eq(ask(GET("/api/notes")), 200);
    cr_expect_str_eq((char *)answer.body, "[{\"id\":2,\"text\":\"milk\"}]");
    end();
}

Test(site, notes_that_are_none_are_refused_in_json_for_who_asks_for_it)
{
    char json[300];

    start("--workers", "1");
    cr_expect_eq(post_note("{\"text\":\"\"}"), 422);
    cr_expect(body_has("\"message\":\"A text of 1 to 200 bytes is needed.\""));
    cr_expect_eq(post_note("{}"), 422);
    cr_expect_eq(post_note("{\"text\":7}"), 422);
    cr_expect_eq(post_note("{\"text\":"), 400);
    cr_expect_eq(post("/api/notes", "text/plain", "{\"text\":\"tea\"}"), 415);
    snprintf(json, sizeof json, "{\"text\":\"%0200d\"}", 1);
    cr_expect_eq(post_note(json), 201);
    snprintf(json, sizeof json, "{\"text\":\"%0201d\"}", 1);
    cr_expect_eq(post_note(json), 422);
    cr_expect_eq(ask("PUT /api/notes HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), 405);
    expect_field("Allow", "GET, HEAD, POST, OPTIONS");
    end();
}

Test(site, a_hundred_notes_are_the_most)
{
    start("--workers", "1");
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(post_note("{\"text\":\"tea\"}"), 201);
    }
    cr_expect_eq(post_note("{\"text\":\"tea\"}"), 409);
    cr_expect_eq(ask("DELETE /api/notes/50 HTTP/1.1\r\nHost: a\r\n\r\n"), 204);
    cr_expect_eq(post_note("{\"text\":\"tea\"}"), 201);
    cr_expect(body_has("\"id\":101,"));
    end();
}

/* Reads events until one has the text. */
static void await_event(struct rig_peer *peer, struct rig_answer *events, const char *text)
{
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;

    while (!events->body || !strstr((const char *)events->body, text)) {
        rig_check(rig_now_ms() < deadline);
        rig_check(rig_answer_read_chunk(peer, events) > 0);
    }
}

static struct rig_peer watch(struct rig_answer *events)
{
    struct rig_peer peer = rig_peer_tcp(port);

    rig_ask(&peer, GET("/events"), cw_span_of(NULL, 0));
    rig_answer_read_head(&peer, events);
    cr_expect_eq(events->status, 200);
    cr_expect_str_eq(rig_answer_field(events, "Content-Type"), "text/event-stream");
    return peer;
}

Test(site, pages_on_every_worker_are_told_figures_and_changes)
{
    struct rig_answer events[4] = {0};
    struct rig_peer peers[4];

    start("--workers", "2");
    for (size_t i = 0; i < 4; i++) {
        peers[i] = watch(&events[i]);
        await_event(&peers[i], &events[i], "event: figures\ndata: {\"conns\":");
    }
    cr_expect_eq(post_note("{\"text\":\"tea\"}"), 201);
    for (size_t i = 0; i < 4; i++) {
        await_event(&peers[i], &events[i], "event: notes\ndata: changed\n\n");
        rig_answer_free(&events[i]);
    }
    rig_peer_close(&peers[0]);
    rig_peer_reset(&peers[1]);
    end(); /* the other two still watch: it ends all the same, with status 0 */
    rig_peer_close(&peers[2]);
    rig_peer_close(&peers[3]);
}

Test(site, an_upload_is_counted)
{
    static const char body[] =
        "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n"
        "Content-Type: text/plain\r\n\r\nhello\r\n--x--\r\n";

    start("--workers", "1");
    cr_expect_eq(post("/upload", "multipart/form-data; boundary=x", body), 200);
    cr_expect_str_eq((char *)answer.body, "a.txt: 5 bytes of text/plain");
    cr_expect_eq(post("/upload", "multipart/form-data; boundary=x", "--x--\r\n"), 422);
    cr_expect_eq(post("/upload", "text/plain", "hello"), 415);
    cr_expect_eq(
        ask("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            "Content-Length: 268435457\r\n\r\n"),
        413);
    end();
}

Test(site, metrics_count_requests_by_route)
{
    start("--workers", "1");
    cr_expect_eq(ask(GET("/api/notes")), 200);
    cr_expect_eq(ask(GET("/api/notes")), 200);
    cr_expect_eq(ask(GET("/metrics")), 200);
    cr_expect(
        body_has(
            "causeway_http_requests_total{route=\"GET /api/notes\",method=\"GET\",status=\"200\"} 2\n"),
        "%s", (char *)answer.body);
    end();
}

Test(site, another_folder_can_be_served)
{
    start("--static", CW_SOURCE_DIR "/tools");
    cr_expect_eq(ask(GET("/layers.txt")), 200);
    cr_expect_eq(ask(GET("/site.js")), 404);
    end();
}

Test(site, chromium_can_do_all_that_the_page_offers)
{
    static char env[] = "env";
    static char node[] = "node";
    static char script[] = CW_SOURCE_DIR "/tests/support/site_browser.mjs";
    static char program[] = CW_BUILD_DIR "/examples/site/site";

    if (!rig_has_program("node") || !rig_has_program("chromium") || access(program, X_OK) != 0) {
        cr_skip_test("node, chromium or the examples are missing");
    }
    rig_child_start(&child, "/usr/bin/env", (char *const[]){env, node, script, program, NULL});
    rig_child_await_text(&child, "Chromium is there");
    rig_child_await_text(&child, "the chart lives");
    rig_child_await_text(&child, "seen in another window");
    rig_child_await_text(&child, "an upload tells how far it is");
    rig_child_await_text(&child, "fits a narrow screen");
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
}
