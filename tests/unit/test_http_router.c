/* Method, host and path to a route. */
#include "http/http_router.h"
#include "support/fault.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUTES_MAX = 64 };

static struct cw_http_router *router;
static struct cw_http_route routes[ROUTES_MAX];
static size_t route_count;
static struct cw_complaint complaint;
static struct cw_http_match match;
static struct cw_http_found found;

static void open_router(void)
{
    router = cw_http_router_new();
    cr_assert_not_null(router);
}

static void close_router(void)
{
    cw_http_router_free(router);
    for (size_t i = 0; i < route_count; i++) {
        free(routes[i].method);
    }
    rig_expect_no_leak();
}

TestSuite(http_router, .init = open_router, .fini = close_router, .timeout = 60);

/* The pattern "GET /x", as a route. */
static struct cw_http_route *make_route(const char *pattern)
{
    struct cw_http_route *route = &routes[route_count++];

    cr_assert_leq(route_count, ROUTES_MAX);
    route->method = strdup(pattern);
    route->path = strchr(route->method, ' ');
    *route->path++ = '\0';
    return route;
}

static int add_at(const char *site, const char *host, const char *pattern)
{
    const struct cw_http_place place = {site, host};

    return cw_http_router_add(router, &place, make_route(pattern), &complaint);
}

static void add(const char *pattern)
{
    cr_assert_eq(add_at(NULL, NULL, pattern), CW_OK, "%s: %s", pattern, complaint.text);
}

static enum cw_http_method_known known(const char *method)
{
    static const char *const names[] = {"",       "GET",     "HEAD",    "POST",  "PUT",
                                        "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH"};

    for (size_t i = 1; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], method) == 0) {
            return (enum cw_http_method_known)i;
        }
    }
    return CW_METHOD_OTHER;
}

/* What a request leads to, in words: "GET /users/:id id=5", "404", "405 GET, HEAD, OPTIONS". */
static const char *ask_at(const char *site, const char *host, const char *method, const char *path)
{
    static char words[600];
    struct cw_http_ask ask = {.site = site,
                              .known = known(method),
                              .method = cw_span_text(method),
                              .path = cw_span_text(path)};
    size_t len = 0;

    if (host) {
        ask.host = cw_span_text(host);
    }
    cw_http_router_find(router, &ask, &match, &found);
    if (!match.route) {
        snprintf(words, sizeof words, match.allow ? "%d %s" : "%d", match.status, match.allow);
        return words;
    }
    cr_expect_eq(match.status, 0);
    len = (size_t)snprintf(words, sizeof words, "%s %s", match.route->method, match.route->path);
    for (size_t i = 0; i < match.param_count; i++) {
        len += (size_t)snprintf(words + len, sizeof words - len, " %s=%.*s", match.params[i].name,
                                (int)match.params[i].value.len,
                                (const char *)match.params[i].value.data);
    }
    return words;
}

static const char *ask(const char *method, const char *path)
{
    return ask_at(NULL, NULL, method, path);
}

static const char *get(const char *path)
{
    return ask("GET", path);
}

/* ---- paths ---- */

Test(http_router, a_literal_path_is_found_and_no_other)
{
    add("GET /");
    add("GET /users");
    add("GET /users/all/of/them");
    cr_expect_str_eq(get("/"), "GET /");
    cr_expect_str_eq(get("/users"), "GET /users");
    cr_expect_str_eq(get("/users/all/of/them"), "GET /users/all/of/them");
    cr_expect_str_eq(get("/user"), "404");
    cr_expect_str_eq(get("/usersx"), "404");
    cr_expect_str_eq(get("/Users"), "404");
    cr_expect_str_eq(get("/users/all"), "404");
    cr_expect_str_eq(get("/users/all/of/them/x"), "404");
}

Test(http_router, a_slash_at_the_end_makes_another_path)
{
    add("GET /users");
    add("GET /teams/");
    cr_expect_str_eq(get("/users/"), "404");
    cr_expect_str_eq(get("/teams"), "404");
    cr_expect_str_eq(get("/teams/"), "GET /teams/");
    add("GET /users/");
    cr_expect_str_eq(get("/users/"), "GET /users/");
    cr_expect_str_eq(get("/users"), "GET /users");
}

Test(http_router, a_parameter_is_any_one_segment_but_an_empty_one)
{
    add("GET /users/:id");
    add("GET /users/:user/posts/:post");
    cr_expect_str_eq(get("/users/7"), "GET /users/:id id=7");
    cr_expect_str_eq(get("/users/a b%2Fc"), "GET /users/:id id=a b%2Fc");
    cr_expect_str_eq(get("/users/7/posts/9"), "GET /users/:user/posts/:post user=7 post=9");
    cr_expect_str_eq(get("/users/"), "404");
    cr_expect_str_eq(get("/users/7/"), "404");
    cr_expect_str_eq(get("/users/7/posts"), "404");
}

