#include "contract/laws.h"

#include "conn_impl.h"

#include <causeway/framed.h>

#include <stdlib.h>

/* A string literal as bytes, without the zero at its end. */
#define BYTES(literal)                                                                             \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    }

/* An echo of the same bytes. */
#define SAME(literal) .input = BYTES(literal), .output = BYTES(literal)

#define FRAMED(...)                                                                                \
    {                                                                                              \
        .protocol = &cw_framed, .merge = RIG_CHUNKS, .options = &(const struct cw_framed_options)  \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

#define REFUSED(code, text) "error " code ": framed: " text "\nclose " code ": " text "\n"

static const struct law_vector vectors[] = {
    {
        .name = "default",
        .setup = {.protocol = &cw_framed},
        SAME("\0\0\0\5hello\0\0\0\0\0\0\0\1!\0\0\0\4\0\0\0\1"),
        .story = "open\nbinary \"hello\"\nbinary \"\"\nbinary \"!\"\n"
                 "binary \"\\x00\\x00\\x00\\x01\"\n",
    },
    {
        .name = "default, text, and an end in order",
        .setup = FRAMED(.kind = CW_TEXT),
        SAME("\0\0\0\5hello"),
        .ends = true,
        .story = "open\ntext \"hello\"\nclose CW_BY_PEER: closed by the peer\n",
    },
    {
        .name = "default, over the limit",
        .setup = FRAMED(.frame_max_bytes = 5),
        .input = BYTES("\0\0\0\5hello\0\0\0\6hello!"),
        .story = "open\nbinary \"hello\"\n" REFUSED("CW_ETOOBIG", "frame of 6 bytes, limit 5"),
        .output = BYTES("\0\0\0\5hello"),
        .refused_at = 13,
    },
    {
        .name = "default, the longest length",
        .setup = {.protocol = &cw_framed},
        .input = BYTES("\xff\xff\xff\xffhello"),
        .story = "open\n" REFUSED("CW_ETOOBIG", "frame of 4294967295 bytes, limit 65536"),
        .refused_at = 4,
    },
    {
        .name = "default, cut short in a body",
        .setup = {.protocol = &cw_framed},
        .input = BYTES("\0\0\0\1!\0\0\0\5he"),
        .ends = true,
        .story = "open\nbinary \"!\"\n" REFUSED("CW_ETRUNCATED",
                                                "input ended after 2 of 5 bytes of a frame"),
        .output = BYTES("\0\0\0\1!"),
    },
    {
        .name = "default, cut short in a header",
        .setup = {.protocol = &cw_framed},
        .input = BYTES("\0\0\0\1!\0\0\0"),
        .ends = true,
        .story = "open\nbinary \"!\"\n" REFUSED(
            "CW_ETRUNCATED", "input ended after 3 of 4 bytes of a frame's header"),
        .output = BYTES("\0\0\0\1!"),
    },
    {
        .name = "no empty frames",
        .setup = FRAMED(.refuse_empty = true),
        .input = BYTES("\0\0\0\1!\0\0\0\0"),
        .story = "open\nbinary \"!\"\n" REFUSED("CW_EPROTO", "an empty frame"),
        .output = BYTES("\0\0\0\1!"),
        .refused_at = 9,
    },
    {
        .name = "1 byte",
        .setup = FRAMED(.length_bytes = 1),
        SAME("\5hello\0\1!"),
        .story = "open\nbinary \"hello\"\nbinary \"\"\nbinary \"!\"\n",
    },
    {
        .name = "2 bytes",
        .setup = FRAMED(.length_bytes = 2),
        SAME("\0\5hello\0\0\0\1!"),
        .story = "open\nbinary \"hello\"\nbinary \"\"\nbinary \"!\"\n",
    },
    {
        .name = "2 bytes, little-endian",
        .setup = FRAMED(.length_bytes = 2, .little_endian = true),
        SAME("\5\0hello\0\0\1\0!"),
        .story = "open\nbinary \"hello\"\nbinary \"\"\nbinary \"!\"\n",
    },
    {
        .name = "4 bytes, little-endian",
        .setup = FRAMED(.little_endian = true),
        SAME("\5\0\0\0hello\0\0\0\0"),
        .story = "open\nbinary \"hello\"\nbinary \"\"\n",
    },
    {
        .name = "8 bytes",
        .setup = FRAMED(.length_bytes = 8),
        SAME("\0\0\0\0\0\0\0\5hello\0\0\0\0\0\0\0\0"),
        .story = "open\nbinary \"hello\"\nbinary \"\"\n",
    },
    {
        .name = "8 bytes, little-endian",
        .setup = FRAMED(.length_bytes = 8, .little_endian = true),
        SAME("\5\0\0\0\0\0\0\0hello\0\0\0\0\0\0\0\0"),
        .story = "open\nbinary \"hello\"\nbinary \"\"\n",
    },
    {
        .name = "behind other bytes, which are skipped",
        .setup = FRAMED(.length_bytes = 2, .length_offset = 3),
        .input = BYTES("abc\0\5hellodef\0\0"),
        .story = "open\nbinary \"hello\"\nbinary \"\"\n",
        .output = BYTES("\0\0\0\0\5hello\0\0\0\0\0"),
    },
    {
        .name = "behind other bytes, which are kept",
        .setup = FRAMED(.length_bytes = 2, .length_offset = 3, .keep_header = true),
        SAME("abc\0\5hellodef\0\0"),
        .story = "open\nbinary \"abc\\x00\\x05hello\"\nbinary \"def\\x00\\x00\"\n",
    },
    {
        .name = "a length that counts the header",
        .setup = FRAMED(.length_with_header = true),
        SAME("\0\0\0\x9hello\0\0\0\4"),
        .story = "open\nbinary \"hello\"\nbinary \"\"\n",
    },
    {
        .name = "a length that is less than the header it counts",
        .setup = FRAMED(.length_with_header = true),
        .input = BYTES("\0\0\0\3hello"),
        .story = "open\n" REFUSED("CW_EPROTO", "a length that is smaller than what it counts"),
        .refused_at = 4,
    },
    {
        .name = "a length that leaves a trailer of 2 bytes out",
        .setup = FRAMED(.length_bytes = 1, .adjustment = 2),
        SAME("\3hello\0yo"),
        .story = "open\nbinary \"hello\"\nbinary \"yo\"\n",
    },
    {
        .name = "varint",
        .setup = FRAMED(.framing = CW_FRAMING_VARINT),
        SAME("\5hello\0\x82\1"
             "0123456789012345678901234567890123456789012345678901234567890123"
             "0123456789012345678901234567890123456789012345678901234567890123"
             "--"),
        .story = "open\nbinary \"hello\"\nbinary \"\"\n"
                 "binary \"0123456789012345678901234567890123456789012345678901234567890123"
                 "0123456789012345678901234567890123456789012345678901234567890123--\"\n",
    },
    {
        .name = "varint, longer than needed",
        .setup = FRAMED(.framing = CW_FRAMING_VARINT),
        .input = BYTES("\x85\0hello"),
        .story = "open\n" REFUSED("CW_EPROTO", "a varint that is not in its shortest form"),
        .refused_at = 2,
    },
    {
        .name = "varint, over the limit",
        .setup = FRAMED(.framing = CW_FRAMING_VARINT, .frame_max_bytes = 128),
        .input = BYTES("\x81\1xxxxx"),
        .story = "open\n" REFUSED("CW_ETOOBIG", "frame of 129 bytes, limit 128"),
        .refused_at = 2,
    },
    {
        .name = "varint, cut short in a header",
        .setup = FRAMED(.framing = CW_FRAMING_VARINT),
        .input = BYTES("\x85"),
        .ends = true,
        .story = "open\n" REFUSED("CW_ETRUNCATED", "input ended after 1 bytes of a frame's header"),
    },
    {
        .name = "netstring",
        .setup = FRAMED(.framing = CW_FRAMING_NETSTRING),
        SAME("5:hello,0:,12:hello, world,"),
        .story = "open\nbinary \"hello\"\nbinary \"\"\nbinary \"hello, world\"\n",
    },
    {
        .name = "netstring, a leading zero",
        .setup = FRAMED(.framing = CW_FRAMING_NETSTRING),
        .input = BYTES("0:,05:hello,"),
        .story =
            "open\nbinary \"\"\n" REFUSED("CW_EPROTO", "a leading zero in a netstring's length"),
        .output = BYTES("0:,"),
        .refused_at = 5,
    },
    {
        .name = "netstring, no comma",
        .setup = FRAMED(.framing = CW_FRAMING_NETSTRING),
        .input = BYTES("1:!,5:hello;"),
        .story = "open\nbinary \"!\"\n" REFUSED("CW_EPROTO", "no comma behind a netstring"),
        .output = BYTES("1:!,"),
        .refused_at = 12,
    },
    {
        .name = "netstring, over the limit before its colon",
        .setup = FRAMED(.framing = CW_FRAMING_NETSTRING, .frame_max_bytes = 100),
        .input = BYTES("1011:"),
        .story = "open\n" REFUSED("CW_ETOOBIG", "frame of 101 bytes or more, limit 100"),
        .refused_at = 3,
    },
    {
        .name = "netstring, cut short before its comma",
        .setup = FRAMED(.framing = CW_FRAMING_NETSTRING),
        .input = BYTES("5:hello"),
        .ends = true,
        .story =
            "open\n" REFUSED("CW_ETRUNCATED", "input ended before the comma of a frame of 5 bytes"),
    },
    {
        .name = "in pieces",
        .setup = FRAMED(.stream_above_bytes = 4),
        SAME("\0\0\0\2hi\0\0\0\5hello\0\0\0\4four\0\0\0\0\0\0\0\x6world!"),
        .story = "open\nbinary \"hi\"\n"
                 "begin binary 5\nchunk \"hello\"\nend\n"
                 "binary \"four\"\nbinary \"\"\n"
                 "begin binary 6\nchunk \"world!\"\nend\n",
    },
    {
        .name = "in pieces, over the limit",
        .setup = FRAMED(.stream_above_bytes = 4, .frame_max_bytes = 5),
        .input = BYTES("\0\0\0\5hello\0\0\0\6world!"),
        .story = "open\nbegin binary 5\nchunk \"hello\"\nend\n" REFUSED(
            "CW_ETOOBIG", "frame of 6 bytes, limit 5"),
        .output = BYTES("\0\0\0\5hello"),
        .refused_at = 13,
    },
    {
        .name = "varint, in pieces",
        .setup = FRAMED(.framing = CW_FRAMING_VARINT, .stream_above_bytes = 1),
        SAME("\5hello\1!\2ab"),
        .story = "open\nbegin binary 5\nchunk \"hello\"\nend\nbinary \"!\"\n"
                 "begin binary 2\nchunk \"ab\"\nend\n",
    },
    {
        .name = "netstring, in pieces",
        .setup = FRAMED(.framing = CW_FRAMING_NETSTRING, .stream_above_bytes = 1),
        SAME("5:hello,1:!,2:ab,"),
        .story = "open\nbegin binary 5\nchunk \"hello\"\nend\nbinary \"!\"\n"
                 "begin binary 2\nchunk \"ab\"\nend\n",
    },
    {
        .name = "netstring, in pieces, no comma",
        .setup = FRAMED(.framing = CW_FRAMING_NETSTRING, .stream_above_bytes = 1),
        .input = BYTES("5:hello;"),
        .story = "open\nbegin binary 5\nchunk \"hello\"\n" REFUSED("CW_EPROTO",
                                                                   "no comma behind a netstring"),
        .output = BYTES("5:hello"),
        .refused_at = 8,
    },
    {
        .name = "as a client",
        .setup = {.protocol = &cw_framed, .role = CW_CLIENT},
        SAME("\0\0\0\5hello"),
        .story = "open\nbinary \"hello\"\n",
    },
};

LAWS_HOLD(framed, vectors)

/* ---- what the vectors do not show ---- */

static struct rig *open_rig(const struct cw_framed_options *options)
{
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &cw_framed, .options = options});

    cr_assert_not_null(rig);
    return rig;
}

