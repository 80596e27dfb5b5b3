/* Every deed in every place: whatever a handler, a hook or a middleware does, the exchange ends, and once. */
#include "support/fault.h"
#include "support/host.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/protocol.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

TestSuite(http_deeds, .fini = rig_expect_no_leak, .timeout = 90);

static struct cw_server *make_server(const struct cw_server_options *options)
{
    cw_log_set_level(getenv("CW_TEST_LOG") ? CW_LOG_DEBUG : CW_LOG_SILENT);
    return rig_server(&cw_http, options);
}

static void hello(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "Hello, world!");
}

enum place {
    IN_HANDLER,
    IN_PIECE,
    IN_LAST_PIECE,
    IN_DRAIN,
    IN_DONE,
    IN_REQUEST,
    IN_REPLY,
    IN_REPLY_BODY,
    IN_MIDDLEWARE_DONE,
    IN_PULL,
    IN_SOURCE_DONE,
    IN_TIMER,
    PLACES
};

enum deed {
    ABORT,
    CLOSE,
    CONN_ABORT,
    REPLY,
    REPLY_ERROR,
    BEGIN,
    BEGIN_SEND,
    END,
    PAUSE,
    RESUME,
    READ_BODY,
    NEXT,
    SOURCE,
    EVENTS,
    SWITCH,
    FINISH,
    CLOSE_AFTER,
    DEEDS
};

static struct {
    enum place place;
    enum deed deed;
    struct cw_http_middleware *self;
    struct cw_service_ref *line;
    struct cw_http_exchange *http; /* of the pull */
    bool inside;                   /* a deed is under way */
    struct cw_http_id ids[16];
    size_t id_count;
    atomic_uint requests;
    atomic_uint dones;
    atomic_uint hooks;
    atomic_uint sources;
    atomic_uint sources_done;
} odd;

static void take_piece(struct cw_http_exchange *http, struct cw_span piece, bool last, void *user);

static ptrdiff_t odd_pull(uint8_t *buffer, size_t cap, void *user);
static void odd_source_done(int code, void *user);

static void do_deed(enum place place, struct cw_http_exchange *http)
{
    static const uint8_t bytes[50000];

    if (place != odd.place || odd.inside) {
        return;
    }
    odd.inside = true;
    switch (odd.deed) {
    case ABORT:
        cw_http_abort(http);
        break;
    case CLOSE:
        cw_conn_close(cw_http_conn(http));
        break;
    case CONN_ABORT:
        cw_conn_abort(cw_http_conn(http));
        break;
    case REPLY:
        cw_http_reply(http, 200, "text/plain", cw_span_of(bytes, sizeof bytes));
        break;
    case REPLY_ERROR:
        cw_http_reply_error(http, 503, "deed");
        break;
    case BEGIN:
        cw_http_begin(http, 200, "text/plain", CW_NO_LIMIT);
        break;
    case BEGIN_SEND:
        cw_http_begin(http, 200, "text/plain", CW_NO_LIMIT);
        cw_http_send(http, cw_span_of(bytes, sizeof bytes));
        break;
    case END:
        cw_http_end(http);
        break;
    case PAUSE:
        cw_http_pause_body(http);
        break;
    case RESUME:
        cw_http_pause_body(http);
        cw_http_resume_body(http);
        break;
    case READ_BODY:
        cw_http_read_body(http, take_piece, NULL);
        break;
    case NEXT:
        cw_http_next(http, odd.self);
        cw_http_next(http, odd.self);
        break;
    case SOURCE:
        atomic_fetch_add(&odd.sources, 1);
        cw_http_reply_source(http, 200, "text/plain", CW_NO_LIMIT, odd_pull, odd_source_done,
                             calloc(1, sizeof(size_t)));
        break;
    case EVENTS:
        cw_http_begin_events(http, NULL);
        cw_http_send_event(http, &(struct cw_http_event){.data = "x"});
        break;
    case SWITCH:
        cw_http_switch(http, "line", odd.line, NULL, NULL);
        break;
    case FINISH:
        cw_http_source_ready(http);
        cw_http_send(http, cw_span_text("x"));
        break;
    case CLOSE_AFTER:
        cw_http_close_after(http);
        break;
    default:
        break;
    }
    odd.inside = false;
}

