/* What a client asks for: put together, written (RFC 6455 §4.1). The options' texts have been judged by ws_settings.c. */
#include "ws_dial.h"

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <causeway/log.h>
#include <causeway/version.h>

struct cw_ws_set_field {
    struct cw_ws_set_field *next;
    const char *value; /* behind the name */
    char name[];
};

/* ---- what on_request sets ---- */

static bool is_field(const char *name, const char *value)
{
    return name && value && cw_http_is_token(cw_span_text(name)) &&
           cw_http_is_value(cw_span_text(value)) && !cw_ws_is_own_field(cw_span_text(name));
}

/* RFC 6455 §3: a path and perhaps a query, encoded, without a fragment. */
static bool is_target(const char *target)
{
    bool sound = target && target[0] == '/';

    for (size_t i = 0; sound && target[i]; i++) {
        sound = target[i] > ' ' && target[i] < 0x7f && target[i] != '#';
    }
    return sound;
}

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

    if (!is_field(name, value)) {
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
    char *copy;
    size_t len;

    if (!is_target(target)) {
        return CW_EINVAL;
    }
    len = strlen(target);
    if (len > CW_WS_REQUEST_SET_MAX - others) {
        return CW_ETOOBIG;
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

static void put_subprotocols(struct cw_ws_text *text, const char *names)
{
    struct cw_span list = cw_span_text(names ? names : "");
    struct cw_span name;
    const char *before = "Sec-WebSocket-Protocol: ";

    if (!cw_ws_next_word(&list, &name)) {
        return;
    }
    do {
        put(text, before);
        put_span(text, name);
        before = ", ";
    } while (cw_ws_next_word(&list, &name));
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
