/* Routes, groups, hosts and the order of middleware, as a client meets them. */
#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/http_middleware.h>
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(http_routes, .fini = rig_expect_no_leak, .timeout = 90);

#define ASK(method, path) method " " path " HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define GET(path) ASK("GET", path)

/* ---- what the loop's thread tells the test ---- */

static char story[4000]; /* read when `dones` says that the loop is through with it */
static atomic_uint dones;
static atomic_bool waiting;
static struct cw_http_id waiting_id;

static void tell(const char *what, const char *name)
{
    size_t len = strlen(story);

    snprintf(story + len, sizeof story - len, "%s%s ", what, name);
}

/* Middleware that tells when it is called, and answers as it is told to. */
struct probe {
    struct cw_http_middleware middleware;
    const char *name;
    int verdict;
};

static struct probe *probe_of(struct cw_http_middleware *self)
{
    return (struct probe *)self;
}

static int probe_request(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    struct probe *probe = probe_of(self);

    rig_check(*(int *)slot == 0);
    *(int *)slot = 7;
    tell(">", probe->name);
    if (probe->verdict == CW_HTTP_ANSWERED) {
        cw_http_reply_text(http, 403, probe->name);
    }
    if (probe->verdict == CW_HTTP_LATER) {
        waiting_id = cw_http_id(http);
        atomic_store(&waiting, true);
    }
    return probe->verdict;
}

static void probe_reply(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    char status[20];

    rig_check(*(int *)slot == 7);
    snprintf(status, sizeof status, "%s:%d", probe_of(self)->name, cw_http_reply_status(http));
    tell("<", status);
}

static void probe_done(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                       const struct cw_http_outcome *outcome)
{
    rig_check(*(int *)slot == 7);
    tell(outcome->code == CW_OK ? "." : "!", probe_of(self)->name);
    atomic_fetch_add(&dones, 1);
}

static void probe_release(struct cw_http_middleware *self)
{
    free(self);
}

static struct cw_http_middleware *probe(const char *name, int verdict)
{
    struct probe *one = calloc(1, sizeof *one);

    one->name = name;
    one->verdict = verdict;
    one->middleware = (struct cw_http_middleware){
        .name = name,
        .slot_size = sizeof(int),
        .on_request = probe_request,
        .on_reply = probe_reply,
        .on_done = probe_done,
        .release = probe_release,
    };
    return &one->middleware;
}

/* ---- handlers ---- */

static void put_param(struct cw_http_exchange *http, const char *name, char *text, size_t cap)
{
    struct cw_span value = cw_http_param(http, name);
    size_t len = strlen(text);

    if (value.data) {
        rig_check(value.data[value.len] == '\0');
        snprintf(text + len, cap - len, " %s=%.*s", name, (int)value.len, (const char *)value.data);
    }
}

/* Answers with the name of its route and its parameters. */
static void show(struct cw_http_exchange *http, void *user)
{
    char text[500];

    snprintf(text, sizeof text, "%s", cw_http_route_name(http));
    put_param(http, "id", text, sizeof text);
    put_param(http, "name", text, sizeof text);
    put_param(http, "rest", text, sizeof text);
    cw_http_reply_text(http, 200, text);
}

static void show_trace(struct cw_http_exchange *http, void *user)
{
    tell("=", "handler");
    show(http, user);
}

static struct rig_host *start(struct cw_server *server)
{
    struct rig_host *host = rig_host_start(server, NULL, NULL);

    cr_assert_str_eq(cw_server_error(server), "");
    return host;
}

/* The status, and the body in `body`. */
static char body[4000];

static int ask_at(struct rig_host *host, unsigned listener, const char *request)
{
    return http_get(rig_host_port(host, listener), request, body, sizeof body);
}

static int ask(struct rig_host *host, const char *request)
{
    return ask_at(host, 0, request);
}

/* One field of the answer to a request. */
static int ask_field(struct rig_host *host, const char *request, const char *field, char *value,
                     size_t cap)
{
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = malloc(sizeof *reply);
    int status;

    http_peer_ask(&peer, request, reply);
    status = reply->status;
    snprintf(value, cap, "%s", http_reply_field(reply, field));
    snprintf(body, sizeof body, "%s", (const char *)reply->body);
    http_reply_release(reply);
    free(reply);
    http_peer_close(&peer);
    return status;
}

/* ---- paths and methods ---- */

