/* Ids are a keyed hash of a counter: each loop has a key of its own from the system's random numbers, so that neither loops
 * nor processes meet, and nobody can tell the next one from those he has seen. */
#include "options_text.h"

#include <causeway/error.h>
#include <causeway/hash.h>
#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/middleware/http_request_id.h>
#include <causeway/parts.h>

enum {
    LEN_MAX = 128,
    LEN_MOST = 1024,
    ID_DIGITS = 32,
};

struct request_id {
    struct cw_http_middleware table; /* first: self is both */
    char *field;
    enum cw_http_request_id_from from;
    size_t len_max;
};

/* The exchange's value under this name is the id. */
static const char value_name[] = "causeway.request_id";

/* ---- making ids ---- */

struct generator {
    struct cw_hash_seed seeds[2]; /* one for each half */
    uint64_t count;               /* 0: not seeded */
};

static const struct cw_loop_part generator_part = {.size = sizeof(struct generator)};

static bool seed(struct generator *generator)
{
    return generator->count > 0 || (cw_hash_seed(&generator->seeds[0]) == CW_OK &&
                                    cw_hash_seed(&generator->seeds[1]) == CW_OK);
}

static void print_half(char *to, uint64_t half)
{
    for (int i = 0; i < ID_DIGITS / 2; i++) {
        to[i] = "0123456789abcdef"[half >> (60 - 4 * i) & 15U];
    }
}

/* NULL: no memory, or no random numbers. */
static const char *make_id(struct cw_http_exchange *http)
{
    struct generator *generator = cw_loop_part(cw_http_loop(http), &generator_part);
    char *id = cw_http_alloc(http, ID_DIGITS + 1);

    if (!generator || !id || !seed(generator)) {
        return NULL;
    }
    generator->count++;
    struct cw_span count = cw_span_of(&generator->count, sizeof generator->count);
    print_half(id, cw_hash(&generator->seeds[0], count));
    print_half(id + ID_DIGITS / 2, cw_hash(&generator->seeds[1], count));
    return id;
}

/* ---- taking them over ---- */

static bool is_id_byte(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z') || (byte != '\0' && strchr("-._~:/+=@", byte));
}

static bool is_well_formed(struct cw_span id, size_t len_max)
{
    bool good = id.len > 0 && id.len <= len_max;

    for (size_t i = 0; i < id.len && good; i++) {
        good = is_id_byte(id.data[i]);
    }
    return good;
}

static bool is_believed(const struct request_id *self, const struct cw_http_exchange *http)
{
    switch (self->from) {
    case CW_REQUEST_ID_FROM_ANYONE:
        return true;
    case CW_REQUEST_ID_FROM_PROXIES:
        return cw_conn_is_trusted(cw_http_conn(http));
    case CW_REQUEST_ID_FROM_NOBODY:
        break;
    }
    return false;
}

/* NULL: there is none to take. */
static const char *take_over(const struct request_id *self, struct cw_http_exchange *http)
{
    size_t at = 0;
    struct cw_span given = cw_http_field_next(http, self->field, &at);

    if (!given.data || cw_http_field_next(http, self->field, &at).data ||
        !is_well_formed(given, self->len_max) || !is_believed(self, http)) {
        return NULL;
    }
    char *id = cw_http_alloc(http, given.len + 1);
    return id ? memcpy(id, given.data, given.len) : NULL;
}

/* ---- the middleware ---- */

static int on_request(struct cw_http_middleware *table, struct cw_http_exchange *http, void *slot)
{
    const struct request_id *self = (const struct request_id *)table;
    const char *id = take_over(self, http);

    if (!id) {
        id = make_id(http);
    }
    if (id) {
        cw_http_set_value(http, value_name, (void *)(uintptr_t)id, NULL);
    }
    return CW_HTTP_NEXT;
}

static void on_reply(struct cw_http_middleware *table, struct cw_http_exchange *http, void *slot)
{
    const struct request_id *self = (const struct request_id *)table;
    const char *id = cw_http_request_id_of(http);

    if (*id != '\0') {
        cw_http_set_field(http, self->field, id);
    }
}

static void release(struct cw_http_middleware *table)
{
    cw_release(((struct request_id *)table)->field);
    cw_release(table);
}

const char *cw_http_request_id_of(const struct cw_http_exchange *http)
{
    const char *id = cw_http_value(http, value_name);

    return id ? id : "";
}

/* ---- making one ---- */

static const char *fault_in(const struct cw_http_request_id_options *options)
{
    if (options->field && !cw_http_is_token(cw_span_text(options->field))) {
        return "field is not the name of a field";
    }
    if ((unsigned)options->from > CW_REQUEST_ID_FROM_NOBODY) {
        return "there is no such `from`";
    }
    return options->len_max > LEN_MOST ? "len_max is at most 1024" : NULL;
}

struct cw_http_middleware *cw_http_request_id(const struct cw_http_request_id_options *options)
{
    static const struct cw_http_request_id_options none = {0};
    struct request_id *self;
    const char *fault;

    options = options ? options : &none;
    fault = fault_in(options);
    if (fault) {
        cw_log(CW_LOG_ERROR, 0, "http_request_id: %s", fault);
        return NULL;
    }
    self = cw_alloc_zero(sizeof *self);
    if (!self) {
        return NULL;
    }
    self->table = (struct cw_http_middleware){.name = "http_request_id",
                                              .on_request = on_request,
                                              .on_reply = on_reply,
                                              .release = release};
    self->from = options->from;
    self->len_max = options->len_max == 0 ? LEN_MAX : (size_t)options->len_max;
    self->field = cw_option_copy(options->field ? options->field : "X-Request-Id");
    if (!self->field) {
        release(&self->table);
        return NULL;
    }
    return &self->table;
}
