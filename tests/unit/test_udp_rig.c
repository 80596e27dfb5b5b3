/* Connections of datagrams without a socket: what holds whichever protocol speaks. */
#include "conn_impl.h"
#include "support/fault.h"
#include "support/leak.h"
#include "support/rig.h"

#include <causeway/udp.h>
#include <criterion/criterion.h>

TestSuite(udp_rig, .fini = rig_expect_no_leak, .timeout = 60);

#define SPAN(text) cw_span_of(text, sizeof(text) - 1)

static struct rig *open_plain(void)
{
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &cw_udp});

    cr_assert_not_null(rig);
    return rig;
}

static struct rig *open_echo(enum rig_deed deed, size_t at)
{
    struct rig *rig = rig_new(
        &(struct rig_setup){.protocol = &cw_udp, .echo = true, .deed = deed, .deed_at = at});

    cr_assert_not_null(rig);
    return rig;
}

static void feed_text(struct rig *rig, const char *text)
{
    rig_feed(rig, text, strlen(text));
}

/* ---- out ---- */

Test(udp_rig, each_write_is_one_datagram_whatever_it_is_made_of)
{
    const struct cw_span parts[] = {SPAN("he"), SPAN(""), SPAN("llo")};
    struct cw_payload *payload = cw_payload_new(&parts[2], 1);
    struct rig *rig = open_plain();

    cr_assert_eq(cw_conn_write(rig->conn, parts, 3), 0);
    cr_assert_eq(cw_conn_write_control(rig->conn, parts, 1), 0);
    cr_assert_eq(cw_conn_write_payload(rig->conn, parts[0], payload), 0);
    cr_assert_eq(cw_conn_write_payload(rig->conn, SPAN(""), payload), 0);
    cr_assert_eq(cw_conn_share(rig->conn, payload, NULL, SIZE_MAX), 0);
    rig_run(rig);
    cr_assert_str_eq(rig_sent(rig), "\"hello\"\n\"he\"\n\"hello\"\n\"llo\"\n\"llo\"\n");
    cw_payload_drop(payload);
    rig_free(rig);
}

Test(udp_rig, an_empty_write_is_an_empty_datagram)
{
    const struct cw_span nothing = SPAN("");
    struct cw_payload *payload = cw_payload_new(NULL, 0);
    struct rig *rig = open_plain();

    cr_assert_eq(cw_conn_write(rig->conn, NULL, 0), 0);
    cr_assert_eq(cw_conn_write(rig->conn, &nothing, 1), 0);
    cr_assert_eq(cw_conn_write_control(rig->conn, &nothing, 1), 0);
    cr_assert_eq(cw_conn_write_payload(rig->conn, nothing, payload), 0);
    cr_assert_eq(cw_conn_share(rig->conn, payload, NULL, SIZE_MAX), 0);
    cr_assert_eq(cw_conn_send_text(rig->conn, ""), 0);
    rig_run(rig);
    cr_assert_str_eq(rig_sent(rig), "\"\"\n\"\"\n\"\"\n\"\"\n\"\"\n\"\"\n");
    cr_assert_eq(rig->conn->messages_out, 1, "messages are what was sent as such");
    cw_payload_drop(payload);
    rig_free(rig);
}

Test(udp_rig, what_the_socket_refuses_is_told_to_the_sender_and_waits_nowhere)
{
    struct cw_span part = SPAN("hello");
    struct cw_payload *payload = cw_payload_new(&part, 1);
    struct rig *rig = open_plain();

    rig->peer_takes = false;
    cr_assert_eq(cw_conn_write(rig->conn, &part, 1), CW_EFULL);
    cr_assert_eq(cw_conn_write_control(rig->conn, &part, 1), CW_EFULL);
    cr_assert_eq(cw_conn_write_payload(rig->conn, part, payload), CW_EFULL);
    cr_assert_eq(cw_conn_share(rig->conn, payload, NULL, SIZE_MAX), CW_EFULL);
    cr_assert_eq(cw_conn_send_text(rig->conn, "hello"), CW_EFULL);
    cr_assert_eq(rig->conn->messages_out, 0);
    rig->peer_takes = true;
    rig_run(rig);
    cr_assert_eq(rig->sends, 0);
    cr_assert_null(rig->conn->out);
    cw_payload_drop(payload);
    rig_free(rig);
}

Test(udp_rig, a_datagram_that_is_too_large_for_the_path_is_lost_alone)
{
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &cw_udp, .take = 5});

    cr_assert_eq(cw_conn_send_text(rig->conn, "123456"), CW_ETOOBIG);
    cr_assert_eq(cw_conn_send_text(rig->conn, "12345"), 0);
    rig_run(rig);
    cr_assert_str_eq(rig_sent(rig), "\"12345\"\n");
    cr_assert_not_null(rig->conn);
    rig_free(rig);
}