static void expect_output(struct rig *rig, struct cw_span expected)
{
    rig_run(rig);
    cr_assert(cw_span_equal(cw_span_of(rig->output.data, rig->output.len), expected));
    rig_free(rig);
}

Test(framed, a_body_of_65536_bytes_passes_by_default_and_one_more_is_refused)
{
    static const size_t steps[] = {4 + 65536, 65536, 1000};
    uint8_t *frame = calloc(1, 4 + 65536);

    cr_assert_not_null(frame);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct rig *rig = open_rig(NULL);

        frame[1] = 1;
        frame[3] = 0;
        for (size_t at = 0; at < 4 + 65536; at += steps[i]) {
            size_t left = 4 + 65536 - at;

            rig_feed(rig, frame + at, left < steps[i] ? left : steps[i]);
        }
        cr_assert_eq(rig->messages, 1);
        cr_assert_eq(rig->closes, 0);
        frame[3] = 1;
        rig_feed(rig, frame, 4);
        cr_assert_eq(rig->code, CW_ETOOBIG);
        rig_free(rig);
    }
    free(frame);
}

Test(framed, frames_cut_short_in_pieces_are_told_by_their_body)
{
    struct rig *rig = open_rig(&(struct cw_framed_options){.stream_above_bytes = 1});

    rig_feed(rig,
             "\0\0\0\x40"
             "0123456789",
             14);
    rig_end(rig);
    cr_assert_eq(rig->code, CW_ETRUNCATED);
    cr_assert_not_null(strstr(rig_told(rig), "input ended, 54 bytes of a frame are missing\n"));
    rig_free(rig);
}