Test(http_routes, a_path_without_a_route_is_404)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct rig_host *host;

    cw_http_route(server, "GET /users", show, NULL);
    host = start(server);
    cr_expect_eq(ask(host, GET("/users")), 200);
    cr_expect_str_eq(body, "GET /users");
    cr_expect_eq(ask(host, GET("/users/")), 404);
    cr_expect_eq(ask(host, GET("/user")), 404);
    cr_expect_eq(ask(host, GET("/")), 404);
    cr_expect_eq(ask(host, ASK("POST", "/user")), 404);
    rig_host_end(host);
}

Test(http_routes, another_method_is_405_and_allow_says_which_there_are)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct rig_host *host;
    char allow[100];

    cw_http_route(server, "GET /users", show, NULL);
    cw_http_route(server, "POST|PURGE /users", show, NULL);
    cw_http_route(server, "DELETE /*rest", show, NULL);
    host = start(server);
    cr_expect_eq(ask_field(host, ASK("PUT", "/users"), "Allow", allow, sizeof allow), 405);
    cr_expect_str_eq(allow, "GET, HEAD, POST, DELETE, OPTIONS, PURGE");
    cr_expect_eq(ask_field(host, ASK("BREW", "/tea"), "Allow", allow, sizeof allow), 405);
    cr_expect_str_eq(allow, "DELETE, OPTIONS");
    cr_expect_eq(ask_field(host, ASK("PURGE", "/users"), "Allow", allow, sizeof allow), 200);
    cr_expect_str_eq(allow, "");
    rig_host_end(host);
}

Test(http_routes, head_is_answered_by_get_without_the_body)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct rig_host *host;
    char length[20];

    cw_http_route(server, "GET /a", show, NULL);
    cw_http_route(server, "POST /b", show, NULL);
    host = start(server);
    cr_expect_eq(ask_field(host, ASK("HEAD", "/a"), "Content-Length", length, sizeof length), 200);
    cr_expect_str_eq(length, "6");
    cr_expect_str_eq(body, "");
    cr_expect_eq(ask(host, ASK("HEAD", "/b")), 405);
    cr_expect_eq(ask(host, ASK("HEAD", "/c")), 404);
    rig_host_end(host);
}

Test(http_routes, options_is_answered_for_a_path_and_for_the_server)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct rig_host *host;
    char allow[100];

    cw_http_route(server, "GET /a", show, NULL);
    cw_http_route(server, "PUT /b", show, NULL);
    cw_http_route(server, "OPTIONS /c", show, NULL);
    host = start(server);
    cr_expect_eq(ask_field(host, ASK("OPTIONS", "/a"), "Allow", allow, sizeof allow), 204);
    cr_expect_str_eq(allow, "GET, HEAD, OPTIONS");
    cr_expect_eq(ask_field(host, ASK("OPTIONS", "*"), "Allow", allow, sizeof allow), 204);
    cr_expect_str_eq(allow, "GET, HEAD, PUT, OPTIONS");
    cr_expect_eq(ask(host, ASK("OPTIONS", "/c")), 200);
    cr_expect_str_eq(body, "OPTIONS /c");
    cr_expect_eq(ask(host, ASK("OPTIONS", "/d")), 404);
    rig_host_end(host);
}

Test(http_routes, connect_is_405)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct rig_host *host;

    cw_http_route(server, "* /*rest", show, NULL);
    host = start(server);
    cr_expect_eq(ask(host, "CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n"), 405);
    rig_host_end(host);
}

Test(http_routes, parameters_are_decoded_and_an_encoded_slash_parts_nothing)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct rig_host *host;

    cw_http_route(server, "GET /users/:id", show, NULL);
    cw_http_route(server, "GET /users/:id<int>/posts/:name?", show, NULL);
    cw_http_route(server, "GET /files/*rest", show, NULL);
    host = start(server);
    cr_expect_eq(ask(host, GET("/users/J%C3%BCrgen%20M")), 200);
    cr_expect_str_eq(body, "GET /users/:id id=J\xc3\xbcrgen M");
    cr_expect_eq(ask(host, GET("/users/a%2fb")), 200);
    cr_expect_str_eq(body, "GET /users/:id id=a%2Fb");
    cr_expect_eq(ask(host, GET("/us%65rs//./7?id=8")), 200);
    cr_expect_str_eq(body, "GET /users/:id id=7");
    cr_expect_eq(ask(host, GET("/users/7/posts/new")), 200);
    cr_expect_str_eq(body, "GET /users/:id<int>/posts/:name? id=7 name=new");
    cr_expect_eq(ask(host, GET("/users/7/posts")), 200);
    cr_expect_str_eq(body, "GET /users/:id<int>/posts/:name? id=7");
    cr_expect_eq(ask(host, GET("/users/seven/posts")), 404);
    cr_expect_eq(ask(host, GET("/files/a/b%2F..%2Fc/")), 200);
    cr_expect_str_eq(body, "GET /files/*rest rest=a/b%2F..%2Fc/");
    cr_expect_eq(ask(host, GET("/files/a/../../users/1")), 200);
    cr_expect_str_eq(body, "GET /users/:id id=1");
    cr_expect_eq(ask(host, GET("/files")), 200);
    cr_expect_str_eq(body, "GET /files/*rest rest=");
    rig_host_end(host);
}

