/* What a request says: views of its head. */
#include "http_impl.h"

static struct cw_span view(const struct cw_http_exchange *x, size_t at, size_t len)
{
    return cw_span_of(x->head_data + at, len);
}

struct cw_span cw_http_method(const struct cw_http_exchange *http)
{
    return view(http, http->head.method, http->head.method_len);
}

struct cw_span cw_http_target(const struct cw_http_exchange *http)
{
    return view(http, http->head.target, http->head.target_len);
}

struct cw_span cw_http_path(const struct cw_http_exchange *http)
{
    return http->target.path;
}

struct cw_span cw_http_query_string(const struct cw_http_exchange *http)
{
    return http->target.query;
}

static bool is_named(struct cw_span encoded, const char *name)
{
    size_t len = strlen(name);
    uint8_t decoded[256];
    ptrdiff_t n;

    if (encoded.len == len && memcmp(encoded.data, name, len) == 0) {
        return true;
    }
    if (encoded.len > sizeof decoded || encoded.len < len) {
        return false;
    }
    n = cw_http_decode(encoded, true, decoded);
    return n >= 0 && (size_t)n == len && memcmp(decoded, name, len) == 0;
}

struct cw_span cw_http_query(struct cw_http_exchange *http, const char *name)
{
    struct cw_span rest = http->target.query;
    struct cw_span key;
    struct cw_span value;

    while (cw_http_form_next(&rest, &key, &value)) {
        if (is_named(key, name)) {
            uint8_t *decoded = cw_http_take(http, value.len + 1);
            ptrdiff_t n = decoded ? cw_http_decode(value, true, decoded) : -1;

            if (n < 0) {
                return cw_http_nothing();
            }
            decoded[n] = '\0';
            return cw_span_of(decoded, (size_t)n);
        }
    }
    return cw_http_nothing();
}

struct cw_span cw_http_param(const struct cw_http_exchange *http, const char *name)
{
    for (size_t i = 0; i < http->match.param_count; i++) {
        if (strcmp(http->match.params[i].name, name) == 0) {
            return http->match.params[i].value;
        }
    }
    return cw_http_nothing();
}

/* ---- fields ---- */

static struct cw_span value_of(const struct cw_http_exchange *x, const struct cw_http_line *line)
{
    return view(x, line->value, line->value_len);
}

/* `len` bytes each. Mostly fields are written as they are asked for. */
static bool is_field(const uint8_t *written, const char *name, size_t len)
{
    if (len > 0 && ((written[0] ^ (uint8_t)name[0]) & 0xdf) != 0) {
        return false;
    }
    return memcmp(written, name, len) == 0 || cw_http_equal(cw_span_of(written, len), name);
}

struct cw_span cw_http_field_next(const struct cw_http_exchange *http, const char *name, size_t *at)
{
    const struct cw_http_line *lines = http->head.fields;
    const uint8_t *data = http->head_data;
    size_t count = http->head.field_count;
    size_t len = strlen(name);

    for (size_t i = *at; i < count; i++) {
        if (lines[i].name_len == len && is_field(data + lines[i].name, name, len)) {
            *at = i + 1;
            return value_of(http, &lines[i]);
        }
    }
    *at = *at > count ? *at : count;
    return cw_http_nothing();
}

struct cw_span cw_http_field(const struct cw_http_exchange *http, const char *name)
{
    size_t at = 0;

    return cw_http_field_next(http, name, &at);
}

struct cw_span cw_http_field_list(struct cw_http_exchange *http, const char *name)
{
    struct cw_span first = cw_http_field(http, name);
    size_t total = 0;
    size_t count = 0;
    size_t at = 0;
    struct cw_span value;
    uint8_t *list;