static int send_part(struct rig *rig, enum cw_part part, const char *body, uint64_t total)
{
    return cw_conn_send(
        rig->conn, &(struct cw_message){.part = part, .body = cw_span_text(body), .total = total});
}

Test(framed, a_message_may_be_sent_in_pieces_whatever_the_options)
{
    struct rig *rig = open_rig(NULL);

    cr_assert_eq(send_part(rig, CW_BEGIN, "", 5), 0);
    cr_assert_eq(send_part(rig, CW_CHUNK, "he", 0), 0);
    cr_assert_eq(send_part(rig, CW_CHUNK, "", 0), 0);
    cr_assert_eq(send_part(rig, CW_CHUNK, "llo", 0), 0);
    cr_assert_eq(send_part(rig, CW_END, "", 0), 0);
    cr_assert_eq(send_part(rig, CW_WHOLE, "!", 0), 0);
    expect_output(rig, (struct cw_span)BYTES("\0\0\0\5hello\0\0\0\1!"));
}

Test(framed, pieces_must_be_what_was_announced)
{
    struct rig *rig = open_rig(&(struct cw_framed_options){.framing = CW_FRAMING_NETSTRING});

    cr_assert_eq(send_part(rig, CW_CHUNK, "a", 0), CW_ESTATE, "a piece of nothing");
    cr_assert_eq(send_part(rig, CW_END, "", 0), CW_ESTATE, "an end of nothing");
    cr_assert_eq(send_part(rig, CW_BEGIN, "a", 3), CW_EINVAL, "a beginning with a body");
    cr_assert_eq(send_part(rig, CW_BEGIN, "", 3), 0);
    cr_assert_eq(send_part(rig, CW_BEGIN, "", 3), CW_ESTATE, "a frame in a frame");
    cr_assert_eq(send_part(rig, CW_WHOLE, "abc", 0), CW_ESTATE, "a whole frame in a frame");
    cr_assert_eq(send_part(rig, CW_CHUNK, "abcd", 0), CW_ETOOBIG, "more than was announced");
    cr_assert_eq(send_part(rig, CW_CHUNK, "ab", 0), 0);
    cr_assert_eq(send_part(rig, CW_END, "", 0), CW_ESTATE, "less than was announced");
    cr_assert_eq(send_part(rig, CW_CHUNK, "cd", 0), CW_ETOOBIG);
    cr_assert_eq(send_part(rig, CW_CHUNK, "c", 0), 0);
    cr_assert_eq(send_part(rig, CW_END, "x", 0), CW_EINVAL, "an end with a body");
    cr_assert_eq(send_part(rig, CW_END, "", 0), 0);
    expect_output(rig, (struct cw_span)BYTES("3:abc,"));
}

