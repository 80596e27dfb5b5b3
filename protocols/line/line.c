/* Messages that end in a delimiter. */
#include <causeway/config.h>
#include <causeway/line.h>
#include <causeway/log.h>
#include <causeway/payload.h>
#include <causeway/protocol.h>

#include <stdio.h>

enum {
    LINE_MAX_DEFAULT = 8192,
    DELIMITER_MAX = 16,
};

/* A line and its end are one piece of memory. */
static const uint64_t memory_max = PTRDIFF_MAX - DELIMITER_MAX;

struct line_state {
    size_t scanned; /* no delimiter begins before this offset of the unused input */
};

/* ---- options ---- */

/* The text may be gone when the call that set it returns. */
static int copy_delimiter(struct cw_line_options *options, struct cw_complaint *complaint)
{
    size_t size = strlen(options->delimiter) + 1;
    char *copy = cw_alloc(size);

    if (copy == NULL) {
        snprintf(complaint->text, sizeof complaint->text, "delimiter: out of memory");
        return CW_ENOMEM;
    }
    memcpy(copy, options->delimiter, size);
    options->delimiter = copy;
    return CW_OK;
}

static int check_options(void *memory, struct cw_complaint *complaint)
{
    struct cw_line_options *options = memory;
    uint64_t max = options->line_max_bytes;

    if (max != CW_NO_LIMIT && max > memory_max) {
        snprintf(complaint->text, sizeof complaint->text,
                 "line_max_bytes: %llu is more than memory can hold", (unsigned long long)max);
        return CW_EINVAL;
    }
    if (max == 0) {
        max = LINE_MAX_DEFAULT;
    }
    options->line_max_bytes = max < memory_max ? max : memory_max;
    if (options->delimiter == NULL) {
        return CW_OK;
    }

    size_t len = strnlen(options->delimiter, DELIMITER_MAX + 1);

    if (len == 0 || len > DELIMITER_MAX) {
        snprintf(complaint->text, sizeof complaint->text, "delimiter: not of 1 to %d bytes",
                 DELIMITER_MAX);
        return CW_EINVAL;
    }
    return copy_delimiter(options, complaint);
}

static void release_options(void *memory)
{
    struct cw_line_options *options = memory;
    void *copy;

    /* Ours, and const only for those who read it. */
    memcpy(&copy, &options->delimiter, sizeof copy);
    cw_release(copy);
}

/* Lines end in "\n", and a "\r" before it belongs to the end. */
static bool by_default(const struct cw_line_options *options)
{
    return options->delimiter == NULL;
}

static struct cw_span delimiter_of(const struct cw_line_options *options)
{
    return cw_span_text(by_default(options) ? "\n" : options->delimiter);
}

static uint64_t longest_message(const void *memory)
{
    const struct cw_line_options *options = memory;

    return options->line_max_bytes + (by_default(options) ? 2 : delimiter_of(options).len);
}

static const uint8_t *find(const uint8_t *data, size_t len, struct cw_span delimiter)
{
    if (len == 0) {
        return NULL;
    }
    return delimiter.len == 1 ? memchr(data, delimiter.data[0], len)
                              : memmem(data, len, delimiter.data, delimiter.len);
}

/* ---- in ---- */

static int refuse(struct cw_conn *conn, const struct cw_line_options *options)
{
    return cw_conn_fail(conn, CW_ETOOBIG, "line of more than %llu bytes",
                        (unsigned long long)options->line_max_bytes);
}

static int deliver_line(struct cw_conn *conn, const struct cw_line_options *options,
                        struct cw_span body)
{
    const struct cw_message msg = {.body = body, .kind = options->binary ? CW_BINARY : CW_TEXT};

    return cw_conn_deliver(conn, &msg);
}

/* Whether input without a delimiter may still become a line within the limit: what is over the
 * limit is the beginning of an end. */
static bool may_end(const struct cw_line_options *options, const uint8_t *data, size_t len)
{
    size_t max = (size_t)options->line_max_bytes;

    if (len <= max) {
        return true;
    }
    if (by_default(options)) {
        return len == max + 1 && data[max] == '\r';
    }

    struct cw_span delimiter = delimiter_of(options);

    for (size_t begin = len >= delimiter.len ? len - delimiter.len + 1 : 0; begin <= max; begin++) {
        if (memcmp(data + begin, delimiter.data, len - begin) == 0) {
            return true;
        }
    }
    return false;
}

/* All of the input has been looked at, but its last bytes may be the beginning of a delimiter. */
static void remember(struct line_state *state, size_t len, size_t delimiter_len)
{
    state->scanned = len >= delimiter_len ? len - delimiter_len + 1 : 0;
}

static ptrdiff_t read_lines(struct cw_conn *conn, void *memory, uint8_t *data, size_t len)
{
    const struct cw_line_options *options = cw_conn_options(conn);
    const struct cw_span delimiter = delimiter_of(options);
    struct line_state *state = memory;
    size_t used = 0;

    while (used < len) {
        const uint8_t *line = data + used;
        size_t left = len - used;
        const uint8_t *end = find(line + state->scanned, left - state->scanned, delimiter);

        if (end == NULL) {
            remember(state, left, delimiter.len);
            return may_end(options, line, left) ? (ptrdiff_t)used : refuse(conn, options);
        }

        size_t line_len = (size_t)(end - line);
        size_t whole = line_len + delimiter.len;

        if (by_default(options) && line_len > 0 && end[-1] == '\r') {
            line_len--;
        }
        if (line_len > options->line_max_bytes) {
            return refuse(conn, options);
        }
        state->scanned = 0;
        used += whole;
        if (deliver_line(conn, options,
                         cw_span_of(line, options->keep_delimiter ? whole : line_len)) == CW_STOP) {
            break;
        }
    }
    return (ptrdiff_t)used;
}

