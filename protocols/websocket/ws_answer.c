/* What a client's answer has to be (RFC 6455 §4.1, points 1 to 6 of what is checked when it comes). */
#include "ws_dial.h"

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <causeway/log.h>

#include <stdarg.h>
#include <stdio.h>

enum {
    STATUS_LINE_HEAD = 13, /* `HTTP/1.1 101 ` */
    PHRASE_MAX = 40,
    MORE_MAX = 80,
};

/* An answer whose head is whole. */
struct answer {
    const struct cw_websocket_options *options;
    const uint8_t *data;
    size_t len;
    struct cw_http_head head;
    struct cw_complaint *complaint;
};

static int refuse(struct cw_complaint *complaint, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int refuse(struct cw_complaint *complaint, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(complaint->text, sizeof complaint->text, format, args);
    va_end(args);
    return code;
}

/* ---- fields ---- */

/* The next field of that name; data NULL: no more. */
static struct cw_span next_field(const struct answer *answer, const char *name, size_t *at)
{
    while (*at < answer->head.field_count) {
        const struct cw_http_line *line = &answer->head.fields[(*at)++];

        if (cw_http_equal(cw_span_of(answer->data + line->name, line->name_len), name)) {
            return cw_span_of(answer->data + line->value, line->value_len);
        }
    }
    return cw_span_of(NULL, 0);
}

static struct cw_span field(const struct answer *answer, const char *name)
{
    size_t at = 0;

    return next_field(answer, name, &at);
}

static bool comes_twice(const struct answer *answer, const char *name)
{
    size_t at = 0;
    bool comes = next_field(answer, name, &at).data != NULL;

    return comes && next_field(answer, name, &at).data;
}

/* All fields of that name as one list (RFC 9110 §5.3), in memory that is the caller's. data NULL: there is none.
 *
 * joined   of the answer's own length, which is more than it takes */
static struct cw_span join(const struct answer *answer, const char *name, uint8_t *joined)
{
    size_t at = 0;
    size_t len = 0;
    struct cw_span value = next_field(answer, name, &at);

    if (!value.data) {
        return value;
    }
    for (; value.data; value = next_field(answer, name, &at)) {
        if (len > 0) {
            joined[len++] = ',';
        }
        memcpy(joined + len, value.data, value.len);
        len += value.len;
    }
    return cw_span_of(joined, len);
}

/* ---- words of the server, for people ---- */

/* Copies what can be printed. */
static const char *printable(struct cw_span span, char *text, size_t cap)
{
    size_t len = span.len < cap ? span.len : cap - 1;

    for (size_t i = 0; i < len; i++) {
        text[i] = span.data[i] < 0x20 || span.data[i] > 0x7e ? '?' : (char)span.data[i];
    }
    text[len] = '\0';
    return text;
}

static struct cw_span phrase_of(const struct answer *answer)
{
    size_t end = 0;

    while (end < answer->len && answer->data[end] != '\r') {
        end++;
    }
    if (end <= STATUS_LINE_HEAD) {
        return cw_span_text(cw_http_status_text(answer->head.status));
    }
    return cw_span_of(answer->data + STATUS_LINE_HEAD, end - STATUS_LINE_HEAD);
}

/* What helps whoever reads it: where to go, what to speak. */
static void word_more(const struct answer *answer, char more[MORE_MAX])
{
    static const struct {
        int from;
        int to;
        const char *name;
        const char *words;
    } kinds[] = {
        {300, 399, "location", ", it leads to "},
        {426, 426, "sec-websocket-version", ", it speaks version "},
        {426, 426, "upgrade", ", it speaks "},
    };
    char value[MORE_MAX];

    more[0] = '\0';
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && more[0] == '\0'; i++) {
        struct cw_span found = field(answer, kinds[i].name);

        if (answer->head.status >= kinds[i].from && answer->head.status <= kinds[i].to &&
            found.len > 0) {
            snprintf(more, MORE_MAX, "%s%.*s", kinds[i].words, MORE_MAX - 24,
                     printable(found, value, sizeof value));
        }
    }
}

static int word_refusal(const struct answer *answer)
{
    char phrase[PHRASE_MAX];
    char more[MORE_MAX];

    word_more(answer, more);
    return refuse(answer->complaint, CW_EDENIED, "the server answers %d %s%s", answer->head.status,
                  printable(phrase_of(answer), phrase, sizeof phrase), more);
}

/* ---- 101 ---- */

static int judge_upgrade(const struct answer *answer)
{
    struct cw_complaint *complaint = answer->complaint;

    if (answer->head.version < 11) {
        return refuse(complaint, CW_EPROTO, "a 101 of HTTP/1.0, which knows no upgrade");
    }
    if (!cw_http_equal(field(answer, "upgrade"), "websocket") || comes_twice(answer, "upgrade")) {
        return refuse(complaint, CW_EPROTO, "a 101 whose Upgrade is not websocket");
    }
    if (!answer->head.upgrade) {
        return refuse(complaint, CW_EPROTO, "a 101 whose Connection does not say upgrade");
    }
    return CW_OK;
}

static int judge_accept(const struct answer *answer, const struct cw_ws_dial *dial)
{
    /* RFC 6455 §11.3.3: it comes once. */
    if (!cw_span_equal(field(answer, "sec-websocket-accept"), cw_span_text(dial->accept)) ||
        comes_twice(answer, "sec-websocket-accept")) {
        return refuse(answer->complaint, CW_EPROTO,
                      "a 101 whose Sec-WebSocket-Accept does not answer our key");
    }
    return CW_OK;
}