Test(http_router, a_rest_is_all_that_follows_and_may_be_empty)
{
    add("GET /files/*path");
    cr_expect_str_eq(get("/files"), "GET /files/*path path=");
    cr_expect_not_null(match.params[0].value.data);
    cr_expect_eq(match.params[0].value.len, 0);
    cr_expect_str_eq(get("/files/"), "GET /files/*path path=");
    cr_expect_not_null(match.params[0].value.data);
    cr_expect_eq(match.params[0].value.len, 0);
    cr_expect_str_eq(get("/files/a"), "GET /files/*path path=a");
    cr_expect_str_eq(get("/files/a/b/"), "GET /files/*path path=a/b/");
    cr_expect_str_eq(get("/file"), "404");
    add("GET /*all");
    cr_expect_str_eq(get("/"), "GET /*all all=");
    cr_expect_str_eq(get("/file"), "GET /*all all=file");
}

Test(http_router, an_optional_parameter_may_be_missing)
{
    add("GET /users/:id?");
    add("GET /:lang<alpha>?");
    cr_expect_str_eq(get("/users"), "GET /users/:id?");
    cr_expect_eq(match.param_count, 0);
    cr_expect_str_eq(get("/users/7"), "GET /users/:id? id=7");
    cr_expect_str_eq(get("/users/"), "404");
    cr_expect_str_eq(get("/"), "GET /:lang<alpha>?");
    cr_expect_str_eq(get("/en"), "GET /:lang<alpha>? lang=en");
    cr_expect_str_eq(get("/9"), "404");
}

Test(http_router, the_most_specific_segment_wins)
{
    add("GET /*rest");
    add("GET /:any");
    add("GET /:s<slug>");
    add("GET /:an<alnum>");
    add("GET /:al<alpha>");
    add("GET /:h<hex>");
    add("GET /:i<int>");
    add("GET /:u<uuid>");
    add("GET /me");
    cr_expect_str_eq(get("/me"), "GET /me");
    cr_expect_str_eq(get("/01234567-89ab-cdef-0123-456789abcdef"),
                     "GET /:u<uuid> u=01234567-89ab-cdef-0123-456789abcdef");
    cr_expect_str_eq(get("/42"), "GET /:i<int> i=42");
    cr_expect_str_eq(get("/-42"), "GET /:i<int> i=-42");
    cr_expect_str_eq(get("/9223372036854775807"), "GET /:i<int> i=9223372036854775807");
    cr_expect_str_eq(get("/9223372036854775808"), "GET /:h<hex> h=9223372036854775808");
    cr_expect_str_eq(get("/c0ffee"), "GET /:h<hex> h=c0ffee");
    cr_expect_str_eq(get("/coffee"), "GET /:al<alpha> al=coffee");
    cr_expect_str_eq(get("/Tea4Two"), "GET /:an<alnum> an=Tea4Two");
    cr_expect_str_eq(get("/tea-for-2"), "GET /:s<slug> s=tea-for-2");
    cr_expect_str_eq(get("/tea--for-2"), "GET /:any any=tea--for-2");
    cr_expect_str_eq(get("/-tea"), "GET /:any any=-tea");
    cr_expect_str_eq(get("/tea-"), "GET /:any any=tea-");
    cr_expect_str_eq(get("/01234567-89ab-cdef-0123-456789abcdeg"),
                     "GET /:s<slug> s=01234567-89ab-cdef-0123-456789abcdeg");
    cr_expect_str_eq(get("/a/b"), "GET /*rest rest=a/b");
    cr_expect_str_eq(get("/"), "GET /*rest rest=");
}

Test(http_router, a_way_that_leads_nowhere_is_given_up_for_a_less_specific_one)
{
    add("GET /a/b/c");
    add("GET /a/:x/d");
    add("GET /:y/b/:z/e");
    add("GET /:y/*rest");
    cr_expect_str_eq(get("/a/b/c"), "GET /a/b/c");
    cr_expect_str_eq(get("/a/b/d"), "GET /a/:x/d x=b");
    cr_expect_str_eq(get("/a/b/c/e"), "GET /:y/b/:z/e y=a z=c");
    cr_expect_str_eq(get("/a/b/c/f"), "GET /:y/*rest y=a rest=b/c/f");
    cr_expect_str_eq(get("/a/b"), "GET /:y/*rest y=a rest=b");
}

