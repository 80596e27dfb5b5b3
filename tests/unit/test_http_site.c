/* What a server serves: groups, middleware and its chains, error pages, and who frees what. */
#include "http/http_site.h"
#include "support/fault.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <causeway/tcp.h>
#include <criterion/criterion.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

static struct cw_server *server;
static struct cw_http_match match;

static void open_server(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    server = cw_create_server(&cw_tcp);
    cr_assert_not_null(server);
}

static void close_server(void)
{
    cw_server_free(server);
    rig_expect_no_leak();
}

TestSuite(http_site, .init = open_server, .fini = close_server, .timeout = 60);

/* ---- middleware that tells what becomes of it ---- */

struct probe {
    struct cw_http_middleware middleware;
    char name[16];
    int start_error;
};

static char story[1000];

static void tell(const char *what, const char *name)
{
    size_t len = strlen(story);

    snprintf(story + len, sizeof story - len, "%s %s;", what, name);
}

static int probe_start(struct cw_http_middleware *self, struct cw_server *of, const char *prefix)
{
    struct probe *probe = (struct probe *)self;

    cr_expect_eq(of, server);
    tell(probe->name, prefix ? prefix : "NULL");
    return probe->start_error;
}

static void probe_release(struct cw_http_middleware *self)
{
    tell("-", ((struct probe *)self)->name);
    free(self);
}

static struct cw_http_middleware *probe(const char *name, size_t slot_size)
{
    struct probe *one = calloc(1, sizeof *one);

    snprintf(one->name, sizeof one->name, "%s", name);
    one->middleware = (struct cw_http_middleware){
        .name = one->name, .slot_size = slot_size, .start = probe_start, .release = probe_release};
    return &one->middleware;
}

static void answer(struct cw_http_exchange *http, void *user)
{
    (void)http;
    (void)user;
}

static void other_answer(struct cw_http_exchange *http, void *user)
{
    (void)http;
    (void)user;
}

static struct cw_http_site *site(void)
{
    struct cw_http_site *of = cw_http_site_of(server);

    cr_assert_not_null(of);
    return of;
}

static int start(void)
{
    return cw_http_site_part.start(server, site());
}

static void ask_at(const char *host, enum cw_http_method_known known, const char *path)
{
    const struct cw_http_ask question = {.known = known,
                                         .method = cw_span_text("other"),
                                         .host = host ? cw_span_text(host) : cw_span_of(NULL, 0),
                                         .path = cw_span_text(path)};

    cw_http_site_match(site(), &question, &match);
}

static void ask(const char *path)
{
    ask_at(NULL, CW_METHOD_GET, path);
}

/* The chain of the last match: "log@0 auth@16 (32)". */
static const char *chain(void)
{
    static char text[300];
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; i < match.chain->count; i++) {
        const struct cw_http_link *link = &match.chain->links[i];

        len += (size_t)snprintf(text + len, sizeof text - len, "%s@%u ", link->middleware->name,
                                link->slot);
    }
    snprintf(text + len, sizeof text - len, "(%zu)", match.chain->slots_size);
    return text;
}

/* ---- routes ---- */

Test(http_site, a_route_is_found_with_what_was_given_for_it)
{
    int user = 0;

    cr_assert_eq(cw_http_route(server, "GET /users/:id", answer, &user), CW_OK);
    cr_assert_eq(cw_http_route_with(
                     server, "PUT /users/:id", other_answer, NULL,
                     &(struct cw_http_route_options){
                         .stream = true, .body_max_bytes = 7, .response_ms = 8, .name = "put user"}),
                 CW_OK);
    cr_assert_eq(start(), CW_OK);
    ask("/users/5");
    cr_assert_not_null(match.route);
    cr_expect_eq(match.route->fn, answer);
    cr_expect_eq(match.route->user, &user);
    cr_expect_str_eq(match.route->name, "GET /users/:id");
    cr_expect_str_eq(match.params[0].name, "id");
    cr_expect(cw_span_equal(match.params[0].value, cw_span_text("5")));
    ask_at(NULL, CW_METHOD_PUT, "/users/5");
    cr_assert_not_null(match.route);
    cr_expect_eq(match.route->fn, other_answer);
    cr_expect(match.route->options.stream);
    cr_expect_eq(match.route->options.body_max_bytes, 7);
    cr_expect_eq(match.route->options.response_ms, 8);
    cr_expect_str_eq(match.route->name, "put user");
}

