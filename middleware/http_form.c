/* A form read once into one block: the fields, then a copy of the body that is decoded in place. */
#include "body_type.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <causeway/middleware/http_form.h>
#include <causeway/span.h>

enum { BYTES_MAX_DEFAULT = 65536, FIELDS_MAX_DEFAULT = 256, NAME_MAX_DEFAULT = 256 };

static const char key[] = "causeway.form";
static const struct cw_body_kind kind = {"application/x-www-form-urlencoded", NULL, true};

struct field {
    struct cw_span name;
    struct cw_span value;
};

struct cw_http_form {
    size_t count;
    struct field fields[];
};

struct form {
    struct cw_http_middleware table; /* first: self is both */
    struct cw_http_form_limits limits;
};

static uint64_t or_default(uint64_t limit, uint64_t standard)
{
    return limit == 0 ? standard : limit;
}

static struct cw_http_form_limits limits_or_defaults(const struct cw_http_form_limits *limits)
{
    struct cw_http_form_limits chosen = limits == NULL ? (struct cw_http_form_limits){0} : *limits;

    chosen.bytes_max = or_default(chosen.bytes_max, BYTES_MAX_DEFAULT);
    chosen.fields_max = or_default(chosen.fields_max, FIELDS_MAX_DEFAULT);
    chosen.name_max_bytes = or_default(chosen.name_max_bytes, NAME_MAX_DEFAULT);
    chosen.value_max_bytes = or_default(chosen.value_max_bytes, chosen.bytes_max);
    return chosen;
}

/* ---- reading ---- */

static size_t count_fields(struct cw_span body)
{
    struct cw_span name;
    struct cw_span value;
    size_t count = 0;

    while (cw_http_form_next(&body, &name, &value)) {
        count++;
    }
    return count;
}

/* Decodes and goes behind the zero byte. */
static int decode(struct cw_span *text, uint8_t **to)
{
    ptrdiff_t len = cw_http_decode(*text, true, *to);

    if (len < 0 || !cw_span_is_utf8(cw_span_of(*to, (size_t)len))) {
        return CW_EPROTO;
    }
    *text = cw_span_of(*to, (size_t)len);
    (*to)[len] = '\0';
    *to += len + 1;
    return CW_OK;
}

static int read_fields(struct cw_http_form *form, struct cw_span body, uint8_t *to,
                       const struct cw_http_form_limits *limits)
{
    struct field field;

    while (cw_http_form_next(&body, &field.name, &field.value)) {
        if (decode(&field.name, &to) < 0 || decode(&field.value, &to) < 0) {
            return CW_EPROTO;
        }
        if (field.name.len > limits->name_max_bytes || field.value.len > limits->value_max_bytes) {
            return CW_ETOOBIG;
        }
        form->fields[form->count++] = field;
    }
    return CW_OK;
}

/* *form: the exchange's. */
static int read_form(struct cw_http_exchange *http, const struct cw_http_form_limits *limits,
                     struct cw_http_form **form)
{
    struct cw_span body = cw_http_body(http);
    size_t count = count_fields(body);

    if (count > limits->fields_max) {
        return CW_ETOOBIG;
    }
    size_t head = sizeof **form + count * sizeof(struct field);
    *form = cw_alloc_zero(head + body.len + 2 * count); /* a zero byte behind each text */
    if (*form == NULL) {
        return CW_ENOMEM;
    }
    int code = read_fields(*form, body, (uint8_t *)*form + head, limits);
    if (code < 0) {
        cw_release(*form);
        return code;
    }
    return cw_http_set_value(http, key, *form, cw_release);
}

static void refuse(struct cw_http_exchange *http, int code)
{
    switch (code) {
    case CW_ETOOBIG:
        (void)cw_http_reply_error(http, 413,
                                  "The form has too many fields, or one that is too long");
        break;
    case CW_ENOMEM:
        (void)cw_http_reply_error(http, 500, NULL);
        break;
    default:
        (void)cw_http_reply_error(http, 400, "The form is malformed: half an escape, or not UTF-8");
        break;
    }
}

const struct cw_http_form *cw_http_body_form(struct cw_http_exchange *http,
                                             const struct cw_http_form_limits *limits)
{
    struct cw_http_form_limits chosen = limits_or_defaults(limits);
    struct cw_http_form *form = cw_http_value(http, key);
    size_t len = cw_http_body(http).len;

    if (form != NULL || (len > 0 && !cw_body_is_of(http, &kind))) {
        return form;
    }
    if (len > chosen.bytes_max) {
        cw_body_refuse_size(http, chosen.bytes_max);
        return NULL;
    }
    int code = read_form(http, &chosen, &form);
    if (code < 0) {
        refuse(http, code);
        return NULL;
    }
    return form;
}

/* ---- asking ---- */

struct cw_span cw_http_form_value_next(const struct cw_http_form *form, const char *name, size_t *at)
{
    struct cw_span wanted = cw_span_text(name);

    while (*at < form->count) {
        const struct field *field = &form->fields[(*at)++];
        if (cw_span_equal(field->name, wanted)) {
            return field->value;
        }
    }
    return (struct cw_span){NULL, 0};
}

struct cw_span cw_http_form_value(const struct cw_http_form *form, const char *name)
{
    size_t at = 0;

    return cw_http_form_value_next(form, name, &at);
}

bool cw_http_form_at(const struct cw_http_form *form, size_t index, struct cw_span *name,
                     struct cw_span *value)
{
    if (index >= form->count) {
        return false;
    }
    *name = form->fields[index].name;
    *value = form->fields[index].value;
    return true;
}

/* ---- middleware ---- */

static int on_request(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    const struct form *form = (const struct form *)self;
    uint64_t length = cw_http_body_length(http);

    if (!cw_body_is_sent(http)) {
        return CW_HTTP_NEXT;
    }
    if (!cw_body_is_of(http, &kind)) {
        return CW_HTTP_ANSWERED;
    }
    if (length != CW_NO_LIMIT && length > form->limits.bytes_max) {
        cw_body_refuse_size(http, form->limits.bytes_max);
        return CW_HTTP_ANSWERED;
    }
    int verdict = cw_http_need_body(http);
    if (verdict != CW_HTTP_NEXT || cw_http_body(http).len == 0) {
        return verdict;
    }
    return cw_http_body_form(http, &form->limits) != NULL ? CW_HTTP_NEXT : CW_HTTP_ANSWERED;
}

static void release(struct cw_http_middleware *self)
{
    cw_release(self);
}

struct cw_http_middleware *cw_http_form(const struct cw_http_form_limits *limits)
{
    struct form *form = cw_alloc_zero(sizeof *form);

    if (form == NULL) {
        return NULL;
    }
    form->table =
        (struct cw_http_middleware){.name = "form", .on_request = on_request, .release = release};
    form->limits = limits_or_defaults(limits);
    return &form->table;
}