    while ((value = cw_http_field_next(http, name, &at)).data) {
        total += value.len + 2;
        count++;
    }
    if (count < 2) {
        return first;
    }
    list = cw_http_take(http, total);
    if (!list) {
        return cw_http_nothing();
    }
    total = 0;
    for (at = 0; (value = cw_http_field_next(http, name, &at)).data;) {
        memcpy(list + total, value.data, value.len);
        total += value.len;
        list[total++] = ',';
        list[total++] = ' ';
    }
    return cw_span_of(list, total - 2);
}

bool cw_http_field_at(const struct cw_http_exchange *http, size_t index, struct cw_span *name,
                      struct cw_span *value)
{
    const struct cw_http_line *line;

    if (index >= http->head.field_count) {
        return false;
    }
    line = &http->head.fields[index];
    *name = view(http, line->name, line->name_len);
    *value = value_of(http, line);
    return true;
}

struct cw_span cw_http_cookie(const struct cw_http_exchange *http, const char *name)
{
    size_t len = strlen(name);
    size_t at = 0;
    struct cw_span field;

    while ((field = cw_http_field_next(http, "cookie", &at)).data) {
        struct cw_span key;
        struct cw_span value;

        while (cw_http_cookie_next(&field, &key, &value)) {
            if (key.len == len && memcmp(key.data, name, len) == 0) {
                return value;
            }
        }
    }
    return cw_http_nothing();
}

struct cw_span cw_http_trailer(const struct cw_http_exchange *http, const char *name)
{
    const struct cw_http_head *trailers = &http->chunked.trailers;
    size_t len = strlen(name);

    if (!http->head.chunked || http->chunked.chunks.step != CW_CHUNK_DONE) {
        return cw_http_nothing();
    }
    for (size_t i = 0; i < trailers->field_count; i++) {
        const struct cw_http_line *line = &trailers->fields[i];
        const uint8_t *data = http->chunked.trailer_data;

        if (line->name_len == len && cw_http_equal(cw_span_of(data + line->name, len), name)) {
            return cw_span_of(data + line->value, line->value_len);
        }
    }
    return cw_http_nothing();
}

/* ---- who and where ---- */

struct cw_span cw_http_host(const struct cw_http_exchange *http)
{
    return http->host;
}

uint16_t cw_http_port(const struct cw_http_exchange *http)
{
    return http->port;
}

const char *cw_http_scheme(const struct cw_http_exchange *http)
{
    bool secure = cw_conn_is_encrypted(http->conn);

    if (http->origin && http->origin->told_scheme) {
        secure = http->origin->is_https;
    }
    return secure ? "https" : "http";
}

int cw_http_version(const struct cw_http_exchange *http)
{
    return http->head.version;
}

const struct cw_address *cw_http_client(const struct cw_http_exchange *http)
{
    return http->origin ? &http->origin->client : cw_conn_peer(http->conn);
}

struct cw_conn *cw_http_conn(const struct cw_http_exchange *http)
{
    return http->conn;
}

struct cw_server *cw_http_server(const struct cw_http_exchange *http)
{
    return cw_conn_server(http->conn);
}

struct cw_loop *cw_http_loop(const struct cw_http_exchange *http)
{
    return cw_conn_loop(http->conn);
}

const struct cw_http_options *cw_http_options_of(const struct cw_http_exchange *http)
{
    return http->options;
}

const char *cw_http_route_name(const struct cw_http_exchange *http)
{
    return http->match.route ? http->match.route->name : NULL;
}

struct cw_span cw_http_body(const struct cw_http_exchange *http)
{
    return cw_span_of(http->body.bytes, http->body.len);
}

uint64_t cw_http_body_length(const struct cw_http_exchange *http)
{
    return http->head.chunked ? CW_NO_LIMIT : http->head.content_length;
}

int cw_http_error_status(const struct cw_http_exchange *http)
{
    return http->error_status;
}

const char *cw_http_error_text(const struct cw_http_exchange *http)
{
    return http->error_text ? http->error_text : cw_http_status_text(http->error_status);
}