Test(http_routes, a_long_path_costs_no_more_than_its_route)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct rig_host *host;
    char request[8300];
    size_t len;

    cw_http_route(server, "GET /a/:id", show, NULL);
    host = start(server);
    len = (size_t)snprintf(request, sizeof request, "GET ");
    while (len < 8000) {
        len += (size_t)snprintf(request + len, sizeof request - len, "/a");
    }
    snprintf(request + len, sizeof request - len, " HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect_eq(ask(host, request), 404);
    rig_host_end(host);
}

/* ---- middleware ---- */

static struct cw_server *server_with_groups(void)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct cw_http_group *api = cw_http_group(server, "/api", NULL);
    struct cw_http_group *users = cw_http_group_in(api, "/users");
    struct cw_http_middleware *const use[] = {probe("route", CW_HTTP_NEXT)};
    struct cw_http_middleware *const no[] = {probe("no", CW_HTTP_ANSWERED),
                                             probe("behind", CW_HTTP_NEXT)};

    cw_http_use(server, probe("server", CW_HTTP_NEXT));
    cw_http_group_use(users, probe("users", CW_HTTP_NEXT));
    cw_http_group_use(api, probe("api", CW_HTTP_NEXT));
    cw_http_route(server, "GET /", show_trace, NULL);
    cw_http_group_route(users, "GET /:id", show_trace, NULL,
                        &(struct cw_http_route_options){.use = use, .use_count = 1});
    cw_http_route_with(server, "GET /no", show_trace, NULL,
                       &(struct cw_http_route_options){.use = no, .use_count = 2});
    return server;
}

Test(http_routes, middleware_comes_in_order_and_answers_and_ends_in_reverse)
{
    struct rig_host *host = start(server_with_groups());

    cr_expect_eq(ask(host, GET("/api/users/7")), 200);
    cr_expect_str_eq(body, "GET /api/users/:id id=7");
    rig_await(atomic_load(&dones) == 4);
    cr_expect_str_eq(story, ">server >api >users >route =handler "
                            "<route:200 <users:200 <api:200 <server:200 "
                            ".route .users .api .server ");
    rig_host_end(host);
}

Test(http_routes, a_route_outside_of_a_group_has_none_of_its_middleware)
{
    struct rig_host *host = start(server_with_groups());

    cr_expect_eq(ask(host, GET("/")), 200);
    rig_await(atomic_load(&dones) == 1);
    cr_expect_str_eq(story, ">server =handler <server:200 .server ");
    rig_host_end(host);
}

Test(http_routes, below_a_prefix_its_middleware_sees_what_no_route_answers)
{
    struct rig_host *host = start(server_with_groups());

    cr_expect_eq(ask(host, GET("/api/nothing")), 404);
    rig_await(atomic_load(&dones) == 2);
    cr_expect_str_eq(story, ">server >api <api:404 <server:404 .api .server ");
    story[0] = '\0';
    cr_expect_eq(ask(host, ASK("PUT", "/api/users/7")), 405);
    rig_await(atomic_load(&dones) == 5);
    cr_expect_str_eq(story, ">server >api >users <users:405 <api:405 <server:405 "
                            ".users .api .server ");
    rig_host_end(host);
}

Test(http_routes, whoever_answers_keeps_the_request_from_those_behind)
{
    struct rig_host *host = start(server_with_groups());

    cr_expect_eq(ask(host, GET("/no")), 403);
    cr_expect_str_eq(body, "no");
    rig_await(atomic_load(&dones) == 2);
    cr_expect_str_eq(story, ">server >no <no:403 <server:403 .no .server ");
    rig_host_end(host);
}

static struct cw_http_middleware *first_one;
static struct cw_http_middleware *later_one;

static void go_on(struct cw_http_exchange *http, void *middleware)
{
    rig_check(http != NULL);
    rig_check(cw_http_next(http, first_one) == CW_ESTATE);
    rig_check(cw_http_next(http, middleware) == CW_OK);
}

