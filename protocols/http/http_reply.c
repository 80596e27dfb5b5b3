/* The answer: its fields, its head, and bodies that are at hand. */
#include "http_impl.h"

#include <causeway/log.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    HEAD_ROOM = 1024, /* on the stack; longer heads take memory of the exchange */
    FIXED_PART = 320, /* all of a head but its fields and its type */
    FORMAT_ROOM = 512,
};

/* ---- fields ---- */

static bool is_ours(const char *name)
{
    static const char *const names[] = {"content-length", "transfer-encoding", "connection",
                                        "keep-alive",     "trailer",           "date"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (cw_http_equal(cw_span_text(name), names[i])) {
            return true;
        }
    }
    return false;
}

int cw_http_check_field(const char *name, const char *value)
{
    if (!cw_http_is_token(cw_span_text(name)) || is_ours(name)) {
        return CW_EINVAL;
    }
    return !value || value[0] == '\0' || cw_http_is_value(cw_span_text(value)) ? CW_OK : CW_EINVAL;
}

static bool is_line_of(const struct cw_http_reply_line *line, struct cw_span name)
{
    return line->name_len == name.len &&
           strncasecmp(line->text, (const char *)name.data, name.len) == 0;
}

static void remove_field(struct cw_http_exchange *x, struct cw_span name)
{
    struct cw_http_reply_line **at = &x->answer.fields;

    while (*at) {
        if (is_line_of(*at, name)) {
            x->answer.fields_bytes -= (*at)->len;
            *at = (*at)->next;
        } else {
            at = &(*at)->next;
        }
    }
}

static struct cw_http_reply_line *make_line(struct cw_http_exchange *x, struct cw_span name,
                                            struct cw_span value)
{
    size_t len = name.len + value.len + 4;
    struct cw_http_reply_line *line = cw_http_take(x, sizeof *line + len);

    if (line) {
        char *to = line->text;

        line->next = NULL;
        line->name_len = (uint32_t)name.len;
        line->len = (uint32_t)len;
        memcpy(to, name.data, name.len);
        to[name.len] = ':';
        to[name.len + 1] = ' ';
        memcpy(to + name.len + 2, value.data, value.len);
        memcpy(to + name.len + 2 + value.len, cw_http_crlf, 2);
    }
    return line;
}

int cw_http_append_line(struct cw_http_exchange *x, struct cw_http_reply_line **list,
                        const char *name, const char *value)
{
    struct cw_span name_span = cw_span_text(name);
    struct cw_span value_span = cw_span_text(value);
    size_t len = name_span.len + value_span.len + 4;
    struct cw_http_reply_line *line;

    if (len > CW_HTTP_FIELDS_BYTES - x->answer.fields_bytes) {
        return CW_ETOOBIG;
    }
    line = make_line(x, name_span, value_span);
    if (!line) {
        return CW_ENOMEM;
    }
    while (*list) {
        list = &(*list)->next;
    }
    *list = line;
    x->answer.fields_bytes += len;
    return CW_OK;
}

static int may_set(const struct cw_http_exchange *x, const char *name, const char *value)
{
    if (x->answer.state > CW_REPLY_HEAD || x->over) {
        return CW_ESTATE;
    }
    return cw_http_check_field(name, value);
}

int cw_http_set_field(struct cw_http_exchange *http, const char *name, const char *value)
{
    int error = may_set(http, name, value);

    if (error < 0) {
        return error;
    }
    if (cw_http_equal(cw_span_text(name), "content-type")) {
        http->answer.type = NULL;
    }
    remove_field(http, cw_span_text(name));
    return value ? cw_http_append_line(http, &http->answer.fields, name, value) : CW_OK;
}

int cw_http_add_field(struct cw_http_exchange *http, const char *name, const char *value)
{
    int error = may_set(http, name, value);

    return error < 0 || !value ? error
                               : cw_http_append_line(http, &http->answer.fields, name, value);
}

