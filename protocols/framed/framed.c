/* Messages behind a length: the codec of length_prefix.h as a protocol. */
#include <causeway/config.h>
#include <causeway/framed.h>
#include <causeway/payload.h>
#include <causeway/protocol.h>

#include "framed/length_prefix.h"

#include <stdio.h>

enum {
    FRAME_MAX_DEFAULT = 65536,
    PARTS_MAX = 3, /* header, body, trailer */
};

static const uint64_t stream_max_default = UINT32_MAX;

/* A whole frame is one piece of memory; its length with header and trailer must not overflow. */
static const uint64_t memory_max = PTRDIFF_MAX - CW_FRAME_HEADER_MAX - CW_FRAME_TRAILER_MAX;

enum in_phase {
    IN_HEAD,    /* a header comes */
    IN_BODY,    /* in_left bytes of a body come */
    IN_TRAILER, /* a netstring's comma comes */
    IN_END,     /* all is there, CW_END is owed; the frame's last byte is still unused */
};

struct framed_state {
    uint64_t in_left;      /* body of the frame under way; in pieces: what of it has not come */
    uint64_t out_left;     /* in pieces: what the application still has to send of its frame */
    uint8_t in_phase;      /* enum in_phase; whole frames stay in IN_HEAD */
    uint8_t in_header_len; /* of an incomplete whole frame; 0: its header is incomplete */
    bool sending;          /* between CW_BEGIN and CW_END */
};

/* ---- options ---- */

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int complain(struct cw_complaint *complaint, const char *text)
{
    snprintf(complaint->text, sizeof complaint->text, "%s", text);
    return CW_EINVAL;
}

static const char *wrong_shape(const struct cw_framed_options *options)
{
    uint64_t bytes = options->length_bytes;

    if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) {
        return "length_bytes: not 1, 2, 4 or 8";
    }
    if (options->length_offset > CW_FRAME_OFFSET_MAX) {
        return "length_offset: over 64";
    }
    if (options->adjustment > INT32_MAX || options->adjustment < INT32_MIN) {
        return "adjustment: does not fit 32 bits";
    }
    if (options->keep_header && options->stream_above_bytes != 0) {
        return "keep_header: not with stream_above_bytes";
    }
    return NULL;
}

static const char *wrong_without_fixed(const struct cw_framed_options *options)
{
    if (options->length_bytes != 0) {
        return "length_bytes: only with CW_FRAMING_FIXED";
    }
    if (options->little_endian) {
        return "little_endian: only with CW_FRAMING_FIXED";
    }
    if (options->length_offset != 0) {
        return "length_offset: only with CW_FRAMING_FIXED";
    }
    if (options->length_with_header) {
        return "length_with_header: only with CW_FRAMING_FIXED";
    }
    if (options->adjustment != 0) {
        return "adjustment: only with CW_FRAMING_FIXED";
    }
    return options->keep_header ? "keep_header: only with CW_FRAMING_FIXED" : NULL;
}

static const char *wrong_option(const struct cw_framed_options *options)
{
    if (options->kind != CW_BINARY && options->kind != CW_TEXT) {
        return "kind: neither CW_BINARY nor CW_TEXT";
    }
    switch (options->framing) {
    case CW_FRAMING_FIXED:
        return wrong_shape(options);
    case CW_FRAMING_VARINT:
    case CW_FRAMING_NETSTRING:
        return wrong_without_fixed(options);
    }
    return "framing: not one of enum cw_framing";
}

/* Afterwards the header can say frame_max_bytes, and memory can hold stream_above_bytes, which is not
 * over frame_max_bytes. */
static int settle_limits(struct cw_framed_options *options, struct cw_complaint *complaint)
{
    uint64_t least, most;
    uint64_t asked = options->frame_max_bytes;
    bool whole = options->stream_above_bytes == 0;

    if (!cw_frame_range(options, &least, &most)) {
        return complain(complaint, "adjustment: no length is left for a body");
    }
    most = least_of(most, whole ? memory_max : UINT64_MAX);
    if (asked == 0) {
        asked = least_of(most, whole ? FRAME_MAX_DEFAULT : stream_max_default);
    }
    if (asked != CW_NO_LIMIT && asked > most) {
        snprintf(complaint->text, sizeof complaint->text,
                 "frame_max_bytes: %llu, but %llu is the most that can be said",
                 (unsigned long long)asked, (unsigned long long)most);
        return CW_EINVAL;
    }
    options->frame_max_bytes = least_of(asked, most);
    if (least > options->frame_max_bytes) {
        return complain(complaint, "adjustment: the shortest frame is over frame_max_bytes");
    }
    if (whole || options->stream_above_bytes > options->frame_max_bytes) {
        options->stream_above_bytes = options->frame_max_bytes;
    }
    return options->stream_above_bytes > memory_max
               ? complain(complaint, "stream_above_bytes: more than memory can hold")
               : CW_OK;
}