Test(http_router, two_slashes_in_a_row_never_fill_a_parameter)
{
    add("GET /a/:x/b");
    cr_expect_str_eq(get("/a//b"), "404");
    cr_expect_str_eq(get("//"), "404");
}

Test(http_router, sixteen_parameters_are_all_told)
{
    add("GET /:a/:b/:c/:d/:e/:f/:g/:h/:i/:j/:k/:l/:m/:n/:o/*p");
    cr_expect_str_eq(get("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"),
                     "GET /:a/:b/:c/:d/:e/:f/:g/:h/:i/:j/:k/:l/:m/:n/:o/*p a=1 b=2 c=3 d=4 e=5 f=6 "
                     "g=7 h=8 i=9 j=10 k=11 l=12 m=13 n=14 o=15 p=16/17");
}

/* ---- methods ---- */

Test(http_router, another_method_is_405_with_those_that_there_are)
{
    add("GET /users");
    add("POST /users");
    add("PUT|DELETE /users/:id");
    cr_expect_str_eq(ask("DELETE", "/users"), "405 GET, HEAD, POST, OPTIONS");
    cr_expect_str_eq(ask("GET", "/users/7"), "405 PUT, DELETE, OPTIONS");
    cr_expect_str_eq(ask("PURGE", "/users"), "405 GET, HEAD, POST, OPTIONS");
    cr_expect_str_eq(ask("get", "/users"), "405 GET, HEAD, POST, OPTIONS");
    cr_expect_str_eq(ask("DELETE", "/"), "404");
}

Test(http_router, a_less_specific_path_with_the_method_beats_a_more_specific_without)
{
    add("POST /users/new");
    add("GET /users/:id");
    add("DELETE /*rest");
    cr_expect_str_eq(ask("GET", "/users/new"), "GET /users/:id id=new");
    cr_expect_str_eq(ask("POST", "/users/new"), "POST /users/new");
    cr_expect_str_eq(ask("POST", "/users/old"), "405 GET, HEAD, DELETE, OPTIONS");
    cr_expect_str_eq(ask("PUT", "/users/new"), "405 GET, HEAD, POST, DELETE, OPTIONS");
    cr_expect_str_eq(ask("DELETE", "/users/new"), "DELETE /*rest rest=users/new");
}

Test(http_router, get_answers_head_unless_there_is_a_route_for_it)
{
    add("GET /a");
    add("GET /b");
    add("HEAD /b");
    add("GET /c");
    add("* /c");
    add("POST /d");
    cr_expect_str_eq(ask("HEAD", "/a"), "GET /a");
    cr_expect_str_eq(ask("HEAD", "/b"), "HEAD /b");
    cr_expect_str_eq(ask("HEAD", "/c"), "GET /c");
    cr_expect_str_eq(ask("HEAD", "/d"), "405 POST, OPTIONS");
}

Test(http_router, options_is_answered_where_no_route_does)
{
    add("GET /a");
    add("OPTIONS /b");
    add("* /c");
    cr_expect_str_eq(ask("OPTIONS", "/a"), "204 GET, HEAD, OPTIONS");
    cr_expect_str_eq(ask("OPTIONS", "/b"), "OPTIONS /b");
    cr_expect_str_eq(ask("OPTIONS", "/c"), "* /c");
    cr_expect_str_eq(ask("OPTIONS", "/d"), "404");
}

Test(http_router, options_of_the_server_tells_the_methods_of_all_routes)
{
    add("GET /a");
    add("PATCH /b");
    cr_expect_str_eq(ask("OPTIONS", "*"), "204 GET, HEAD, OPTIONS, PATCH");
    add("OPTIONS *");
    cr_expect_str_eq(ask("OPTIONS", "*"), "OPTIONS *");
}

Test(http_router, connect_is_not_served)
{
    add("GET /*all");
    add("* *");
    cr_expect_str_eq(ask("CONNECT", ""), "405 GET, HEAD, OPTIONS");
    cr_expect_eq(add_at(NULL, NULL, "GET|CONNECT /x"), CW_EINVAL);
    cr_expect_str_eq(complaint.text, "GET|CONNECT /x: CONNECT is not served");
}

Test(http_router, a_star_is_every_method_that_has_no_route)
{
    add("* /x");
    add("PUT /x");
    cr_expect_str_eq(ask("GET", "/x"), "* /x");
    cr_expect_str_eq(ask("PURGE", "/x"), "* /x");
    cr_expect_str_eq(ask("PUT", "/x"), "PUT /x");
}

