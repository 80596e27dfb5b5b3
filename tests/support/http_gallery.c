#include "support/http_gallery.h"

#include "support/pki.h"
#include "support/scene.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/middleware/http_compress.h>
#include <causeway/middleware/http_form.h>
#include <causeway/middleware/http_multipart.h>
#include <causeway/middleware/http_static.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { PATTERN_PERIOD = 65536, RESULT_MAX = 4096 };

#define TEXT(span) (int)(span).len, (span).data ? (const char *)(span).data : "-"

static uint8_t pattern[2 * PATTERN_PERIOD];
static char result[RESULT_MAX];

/* ---- the pattern ---- */

static void make_pattern(void)
{
    for (size_t i = 0; i < sizeof pattern; i++) {
        pattern[i] = rig_pattern(i);
    }
}

void http_gallery_fill(uint8_t *buffer, size_t len, uint64_t at)
{
    while (len > 0) {
        size_t n = len < PATTERN_PERIOD ? len : PATTERN_PERIOD;

        memcpy(buffer, pattern + at % PATTERN_PERIOD, n);
        buffer += n;
        at += n;
        len -= n;
    }
}

static bool is_pattern(struct cw_span piece, uint64_t at)
{
    while (piece.len > 0) {
        size_t n = piece.len < PATTERN_PERIOD ? piece.len : PATTERN_PERIOD;

        if (memcmp(piece.data, pattern + at % PATTERN_PERIOD, n) != 0) {
            return false;
        }
        piece = cw_span_of(piece.data + n, piece.len - n);
        at += n;
    }
    return true;
}

/* ---- reading it ---- */

enum { READ_MAX = 262144, TEXT_LINE_MAX = 4096 };

struct reader {
    struct rig_peer *peer;
    uint8_t ahead[READ_MAX];
    size_t from;
    size_t to;
    uint64_t at; /* of the body */
};

static struct cw_span read_some(struct reader *reader, uint64_t max)
{
    struct cw_span piece;

    if (reader->from == reader->to) {
        ptrdiff_t n = rig_peer_receive_some(reader->peer, reader->ahead, sizeof reader->ahead);

        rig_check(n > 0);
        reader->from = 0;
        reader->to = (size_t)n;
    }
    piece = cw_span_of(reader->ahead + reader->from, reader->to - reader->from);
    piece.len = piece.len < max ? piece.len : (size_t)max;
    reader->from += piece.len;
    return piece;
}

/* Up to and with `end`. */
static void read_text(struct reader *reader, const char *end, char *text)
{
    size_t len = 0;

    do {
        rig_check(len < TEXT_LINE_MAX - 1);
        text[len++] = (char)read_some(reader, 1).data[0];
        text[len] = '\0';
    } while (len < strlen(end) || strcmp(text + len - strlen(end), end) != 0);
}

static void read_pattern(struct reader *reader, uint64_t len)
{
    while (len > 0) {
        struct cw_span piece = read_some(reader, len);

        rig_check(is_pattern(piece, reader->at));
        reader->at += piece.len;
        len -= piece.len;
    }
}

static void read_chunks(struct reader *reader)
{
    char line[TEXT_LINE_MAX];
    uint64_t len;

    do {
        read_text(reader, "\r\n", line);
        len = strtoull(line, NULL, 16);
        read_pattern(reader, len);
        read_text(reader, "\r\n", line);
        rig_check(strcmp(line, "\r\n") == 0);
    } while (len > 0);
}

uint64_t http_gallery_read_pattern(struct rig_peer *peer)
{
    struct reader *reader = calloc(1, sizeof *reader);
    char head[TEXT_LINE_MAX];
    const char *length;
    uint64_t at;

    rig_check(reader);
    reader->peer = peer;
    read_text(reader, "\r\n\r\n", head);
    if (strncmp(head, "HTTP/1.1 200 ", 13) != 0) {
        rig_fail(__FILE__, __LINE__, "%s", head);
    }
    length = strcasestr(head, "\r\nContent-Length: ");
    if (length) {
        read_pattern(reader, strtoull(length + 18, NULL, 10));
    } else {
        rig_check(strcasestr(head, "\r\nTransfer-Encoding: chunked\r\n"));
        read_chunks(reader);
    }
    rig_check(reader->from == reader->to);
    at = reader->at;
    free(reader);
    return at;
}

/* ---- answers at once ---- */

static void say(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, user);
}