static int check_options(void *memory, struct cw_complaint *complaint)
{
    struct cw_framed_options *options = memory;

    if (options->framing == CW_FRAMING_FIXED && options->length_bytes == 0) {
        options->length_bytes = 4;
    }

    const char *wrong = wrong_option(options);

    return wrong != NULL ? complain(complaint, wrong) : settle_limits(options, complaint);
}

static uint64_t longest_message(const void *memory)
{
    const struct cw_framed_options *options = memory;

    return options->stream_above_bytes + CW_FRAME_HEADER_MAX + CW_FRAME_TRAILER_MAX;
}

/* The shape that needs no codec: 4 bytes in network order that count the body. */
static bool plain(const struct cw_framed_options *options)
{
    return options->length_bytes == 4 && !options->little_endian && options->length_offset == 0 &&
           !options->length_with_header && options->adjustment == 0 && !options->keep_header &&
           !options->refuse_empty;
}

/* ---- in ---- */

static int refuse(struct cw_conn *conn, int code, const struct cw_frame_head *head)
{
    const struct cw_framed_options *options = cw_conn_options(conn);

    if (code != CW_ETOOBIG) {
        return cw_conn_fail(conn, code, "%s", head->wrong);
    }
    /* More digits may follow those of a netstring. */
    return cw_conn_fail(conn, code, "frame of %llu bytes%s, limit %llu",
                        (unsigned long long)head->body_len,
                        options->framing == CW_FRAMING_NETSTRING ? " or more" : "",
                        (unsigned long long)options->frame_max_bytes);
}

static int refuse_trailer(struct cw_conn *conn)
{
    return cw_conn_fail(conn, CW_EPROTO, "no comma behind a netstring");
}

/* Remembers what on_end would have to say, and asks for the rest of the frame. With frames before
 * it, on_bytes is called again for this one alone. */
static ptrdiff_t wait_for_body(struct cw_conn *conn, struct framed_state *state,
                               const struct cw_frame_head *head, size_t trailer_len, size_t used)
{
    if (used == 0) {
        state->in_left = head->body_len;
        state->in_header_len = (uint8_t)head->header_len;
        cw_conn_want(conn, head->header_len + (size_t)head->body_len + trailer_len);
    }
    return (ptrdiff_t)used;
}

static ptrdiff_t wait_for_header(struct framed_state *state, size_t used)
{
    state->in_header_len = 0;
    return (ptrdiff_t)used;
}

static int deliver_piece(struct cw_conn *conn, enum cw_part part, struct cw_span body,
                         uint64_t total)
{
    const struct cw_framed_options *options = cw_conn_options(conn);
    const struct cw_message msg = {
        .body = body, .kind = options->kind, .part = part, .total = total};

    return cw_conn_deliver(conn, &msg);
}

/* Returns how much is used: the header. Nothing else, so that the pieces come one a call. */
static ptrdiff_t begin_pieces(struct cw_conn *conn, struct framed_state *state,
                              const struct cw_frame_head *head)
{
    state->in_phase = IN_BODY;
    state->in_left = head->body_len;
    (void)deliver_piece(conn, CW_BEGIN, (struct cw_span){NULL, 0}, head->body_len);
    return (ptrdiff_t)head->header_len;
}

/* What most servers run, frame after frame. */
static ptrdiff_t read_plain(struct cw_conn *conn, struct framed_state *state, const uint8_t *data,
                            size_t len)
{
    const struct cw_framed_options *options = cw_conn_options(conn);
    size_t used = 0;

    while (len - used >= 4) {
        const struct cw_frame_head head = {.body_len = cw_load_be32(data + used), .header_len = 4};

        if (head.body_len > options->frame_max_bytes) {
            return refuse(conn, CW_ETOOBIG, &head);
        }
        if (head.body_len > options->stream_above_bytes) {
            return (ptrdiff_t)used + (used > 0 ? 0 : begin_pieces(conn, state, &head));
        }
        if (head.body_len > len - used - 4) {
            return wait_for_body(conn, state, &head, 0, used);
        }

        const struct cw_message msg = {.body = {data + used + 4, (size_t)head.body_len},
                                       .kind = options->kind};

        used += 4 + msg.body.len;
        if (cw_conn_deliver(conn, &msg) == CW_STOP) {
            return (ptrdiff_t)used;
        }
    }
    return wait_for_header(state, used);
}