static struct cw_server *server_that_waits(void)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    first_one = probe("first", CW_HTTP_NEXT);
    later_one = probe("later", CW_HTTP_LATER);
    cw_http_use(server, first_one);
    cw_http_use(server, later_one);
    cw_http_use(server, probe("last", CW_HTTP_NEXT));
    cw_http_route(server, "GET /", show_trace, NULL);
    return server;
}

Test(http_routes, a_middleware_that_waits_goes_on_when_it_says_so)
{
    struct rig_host *host = start(server_that_waits());
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = malloc(sizeof *reply);

    http_peer_send(&peer, GET("/"));
    rig_await(atomic_load(&waiting));
    cr_assert_eq(cw_http_post(rig_host_server(host), waiting_id, go_on, later_one), CW_OK);
    http_peer_read(&peer, reply, false);
    cr_expect_eq(reply->status, 200);
    rig_await(atomic_load(&dones) == 3);
    cr_expect_str_eq(story, ">first >later >last =handler <last:200 <later:200 <first:200 "
                            ".last .later .first ");
    http_reply_release(reply);
    free(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_routes, on_done_comes_once_also_when_the_peer_does_not_wait)
{
    struct rig_host *host = start(server_that_waits());
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));

    http_peer_send(&peer, GET("/"));
    rig_await(atomic_load(&waiting));
    rig_peer_reset(&peer.peer);
    free(peer.ahead);
    rig_await(atomic_load(&dones) == 2);
    rig_await(rig_host_conns(host) == 0);
    cr_expect_str_eq(story, ">first >later !later !first ");
    rig_host_end(host);
}

/* ---- hosts and sites ---- */

static int ask_host(struct rig_host *host, const char *name, const char *path)
{
    char request[300];

    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, name);
    return ask(host, request);
}

Test(http_routes, a_host_has_its_own_routes_and_those_of_all)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    const struct cw_http_group_options own = {.host = "api.example"};
    const struct cw_http_group_options below = {.host = "*.example"};
    struct rig_host *host;

    cw_http_group_route(cw_http_group(server, "", &own), "GET /", show, NULL,
                        &(struct cw_http_route_options){.name = "api"});
    cw_http_group_route(cw_http_group(server, "", &below), "GET /", show, NULL,
                        &(struct cw_http_route_options){.name = "below"});
    cw_http_route_with(server, "GET /", show, NULL, &(struct cw_http_route_options){.name = "any"});
    cw_http_route_with(server, "GET /all", show, NULL,
                       &(struct cw_http_route_options){.name = "all"});
    host = start(server);
    cr_expect_eq(ask_host(host, "API.example:8080", "/"), 200);
    cr_expect_str_eq(body, "api");
    cr_expect_eq(ask_host(host, "a.b.example", "/"), 200);
    cr_expect_str_eq(body, "below");
    cr_expect_eq(ask_host(host, "example", "/"), 200);
    cr_expect_str_eq(body, "any");
    cr_expect_eq(ask_host(host, "api.example", "/all"), 200);
    cr_expect_str_eq(body, "all");
    cr_expect_eq(ask(host, "GET http://api.example/ HTTP/1.1\r\nHost: api.example\r\n\r\n"), 200);
    cr_expect_str_eq(body, "api");
    rig_host_end(host);
}

Test(http_routes, a_site_is_served_on_its_own_listener_alone)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    const struct cw_http_options options = {.site = "inner"};
    const struct cw_http_group_options place = {.site = "inner"};
    struct rig_host *host;

    cw_http_route(server, "GET /", show, NULL);
    cw_http_group_route(cw_http_group(server, "", &place), "GET /metrics", show, NULL, NULL);
    cw_server_listen(server,
                     &(struct cw_listen_options){.host = "127.0.0.1",
                                                 .service = cw_http_service(&options, NULL, NULL)});
    host = start(server);
    cr_expect_eq(ask_at(host, 0, GET("/")), 200);
    cr_expect_eq(ask_at(host, 0, GET("/metrics")), 404);
    cr_expect_eq(ask_at(host, 1, GET("/")), 404);
    cr_expect_eq(ask_at(host, 1, GET("/metrics")), 200);
    rig_host_end(host);
}

/* ---- error pages ---- */

static void page(struct cw_http_exchange *http, void *user)
{
    cw_http_replyf(http, cw_http_error_status(http), "text/html", "<h1>%s: %d, %s</h1>",
                   (const char *)user, cw_http_error_status(http), cw_http_error_text(http));
}

static void silent_page(struct cw_http_exchange *http, void *user)
{
    (void)http;
    (void)user;
}

