#include "support/fault.h"
#include "support/leak.h"
#include "websocket/ws_impl.h"

#include <causeway/error.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(ws_settings, .fini = rig_expect_no_leak, .timeout = 60);

static struct cw_complaint complaint;

static void expect_refused(struct cw_websocket_options options, const char *text)
{
    complaint.text[0] = '\0';
    cr_expect_eq(cw_ws_check_options(&options, &complaint), CW_EINVAL, "%s", text);
    cr_expect_str_eq(complaint.text, text);
}

/* Whoever asks releases what it gets. */
static struct cw_websocket_options allowed(struct cw_websocket_options options)
{
    cr_assert_eq(cw_ws_check_options(&options, &complaint), 0, "%s", complaint.text);
    return options;
}

static int no_request(struct cw_http_exchange *http, void *user)
{
    return CW_HTTP_NEXT;
}

/* ---- numbers ---- */

Test(ws_settings, zeros_become_the_defaults)
{
    struct cw_websocket_options options = allowed((struct cw_websocket_options){0});

    cr_expect_eq(options.message_max_bytes, 1048576);
    cr_expect_eq(options.stream_above_bytes, 0);
    cr_expect_eq(options.messages_max_bytes, 268435456);
    cr_expect_eq(options.pings_per_second_max, 100);
    cr_expect_eq(options.ping_interval_ms, 30000);
    cr_expect_eq(options.pong_timeout_ms, 10000);
    cr_expect_not(options.compress);
    cr_expect_eq(options.deflate.above_bytes, 128);
    cr_expect_eq(options.deflate.level, 1);
    cr_expect_eq(options.deflate.window_bits, 15);
    cr_expect_eq(options.deflate.peer_window_bits, 15);
    cr_expect_null(options.subprotocols);
    cr_expect_null(options.origins);
    cr_expect_null(options.host);
    cr_expect_null(options.target);
    cr_expect_null(options.fields);
    cr_expect_eq(options.head_max_bytes, 16384);
    cr_expect_eq(options.http->head_max_bytes, 16384);
    cw_ws_release_options(&options);
}

Test(ws_settings, what_can_be_lifted_is_and_says_so_in_one_way)
{
    for (int i = 0; i < 2; i++) {
        uint64_t lifted = i == 0 ? CW_NO_LIMIT : CW_OFF;
        struct cw_websocket_options options =
            allowed((struct cw_websocket_options){.message_max_bytes = lifted,
                                                  .stream_above_bytes = lifted,
                                                  .messages_max_bytes = lifted,
                                                  .pings_per_second_max = lifted,
                                                  .ping_interval_ms = lifted,
                                                  .pong_timeout_ms = lifted,
                                                  .deflate.above_bytes = lifted});

        cr_expect_eq(options.message_max_bytes, CW_NO_LIMIT);
        cr_expect_eq(options.stream_above_bytes, 0, "all come whole");
        cr_expect_eq(options.messages_max_bytes, CW_NO_LIMIT);
        cr_expect_eq(options.pings_per_second_max, CW_NO_LIMIT);
        cr_expect_eq(options.ping_interval_ms, CW_OFF);
        cr_expect_eq(options.pong_timeout_ms, CW_OFF);
        cr_expect_eq(options.deflate.above_bytes, CW_NO_LIMIT);
        cw_ws_release_options(&options);
    }
}

Test(ws_settings, numbers_out_of_range_are_refused_by_name)
{
    expect_refused((struct cw_websocket_options){.message_max_bytes = (uint64_t)INT64_MAX + 1},
                   "message_max_bytes: at most 9223372036854775807, or CW_NO_LIMIT, is allowed");
    expect_refused((struct cw_websocket_options){.stream_above_bytes = (uint64_t)INT64_MAX + 1},
                   "stream_above_bytes: at most 9223372036854775807; 0 is none");
    expect_refused((struct cw_websocket_options){.ping_interval_ms = 31536000001},
                   "ping_interval_ms: at most 31536000000, or CW_OFF, is allowed");
    expect_refused((struct cw_websocket_options){.pong_timeout_ms = 31536000001},
                   "pong_timeout_ms: at most 31536000000, or CW_OFF, is allowed");
    expect_refused((struct cw_websocket_options){.deflate.level = 10},
                   "deflate.level: at most 9 is allowed");
    expect_refused((struct cw_websocket_options){.deflate.window_bits = 7},
                   "deflate.window_bits: 8 to 15 is allowed");
    expect_refused((struct cw_websocket_options){.deflate.window_bits = 16},
                   "deflate.window_bits: 8 to 15 is allowed");
    expect_refused((struct cw_websocket_options){.deflate.peer_window_bits = CW_OFF},
                   "deflate.peer_window_bits: 8 to 15 is allowed");
    expect_refused((struct cw_websocket_options){.head_max_bytes = 1048577},
                   "head_max_bytes: at most 1048576 is allowed");
}

