/* Requests that try to be read in two ways: 9112/README.md. Each is followed by a sound request, which must be served where
 * the connection stays, and must not be where it does not: so nothing behind a refusal is taken for a request. */
#include "support/host.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/raw_case.h"
#include "support/scene.h"
#include "support/wait.h"

#include <causeway/http.h>
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(rfc_9112, .fini = rig_expect_no_leak, .timeout = 120);

enum {
    AT_ONCE = 192,  /* connections */
    CUTS_MAX = 240, /* of one request */
    ROOM = 8192,
};

static const char *const files[] = {
    "request-line", "fields",   "host",    "content-length", "transfer-encoding",
    "chunks",       "trailers", "targets", "connection",     "streams",
};

static const char behind[] = "GET /behind HTTP/1.1\r\nHost: behind\r\nConnection: close\r\n\r\n";
static const char behind_body[] = "GET /behind behind []";

/* ---- the server ---- */

struct house {
    struct rig_host *host;
    char folder[64];
    char path[80];
    atomic_size_t handled;
};

static struct house house;

static void append_span(struct rig_bytes *bytes, struct cw_span span)
{
    rig_append(bytes, span.data, span.len);
}

/* Says what it has understood. */
static void tell(struct cw_http_exchange *http, void *user)
{
    struct rig_bytes text = {0};
    struct cw_span host = cw_http_host(http);
    struct cw_span sum = cw_http_trailer(http, "X-Sum");

    atomic_fetch_add(&house.handled, 1);
    append_span(&text, cw_http_method(http));
    rig_append(&text, " ", 1);
    append_span(&text, cw_http_target(http));
    rig_append(&text, " ", 1);
    append_span(&text, host.data != NULL ? host : cw_span_text("-"));
    rig_append(&text, " [", 2);
    append_span(&text, cw_http_body(http));
    rig_append(&text, "]", 1);
    if (sum.data != NULL) {
        append_span(&text, cw_span_text(" X-Sum="));
        append_span(&text, sum);
    }
    rig_check(cw_http_reply(http, 200, "text/plain", cw_span_of(text.data, text.len)) == 0);
    rig_release(&text);
}

static void tell_pieces(struct cw_http_exchange *http, struct cw_span piece, bool last, void *user)
{
    struct rig_bytes *pieces = cw_http_value(http, "pieces");
    struct cw_span sum = cw_http_trailer(http, "X-Sum");

    append_span(pieces, piece);
    if (last) {
        atomic_fetch_add(&house.handled, 1);
        cw_http_replyf(http, 200, "text/plain", "[%.*s]%s%.*s", (int)pieces->len,
                       pieces->data != NULL ? (const char *)pieces->data : "",
                       sum.data != NULL ? " X-Sum=" : "", (int)sum.len, (const char *)sum.data);
    }
}

static void drop_pieces(void *memory)
{
    rig_release(memory);
    free(memory);
}

/* The same for a body that comes in pieces. */
static void tell_stream(struct cw_http_exchange *http, void *user)
{
    struct rig_bytes *pieces = calloc(1, sizeof *pieces);

    rig_check(pieces != NULL);
    rig_check(cw_http_set_value(http, "pieces", pieces, drop_pieces) == 0);
    rig_check(cw_http_read_body(http, tell_pieces, NULL) == 0);
}

static void answer_early(struct cw_http_exchange *http, void *user)
{
    atomic_fetch_add(&house.handled, 1);
    cw_http_reply_text(http, 200, "early");
}

static void open_house(void)
{
    const struct cw_http_options options = {
        .head_max_bytes = 1024, .target_max_bytes = 200, .fields_max = 20, .body_max_bytes = 1000};
    struct cw_server *server =
        rig_server(&cw_http, &(struct cw_server_options){.conns_max = 4096, .workers = 1});

    snprintf(house.folder, sizeof house.folder, "/tmp/causeway-9112-XXXXXX");
    rig_check(mkdtemp(house.folder) != NULL);
    snprintf(house.path, sizeof house.path, "%s/socket", house.folder);
    cw_server_listen(server, &(struct cw_listen_options){.unix_path = house.path});
    cw_http_configure(server, &options);
    cw_http_route(server, "* /*rest", tell, NULL);
    cw_http_route_with(server, "POST /stream", tell_stream, NULL,
                       &(struct cw_http_route_options){.stream = true});
    cw_http_route_with(server, "POST /early", answer_early, NULL,
                       &(struct cw_http_route_options){.stream = true});
    house.host = rig_host_start(server, NULL, NULL);
}