static bool was_offered(const char *names, struct cw_span name)
{
    struct cw_span list = cw_span_text(names ? names : "");
    struct cw_span offered;

    while (cw_ws_next_word(&list, &offered)) {
        if (cw_span_equal(offered, name)) {
            return true;
        }
    }
    return false;
}

/* RFC 6455 §4.1, point 6; §11.3.4: it comes once. */
static int judge_subprotocol(const struct answer *answer, struct cw_ws_dial *dial)
{
    const struct cw_websocket_options *options = answer->options;
    struct cw_span name = field(answer, "sec-websocket-protocol");
    char text[PHRASE_MAX];

    if (!name.data) {
        return options->subprotocol_required
                   ? refuse(answer->complaint, CW_EPROTO,
                            "the server speaks none of the subprotocols, and one is required")
                   : CW_OK;
    }
    if (!was_offered(options->subprotocols, name) || comes_twice(answer, "sec-websocket-protocol")) {
        return refuse(answer->complaint, CW_EPROTO,
                      "the server chose a subprotocol that was not offered: %s",
                      printable(name, text, sizeof text));
    }
    dial->subprotocol = cw_alloc(name.len + 1);
    if (!dial->subprotocol) {
        return refuse(answer->complaint, CW_ENOMEM, "%s", cw_strerror(CW_ENOMEM));
    }
    memcpy(dial->subprotocol, name.data, name.len);
    dial->subprotocol[name.len] = '\0';
    return CW_OK;
}

static int judge_extensions(const struct answer *answer, struct cw_ws_dial *dial)
{
    const struct cw_websocket_options *options = answer->options;
    uint8_t *joined = cw_alloc(answer->len);
    const char *why = "";
    int error;

    if (!joined) {
        return refuse(answer->complaint, CW_ENOMEM, "%s", cw_strerror(CW_ENOMEM));
    }
    error = cw_ws_judge_answer(join(answer, "sec-websocket-extensions", joined), options->compress,
                               &options->deflate, &dial->agreed, &why);
    cw_release(joined);
    return error < 0 ? refuse(answer->complaint, CW_EPROTO, "Sec-WebSocket-Extensions: %s", why)
                     : CW_OK;
}

static int judge_switch(const struct answer *answer, struct cw_ws_dial *dial)
{
    int error = judge_upgrade(answer);

    error = error < 0 ? error : judge_accept(answer, dial);
    error = error < 0 ? error : judge_extensions(answer, dial);
    error = error < 0 ? error : judge_subprotocol(answer, dial);
    dial->is_done = error == CW_OK;
    return error;
}

/* ---- heads ---- */

static int judge_head(struct answer *answer, struct cw_ws_dial *dial)
{
    dial->status = answer->head.status;
    if (dial->status == 101) {
        return judge_switch(answer, dial);
    }
    if (dial->status >= 200) {
        return word_refusal(answer);
    }
    /* RFC 9110 §15.2: others of 1xx may come before; they count towards the limit, so that they come to an end. */
    dial->interim += answer->len;
    dial->scan = (struct cw_http_scan){0};
    return CW_OK;
}

static int parse_head(struct answer *answer, struct cw_ws_dial *dial)
{
    const char *why = "the answer's head is malformed";
    int error;

    if (dial->scan.skipped > 0) {
        return refuse(answer->complaint, CW_EPROTO, "an empty line stands before the status line");
    }
    answer->head = (struct cw_http_head){.fields_cap = dial->scan.lines + 1};
    answer->head.fields = cw_alloc(answer->head.fields_cap * sizeof *answer->head.fields);
    if (!answer->head.fields) {
        return refuse(answer->complaint, CW_ENOMEM, "%s", cw_strerror(CW_ENOMEM));
    }
    if (cw_http_parse_response(cw_span_of(answer->data, answer->len), false, false, &answer->head,
                               &why) < 0) {
        error = refuse(answer->complaint, CW_EPROTO, "%s", why);
    } else {
        error = judge_head(answer, dial);
    }
    cw_release(answer->head.fields);
    return error;
}

ptrdiff_t cw_ws_read_answer(struct cw_ws_dial *dial, const struct cw_websocket_options *options,
                            struct cw_span input, struct cw_complaint *complaint)
{
    size_t left = (size_t)options->head_max_bytes - dial->interim;
    struct cw_http_head_limits limits = {left, left, left};
    struct answer answer = {.options = options, .data = input.data, .complaint = complaint};
    const char *why = "";
    ptrdiff_t used;
    int error;

    if (input.len == 0) {
        return 0;
    }
    used =
        left > 0 ? cw_http_scan_response(input.data, input.len, &limits, &dial->scan, &why) : -431;
    if (used == -400) {
        return refuse(complaint, CW_EPROTO, "%s", why);
    }
    if (used < 0) {
        return refuse(complaint, CW_ETOOBIG,
                      "the answer's head is longer than head_max_bytes (%llu)",
                      (unsigned long long)options->head_max_bytes);
    }
    answer.len = (size_t)used;
    error = used > 0 ? parse_head(&answer, dial) : CW_OK;
    return error < 0 ? error : used;
}
