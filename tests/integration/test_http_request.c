/* What handlers are told of a request, and the fields of an answer that have rules of their own, over sockets. */
#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(http_request, .fini = rig_expect_no_leak, .timeout = 90);

/* ---- the server: tells all that it was told ---- */

struct text {
    char bytes[32768];
    size_t len;
};

static void add(struct text *text, const char *name, struct cw_span value)
{
    int len;

    if (value.data) {
        len = snprintf(text->bytes + text->len, sizeof text->bytes - text->len, "\n%s=[%.*s]\n",
                       name, (int)value.len, (const char *)value.data);
    } else {
        len = snprintf(text->bytes + text->len, sizeof text->bytes - text->len, "\n%s=nothing\n",
                       name);
    }
    rig_check(len > 0 && (size_t)len < sizeof text->bytes - text->len);
    text->len += (size_t)len;
}

static void add_number(struct text *text, const char *name, uint64_t number)
{
    char digits[32];

    snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    add(text, name, cw_span_text(digits));
}

static void add_fields(struct text *text, struct cw_http_exchange *http)
{
    struct cw_span name;
    struct cw_span value;
    size_t count = 0;
    size_t at = 0;

    while (cw_http_field_at(http, count, &name, &value)) {
        count++;
    }
    rig_check(!cw_http_field_at(http, count + 1000, &name, &value));
    add_number(text, "fields", count);
    add(text, "x-a", cw_http_field(http, "X-A"));
    add(text, "x-a list", cw_http_field_list(http, "x-A"));
    while ((value = cw_http_field_next(http, "x-a", &at)).data) {
        add(text, "x-a each", value);
    }
}

static void tell_all(struct cw_http_exchange *http, void *user)
{
    char client[CW_ADDRESS_TEXT_MAX];
    struct text *text = calloc(1, sizeof *text);

    rig_check(text != NULL);
    add(text, "method", cw_http_method(http));
    add(text, "path", cw_http_path(http));
    rig_check(cw_http_path(http).data[cw_http_path(http).len] == '\0');
    add(text, "target", cw_http_target(http));
    add(text, "query", cw_http_query_string(http));
    add(text, "q", cw_http_query(http, "q"));
    add(text, "rest", cw_http_param(http, "rest"));
    add(text, "no such parameter", cw_http_param(http, "no such parameter"));
    add(text, "cookie", cw_http_cookie(http, "c"));
    add(text, "host", cw_http_host(http));
    add(text, "scheme", cw_span_text(cw_http_scheme(http)));
    add_number(text, "version", (uint64_t)cw_http_version(http));
    add(text, "client", cw_span_text(cw_address_print(cw_http_client(http), client)));
    add(text, "route", cw_span_text(cw_http_route_name(http)));
    add(text, "body", cw_http_body(http));
    add_fields(text, http);
    rig_check(cw_http_options_of(http)->head_max_bytes == 16384);
    rig_check(cw_conn_server(cw_http_conn(http)) == cw_http_server(http));
    rig_check(cw_conn_loop(cw_http_conn(http)) == cw_http_loop(http));
    rig_check(cw_http_find(cw_http_loop(http), cw_http_id(http)) == http);
    rig_check(cw_http_reply(http, 200, "text/plain", cw_span_of(text->bytes, text->len)) == 0);
    free(text);
}

static void tell_posted(struct cw_http_exchange *http, void *arg)
{
    rig_check(http != NULL);
    tell_all(http, arg);
}

static void tell_later(struct cw_http_exchange *http, void *user)
{
    rig_check(cw_http_post(cw_http_server(http), cw_http_id(http), tell_posted, NULL) == 0);
}

static struct rig_host *begin_with(const struct cw_server_options *server_options,
                                   const struct cw_http_options *options)
{
    struct cw_server *server = rig_server(&cw_http, server_options);

    rig_check(cw_http_configure(server, options) == 0);
    rig_check(cw_http_route(server, "* /later/*rest", tell_later, NULL) == 0);
    rig_check(cw_http_route(server, "* /*rest", tell_all, NULL) == 0);
    return rig_host_start(server, NULL, NULL);
}

static struct rig_host *begin(void)
{
    return begin_with(NULL, &(struct cw_http_options){.head_ms = 0});
}

