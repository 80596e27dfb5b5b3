/* Errors: as the page set for them, as JSON where the request asks for that, or as text. */
#include "http_impl.h"

#include <causeway/log.h>

#include <stdio.h>
#include <time.h>

enum { ERROR_ROOM = 1024, ERROR_TEXT_MAX = 400 };

static bool page_has_answered(struct cw_http_exchange *x, int status, const char *text)
{
    const struct cw_http_site *site = x->shared->site;
    void *user = NULL;
    cw_http_fn page = site && !x->in_page ? cw_http_site_error_page(site, status, &user) : NULL;

    if (!page) {
        return false;
    }
    x->in_page = true;
    x->error_status = status;
    x->error_text = text;
    page(x, user);
    x->in_page = false;
    x->error_text = NULL;
    return x->answer.state != CW_REPLY_NONE;
}

static bool wants_json(const struct cw_http_exchange *x)
{
    static const char *const offers[] = {"text/plain", "application/json", NULL};
    struct cw_span accept = cw_http_field(x, "accept");

    return accept.data && cw_http_negotiate("Accept", accept, offers) == 1;
}

/* Into a JSON string; what does not fit is left out. */
static size_t put_escaped(char *to, size_t cap, const char *text)
{
    size_t at = 0;

    for (; *text && at + 7 < cap; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\') {
            to[at++] = '\\';
            to[at++] = (char)c;
        } else if (c < ' ') {
            at += (size_t)snprintf(to + at, cap - at, "\\u%04x", c);
        } else {
            to[at++] = (char)c;
        }
    }
    to[at] = '\0';
    return at;
}

int cw_http_reply_error(struct cw_http_exchange *http, int status, const char *text)
{
    char body[ERROR_ROOM];
    const char *words = cw_http_status_text(status);
    bool json;
    int len;

    if (!cw_http_may_reply(http)) {
        return CW_ESTATE;
    }
    if (status < 400 || status > 599) {
        return CW_EINVAL;
    }
    text = text ? text : words;
    if (page_has_answered(http, status, text)) {
        return CW_OK;
    }
    json = wants_json(http);
    if (json) {
        char escaped[ERROR_TEXT_MAX];

        put_escaped(escaped, sizeof escaped, text);
        len = snprintf(body, sizeof body, "{\"status\":%d,\"error\":\"%s\",\"message\":\"%s\"}\n",
                       status, words, escaped);
    } else {
        len = snprintf(body, sizeof body, "%d %s%s%.*s\n", status, words, text == words ? "" : ": ",
                       ERROR_TEXT_MAX, text == words ? "" : text);
    }
    cw_http_set_field(http, "Content-Type", NULL);
    return cw_http_reply(http, status, json ? "application/json" : "text/plain; charset=utf-8",
                         cw_span_of(body, (size_t)len));
}

/* ---- heads that make no exchange ---- */

static int code_of(int status)
{
    switch (status) {
    case 408:
        return CW_EDEADLINE;
    case 413:
    case 414:
    case 431:
        return CW_ETOOBIG;
    case 503:
        return CW_ENOMEM;
    default:
        return CW_EPROTO;
    }
}

static void tell_refused(struct cw_conn *conn, struct cw_http_conn *http, int status)
{
    const struct cw_http_refused_hook *hooks = NULL;
    const struct cw_http_site *site = http->tail->shared->site;
    size_t count = site ? cw_http_site_refused_hooks(site, &hooks) : 0;

    for (size_t i = 0; i < count; i++) {
        hooks[i].fn(conn, status, hooks[i].user);
    }
}

static struct cw_span print_top(char *room, size_t cap, int status)
{
    char date[CW_HTTP_DATE_SIZE];
    struct timespec now;
    int len;

    clock_gettime(CLOCK_REALTIME, &now);
    cw_http_print_date((int64_t)now.tv_sec, date);
    len = snprintf(room, cap, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, cw_http_status_text(status),
                   date);
    return cw_span_of(room, (size_t)len);
}

int cw_http_refuse(struct cw_conn *conn, struct cw_http_conn *http, int status, const char *why)
{
    const struct cw_http_options *options = cw_conn_options(conn);
    const char *words = cw_http_status_text(status);
    const char *server = options->server_name;
    char top[ERROR_TEXT_MAX];
    char body[ERROR_TEXT_MAX];
    char rest[ERROR_ROOM];
    int body_len =
        snprintf(body, sizeof body, "%d %s%s%s\n", status, words, why ? ": " : "", why ? why : "");
    int len = snprintf(rest, sizeof rest,
                       "%sContent-Type: text/plain; charset=utf-8\r\n"
                       "Content-Length: %d\r\nConnection: close\r\n\r\n%s",
                       server ? "\r\n" : "", body_len, body);
    const struct cw_span parts[] = {
        print_top(top, sizeof top, status),
        cw_span_text(server ? "Server: " : ""),
        cw_span_text(server ? server : ""),
        cw_span_of(rest, (size_t)len),
    };

    cw_conn_write_control(conn, parts, sizeof parts / sizeof parts[0]);
    tell_refused(conn, http, status);
    http->last = true;
    cw_conn_linger(conn);
    return cw_conn_fail(conn, code_of(status), "%d: %s", status, why ? why : words);
}
