#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/rig.h"

#include <causeway/http.h>
#include <causeway/middleware/http_cors.h>
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>

TestSuite(http_cors, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_host *host;
static struct http_peer peer;
static struct http_reply reply;
static atomic_int handled;

static void handle(struct cw_http_exchange *http, void *user)
{
    atomic_fetch_add(&handled, 1);
    cw_http_reply_text(http, 200, "hello");
}

static void begin_with(const char *cors_origin, const struct cw_http_cors_options *options)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    cw_http_configure(server, &(struct cw_http_options){.cors_origin = cors_origin});
    cw_http_use(server, cw_http_cors(options));
    cw_http_route(server, "GET|PUT|OPTIONS /", handle, NULL);
    host = rig_host_start(server, NULL, NULL);
    peer = http_peer_new(rig_host_port(host, 0));
}

static void begin(const struct cw_http_cors_options *options)
{
    begin_with(NULL, options);
}

static void end(void)
{
    http_reply_release(&reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

static void ask(const char *line, const char *fields)
{
    char request[2048];

    snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: a\r\n%s\r\n", line, fields);
    http_reply_release(&reply);
    http_peer_ask(&peer, request, &reply);
}

static void expect(const char *name, const char *value)
{
    cr_expect_str_eq(http_reply_field(&reply, name), value, "%s: %s, not %s", name,
                     http_reply_field(&reply, name), value);
}

#define ORIGIN "Origin: https://a.example\r\n"
#define PREFLIGHT ORIGIN "Access-Control-Request-Method: PUT\r\n"

Test(http_cors, a_listed_origin_is_named_and_no_other)
{
    begin(&(struct cw_http_cors_options){.origins = "https://a.example https://b.example:8443"});
    ask("GET /", ORIGIN);
    expect("Access-Control-Allow-Origin", "https://a.example");
    expect("Access-Control-Allow-Credentials", "");
    ask("GET /", "Origin: https://b.example:8443\r\n");
    expect("Access-Control-Allow-Origin", "https://b.example:8443");
    ask("GET /", "Origin: https://b.example\r\n");
    expect("Access-Control-Allow-Origin", "");
    cr_expect_eq(reply.status, 200);
    ask("GET /", "Origin: null\r\n");
    expect("Access-Control-Allow-Origin", "");
    end();
}

Test(http_cors, several_origins_in_one_request_are_nobodys)
{
    begin(&(struct cw_http_cors_options){.origins = "https://a.example"});
    ask("GET /", ORIGIN "Origin: https://evil.test\r\n");
    expect("Access-Control-Allow-Origin", "");
    ask("GET /", ORIGIN ORIGIN);
    expect("Access-Control-Allow-Origin", "");
    end();
}

Test(http_cors, caches_are_told_that_the_answer_depends_on_the_origin)
{
    begin(&(struct cw_http_cors_options){.origins = "https://a.example"});
    ask("GET /", "");
    expect("Vary", "Origin");
    ask("GET /", "Origin: https://evil.test\r\n");
    expect("Vary", "Origin");
    ask("GET /nowhere", ORIGIN);
    expect("Vary", "Origin");
    expect("Access-Control-Allow-Origin", "https://a.example");
    end();
}

Test(http_cors, a_star_is_for_everybody_and_varies_nothing)
{
    begin(&(struct cw_http_cors_options){.origins = "*"});
    ask("GET /", ORIGIN);
    expect("Access-Control-Allow-Origin", "*");
    expect("Vary", "");
    ask("GET /", "");
    expect("Access-Control-Allow-Origin", "");
    end();
}

Test(http_cors, credentials_are_allowed_to_a_named_origin_alone)
{
    begin(&(struct cw_http_cors_options){.origins = "https://a.example", .credentials = true});
    ask("GET /", ORIGIN);
    expect("Access-Control-Allow-Origin", "https://a.example");
    expect("Access-Control-Allow-Credentials", "true");
    ask("GET /", "Origin: https://evil.test\r\n");
    expect("Access-Control-Allow-Credentials", "");
    end();
    begin_with("*", &(struct cw_http_cors_options){.credentials = true});
    ask("GET /", ORIGIN);
    expect("Access-Control-Allow-Origin", "*");
    expect("Access-Control-Allow-Credentials", "");
    end();
}

Test(http_cors, a_preflight_is_answered_before_routes)
{
    begin(&(struct cw_http_cors_options){.origins = "https://a.example", .exposed = "X-Count"});
    ask("OPTIONS /", PREFLIGHT "Access-Control-Request-Headers: content-type,x-a\r\n");
    cr_expect_eq(reply.status, 204);
    cr_expect_eq(atomic_load(&handled), 0);
    expect("Access-Control-Allow-Origin", "https://a.example");
    expect("Access-Control-Allow-Methods", "GET, HEAD, PUT, PATCH, POST, DELETE");
    expect("Access-Control-Allow-Headers", "content-type,x-a");
    expect("Access-Control-Max-Age", "600");
    expect("Access-Control-Allow-Private-Network", "");
    expect("Access-Control-Expose-Headers", "");
    expect("Vary", "Access-Control-Request-Headers, Origin");
    ask("OPTIONS /nowhere", PREFLIGHT);
    cr_expect_eq(reply.status, 204);
    expect("Access-Control-Allow-Headers", "");
    ask("GET /", ORIGIN);
    expect("Access-Control-Expose-Headers", "X-Count");
    expect("Access-Control-Allow-Methods", "");
    end();
}

Test(http_cors, a_preflight_of_an_origin_that_is_not_allowed_learns_nothing)
{
    begin(&(struct cw_http_cors_options){.origins = "https://a.example"});
    ask("OPTIONS /", "Origin: https://evil.test\r\nAccess-Control-Request-Method: PUT\r\n");
    cr_expect_eq(reply.status, 204);
    expect("Access-Control-Allow-Origin", "");
    expect("Access-Control-Allow-Methods", "");
    expect("Access-Control-Max-Age", "");
    expect("Vary", "Origin");
    end();
}

Test(http_cors, options_that_is_no_preflight_goes_to_its_route)
{
    begin(&(struct cw_http_cors_options){.origins = "https://a.example"});
    ask("OPTIONS /", ORIGIN);
    cr_expect_eq(reply.status, 200);
    expect("Access-Control-Allow-Origin", "https://a.example");
    ask("OPTIONS /", "Access-Control-Request-Method: PUT\r\n");
    cr_expect_eq(reply.status, 200);
    end();
}

Test(http_cors, what_is_asked_for_is_given_back_only_when_it_is_names)
{
    begin(&(struct cw_http_cors_options){.origins = "https://a.example"});
    ask("OPTIONS /", PREFLIGHT "Access-Control-Request-Headers: x-a, <script>\r\n");
    cr_expect_eq(reply.status, 204);
    expect("Access-Control-Allow-Headers", "");
    end();
}

Test(http_cors, methods_headers_age_and_private_network_are_options)
{
    begin(&(struct cw_http_cors_options){.origins = "https://a.example",
                                         .methods = "GET, PURGE",
                                         .headers = "Content-Type",
                                         .max_age_s = 86400,
                                         .private_network = true});
    ask("OPTIONS /", PREFLIGHT "Access-Control-Request-Headers: x-a\r\n"
                               "Access-Control-Request-Private-Network: true\r\n");
    expect("Access-Control-Allow-Methods", "GET, PURGE");
    expect("Access-Control-Allow-Headers", "Content-Type");
    expect("Access-Control-Max-Age", "86400");
    expect("Access-Control-Allow-Private-Network", "true");
    expect("Vary", "Origin");
    ask("OPTIONS /", "Origin: https://evil.test\r\nAccess-Control-Request-Method: PUT\r\n"
                     "Access-Control-Request-Private-Network: true\r\n");
    expect("Access-Control-Allow-Private-Network", "");
    end();
}

static bool is_ours(struct cw_http_exchange *http, struct cw_span origin, void *user)
{
    const char *ending = user;
    size_t len = strlen(ending);

    return origin.len > len && memcmp(origin.data + origin.len - len, ending, len) == 0;
}

Test(http_cors, a_function_may_decide)
{
    static char ending[] = ".a.example";

    begin(&(struct cw_http_cors_options){
        .origins = "https://b.example", .allow = is_ours, .user = ending});
    ask("GET /", "Origin: https://shop.a.example\r\n");
    expect("Access-Control-Allow-Origin", "https://shop.a.example");
    ask("GET /", "Origin: https://b.example\r\n");
    expect("Access-Control-Allow-Origin", "https://b.example");
    ask("GET /", "Origin: https://shop.a.example.evil.test\r\n");
    expect("Access-Control-Allow-Origin", "");
    end();
}

Test(http_cors, without_options_the_connections_say_who_is_allowed)
{
    begin_with("https://a.example, https://b.example", NULL);
    ask("GET /", ORIGIN);
    expect("Access-Control-Allow-Origin", "https://a.example");
    ask("GET /", "Origin: https://c.example\r\n");
    expect("Access-Control-Allow-Origin", "");
    end();
    begin_with(NULL, NULL);
    ask("OPTIONS /", PREFLIGHT);
    cr_expect_eq(reply.status, 200, "nothing is set: the route answers");
    expect("Access-Control-Allow-Origin", "");
    expect("Vary", "");
    end();
}

Test(http_cors, options_that_cannot_be_meant_are_refused)
{
    cr_expect_null(
        cw_http_cors(&(struct cw_http_cors_options){.origins = "*", .credentials = true}));
    cr_expect_null(cw_http_cors(&(struct cw_http_cors_options){.origins = "*", .allow = is_ours}));
    cr_expect_null(cw_http_cors(&(struct cw_http_cors_options){.origins = "https://a.example/"}));
    cr_expect_null(cw_http_cors(&(struct cw_http_cors_options){.methods = "GET;PUT"}));
    cr_expect_null(cw_http_cors(&(struct cw_http_cors_options){.headers = "X-A\r\nX-B: c"}));
    cr_expect_null(cw_http_cors(&(struct cw_http_cors_options){.exposed = "X A"}));
    cr_expect_null(cw_http_cors(&(struct cw_http_cors_options){.max_age_s = 86401}));
}