/* One request on a connection of its own. The reply is on the heap, as it is large. */
static struct http_reply *ask(const struct rig_host *host, const char *request)
{
    struct http_reply *reply = calloc(1, sizeof *reply);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));

    cr_assert_not_null(reply);
    http_peer_ask(&peer, request, reply);
    http_peer_close(&peer);
    return reply;
}

static void release(struct http_reply *reply)
{
    http_reply_release(reply);
    free(reply);
}

/* Texts that the answer's body must hold; the last one is NULL. */
static void expect_told(const struct rig_host *host, const char *request, const char *const *lines)
{
    struct http_reply *reply = ask(host, request);

    cr_expect_eq(reply->status, 200, "%s: %d", request, reply->status);
    for (size_t i = 0; lines[i]; i++) {
        char line[512];

        snprintf(line, sizeof line, "\n%s\n", lines[i]);
        cr_expect_not_null(strstr((const char *)reply->body, line), "%s\n%s is not in\n%s", request,
                           lines[i], (const char *)reply->body);
    }
    release(reply);
}

#define TOLD(host, request, ...)                                                                   \
    expect_told(host, request, (const char *const[]){__VA_ARGS__, NULL})

static void expect_status(const struct rig_host *host, const char *request, int status)
{
    struct http_reply *reply = ask(host, request);

    cr_expect_eq(reply->status, status, "%s: %d", request, reply->status);
    release(reply);
}

/* ---- the request line ---- */

Test(http_request, method_and_target_are_told_as_they_came)
{
    struct rig_host *host = begin();

    TOLD(host, "PURGE /a%20b?x=%31 HTTP/1.1\r\nHost: h\r\n\r\n", "method=[PURGE]",
         "target=[/a%20b?x=%31]", "path=[/a b]", "query=[x=%31]", "rest=[a b]", "version=[11]",
         "no such parameter=nothing", "route=[* /*rest]", "body=nothing");
    TOLD(host, "get / HTTP/1.0\r\n\r\n", "method=[get]", "path=[/]", "query=nothing", "rest=[]",
         "version=[10]", "host=nothing", "scheme=[http]", "fields=[0]");
    rig_host_end(host);
}

Test(http_request, the_path_is_decoded_and_normalised_before_anybody_sees_it)
{
    struct rig_host *host = begin();

    TOLD(host, "GET //a/./b//../%2e%2E/c%2fd HTTP/1.1\r\nHost: h\r\n\r\n", "path=[/c%2Fd]",
         "rest=[c%2Fd]");
    TOLD(host, "GET /%252e%252e/x HTTP/1.1\r\nHost: h\r\n\r\n", "path=[/%2e%2e/x]");
    TOLD(host, "GET /..;/x%5c..%5cy HTTP/1.1\r\nHost: h\r\n\r\n", "path=[/..;/x\\..\\y]");
    rig_host_end(host);
}

Test(http_request, targets_that_cannot_be_meant_well_are_refused)
{
    static const char *const targets[] = {
        "/../etc/passwd", "/%2e%2e/etc", "/a/../../b", "/a%00.html", "/%",   "/%zz",
        "/a#b",           "/a\\b",       "*",          "h:80",       "a",    "http://u@h/",
        "http:///a",      "ftp://h/",    "/a<b>",      "/a?b=<",     "//..", "http://h/%2e%2e/x",
    };
    struct rig_host *host = begin();
    char request[128];

    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", targets[i]);
        expect_status(host, request, 400);
    }
    rig_host_end(host);
}

Test(http_request, the_host_of_an_absolute_target_goes_before_the_field)
{
    struct rig_host *host = begin();

    TOLD(host, "GET http://Example.com:81/a?b HTTP/1.1\r\nHost: other\r\n\r\n",
         "host=[Example.com]", "path=[/a]", "query=[b]", "target=[http://Example.com:81/a?b]");
    TOLD(host, "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", "host=[[2001:db8::1]]");
    TOLD(host, "GET / HTTP/1.1\r\nHost: example.com:\r\n\r\n", "host=[example.com]");
    rig_host_end(host);
}

/* ---- the query ---- */

