#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/rig.h"

#include <causeway/http.h>
#include <causeway/middleware/http_security_headers.h>
#include <criterion/criterion.h>

TestSuite(http_security_headers, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_host *host;
static struct http_peer peer;
static struct http_reply reply;

static void plain(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "hello");
}

static void own(struct cw_http_exchange *http, void *user)
{
    cw_http_set_field(http, "Content-Security-Policy", "default-src *");
    cw_http_set_field(http, "Cache-Control", "max-age=60");
    cw_http_reply_text(http, 200, "hello");
}

static void begin(const struct cw_http_security_headers_options *options)
{
    struct cw_server *server =
        rig_server(&cw_http, &(struct cw_server_options){.trusted_proxies = "127.0.0.1"});

    cw_http_use(server, cw_http_security_headers(options));
    cw_http_route(server, "GET /", plain, NULL);
    cw_http_route(server, "GET /own", own, NULL);
    host = rig_host_start(server, NULL, NULL);
    peer = http_peer_new(rig_host_port(host, 0));
}

static void end(void)
{
    http_reply_release(&reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

static void ask(const char *request)
{
    http_reply_release(&reply);
    http_peer_ask(&peer, request, &reply);
}

static void expect(const char *name, const char *value)
{
    cr_expect_str_eq(http_reply_field(&reply, name), value, "%s: %s", name,
                     http_reply_field(&reply, name));
}

Test(http_security_headers, the_default_is_on_every_answer)
{
    begin(NULL);
    for (int i = 0; i < 2; i++) {
        ask(i == 0 ? "GET / HTTP/1.1\r\nHost: a\r\n\r\n" : "GET /no HTTP/1.1\r\nHost: a\r\n\r\n");
        expect("X-Content-Type-Options", "nosniff");
        expect("Referrer-Policy", "strict-origin-when-cross-origin");
        expect("X-Frame-Options", "SAMEORIGIN");
        expect("Content-Security-Policy",
               "frame-ancestors 'self'; base-uri 'self'; object-src 'none'");
        expect("Cross-Origin-Opener-Policy", "same-origin-allow-popups");
        expect("Cross-Origin-Resource-Policy", "same-site");
        expect("Cross-Origin-Embedder-Policy", "");
        expect("Permissions-Policy", "");
        expect("Cache-Control", "");
    }
    end();
}

Test(http_security_headers, the_strict_preset_is_stricter)
{
    begin(&(struct cw_http_security_headers_options){.preset = CW_SECURITY_STRICT});
    ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect("X-Frame-Options", "DENY");
    expect("Referrer-Policy", "no-referrer");
    expect("Cross-Origin-Embedder-Policy", "require-corp");
    cr_expect_not_null(
        strstr(http_reply_field(&reply, "Content-Security-Policy"), "default-src 'self'"));
    cr_expect_str_neq(http_reply_field(&reply, "Permissions-Policy"), "");
    end();
}

Test(http_security_headers, answers_of_an_api_are_not_stored)
{
    begin(&(struct cw_http_security_headers_options){.preset = CW_SECURITY_API});
    ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect("Cache-Control", "no-store");
    expect("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    expect("Cross-Origin-Opener-Policy", "");
    end();
}

Test(http_security_headers, each_can_be_changed_and_left_out)
{
    begin(&(struct cw_http_security_headers_options){.frame_options = "",
                                                     .content_security_policy = "default-src x:",
                                                     .permissions_policy = "camera=()"});
    ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect("X-Frame-Options", "");
    expect("Content-Security-Policy", "default-src x:");
    expect("Permissions-Policy", "camera=()");
    expect("X-Content-Type-Options", "nosniff");
    end();
}

Test(http_security_headers, what_the_handler_has_set_wins)
{
    begin(&(struct cw_http_security_headers_options){.preset = CW_SECURITY_API});
    ask("GET /own HTTP/1.1\r\nHost: a\r\n\r\n");
    expect("Content-Security-Policy", "default-src *");
    expect("Cache-Control", "max-age=60");
    expect("X-Content-Type-Options", "nosniff");
    end();
}

Test(http_security_headers, strict_transport_security_is_for_tls_alone)
{
    begin(NULL);
    ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect("Strict-Transport-Security", "");
    ask("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\r\n");
    expect("Strict-Transport-Security", "max-age=15552000");
    end();
}

Test(http_security_headers, a_value_that_would_be_two_fields_is_refused)
{
    cr_expect_null(cw_http_security_headers(
        &(struct cw_http_security_headers_options){.referrer_policy = "a\r\nSet-Cookie: b"}));
    cr_expect_null(cw_http_security_headers(
        &(struct cw_http_security_headers_options){.preset = (enum cw_http_security_preset)3}));
}