Test(ws_settings, messages_in_pieces_have_no_limit_by_default)
{
    struct cw_websocket_options options =
        allowed((struct cw_websocket_options){.stream_above_bytes = 4096});
    struct cw_websocket_options both = allowed(
        (struct cw_websocket_options){.stream_above_bytes = 4096, .message_max_bytes = 65536});

    cr_expect_eq(options.message_max_bytes, CW_NO_LIMIT);
    cr_expect_eq(both.message_max_bytes, 65536);
    cw_ws_release_options(&options);
    cw_ws_release_options(&both);
}

Test(ws_settings, limits_that_contradict_each_other_are_refused)
{
    expect_refused(
        (struct cw_websocket_options){.stream_above_bytes = 65537, .message_max_bytes = 65536},
        "stream_above_bytes: is above message_max_bytes");
    expect_refused(
        (struct cw_websocket_options){.message_max_bytes = 4097, .messages_max_bytes = 4096},
        "messages_max_bytes: is below message_max_bytes");
    expect_refused(
        (struct cw_websocket_options){.stream_above_bytes = 4097, .messages_max_bytes = 4096},
        "messages_max_bytes: is below stream_above_bytes");
}

Test(ws_settings, the_largest_message_fits_under_the_default_of_their_sum)
{
    struct cw_websocket_options options =
        allowed((struct cw_websocket_options){.message_max_bytes = 1ull << 32});

    cr_expect_eq(options.messages_max_bytes, 1ull << 32);
    cw_ws_release_options(&options);
}

/* ---- texts ---- */

Test(ws_settings, texts_fields_and_the_options_of_requests_are_copied)
{
    char subprotocols[] = "v2, v1";
    char origins[] = "https://a.example";
    char host[] = "a.example:8080";
    char target[] = "/chat?x=1";
    char name[] = "Cookie";
    char value[] = "id=7";
    char server[] = "Causeway";
    struct cw_http_pair fields[] = {{name, value}, {"X-Empty", ""}, {NULL, NULL}};
    struct cw_http_options http = {.server_name = server, .fields_max = 20};
    struct cw_websocket_options options =
        allowed((struct cw_websocket_options){.subprotocols = subprotocols,
                                              .origins = origins,
                                              .host = host,
                                              .target = target,
                                              .fields = fields,
                                              .http = &http});

    memset(subprotocols, 'x', sizeof subprotocols - 1);
    memset(origins, 'x', sizeof origins - 1);
    memset(host, 'x', sizeof host - 1);
    memset(target, 'x', sizeof target - 1);
    memset(name, 'x', sizeof name - 1);
    memset(value, 'x', sizeof value - 1);
    memset(server, 'x', sizeof server - 1);
    memset(fields, 0, sizeof fields);
    memset(&http, 0, sizeof http);
    cr_expect_str_eq(options.subprotocols, "v2, v1");
    cr_expect_str_eq(options.origins, "https://a.example");
    cr_expect_str_eq(options.host, "a.example:8080");
    cr_expect_str_eq(options.target, "/chat?x=1");
    cr_expect_str_eq(options.fields[0].name, "Cookie");
    cr_expect_str_eq(options.fields[0].value, "id=7");
    cr_expect_str_eq(options.fields[1].name, "X-Empty");
    cr_expect_str_eq(options.fields[1].value, "");
    cr_expect_null(options.fields[2].name);
    cr_expect_str_eq(options.http->server_name, "Causeway");
    cr_expect_eq(options.http->fields_max, 20);
    cr_expect_eq(options.http->head_max_bytes, 16384);
    cw_ws_release_options(&options);
}

Test(ws_settings, subprotocols_are_tokens_and_each_stands_once)
{
    static const char *const wrong[][2] = {
        {"", "subprotocols: is empty; NULL is none"},
        {" , ", "subprotocols: is empty; NULL is none"},
        {"v1, v/2", "subprotocols: v/2 is no token (RFC 9110 §5.6.2)"},
        {"v1;v2", "subprotocols: v1;v2 is no token (RFC 9110 §5.6.2)"},
        {"v1 v2,v1", "subprotocols: v1 stands there twice"},
    };
    char *endless = calloc(1, 1026);
    struct cw_websocket_options options =
        allowed((struct cw_websocket_options){.subprotocols = "v1 V1,v1.2"});

    cw_ws_release_options(&options);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        expect_refused((struct cw_websocket_options){.subprotocols = wrong[i][0]}, wrong[i][1]);
    }
    memset(endless, 'v', 1025);
    expect_refused((struct cw_websocket_options){.subprotocols = endless},
                   "subprotocols: is longer than 1024 bytes");
    free(endless);
}

