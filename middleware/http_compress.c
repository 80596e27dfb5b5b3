/* Which answers are compressed, and how. */
#include "encoder.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <causeway/middleware/http_compress.h>
#include <causeway/parts.h>

enum {
    MIN_BYTES_DEFAULT = 1024,
    GZIP_LEVEL_DEFAULT = 6,
    GZIP_LEVEL_MAX = 9,
    BROTLI_LEVEL_DEFAULT = 4,
    BROTLI_LEVEL_MAX = 11,
    STREAMS_MAX_DEFAULT = 64,
    KEPT_MAX_DEFAULT = 8,
    KEPT_MAX_MOST = 1024,
    ACCEPTED_MAX = 512,
};

struct compress {
    struct cw_http_middleware table; /* first: self is both */
    uint64_t min_bytes;
    uint64_t streams_max;
    uint64_t kept_max;
    int levels[CW_CODING_BROTLI + 1]; /* 0: off */
    bool (*compresses)(struct cw_span type);
};

/* Of one exchange. */
struct slot {
    struct cw_encoder *encoder;
};

/* ---- encoders of a loop ---- */

struct pool {
    struct cw_encoder *kept[KEPT_MAX_MOST];
    size_t kept_count;
    uint64_t in_use;
};

static void free_kept(struct cw_loop *loop, void *memory)
{
    struct pool *pool = memory;

    while (pool->kept_count > 0) {
        cw_encoder_free(pool->kept[--pool->kept_count]);
    }
}

static const struct cw_loop_part pool_part = {.size = sizeof(struct pool), .release = free_kept};

static struct cw_encoder *take_kept(struct pool *pool, enum cw_coding coding, int level)
{
    for (size_t i = pool->kept_count; i > 0; i--) {
        struct cw_encoder *encoder = pool->kept[i - 1];
        if (cw_encoder_coding(encoder) == coding && cw_encoder_level(encoder) == level) {
            pool->kept[i - 1] = pool->kept[--pool->kept_count];
            return encoder;
        }
    }
    return NULL;
}

/* NULL: there are enough, or no memory: the answer leaves as it is. */
static struct cw_encoder *take_encoder(const struct compress *compress, struct pool *pool,
                                       enum cw_coding coding)
{
    if (pool == NULL || pool->in_use >= compress->streams_max) {
        return NULL;
    }
    struct cw_encoder *encoder = take_kept(pool, coding, compress->levels[coding]);
    if (encoder == NULL) {
        encoder = cw_encoder_new(coding, compress->levels[coding]);
    }
    pool->in_use += encoder != NULL;
    return encoder;
}

static void give_encoder(const struct compress *compress, struct pool *pool,
                         struct cw_encoder *encoder)
{
    pool->in_use--;
    if (pool->kept_count < compress->kept_max && cw_encoder_reset(encoder)) {
        pool->kept[pool->kept_count++] = encoder;
    } else {
        cw_encoder_free(encoder);
    }
}

/* ---- what the answer allows ---- */

static bool has_field(const struct cw_http_exchange *http, const char *name)
{
    return cw_http_reply_field(http, name).data != NULL;
}

/* What would no longer be true of the bytes, or already says something of them. */
static bool is_fixed(const struct cw_http_exchange *http)
{
    static const char *const fields[] = {"Content-Encoding", "Content-Range", "Content-Digest",
                                         "Repr-Digest",      "Digest",        "Content-MD5"};
    struct cw_span control = cw_http_reply_field(http, "Cache-Control");

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (has_field(http, fields[i])) {
            return true;
        }
    }
    return control.data != NULL && cw_http_list_has(control, "no-transform");
}

static bool gets_smaller(const struct compress *compress, struct cw_span type)
{
    struct cw_span bare = cw_http_without_parameters(type);

    return type.data != NULL && !cw_http_equal(bare, "text/event-stream") &&
           compress->compresses(bare);
}