Test(http_router, methods_of_ones_own_are_as_good_as_others)
{
    add("PURGE|BAN /cache/*key");
    add("GET /cache/:key");
    cr_expect_str_eq(ask("PURGE", "/cache/a"), "PURGE|BAN /cache/*key key=a");
    cr_expect_str_eq(ask("BAN", "/cache/a"), "PURGE|BAN /cache/*key key=a");
    cr_expect_str_eq(ask("BANG", "/cache/a"), "405 GET, HEAD, OPTIONS, PURGE, BAN");
    cr_expect_str_eq(ask("purge", "/cache/a"), "405 GET, HEAD, OPTIONS, PURGE, BAN");
}

Test(http_router, twenty_two_methods_of_ones_own_are_the_most)
{
    char pattern[20];

    for (int i = 0; i < 22; i++) {
        snprintf(pattern, sizeof pattern, "M%d /x", i);
        add(pattern);
    }
    cr_expect_str_eq(ask("M21", "/x"), "M21 /x");
    cr_expect_eq(add_at(NULL, NULL, "M22 /x"), CW_EINVAL);
    cr_expect_str_eq(complaint.text,
                     "M22 /x: too many methods of its own; at most 22, and 256 bytes");
    cr_expect_str_eq(ask("GET", "/x"),
                     "405 OPTIONS, M0, M1, M2, M3, M4, M5, M6, M7, M8, M9, M10, M11, M12, M13, M14, "
                     "M15, M16, M17, M18, M19, M20, M21");
}

Test(http_router, the_longest_allow_has_room)
{
    char method[160];
    char pattern[170];

    memset(method, 'M', 125);
    for (int i = 0; i < 2; i++) {
        snprintf(method + 125, sizeof method - 125, "%d", i);
        snprintf(pattern, sizeof pattern, "%s /x", method);
        add(pattern);
    }
    add("GET|HEAD|POST|PUT|DELETE|TRACE|PATCH /x");
    cr_expect_str_eq(ask("GET", "/x") + strlen("GET|"), "HEAD|POST|PUT|DELETE|TRACE|PATCH /x");
    ask("OPTIONS", "/x");
    cr_expect_eq(match.status, 204);
    cr_expect_eq(match.allow[strlen(match.allow) - 1], '1');
    cr_expect_lt(strlen(match.allow), sizeof match.allow_text);
}

/* ---- hosts and sites ---- */

Test(http_router, the_host_itself_comes_before_wildcards_and_those_before_none)
{
    add("GET /x");
    cr_assert_eq(add_at(NULL, "*.example", "GET|PUT /x"), CW_OK);
    cr_assert_eq(add_at(NULL, "*.b.example", "GET|POST /x"), CW_OK);
    cr_assert_eq(add_at(NULL, "a.b.example", "GET|DELETE /x"), CW_OK);
    cr_expect_str_eq(ask_at(NULL, "a.b.example", "GET", "/x"), "GET|DELETE /x");
    cr_expect_str_eq(ask_at(NULL, "c.b.example", "GET", "/x"), "GET|POST /x");
    cr_expect_str_eq(ask_at(NULL, "c.c.b.example", "GET", "/x"), "GET|POST /x");
    cr_expect_str_eq(ask_at(NULL, "b.example", "GET", "/x"), "GET|PUT /x");
    cr_expect_str_eq(ask_at(NULL, "example", "GET", "/x"), "GET /x");
    cr_expect_str_eq(ask_at(NULL, "aexample", "GET", "/x"), "GET /x");
    cr_expect_str_eq(ask_at(NULL, NULL, "GET", "/x"), "GET /x");
}

Test(http_router, what_a_host_does_not_answer_a_less_specific_one_may)
{
    add("GET /all");
    add("PUT /x");
    cr_assert_eq(add_at(NULL, "*.example", "GET /wild"), CW_OK);
    cr_assert_eq(add_at(NULL, "a.example", "GET /x"), CW_OK);
    cr_expect_str_eq(ask_at(NULL, "a.example", "GET", "/all"), "GET /all");
    cr_expect_str_eq(ask_at(NULL, "a.example", "GET", "/wild"), "GET /wild");
    cr_expect_str_eq(ask_at(NULL, "a.example", "PUT", "/x"), "PUT /x");
    cr_expect_str_eq(ask_at(NULL, "a.example", "POST", "/x"), "405 GET, HEAD, PUT, OPTIONS");
    cr_expect_str_eq(ask_at(NULL, "a.example", "GET", "/none"), "404");
}

