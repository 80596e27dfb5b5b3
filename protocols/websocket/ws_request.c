/* What a client asks for: its fields judged, put together, written (RFC 6455 §4.1). */
#include "ws_dial.h"

#include "../http/http_url.h"

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <causeway/log.h>
#include <causeway/version.h>

#include <stdlib.h>

struct cw_ws_set_field {
    struct cw_ws_set_field *next;
    const char *value; /* behind the name */
    char name[];
};

/* ---- what is allowed ---- */

/* What makes the request a handshake, and what frames a message. */
static bool is_ours(struct cw_span name)
{
    static const char *const names[] = {
        "host",           "connection", "upgrade",           "keep-alive", "proxy-connection",
        "content-length", "te",         "transfer-encoding", "trailer",    "expect"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (cw_http_equal(name, names[i])) {
            return true;
        }
    }
    return name.len >= 14 && cw_http_equal(cw_span_of(name.data, 14), "sec-websocket-");
}

static int check_field(const char *name, const char *value, const char **why)
{
    if (!name || !cw_http_is_token(cw_span_text(name))) {
        *why = "fields: a name may hold letters, digits and !#$%&'*+-.^_`|~ alone";
    } else if (!value || !cw_http_is_value(cw_span_text(value))) {
        *why = "fields: a value may hold no control characters, and no space at its ends";
    } else if (is_ours(cw_span_text(name))) {
        *why = "fields: those of the handshake and of framing (Host, Upgrade, Connection, "
               "Sec-WebSocket-Key and their kin) are not the application's: see host, "
               "subprotocols and compress";
    } else {
        return CW_OK;
    }
    return CW_EINVAL;
}

/* Takes `http://` and something behind it apart, which tells whether that may stand there. */
static int parse_behind(const char *before, struct cw_span span, struct cw_http_url *url)
{
    uint8_t *text = cw_alloc(CW_URL_MAX);
    size_t len = strlen(before);
    const char *why;
    int error;

    if (!text) {
        return CW_ENOMEM;
    }
    if (span.len > CW_URL_MAX - len) {
        cw_release(text);
        return CW_ETOOBIG;
    }
    memcpy(text, before, len);
    memcpy(text + len, span.data, span.len);
    error = memchr(text, '#', len + span.len)
                ? CW_EINVAL
                : cw_http_url_parse(cw_span_of(text, len + span.len), url, &why);
    cw_release(text);
    return error;
}

/* RFC 6455 §3: a path and a query, no fragment. */
static int check_target(struct cw_span target)
{
    struct cw_http_url url;

    return target.len > 0 && target.data[0] == '/' ? parse_behind("http://a", target, &url)
                                                   : CW_EINVAL;
}

static int check_host(struct cw_span host)
{
    struct cw_http_url url;
    int error = parse_behind("http://", host, &url);

    return error == CW_OK && url.path.len + url.query.len > 0 ? CW_EINVAL : error;
}

int cw_ws_check_request(const struct cw_websocket_options *options, const char **why)
{
    if (options->host && check_host(cw_span_text(options->host)) < 0) {
        *why = "host: what the field Host says: a name or an address, perhaps with a port";
        return CW_EINVAL;
    }
    if (options->target && check_target(cw_span_text(options->target)) < 0) {
        *why = "target: a path that begins with a slash, perhaps with a query; encoded, and at "
               "most 16000 bytes long";
        return CW_EINVAL;
    }
    for (const struct cw_http_pair *pair = options->fields; pair && pair->name; pair++) {
        if (check_field(pair->name, pair->value, why) < 0) {
            return CW_EINVAL;
        }
    }
    return CW_OK;
}

/* ---- what on_request sets ---- */

static size_t size_of(const char *name, const char *value)
{
    return strlen(name) + strlen(value) + 4; /* as it is sent */
}

/* Where this name has been set before, or the end. */
static struct cw_ws_set_field **place_of(struct cw_websocket_request *request, const char *name)
{
    struct cw_ws_set_field **place = &request->fields;

    while (*place && !cw_http_equal(cw_span_text((*place)->name), name)) {
        place = &(*place)->next;
    }
    return place;
}

static struct cw_ws_set_field *field_new(const char *name, const char *value)
{
    size_t name_size = strlen(name) + 1;
    size_t value_size = strlen(value) + 1;
    struct cw_ws_set_field *field = cw_alloc(sizeof *field + name_size + value_size);

    if (field) {
        memcpy(field->name, name, name_size);
        memcpy(field->name + name_size, value, value_size);
        field->value = field->name + name_size;
    }
    return field;
}

int cw_websocket_request_set_field(struct cw_websocket_request *request, const char *name,
                                   const char *value)
{
    struct cw_ws_set_field **place;
    struct cw_ws_set_field *field;
    size_t others = request->bytes;
    const char *why;

    if (check_field(name, value, &why) < 0) {
        return CW_EINVAL;
    }
    place = place_of(request, name);
    others -= *place ? size_of((*place)->name, (*place)->value) : 0;
    if (size_of(name, value) > CW_WS_REQUEST_SET_MAX - others) {
        return CW_ETOOBIG;
    }
    field = field_new(name, value);
    if (!field) {
        return CW_ENOMEM;
    }
    field->next = *place ? (*place)->next : NULL;
    cw_release(*place);
    *place = field;
    request->bytes = others + size_of(name, value);
    return CW_OK;
}

