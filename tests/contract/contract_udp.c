/* udp keeps the laws of datagrams. */
#include "contract/laws_datagram.h"

#include <causeway/udp.h>

#define UDP(...)                                                                                   \
    {                                                                                              \
        .protocol = &cw_udp, .options = &(const struct cw_udp_options)                             \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const struct datagram_vector vectors[] = {
    {
        .name = "default",
        .setup = {.protocol = &cw_udp},
        LAW_DATAGRAMS(LAW_BYTES("hello"), LAW_BYTES(""), LAW_BYTES("\0\xff"), LAW_BYTES("world")),
        .story = "open\nbinary \"hello\"\nbinary \"\"\nbinary \"\\x00\\xff\"\nbinary \"world\"\n",
        .sent = "\"hello\"\n\"\"\n\"\\x00\\xff\"\n\"world\"\n",
    },
    {
        .name = "text",
        .setup = UDP(.kind = CW_TEXT),
        LAW_DATAGRAMS(LAW_BYTES("hello"), LAW_BYTES(""), LAW_BYTES("hello")),
        .story = "open\ntext \"hello\"\ntext \"\"\ntext \"hello\"\n",
        .sent = "\"hello\"\n\"\"\n\"hello\"\n",
    },
    {
        .name = "a single empty one",
        .setup = {.protocol = &cw_udp},
        LAW_DATAGRAMS(LAW_BYTES("")),
        .story = "open\nbinary \"\"\n",
        .sent = "\"\"\n",
    },
    {
        .name = "at the limit",
        .setup = UDP(.datagram_max_bytes = 5),
        LAW_DATAGRAMS(LAW_BYTES("1"), LAW_BYTES("12345"), LAW_BYTES("123")),
        .story = "open\nbinary \"1\"\nbinary \"12345\"\nbinary \"123\"\n",
        .sent = "\"1\"\n\"12345\"\n\"123\"\n",
    },
    {
        .name = "as a client",
        .setup = {.protocol = &cw_udp, .role = CW_CLIENT},
        LAW_DATAGRAMS(LAW_BYTES("hello"), LAW_BYTES("world")),
        .story = "open\nbinary \"hello\"\nbinary \"world\"\n",
        .sent = "\"hello\"\n\"world\"\n",
    },
};

LAWS_OF_DATAGRAMS_HOLD(udp, vectors)

/* ---- what the vectors do not show ---- */

Test(udp, a_datagram_of_every_length_comes_back_unchanged)
{
    static uint8_t bytes[65507];
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &cw_udp, .echo = true});
    size_t count = 0;

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    }
    for (size_t len = 0; len <= sizeof bytes; len = len < 300 ? len + 1 : len + 1087) {
        rig_feed(rig, bytes, len);
        cr_assert(cw_span_equal(rig_sent_at(rig, count++), cw_span_of(bytes, len)), "%zu", len);
    }
    rig_feed(rig, bytes, sizeof bytes);
    cr_assert(cw_span_equal(rig_sent_at(rig, count), cw_span_of(bytes, sizeof bytes)));
    rig_free(rig);
}

Test(udp, what_is_too_long_is_refused_to_the_sender_and_nothing_is_sent)
{
    static const uint8_t bytes[65508];
    struct rig *rig = rig_new(&(struct rig_setup){
        .protocol = &cw_udp, .options = &(struct cw_udp_options){.datagram_max_bytes = 5}});
    struct rig *widest = rig_new(&(struct rig_setup){.protocol = &cw_udp});

    cr_assert_eq(cw_conn_send_bytes(rig->conn, bytes, 5), 0);
    cr_assert_eq(cw_conn_send_bytes(rig->conn, bytes, 6), CW_ETOOBIG);
    cr_assert_eq(cw_conn_send_bytes(widest->conn, bytes, 65507), 0);
    cr_assert_eq(cw_conn_send_bytes(widest->conn, bytes, 65508), CW_ETOOBIG);
    cr_assert_eq(cw_conn_send(rig->conn, &(struct cw_message){.part = CW_BEGIN, .total = 1}),
                 CW_EKIND);
    cr_assert_eq(cw_conn_send_source(rig->conn, 1, NULL, NULL, NULL), CW_EKIND);
    cr_assert_eq(rig->sends + widest->sends, 2);
    rig_free(rig);
    rig_free(widest);
}

Test(udp, options_that_are_not_allowed_are_refused_by_name)
{
    static const struct {
        struct cw_udp_options options;
        const char *word;
    } wrong[] = {
        {{.datagram_max_bytes = 65508}, "datagram_max_bytes"},
        {{.datagram_max_bytes = CW_OFF}, "datagram_max_bytes"},
        {{.kind = (enum cw_kind)7}, "kind"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct cw_service service = cw_udp_service(&wrong[i].options, NULL, NULL);
        struct cw_complaint complaint = {""};

        cr_assert_null(cw_service_new(&service, &complaint));
        cr_assert_not_null(strstr(complaint.text, wrong[i].word), "%s", complaint.text);
        cr_assert_null(
            rig_new(&(struct rig_setup){.protocol = &cw_udp, .options = &wrong[i].options}));
    }
}

Test(udp, the_wire_key_is_the_same_where_the_same_is_refused)
{
    static const struct cw_udp_options options[] = {
        {0}, {.kind = CW_TEXT}, {.datagram_max_bytes = 65507}, {.datagram_max_bytes = 100}};
    uint64_t keys[4];

    for (size_t i = 0; i < 4; i++) {
        struct rig *rig = rig_new(&(struct rig_setup){.protocol = &cw_udp, .options = &options[i]});

        keys[i] = cw_udp.wire_key(rig->conn, NULL);
        cr_assert_neq(keys[i], 0);
        rig_free(rig);
    }
    cr_assert_eq(keys[0], keys[1]);
    cr_assert_eq(keys[0], keys[2]);
    cr_assert_neq(keys[0], keys[3]);
}
