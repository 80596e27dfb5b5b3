/* udp alone: the connection and the server are this test's own. */
#include "support/leak.h"

#include <causeway/causeway.h>
#include <causeway/protocol.h>
#include <criterion/criterion.h>

struct cw_conn {
    struct cw_udp_options options;
    struct cw_message delivered;
    size_t deliveries;
    struct cw_span written;
    size_t writes;
    size_t parts;
    int answer; /* what the next call says */
    enum cw_role role;
    bool over_tls;
};

const void *cw_conn_options(const struct cw_conn *conn)
{
    return &conn->options;
}

int cw_conn_deliver(struct cw_conn *conn, const struct cw_message *msg)
{
    conn->delivered = *msg;
    conn->deliveries++;
    return conn->answer;
}

int cw_conn_write(struct cw_conn *conn, const struct cw_span *parts, size_t count)
{
    conn->written = parts[0];
    conn->parts = count;
    conn->writes++;
    return conn->answer;
}

enum cw_role cw_conn_role(const struct cw_conn *conn)
{
    return conn->role;
}

int cw_conn_tls(const struct cw_conn *conn, struct cw_tls_info *info)
{
    return conn->over_tls ? CW_OK : CW_ENOTFOUND;
}

int cw_conn_fail(struct cw_conn *conn, int code, const char *format, ...)
{
    return code;
}

static const struct cw_protocol *configured;

int cw_server_set_protocol_options(struct cw_server *server, const struct cw_protocol *protocol,
                                   const void *options)
{
    configured = protocol;
    return options != NULL ? CW_ESTATE : CW_EINVAL;
}

TestSuite(udp, .fini = rig_expect_no_leak, .timeout = 30);

static uint8_t bytes[70000];

static struct cw_udp_options settled(struct cw_udp_options options)
{
    struct cw_complaint complaint = {""};

    cr_assert_eq(cw_udp.configure(&options, &complaint), CW_OK, "%s", complaint.text);
    return options;
}

static void expect_refused(struct cw_udp_options options, const char *text)
{
    struct cw_complaint complaint = {""};

    cr_assert_eq(cw_udp.configure(&options, &complaint), CW_EINVAL, "allowed: %s", text);
    cr_assert_str_eq(complaint.text, text);
}

static struct cw_conn conn_with(struct cw_udp_options options)
{
    return (struct cw_conn){.options = settled(options)};
}

/* ---- options ---- */

Test(udp, is_a_protocol_of_datagrams_without_a_state)
{
    cr_assert_str_eq(cw_udp.name, "udp");
    cr_assert_eq(cw_udp.transport, CW_DATAGRAM);
    cr_assert_eq(cw_udp.state_size, 0);
    cr_assert_eq(cw_udp.options_size, sizeof(struct cw_udp_options));
}

Test(udp, the_longest_datagram_of_ipv4_is_the_standard_limit)
{
    struct cw_udp_options options = settled((struct cw_udp_options){0});

    cr_assert_eq(options.datagram_max_bytes, 65507);
    cr_assert_eq(cw_udp.message_max(&options), 65507);
    options = settled((struct cw_udp_options){.datagram_max_bytes = CW_NO_LIMIT});
    cr_assert_eq(options.datagram_max_bytes, 65507);
}

Test(udp, a_limit_is_at_least_one_byte_and_no_more_than_a_datagram_holds)
{
    cr_assert_eq(settled((struct cw_udp_options){.datagram_max_bytes = 1}).datagram_max_bytes, 1);
    cr_assert_eq(settled((struct cw_udp_options){.datagram_max_bytes = 65507}).datagram_max_bytes,
                 65507);
    expect_refused((struct cw_udp_options){.datagram_max_bytes = 65508},
                   "datagram_max_bytes: 65508, but 65507 is the most a datagram can hold");
    expect_refused((struct cw_udp_options){.datagram_max_bytes = CW_OFF},
                   "datagram_max_bytes: 18446744073709551614, but 65507 is the most a datagram can "
                   "hold");
}

Test(udp, a_kind_that_is_none_is_refused)
{
    expect_refused((struct cw_udp_options){.kind = (enum cw_kind)2},
                   "kind: neither CW_BINARY nor CW_TEXT");
}

Test(udp, the_limit_may_stand_in_a_file)
{
    const struct cw_setting *setting = cw_udp.settings;

    cr_assert_str_eq(setting->key, "max_frame_size");
    cr_assert_eq(setting->kind, CW_SETTING_BYTES);
    cr_assert_eq(setting->offset, offsetof(struct cw_udp_options, datagram_max_bytes));
    cr_assert_eq(setting->least, 1);
    cr_assert_eq(setting->most, 65507);
    cr_assert_null(setting[1].key);
}