/* One frame of any shape. */
static ptrdiff_t read_frame(struct cw_conn *conn, struct framed_state *state, const uint8_t *data,
                            size_t len)
{
    const struct cw_framed_options *options = cw_conn_options(conn);
    const struct cw_span trailer = cw_frame_trailer(options);
    struct cw_frame_head head = {0};
    int found = cw_frame_parse(options, data, len, &head);

    if (found < 0) {
        return refuse(conn, found, &head);
    }
    if (found == CW_FRAME_MORE) {
        return wait_for_header(state, 0);
    }
    if (head.body_len > options->stream_above_bytes) {
        return begin_pieces(conn, state, &head);
    }

    size_t whole = head.header_len + (size_t)head.body_len + trailer.len;

    if (len < whole) {
        return wait_for_body(conn, state, &head, trailer.len, 0);
    }
    if (memcmp(data + whole - trailer.len, trailer.data, trailer.len) != 0) {
        return refuse_trailer(conn);
    }

    size_t skipped = options->keep_header ? 0 : head.header_len;
    const struct cw_message msg = {.body = {data + skipped, whole - trailer.len - skipped},
                                   .kind = options->kind};

    (void)cw_conn_deliver(conn, &msg);
    return (ptrdiff_t)whole;
}

/* The next bytes of a body. When the hook has said stop to the last ones, CW_END may not follow now,
 * and no input may ever come to remind us of it: so one byte of the frame stays unused. */
static ptrdiff_t read_body(struct cw_conn *conn, struct framed_state *state, const uint8_t *data,
                           size_t len)
{
    size_t part = (size_t)least_of(len, state->in_left);

    state->in_left -= part;

    int stopped = deliver_piece(conn, CW_CHUNK, cw_span_of(data, part), 0);

    if (state->in_left > 0) {
        return (ptrdiff_t)part;
    }
    if (cw_frame_trailer(cw_conn_options(conn)).len > 0) {
        state->in_phase = IN_TRAILER;
        return (ptrdiff_t)part;
    }
    if (stopped == CW_STOP) {
        state->in_phase = IN_END;
        return (ptrdiff_t)part - 1;
    }
    state->in_phase = IN_HEAD;
    (void)deliver_piece(conn, CW_END, (struct cw_span){NULL, 0}, 0);
    return (ptrdiff_t)part;
}

/* The last byte of a frame: a comma, or one that was kept back. */
static ptrdiff_t end_pieces(struct cw_conn *conn, struct framed_state *state, uint8_t last)
{
    if (state->in_phase == IN_TRAILER && last != ',') {
        return refuse_trailer(conn);
    }
    state->in_phase = IN_HEAD;
    (void)deliver_piece(conn, CW_END, (struct cw_span){NULL, 0}, 0);
    return 1;
}

static ptrdiff_t read_bytes(struct cw_conn *conn, void *memory, uint8_t *data, size_t len)
{
    struct framed_state *state = memory;

    switch (state->in_phase) {
    case IN_BODY:
        return read_body(conn, state, data, len);
    case IN_TRAILER:
    case IN_END:
        return end_pieces(conn, state, data[0]);
    case IN_HEAD:
    default:
        return plain(cw_conn_options(conn)) ? read_plain(conn, state, data, len)
                                            : read_frame(conn, state, data, len);
    }
}

/* ---- the end of the input ---- */

static int fail_inside(struct cw_conn *conn, uint64_t came, uint64_t body_len)
{
    if (came >= body_len) {
        return cw_conn_fail(conn, CW_ETRUNCATED,
                            "input ended before the comma of a frame of %llu bytes",
                            (unsigned long long)body_len);
    }
    return cw_conn_fail(conn, CW_ETRUNCATED, "input ended after %llu of %llu bytes of a frame",
                        (unsigned long long)came, (unsigned long long)body_len);
}

static int fail_between_pieces(struct cw_conn *conn, uint64_t missing)
{
    if (missing == 0) {
        return cw_conn_fail(conn, CW_ETRUNCATED, "input ended before the comma of a frame");
    }
    return cw_conn_fail(conn, CW_ETRUNCATED, "input ended, %llu bytes of a frame are missing",
                        (unsigned long long)missing);
}