Test(http_site, a_server_without_routes_has_404_for_all)
{
    cr_expect_null(cw_http_site_of(server));
    cr_assert_eq(cw_http_use(server, probe("log", 0)), CW_OK);
    cr_assert_eq(start(), CW_OK);
    ask("/");
    cr_expect_null(match.route);
    cr_expect_eq(match.status, 404);
    cr_expect_str_eq(chain(), "log@0 (0)");
}

struct listing {
    char text[500];
};

static void list(const struct cw_http_route_info *route, void *user)
{
    struct listing *listing = user;
    size_t len = strlen(listing->text);

    snprintf(listing->text + len, sizeof listing->text - len, "%s %s %s %s %s\n", route->method,
             route->path, route->name, route->host ? route->host : "-",
             route->site ? route->site : "-");
}

Test(http_site, routes_are_listed_in_the_order_in_which_they_were_added)
{
    struct listing listing = {""};
    const struct cw_http_group_options place = {.host = "a.example", .site = "inner"};
    struct cw_http_group *group = cw_http_group(server, "/api", &place);

    cr_expect_eq(cw_http_each_route(server, list, &listing), 0);
    cw_http_route(server, "* /x", answer, NULL);
    cw_http_group_route(group, "GET|PUT /:id<int>", answer, NULL, NULL);
    cw_http_group_route(cw_http_group_in(group, "/:v"), "GET /", answer, NULL,
                        &(struct cw_http_route_options){.name = "last"});
    cr_expect_eq(cw_http_each_route(server, list, &listing), 3);
    cr_expect_str_eq(listing.text, "* /x * /x - -\n"
                                   "GET|PUT /api/:id<int> GET|PUT /api/:id<int> a.example inner\n"
                                   "GET /api/:v last a.example inner\n");
}

/* ---- groups ---- */

Test(http_site, a_groups_prefix_stands_before_its_paths_and_alone_for_a_slash)
{
    struct cw_http_group *api = cw_http_group(server, "/api", NULL);
    struct cw_http_group *users = cw_http_group_in(api, "/users");
    struct cw_http_group *none = cw_http_group(server, "/", NULL);

    cr_assert_eq(cw_http_group_route(users, "GET /", answer, NULL, NULL), CW_OK);
    cr_assert_eq(cw_http_group_route(users, "GET /:id", answer, NULL, NULL), CW_OK);
    cr_assert_eq(cw_http_group_route(none, "GET /", answer, NULL, NULL), CW_OK);
    cr_assert_eq(cw_http_group_route(none, "OPTIONS *", answer, NULL, NULL), CW_OK);
    cr_assert_eq(start(), CW_OK);
    ask("/api/users");
    cr_assert_not_null(match.route);
    cr_expect_str_eq(match.route->path, "/api/users");
    ask("/api/users/");
    cr_expect_null(match.route);
    ask("/api/users/7");
    cr_assert_not_null(match.route);
    cr_expect_eq(match.route->group, users);
    ask("/");
    cr_assert_not_null(match.route);
    cr_expect_eq(match.route->group, none);
    ask_at(NULL, CW_METHOD_OPTIONS, "*");
    cr_assert_not_null(match.route);
}

Test(http_site, parameters_of_a_prefix_are_told_like_others)
{
    struct cw_http_group *tenant = cw_http_group(server, "/:tenant", NULL);

    cr_assert_eq(cw_http_group_route(tenant, "GET /:page", answer, NULL, NULL), CW_OK);
    cr_assert_eq(start(), CW_OK);
    ask("/acme/home");
    cr_assert_eq(match.param_count, 2);
    cr_expect_str_eq(match.params[0].name, "tenant");
    cr_expect_str_eq(match.params[1].name, "page");
    cr_expect_eq(cw_http_group_route(tenant, "GET /x/:tenant", answer, NULL, NULL), CW_EINVAL);
    cr_expect_str_eq(cw_server_error(server),
                     "route GET /:tenant/x/:tenant: two parameters are called `tenant`");
}