Test(framed, a_message_over_the_limit_is_not_sent)
{
    struct rig *rig = open_rig(&(struct cw_framed_options){.frame_max_bytes = 3});

    cr_assert_eq(send_part(rig, CW_WHOLE, "abcd", 0), CW_ETOOBIG);
    cr_assert_eq(send_part(rig, CW_BEGIN, "", 4), CW_ETOOBIG);
    cr_assert_eq(send_part(rig, CW_WHOLE, "abc", 0), 0);
    expect_output(rig, (struct cw_span)BYTES("\0\0\0\3abc"));
}

Test(framed, with_a_kept_header_the_length_is_written_into_it)
{
    struct rig *rig = open_rig(
        &(struct cw_framed_options){.length_bytes = 2, .length_offset = 1, .keep_header = true});

    cr_assert_eq(send_part(rig, CW_WHOLE, "t", 0), CW_EKIND, "shorter than the header");
    cr_assert_eq(send_part(rig, CW_BEGIN, "", 5), CW_EKIND, "nowhere to put its first bytes");
    cr_assert_eq(send_part(rig, CW_WHOLE, "t??hello", 0), 0);
    expect_output(rig, (struct cw_span)BYTES("t\0\5hello"));
}

static ptrdiff_t pull_nothing(uint8_t *buffer, size_t cap, void *user)
{
    return 0;
}