Test(http_router, hosts_have_no_case_and_may_end_in_a_dot)
{
    cr_assert_eq(add_at(NULL, "API.Example", "GET /"), CW_OK);
    cr_assert_eq(add_at(NULL, "[::1]", "GET /six"), CW_OK);
    cr_expect_str_eq(ask_at(NULL, "api.EXAMPLE", "GET", "/"), "GET /");
    cr_expect_str_eq(ask_at(NULL, "api.example.", "GET", "/"), "GET /");
    cr_expect_str_eq(ask_at(NULL, "api.example..", "GET", "/"), "404");
    cr_expect_str_eq(ask_at(NULL, "[::1]", "GET", "/six"), "GET /six");
    cr_expect_str_eq(ask_at(NULL, NULL, "GET", "/"), "404");
    cr_expect_str_eq(ask_at(NULL, "", "GET", "/"), "404");
    cr_expect_str_eq(ask_at(NULL, ".", "GET", "/"), "404");
    cr_assert_eq(add_at(NULL, "*.b.example", "GET /wild"), CW_OK);
    cr_expect_str_eq(ask_at(NULL, "a.b.example", "GET", "/wild"), "GET /wild");
    cr_expect_str_eq(ask_at(NULL, ".b.example", "GET", "/wild"), "404");
}