Test(http_site, an_inner_group_has_the_outer_ones_host_and_site)
{
    const struct cw_http_group_options place = {.host = "a.example"};
    struct cw_http_group *outer = cw_http_group(server, "", &place);

    cw_http_group_route(cw_http_group_in(outer, "/x"), "GET /y", answer, NULL, NULL);
    cr_assert_eq(start(), CW_OK);
    ask("/x/y");
    cr_expect_null(match.route);
    ask_at("A.example", CW_METHOD_GET, "/x/y");
    cr_expect_not_null(match.route);
}

/* ---- chains ---- */

Test(http_site, a_chain_is_the_servers_then_the_groups_then_the_routes)
{
    struct cw_http_group *api = cw_http_group(server, "/api", NULL);
    struct cw_http_group *admin = cw_http_group_in(api, "/admin");
    struct cw_http_middleware *const use[] = {probe("r1", 5), probe("r2", 0)};

    cw_http_group_route(
        admin, "GET /x", answer, NULL,
        &(struct cw_http_route_options){.use = use, .use_count = sizeof use / sizeof use[0]});
    cw_http_group_route(admin, "GET /y", answer, NULL, NULL);
    cw_http_route(server, "GET /", answer, NULL);
    cw_http_group_use(admin, probe("admin", 17));
    cw_http_group_use(api, probe("api", 0));
    cw_http_use(server, probe("log", 1));
    cw_http_use(server, probe("id", 32));
    cr_assert_eq(alignof(max_align_t), 16);
    cr_assert_eq(start(), CW_OK);
    ask("/api/admin/x");
    cr_expect_str_eq(chain(), "log@0 id@16 api@48 admin@48 r1@80 r2@96 (96)");
    ask("/api/admin/y");
    cr_expect_str_eq(chain(), "log@0 id@16 api@48 admin@48 (80)");
    ask("/");
    cr_expect_str_eq(chain(), "log@0 id@16 (48)");
}

Test(http_site, without_a_route_the_chain_is_the_closest_groups)
{
    struct cw_http_group *api = cw_http_group(server, "/api", NULL);

    cw_http_group_use(cw_http_group_in(api, "/v1"), probe("v1", 0));
    cw_http_group_use(api, probe("api", 0));
    cw_http_use(server, probe("log", 0));
    cr_assert_eq(start(), CW_OK);
    ask("/none");
    cr_expect_str_eq(chain(), "log@0 (0)");
    ask("/api/v1/none");
    cr_expect_str_eq(chain(), "log@0 api@0 v1@0 (0)");
    ask("/api/v2/none");
    cr_expect_str_eq(chain(), "log@0 api@0 (0)");
    ask("/apis");
    cr_expect_str_eq(chain(), "log@0 (0)");
}

Test(http_site, a_wrong_method_has_the_chain_of_the_path_that_fits)
{
    struct cw_http_group *open = cw_http_group(server, "/api", NULL);
    struct cw_http_group *guarded = cw_http_group(server, "/api", NULL);

    cw_http_group_use(open, probe("open", 0));
    cw_http_group_use(guarded, probe("guard", 0));
    cw_http_group_route(guarded, "GET /secret", answer, NULL, NULL);
    cw_http_route(server, "GET /api/bare", answer, NULL);
    cr_assert_eq(start(), CW_OK);
    ask_at(NULL, CW_METHOD_POST, "/api/secret");
    cr_expect_eq(match.status, 405);
    cr_expect_str_eq(match.allow, "GET, HEAD, OPTIONS");
    cr_expect_str_eq(chain(), "guard@0 (0)");
    ask_at(NULL, CW_METHOD_OPTIONS, "/api/bare");
    cr_expect_eq(match.status, 204);
    cr_expect_str_eq(chain(), "(0)");
    ask("/api/none");
    cr_expect_str_eq(chain(), "open@0 (0)");
}