Test(udp, options_are_set_for_this_protocol)
{
    cr_assert_eq(cw_udp_configure(NULL, &(struct cw_udp_options){0}), CW_ESTATE);
    cr_assert_eq(configured, &cw_udp);
    cr_assert_eq(cw_udp_configure(NULL, NULL), CW_EINVAL);
}

Test(udp, a_service_names_the_protocol_and_borrows_the_rest)
{
    const struct cw_udp_options options = {0};
    const struct cw_hooks hooks = {0};
    int user;
    struct cw_service service = cw_udp_service(&options, &hooks, &user);

    cr_assert_eq(service.protocol, &cw_udp);
    cr_assert_eq(service.options, &options);
    cr_assert_eq(service.hooks, &hooks);
    cr_assert_eq(service.user, &user);
}

/* ---- in ---- */

Test(udp, a_datagram_is_one_whole_message_of_the_kind_that_was_asked_for)
{
    struct cw_conn conn = conn_with((struct cw_udp_options){.kind = CW_TEXT});

    cr_assert_eq(cw_udp.on_bytes(&conn, NULL, bytes, 500), 500);
    cr_assert_eq(conn.deliveries, 1);
    cr_assert_eq(conn.delivered.body.data, bytes);
    cr_assert_eq(conn.delivered.body.len, 500);
    cr_assert_eq(conn.delivered.kind, CW_TEXT);
    cr_assert_eq(conn.delivered.part, CW_WHOLE);
    conn = conn_with((struct cw_udp_options){0});
    cw_udp.on_bytes(&conn, NULL, bytes, 1);
    cr_assert_eq(conn.delivered.kind, CW_BINARY);
}

Test(udp, an_empty_datagram_is_an_empty_message)
{
    struct cw_conn conn = conn_with((struct cw_udp_options){0});

    cr_assert_eq(cw_udp.on_bytes(&conn, NULL, bytes, 0), 0);
    cr_assert_eq(conn.deliveries, 1);
    cr_assert_eq(conn.delivered.body.len, 0);
}

Test(udp, all_of_a_datagram_is_used_also_when_the_hook_says_stop)
{
    struct cw_conn conn = conn_with((struct cw_udp_options){0});

    conn.answer = CW_STOP;
    cr_assert_eq(cw_udp.on_bytes(&conn, NULL, bytes, 7), 7);
}

/* ---- without peers ---- */

struct asked {
    struct cw_loop *loop;
    struct cw_datagram *from;
    struct cw_message msg;
    size_t calls;
};

static void keep(struct cw_loop *loop, struct cw_datagram *from, const struct cw_message *msg,
                 void *user)
{
    struct asked *asked = user;

    *asked = (struct asked){loop, from, *msg, asked->calls + 1};
}

Test(udp, without_on_datagram_every_datagram_goes_to_its_peer)
{
    struct cw_udp_options options = settled((struct cw_udp_options){0});
    struct cw_datagram from = {.credit = 1};

    cr_assert_eq(cw_udp.on_datagram(NULL, &options, NULL, &from, cw_span_of(bytes, 5)), 0);
}

Test(udp, on_datagram_takes_the_place_of_peers)
{
    struct cw_udp_options options =
        settled((struct cw_udp_options){.kind = CW_TEXT, .on_datagram = keep});
    struct cw_datagram from = {.credit = 1};
    struct cw_loop *loop = (struct cw_loop *)bytes; /* only handed on */
    struct asked asked = {0};

    cr_assert_eq(cw_udp.on_datagram(loop, &options, &asked, &from, cw_span_of(bytes, 5)), 1);
    cr_assert_eq(asked.loop, loop);
    cr_assert_eq(asked.from, &from, "its credit is counted down where it is");
    cr_assert_eq(asked.msg.body.data, bytes);
    cr_assert_eq(asked.msg.body.len, 5);
    cr_assert_eq(asked.msg.kind, CW_TEXT);
    cr_assert_eq(cw_udp.on_datagram(loop, &options, &asked, &from, cw_span_of(bytes, 0)), 1);
    cr_assert_eq(asked.calls, 2);
    cr_assert_eq(asked.msg.body.len, 0);
}