static void number(struct cw_http_exchange *http, void *user)
{
    cw_http_reply(http, 200, "text/plain", cw_http_param(http, "n"));
}

static void who(struct cw_http_exchange *http, void *user)
{
    char text[CW_ADDRESS_TEXT_MAX];

    cw_address_print(cw_http_client(http), text);
    text[strcspn(text, ":")] = '\0';
    cw_http_replyf(http, 200, "text/plain", "%s %s %.*s", text, cw_http_scheme(http),
                   TEXT(cw_http_host(http)));
}

static void fields(struct cw_http_exchange *http, void *user)
{
    struct cw_span name;
    struct cw_span value;

    cw_http_begin(http, 200, "text/plain", CW_NO_LIMIT);
    for (size_t i = 0; cw_http_field_at(http, i, &name, &value); i++) {
        cw_http_send(http, name);
        cw_http_send(http, cw_span_text(": "));
        cw_http_send(http, value);
        cw_http_send(http, cw_span_text("\n"));
    }
    cw_http_end(http);
}

static void echo(struct cw_http_exchange *http, void *user)
{
    cw_http_reply(http, 200, "application/octet-stream", cw_http_body(http));
}

static void zip(struct cw_http_exchange *http, void *user)
{
    static const char line[] = "the same line again and again\n";
    char text[100 * sizeof line] = "";

    for (size_t i = 0; i < 100; i++) {
        memcpy(text + i * (sizeof line - 1), line, sizeof line);
    }
    cw_http_reply_text(http, 200, text);
}

static void error(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_error(http, atoi((const char *)cw_http_param(http, "status").data), "as wished");
}

static void broken(struct cw_http_exchange *http, void *user)
{
    cw_http_begin(http, 200, "text/plain", 100);
    cw_http_send(http, cw_span_text("ten bytes."));
    cw_http_abort(http);
}

static void go(struct cw_http_exchange *http, void *user)
{
    cw_http_redirect(http, 302, "/hello");
}

static void smuggled(struct cw_http_exchange *http, void *user)
{
    struct http_gallery *gallery = user;

    atomic_fetch_add(&gallery->smuggled, 1);
    cw_http_reply_text(http, 200, "smuggled");
}

/* ---- bodies out ---- */

struct pulled {
    uint64_t at;
    uint64_t len;
};

static ptrdiff_t pull(uint8_t *buffer, size_t cap, void *user)
{
    struct pulled *pulled = user;
    size_t n = pulled->len - pulled->at < cap ? (size_t)(pulled->len - pulled->at) : cap;

    http_gallery_fill(buffer, n, pulled->at);
    pulled->at += n;
    return (ptrdiff_t)n;
}

static void pull_body(struct cw_http_exchange *http, bool chunks)
{
    struct pulled *pulled = cw_http_alloc(http, sizeof *pulled);

    pulled->len = strtoull((const char *)cw_http_param(http, "len").data, NULL, 10);
    cw_http_reply_source(http, 200, "application/octet-stream", chunks ? CW_NO_LIMIT : pulled->len,
                         pull, NULL, pulled);
}

static void reply_pattern(struct cw_http_exchange *http, void *user)
{
    pull_body(http, false);
}

static void reply_chunks(struct cw_http_exchange *http, void *user)
{
    pull_body(http, true);
}

static void push_on(struct cw_http_exchange *http, void *user)
{
    struct pulled *pushed = user;
    int full = 0;

    while (full == 0 && pushed->at < pushed->len) {
        uint64_t left = pushed->len - pushed->at;
        size_t n = left < 16384 ? (size_t)left : 16384;

        full = cw_http_send(http, cw_span_of(pattern + pushed->at % PATTERN_PERIOD, n));
        pushed->at += full >= 0 ? n : 0;
    }
    if (full >= 0 && pushed->at == pushed->len) {
        cw_http_end(http);
    }
}

static void reply_pushed(struct cw_http_exchange *http, void *user)
{
    struct pulled *pushed = cw_http_alloc(http, sizeof *pushed);

    pushed->len = strtoull((const char *)cw_http_param(http, "len").data, NULL, 10);
    cw_http_begin(http, 200, "application/octet-stream", CW_NO_LIMIT);
    cw_http_on_drain(http, push_on, pushed);
    push_on(http, pushed);
}

static void never(struct cw_http_exchange *http, void *user)
{
    cw_http_id(http);
}