Test(udp_rig, nothing_is_sent_once_it_is_closing)
{
    struct cw_span part = SPAN("late");
    struct cw_payload *payload = cw_payload_new(&part, 1);
    struct rig *rig = open_plain();

    cr_assert_eq(cw_conn_send_text(rig->conn, "in time"), 0);
    cw_conn_close(rig->conn);
    cr_assert_eq(cw_conn_send_text(rig->conn, "late"), CW_ECLOSED);
    cr_assert_eq(cw_conn_write(rig->conn, &part, 1), CW_ECLOSED);
    cr_assert_eq(cw_conn_write_payload(rig->conn, part, payload), CW_ECLOSED);
    cr_assert_eq(cw_conn_share(rig->conn, payload, NULL, SIZE_MAX), CW_ECLOSED);
    rig_run(rig);
    cr_assert_str_eq(rig_sent(rig), "\"in time\"\n");
    cr_assert_str_eq(rig_told(rig), "open\nclose CW_BY_APP: closed by the application\n");
    cw_payload_drop(payload);
    rig_free(rig);
}

/* ---- in ---- */

Test(udp_rig, figures_count_datagrams_and_bytes)
{
    struct rig *rig = open_echo(RIG_NOTHING, 0);

    feed_text(rig, "hello");
    feed_text(rig, "");
    feed_text(rig, "you");
    cr_assert_eq(rig->conn->messages_in, 3);
    cr_assert_eq(rig->conn->messages_out, 3);
    cr_assert_eq(rig->conn->bytes_in, 8);
    cr_assert_eq(rig->conn->bytes_out, 8);
    rig_free(rig);
}

Test(udp_rig, a_turn_with_many_datagrams_holds_none_of_them_back)
{
    struct rig *rig =
        rig_new(&(struct rig_setup){.protocol = &cw_udp, .echo = true, .messages_per_turn = 1});

    for (unsigned i = 0; i < 3000; i++) {
        rig_put(rig, &i, sizeof i);
    }
    rig_run(rig);
    cr_assert_eq(rig->messages, 3000);
    cr_assert_eq(rig->sends, 3000);
    cr_assert_eq(rig_dropped_paused(rig), 0);
    rig_free(rig);
}

Test(udp_rig, a_peer_is_heard_while_it_cannot_be_answered)
{
    struct rig *rig = rig_new(
        &(struct rig_setup){.protocol = &cw_udp, .echo = true, .out_high = 8, .out_max = 16});

    rig->peer_takes = false;
    for (unsigned i = 0; i < 100; i++) {
        feed_text(rig, "hello");
    }
    cr_assert_eq(rig->messages, 100);
    cr_assert_eq(rig->send_error, CW_EFULL);
    rig->peer_takes = true;
    feed_text(rig, "again");
    cr_assert_str_eq(rig_sent(rig), "\"again\"\n");
    rig_free(rig);
}

/* ---- pause ---- */

Test(udp_rig, what_comes_while_paused_is_dropped_and_counted_for_its_connection_too)
{
    struct rig *rig = open_echo(RIG_PAUSE, 2);

    feed_text(rig, "one");
    feed_text(rig, "two");
    feed_text(rig, "");
    cr_assert_eq(rig_dropped_paused(rig), 2);
    cr_assert_eq(rig->conn->messages_in, 1);
    rig_resume(rig);
    feed_text(rig, "three");
    cr_assert_str_eq(rig_told(rig), "open\nbinary \"one\"\nbinary \"three\"\n");
    cr_assert_eq(rig_dropped_paused(rig), 2);
    rig_free(rig);
}

Test(udp_rig, a_paused_peer_may_be_sent_to)
{
    struct rig *rig = open_echo(RIG_PAUSE, 1);

    feed_text(rig, "unheard");
    cr_assert_eq(cw_conn_send_text(rig->conn, "hello"), 0);
    rig_run(rig);
    cr_assert_str_eq(rig_sent(rig), "\"hello\"\n");
    rig_free(rig);
}

Test(udp_rig, a_pause_in_the_middle_of_a_batch_drops_the_rest_of_it)
{
    struct rig *rig = open_echo(RIG_PAUSE, 3);

    for (unsigned i = 0; i < 10; i++) {
        rig_put(rig, "x", 1);
    }
    rig_run(rig);
    cr_assert_eq(rig->messages, 2);
    cr_assert_eq(rig_dropped_paused(rig), 8);
    rig_resume(rig);
    cr_assert_eq(rig->messages, 2);
    rig_free(rig);
}

/* ---- the end ---- */

