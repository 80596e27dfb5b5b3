/* A body read once, kept with the exchange. */
#include "body_type.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <causeway/middleware/http_json.h>
#include <cjson/cJSON.h>

enum { BYTES_MAX_DEFAULT = 1048576 };

static const char key[] = "causeway.json";
static const struct cw_body_kind kind = {"application/json", "+json", true};

struct json {
    struct cw_http_middleware table; /* first: self is both */
    struct cw_json_limits limits;
};

static struct cw_json_limits limits_or_defaults(const struct cw_json_limits *limits)
{
    struct cw_json_limits chosen = limits == NULL ? (struct cw_json_limits){0} : *limits;

    chosen.bytes_max = chosen.bytes_max == 0 ? BYTES_MAX_DEFAULT : chosen.bytes_max;
    return chosen;
}

static void drop(void *value)
{
    cJSON_Delete(value);
}

static void refuse(struct cw_http_exchange *http, struct cw_span body, int code)
{
    switch (code) {
    case CW_ETOOBIG:
        (void)cw_http_reply_error(
            http, 400, "The JSON is nested too deeply, or has a number that is too long");
        break;
    case CW_ENOMEM:
        (void)cw_http_reply_error(http, 500, NULL);
        break;
    default:
        (void)cw_http_reply_error(
            http, 400, body.len == 0 ? "A body with JSON is needed" : "The body is not JSON");
        break;
    }
}

static const struct cJSON *read_body(struct cw_http_exchange *http,
                                     const struct cw_json_limits *limits)
{
    struct cw_span body = cw_http_body(http);
    struct cJSON *json = NULL;

    if (body.len > limits->bytes_max) {
        cw_body_refuse_size(http, limits->bytes_max);
        return NULL;
    }
    int code = cw_json_parse(body, limits, &json);
    if (code == CW_OK) {
        code = cw_http_set_value(http, key, json, drop);
    }
    if (code < 0) {
        refuse(http, body, code);
        return NULL;
    }
    return json;
}

const struct cJSON *cw_http_body_json(struct cw_http_exchange *http,
                                      const struct cw_json_limits *limits)
{
    struct cw_json_limits chosen = limits_or_defaults(limits);
    const struct cJSON *json = cw_http_value(http, key);

    if (json != NULL || (cw_http_body(http).len > 0 && !cw_body_is_of(http, &kind))) {
        return json;
    }
    return read_body(http, &chosen);
}

/* ---- middleware ---- */

static int on_request(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    const struct json *json = (const struct json *)self;
    uint64_t length = cw_http_body_length(http);

    if (!cw_body_is_sent(http)) {
        return CW_HTTP_NEXT;
    }
    if (!cw_body_is_of(http, &kind)) {
        return CW_HTTP_ANSWERED;
    }
    if (length != CW_NO_LIMIT && length > json->limits.bytes_max) {
        cw_body_refuse_size(http, json->limits.bytes_max);
        return CW_HTTP_ANSWERED;
    }
    int verdict = cw_http_need_body(http);
    if (verdict != CW_HTTP_NEXT || cw_http_body(http).len == 0) {
        return verdict;
    }
    return cw_http_body_json(http, &json->limits) != NULL ? CW_HTTP_NEXT : CW_HTTP_ANSWERED;
}

static void release(struct cw_http_middleware *self)
{
    cw_release(self);
}

struct cw_http_middleware *cw_http_json(const struct cw_json_limits *limits)
{
    struct json *json = cw_alloc_zero(sizeof *json);

    if (json == NULL) {
        return NULL;
    }
    json->table =
        (struct cw_http_middleware){.name = "json", .on_request = on_request, .release = release};
    json->limits = limits_or_defaults(limits);
    return &json->table;
}