Test(http_request, a_parameter_of_the_query_is_decoded_and_the_first_of_its_name)
{
    struct rig_host *host = begin();

    TOLD(host, "GET /?a=1&q=x+y%26%C3%A4&q=2 HTTP/1.1\r\nHost: h\r\n\r\n", "q=[x y&\xc3\xa4]");
    TOLD(host, "GET /?%71=1 HTTP/1.1\r\nHost: h\r\n\r\n", "q=[1]");
    TOLD(host, "GET /?q HTTP/1.1\r\nHost: h\r\n\r\n", "q=[]");
    TOLD(host, "GET /?q=&q=1 HTTP/1.1\r\nHost: h\r\n\r\n", "q=[]");
    TOLD(host, "GET /?qq=1&Q=2 HTTP/1.1\r\nHost: h\r\n\r\n", "q=nothing");
    TOLD(host, "GET /? HTTP/1.1\r\nHost: h\r\n\r\n", "q=nothing", "query=[]");
    TOLD(host, "GET /?q=100% HTTP/1.1\r\nHost: h\r\n\r\n", "q=nothing", "query=[q=100%]");
    rig_host_end(host);
}

/* ---- fields and cookies ---- */

Test(http_request, fields_are_found_whatever_their_case_and_are_told_in_their_order)
{
    struct rig_host *host = begin();

    TOLD(host, "GET / HTTP/1.1\r\nHost: h\r\nx-A: \t one \r\nX-B:2\r\nX-a:\r\nX-A:three, 4\r\n\r\n",
         "fields=[5]", "x-a=[one]", "x-a list=[one, , three, 4]",
         "x-a each=[one]\n\nx-a each=[]\n\nx-a each=[three, 4]");
    TOLD(host, "GET / HTTP/1.1\r\nHost: h\r\nX-A:\r\n\r\n", "x-a=[]", "x-a list=[]");
    TOLD(host, "GET / HTTP/1.1\r\nHost: h\r\nX-AA: 1\r\nX-: 2\r\n\r\n", "x-a=nothing",
         "x-a list=nothing");
    rig_host_end(host);
}

Test(http_request, a_cookie_is_found_among_others_and_in_any_field)
{
    struct rig_host *host = begin();

    TOLD(host, "GET / HTTP/1.1\r\nHost: h\r\nCookie: a=1; c=2; c=3\r\n\r\n", "cookie=[2]");
    TOLD(host, "GET / HTTP/1.1\r\nHost: h\r\nCookie: a=1\r\nCookie: c=\"x y\"\r\n\r\n",
         "cookie=[x y]");
    TOLD(host, "GET / HTTP/1.1\r\nHost: h\r\nCookie: rubbish; =; cc=1; C=2; c=a=b\r\n\r\n",
         "cookie=[a=b]");
    TOLD(host, "GET / HTTP/1.1\r\nHost: h\r\nCookie: c=\r\n\r\n", "cookie=[]");
    TOLD(host, "GET / HTTP/1.1\r\nHost: h\r\nCookie: x=\"c=1\"\r\n\r\n", "cookie=nothing");
    TOLD(host, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "cookie=nothing");
    rig_host_end(host);
}

Test(http_request, all_of_it_is_still_there_when_the_answer_comes_later)
{
    struct rig_host *host = begin();

    TOLD(host,
         "POST /later/%41/x?q=%42 HTTP/1.1\r\nHost: h:1\r\nCookie: c=3\r\nX-A: 1\r\nX-A: 2\r\n"
         "Content-Length: 4\r\n\r\nbody",
         "method=[POST]", "path=[/later/A/x]", "target=[/later/%41/x?q=%42]", "query=[q=%42]",
         "q=[B]", "rest=[A/x]", "cookie=[3]", "host=[h]", "x-a=[1]", "x-a list=[1, 2]",
         "body=[body]", "route=[* /later/*rest]");
    rig_host_end(host);
}

/* ---- behind proxies ---- */

static const struct cw_server_options behind_proxies = {.trusted_proxies =
                                                            "127.0.0.0/8, 10.0.0.0/8"};

static struct rig_host *begin_behind(enum cw_http_forwarded which)
{
    return begin_with(&behind_proxies, &(struct cw_http_options){.forwarded = which});
}

#define GET_WITH(fields) "GET / HTTP/1.1\r\nHost: h:1\r\n" fields "\r\n"