static ptrdiff_t odd_pull(uint8_t *buffer, size_t cap, void *user)
{
    size_t *count = user;

    do_deed(IN_PULL, odd.http);
    if ((*count)++ == 20) {
        return 0;
    }
    memset(buffer, 'p', cap);
    return (ptrdiff_t)cap;
}

static void odd_source_done(int code, void *user)
{
    do_deed(IN_SOURCE_DONE, odd.http);
    free(user);
    atomic_fetch_add(&odd.sources_done, 1);
}

static void odd_done(struct cw_http_exchange *http, const struct cw_http_outcome *outcome,
                     void *user)
{
    do_deed(IN_DONE, http);
    atomic_fetch_add(&odd.hooks, 1);
}

static void odd_timer(struct cw_conn *conn, void *user)
{
    const struct cw_http_id *id = user;
    struct cw_http_exchange *http = cw_http_find(cw_conn_loop(conn), *id);

    if (http) {
        do_deed(IN_TIMER, http);
    }
    http = cw_http_find(cw_conn_loop(conn), *id);
    if (http) {
        cw_http_reply_text(http, 200, "by timer");
    }
}

static void take_piece(struct cw_http_exchange *http, struct cw_span piece, bool last, void *user)
{
    do_deed(last ? IN_LAST_PIECE : IN_PIECE, http);
    if (last) {
        cw_http_reply_text(http, 200, "read");
        cw_http_end(http);
    }
}

static void odd_drain(struct cw_http_exchange *http, void *user)
{
    do_deed(IN_DRAIN, http);
    cw_http_end(http);
}

static void prepare(struct cw_http_exchange *http)
{
    odd.http = http;
    cw_http_on_done(http, odd_done, NULL);
    do_deed(IN_HANDLER, http);
}

static void odd_stream(struct cw_http_exchange *http, void *user)
{
    prepare(http);
    cw_http_read_body(http, take_piece, NULL);
}

static void odd_push(struct cw_http_exchange *http, void *user)
{
    static const uint8_t bytes[400000];

    prepare(http);
    cw_http_on_drain(http, odd_drain, NULL);
    cw_http_begin(http, 200, "text/plain", CW_NO_LIMIT);
    if (cw_http_send(http, cw_span_of(bytes, sizeof bytes)) == 0) {
        cw_http_end(http);
    }
}

static void odd_source(struct cw_http_exchange *http, void *user)
{
    prepare(http);
    atomic_fetch_add(&odd.sources, 1);
    cw_http_reply_source(http, 200, "text/plain", CW_NO_LIMIT, odd_pull, odd_source_done,
                         calloc(1, sizeof(size_t)));
}

static void odd_later(struct cw_http_exchange *http, void *user)
{
    struct cw_http_id *id = &odd.ids[odd.id_count++ % 16];

    prepare(http);
    *id = cw_http_id(http);
    (void)cw_conn_after(cw_http_conn(http), 1, 0, odd_timer, id);
}

static int odd_request(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    atomic_fetch_add(&odd.requests, 1);
    do_deed(IN_REQUEST, http);
    if (cw_http_query(http, "later").data) {
        cw_http_next(http, self);
        return CW_HTTP_LATER;
    }
    return CW_HTTP_NEXT;
}

static void odd_reply(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    if (cw_http_query(http, "filter").data) {
        cw_http_filter_body(http);
    }
    do_deed(IN_REPLY, http);
}

static int odd_reply_body(struct cw_http_middleware *self, struct cw_http_exchange *http,
                          void *slot, struct cw_span *piece, bool last)
{
    do_deed(IN_REPLY_BODY, http);
    return CW_OK;
}

static void odd_middleware_done(struct cw_http_middleware *self, struct cw_http_exchange *http,
                                void *slot, const struct cw_http_outcome *outcome)
{
    do_deed(IN_MIDDLEWARE_DONE, http);
    atomic_fetch_add(&odd.dones, 1);
}

/* Whatever comes back, until it ends or nothing more comes for a moment: some deeds begin what they never end. */
static void talk(uint16_t port, const char *request)
{
    static char got[65536];
    struct rig_peer peer = rig_peer_tcp(port);
    struct pollfd ready = {.fd = peer.fd, .events = POLLIN};

    (void)rig_peer_try_send(&peer, request, strlen(request));
    (void)shutdown(peer.fd, SHUT_WR);
    while (poll(&ready, 1, 400) == 1 && recv(peer.fd, got, sizeof got, 0) > 0) {}
    rig_peer_reset(&peer);
}