static void teapot(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_error(http, 418, "short and stout");
}

Test(http_routes, error_pages_are_for_one_status_or_for_all)
{
    static char lost[] = "lost";
    static char other[] = "other";
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct rig_host *host;

    cw_http_set_error_page(server, 404, page, lost);
    cw_http_set_error_page(server, 405, silent_page, NULL);
    cw_http_set_error_page(server, 0, page, other);
    cw_http_route(server, "GET /teapot", teapot, NULL);
    host = start(server);
    cr_expect_eq(ask(host, GET("/none")), 404);
    cr_expect(strstr(body, "<h1>lost: 404, "), "%s", body);
    cr_expect_eq(ask(host, GET("/teapot")), 418);
    cr_expect_str_eq(body, "<h1>other: 418, short and stout</h1>");
    cr_expect_eq(ask(host, ASK("PUT", "/teapot")), 405);
    cr_expect_null(strstr(body, "<h1>"), "%s", body);
    rig_host_end(host);
}

/* ---- listing ---- */

static void put_route(const struct cw_http_route_info *route, void *user)
{
    char *text = user;
    size_t len = strlen(text);

    snprintf(text + len, sizeof body - len, "%s %s\n", route->method, route->path);
}

static void list(struct cw_http_exchange *http, void *user)
{
    char text[sizeof body] = "";

    rig_check(cw_http_each_route(cw_http_server(http), put_route, text) == 3);
    cw_http_reply_text(http, 200, text);
}

Test(http_routes, a_handler_can_list_them_all)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct cw_http_group *group = cw_http_group(server, "/x", NULL);
    struct rig_host *host;

    cw_http_group_route(group, "GET|PUT /:id", show, NULL, NULL);
    cw_http_group_route(group, "GET /", show, NULL, NULL);
    cw_http_route(server, "GET /routes", list, NULL);
    host = start(server);
    cr_expect_eq(ask(host, GET("/routes")), 200);
    cr_expect_str_eq(body, "GET|PUT /x/:id\nGET /x\nGET /routes\n");
    rig_host_end(host);
}

/* ---- what a user sees who made a mistake ---- */

static void expect_refused(struct cw_server *server, int code, const char *sentence)
{
    cr_expect_eq(cw_server_run(server), code);
    cr_expect_str_eq(cw_server_error(server), sentence);
    cw_server_free(server);
}

Test(http_routes, a_server_with_a_mistake_in_its_routes_does_not_start_and_says_why)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    cw_http_route(server, "GET /users/:id<number>", show, NULL);
    cw_http_route(server, "GET users", show, NULL);
    expect_refused(server, CW_EINVAL,
                   "route GET /users/:id<number>: <number>: there are int, alpha, alnum, hex, slug "
                   "and uuid");

    server = rig_server(&cw_http, NULL);
    cw_http_route(server, "GET /users/:id", show, NULL);
    cw_http_route(server, "GET|PUT /users/:user", show, NULL);
    expect_refused(server, CW_EINVAL, "route GET|PUT /users/:user: GET /users/:id is there already");

    server = rig_server(&cw_http, NULL);
    cw_http_group_route(cw_http_group(server, "users", NULL), "GET /", show, NULL, NULL);
    expect_refused(server, CW_EINVAL, "group users: the prefix does not begin with a slash");
}

Test(http_routes, nothing_can_be_added_once_it_runs)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct cw_http_group *group = cw_http_group(server, "/x", NULL);
    struct cw_http_middleware *const use[] = {probe("late", CW_HTTP_NEXT)};
    struct rig_host *host;

    cw_http_route(server, "GET /", show, NULL);
    host = start(server);
    cr_expect_eq(cw_http_route(server, "GET /late", show, NULL), CW_ESTATE);
    cr_expect_eq(cw_http_group_route(group, "GET /late", show, NULL,
                                     &(struct cw_http_route_options){.use = use, .use_count = 1}),
                 CW_ESTATE);
    cr_expect_eq(cw_http_use(server, probe("late", CW_HTTP_NEXT)), CW_ESTATE);
    cr_expect_eq(cw_http_group_use(group, probe("late", CW_HTTP_NEXT)), CW_ESTATE);
    cr_expect_null(cw_http_group(server, "/late", NULL));
    cr_expect_null(cw_http_group_in(group, "/late"));
    cr_expect_eq(cw_http_set_error_page(server, 404, page, NULL), CW_ESTATE);
    cr_expect_eq(ask(host, GET("/late")), 404);
    rig_host_end(host);
}