static void close_house(void)
{
    rig_host_end(house.host);
    rmdir(house.folder);
}

/* Until the server has looked at what its sockets hold: a turn of the loop, and another. */
static void let_it_read(void)
{
    for (int i = 0; i < 2; i++) {
        rig_host_run(house.host, 0, rig_pass, NULL);
    }
}

/* ---- answers ---- */

struct answer {
    int status;
    struct cw_span body;
};

/* Takes the next answer off; false: there is none that is whole. */
static bool next_answer(struct cw_span *rest, bool without_body, struct answer *answer)
{
    const char *text = (const char *)rest->data;
    const char *end = rest->len == 0 ? NULL : memmem(text, rest->len, "\r\n\r\n", 4);
    size_t len = 0;

    if (end == NULL || sscanf(text, "HTTP/1.1 %d ", &answer->status) != 1) {
        return false;
    }
    size_t head = (size_t)(end - text) + 4;
    const char *field = memmem(text, head, "\r\nContent-Length: ", 18);
    if (field != NULL && !without_body) {
        len = (size_t)strtoul(field + 18, NULL, 10);
    }
    if (len > rest->len - head) {
        return false;
    }
    answer->body = cw_span_of(rest->data + head, len);
    *rest = cw_span_of(rest->data + head + len, rest->len - head - len);
    return true;
}

/* What came back for a case, with the request behind it. */
struct reply {
    const char *file;
    const struct raw_case *wanted;
    const char *how;
    size_t cut;
    struct cw_span rest;
};

static void complain(const struct reply *reply, const char *what)
{
    rig_fail(reply->file, 0, "%s, %s %zu: %s; what came from there on: %.*s", reply->wanted->name,
             reply->how, reply->cut, what, (int)reply->rest.len, (const char *)reply->rest.data);
}

static void expect_one(struct reply *reply, int status, struct cw_span body, bool without_body)
{
    struct answer answer;
    struct reply before = *reply;

    if (!next_answer(&reply->rest, without_body, &answer)) {
        complain(&before, "an answer is missing");
    }
    if (answer.status != status) {
        complain(&before, "another status");
    }
    if (body.data != NULL && !cw_span_equal(answer.body, body)) {
        complain(&before, "something else was understood");
    }
}

static struct cw_span nothing(void)
{
    return cw_span_of(NULL, 0);
}

static void expect_reply(struct reply *reply)
{
    const struct raw_case *wanted = reply->wanted;
    bool is_head = wanted->bytes.len > 5 && memcmp(wanted->bytes.data, "HEAD ", 5) == 0;
    size_t body = 0;

    for (size_t i = 0; i < wanted->status_count; i++) {
        bool told = wanted->statuses[i] == 200 && body < wanted->body_count;
        struct cw_span text =
            told ? cw_span_of(wanted->bodies[body].data, wanted->bodies[body].len) : nothing();

        body += told;
        expect_one(reply, wanted->statuses[i], text, is_head && i == 0);
    }
    if (wanted->stays) {
        expect_one(reply, 200, cw_span_text(behind_body), false);
    }
    if (reply->rest.len > 0) {
        complain(reply, "an answer too many");
    }
}

/* Calls of the handler that a case stands for. */
static size_t handled_by(const struct raw_case *wanted)
{
    size_t count = wanted->stays ? 1 : 0;

    for (size_t i = 0; i < wanted->status_count; i++) {
        count += wanted->statuses[i] == 200;
    }
    return count;
}

/* ---- delivering ---- */

/* One connection on which a case is under way. */
struct delivery {
    struct rig_peer peer;
    const char *file;
    const struct raw_case *wanted;
    struct rig_bytes bytes; /* the case, and the request behind it */
    size_t sent;
    size_t cut;
};

static void begin(struct delivery *delivery, const char *file, const struct raw_case *wanted,
                  size_t cut)
{
    *delivery = (struct delivery){.file = file, .wanted = wanted, .cut = cut};
    rig_append(&delivery->bytes, wanted->bytes.data, wanted->bytes.len);
    rig_append(&delivery->bytes, behind, sizeof behind - 1);
}