/* Whether another Accept-Encoding could have led to another answer. */
static bool could_compress(const struct compress *compress, const struct cw_http_exchange *http)
{
    int status = cw_http_reply_status(http);
    struct cw_span type = cw_http_reply_field(http, "Content-Type");

    if (status < 200 || status == 204 || status == 205 || status == 206 || is_fixed(http)) {
        return false;
    }
    if (status == 304) { /* it has no body, but the fields that the 200 would have had */
        return type.data == NULL || gets_smaller(compress, type);
    }
    return cw_http_reply_length(http) >= compress->min_bytes && gets_smaller(compress, type);
}

/* ---- what the client takes ---- */

/* All lines of Accept-Encoding as one list. data NULL: there is none, or too much of it. */
static struct cw_span accepted(const struct cw_http_exchange *http, char buffer[ACCEPTED_MAX])
{
    size_t at = 0;
    size_t len = 0;
    struct cw_span line = cw_http_field_next(http, "Accept-Encoding", &at);

    if (line.data == NULL) {
        return line;
    }
    for (; line.data != NULL; line = cw_http_field_next(http, "Accept-Encoding", &at)) {
        if (line.len + 1 > ACCEPTED_MAX - len) {
            return (struct cw_span){NULL, 0};
        }
        memcpy(buffer + len, line.data, line.len);
        len += line.len;
        buffer[len++] = ',';
    }
    return cw_span_of(buffer, len - 1);
}

/* How much it wants the bytes as they are, if it says so; 0: it does not. */
static int wants_identity(struct cw_span list)
{
    struct cw_span rest = list;
    struct cw_span element;

    while (cw_http_list_next(&rest, &element)) {
        if (cw_http_equal(cw_http_without_parameters(element), "identity")) {
            return cw_http_quality("Accept-Encoding", list, "identity");
        }
    }
    return 0;
}

static enum cw_coding choose(const struct compress *compress, const struct cw_http_exchange *http)
{
    char buffer[ACCEPTED_MAX];
    struct cw_span list = accepted(http, buffer);
    enum cw_coding best = CW_CODING_NONE;

    if (list.data == NULL) {
        return CW_CODING_NONE;
    }
    int most = wants_identity(list);
    most = most > 0 ? most - 1 : 0; /* of equals the one that is smaller */
    for (int coding = CW_CODING_BROTLI; coding > CW_CODING_NONE; coding--) {
        int quality =
            compress->levels[coding] == 0
                ? 0
                : cw_http_quality("Accept-Encoding", list, cw_coding_name((enum cw_coding)coding));
        if (quality > most) {
            most = quality;
            best = (enum cw_coding)coding;
        }
    }
    return best;
}

/* ---- the answer's head ---- */

/* RFC 9110 §8.8.1: other bytes need another strong tag. */
static void weaken_etag(struct cw_http_exchange *http)
{
    struct cw_span etag = cw_http_reply_field(http, "ETag");

    if (etag.len > 0 && etag.data[0] == '"') {
        (void)cw_http_set_fieldf(http, "ETag", "W/%.*s", (int)etag.len, (const char *)etag.data);
    }
}

/* Whoever has the compressed answer asks with its weak tag, and hears that one again. */
static void answer_not_modified(struct cw_http_exchange *http)
{
    struct cw_span etag = cw_http_reply_field(http, "ETag");
    struct cw_span asked = cw_http_field(http, "If-None-Match");

    for (size_t i = 2; etag.len > 0 && i < asked.len && asked.len - i >= etag.len; i++) {
        if (memcmp(asked.data + i - 2, "W/", 2) == 0 &&
            memcmp(asked.data + i, etag.data, etag.len) == 0) {
            weaken_etag(http);
            return;
        }
    }
}

static bool set_head(struct cw_http_exchange *http, enum cw_coding coding)
{
    if (cw_http_set_field(http, "Content-Encoding", cw_coding_name(coding)) < 0) {
        return false;
    }
    if (cw_http_filter_body(http) < 0) {
        (void)cw_http_set_field(http, "Content-Encoding", NULL);
        return false;
    }
    (void)cw_http_set_field(http, "Accept-Ranges", NULL);
    weaken_etag(http);
    return true;
}

static void begin(const struct compress *compress, struct cw_http_exchange *http, struct slot *slot,
                  enum cw_coding coding)
{
    struct pool *pool = cw_loop_part(cw_http_loop(http), &pool_part);