static int end_input(struct cw_conn *conn, void *memory, uint8_t *data, size_t len)
{
    const struct cw_line_options *options = cw_conn_options(conn);

    if (len == 0) {
        return CW_OK;
    }
    if (!options->last_line_open) {
        return cw_conn_fail(conn, CW_ETRUNCATED, "input ended after %zu bytes of a line", len);
    }
    if (len > options->line_max_bytes) {
        return refuse(conn, options);
    }
    (void)deliver_line(conn, options, cw_span_of(data, len));
    return CW_OK;
}

/* ---- out ---- */

/* Whether the first delimiter in body and delimiter together is the one that we add: "xa" cannot be
 * sent when "aa" ends a line, because "xaaa" is read as "x" and a rest. */
static bool can_carry(struct cw_span body, struct cw_span delimiter)
{
    uint8_t seam[2 * DELIMITER_MAX];
    size_t overlap = delimiter.len - 1;
    size_t tail = body.len < overlap ? body.len : overlap;

    if (find(body.data, body.len, delimiter) != NULL) {
        return false;
    }
    if (tail == 0) {
        return true;
    }
    memcpy(seam, body.data + body.len - tail, tail);
    memcpy(seam + tail, delimiter.data, overlap);
    return find(seam, tail + overlap, delimiter) == NULL;
}

static int check_message(const struct cw_line_options *options, const struct cw_message *msg)
{
    struct cw_span body = msg->body;

    if (msg->part != CW_WHOLE) {
        return CW_EKIND;
    }
    if (body.len > options->line_max_bytes) {
        return CW_ETOOBIG;
    }
    /* The peer would take it for a part of the end. */
    if (by_default(options) && body.len > 0 && body.data[body.len - 1] == '\r') {
        return CW_EKIND;
    }
    return can_carry(body, delimiter_of(options)) ? CW_OK : CW_EKIND;
}

static int send_line(struct cw_conn *conn, void *memory, const struct cw_message *msg)
{
    const struct cw_line_options *options = cw_conn_options(conn);
    const struct cw_span parts[] = {msg->body, delimiter_of(options)};
    int wrong = check_message(options, msg);

    return wrong != CW_OK ? wrong : cw_conn_write(conn, parts, 2);
}

static int encode_line(const struct cw_wire_format *format, const struct cw_message *msg,
                       struct cw_payload **payload)
{
    const struct cw_line_options *options = format->options;
    const struct cw_span parts[] = {msg->body, delimiter_of(options)};
    int wrong = check_message(options, msg);

    if (wrong != CW_OK) {
        return wrong;
    }
    *payload = cw_payload_new(parts, 2);
    return *payload != NULL ? CW_OK : CW_ENOMEM;
}

static uint64_t mix(uint64_t key, uint64_t value)
{
    key = (key ^ value) * 0x9e3779b97f4a7c15;
    return key ^ key >> 29;
}

/* The default and "\n" put the same bytes on the wire, but do not refuse the same messages; nor do
 * two limits. */
static uint64_t key_of(struct cw_conn *conn, const void *state)
{
    const struct cw_line_options *options = cw_conn_options(conn);
    const struct cw_span delimiter = delimiter_of(options);
    uint64_t key = mix(1 + by_default(options), options->line_max_bytes);

    for (size_t i = 0; i < delimiter.len; i++) {
        key = mix(key, delimiter.data[i]);
    }
    return key != 0 ? key : 1;
}

/* ---- public ---- */

int cw_line_configure(struct cw_server *server, const struct cw_line_options *options)
{
    return cw_server_set_protocol_options(server, &cw_line, options);
}

struct cw_service cw_line_service(const struct cw_line_options *options,
                                  const struct cw_hooks *hooks, void *user)
{
    return (struct cw_service){&cw_line, options, hooks, user};
}

static const struct cw_setting settings[] = {
    {.key = "max_frame_size",
     .kind = CW_SETTING_BYTES,
     .offset = offsetof(struct cw_line_options, line_max_bytes),
     .least = 1,
     .most = UINT32_MAX},
    {.key = "delimiter",
     .kind = CW_SETTING_TEXT,
     .offset = offsetof(struct cw_line_options, delimiter)},
    {.key = "last_line_open",
     .kind = CW_SETTING_SWITCH,
     .offset = offsetof(struct cw_line_options, last_line_open)},
    {.key = NULL},
};

const struct cw_protocol cw_line = {
    .name = "line",
    .state_size = sizeof(struct line_state),
    .options_size = sizeof(struct cw_line_options),
    .configure = check_options,
    .release = release_options,
    .message_max = longest_message,
    .on_bytes = read_lines,
    .on_end = end_input,
    .send = send_line,
    .encode = encode_line,
    .wire_key = key_of,
    .settings = settings,
};