Test(http_site, middleware_is_started_once_with_what_it_serves)
{
    struct cw_http_group *api = cw_http_group(server, "/api", NULL);
    struct cw_http_middleware *const use[] = {probe("r", 0)};

    cw_http_use(server, probe("s", 0));
    cw_http_group_use(cw_http_group_in(api, "/v1"), probe("v", 0));
    cw_http_group_use(cw_http_group(server, "", NULL), probe("e", 0));
    cw_http_group_route(
        api, "GET /x", answer, NULL,
        &(struct cw_http_route_options){.use = use, .use_count = sizeof use / sizeof use[0]});
    cw_http_group_route(api, "GET /y", answer, NULL, NULL);
    cr_assert_eq(start(), CW_OK);
    cr_expect_str_eq(story, "s NULL;v /api/v1;e ;r /api/x;");
    cw_server_free(server);
    server = NULL;
    cr_expect_str_eq(strstr(story, "-"), "- r;- v;- e;- s;");
}

Test(http_site, middleware_that_cannot_start_stops_the_start)
{
    struct cw_http_middleware *bad = probe("bad", 0);

    ((struct probe *)bad)->start_error = CW_ENOPATH;
    cw_http_use(server, bad);
    cw_http_use(server, probe("next", 0));
    cw_server_listen(server, &(struct cw_listen_options){.port = 0});
    cr_expect_eq(cw_server_run(server), CW_ENOPATH);
    cr_expect_str_eq(cw_server_error(server),
                     "middleware bad: a file or directory of the path does not exist");
    cr_expect_str_eq(story, "bad NULL;");
}

Test(http_site, a_chain_may_have_a_mebibyte_of_slots)
{
    cw_http_use(server, probe("large", (1 << 20) - 16));
    cw_http_use(server, probe("fits", 16));
    cr_expect_eq(start(), CW_OK);
}

Test(http_site, more_than_a_mebibyte_of_slots_is_refused)
{
    struct cw_http_group *group = cw_http_group(server, "/x", NULL);

    cw_http_use(server, probe("large", 1 << 20));
    cw_http_group_use(group, probe("small", 1));
    cr_expect_eq(start(), CW_EINVAL);
    cr_expect_str_eq(cw_server_error(server), "middleware small: over 1 MiB of slots in one chain");
}

/* ---- who frees ---- */

Test(http_site, middleware_of_calls_that_fail_is_released_all_the_same)
{
    struct cw_http_middleware *const use[] = {probe("a", 0), probe("b", 0)};
    struct cw_http_middleware *const more[] = {probe("c", 0)};
    struct cw_http_middleware *const last[] = {probe("d", 0)};

    cr_expect_eq(cw_http_route_with(server, "GET nowhere", answer, NULL,
                                    &(struct cw_http_route_options){
                                        .use = use, .use_count = sizeof use / sizeof use[0]}),
                 CW_EINVAL);
    cr_expect_eq(cw_http_group_route(NULL, "GET /", answer, NULL,
                                     &(struct cw_http_route_options){.use = more, .use_count = 1}),
                 CW_EINVAL);
    cr_expect_str_eq(story, "- c;");
    cr_expect_eq(cw_http_route_with(NULL, "GET /", answer, NULL,
                                    &(struct cw_http_route_options){.use = last, .use_count = 1}),
                 CW_ENOMEM);
    cr_expect_eq(cw_http_use(NULL, probe("e", 0)), CW_ENOMEM);
    cr_expect_eq(cw_http_group_use(NULL, probe("f", 0)), CW_EINVAL);
    cr_expect_str_eq(story, "- c;- d;- e;- f;");
    cw_server_free(server);
    server = NULL;
    cr_expect_str_eq(story, "- c;- d;- e;- f;- a;- b;");
}