Test(udp, over_dtls_there_are_peers_and_a_service_without_them_is_refused)
{
    struct cw_conn conn = conn_with((struct cw_udp_options){.on_datagram = keep});

    cr_assert_eq(cw_udp.open(&conn, NULL, NULL), CW_OK);
    conn.over_tls = true;
    cr_assert_eq(cw_udp.open(&conn, NULL, NULL), CW_EINVAL);
    conn.role = CW_CLIENT;
    cr_assert_eq(cw_udp.open(&conn, NULL, NULL), CW_OK, "a client has no use for it, nor trouble");
    conn = conn_with((struct cw_udp_options){0});
    conn.over_tls = true;
    cr_assert_eq(cw_udp.open(&conn, NULL, NULL), CW_OK);
}

/* ---- out ---- */

Test(udp, a_message_is_one_write_of_one_part)
{
    struct cw_conn conn = conn_with((struct cw_udp_options){0});
    struct cw_message msg = cw_message_of(bytes, 65507);

    conn.answer = 1;
    cr_assert_eq(cw_udp.send(&conn, NULL, &msg), 1);
    cr_assert_eq(conn.writes, 1);
    cr_assert_eq(conn.parts, 1);
    cr_assert(cw_span_equal(conn.written, msg.body));
    msg = cw_message_text("a text is bytes too");
    cw_udp.send(&conn, NULL, &msg);
    cr_assert_eq(conn.writes, 2);
}

Test(udp, an_empty_message_is_written_too)
{
    struct cw_conn conn = conn_with((struct cw_udp_options){0});
    struct cw_message msg = {0};

    cr_assert_eq(cw_udp.send(&conn, NULL, &msg), CW_OK);
    cr_assert_eq(conn.writes, 1);
    cr_assert_eq(conn.parts, 1);
    cr_assert_eq(conn.written.len, 0);
}

Test(udp, what_is_too_long_is_refused_before_it_is_written)
{
    struct cw_conn conn = conn_with((struct cw_udp_options){.datagram_max_bytes = 10});
    struct cw_message msg = cw_message_of(bytes, 11);

    cr_assert_eq(cw_udp.send(&conn, NULL, &msg), CW_ETOOBIG);
    cr_assert_eq(conn.writes, 0);
    msg = cw_message_of(bytes, 10);
    cr_assert_eq(cw_udp.send(&conn, NULL, &msg), CW_OK);
}

Test(udp, pieces_of_a_message_are_no_datagrams)
{
    static const enum cw_part parts[] = {CW_BEGIN, CW_CHUNK, CW_END};
    struct cw_conn conn = conn_with((struct cw_udp_options){0});
    struct cw_payload *payload = NULL;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct cw_message msg = {.part = parts[i], .total = 1};

        cr_assert_eq(cw_udp.send(&conn, NULL, &msg), CW_EKIND);
        cr_assert_eq(
            cw_udp.encode(&(struct cw_wire_format){.options = &conn.options}, &msg, &payload),
            CW_EKIND);
    }
    cr_assert_eq(conn.writes, 0);
    cr_assert_null(cw_udp.send_raw, "a file is no datagram either");
}

static int encoded(uint64_t max, size_t len)
{
    struct cw_udp_options options = settled((struct cw_udp_options){.datagram_max_bytes = max});
    struct cw_message msg = cw_message_of(bytes, len);
    struct cw_payload *payload = NULL;
    int code = cw_udp.encode(&(struct cw_wire_format){.options = &options}, &msg, &payload);

    if (code == CW_OK) {
        cr_assert(cw_span_equal(cw_payload_span(payload), msg.body));
    } else {
        cr_assert_null(payload);
    }
    cw_payload_drop(payload);
    return code;
}

Test(udp, a_message_for_many_is_its_body)
{
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 31 >> 3);
    }
    cr_assert_eq(encoded(0, 0), CW_OK);
    cr_assert_eq(encoded(0, 65507), CW_OK);
    cr_assert_eq(encoded(0, 65508), CW_ETOOBIG);
    cr_assert_eq(encoded(10, 11), CW_ETOOBIG);
}

Test(udp, messages_are_shared_by_those_with_the_same_limit)
{
    struct cw_conn small = conn_with((struct cw_udp_options){.datagram_max_bytes = 10});
    struct cw_conn text =
        conn_with((struct cw_udp_options){.datagram_max_bytes = 10, .kind = CW_TEXT});
    struct cw_conn large = conn_with((struct cw_udp_options){0});

    cr_assert_neq(cw_udp.wire_key(&small, NULL), 0);
    cr_assert_eq(cw_udp.wire_key(&small, NULL), cw_udp.wire_key(&text, NULL));
    cr_assert_neq(cw_udp.wire_key(&small, NULL), cw_udp.wire_key(&large, NULL));
}