static const char *const odd_requests[] = {
    "POST /stream HTTP/1.1\r\nHost: a\r\nUpgrade: line\r\nConnection: upgrade\r\n"
    "Content-Length: 3\r\n\r\nabc",
    "POST /stream?filter=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n",
    "GET /push?filter=1&later=1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /push HTTP/1.0\r\nHost: a\r\n\r\n",
    "GET /source HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /source?filter=1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /later?later=1 HTTP/1.1\r\nHost: a\r\nUpgrade: line\r\nConnection: upgrade\r\n\r\n",
    "HEAD /push HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
};

enum { ODD_REQUESTS = sizeof odd_requests / sizeof odd_requests[0] };

/* Nobody does anything odd until place and deed are set. */
static struct rig_host *odd_host(void)
{
    static struct cw_http_middleware middleware = {.name = "odd",
                                                   .on_request = odd_request,
                                                   .on_reply = odd_reply,
                                                   .on_reply_body = odd_reply_body,
                                                   .on_done = odd_middleware_done};
    static const struct cw_http_route_options stream = {.stream = true};
    struct cw_server *server = make_server(&(struct cw_server_options){.drain_ms = 2000});

    memset(&odd, 0, sizeof odd);
    odd.place = PLACES;
    odd.self = &middleware;
    odd.line = cw_service_new(&(struct cw_service){.protocol = &cw_line}, NULL);
    cw_http_configure(server, &(struct cw_http_options){.response_ms = 100, .body_ms = 100});
    middleware.next = NULL;
    cw_http_use(server, &middleware);
    cw_http_route_with(server, "POST /stream", odd_stream, NULL, &stream);
    cw_http_route(server, "GET /push", odd_push, NULL);
    cw_http_route(server, "GET /source", odd_source, NULL);
    cw_http_route(server, "GET|POST /later", odd_later, NULL);
    cw_http_route(server, "GET /hello", hello, NULL);
    return rig_host_start(server, NULL, NULL);
}

static void end_odd_host(struct rig_host *host)
{
    rig_host_end(host);
    cw_service_free(odd.line);
    rig_check(atomic_load(&odd.requests) == atomic_load(&odd.dones));
    rig_check(atomic_load(&odd.sources) == atomic_load(&odd.sources_done));
}

static void try_deed(enum place place, enum deed deed)
{
    struct rig_host *host = odd_host();

    odd.place = place;
    odd.deed = deed;
    for (size_t i = 0; i < ODD_REQUESTS; i++) {
        talk(rig_host_port(host, 0), odd_requests[i]);
    }
    end_odd_host(host);
}

static void try_deeds(enum place place)
{
    for (enum deed deed = 0; deed < DEEDS; deed++) {
        try_deed(place, deed);
    }
}

#define TRY(name, place)                                                                           \
    Test(http_deeds, whatever_is_done_in_##name##_the_exchange_ends_once)                          \
    {                                                                                              \
        try_deeds(place);                                                                          \
    }

TRY(a_handler, IN_HANDLER)
TRY(a_piece, IN_PIECE)
TRY(the_last_piece, IN_LAST_PIECE)
TRY(on_drain, IN_DRAIN)
TRY(on_done, IN_DONE)
TRY(on_request, IN_REQUEST)
TRY(on_reply, IN_REPLY)
TRY(on_reply_body, IN_REPLY_BODY)
TRY(on_done_of_middleware, IN_MIDDLEWARE_DONE)
TRY(a_pull, IN_PULL)
TRY(done_of_a_source, IN_SOURCE_DONE)
TRY(a_timer, IN_TIMER)

Test(http_deeds, whichever_allocation_fails_the_exchange_ends_once)
{
    fault_install();
    struct rig_host *host = odd_host();

    for (size_t i = 0; i < ODD_REQUESTS; i++) {
        for (size_t nth = 1; nth <= 16; nth++) {
            fault_arm(nth);
            talk(rig_host_port(host, 0), odd_requests[i]);
            fault_disarm();
        }
    }
    end_odd_host(host);
    fault_remove();
}