Test(http_site, the_same_middleware_in_two_places_is_refused_and_freed_once)
{
    struct cw_http_middleware *twice = probe("twice", 0);
    struct cw_http_middleware *const use[] = {twice};
    struct cw_http_group *group = cw_http_group(server, "/x", NULL);

    cr_expect_eq(cw_http_group_use(group, twice), CW_OK);
    cr_expect_eq(cw_http_use(server, twice), CW_EINVAL);
    cr_expect_str_eq(cw_server_error(server),
                     "middleware twice: added before; each place needs one of its own");
    cr_expect_eq(cw_http_route_with(server, "GET /", answer, NULL,
                                    &(struct cw_http_route_options){
                                        .use = use, .use_count = sizeof use / sizeof use[0]}),
                 CW_EINVAL);
    cr_expect_eq(cw_http_route_with(server, "GET nowhere", answer, NULL,
                                    &(struct cw_http_route_options){
                                        .use = use, .use_count = sizeof use / sizeof use[0]}),
                 CW_EINVAL);
    cw_server_free(server);
    server = NULL;
    cr_expect_str_eq(story, "- twice;");
}

Test(http_site, the_same_middleware_twice_for_one_route_is_refused_and_freed_once)
{
    struct cw_http_middleware *twice = probe("twice", 0);
    struct cw_http_middleware *const use[] = {twice, twice};

    cr_expect_eq(cw_http_route_with(server, "GET /", answer, NULL,
                                    &(struct cw_http_route_options){.use = use, .use_count = 2}),
                 CW_EINVAL);
    cw_server_free(server);
    server = NULL;
    cr_expect_str_eq(story, "- twice;");
}

Test(http_site, a_refused_route_keeps_its_middleware_from_being_used_again)
{
    struct cw_http_middleware *lost = probe("lost", 0);
    struct cw_http_middleware *const use[] = {lost};

    cw_http_route_with(
        server, "GET nowhere", answer, NULL,
        &(struct cw_http_route_options){.use = use, .use_count = sizeof use / sizeof use[0]});
    cr_expect_eq(cw_http_use(server, lost), CW_EINVAL);
    cw_server_free(server);
    server = NULL;
    cr_expect_str_eq(story, "- lost;");
}

Test(http_site, middleware_that_its_maker_had_no_memory_for_stops_the_server)
{
    struct cw_http_middleware *const use[] = {probe("there", 0), NULL};

    cr_expect_eq(cw_http_use(server, NULL), CW_ENOMEM);
    cr_expect_str_eq(cw_server_error(server), "use: the middleware could not be made (see the log)");
    cr_expect_eq(cw_http_group_use(cw_http_group(server, "/x", NULL), NULL), CW_ENOMEM);
    cr_expect_eq(cw_http_group_use(NULL, NULL), CW_EINVAL);
    cr_expect_eq(cw_http_use(NULL, NULL), CW_ENOMEM);
    cr_expect_eq(cw_http_route_with(server, "GET /", answer, NULL,
                                    &(struct cw_http_route_options){
                                        .use = use, .use_count = sizeof use / sizeof use[0]}),
                 CW_ENOMEM);
}

Test(http_site, middleware_without_its_number_is_refused)
{
    struct cw_http_middleware *one = probe("one", 0);

    cr_expect_eq(cw_http_route_with(server, "GET /", answer, NULL,
                                    &(struct cw_http_route_options){.use = &one}),
                 CW_EINVAL);
    cr_expect_str_eq(cw_server_error(server), "route GET /: use and use_count go together");
    cr_expect_eq(cw_http_route_with(server, "GET /", answer, NULL,
                                    &(struct cw_http_route_options){.use_count = 1}),
                 CW_EINVAL);
    probe_release(one);
}

Test(http_site, a_body_without_a_limit_is_for_routes_that_stream)
{
    struct cw_http_route_options options = {.stream = true, .body_max_bytes = CW_NO_LIMIT};

    cr_expect_eq(cw_http_route_with(server, "PUT /a", answer, NULL, &options), CW_OK);
    options.stream = false;
    cr_expect_eq(cw_http_route_with(server, "PUT /b", answer, NULL, &options), CW_EINVAL);
    cr_expect_str_eq(cw_server_error(server),
                     "route PUT /b: body_max_bytes: without a limit only with stream");
}