Test(ws_settings, a_subprotocol_is_required_only_where_there_can_be_one)
{
    struct cw_websocket_options options = allowed(
        (struct cw_websocket_options){.subprotocol_required = true, .on_handshake = no_request});

    cw_ws_release_options(&options);
    expect_refused((struct cw_websocket_options){.subprotocol_required = true},
                   "subprotocol_required: there are no subprotocols; name them, or choose in "
                   "on_handshake");
}

Test(ws_settings, origins_are_origins)
{
    struct cw_websocket_options any = allowed((struct cw_websocket_options){.origins = "*"});

    cw_ws_release_options(&any);
    expect_refused((struct cw_websocket_options){.origins = "a.example"},
                   "origins: a.example is no origin: https://name, with :port if it has one and "
                   "nothing behind it");
    expect_refused((struct cw_websocket_options){.origins = ""},
                   "origins: origins is empty; NULL takes the default");
}

Test(ws_settings, what_a_request_cannot_say_is_refused)
{
    static const struct cw_http_pair own[] = {{"sec-websocket-KEY", "x"}, {NULL, NULL}};
    static const struct cw_http_pair no_name[] = {{"a b", "x"}, {NULL, NULL}};
    static const struct cw_http_pair two_lines[] = {{"Cookie", "a\r\nb: c"}, {NULL, NULL}};
    static const struct cw_http_pair no_value[] = {{"Cookie", NULL}, {NULL, NULL}};

    expect_refused((struct cw_websocket_options){.host = ""},
                   "host: is no host[:port]; NULL is the address");
    expect_refused((struct cw_websocket_options){.host = "a.example/x"},
                   "host: is no host[:port]; NULL is the address");
    expect_refused((struct cw_websocket_options){.host = "a\r\nb"},
                   "host: is no host[:port]; NULL is the address");
    expect_refused((struct cw_websocket_options){.target = "chat"},
                   "target: does not begin with a slash");
    expect_refused((struct cw_websocket_options){.target = "/a b"},
                   "target: holds a byte that has to be written as %XX, or a fragment");
    expect_refused((struct cw_websocket_options){.target = "/a#b"},
                   "target: holds a byte that has to be written as %XX, or a fragment");
    expect_refused((struct cw_websocket_options){.fields = own},
                   "fields: sec-websocket-KEY is the handshake's own");
    expect_refused((struct cw_websocket_options){.fields = no_name},
                   "fields: a b is no field's name");
    expect_refused((struct cw_websocket_options){.fields = two_lines},
                   "fields: Cookie has a value that is none");
    expect_refused((struct cw_websocket_options){.fields = no_value},
                   "fields: Cookie has a value that is none");
}

Test(ws_settings, the_options_of_requests_are_judged_too)
{
    expect_refused(
        (struct cw_websocket_options){.http = &(struct cw_http_options){.fields_max = 1001}},
        "http.fields_max: at most 1000 is allowed");
}

Test(ws_settings, without_memory_nothing_is_left_behind)
{
    static const struct cw_http_pair fields[] = {{"Cookie", "a=b"}, {NULL, NULL}};
    bool refused = true;

    fault_install();
    for (size_t nth = 1; refused; nth++) {
        struct cw_websocket_options options = {.subprotocols = "v1",
                                               .origins = "https://a.example",
                                               .host = "a",
                                               .target = "/",
                                               .fields = fields};

        fault_arm(nth);
        int error = cw_ws_check_options(&options, &complaint);
        refused = fault_disarm();
        cr_expect_eq(error < 0, refused);
        if (error == 0) {
            cr_expect_gt(nth, 6);
            cw_ws_release_options(&options);
        }
    }
    fault_remove();
}

/* ---- the file's keys ---- */

Test(ws_settings, every_key_leads_to_a_member_once)
{
    size_t count = 0;

    for (const struct cw_setting *at = cw_ws_settings; at->key; at++, count++) {
        cr_expect_lt(at->offset, sizeof(struct cw_websocket_options));
        for (const struct cw_setting *other = cw_ws_settings; other != at; other++) {
            cr_expect_str_neq(at->key, other->key);
            cr_expect_neq(at->offset, other->offset, "%s and %s", at->key, other->key);
        }
    }
    cr_expect_leq(count, 32, "as many as a section may have");
}
