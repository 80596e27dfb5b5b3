#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/rig.h"

#include <causeway/http.h>
#include <causeway/middleware/http_request_id.h>
#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(http_request_id, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_host *host;
static struct http_peer peer;
static struct http_reply reply;

static void tell_id(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, cw_http_request_id_of(http));
}

static void begin(const char *trusted, const struct cw_http_request_id_options *options)
{
    struct cw_server *server =
        rig_server(&cw_http, &(struct cw_server_options){.trusted_proxies = trusted});

    cw_http_use(server, cw_http_request_id(options));
    cw_http_route(server, "GET /", tell_id, NULL);
    host = rig_host_start(server, NULL, NULL);
    peer = http_peer_new(rig_host_port(host, 0));
}

static void end(void)
{
    http_reply_release(&reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

/* What the answer's field says, copied. */
static const char *ask(const char *fields)
{
    static char id[2048];
    char request[4096];

    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    http_reply_release(&reply);
    http_peer_ask(&peer, request, &reply);
    snprintf(id, sizeof id, "%s", http_reply_field(&reply, "X-Request-Id"));
    return id;
}

static bool is_made(const char *id)
{
    return strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32;
}

Test(http_request_id, each_request_has_an_id_that_handler_and_client_see)
{
    char first[64];

    begin(NULL, NULL);
    snprintf(first, sizeof first, "%.60s", ask(""));
    cr_expect(is_made(first), "%s", first);
    cr_expect_str_eq((const char *)reply.body, first);
    cr_expect(is_made(ask("")));
    cr_expect_str_neq(http_reply_field(&reply, "X-Request-Id"), first);
    end();
}

Test(http_request_id, an_answer_without_a_route_has_one_too)
{
    begin(NULL, NULL);
    http_reply_release(&reply);
    http_peer_ask(&peer, "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_expect_eq(reply.status, 404);
    cr_expect(is_made(http_reply_field(&reply, "X-Request-Id")));
    end();
}

Test(http_request_id, a_trusted_proxys_id_is_taken_over)
{
    begin("127.0.0.1", NULL);
    cr_expect_str_eq(ask("X-Request-Id: Root=1-5759e988:a/b_c.d~e+f=g@h\r\n"),
                     "Root=1-5759e988:a/b_c.d~e+f=g@h");
    cr_expect_str_eq((const char *)reply.body, "Root=1-5759e988:a/b_c.d~e+f=g@h");
    end();
}

Test(http_request_id, a_clients_id_is_not_taken_over_unless_that_is_wanted)
{
    begin(NULL, NULL);
    cr_expect(is_made(ask("X-Request-Id: mine\r\n")));
    end();
    begin(NULL, &(struct cw_http_request_id_options){.from = CW_REQUEST_ID_FROM_ANYONE});
    cr_expect_str_eq(ask("X-Request-Id: mine\r\n"), "mine");
    end();
}

Test(http_request_id, nobodys_id_is_taken_over_where_that_is_said)
{
    begin("127.0.0.1", &(struct cw_http_request_id_options){.from = CW_REQUEST_ID_FROM_NOBODY});
    cr_expect(is_made(ask("X-Request-Id: mine\r\n")));
    end();
}

Test(http_request_id, what_is_malformed_too_long_or_there_twice_is_replaced)
{
    begin("127.0.0.1", &(struct cw_http_request_id_options){.len_max = 8});
    cr_expect_str_eq(ask("X-Request-Id: 12345678\r\n"), "12345678");
    cr_expect(is_made(ask("X-Request-Id: 123456789\r\n")));
    cr_expect(is_made(ask("X-Request-Id: a b\r\n")));
    cr_expect(is_made(ask("X-Request-Id: a\"b\r\n")));
    cr_expect(is_made(ask("X-Request-Id: a\xc3\xbc\r\n")));
    cr_expect(is_made(ask("X-Request-Id:\r\n")));
    cr_expect(is_made(ask("X-Request-Id: a\r\nX-Request-Id: b\r\n")));
    end();
}

Test(http_request_id, the_field_may_have_another_name)
{
    begin("127.0.0.1", &(struct cw_http_request_id_options){.field = "X-Amzn-Trace-Id"});
    cr_expect_str_eq(ask("X-Amzn-Trace-Id: 1-2\r\n"), "");
    cr_expect_str_eq(http_reply_field(&reply, "X-Amzn-Trace-Id"), "1-2");
    end();
}

Test(http_request_id, without_the_middleware_the_id_is_empty)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    cw_http_route(server, "GET /", tell_id, NULL);
    host = rig_host_start(server, NULL, NULL);
    peer = http_peer_new(rig_host_port(host, 0));
    cr_expect_str_eq(ask(""), "");
    cr_expect_eq(reply.body_len, 0);
    end();
}