Test(udp_rig, a_close_in_the_middle_of_a_batch_drops_the_rest_and_counts_nothing_as_paused)
{
    static const enum rig_deed deeds[] = {RIG_CLOSE, RIG_ABORT};

    for (size_t i = 0; i < 2; i++) {
        struct rig *rig = open_echo(deeds[i], 3);

        for (unsigned n = 0; n < 10; n++) {
            rig_put(rig, "x", 1);
        }
        rig_run(rig);
        cr_assert_null(rig->conn);
        cr_assert_eq(rig->messages, 2);
        cr_assert_eq(rig->closes, 1);
        cr_assert_eq(rig->code, i == 0 ? CW_BY_APP : CW_BY_ABORT);
        cr_assert_eq(rig_dropped_paused(rig), 0);
        rig_free(rig);
    }
}

Test(udp_rig, a_paused_peer_ends_in_order)
{
    struct rig *rig = open_echo(RIG_PAUSE, 1);

    feed_text(rig, "unheard");
    cw_conn_close(rig->conn);
    rig_run(rig);
    cr_assert_str_eq(rig_told(rig), "open\nclose CW_BY_APP: closed by the application\n");
    rig_free(rig);
}

/* ---- protocols that are not udp ---- */

static ptrdiff_t obey(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    const struct cw_message msg = cw_message_of(data, len);

    if (len > 0 && data[0] == '!') {
        return cw_conn_fail(conn, CW_EPROTO, "it was told to");
    }
    if (len > 0 && data[0] == 'h') {
        cw_conn_hold(conn);
    } else if (len > 0 && data[0] == 's') {
        cw_conn_soon(conn);
    } else if (len > 0 && data[0] == 'd') {
        cw_conn_set_deadline(conn, 1000);
    }
    (void)cw_conn_deliver(conn, &msg);
    return (ptrdiff_t)len;
}

static int say_soon(struct cw_conn *conn, void *state)
{
    uint8_t word[] = {'s', 'o', 'o', 'n'}; /* the rig writes over what it is told */
    const struct cw_message msg = cw_message_of(word, sizeof word);

    (void)cw_conn_deliver(conn, &msg);
    return CW_OK;
}

static int say_late(struct cw_conn *conn, void *state)
{
    const struct cw_span part = SPAN("late");

    cw_conn_unhold(conn);
    return cw_conn_write(conn, &part, 1);
}

static int say_goodbye(struct cw_conn *conn, void *state, const struct cw_close_reason *reason)
{
    const struct cw_span part = SPAN("goodbye");

    return cw_conn_write_control(conn, &part, 1) < 0 ? CW_EPROTO : 0;
}

static int write_it(struct cw_conn *conn, void *state, const struct cw_message *msg)
{
    return cw_conn_write(conn, &msg->body, 1);
}

static const struct cw_protocol obedient = {
    .name = "obedient",
    .transport = CW_DATAGRAM,
    .on_bytes = obey,
    .on_soon = say_soon,
    .on_deadline = say_late,
    .on_shutdown = say_goodbye,
    .send = write_it,
};

static struct rig *open_obedient(void)
{
    return rig_new(&(struct rig_setup){.protocol = &obedient});
}

Test(udp_rig, a_datagram_that_breaks_a_rule_ends_the_connection_once)
{
    struct rig *rig = open_obedient();

    rig_put(rig, "one", 3);
    rig_put(rig, "!", 1);
    rig_put(rig, "two", 3);
    rig_put(rig, "!", 1);
    rig_run(rig);
    cr_assert_str_eq(rig_told(rig), "open\nbinary \"one\"\n"
                                    "error CW_EPROTO: obedient: it was told to\n"
                                    "close CW_EPROTO: it was told to\n");
    cr_assert_str_eq(rig_sent(rig), "\"goodbye\"\n");
    rig_free(rig);
}

Test(udp_rig, a_protocol_that_holds_its_input_loses_what_comes)
{
    struct rig *rig = open_obedient();

    feed_text(rig, "h");
    feed_text(rig, "lost");
    cr_assert_eq(rig_dropped_paused(rig), 1);
    cw_conn_unhold(rig->conn);
    feed_text(rig, "heard");
    cr_assert_str_eq(rig_told(rig), "open\nbinary \"h\"\nbinary \"heard\"\n");
    rig_free(rig);
}

Test(udp_rig, a_protocol_is_called_soon_and_at_its_deadline)
{
    struct rig *rig = open_obedient();

    feed_text(rig, "s");
    cr_assert_str_eq(rig_told(rig), "open\nbinary \"s\"\nbinary \"soon\"\n");
    feed_text(rig, "d");
    rig_advance(rig, 1200);
    cr_assert_str_eq(rig_sent(rig), "\"late\"\n");
    rig_free(rig);
}