Test(http_router, a_host_longer_than_names_can_be_is_nobodys)
{
    char host[5001];

    memset(host, '.', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    add("GET /");
    cr_assert_eq(add_at(NULL, "*.example", "GET /x"), CW_OK);
    cr_expect_str_eq(ask_at(NULL, host, "GET", "/"), "GET /");
    cr_expect_leq(found.steps, 2);
}

Test(http_router, sites_have_nothing_in_common)
{
    add("GET /x");
    cr_assert_eq(add_at("inner", NULL, "GET /metrics"), CW_OK);
    cr_assert_eq(add_at("inner", "a.example", "GET /a"), CW_OK);
    cr_expect_str_eq(ask_at("inner", NULL, "GET", "/metrics"), "GET /metrics");
    cr_expect_str_eq(ask_at("inner", "a.example", "GET", "/a"), "GET /a");
    cr_expect_str_eq(ask_at("inner", NULL, "GET", "/x"), "404");
    cr_expect_str_eq(ask_at(NULL, NULL, "GET", "/metrics"), "404");
    cr_expect_str_eq(ask_at("other", NULL, "GET", "/metrics"), "404");
    cr_expect_str_eq(ask_at("other", NULL, "OPTIONS", "*"), "404");
}

/* ---- prefixes ---- */

static struct cw_http_group *group(size_t number)
{
    static char places[10];

    return (struct cw_http_group *)(void *)&places[number];
}

static void add_prefix(const char *host, const char *prefix, size_t number)
{
    const struct cw_http_place place = {NULL, host};

    cr_assert_eq(cw_http_router_add_prefix(router, &place, prefix, group(number), &complaint),
                 CW_OK, "%s", complaint.text);
}

static struct cw_http_group *group_at(const char *host, const char *path)
{
    ask_at(NULL, host, "GET", path);
    return found.group;
}

Test(http_router, a_path_lies_below_the_longest_prefix)
{
    add_prefix(NULL, "/api", 1);
    add_prefix(NULL, "/api/v1", 2);
    add_prefix(NULL, "/api/:version<int>", 3);
    add_prefix(NULL, "/api", 4);
    cr_expect_null(group_at(NULL, "/"));
    cr_expect_null(group_at(NULL, "/apix"));
    cr_expect_eq(group_at(NULL, "/api"), group(1));
    cr_expect_eq(group_at(NULL, "/api/"), group(1));
    cr_expect_eq(group_at(NULL, "/api/x/y"), group(1));
    cr_expect_eq(group_at(NULL, "/api/v1/x"), group(2));
    cr_expect_eq(group_at(NULL, "/api/17/x"), group(3));
    add_prefix(NULL, "/:any", 6);
    cr_expect_eq(group_at(NULL, "/api/x"), group(1));
    cr_expect_eq(group_at(NULL, "/x"), group(6));
    add_prefix(NULL, "", 5);
    cr_expect_eq(group_at(NULL, "/"), group(5));
    cr_expect_eq(group_at(NULL, "/apix"), group(6));
    cr_expect_eq(group_at(NULL, "/api/v1/x"), group(2));
}

Test(http_router, a_prefix_of_the_host_counts_before_a_longer_one_of_every_host)
{
    add_prefix(NULL, "/api/v1", 1);
    add_prefix("a.example", "", 2);
    cr_expect_eq(group_at("a.example", "/api/v1"), group(2));
    cr_expect_eq(group_at("b.example", "/api/v1"), group(1));
    cr_expect_null(group_at("b.example", "/api"));
}

/* ---- what is refused ---- */

static const char *why_not(const char *pattern)
{
    complaint.text[0] = '\0';
    cr_expect_eq(add_at(NULL, NULL, pattern), CW_EINVAL, "%s", pattern);
    return complaint.text;
}

Test(http_router, a_pattern_that_is_none_is_refused_with_a_reason)
{
    cr_expect_str_eq(why_not("GET users"), "GET users: the path does not begin with a slash");
    cr_expect_str_eq(why_not("GET "), "GET : the path does not begin with a slash");
    cr_expect_str_eq(why_not("GET /a//b"), "GET /a//b: two slashes in a row; paths have one");
    cr_expect_str_eq(why_not("GET /a/../b"), "GET /a/../b: no path has a segment `..`");
    cr_expect_str_eq(why_not("GET /:"), "GET /:: a parameter without a name; write `:name`");
    cr_expect_str_eq(why_not("GET /:?"), "GET /:?: a parameter without a name; write `:name`");
    cr_expect_str_eq(why_not("GET /:<int>"),
                     "GET /:<int>: a parameter without a name; write `:name`");
    cr_expect_str_eq(why_not("GET /*"), "GET /*: a rest without a name; write `*name`");
    cr_expect_str_eq(why_not("GET /*a?"),
                     "GET /*a?: *a?: the name of a rest is letters, digits, _, -");
    cr_expect_str_eq(why_not("GET /:id<number>"),
                     "GET /:id<number>: <number>: there are int, alpha, alnum, hex, slug and uuid");
    cr_expect_str_eq(why_not("GET /:id<>"),
                     "GET /:id<>: <>: there are int, alpha, alnum, hex, slug and uuid");
    cr_expect_str_eq(
        why_not("GET /:name.json"),
        "GET /:name.json: :name.json: a parameter is a whole segment, its name letters, digits, _, -");
    cr_expect_str_eq(
        why_not("GET /:id<int"),
        "GET /:id<int: :id<int: a parameter is a whole segment, its name letters, digits, "
        "_, -");
    cr_expect_str_eq(why_not("GET /:a/x/:a"), "GET /:a/x/:a: two parameters are called `a`");
    cr_expect_str_eq(why_not("GET /:a/*a"), "GET /:a/*a: two parameters are called `a`");
    cr_expect_str_eq(why_not("GET /*rest/x"), "GET /*rest/x: nothing can stand behind `*rest`");
    cr_expect_str_eq(why_not("GET /*rest/"), "GET /*rest/: nothing can stand behind `*rest`");
    cr_expect_str_eq(why_not("GET /:a?/x"),
                     "GET /:a?/x: only the last segment can be optional, `:a?` is not");
    cr_expect_str_eq(why_not("GET /{id}"),
                     "GET /{id}: `{id}`: parameters are written `:name` or `:name<int>`");
    cr_expect_str_eq(
        why_not("GET /x?y=1"),
        "GET /x?y=1: `x?y=1`: `?` stands behind `:name` only; a query is no part of it");
    cr_expect_str_eq(why_not("GET /a%20b"), "GET /a%20b: `a%20b`: patterns are written decoded");
    cr_expect_str_eq(why_not("GET /a\tb"), "GET /a\tb: a control character in the path");
    cr_expect_str_eq(why_not("GET /a "), "GET /a : a space at the end");
    cr_expect_str_eq(
        why_not("GET /:a/:b/:c/:d/:e/:f/:g/:h/:i/:j/:k/:l/:m/:n/:o/:p/:q"),
        "GET /:a/:b/:c/:d/:e/:f/:g/:h/:i/:j/:k/:l/:m/:n/:o/:p/:q: 17 parameters; at most 16");
}

Test(http_router, what_only_looks_odd_is_allowed)
{
    add("GET /a:b");
    add("GET /a*b");
    add("GET /100%");
    add("GET /a%2Fb");
    add("GET /my files/caf\xc3\xa9");
    cr_expect_str_eq(get("/a:b"), "GET /a:b");
    cr_expect_str_eq(get("/a*b"), "GET /a*b");
    cr_expect_str_eq(get("/100%"), "GET /100%");
    cr_expect_str_eq(get("/a%2Fb"), "GET /a%2Fb");
    cr_expect_str_eq(get("/my files/caf\xc3\xa9"), "GET /my files/caf\xc3\xa9");
}

Test(http_router, a_method_that_is_none_is_refused_with_a_reason)
{
    cr_expect_str_eq(why_not("get /x"), "get /x: methods are case-sensitive; write GET");
    cr_expect_str_eq(why_not("GET|Post /x"), "GET|Post /x: methods are case-sensitive; write POST");
    cr_expect_str_eq(why_not("GET| /x"),
                     "GET| /x: a method is missing; write `GET /path` or `* /path`");
    cr_expect_str_eq(why_not("|GET /x"),
                     "|GET /x: a method is missing; write `GET /path` or `* /path`");
    cr_expect_str_eq(why_not("GET,PUT /x"),
                     "GET,PUT /x: `GET,PUT` is no method; several are written `GET|PUT`");
    cr_expect_str_eq(why_not("GET|* /x"), "GET|* /x: `*` is every method and stands alone");
}

Test(http_router, the_same_twice_is_refused_and_both_are_named)
{
    add("GET /users/:id");
    add("PUT|PATCH /users/:id");
    add("GET /files/*path");
    add("GET /:lang<alpha>?");
    cr_expect_str_eq(why_not("GET /users/:id"), "GET /users/:id: GET /users/:id is there already");
    cr_expect_str_eq(why_not("GET /users/:name"),
                     "GET /users/:name: GET /users/:id is there already");
    cr_expect_str_eq(why_not("POST|PATCH /users/:x"),
                     "POST|PATCH /users/:x: PUT|PATCH /users/:id is there already");
    cr_expect_str_eq(why_not("GET /files/*other"),
                     "GET /files/*other: GET /files/*path is there already");
    cr_expect_str_eq(why_not("GET /"), "GET /: GET /:lang<alpha>? is there already");
    add("POST /users/:x");
    add("* /users/:x");
    add("GET /files");
}

Test(http_router, nothing_is_left_of_a_route_that_was_refused)
{
    add("GET /users");
    cr_expect_str_eq(why_not("GET|PUT /users/:id?"),
                     "GET|PUT /users/:id?: GET /users is there already");
    cr_expect_str_eq(get("/users/7"), "404");
    cr_expect_str_eq(ask("PUT", "/users"), "405 GET, HEAD, OPTIONS");
}

Test(http_router, a_host_that_is_none_is_refused_with_a_reason)
{
    static const char *const refused[][2] = {
        {"", "host \"\": empty"},
        {"*.", "host \"*.\": empty"},
        {"a.example:8080", "host \"a.example:8080\": the name alone, without a scheme and a port"},
        {"[::1]:80", "host \"[::1]:80\": the name alone, without a scheme and a port"},
        {"http//a", "host \"http//a\": not a name like api.example or *.example"},
        {"a.*.example", "host \"a.*.example\": not a name like api.example or *.example"},
        {"*example", "host \"*example\": not a name like api.example or *.example"},
        {"a b", "host \"a b\": not a name like api.example or *.example"},
        {".example", "host \".example\": a dot at its start or end"},
        {"example.", "host \"example.\": a dot at its start or end"},
    };

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        cr_expect_eq(add_at(NULL, refused[i][0], "GET /"), CW_EINVAL);
        cr_expect_str_eq(complaint.text, refused[i][1]);
    }
}