static void drop(void *user)
{
    ++*(int *)user;
}

Test(http_site, a_routes_user_is_dropped_once_with_the_server_or_when_the_call_fails)
{
    const struct cw_http_route_options options = {.drop = drop};
    int dropped[6] = {0};

    cr_expect_eq(cw_http_route_with(server, "GET /", answer, &dropped[0], &options), CW_OK);
    cr_expect_eq(cw_http_route_with(server, "GET /", answer, &dropped[1], &options), CW_EINVAL);
    cr_expect_eq(cw_http_route_with(server, "GET", answer, &dropped[2], &options), CW_EINVAL);
    cr_expect_eq(cw_http_route_with(server, "GET /x", NULL, &dropped[3], &options), CW_EINVAL);
    cr_expect_eq(cw_http_route_with(NULL, "GET /", answer, &dropped[4], &options), CW_ENOMEM);
    cr_expect_eq(cw_http_group_route(NULL, "GET /", answer, &dropped[5], &options), CW_EINVAL);
    for (size_t i = 0; i < 6; i++) {
        cr_expect_eq(dropped[i], i > 0, "%zu", i);
    }
    cw_server_free(server);
    server = NULL;
    cr_expect_eq(dropped[0], 1);
}

/* Returns whether all went well; if not, the first error was CW_ENOMEM. */
static bool set_up_all(void)
{
    static char name[] = "static";
    static struct cw_http_middleware constant[4] = {{.name = name}, {.name = name}, {.name = name}};
    struct cw_http_middleware *const use[] = {&constant[2]};
    const struct cw_http_group_options place = {"*.example", "inner"};
    struct cw_http_group *group = cw_http_group(server, "/g", &place);

    cw_http_use(server, &constant[0]);
    cw_http_group_use(group, &constant[1]);
    cw_http_route(server, "GET /a/:b?", answer, NULL);
    cw_http_group_route(cw_http_group_in(group, "/h"), "BREW /x/*y", answer, NULL,
                        &(struct cw_http_route_options){.use = use, .use_count = 1, .name = "brew"});
    cw_http_set_error_page(server, 404, answer, NULL);
    return cw_server_error(server)[0] == '\0' && start() == CW_OK;
}

Test(http_site, without_memory_every_call_says_so_and_nothing_leaks)
{
    bool whole = false;
    size_t nth = 0;

    cw_server_free(server);
    fault_install();
    while (!whole) {
        server = cw_create_server(&cw_tcp);
        cr_assert_not_null(server);
        fault_arm(++nth);
        whole = set_up_all();
        cr_expect_eq(whole, !fault_disarm());
        if (!whole) {
            cr_expect(strstr(cw_server_error(server), "out of memory"), "%s",
                      cw_server_error(server));
        }
        cw_server_free(server);
        cr_assert_lt(nth, 100);
    }
    cr_expect_gt(nth, 15);
    server = NULL;
    fault_remove();
}

/* ---- what a user does wrong ---- */

Test(http_site, a_mistake_is_told_in_a_sentence)
{
    cr_expect_eq(cw_http_route(server, "/users", answer, NULL), CW_EINVAL);
    cr_expect_str_eq(cw_server_error(server),
                     "route /users: not a method, a space and a path; write `GET /path`");
    cr_expect_eq(cw_http_route(server, NULL, answer, NULL), CW_EINVAL);
    cr_expect_eq(cw_http_route(server, " /users", answer, NULL), CW_EINVAL);
    cr_expect_eq(cw_http_route(server, "", answer, NULL), CW_EINVAL);
}

static const char *told(int error)
{
    cr_expect_lt(error, 0);
    return cw_server_error(server);
}

Test(http_site, a_route_without_a_function_is_refused)
{
    cr_expect_str_eq(told(cw_http_route(server, "GET /", NULL, NULL)),
                     "route GET /: without a function");
}

Test(http_site, the_same_route_twice_is_refused)
{
    struct cw_http_group *group = cw_http_group(server, "/users", NULL);

    cw_http_route(server, "GET /users/:id", answer, NULL);
    cr_expect_str_eq(told(cw_http_group_route(group, "GET /:name", answer, NULL, NULL)),
                     "route GET /users/:name: GET /users/:id is there already");
}