Test(http_request, a_peer_that_is_no_trusted_proxy_is_not_believed)
{
    struct rig_host *host = begin_with(&(struct cw_server_options){.trusted_proxies = "10.0.0.0/8"},
                                       &(struct cw_http_options){.forwarded = CW_HTTP_FORWARDED});
    struct http_reply *reply = ask(host, GET_WITH("Forwarded: for=1.1.1.1;proto=https;host=x\r\n"
                                                  "X-Forwarded-For: 1.1.1.1\r\n"
                                                  "X-Forwarded-Proto: https\r\n"));

    cr_expect_not_null(strstr((const char *)reply->body, "\nclient=[127.0.0.1:"));
    cr_expect_not_null(strstr((const char *)reply->body, "\nscheme=[http]\n"));
    cr_expect_not_null(strstr((const char *)reply->body, "\nhost=[h]\n"));
    release(reply);
    rig_host_end(host);
}

Test(http_request, x_forwarded_for_and_proto_are_believed_from_a_trusted_proxy)
{
    struct rig_host *host = begin_behind(CW_HTTP_X_FORWARDED);

    TOLD(host,
         GET_WITH("X-Forwarded-For: 6.6.6.6, 192.0.2.60, 10.2.2.2\r\nX-Forwarded-Proto: https\r\n"),
         "client=[192.0.2.60:0]", "scheme=[https]", "host=[h]");
    TOLD(host, GET_WITH("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.60\r\n"),
         "client=[192.0.2.60:0]", "scheme=[http]");
    TOLD(host, GET_WITH("X-Forwarded-For: 192.0.2.60\r\nX-Forwarded-Host: evil.example\r\n"),
         "host=[h]");
    TOLD(host, GET_WITH("X-Forwarded-For: 192.0.2.60\r\nForwarded: for=6.6.6.6;proto=https\r\n"),
         "client=[192.0.2.60:0]", "scheme=[http]");
    rig_host_end(host);
}

Test(http_request, x_forwarded_host_is_believed_where_that_is_asked_for)
{
    struct rig_host *host = begin_behind(CW_HTTP_X_FORWARDED_HOST);

    TOLD(host, GET_WITH("X-Forwarded-For: 192.0.2.60\r\nX-Forwarded-Host: example.com:81\r\n"),
         "host=[example.com]", "client=[192.0.2.60:0]");
    TOLD(host, GET_WITH("X-Forwarded-Host: a b\r\n"), "host=[h]");
    TOLD(host, GET_WITH("X-Forwarded-Host: evil.example\r\nX-Forwarded-Host: example.com\r\n"),
         "host=[example.com]");
    rig_host_end(host);
}

Test(http_request, forwarded_is_believed_where_that_is_asked_for)
{
    struct rig_host *host = begin_behind(CW_HTTP_FORWARDED);

    TOLD(host,
         GET_WITH(
             "Forwarded: for=6.6.6.6, for=\"[2001:db8::1]:4711\";proto=https;host=\"x:81\"\r\n"),
         "client=[[2001:db8::1]:4711]", "scheme=[https]", "host=[x]");
    TOLD(host, GET_WITH("Forwarded: for=\"6.6.6.6\r\nForwarded: for=192.0.2.60\r\n"),
         "client=[192.0.2.60:0]");
    TOLD(host, GET_WITH("Forwarded: for=192.0.2.60\r\nX-Forwarded-For: 6.6.6.6\r\n"),
         "client=[192.0.2.60:0]");
    rig_host_end(host);
}

Test(http_request, nothing_is_believed_where_that_is_asked_for)
{
    struct rig_host *host = begin_behind(CW_HTTP_NOT_FORWARDED);
    struct http_reply *reply =
        ask(host, GET_WITH("Forwarded: for=1.1.1.1\r\nX-Forwarded-For: 1.1.1.1\r\n"));

    cr_expect_not_null(strstr((const char *)reply->body, "\nclient=[127.0.0.1:"));
    release(reply);
    rig_host_end(host);
}