Test(http_router, a_prefix_that_is_none_is_refused_with_a_reason)
{
    static const char *const refused[][2] = {
        {"api", "api: the prefix does not begin with a slash"},
        {"/api/", "/api/: a prefix does not end in a slash"},
        {"/api/*rest", "/api/*rest: a prefix has no `*name` and nothing optional"},
        {"/api/:v?", "/api/:v?: a prefix has no `*name` and nothing optional"},
        {"/:a/:a", "/:a/:a: two parameters are called `a`"},
    };
    const struct cw_http_place place = {NULL, NULL};

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        cr_expect_eq(cw_http_router_add_prefix(router, &place, refused[i][0], group(0), &complaint),
                     CW_EINVAL);
        cr_expect_str_eq(complaint.text, refused[i][1]);
    }
}

/* ---- cost ---- */

/* A router of that many routes of several shapes; steps of a few questions together. */
static size_t steps_among(size_t count)
{
    static const char *const asked[] = {"/", "/r7/list", "/r7/41", "/r7/41/edit", "/nothing/here"};
    struct cw_http_router *large = cw_http_router_new();
    struct cw_http_route *many = calloc(count, sizeof *many);
    char(*paths)[40] = calloc(count, sizeof *paths);
    const struct cw_http_place place = {NULL, NULL};
    static char method[] = "GET";
    static const char *const shapes[] = {"/r%zu/list", "/r%zu/:id<int>", "/r%zu/:id/edit",
                                         "/r%zu/*x"};
    size_t steps = 0;

    for (size_t i = 0; i < count; i++) {
        snprintf(paths[i], sizeof paths[i], shapes[i % 4], i / 4 + 6);
        many[i].method = method;
        many[i].path = paths[i];
        cr_assert_eq(cw_http_router_add(large, &place, &many[i], &complaint), CW_OK);
    }
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        const struct cw_http_ask question = {NULL, CW_METHOD_GET, cw_span_text("GET"),
                                             cw_span_of(NULL, 0), cw_span_text(asked[i])};

        cw_http_router_find(large, &question, &match, &found);
        cr_expect_eq(match.route != NULL, i > 0 && i < 4, "%s", asked[i]);
        steps += found.steps;
    }
    cw_http_router_free(large);
    free(many);
    free(paths);
    return steps;
}

