/* A body in parts, from an exchange to hooks. What an exchange needs lives in its own memory. */
#include "body_type.h"
#include "multipart_parser.h"

#include <causeway/error.h>
#include <causeway/middleware/http_multipart.h>

enum {
    PARTS_MAX_DEFAULT = 100,
    BYTES_MAX_DEFAULT = 1073741824,
    HEAD_MAX_DEFAULT = 4096,
    HEAD_MAX_MOST = 65536,
    NAME_MAX_DEFAULT = 256,
    FILENAME_MAX_DEFAULT = 255,
};

static const struct cw_body_kind kind = {"multipart/form-data", NULL, false};

struct reading {
    struct cw_multipart parser;
    struct cw_http_multipart_limits limits;
    const struct cw_http_multipart_hooks *hooks;
    void *user;
    struct cw_http_part part;
    size_t parts;   /* begun */
    uint64_t bytes; /* of all parts */
    bool skipped;   /* the bytes of this one are not wanted */
    bool over;      /* on_done has been called */
    char head[];
};

/* A refusal: what is answered, and what on_done hears. */
struct refusal {
    int code;
    int status;
    const char *text;
};

static uint64_t or_default(uint64_t limit, uint64_t standard)
{
    return limit == 0 ? standard : limit;
}

static struct cw_http_multipart_limits limits_or_defaults(
    const struct cw_http_multipart_limits *limits)
{
    struct cw_http_multipart_limits chosen =
        limits == NULL ? (struct cw_http_multipart_limits){0} : *limits;

    chosen.parts_max = or_default(chosen.parts_max, PARTS_MAX_DEFAULT);
    chosen.bytes_max = or_default(chosen.bytes_max, BYTES_MAX_DEFAULT);
    chosen.part_max_bytes = or_default(chosen.part_max_bytes, chosen.bytes_max);
    chosen.head_max_bytes = or_default(chosen.head_max_bytes, HEAD_MAX_DEFAULT);
    chosen.name_max_bytes = or_default(chosen.name_max_bytes, NAME_MAX_DEFAULT);
    chosen.filename_max_bytes = or_default(chosen.filename_max_bytes, FILENAME_MAX_DEFAULT);
    if (chosen.head_max_bytes > HEAD_MAX_MOST) {
        chosen.head_max_bytes = HEAD_MAX_MOST;
    }
    return chosen;
}

/* ---- how it ends ---- */

static void end(struct reading *reading, struct cw_http_exchange *http, int code)
{
    if (reading->over) {
        return;
    }
    reading->over = true;
    if (reading->hooks->on_done != NULL) {
        reading->hooks->on_done(http, code, reading->user);
    }
}

static void refuse(struct reading *reading, struct cw_http_exchange *http, struct refusal refusal)
{
    (void)cw_http_reply_error(http, refusal.status, refusal.text);
    end(reading, http, refusal.code);
}

static void on_exchange_done(struct cw_http_exchange *http, const struct cw_http_outcome *outcome,
                             void *user)
{
    end(user, http, CW_ECLOSED);
}

/* ---- events; 0, or the status that ends it ---- */

static struct refusal too_big(const char *text)
{
    return (struct refusal){CW_ETOOBIG, 413, text};
}

static struct refusal by_hook(int answer)
{
    bool is_status = answer == 0 || (answer >= 400 && answer <= 599);

    return (struct refusal){CW_ECLOSED, is_status ? answer : 500, NULL};
}

static struct refusal begin_part(struct reading *reading, struct cw_http_exchange *http)
{
    struct cw_multipart_head head = {NULL, NULL, NULL};
    const char *why = NULL;
    int answer = 0;

    if (cw_multipart_read_head(reading->head, reading->parser.head_len, &head, &why) < 0) {
        return (struct refusal){CW_EPROTO, 400, why};
    }
    if (reading->parts == reading->limits.parts_max) {
        return too_big("The body has too many parts");
    }
    if (strlen(head.name) > reading->limits.name_max_bytes) {
        return too_big("The name of a part is too long");
    }
    if (head.filename != NULL && strlen(head.filename) > reading->limits.filename_max_bytes) {
        return too_big("The name of a file is too long");
    }
    reading->part = (struct cw_http_part){.name = head.name,
                                          .filename = head.filename,
                                          .type = head.type == NULL ? "text/plain" : head.type,
                                          .index = reading->parts++};
    if (reading->hooks->on_part != NULL) {
        answer = reading->hooks->on_part(http, &reading->part, reading->user);
    }
    reading->skipped = answer == CW_HTTP_SKIP_PART;
    return by_hook(reading->skipped ? 0 : answer);
}