static void events(struct cw_http_exchange *http, void *user)
{
    struct cw_span last = cw_http_last_event_id(http);

    cw_http_begin_events(http, &(struct cw_http_events_options){.retry_ms = 50});
    if (last.data) {
        cw_http_send_event(http, &(struct cw_http_event){.data = "again", .event = "end"});
    } else {
        cw_http_send_event(http, &(struct cw_http_event){.data = "one", .id = "1"});
        cw_http_send_event(http, &(struct cw_http_event){.data = "two\nlines", .id = "2"});
    }
    cw_http_end(http);
}

/* ---- bodies in ---- */

static void stream_piece(struct cw_http_exchange *http, struct cw_span piece, bool last, void *user)
{
    if (last) {
        cw_http_end(http);
    } else {
        cw_http_send(http, piece);
    }
}

static void stream(struct cw_http_exchange *http, void *user)
{
    cw_http_begin(http, 200, "application/octet-stream", cw_http_body_length(http));
    cw_http_read_body(http, stream_piece, NULL);
}

static void count_piece(struct cw_http_exchange *http, struct cw_span piece, bool last, void *user)
{
    uint64_t *counted = user;

    if (last) {
        cw_http_replyf(http, 200, "text/plain", "%llu", (unsigned long long)*counted);
    } else if (!is_pattern(piece, *counted)) {
        cw_http_reply_error(http, 400, "a byte is wrong");
    } else {
        *counted += piece.len;
    }
}

static void count(struct cw_http_exchange *http, void *user)
{
    cw_http_read_body(http, count_piece, cw_http_alloc(http, sizeof(uint64_t)));
}

/* ---- what browsers do ---- */

static void set_cookie(struct cw_http_exchange *http, void *user)
{
    cw_http_set_cookie(http, "seen", "by-the-server", NULL);
    cw_http_set_cookie(http, "open", "to-scripts",
                       &(struct cw_http_cookie_options){.for_scripts = true});
    cw_http_reply_text(http, 200, "set");
}

static void cookies(struct cw_http_exchange *http, void *user)
{
    cw_http_replyf(http, 200, "text/plain", "%.*s %.*s", TEXT(cw_http_cookie(http, "seen")),
                   TEXT(cw_http_cookie(http, "open")));
}

static void form(struct cw_http_exchange *http, void *user)
{
    const struct cw_http_form *given = cw_http_body_form(http, NULL);

    if (given) {
        cw_http_replyf(http, 200, "text/html; charset=utf-8", "<p id=form>name=%.*s color=%.*s</p>",
                       TEXT(cw_http_form_value(given, "name")),
                       TEXT(cw_http_form_value(given, "color")));
    }
}

static void uploaded(struct cw_http_exchange *http, struct cw_http_upload *upload, void *user)
{
    const struct cw_http_file *file = cw_http_upload_file(upload, "file");

    if (file) {
        cw_http_replyf(http, 201, "text/plain; charset=utf-8", "%.*s %s %llu",
                       TEXT(cw_http_upload_value(upload, "name")), file->filename,
                       (unsigned long long)file->size);
    } else {
        cw_http_reply_error(http, 400, "no file");
    }
}

static void upload(struct cw_http_exchange *http, void *user)
{
    struct http_gallery *gallery = user;

    cw_http_read_upload(http, &(struct cw_http_upload_options){.directory = gallery->folder},
                        uploaded, NULL);
}

static void take_result(struct cw_http_exchange *http, void *user)
{
    struct http_gallery *gallery = user;

    if (atomic_load(&gallery->results) == 0) {
        snprintf(result, sizeof result, "%.*s", TEXT(cw_http_body(http)));
    }
    atomic_fetch_add(&gallery->results, 1);
    cw_http_reply_empty(http, 204);
}

const char *http_gallery_result(struct http_gallery *gallery)
{
    rig_await(atomic_load(&gallery->results) > 0);
    return result;
}

/* ---- the server ---- */