int cw_http_set_fieldf(struct cw_http_exchange *http, const char *name, const char *format, ...)
{
    char room[FORMAT_ROOM];
    char *text = room;
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(room, sizeof room, format, args);
    va_end(args);
    if (len < 0 || len > CW_HTTP_FIELDS_BYTES) {
        return len < 0 ? CW_EINVAL : CW_ETOOBIG;
    }
    if ((size_t)len >= sizeof room) {
        text = cw_http_take(http, (size_t)len + 1);
        if (!text) {
            return CW_ENOMEM;
        }
        va_start(args, format);
        vsnprintf(text, (size_t)len + 1, format, args);
        va_end(args);
    }
    return cw_http_set_field(http, name, text);
}

static struct cw_span value_of(const struct cw_http_reply_line *line)
{
    return cw_span_of(line->text + line->name_len + 2, line->len - line->name_len - 4);
}

struct cw_span cw_http_reply_field(const struct cw_http_exchange *http, const char *name)
{
    struct cw_span wanted = cw_span_text(name);

    for (const struct cw_http_reply_line *line = http->answer.fields; line; line = line->next) {
        if (is_line_of(line, wanted)) {
            return value_of(line);
        }
    }
    if (http->answer.type && cw_http_equal(wanted, "content-type")) {
        return cw_span_text(http->answer.type);
    }
    return cw_http_nothing();
}

/* How many lines of that name there are; *has: one of them has the token already. */
static size_t count_lines(const struct cw_http_exchange *x, const char *name, const char *token,
                          bool *has)
{
    size_t count = 0;

    *has = false;
    for (const struct cw_http_reply_line *line = x->answer.fields; line; line = line->next) {
        if (is_line_of(line, cw_span_text(name))) {
            *has = *has || cw_http_list_has(value_of(line), token);
            count++;
        }
    }
    return count;
}

int cw_http_add_to_list(struct cw_http_exchange *http, const char *name, const char *token)
{
    struct cw_span list = cw_http_reply_field(http, name);
    bool has;
    size_t count = count_lines(http, name, token, &has);

    if (has) {
        return CW_OK;
    }
    if (!list.data || list.len == 0 || count > 1) {
        return cw_http_add_field(http, name, token);
    }
    return cw_http_set_fieldf(http, name, "%.*s, %s", (int)list.len, (const char *)list.data, token);
}

/* ---- the head ---- */

struct cw_span cw_http_date_line(struct cw_http_exchange *x)
{
    struct cw_http_shared *shared = x->shared;
    uint64_t now_ms = cw_loop_now_ms(cw_conn_loop(x->conn));

    if (now_ms != shared->date_ms) {
        int64_t now_s = time(NULL);

        shared->date_ms = now_ms;
        if (now_s != shared->date_s) {
            char date[CW_HTTP_DATE_SIZE];

            shared->date_s = now_s;
            cw_http_print_date(now_s, date);
            snprintf(shared->date, sizeof shared->date, "Date: %s\r\n", date);
        }
    }
    return cw_span_of(shared->date, CW_HTTP_DATE_LINE);
}

static char *put(char *to, const char *text, size_t len)
{
    memcpy(to, text, len);
    return to + len;
}

static char *put_text(char *to, const char *text)
{
    return put(to, text, strlen(text));
}

static char *put_number(char *to, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return put(to, digits + at, sizeof digits - at);
}

static char *put_status(char *to, int status)
{
    if (status == 200) {
        return put(to, "HTTP/1.1 200 OK\r\n", 17);
    }
    to = put(to, "HTTP/1.1 ", 9);
    to = put_number(to, (uint64_t)status);
    *to++ = ' ';
    to = put_text(to, cw_http_status_text(status));
    return put(to, "\r\n", 2);
}

static bool sends_length(const struct cw_http_exchange *x)
{
    int status = x->answer.status;

    return x->answer.length != CW_NO_LIMIT && !x->answer.chunked && status >= 200 &&
           status != 204 && status != 304;
}