Test(http_site, a_groups_path_begins_with_a_slash_too)
{
    struct cw_http_group *group = cw_http_group(server, "/users", NULL);

    cr_expect_str_eq(told(cw_http_group_route(group, "GET all", answer, NULL, NULL)),
                     "route GET all: the path does not begin with a slash");
}

Test(http_site, a_prefix_with_a_slash_at_its_end_is_refused)
{
    cr_expect_null(cw_http_group(server, "/users/", NULL));
    cr_expect_str_eq(cw_server_error(server), "group /users/: a prefix does not end in a slash");
    cr_expect_null(cw_http_group_in(NULL, "/x"));
}

Test(http_site, a_host_with_a_port_is_refused)
{
    const struct cw_http_group_options place = {.host = "a.example:80"};

    cr_expect_null(cw_http_group(server, "/x", &place));
    cr_expect_str_eq(cw_server_error(server),
                     "group host \"a.example:80\": the name alone, without a scheme and a port");
}

Test(http_site, a_site_without_a_name_is_refused)
{
    const struct cw_http_group_options place = {.site = ""};

    cr_expect_null(cw_http_group(server, "/x", &place));
    cr_expect_str_eq(cw_server_error(server), "group /x: the name of its site is empty");
}

/* ---- error pages, hooks ---- */

Test(http_site, an_error_page_is_for_its_status_or_for_all_that_have_none)
{
    int one = 0;
    void *user = &one;

    cr_expect_null(cw_http_site_error_page(NULL, 404, &user));
    cr_expect_null(user);
    cr_assert_eq(cw_http_set_error_page(server, 404, answer, &one), CW_OK);
    cr_expect_null(cw_http_site_error_page(site(), 500, &user));
    cr_expect_eq(cw_http_site_error_page(site(), 404, &user), answer);
    cr_expect_eq(user, &one);
    cr_assert_eq(cw_http_set_error_page(server, 0, other_answer, NULL), CW_OK);
    cr_expect_eq(cw_http_site_error_page(site(), 404, &user), answer);
    cr_expect_eq(cw_http_site_error_page(site(), 400, &user), other_answer);
    cr_expect_eq(cw_http_site_error_page(site(), 599, &user), other_answer);
    cr_expect_null(cw_http_site_error_page(site(), 600, &user));
    cr_expect_null(cw_http_site_error_page(site(), 200, &user));
}

Test(http_site, an_error_page_is_for_400_to_599)
{
    cr_expect_eq(cw_http_set_error_page(server, 399, answer, NULL), CW_EINVAL);
    cr_expect_str_eq(cw_server_error(server), "error page for 399: not 400 to 599, or 0 for all");
    cr_expect_eq(cw_http_set_error_page(server, 600, answer, NULL), CW_EINVAL);
    cr_expect_eq(cw_http_set_error_page(server, 404, NULL, NULL), CW_EINVAL);
    cr_expect_eq(cw_http_set_error_page(NULL, 404, answer, NULL), CW_ENOMEM);
}

static void note_refused(struct cw_conn *conn, int status, void *user)
{
    (void)conn;
    *(int *)user = status;
}

Test(http_site, sixteen_hooks_are_told_of_refusals)
{
    const struct cw_http_refused_hook *hooks;
    int seen = 0;

    cr_expect_eq(cw_http_site_refused_hooks(NULL, &hooks), 0);
    for (int i = 0; i < 16; i++) {
        cr_assert_eq(cw_http_on_refused(server, note_refused, &seen), CW_OK);
    }
    cr_assert_eq(cw_http_site_refused_hooks(site(), &hooks), 16);
    hooks[15].fn(NULL, 431, hooks[15].user);
    cr_expect_eq(seen, 431);
    cr_expect_eq(cw_http_on_refused(server, note_refused, &seen), CW_EFULL);
    cr_expect_str_eq(cw_server_error(server), "cw_http_on_refused: 16 are set already");
}