Test(http_request, a_client_cannot_crowd_out_what_its_proxy_added)
{
    static const char spoof[] = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n";
    struct rig_host *host = begin_behind(CW_HTTP_X_FORWARDED);
    char request[4096] = "GET / HTTP/1.1\r\nHost: h\r\n";

    for (int i = 0; i < 40; i++) {
        strcat(request, spoof);
    }
    strcat(request, "X-Forwarded-For: 192.0.2.60\r\nX-Forwarded-Proto: http\r\n\r\n");
    TOLD(host, request, "client=[192.0.2.60:0]", "scheme=[http]");
    rig_host_end(host);
}

/* ---- negotiation ---- */

static void answer_as_wanted(struct cw_http_exchange *http, void *user)
{
    static const char *const types[] = {"text/html", "application/json", NULL};
    struct cw_span accept = cw_http_field_list(http, "Accept");
    int chosen = cw_http_negotiate("Accept", accept, types);

    rig_check(cw_http_add_to_list(http, "Vary", "Accept") == 0);
    if (chosen < 0) {
        cw_http_reply_error(http, 406, NULL);
    } else {
        cw_http_reply(http, 200, types[chosen], cw_span_text("x"));
    }
}

static void expect_type(const struct rig_host *host, const char *request, const char *type)
{
    struct http_reply *reply = ask(host, request);

    cr_expect_str_eq(http_reply_field(reply, "Content-Type"), type, "%s: %s", request,
                     http_reply_field(reply, "Content-Type"));
    cr_expect_str_eq(http_reply_field(reply, "Vary"), "Accept");
    release(reply);
}

Test(http_request, the_answer_is_of_the_type_that_is_wanted_most)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    rig_check(cw_http_route(server, "GET /", answer_as_wanted, NULL) == 0);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    expect_type(host, GET_WITH(""), "text/html");
    expect_type(host, GET_WITH("Accept: application/json\r\n"), "application/json");
    expect_type(host, GET_WITH("Accept: text/html;q=0.5\r\nAccept: application/*;q=0.8\r\n"),
                "application/json");
    expect_type(host, GET_WITH("Accept: */*\r\n"), "text/html");
    expect_status(host, GET_WITH("Accept: image/png\r\n"), 406);
    expect_status(host, GET_WITH("Accept: text/html;q=0, application/json;q=0.000\r\n"), 406);
    rig_host_end(host);
}

/* ---- downloads ---- */

static void download(struct cw_http_exchange *http, void *user)
{
    rig_check(cw_http_set_download(http, user) == 0);
    cw_http_reply(http, 200, "application/octet-stream", cw_span_text("x"));
}

static void expect_disposition(const char *filename, const char *wanted)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    rig_check(cw_http_route(server, "GET /", download, (void *)(uintptr_t)filename) == 0);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    struct http_reply *reply = ask(host, GET_WITH(""));
    cr_expect_str_eq(http_reply_field(reply, "Content-Disposition"), wanted, "%s: %s", filename,
                     http_reply_field(reply, "Content-Disposition"));
    release(reply);
    rig_host_end(host);
}

Test(http_request, a_download_has_a_name_that_old_and_new_browsers_understand)
{
    expect_disposition("a-1.txt", "attachment; filename=\"a-1.txt\"; filename*=UTF-8''a-1.txt");
    expect_disposition("a b.txt", "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt");
    expect_disposition("\xe2\x82\xac.txt",
                       "attachment; filename=\"___.txt\"; filename*=UTF-8''%E2%82%AC.txt");
}

Test(http_request, a_download_s_name_cannot_leave_its_place)
{
    expect_disposition("../../etc/passwd", "attachment; filename=\".._.._etc_passwd\"; "
                                           "filename*=UTF-8''.._.._etc_passwd");
    expect_disposition("a\"; x=\"b\\c\r\nSet-Cookie: d",
                       "attachment; filename=\"a_; x=_b_c__Set-Cookie: d\"; "
                       "filename*=UTF-8''a%22%3B%20x%3D%22b_c__Set-Cookie%3A%20d");
}

/* ---- cookies of the answer ---- */

struct cookie {
    const char *name;
    const char *value;
    struct cw_http_cookie_options options;
    bool plain;         /* without options */
    const char *wanted; /* NULL: refused */
};

static void set_cookie(struct cw_http_exchange *http, void *user)
{
    const struct cookie *cookie = user;
    int code = cw_http_set_cookie(http, cookie->name, cookie->value,
                                  cookie->plain ? NULL : &cookie->options);

    cw_http_replyf(http, 200, "text/plain", "%d", code);
}