static char *put_framing(const struct cw_http_exchange *x, char *to)
{
    const struct cw_http_answer *answer = &x->answer;
    bool upgrades = answer->fields && cw_http_reply_field(x, "upgrade").data;

    if (sends_length(x)) {
        to = put(to, "Content-Length: ", 16);
        to = put_number(to, answer->length);
        to = put(to, "\r\n", 2);
    } else if (answer->chunked) {
        to = put(to, "Transfer-Encoding: chunked\r\n", 28);
    }
    if (upgrades && answer->status == 101) {
        to = put(to, "Connection: upgrade\r\n", 21);
    } else if (upgrades) {
        to = put_text(to,
                      answer->close ? "Connection: upgrade, close\r\n" : "Connection: upgrade\r\n");
    } else if (answer->close) {
        to = put(to, "Connection: close\r\n", 19);
    } else if (x->head.version == 10) {
        to = put(to, "Connection: keep-alive\r\n", 24);
    }
    return to;
}

static char *put_head(struct cw_http_exchange *x, char *to)
{
    const struct cw_http_answer *answer = &x->answer;
    struct cw_span date = cw_http_date_line(x);

    to = put_status(to, answer->status);
    to = put(to, (const char *)date.data, date.len);
    if (x->options->server_name) {
        to = put(to, "Server: ", 8);
        to = put_text(to, x->options->server_name);
        to = put(to, "\r\n", 2);
    }
    if (answer->type) {
        to = put(to, "Content-Type: ", 14);
        to = put_text(to, answer->type);
        to = put(to, "\r\n", 2);
    }
    for (const struct cw_http_reply_line *line = answer->fields; line; line = line->next) {
        to = put(to, line->text, line->len);
    }
    to = put_framing(x, to);
    return put(to, "\r\n", 2);
}

static size_t room_for_head(const struct cw_http_exchange *x)
{
    size_t type = x->answer.type ? strlen(x->answer.type) : 0;
    size_t name = x->options->server_name ? strlen(x->options->server_name) : 0;

    return FIXED_PART + type + name + x->answer.fields_bytes;
}

/* Answers that have to leave and do not fit: control bytes may go a little above the limit. */
static int write_for_sure(struct cw_http_exchange *x, const struct cw_span *parts, size_t count)
{
    int error = cw_conn_write(x->conn, parts, count);

    if (error == CW_EFULL) {
        error = cw_conn_write_control(x->conn, parts, count);
    }
    return error;
}

int cw_http_write_head(struct cw_http_exchange *x, struct cw_span body)
{
    char stack[HEAD_ROOM];
    size_t room = room_for_head(x);
    char *head = room <= sizeof stack ? stack : cw_http_take(x, room);
    int error;

    if (!head) {
        return CW_ENOMEM;
    }
    size_t len = (size_t)(put_head(x, head) - head);
    struct cw_span parts[] = {cw_span_of(head, len), body};

    if (body.len > 0 && head == stack && body.len <= sizeof stack - len) {
        memcpy(stack + len, body.data, body.len); /* one short piece costs less than two */
        error =
            cw_conn_write(x->conn, (const struct cw_span[]){cw_span_of(stack, len + body.len)}, 1);
    } else {
        error = cw_conn_write(x->conn, parts, body.len > 0 ? 2 : 1);
    }
    if (error >= 0 || (error != CW_EFULL && error != CW_ETOOBIG)) {
        return error;
    }
    error = write_for_sure(x, parts, 1);
    if (error >= 0 && body.len > 0) {
        error = cw_http_send_large(x, body);
    }
    return error;
}

/* ---- the start of an answer ---- */

static bool keeps(const struct cw_http_exchange *x)
{
    const struct cw_http_options *options = x->options;
    uint64_t unread = x->body.whole ? 0 : x->head.content_length - x->body.seen;

    if (!x->head.keep_alive || x->answer.close || x->http->last || x->http->stopping ||
        options->keep_alive_ms == CW_OFF || x->number >= options->requests_max) {
        return false;
    }
    /* An answer in pieces may begin before its handler asks for the body. */
    if (x->body.whole || x->body.state == CW_BODY_STREAM || x->answer.pushed) {
        return true;
    }
    /* The client waits for a word about its body, or may have begun to send it: nobody knows. */
    if (x->head.expects_continue && !x->body.continued) {
        return false;
    }
    return options->discard_max_bytes != CW_OFF &&
           (x->head.chunked || unread <= options->discard_max_bytes);
}

