#include "contract/laws.h"

#include <causeway/line.h>

#include <stdlib.h>

/* A string literal as bytes, without the zero at its end. */
#define BYTES(literal)                                                                             \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    }

/* An echo of the same bytes. */
#define SAME(literal) .input = BYTES(literal), .output = BYTES(literal)

#define LINE(...)                                                                                  \
    {                                                                                              \
        .protocol = &cw_line, .options = &(const struct cw_line_options)                           \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

#define REFUSED(code, text) "error " code ": line: " text "\nclose " code ": " text "\n"

static const struct law_vector vectors[] = {
    {
        .name = "default",
        .setup = {.protocol = &cw_line},
        SAME("hello\n\nworld\n \n"),
        .story = "open\ntext \"hello\"\ntext \"\"\ntext \"world\"\ntext \" \"\n",
    },
    {
        .name = "default, with carriage returns",
        .setup = {.protocol = &cw_line},
        .input = BYTES("hello\r\n\r\na\rb\r\n"),
        .story = "open\ntext \"hello\"\ntext \"\"\ntext \"a\\x0db\"\n",
        .output = BYTES("hello\n\na\rb\n"),
    },
    {
        .name = "default, an open end",
        .setup = {.protocol = &cw_line},
        .input = BYTES("hello\nwor"),
        .ends = true,
        .story = "open\ntext \"hello\"\n" REFUSED("CW_ETRUNCATED",
                                                  "input ended after 3 bytes of a line"),
        .output = BYTES("hello\n"),
    },
    {
        .name = "binary, and a last line that is open",
        .setup = LINE(.binary = true, .last_line_open = true),
        .input = BYTES("hello\nwor"),
        .ends = true,
        .story = "open\nbinary \"hello\"\nbinary \"wor\"\nclose CW_BY_PEER: closed by the peer\n",
        .output = BYTES("hello\nwor\n"),
    },
    {
        .name = "a last line may be open and is not",
        .setup = LINE(.last_line_open = true),
        SAME("hello\n"),
        .ends = true,
        .story = "open\ntext \"hello\"\nclose CW_BY_PEER: closed by the peer\n",
    },
    {
        .name = "at the limit",
        .setup = LINE(.line_max_bytes = 5),
        .input = BYTES("hello\nhello\r\n"),
        .story = "open\ntext \"hello\"\ntext \"hello\"\n",
        .output = BYTES("hello\nhello\n"),
    },
    {
        .name = "over the limit",
        .setup = LINE(.line_max_bytes = 5),
        .input = BYTES("hello\nhello!\n"),
        .story = "open\ntext \"hello\"\n" REFUSED("CW_ETOOBIG", "line of more than 5 bytes"),
        .output = BYTES("hello\n"),
        .refused_at = 12,
    },
    {
        .name = "over the limit by a carriage return that is none of the end",
        .setup = LINE(.line_max_bytes = 5),
        .input = BYTES("hello\r!\n"),
        .story = "open\n" REFUSED("CW_ETOOBIG", "line of more than 5 bytes"),
        .refused_at = 7,
    },
    {
        .name = "over the limit, and the last line is open",
        .setup = LINE(.line_max_bytes = 5, .last_line_open = true),
        .input = BYTES("hello\r"),
        .ends = true,
        .story = "open\n" REFUSED("CW_ETOOBIG", "line of more than 5 bytes"),
    },
    {
        .name = "\\n and nothing else",
        .setup = LINE(.delimiter = "\n"),
        SAME("hello\r\n\r\n"),
        .story = "open\ntext \"hello\\x0d\"\ntext \"\\x0d\"\n",
    },
    {
        .name = "\\r\\n",
        .setup = LINE(.delimiter = "\r\n", .line_max_bytes = 5),
        SAME("hell\n\r\n\r\nab\r\r\n"),
        .story = "open\ntext \"hell\\x0a\"\ntext \"\"\ntext \"ab\\x0d\"\n",
    },
    {
        .name = "\\r\\n, over the limit",
        .setup = LINE(.delimiter = "\r\n", .line_max_bytes = 3),
        .input = BYTES("abc\r\nabc\rd\r\n"),
        .story = "open\ntext \"abc\"\n" REFUSED("CW_ETOOBIG", "line of more than 3 bytes"),
        .output = BYTES("abc\r\n"),
        .refused_at = 10,
    },
    {
        .name = "a delimiter that begins like itself",
        .setup = LINE(.delimiter = "aab", .line_max_bytes = 4),
        SAME("xaaabaabcaacaab"),
        .story = "open\ntext \"xa\"\ntext \"\"\ntext \"caac\"\n",
    },
    {
        .name = "a delimiter that begins like itself, over the limit",
        .setup = LINE(.delimiter = "aab", .line_max_bytes = 4),
        .input = BYTES("abcdaaabaab"),
        .story = "open\n" REFUSED("CW_ETOOBIG", "line of more than 4 bytes"),
        .refused_at = 7,
    },
    {
        .name = "16 bytes",
        .setup = LINE(.delimiter = "0123456789abcdef"),
        SAME("hello0123456789abcdef0123456789abcde0123456789abcdef"),
        .story = "open\ntext \"hello\"\ntext \"0123456789abcde\"\n",
    },
    {
        .name = "as a client",
        .setup = {.protocol = &cw_line, .role = CW_CLIENT},
        SAME("hello\n"),
        .story = "open\ntext \"hello\"\n",
    },
};

LAWS_HOLD(line, vectors)

/* ---- what the vectors do not show ---- */

Test(line, a_kept_delimiter_is_part_of_the_message)
{
    struct rig *rig = rig_new(&(struct rig_setup){
        .protocol = &cw_line, .options = &(struct cw_line_options){.keep_delimiter = true}});

    rig_feed(rig, "hello\r\nworld\n", 13);
    cr_assert_str_eq(rig_told(rig), "open\ntext \"hello\\x0d\\x0a\"\ntext \"world\\x0a\"\n");
    rig_free(rig);
}

Test(line, a_line_of_8192_bytes_passes_by_default_and_one_more_is_refused)
{
    char *text = malloc(8192 + 2);

    cr_assert_not_null(text);
    memset(text, 'x', 8192 + 2);
    for (size_t step = 1; step <= 8194; step += 1500) {
        struct rig *rig = rig_new(&(struct rig_setup){.protocol = &cw_line});

        for (size_t at = 0; at < 8192; at += step) {
            rig_feed(rig, text + at, step < 8192 - at ? step : 8192 - at);
        }
        rig_feed(rig, "\r\n", 2);
        cr_assert_eq(rig->messages, 1);
        rig_feed(rig, text, 8193);
        cr_assert_eq(rig->messages, 1);
        cr_assert_eq(rig->code, CW_ETOOBIG);
        rig_free(rig);
    }
    free(text);
}

Test(line, a_trickled_line_is_not_scanned_twice)
{
    struct rig *rig = rig_new(&(struct rig_setup){
        .protocol = &cw_line, .options = &(struct cw_line_options){.delimiter = "--"}});
    uint64_t state[4] = {0};
    uint8_t data[] = "abcdef-";

    cr_assert_leq(cw_line.state_size, sizeof state);
    cr_assert_eq(cw_line.on_bytes(rig->conn, state, data, 7), 0);
    /* Who looks there again finds a delimiter now. */
    memcpy(data, "--", 2);
    cr_assert_eq(cw_line.on_bytes(rig->conn, state, data, 7), 0);
    rig_free(rig);
}

Test(line, what_a_line_cannot_carry_is_refused_and_nothing_is_sent)
{
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &cw_line});

    cr_assert_eq(cw_conn_send_text(rig->conn, "a\nb"), CW_EKIND);
    cr_assert_eq(cw_conn_send_text(rig->conn, "a\r"), CW_EKIND);
    cr_assert_eq(cw_conn_send_bytes(rig->conn, "a", 8193), CW_ETOOBIG);
    cr_assert_eq(cw_conn_send(rig->conn, &(struct cw_message){.part = CW_BEGIN, .total = 1}),
                 CW_EKIND);
    cr_assert_eq(cw_conn_send_source(rig->conn, 1, NULL, NULL, NULL), CW_EKIND);
    cr_assert_eq(cw_conn_send_text(rig->conn, "ab"), 0);
    rig_run(rig);
    cr_assert_eq(rig->output.len, 3);
    cr_assert_arr_eq(rig->output.data, "ab\n", 3);
    rig_free(rig);
}

static uint64_t key_for(const struct cw_line_options *options)
{
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &cw_line, .options = options});
    uint64_t key = cw_line.wire_key(rig->conn, NULL);

    rig_free(rig);
    return key;
}

Test(line, the_wire_key_is_the_same_for_the_same_bytes_only)
{
    uint64_t key = key_for(NULL);

    cr_assert_neq(key, 0);
    cr_assert_eq(key, key_for(&(struct cw_line_options){.binary = true}));
    cr_assert_neq(key, key_for(&(struct cw_line_options){.delimiter = "\n"}));
    cr_assert_neq(key, key_for(&(struct cw_line_options){.delimiter = "\r\n"}));
    cr_assert_neq(key, key_for(&(struct cw_line_options){.line_max_bytes = 100}));
    cr_assert_eq(key_for(&(struct cw_line_options){.delimiter = "ab"}),
                 key_for(&(struct cw_line_options){.delimiter = "ab"}));
    cr_assert_neq(key_for(&(struct cw_line_options){.delimiter = "ab"}),
                  key_for(&(struct cw_line_options){.delimiter = "ba"}));
}