static struct refusal take_data(struct reading *reading, struct cw_http_exchange *http,
                                struct cw_span data)
{
    if (data.len > reading->limits.part_max_bytes - reading->part.size) {
        return too_big("A part is too long");
    }
    if (data.len > reading->limits.bytes_max - reading->bytes) {
        return too_big("The parts together are too long");
    }
    reading->part.size += data.len;
    reading->bytes += data.len;
    if (reading->skipped || reading->hooks->on_data == NULL) {
        return by_hook(0);
    }
    return by_hook(reading->hooks->on_data(http, &reading->part, data, reading->user));
}

static struct refusal end_part(struct reading *reading, struct cw_http_exchange *http)
{
    if (reading->hooks->on_part_end == NULL) {
        return by_hook(0);
    }
    return by_hook(reading->hooks->on_part_end(http, &reading->part, reading->user));
}

static struct refusal tell(struct reading *reading, struct cw_http_exchange *http, int event,
                           struct cw_span data)
{
    switch (event) {
    case CW_MULTIPART_HEAD:
        return begin_part(reading, http);
    case CW_MULTIPART_DATA:
        return take_data(reading, http, data);
    case CW_MULTIPART_PART_END:
        return end_part(reading, http);
    case CW_ETOOBIG:
        return too_big(reading->parser.why);
    case CW_EPROTO:
        return (struct refusal){CW_EPROTO, 400, reading->parser.why};
    default:
        return by_hook(0);
    }
}

static void on_piece(struct cw_http_exchange *http, struct cw_span piece, bool last, void *user)
{
    struct reading *reading = user;
    struct cw_span data;

    while (!reading->over) {
        int event = cw_multipart_next(&reading->parser, &piece, &data);
        if (event == CW_MULTIPART_MORE) {
            break;
        }
        struct refusal refusal = tell(reading, http, event, data);
        if (refusal.status != 0) {
            refuse(reading, http, refusal);
        }
    }
    if (!last || reading->over) {
        return;
    }
    if (cw_multipart_is_whole(&reading->parser)) {
        end(reading, http, CW_OK);
    } else {
        refuse(reading, http,
               (struct refusal){CW_EPROTO, 400, "The body ends before its last boundary"});
    }
}

/* ---- how it begins ---- */

static int answer_500(struct cw_http_exchange *http, int code)
{
    (void)cw_http_reply_error(http, 500, NULL);
    return code;
}

static int begin_parser(struct reading *reading, struct cw_http_exchange *http)
{
    char boundary[CW_BOUNDARY_MAX + 1];
    ptrdiff_t len = cw_http_parameter(cw_http_field(http, "Content-Type"), "boundary", boundary,
                                      sizeof boundary);

    if (len < 0 || cw_multipart_begin(&reading->parser, cw_span_of(boundary, (size_t)len),
                                      reading->head, reading->limits.head_max_bytes) < 0) {
        (void)cw_http_reply_error(http, 400,
                                  "Content-Type has no boundary, or one that cannot be (RFC 2046)");
        return CW_EINVAL;
    }
    return CW_OK;
}

int cw_http_read_multipart(struct cw_http_exchange *http,
                           const struct cw_http_multipart_limits *limits,
                           const struct cw_http_multipart_hooks *hooks, void *user)
{
    struct cw_http_multipart_limits chosen = limits_or_defaults(limits);

    if (!cw_body_is_of(http, &kind)) {
        return CW_EINVAL;
    }
    struct reading *reading = cw_http_alloc(http, sizeof *reading + chosen.head_max_bytes);
    if (reading == NULL) {
        return answer_500(http, CW_ENOMEM);
    }
    reading->limits = chosen;
    reading->hooks = hooks;
    reading->user = user;
    int code = begin_parser(reading, http);
    if (code < 0) {
        return code;
    }
    code = cw_http_read_body(http, on_piece, reading);
    if (code < 0) {
        return answer_500(http, code);
    }
    code = cw_http_on_done(http, on_exchange_done, reading);
    if (code < 0) {
        reading->over = true;
        return answer_500(http, code);
    }
    return CW_OK;
}