/* What a refusal makes superfluous may not go out any more. */
static void send_up_to(struct delivery *delivery, size_t upto)
{
    while (delivery->sent < upto) {
        ptrdiff_t n = rig_peer_try_send(&delivery->peer, delivery->bytes.data + delivery->sent,
                                        upto - delivery->sent);
        if (n < 0) {
            delivery->sent = delivery->bytes.len;
            return;
        }
        delivery->sent += (size_t)n;
    }
}

/* Reads up to the end of the connection, which has to be in order: a reset would have destroyed the answer. Who asked for the
 * end himself and goes on sending has to live with one. */
static void finish(struct delivery *delivery, const char *how)
{
    static uint8_t buffer[ROOM];
    struct reply reply = {delivery->file, delivery->wanted, how, delivery->cut, nothing()};
    size_t len = 0;
    ptrdiff_t n;

    do {
        n = rig_peer_receive_some(&delivery->peer, buffer + len, sizeof buffer - len);
        len += n > 0 ? (size_t)n : 0;
    } while (n > 0 && len < sizeof buffer);
    reply.rest = cw_span_of(buffer, len);
    if (n < 0 && delivery->wanted->statuses[delivery->wanted->status_count - 1] >= 400) {
        complain(&reply, "the connection was reset");
    }
    expect_reply(&reply);
    rig_peer_close(&delivery->peer);
    rig_release(&delivery->bytes);
}

/* Every so many bytes a rest, for all of them at once. */
static void deliver_in_steps(struct delivery *list, size_t count)
{
    bool more = true;

    for (size_t at = 1; more; at++) {
        more = false;
        for (size_t i = 0; i < count; i++) {
            send_up_to(&list[i], at < list[i].bytes.len ? at : list[i].bytes.len);
            more |= list[i].sent < list[i].bytes.len;
        }
        let_it_read();
    }
}

/* In two pieces, the first one of `cut` bytes. */
static void deliver_cut(struct delivery *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        send_up_to(&list[i], list[i].cut);
    }
    let_it_read();
    for (size_t i = 0; i < count; i++) {
        send_up_to(&list[i], list[i].bytes.len);
    }
}

static void finish_all(struct delivery *list, size_t count, const char *how)
{
    size_t wanted = 0;

    for (size_t i = 0; i < count; i++) {
        wanted += handled_by(list[i].wanted);
    }
    for (size_t i = 0; i < count; i++) {
        finish(&list[i], how);
    }
    size_t handled = atomic_exchange(&house.handled, 0);
    if (handled != wanted) {
        rig_fail(list[0].file, 0, "near %s, %s: %zu requests were handled instead of %zu",
                 list[0].wanted->name, how, handled, wanted);
    }
}

static struct raw_cases cases_of(const char *file)
{
    char path[64];

    snprintf(path, sizeof path, "rfc/9112/%s.txt", file);
    return raw_cases_read(path);
}

/* Every case of a file on a connection of its own, `deliver` sending them. */
static void try_file(const char *file, void (*deliver)(struct delivery *, size_t), const char *how)
{
    struct delivery list[AT_ONCE];
    struct raw_cases cases = cases_of(file);

    for (size_t done = 0; done < cases.count;) {
        size_t count = 0;

        for (; count < AT_ONCE && done < cases.count; count++, done++) {
            begin(&list[count], file, &cases.list[done], 0);
            list[count].peer = rig_peer_tcp(rig_host_port(house.host, 0));
        }
        deliver(list, count);
        finish_all(list, count, how);
    }
    raw_cases_free(&cases);
}

static void try_cuts(const char *file, const struct raw_case *wanted)
{
    struct delivery list[AT_ONCE];
    size_t len = wanted->bytes.len + sizeof behind - 1;
    size_t step = 1 + len / CUTS_MAX;

    for (size_t cut = 1; cut < len;) {
        size_t count = 0;

        for (; count < AT_ONCE && cut < len; count++, cut += step) {
            begin(&list[count], file, wanted, cut);
            list[count].peer = rig_peer_unix(house.path);
        }
        deliver_cut(list, count);
        finish_all(list, count, "cut at");
    }
}