static void add_routes(struct cw_server *server, struct http_gallery *gallery)
{
    const struct {
        const char *pattern;
        cw_http_fn fn;
        void *user;
        struct cw_http_route_options options;
    } routes[] = {
        {"GET /hello", say, "hello", {0}},
        {"GET /number/:n<int>", number, NULL, {0}},
        {"GET /who", who, NULL, {0}},
        {"GET /fields", fields, NULL, {0}},
        {"* /echo", echo, NULL, {0}},
        {"* /small", echo, NULL, {.body_max_bytes = 10}},
        {"* /stream", stream, NULL, {.stream = true, .body_max_bytes = CW_NO_LIMIT}},
        {"* /count", count, NULL, {.stream = true, .body_max_bytes = CW_NO_LIMIT}},
        {"GET /pattern/:len<int>", reply_pattern, NULL, {0}},
        {"GET /chunks/:len<int>", reply_chunks, NULL, {0}},
        {"GET /pushed/:len<int>", reply_pushed, NULL, {0}},
        {"GET /never", never, NULL, {0}},
        {"GET /error/:status<int>", error, NULL, {0}},
        {"GET /broken", broken, NULL, {0}},
        {"GET /go", go, NULL, {0}},
        {"GET /cookie", set_cookie, NULL, {0}},
        {"GET /cookies", cookies, NULL, {0}},
        {"GET /events", events, NULL, {0}},
        {"POST /form", form, NULL, {0}},
        {"POST /upload", upload, gallery, {.stream = true, .body_max_bytes = 64u << 20}},
        {"POST /result", take_result, gallery, {0}},
        {"* /smuggled", smuggled, gallery, {0}},
    };
    struct cw_http_group *zipped = cw_http_group(server, "/zip", NULL);

    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        rig_check(cw_http_route_with(server, routes[i].pattern, routes[i].fn, routes[i].user,
                                     &routes[i].options) == 0);
    }
    rig_check(cw_http_group_use(zipped, cw_http_compress(NULL)) == 0);
    rig_check(cw_http_group_route(zipped, "GET /", zip, NULL, NULL) == 0);
    rig_check(cw_http_static(server, "/files", gallery->folder, NULL) == 0);
}

void http_gallery_start(struct http_gallery *gallery, const struct cw_server_options *options,
                        const struct cw_http_options *http)
{
    struct cw_server *server = rig_server(&cw_http, options);

    make_pattern();
    *gallery = (struct http_gallery){.folder = "/tmp/cw-gallery-XXXXXX"};
    rig_check(mkdtemp(gallery->folder));
    if (http) {
        rig_check(cw_http_configure(server, http) == 0);
    }
    add_routes(server, gallery);
    if (pki_made()) {
        struct cw_tls_options tls = rig_identity("server.pem", "server.key");

        rig_check(cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1",
                                                                       .tls = &tls}) == CW_OK);
    }
    gallery->host = rig_host_start(server, NULL, NULL);
    gallery->port = rig_host_port(gallery->host, 0);
    gallery->tls_port = pki_made() ? rig_host_port(gallery->host, 1) : 0;
}

void http_gallery_end(struct http_gallery *gallery)
{
    char command[128];

    rig_host_end(gallery->host);
    snprintf(command, sizeof command, "rm -rf %s", gallery->folder);
    rig_check(system(command) == 0);
}

uint64_t http_gallery_conns(const struct http_gallery *gallery)
{
    struct cw_server_stats stats;

    cw_server_stats(rig_host_server(gallery->host), &stats);
    return stats.conns_total;
}

/* ---- files ---- */

const char *http_gallery_at(const struct http_gallery *gallery, const char *name)
{
    static _Thread_local char paths[4][PATH_MAX];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, PATH_MAX, "%s/%s", gallery->folder, name);
    return path;
}

static FILE *create(const struct http_gallery *gallery, const char *name)
{
    FILE *file = fopen(http_gallery_at(gallery, name), "we");

    rig_check(file);
    return file;
}

/* Its last change lies an hour back: what is younger than a second has no strong validators. */
static void finish(FILE *file)
{
    struct timespec then;

    clock_gettime(CLOCK_REALTIME, &then);
    then.tv_sec -= 3600;
    rig_check(fflush(file) == 0);
    rig_check(futimens(fileno(file), (struct timespec[]){then, then}) == 0);
    rig_check(fclose(file) == 0);
}

void http_gallery_put(const struct http_gallery *gallery, const char *name, const char *text)
{
    FILE *file = create(gallery, name);

    rig_check(fputs(text, file) >= 0);
    finish(file);
}

void http_gallery_put_pattern(const struct http_gallery *gallery, const char *name, size_t len)
{
    FILE *file = create(gallery, name);

    for (size_t at = 0; at < len; at += PATTERN_PERIOD) {
        size_t n = len - at < PATTERN_PERIOD ? len - at : PATTERN_PERIOD;

        rig_check(fwrite(pattern, 1, n, file) == n);
    }
    finish(file);
}
