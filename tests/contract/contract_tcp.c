#include "contract/laws.h"

#include <causeway/tcp.h>

static const struct law_vector vectors[] = {
    {
        .name = "bytes",
        .setup = {.protocol = &cw_tcp, .merge = RIG_STREAM},
        .input = {(const uint8_t *)"hello\0\r\n\xff", 9},
        .story = "open\n"
                 "binary \"hello\\x00\\x0d\\x0a\\xff\"\n",
        .output = {(const uint8_t *)"hello\0\r\n\xff", 9},
    },
    {
        .name = "bytes and an end",
        .setup = {.protocol = &cw_tcp, .merge = RIG_STREAM},
        .input = {(const uint8_t *)"hello", 5},
        .ends = true,
        .story = "open\n"
                 "binary \"hello\"\n"
                 "close CW_BY_PEER: closed by the peer\n",
        .output = {(const uint8_t *)"hello", 5},
    },
    {
        .name = "nothing",
        .setup = {.protocol = &cw_tcp},
        .ends = true,
        .story = "open\n"
                 "close CW_BY_PEER: closed by the peer\n",
    },
};

LAWS_HOLD(tcp, vectors)

Test(tcp, pieces_are_sent_as_bytes)
{
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &cw_tcp});
    struct cw_message chunk = {.part = CW_CHUNK, .body = cw_span_text("hello")};

    cr_assert_eq(cw_conn_send(rig->conn, &(struct cw_message){.part = CW_BEGIN, .total = 5}), 0);
    cr_assert_eq(cw_conn_send(rig->conn, &chunk), 0);
    cr_assert_eq(cw_conn_send(rig->conn, &(struct cw_message){.part = CW_END}), 0);
    rig_run(rig);
    cr_assert_eq(rig->output.len, 5);
    cr_assert_arr_eq(rig->output.data, "hello", 5);
    rig_free(rig);
}

Test(tcp, an_empty_message_is_no_bytes)
{
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &cw_tcp});

    cr_assert_eq(cw_conn_send_text(rig->conn, ""), 0);
    rig_run(rig);
    cr_assert_eq(rig->output.len, 0);
    rig_free(rig);
}