static int fail_in_header(struct cw_conn *conn, size_t came)
{
    size_t header_len = cw_frame_header_len(cw_conn_options(conn));

    if (header_len == 0) {
        return cw_conn_fail(conn, CW_ETRUNCATED, "input ended after %zu bytes of a frame's header",
                            came);
    }
    return cw_conn_fail(conn, CW_ETRUNCATED,
                        "input ended after %zu of %zu bytes of a frame's header", came, header_len);
}

static int end_input(struct cw_conn *conn, void *memory, uint8_t *data, size_t len)
{
    const struct framed_state *state = memory;

    if (state->in_phase == IN_BODY || state->in_phase == IN_TRAILER) {
        return fail_between_pieces(conn, state->in_left);
    }
    if (len == 0) {
        return CW_OK;
    }
    return state->in_header_len == 0
               ? fail_in_header(conn, len)
               : fail_inside(conn, len - state->in_header_len, state->in_left);
}

/* ---- out ---- */

/* Header, body and trailer of a whole message. Returns how many parts, or an enum cw_error. */
static int split_frame(const struct cw_framed_options *options, struct cw_span body,
                       uint8_t *header, struct cw_span *parts)
{
    size_t offset = (size_t)options->length_offset;
    size_t kept = options->keep_header ? cw_frame_header_len(options) : 0;

    if (body.len < kept) {
        return CW_EKIND;
    }
    if (kept > 0) {
        memcpy(header, body.data, offset);
        body = cw_span_of(body.data + kept, body.len - kept);
    } else {
        memset(header, 0, offset);
    }

    int header_len = cw_frame_write(options, body.len, header);

    if (header_len < 0) {
        return header_len;
    }
    parts[0] = cw_span_of(header, (size_t)header_len);
    parts[1] = body;
    parts[2] = cw_frame_trailer(options);
    return parts[2].len > 0 ? 3 : 2;
}

static int send_whole(struct cw_conn *conn, const struct cw_framed_options *options,
                      const struct cw_message *msg)
{
    uint8_t header[CW_FRAME_HEADER_MAX];
    struct cw_span parts[PARTS_MAX];
    int count = split_frame(options, msg->body, header, parts);

    return count < 0 ? count : cw_conn_write(conn, parts, (size_t)count);
}

static int send_plain(struct cw_conn *conn, const struct cw_framed_options *options,
                      const struct cw_message *msg)
{
    uint8_t header[4];

    if (msg->body.len > options->frame_max_bytes) {
        return CW_ETOOBIG;
    }
    cw_store_be32(header, (uint32_t)msg->body.len);
    const struct cw_span parts[] = {{header, sizeof header}, msg->body};
    return cw_conn_write(conn, parts, 2);
}

static int send_begin(struct cw_conn *conn, struct framed_state *state, const struct cw_message *msg)
{
    const struct cw_framed_options *options = cw_conn_options(conn);
    uint8_t header[CW_FRAME_HEADER_MAX] = {0};
    int header_len = cw_frame_write(options, msg->total, header);

    if (options->keep_header) {
        return CW_EKIND;
    }
    if (header_len < 0) {
        return header_len;
    }

    const struct cw_span part = {header, (size_t)header_len};
    int result = cw_conn_write(conn, &part, 1);

    if (result >= 0) {
        state->sending = true;
        state->out_left = msg->total;
        cw_conn_set_message_open(conn, true);
    }
    return result;
}

static int send_chunk(struct cw_conn *conn, struct framed_state *state, const struct cw_message *msg)
{
    if (msg->body.len > state->out_left) {
        return CW_ETOOBIG;
    }
    if (msg->body.len == 0) {
        return CW_OK;
    }

    int result = cw_conn_write(conn, &msg->body, 1);

    if (result >= 0) {
        state->out_left -= msg->body.len;
    }
    return result;
}

static int send_end(struct cw_conn *conn, struct framed_state *state)
{
    const struct cw_span trailer = cw_frame_trailer(cw_conn_options(conn));

    if (state->out_left > 0) {
        return CW_ESTATE;
    }

    int result = trailer.len > 0 ? cw_conn_write(conn, &trailer, 1) : CW_OK;

    if (result >= 0) {
        state->sending = false;
        cw_conn_set_message_open(conn, false);
    }
    return result;
}