static void run_on_reply(struct cw_http_exchange *x)
{
    for (uint32_t link = x->entered; link > 0; link--) {
        struct cw_http_middleware *middleware = x->match.chain->links[link - 1].middleware;

        x->reply_link = link - 1;
        if (middleware->on_reply) {
            middleware->on_reply(middleware, x, cw_http_slot(x, link - 1));
        }
    }
}

static bool has_no_body(const struct cw_http_exchange *x)
{
    int status = x->answer.status;

    return x->head.known_method == CW_METHOD_HEAD || status == 204 || status == 205 ||
           status == 304 || status < 200;
}

int cw_http_start_reply(struct cw_http_exchange *x, int status, const char *type, uint64_t length)
{
    struct cw_http_answer *answer = &x->answer;

    if (!cw_http_may_reply(x)) {
        return CW_ESTATE;
    }
    if ((status < 200 && !(status == 101 && x->switches)) || status > 599 ||
        (type && !cw_http_is_value(cw_span_text(type)))) {
        return CW_EINVAL;
    }
    answer->state = CW_REPLY_HEAD;
    answer->status = (uint16_t)status;
    if (type) {
        if (answer->fields) {
            remove_field(x, cw_span_text("Content-Type"));
        }
        answer->type = type;
    }
    answer->length = length;
    answer->no_body = has_no_body(x);
    run_on_reply(x);
    answer->no_body = has_no_body(x);
    answer->close = !keeps(x);
    if (answer->filtered && answer->no_body) {
        answer->length = CW_NO_LIMIT;
    }
    if (answer->status == 205) {
        answer->length = 0; /* RFC 9110 §15.3.6: told, for otherwise its end would be looked for */
    }
    return CW_OK;
}

/* By length if there is one, in chunks if the peer knows them, otherwise the end of the connection ends it. */
void cw_http_frame_reply(struct cw_http_exchange *x)
{
    struct cw_http_answer *answer = &x->answer;

    answer->chunked = answer->length == CW_NO_LIMIT && x->head.version >= 11 &&
                      answer->status != 204 && answer->status != 304;
    if (answer->length == CW_NO_LIMIT && !answer->chunked && !answer->no_body) {
        answer->close = true;
    }
}

void cw_http_reply_is_over(struct cw_http_exchange *x)
{
    if (x->answer.state == CW_REPLY_ENDING) {
        cw_conn_set_message_open(x->conn, false);
    }
    x->answer.state = CW_REPLY_DONE;
    x->answer.type = NULL;
    cw_http_settle_soon(x);
}

int cw_http_judge_reply(struct cw_http_exchange *x, int error)
{
    x->answer.type = NULL; /* the caller's, and no longer looked at */
    if (error < 0) {
        x->end_code = x->end_code != 0 ? x->end_code : error;
    }
    if (error < 0 && error != CW_ECLOSED) {
        cw_conn_abort(x->conn);
    }
    return error < 0 ? error : CW_OK;
}

bool cw_http_runs_filters(struct cw_http_exchange *x, struct cw_span in, bool last,
                          struct cw_span *out, int *error)
{
    *error = CW_OK;
    *out = in;
    for (size_t i = 0; i < x->answer.filter_count && *error >= 0; i++) {
        uint32_t link = x->answer.filters[i];
        struct cw_http_middleware *middleware = x->match.chain->links[link].middleware;

        *error = middleware->on_reply_body(middleware, x, cw_http_slot(x, link), out, last);
    }
    return *error >= 0;
}