int cw_websocket_request_set_target(struct cw_websocket_request *request, const char *target)
{
    size_t others = request->bytes - (request->target ? strlen(request->target) : 0);
    size_t len = target ? strlen(target) : 0;
    int error = target ? check_target(cw_span_of(target, len)) : CW_EINVAL;
    char *copy;

    if (error == CW_OK && len > CW_WS_REQUEST_SET_MAX - others) {
        error = CW_ETOOBIG;
    }
    if (error < 0) {
        return error;
    }
    copy = cw_alloc(len + 1);
    if (!copy) {
        return CW_ENOMEM;
    }
    memcpy(copy, target, len + 1);
    cw_release(request->target);
    request->target = copy;
    request->bytes = others + len;
    return CW_OK;
}

void cw_ws_request_release(struct cw_websocket_request *request)
{
    while (request->fields) {
        struct cw_ws_set_field *field = request->fields;

        request->fields = field->next;
        cw_release(field);
    }
    cw_release(request->target);
    request->target = NULL;
}

/* ---- its bytes ---- */

static void put_span(struct cw_ws_text *text, struct cw_span span)
{
    if (span.len > text->cap - text->len && !text->failed) {
        size_t cap = (text->len + span.len) * 2 + 512;
        uint8_t *grown = cw_resize(text->data, cap);

        text->failed = !grown;
        if (grown) {
            text->data = grown;
            text->cap = cap;
        }
    }
    if (!text->failed && span.len > 0) {
        memcpy(text->data + text->len, span.data, span.len);
        text->len += span.len;
    }
}

static void put(struct cw_ws_text *text, const char *words)
{
    put_span(text, cw_span_text(words));
}

static void put_field(struct cw_ws_text *text, const char *name, const char *value)
{
    put(text, name);
    put(text, ": ");
    put(text, value);
    put(text, "\r\n");
}

bool cw_ws_next_name(struct cw_span *list, struct cw_span *name)
{
    size_t at = 0;

    while (list->len > 0 && strchr(" ,\t", list->data[0])) {
        list->data++;
        list->len--;
    }
    while (at < list->len && !strchr(" ,\t", list->data[at])) {
        at++;
    }
    *name = cw_span_of(list->data, at);
    list->data += at;
    list->len -= at;
    return at > 0;
}

static void put_subprotocols(struct cw_ws_text *text, const char *names)
{
    struct cw_span list = cw_span_text(names ? names : "");
    struct cw_span name;
    const char *before = "Sec-WebSocket-Protocol: ";

    if (!cw_ws_next_name(&list, &name)) {
        return;
    }
    do {
        put(text, before);
        put_span(text, name);
        before = ", ";
    } while (cw_ws_next_name(&list, &name));
    put(text, "\r\n");
}

static bool is_set(const struct cw_websocket_request *request, const char *name)
{
    for (const struct cw_ws_set_field *field = request->fields; field; field = field->next) {
        if (cw_http_equal(cw_span_text(field->name), name)) {
            return true;
        }
    }
    return false;
}

/* Those of the options, where on_request has not put another in place, and its own. */
static void put_fields(struct cw_ws_text *text, const struct cw_websocket_request *request)
{
    bool has_agent = is_set(request, "user-agent");

    for (const struct cw_http_pair *pair = request->options->fields; pair && pair->name; pair++) {
        if (!is_set(request, pair->name)) {
            put_field(text, pair->name, pair->value);
            has_agent = has_agent || cw_http_equal(cw_span_text(pair->name), "user-agent");
        }
    }
    for (const struct cw_ws_set_field *field = request->fields; field; field = field->next) {
        put_field(text, field->name, field->value);
    }
    if (!has_agent) {
        put_field(text, "User-Agent", "Causeway/" CW_VERSION);
    }
}

int cw_ws_request_print(const struct cw_websocket_request *request, const char *host,
                        const char *key, const char *offer, struct cw_ws_text *text)
{
    const struct cw_websocket_options *options = request->options;
    const char *target = request->target ? request->target : options->target;

    put(text, "GET ");
    put(text, target ? target : "/");
    put(text, " HTTP/1.1\r\n");
    put_field(text, "Host", options->host ? options->host : host);
    put_field(text, "Upgrade", "websocket");
    put_field(text, "Connection", "Upgrade");
    put_field(text, "Sec-WebSocket-Key", key);
    put_field(text, "Sec-WebSocket-Version", "13");
    put_subprotocols(text, options->subprotocols);
    if (offer) {
        put_field(text, "Sec-WebSocket-Extensions", offer);
    }
    put_fields(text, request);
    put(text, "\r\n");
    return text->failed ? CW_ENOMEM : CW_OK;
}

void cw_ws_print_key(const uint8_t bytes[16], char key[CW_WS_KEY_TEXT])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t padded[18] = {0};

    memcpy(padded, bytes, 16);
    for (size_t i = 0; i < 6; i++) {
        uint32_t three =
            (uint32_t)padded[3 * i] << 16 | (uint32_t)padded[3 * i + 1] << 8 | padded[3 * i + 2];

        for (size_t j = 0; j < 4; j++) {
            key[4 * i + j] = digits[three >> (18 - 6 * j) & 0x3f];
        }
    }
    key[22] = '=';
    key[23] = '=';
    key[24] = '\0';
}