Test(http_router, ten_thousand_routes_cost_a_request_as_much_as_ten)
{
    size_t few = steps_among(10);

    cr_expect_gt(few, 0);
    cr_expect_eq(steps_among(10000), few);
}

Test(http_router, a_path_that_the_peer_makes_long_is_not_followed_past_the_patterns)
{
    char path[8001];

    add("GET /:a/:b");
    add("GET /:a/b/:c<int>");
    add("GET /a/:b/c");
    for (size_t i = 0; i < sizeof path - 1; i++) {
        path[i] = "/a"[i % 2];
    }
    path[sizeof path - 1] = '\0';
    cr_expect_str_eq(get(path), "404");
    cr_expect_leq(found.steps, 20);
}

Test(http_router, no_node_is_asked_twice_however_the_patterns_cross)
{
    char pattern[60];
    char path[60] = "";
    size_t ways = 1 << 5;

    /* At each of five segments a literal or a parameter: all of them fit, and none ends. */
    for (size_t i = 0; i < ways; i++) {
        char *at = pattern + snprintf(pattern, sizeof pattern, "GET ");

        for (size_t bit = 0; bit < 5; bit++) {
            at += i >> bit & 1 ? snprintf(at, 8, "/:p%zu", bit) : snprintf(at, 8, "/a");
        }
        snprintf(at, 8, "/end");
        add(pattern);
    }
    memcpy(path, "/a/a/a/a/a/none", 16);
    cr_expect_str_eq(get(path), "404");
    /* 2 + 4 + … + 32 nodes and the root, and a comparison for each that is a literal. */
    cr_expect_eq(found.steps, 63 + 31);
}

/* ---- memory ---- */

static const char *const every_shape[] = {"GET /",          "GET /a/:b<int>/c", "PURGE|BAN /x/:y?",
                                          "PUT /x/*rest",   "OPTIONS *",        "* /a/b/c/d",
                                          "GET /a/literal", "GET /a/other",     "GET /a/third"};

/* Returns whether everything could be added; whatever fails is CW_ENOMEM and leaves a router that answers. */
static bool add_every_shape(void)
{
    const char *const hosts[] = {NULL, "a.example", "*.example"};
    const struct cw_http_place place = {NULL, "a.example"};
    int error = CW_OK;

    router = cw_http_router_new();
    if (!router) {
        return false;
    }
    for (size_t i = 0; i < sizeof every_shape / sizeof every_shape[0] && error == CW_OK; i++) {
        error = add_at(i % 2 ? "site" : NULL, hosts[i % 3], every_shape[i]);
    }
    error = error < 0 ? error
                      : cw_http_router_add_prefix(router, &place, "/p/:q", group(0), &complaint);
    if (error < 0) {
        cr_expect_eq(error, CW_ENOMEM, "%s", complaint.text);
    }
    ask_at("site", "a.example", "GET", "/a/1/c");
    return error == CW_OK;
}

Test(http_router, without_memory_an_error_comes_and_nothing_leaks)
{
    size_t nth = 0;
    bool whole = false;

    close_router();
    router = NULL;
    fault_install();
    while (!whole) {
        for (size_t i = 0; i < route_count; i++) {
            free(routes[i].method);
        }
        route_count = 0;
        fault_arm(++nth);
        whole = add_every_shape();
        cr_expect_eq(whole, !fault_disarm());
        if (!whole) {
            cw_http_router_free(router);
        }
        cr_assert_lt(nth, 200);
    }
    cr_expect_gt(nth, 20);
    cw_http_router_free(router);
    router = NULL;
    fault_remove();
}