/* A frame that has begun has to be finished before anything else can be said. */
static int send_message(struct cw_conn *conn, void *memory, const struct cw_message *msg)
{
    const struct cw_framed_options *options = cw_conn_options(conn);
    struct framed_state *state = memory;

    if (state->sending != (msg->part == CW_CHUNK || msg->part == CW_END)) {
        return CW_ESTATE;
    }
    if ((msg->part == CW_BEGIN || msg->part == CW_END) && msg->body.len > 0) {
        return CW_EINVAL;
    }
    switch (msg->part) {
    case CW_BEGIN:
        return send_begin(conn, state, msg);
    case CW_CHUNK:
        return send_chunk(conn, state, msg);
    case CW_END:
        return send_end(conn, state);
    case CW_WHOLE:
    default:
        return plain(options) ? send_plain(conn, options, msg) : send_whole(conn, options, msg);
    }
}

/* A source or file is so many bytes of the body under way. */
static int allow_raw(struct cw_conn *conn, void *memory, uint64_t len)
{
    struct framed_state *state = memory;

    if (!state->sending || len > state->out_left) {
        return CW_EKIND;
    }
    state->out_left -= len;
    return CW_OK;
}

static int encode_message(const struct cw_wire_format *format, const struct cw_message *msg,
                          struct cw_payload **payload)
{
    const struct cw_framed_options *options = format->options;
    uint8_t header[CW_FRAME_HEADER_MAX];
    struct cw_span parts[PARTS_MAX];

    if (msg->part != CW_WHOLE) {
        return CW_EKIND;
    }

    int count = split_frame(options, msg->body, header, parts);

    if (count < 0) {
        return count;
    }
    *payload = cw_payload_new(parts, (size_t)count);
    return *payload != NULL ? CW_OK : CW_ENOMEM;
}

static uint64_t mix(uint64_t key, uint64_t value)
{
    key = (key ^ value) * 0x9e3779b97f4a7c15;
    return key ^ key >> 29;
}

/* The limit belongs to it: what one service may not send, another must not send for it. */
static uint64_t key_of(struct cw_conn *conn, const void *state)
{
    const struct cw_framed_options *options = cw_conn_options(conn);
    uint64_t bits = (uint64_t)options->little_endian << 3 |
                    (uint64_t)options->length_with_header << 2 |
                    (uint64_t)options->keep_header << 1 | (uint64_t)options->refuse_empty;
    uint64_t key = mix(bits, options->frame_max_bytes);

    key = mix(key, (uint64_t)options->framing << 16 | options->length_bytes << 8 |
                       options->length_offset);
    key = mix(key, (uint64_t)options->adjustment);
    return key != 0 ? key : 1;
}

/* ---- public ---- */

int cw_framed_configure(struct cw_server *server, const struct cw_framed_options *options)
{
    return cw_server_set_protocol_options(server, &cw_framed, options);
}

struct cw_service cw_framed_service(const struct cw_framed_options *options,
                                    const struct cw_hooks *hooks, void *user)
{
    return (struct cw_service){&cw_framed, options, hooks, user};
}

static const char *const framings[] = {"fixed", "varint", "netstring", NULL};

/* What an application's hooks have to know of stays out of files: keep_header, stream_above_bytes, kind. */
static const struct cw_setting settings[] = {
    {.key = "max_frame_size",
     .kind = CW_SETTING_BYTES,
     .offset = offsetof(struct cw_framed_options, frame_max_bytes),
     .least = 1,
     .most = UINT32_MAX},
    {.key = "framing",
     .kind = CW_SETTING_CHOICE,
     .offset = offsetof(struct cw_framed_options, framing),
     .choices = framings},
    {.key = "length_bytes",
     .kind = CW_SETTING_COUNT,
     .offset = offsetof(struct cw_framed_options, length_bytes),
     .least = 1,
     .most = 8},
    {.key = "little_endian",
     .kind = CW_SETTING_SWITCH,
     .offset = offsetof(struct cw_framed_options, little_endian)},
    {.key = "length_offset",
     .kind = CW_SETTING_COUNT,
     .offset = offsetof(struct cw_framed_options, length_offset),
     .least = 1,
     .most = 64},
    {.key = "length_with_header",
     .kind = CW_SETTING_SWITCH,
     .offset = offsetof(struct cw_framed_options, length_with_header)},
    {.key = "refuse_empty",
     .kind = CW_SETTING_SWITCH,
     .offset = offsetof(struct cw_framed_options, refuse_empty)},
    {.key = NULL},
};

const struct cw_protocol cw_framed = {
    .name = "framed",
    .state_size = sizeof(struct framed_state),
    .options_size = sizeof(struct cw_framed_options),
    .configure = check_options,
    .message_max = longest_message,
    .on_bytes = read_bytes,
    .on_end = end_input,
    .send = send_message,
    .send_raw = allow_raw,
    .encode = encode_message,
    .wire_key = key_of,
    .settings = settings,
};
