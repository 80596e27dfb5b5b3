/* Many WebSockets that rest: what each of them costs, that nobody is forgotten, and that all are told goodbye. As many as the
 * descriptors of the machine allow, up to 20,000, when CW_TEST_LARGE is set; otherwise 5,000. */
#include "support/child.h"
#include "support/host.h"
#include "support/leak.h"
#include "support/memory.h"
#include "support/story.h"
#include "support/wait.h"
#include "support/ws_raw.h"

#include <causeway/causeway.h>
#include <causeway/log.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    rig_memory_count();
}

TestSuite(ws_scale, .init = init, .fini = rig_expect_no_leak, .timeout = 115);

enum {
    CROWD = 5000,
    CROWD_LARGE = 20000,
    SPARE = 100, /* descriptors */
    EACH = 50,   /* one of so many speaks */
    STEP = 500,
    OURS_MAX = 360,     /* with what libevent takes; malloc takes some 16 more */
    RESIDENT_MAX = 450, /* the aim is 400; the rest is what else the process does meanwhile */
};

#if defined(__SANITIZE_ADDRESS__)
#define IS_MEASURED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_MEASURED 0
#endif
#endif
#ifndef IS_MEASURED
#define IS_MEASURED 1
#endif

static struct rig_story story;

struct crowd {
    unsigned size;
    const char *path;
    int orders[2]; /* the port goes in */
};

static unsigned size_of_crowd(void)
{
    struct rlimit limit;
    size_t wanted = getenv("CW_TEST_LARGE") ? CROWD_LARGE : CROWD;

    rig_check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    rig_check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    rig_check(limit.rlim_cur > 2 * SPARE);
    return (unsigned)(limit.rlim_cur > wanted + SPARE ? wanted : limit.rlim_cur - SPARE);
}

static bool await_order(const struct crowd *crowd, uint16_t *port)
{
    return read(crowd->orders[0], port, sizeof *port) == sizeof *port;
}

static void speak(struct rig_peer *peer)
{
    ws_raw_send(peer, WS_RAW_TEXT, "hello", 5);
    ws_raw_expect_text(peer, "hello");
}

/* In a process of its own: each end of a connection needs a descriptor. */
static int be_a_crowd(void *arg)
{
    struct crowd *crowd = arg;
    struct rig_peer *peers = calloc(crowd->size, sizeof *peers);
    uint16_t port;

    close(crowd->orders[1]);
    if (!peers || !await_order(crowd, &port)) {
        return 1;
    }
    for (unsigned i = 0; i < crowd->size; i++) {
        peers[i] = ws_raw_open(port, crowd->path);
        speak(&peers[i]);
        if ((i + 1) % STEP == 0 || i + 1 == crowd->size) {
            printf("%u are here\n", i + 1);
            fflush(stdout);
        }
    }
    if (!await_order(crowd, &port)) {
        return 1;
    }
    for (unsigned i = 0; i < crowd->size; i += EACH) { /* nobody has been forgotten */
        speak(&peers[i]);
    }
    printf("all are well\n");
    fflush(stdout);
    for (unsigned i = 0; i < crowd->size; i++) {
        ws_raw_expect_close(&peers[i], 1001, "");
        ws_raw_send(&peers[i], WS_RAW_CLOSE, "\x03\xe9", 2);
    }
    for (unsigned i = 0; i < crowd->size; i++) {
        rig_peer_expect_end(&peers[i]);
        rig_peer_close(&peers[i]);
    }
    free(peers);
    return 0;
}

static void order(const struct crowd *crowd, uint16_t port)
{
    rig_check(write(crowd->orders[1], &port, sizeof port) == sizeof port);
}

/* Step by step: each has a deadline of its own. */
static void await_all(struct rig_child *child, unsigned size)
{
    for (unsigned here = 0; here < size;) {
        char text[40];

        here = here + STEP < size ? here + STEP : size;
        snprintf(text, sizeof text, "%u are here", here);
        rig_child_await_text(child, text);
    }
}

static void serve_some(uint16_t port, const char *path)
{
    for (int i = 0; i < 20; i++) {
        struct rig_peer peer = ws_raw_open(port, path);

        speak(&peer);
        rig_peer_close(&peer);
    }
    rig_await(atomic_load(&story.closed) == atomic_load(&story.opened));
}

static void expect_little(unsigned size, int64_t bytes, size_t resident)
{
    bytes = (rig_memory_bytes() - bytes) / size;
    resident = (rig_memory_resident() - resident) / size;
    cr_log_info("%u WebSockets: %lld bytes each, %zu of the process", size, (long long)bytes,
                resident);
    cr_expect_leq(bytes, OURS_MAX, "%lld bytes a connection", (long long)bytes);
    if (IS_MEASURED && size >= CROWD) {
        cr_expect_leq(resident, RESIDENT_MAX, "%zu bytes a connection", resident);
    }
}

/* The server is made behind the fork: before that there must be no thread. */
static void expect_rest(struct cw_server *(*make)(const struct cw_server_options *,
                                                  struct cw_hooks *),
                        const char *path)
{
    struct crowd crowd = {.size = size_of_crowd(), .path = path};
    const struct cw_server_options options = {
        .conns_max = crowd.size + SPARE, .conns_per_ip_max = crowd.size + SPARE, .drain_ms = 60000};
    struct cw_hooks hooks = rig_story_hooks;
    struct rig_child child;
    struct rig_host *host;
    uint16_t port;

    rig_check(pipe(crowd.orders) == 0);
    rig_child_fork(&child, be_a_crowd, &crowd);
    close(crowd.orders[0]);
    hooks.on_data = rig_echo;
    host = rig_host_start(make(&options, &hooks), &hooks, &story);
    port = rig_host_port(host, 0);
    serve_some(port, path);

    int64_t bytes = rig_memory_bytes();
    size_t resident = rig_memory_resident();

    order(&crowd, port);
    await_all(&child, crowd.size);

    cr_expect_eq(rig_host_conns(host), crowd.size);
    expect_little(crowd.size, bytes, resident);
    order(&crowd, port);
    rig_child_await_text(&child, "all are well");
    cr_expect_eq(rig_host_stop(host), CW_OK);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
    cr_expect_eq(atomic_load(&story.closed), atomic_load(&story.opened));
    cr_expect_eq(atomic_load(&story.errors), 0);
    close(crowd.orders[1]);
    rig_host_free(host);
}

static struct cw_server *make_websocket(const struct cw_server_options *options,
                                        struct cw_hooks *hooks)
{
    struct cw_server *server = rig_server(&cw_websocket, options);

    /* A crowd that rests answers none. */
    rig_check(cw_websocket_configure(
                  server, &(struct cw_websocket_options){.ping_interval_ms = CW_OFF}) == CW_OK);
    return server;
}

static struct cw_server *make_route(const struct cw_server_options *options, struct cw_hooks *hooks)
{
    struct cw_server *server = rig_server(&cw_http, options);

    rig_check(cw_websocket_route(server, "/ws/:name", hooks,
                                 &(struct cw_websocket_options){
                                     .user = &story, .ping_interval_ms = CW_OFF}) == CW_OK);
    hooks->on_connection = NULL; /* the story is the route's, not the requests' */
    hooks->on_data = NULL;
    hooks->on_close = NULL;
    return server;
}

Test(ws_scale, websockets_of_a_server_rest_at_little_cost)
{
    expect_rest(make_websocket, "/");
}

Test(ws_scale, websockets_of_a_route_rest_at_little_cost)
{
    expect_rest(make_route, "/ws/lobby");
}