Test(udp_rig, a_goodbye_is_a_datagram_of_its_own)
{
    struct rig *rig = open_obedient();

    cr_assert_eq(cw_conn_send_text(rig->conn, "last"), 0);
    cw_conn_close(rig->conn);
    rig_run(rig);
    cr_assert_null(rig->conn);
    cr_assert_str_eq(rig_sent(rig), "\"last\"\n\"goodbye\"\n");
    rig_free(rig);
}

Test(udp_rig, a_goodbye_that_cannot_be_sent_holds_nothing_up)
{
    struct rig *rig = open_obedient();

    rig->peer_takes = false;
    cw_conn_close(rig->conn);
    rig_run(rig);
    cr_assert_null(rig->conn);
    cr_assert_eq(rig->closes, 1);
    rig_free(rig);
}

/* Each byte is a message, '.' is the answer to a goodbye that is waited for, and 'p' has the application pause. */
static ptrdiff_t read_bytes(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const struct cw_message msg = cw_message_of(data + i, 1);

        if (data[i] == '.') {
            cw_conn_finish(conn, 7, SPAN("well said"));
        } else if (cw_conn_deliver(conn, &msg) == CW_STOP) {
            break;
        }
    }
    return (ptrdiff_t)len;
}

static int await_answer(struct cw_conn *conn, void *state, const struct cw_close_reason *reason)
{
    (void)say_goodbye(conn, state, reason);
    return 1;
}

static const struct cw_protocol patient = {
    .name = "patient",
    .transport = CW_DATAGRAM,
    .on_bytes = read_bytes,
    .on_shutdown = await_answer,
    .send = write_it,
};

Test(udp_rig, a_datagram_of_many_messages_is_heard_to_its_end)
{
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &patient, .messages_per_turn = 2});

    feed_text(rig, "abcdefgh");
    cr_assert_eq(rig->messages, 8);
    rig_free(rig);
}

Test(udp_rig, the_answer_to_a_goodbye_is_heard_and_ends_it)
{
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &patient});

    cw_conn_close(rig->conn);
    rig_run(rig);
    cr_assert_str_eq(rig_sent(rig), "\"goodbye\"\n");
    cr_assert_not_null(rig->conn, "it waits for the answer");
    feed_text(rig, "late");
    cr_assert_eq(rig->messages, 0, "nothing is delivered any more");
    feed_text(rig, ".");
    cr_assert_null(rig->conn);
    cr_assert_str_eq(rig_told(rig), "open\nclose CW_BY_APP: well said\n");
    rig_free(rig);
}

Test(udp_rig, an_answer_that_does_not_come_is_waited_for_only_so_long)
{
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &patient});

    cw_conn_close(rig->conn);
    rig_run(rig);
    rig_advance(rig, 4000);
    cr_assert_not_null(rig->conn);
    rig_advance(rig, 2000);
    cr_assert_null(rig->conn);
    cr_assert_eq(rig->closes, 1);
    rig_free(rig);
}

#ifdef CW_CHECKED
static ptrdiff_t look_away(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    return (ptrdiff_t)len;
}

static const struct cw_protocol absent = {
    .name = "absent", .transport = CW_DATAGRAM, .on_bytes = look_away, .send = write_it};

Test(udp_rig, in_a_checked_build_what_is_kept_of_a_datagram_becomes_rubbish)
{
    static const uint8_t rubbish[] = {0xdb, 0xdb, 0xdb};
    uint8_t data[32] = "abc";
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &absent});

    cw_conn_feed_datagram(rig->conn, data, 3);
    cr_assert_arr_eq(data, rubbish, 3);
    rig_free(rig);
}
#endif

Test(udp_rig, every_deed_in_every_hook_survives_the_lack_of_every_allocation)
{
    static const enum rig_deed deeds[] = {RIG_PAUSE, RIG_CLOSE, RIG_ABORT};
    bool failed = true;

    fault_install();
    for (size_t nth = 1; failed; nth++) {
        failed = false;
        for (size_t i = 0; i < 9; i++) {
            struct rig *rig = rig_new(&(struct rig_setup){.protocol = &obedient,
                                                          .echo = true,
                                                          .deed = deeds[i % 3],
                                                          .deed_at = 1 + i / 3,
                                                          .fail_at = nth});

            if (rig != NULL) {
                rig_put(rig, "s", 1);
                rig_put(rig, "d", 1);
                rig_put(rig, "!", 1);
                rig_run(rig);
                rig_resume(rig);
            }
            failed = fault_disarm() || failed;
            rig_free(rig);
        }
    }
    fault_remove();
}