static ptrdiff_t pull_letters(uint8_t *buffer, size_t cap, void *user)
{
    size_t *left = user;
    size_t part = *left < cap ? *left : cap;

    memset(buffer, 'x', part);
    *left -= part;
    return (ptrdiff_t)part;
}

Test(framed, a_source_is_bytes_of_the_body_under_way)
{
    struct rig *rig = open_rig(NULL);
    size_t left = 3;

    cr_assert_eq(cw_conn_send_source(rig->conn, 3, pull_nothing, NULL, NULL), CW_EKIND);
    cr_assert_eq(send_part(rig, CW_BEGIN, "", 5), 0);
    cr_assert_eq(cw_conn_send_source(rig->conn, 6, pull_nothing, NULL, NULL), CW_EKIND);
    cr_assert_eq(cw_conn_send_source(rig->conn, CW_NO_LIMIT, pull_nothing, NULL, NULL), CW_EKIND);
    cr_assert_eq(send_part(rig, CW_CHUNK, "a", 0), 0);
    cr_assert_eq(cw_conn_send_source(rig->conn, 3, pull_letters, NULL, &left), 0);
    cr_assert_eq(send_part(rig, CW_CHUNK, "bc", 0), CW_ETOOBIG);
    cr_assert_geq(send_part(rig, CW_CHUNK, "b", 0), 0);
    cr_assert_eq(send_part(rig, CW_END, "", 0), 0);
    expect_output(rig, (struct cw_span)BYTES("\0\0\0\5axxxb"));
}

Test(framed, an_incomplete_frame_asks_for_all_of_itself_and_no_more)
{
    struct rig *rig = open_rig(&(struct cw_framed_options){.framing = CW_FRAMING_NETSTRING});

    rig_feed(rig, "2:ab,10:", 8);
    cr_assert_eq(rig->messages, 1);
    cr_assert_not_null(rig->conn->extra);
    cr_assert_eq(rig->conn->extra->want, 14, "it waits for %zu bytes", rig->conn->extra->want);
    rig_feed(rig, "0123456789", 10);
    cr_assert_eq(rig->messages, 1);
    rig_feed(rig, ",", 1);
    cr_assert_eq(rig->messages, 2);
    rig_free(rig);
}

static uint64_t key_for(const struct cw_framed_options *options)
{
    struct rig *rig = open_rig(options);
    uint64_t key = cw_framed.wire_key(rig->conn, NULL);

    rig_free(rig);
    return key;
}

Test(framed, the_wire_key_is_the_same_for_the_same_bytes_only)
{
    uint64_t key = key_for(NULL);

    cr_assert_neq(key, 0);
    cr_assert_eq(key, key_for(&(struct cw_framed_options){.length_bytes = 4}));
    cr_assert_eq(key, key_for(&(struct cw_framed_options){.kind = CW_TEXT}));
    cr_assert_neq(key, key_for(&(struct cw_framed_options){.length_bytes = 8}));
    cr_assert_neq(key, key_for(&(struct cw_framed_options){.little_endian = true}));
    cr_assert_neq(key, key_for(&(struct cw_framed_options){.length_offset = 4}));
    cr_assert_neq(key, key_for(&(struct cw_framed_options){.length_with_header = true}));
    cr_assert_neq(key, key_for(&(struct cw_framed_options){.adjustment = 1}));
    cr_assert_neq(key, key_for(&(struct cw_framed_options){.keep_header = true}));
    cr_assert_neq(key, key_for(&(struct cw_framed_options){.refuse_empty = true}));
    cr_assert_neq(key, key_for(&(struct cw_framed_options){.framing = CW_FRAMING_VARINT}));
    cr_assert_neq(key, key_for(&(struct cw_framed_options){.framing = CW_FRAMING_NETSTRING}));
    cr_assert_neq(key, key_for(&(struct cw_framed_options){.frame_max_bytes = 65535}));
}