static void expect_cookies(const struct cookie *cookies, size_t count,
                           const struct cw_server_options *options, const char *request)
{
    for (size_t i = 0; i < count; i++) {
        struct cw_server *server = rig_server(&cw_http, options);
        const char *wanted = cookies[i].wanted ? cookies[i].wanted : "";
        struct rig_host *host;
        struct http_reply *reply;
        char code[16];

        rig_check(cw_http_route(server, "GET /", set_cookie, (void *)(uintptr_t)&cookies[i]) == 0);
        host = rig_host_start(server, NULL, NULL);
        reply = ask(host, request);
        snprintf(code, sizeof code, "%d", cookies[i].wanted ? 0 : CW_EINVAL);
        cr_expect_str_eq((const char *)reply->body, code, "%zu: %s", i, (const char *)reply->body);
        cr_expect_str_eq(http_reply_field(reply, "Set-Cookie"), wanted, "%zu: %s", i,
                         http_reply_field(reply, "Set-Cookie"));
        release(reply);
        rig_host_end(host);
    }
}

Test(http_request, a_cookie_is_set_with_what_keeps_it_safe)
{
    static const struct cookie cookies[] = {
        {"a", "1", .plain = true, .wanted = "a=1; Path=/; HttpOnly; SameSite=Lax"},
        {"a", "", .wanted = "a=; Path=/; HttpOnly; SameSite=Lax"},
        {"a", "b=c/d:e", .wanted = "a=b=c/d:e; Path=/; HttpOnly; SameSite=Lax"},
        {"a", "1",
         .options = {.max_age_s = 60, .path = "/x", .domain = "example.com", .same_site = "Strict"},
         .wanted = "a=1; Path=/x; Domain=example.com; Max-Age=60; HttpOnly; SameSite=Strict"},
        {"a", "1", .options = {.for_scripts = true, .secure = true},
         .wanted = "a=1; Path=/; Secure; SameSite=Lax"},
        {"a", "1", .options = {.same_site = "None"},
         .wanted = "a=1; Path=/; Secure; HttpOnly; SameSite=None"},
        {"__Host-a", "1", .options = {.secure = true},
         .wanted = "__Host-a=1; Path=/; Secure; HttpOnly; SameSite=Lax"},
        {"a", "ignored", .options = {.max_age_s = CW_OFF},
         .wanted = "a=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; "
                   "SameSite=Lax"},
    };

    expect_cookies(cookies, sizeof cookies / sizeof cookies[0], NULL, GET_WITH(""));
}

Test(http_request, what_is_no_cookie_is_refused)
{
    static const struct cookie cookies[] = {
        {"", "1", .plain = true},
        {"a b", "1", .plain = true},
        {"a=", "1", .plain = true},
        {"a", "1;2", .plain = true},
        {"a", "1\r\nX: 2", .plain = true},
        {"a", "x y", .plain = true},
        {"a", "\"x\"", .plain = true},
        {"a", "\xc3\xa4", .plain = true},
        {"a", "1", .options = {.path = "x"}},
        {"a", "1", .options = {.path = "/x; Domain=y"}},
        {"a", "1", .options = {.domain = "y; Secure"}},
        {"a", "1", .options = {.domain = ""}},
        {"a", "1", .options = {.same_site = "Sometimes"}},
        {"a", "1", .options = {.secure = true, .not_secure = true}},
        {"__Host-a", "1", .plain = true},
        {"__Host-a", "1", .options = {.secure = true, .path = "/x"}},
        {"__Host-a", "1", .options = {.secure = true, .domain = "example.com"}},
        {"__Secure-a", "1", .plain = true},
        {"__secure-a", "1", .plain = true},
    };

    expect_cookies(cookies, sizeof cookies / sizeof cookies[0], NULL, GET_WITH(""));
}

Test(http_request, a_cookie_is_for_tls_alone_where_the_client_came_so)
{
    static const struct cookie cookies[] = {
        {"a", "1", .plain = true, .wanted = "a=1; Path=/; Secure; HttpOnly; SameSite=Lax"},
        {"a", "1", .options = {.not_secure = true}, .wanted = "a=1; Path=/; HttpOnly; SameSite=Lax"},
    };

    expect_cookies(cookies, 2, &behind_proxies,
                   GET_WITH("X-Forwarded-For: 192.0.2.60\r\nX-Forwarded-Proto: https\r\n"));
}