static void cut_file(const char *file)
{
    struct raw_cases cases = cases_of(file);

    open_house();
    for (size_t i = 0; i < cases.count; i++) {
        try_cuts(file, &cases.list[i]);
    }
    close_house();
    raw_cases_free(&cases);
}

/* ---- tests ---- */

Test(rfc_9112, there_are_more_than_300_cases_with_names_of_their_own)
{
    size_t count = 0;

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct raw_cases cases = cases_of(files[i]);

        for (size_t a = 0; a < cases.count; a++) {
            for (size_t b = 0; b < a; b++) {
                cr_expect_str_neq(cases.list[a].name, cases.list[b].name, "in %s", files[i]);
            }
        }
        count += cases.count;
        raw_cases_free(&cases);
    }
    cr_expect_gt(count, 300);
}

/* The next `*name*` behind `:` or `,`; false: another thing follows. */
static bool next_named(const char **at, char name[RAW_NAME_MAX])
{
    int used = 0;

    if (sscanf(*at, "%*[:,] *%95[^*]*%n", name, &used) != 1 || used == 0) {
        return false;
    }
    *at += used;
    return true;
}

static bool is_case(const struct raw_cases *cases, const char *name)
{
    for (size_t i = 0; i < cases->count; i++) {
        if (strcmp(cases->list[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* `cases/FILE`, and the names that follow it. Returns how many these are. */
static size_t expect_cases(const char *at)
{
    char file[RAW_NAME_MAX];
    char name[RAW_NAME_MAX];
    size_t count = 0;
    int used = 0;

    if (sscanf(at, "cases/%95[a-z-]%n", file, &used) != 1) {
        return 0; /* cases/NAME, which explains the rest */
    }
    struct raw_cases cases = cases_of(file);
    for (at += used; next_named(&at, name); count++) {
        cr_expect(is_case(&cases, name), "cases/%s has no %s", file, name);
    }
    raw_cases_free(&cases);
    return count;
}

Test(rfc_9112, every_case_that_the_tables_name_is_there)
{
    static const char *const pages[] = {"9110", "9112"};
    char line[ROOM];
    size_t count = 0;

    for (size_t i = 0; i < 2; i++) {
        snprintf(line, sizeof line, "%s/docs/rfc/%s.md", CW_SOURCE_DIR, pages[i]);
        FILE *file = fopen(line, "r");
        cr_assert(file != NULL);
        while (fgets(line, sizeof line, file) != NULL) {
            for (const char *at = line; (at = strstr(at, "cases/")) != NULL; at++) {
                count += expect_cases(at);
            }
        }
        fclose(file);
    }
    cr_expect_gt(count, 30);
}

Test(rfc_9112, requests_that_come_whole_have_the_answers_they_should)
{
    open_house();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        try_file(files[i], deliver_cut, "whole");
    }
    close_house();
}

Test(rfc_9112, requests_that_come_byte_by_byte_have_the_same_answers)
{
    open_house();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        try_file(files[i], deliver_in_steps, "byte by byte");
    }
    close_house();
}

Test(rfc_9112, request_lines_cut_at_every_point_have_the_same_answers)
{
    cut_file("request-line");
}

Test(rfc_9112, fields_cut_at_every_point_have_the_same_answers)
{
    cut_file("fields");
}

Test(rfc_9112, hosts_cut_at_every_point_have_the_same_answers)
{
    cut_file("host");
}

Test(rfc_9112, lengths_cut_at_every_point_have_the_same_answers)
{
    cut_file("content-length");
}

Test(rfc_9112, codings_cut_at_every_point_have_the_same_answers)
{
    cut_file("transfer-encoding");
}

Test(rfc_9112, chunks_cut_at_every_point_have_the_same_answers)
{
    cut_file("chunks");
}

Test(rfc_9112, trailers_cut_at_every_point_have_the_same_answers)
{
    cut_file("trailers");
}

Test(rfc_9112, targets_cut_at_every_point_have_the_same_answers)
{
    cut_file("targets");
}

Test(rfc_9112, streamed_bodies_cut_at_every_point_have_the_same_answers)
{
    cut_file("streams");
}

Test(rfc_9112, connections_cut_at_every_point_have_the_same_answers)
{
    cut_file("connection");
}