    slot->encoder = take_encoder(compress, pool, coding);
    if (slot->encoder != NULL && !set_head(http, coding)) {
        give_encoder(compress, pool, slot->encoder);
        slot->encoder = NULL;
    }
}

static void on_reply(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    const struct compress *compress = (const struct compress *)self;

    if (!could_compress(compress, http)) {
        return;
    }
    (void)cw_http_add_to_list(http, "Vary", "Accept-Encoding");
    if (cw_http_reply_status(http) == 304) {
        answer_not_modified(http);
        return;
    }
    enum cw_coding coding = choose(compress, http);
    if (coding == CW_CODING_NONE) {
        return;
    }
    if (cw_http_equal(cw_http_method(http), "HEAD")) {
        (void)set_head(http, coding);
    } else {
        begin(compress, http, slot, coding);
    }
}

/* ---- its body ---- */

static int on_reply_body(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                         struct cw_span *piece, bool last)
{
    struct slot *own = slot;

    if (own->encoder == NULL || (piece->len == 0 && !last)) { /* HEAD; nothing to say */
        return CW_OK;
    }
    return cw_encoder_run(own->encoder, *piece, last, piece);
}

static void on_done(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                    const struct cw_http_outcome *outcome)
{
    struct slot *own = slot;

    if (own->encoder != NULL) {
        give_encoder((const struct compress *)self, cw_loop_part(cw_http_loop(http), &pool_part),
                     own->encoder);
        own->encoder = NULL;
    }
}

static void release(struct cw_http_middleware *self)
{
    cw_release(self);
}

/* ---- making one ---- */

static bool set_level(struct compress *compress, enum cw_coding coding, uint64_t level,
                      int standard, int max)
{
    if (level != CW_OFF && level > (uint64_t)max) {
        cw_log(CW_LOG_ERROR, 0, "compress: the level of %s is 1 to %d, or CW_OFF",
               cw_coding_name(coding), max);
        return false;
    }
    if (cw_coding_is_there(coding) && level != CW_OFF) {
        compress->levels[coding] = level == 0 ? standard : (int)level;
    }
    return true;
}

static uint64_t or_default(uint64_t given, uint64_t standard)
{
    return given == 0 ? standard : given;
}

static bool set_options(struct compress *compress, const struct cw_http_compress_options *options)
{
    uint64_t kept_max =
        options->kept_max == CW_OFF ? 0 : or_default(options->kept_max, KEPT_MAX_DEFAULT);

    compress->min_bytes = or_default(options->min_bytes, MIN_BYTES_DEFAULT);
    compress->streams_max = or_default(options->streams_max, STREAMS_MAX_DEFAULT);
    compress->kept_max = kept_max;
    compress->compresses = options->compresses ? options->compresses : cw_http_type_compresses;
    if (kept_max > KEPT_MAX_MOST) {
        cw_log(CW_LOG_ERROR, 0, "compress: kept_max is at most %d", KEPT_MAX_MOST);
        return false;
    }
    return set_level(compress, CW_CODING_GZIP, options->gzip_level, GZIP_LEVEL_DEFAULT,
                     GZIP_LEVEL_MAX) &&
           set_level(compress, CW_CODING_BROTLI, options->brotli_level, BROTLI_LEVEL_DEFAULT,
                     BROTLI_LEVEL_MAX);
}

bool cw_http_compress_has_brotli(void)
{
    return cw_coding_is_there(CW_CODING_BROTLI);
}

struct cw_http_middleware *cw_http_compress(const struct cw_http_compress_options *options)
{
    const struct cw_http_compress_options none = {0};
    struct compress *compress = cw_alloc_zero(sizeof *compress);

    if (compress == NULL) {
        return NULL;
    }
    compress->table = (struct cw_http_middleware){.name = "compress",
                                                  .slot_size = sizeof(struct slot),
                                                  .on_reply = on_reply,
                                                  .on_reply_body = on_reply_body,
                                                  .on_done = on_done,
                                                  .release = release};
    if (!set_options(compress, options == NULL ? &none : options)) {
        release(&compress->table);
        return NULL;
    }
    return &compress->table;
}