static void set_two_cookies(struct cw_http_exchange *http, void *user)
{
    rig_check(cw_http_set_cookie(http, "a", "1", NULL) == 0);
    rig_check(cw_http_set_cookie(http, "b", "2", NULL) == 0);
    cw_http_reply_text(http, 200, "x");
}

Test(http_request, each_cookie_has_a_field_of_its_own)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    rig_check(cw_http_route(server, "GET /", set_two_cookies, NULL) == 0);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    struct http_reply *reply = ask(host, GET_WITH(""));
    cr_expect_not_null(strstr(reply->head, "\r\nSet-Cookie: a=1; "));
    cr_expect_not_null(strstr(reply->head, "\r\nSet-Cookie: b=2; "));
    release(reply);
    rig_host_end(host);
}

/* ---- redirects ---- */

static void redirect(struct cw_http_exchange *http, void *user)
{
    static const struct {
        int status;
        const char *location;
    } refused[] = {
        {200, "/x"},   {300, "/x"},         {304, "/x"},   {305, "/x"},        {309, "/x"},
        {302, "/a b"}, {302, "/a\r\nX: y"}, {302, "/a\n"}, {302, "/<script>"}, {302, "/\"x"},
    };

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        rig_check(cw_http_redirect(http, refused[i].status, refused[i].location) == CW_EINVAL);
    }
    rig_check(cw_http_redirect(http, 308, "/new?a=b%20c#d") == 0);
    rig_check(cw_http_redirect(http, 302, "/again") == CW_ESTATE);
}

Test(http_request, a_redirect_has_one_of_five_statuses_and_a_clean_location)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    rig_check(cw_http_route(server, "GET /", redirect, NULL) == 0);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    struct http_reply *reply = ask(host, GET_WITH(""));
    cr_expect_eq(reply->status, 308);
    cr_expect_str_eq(http_reply_field(reply, "Location"), "/new?a=b%20c#d");
    release(reply);
    rig_host_end(host);
}

/* ---- pages of one's own ---- */

static void show_page(struct cw_http_exchange *http, void *user)
{
    cw_http_replyf(http, cw_http_error_status(http), "text/html; charset=utf-8", "%s: %d %s",
                   (const char *)user, cw_http_error_status(http), cw_http_error_text(http));
}

static void show_nothing(struct cw_http_exchange *http, void *user)
{
    rig_check(cw_http_error_status(http) == 409);
}

static void fail_with(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_error(http, atoi(user), "it went wrong");
}

static void expect_page(const struct rig_host *host, const char *request, int status,
                        const char *body)
{
    struct http_reply *reply = ask(host, request);

    cr_expect_eq(reply->status, status, "%s: %d", request, reply->status);
    cr_expect_not_null(strstr((const char *)reply->body, body), "%s: %s", request,
                       (const char *)reply->body);
    release(reply);
}

Test(http_request, an_error_is_shown_by_the_page_that_was_set_for_it)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    rig_check(cw_http_set_error_page(server, 404, show_page, "lost") == 0);
    rig_check(cw_http_set_error_page(server, 409, show_nothing, NULL) == 0);
    rig_check(cw_http_set_error_page(server, 0, show_page, "any") == 0);
    rig_check(cw_http_route(server, "GET /500", fail_with, "500") == 0);
    rig_check(cw_http_route(server, "GET /404", fail_with, "404") == 0);
    rig_check(cw_http_route(server, "GET /409", fail_with, "409") == 0);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    expect_page(host, "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", 404, "lost: 404 ");
    expect_page(host, "GET /404 HTTP/1.1\r\nHost: h\r\n\r\n", 404, "lost: 404 it went wrong");
    expect_page(host, "GET /500 HTTP/1.1\r\nHost: h\r\n\r\n", 500, "any: 500 it went wrong");
    expect_page(host, "POST /500 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 405,
                "any: 405 ");
    expect_page(host, "GET /409 HTTP/1.1\r\nHost: h\r\n\r\n", 409, "it went wrong");
    rig_host_end(host);
}