int cw_http_reply(struct cw_http_exchange *http, int status, const char *type, struct cw_span body)
{
    int error = cw_http_start_reply(http, status, type, body.len);

    if (error < 0) {
        return error;
    }
    if (http->answer.filtered && !http->answer.no_body) {
        if (!cw_http_runs_filters(http, body, true, &body, &error)) {
            return cw_http_judge_reply(http, error);
        }
        http->answer.length = body.len;
    }
    if (http->answer.no_body) {
        body = cw_http_nothing();
    }
    cw_http_frame_reply(http);
    http->answer.sent = body.len;
    error = cw_http_write_head(http, body);
    if (http->answer.state == CW_REPLY_HEAD) {
        cw_http_reply_is_over(http);
    }
    return cw_http_judge_reply(http, error);
}

/* ---- short forms ---- */

int cw_http_reply_text(struct cw_http_exchange *http, int status, const char *text)
{
    return cw_http_reply(http, status, "text/plain; charset=utf-8", cw_span_text(text));
}

int cw_http_reply_html(struct cw_http_exchange *http, int status, const char *html)
{
    return cw_http_reply(http, status, "text/html; charset=utf-8", cw_span_text(html));
}

int cw_http_reply_empty(struct cw_http_exchange *http, int status)
{
    return cw_http_reply(http, status, NULL, cw_http_nothing());
}

int cw_http_replyf(struct cw_http_exchange *http, int status, const char *type, const char *format,
                   ...)
{
    char room[FORMAT_ROOM];
    char *text = room;
    va_list args;
    int error;
    int len;

    va_start(args, format);
    len = vsnprintf(room, sizeof room, format, args);
    va_end(args);
    if (len < 0) {
        return CW_EINVAL;
    }
    if ((size_t)len >= sizeof room) {
        text = cw_alloc((size_t)len + 1);
        if (!text) {
            return cw_http_may_reply(http) ? cw_http_judge_reply(http, CW_ENOMEM) : CW_ESTATE;
        }
        va_start(args, format);
        vsnprintf(text, (size_t)len + 1, format, args);
        va_end(args);
    }
    error = cw_http_reply(http, status, type, cw_span_of(text, (size_t)len));
    if (text != room) {
        cw_release(text);
    }
    return error;
}

int cw_http_redirect(struct cw_http_exchange *http, int status, const char *location)
{
    int error;

    if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308) {
        return CW_EINVAL;
    }
    for (const char *at = location; *at; at++) {
        if (*at <= ' ' || *at == 127 || strchr("\"<>\\^`{|}", *at)) {
            return CW_EINVAL;
        }
    }
    error = cw_http_set_field(http, "Location", location);
    return error < 0 ? error : cw_http_reply_empty(http, status);
}

void cw_http_close_after(struct cw_http_exchange *http)
{
    http->answer.close = true;
}

/* ---- within on_reply ---- */

int cw_http_reply_status(const struct cw_http_exchange *http)
{
    return http->answer.status;
}

uint64_t cw_http_reply_length(const struct cw_http_exchange *http)
{
    return http->answer.length;
}

int cw_http_set_status(struct cw_http_exchange *http, int status)
{
    if (http->answer.state != CW_REPLY_HEAD || http->answer.status == 101) {
        return CW_ESTATE;
    }
    if (status < 200 || status > 599) {
        return CW_EINVAL;
    }
    http->answer.status = (uint16_t)status;
    return CW_OK;
}

int cw_http_filter_body(struct cw_http_exchange *http)
{
    struct cw_http_answer *answer = &http->answer;

    if (answer->state != CW_REPLY_HEAD || answer->status == 204 || answer->status == 205 ||
        answer->status == 304 || answer->status == 101 ||
        !http->match.chain->links[http->reply_link].middleware->on_reply_body) {
        return CW_ESTATE;
    }
    if (answer->filter_count > 0 && answer->filters[answer->filter_count - 1] == http->reply_link) {
        return CW_OK;
    }
    if (!answer->filters) {
        answer->filters = cw_http_take(http, http->match.chain->count * sizeof *answer->filters);
    }
    if (!answer->filters) {
        return CW_ENOMEM;
    }
    answer->filters[answer->filter_count++] = http->reply_link;
    answer->filtered = true;
    answer->length = CW_NO_LIMIT;
    return CW_OK;
}
