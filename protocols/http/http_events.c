/* Server-sent events: the HTML standard, section "Server-sent events". */
#include "http_impl.h"

#include <causeway/log.h>

#include <stdio.h>

enum {
    EVENT_ROOM = 1024, /* on the stack; longer events take memory for as long as they are sent */
    HEARTBEAT_MS = 15000,
};

/* ---- one event as text ---- */

/* Counts the bytes, and writes them where there is room. */
struct sink {
    uint8_t *to; /* NULL: only counts */
    size_t len;
};

static void put(struct sink *sink, const char *text, size_t len)
{
    if (sink->to && len > 0) {
        memcpy(sink->to + sink->len, text, len);
    }
    sink->len += len;
}

static void put_line(struct sink *sink, const char *field, const char *value, size_t len)
{
    put(sink, field, strlen(field));
    put(sink, ": ", 2);
    put(sink, value, len);
    put(sink, "\n", 1);
}

/* CR, LF and CRLF end a line for the browser, so each becomes a line of its own here: no data can end an event, or begin a field. */
static void put_data(struct sink *sink, const char *data)
{
    for (;;) {
        size_t len = strcspn(data, "\r\n");

        put_line(sink, "data", data, len);
        data += len;
        if (*data == '\0') {
            return;
        }
        data += data[0] == '\r' && data[1] == '\n' ? 2 : 1;
    }
}

static void put_event(struct sink *sink, const struct cw_http_event *event)
{
    if (event->event) {
        put_line(sink, "event", event->event, strlen(event->event));
    }
    if (event->id) {
        put_line(sink, "id", event->id, strlen(event->id));
    }
    put_data(sink, event->data ? event->data : "");
    put(sink, "\n", 1);
}

static bool is_line(const char *text)
{
    return !text || text[strcspn(text, "\r\n")] == '\0';
}

static bool is_allowed(const struct cw_http_event *event)
{
    return is_line(event->event) && is_line(event->id);
}

/* ---- the stream ---- */

/* Browsers wait without end; so a comment now and then tells them, and proxies in between, that somebody is there. It tells us whether
 * they are. */
void cw_http_events_heartbeat(struct cw_http_exchange *x)
{
    if (x->answer.state == CW_REPLY_OPEN) {
        (void)cw_http_send(x, cw_span_text(":\n\n"));
        cw_http_events_wait(x);
    }
}

void cw_http_events_wait(struct cw_http_exchange *x)
{
    cw_http_wait_for(x->conn, x->http, CW_WAIT_EVENT, x->answer.heartbeat_ms);
}

static int begin_body(struct cw_http_exchange *x, const struct cw_http_events_options *options)
{
    char line[40];

    x->answer.is_events = true;
    x->answer.heartbeat_ms =
        options && options->heartbeat_ms != 0 ? options->heartbeat_ms : HEARTBEAT_MS;
    if (x->answer.no_body) {
        return cw_http_end(x); /* HEAD: it would wait without end for what never comes */
    }
    if (!options || options->retry_ms == 0) {
        return CW_OK;
    }
    snprintf(line, sizeof line, "retry: %llu\n\n", (unsigned long long)options->retry_ms);
    return cw_http_send(x, cw_span_text(line));
}

int cw_http_begin_events(struct cw_http_exchange *http, const struct cw_http_events_options *options)
{
    int error = CW_OK;

    if (!cw_http_reply_field(http, "Cache-Control").data) {
        error = cw_http_set_field(http, "Cache-Control", "no-store");
    }
    if (error == CW_OK) {
        /* nginx would keep events back until it has a page full of them. */
        error = cw_http_set_field(http, "X-Accel-Buffering", "no");
    }
    if (error == CW_OK) {
        error = cw_http_begin(http, 200, "text/event-stream", CW_NO_LIMIT);
    }
    return error < 0 ? error : begin_body(http, options);
}

int cw_http_send_event(struct cw_http_exchange *http, const struct cw_http_event *event)
{
    uint8_t stack[EVENT_ROOM];
    struct sink sink = {NULL, 0};
    uint8_t *room;
    int result;

    if (!is_allowed(event)) {
        return CW_EINVAL;
    }
    if (http->over || !http->answer.is_events) {
        return CW_ESTATE;
    }
    put_event(&sink, event);
    room = sink.len <= sizeof stack ? stack : cw_alloc(sink.len);
    if (!room) {
        return CW_ENOMEM;
    }
    sink = (struct sink){room, 0};
    put_event(&sink, event);
    result = cw_http_send(http, cw_span_of(room, sink.len));
    if (room != stack) {
        cw_release(room);
    }
    /* While a body is still read the deadline is the body's. */
    if (result >= 0 && http->http->waits == CW_WAIT_EVENT) {
        cw_http_events_wait(http);
    }
    return result;
}

struct cw_span cw_http_last_event_id(const struct cw_http_exchange *http)
{
    struct cw_span id = cw_http_field(http, "last-event-id");

    return id.len > 0 ? id : cw_http_nothing();
}

/* ---- from any thread ---- */

/* An event on its way to the loop; its texts stand behind each other, each with its terminator. */
struct letter {
    struct cw_http_event event;
    char texts[];
};

static size_t size_of(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *copy(char **to, const char *text)
{
    size_t size = size_of(text);
    char *copied = *to;

    if (!text) {
        return NULL;
    }
    memcpy(copied, text, size);
    *to += size;
    return copied;
}

/* Nobody is there to hear that there is no room. A stream with a gap would be worse than none: the browser comes again, and says what it
 * has seen. */
static void deliver(struct cw_http_exchange *http, void *arg)
{
    struct letter *letter = arg;
    int result = http ? cw_http_send_event(http, &letter->event) : CW_OK;

    cw_release(letter);
    if ((result == CW_EFULL || result == CW_ENOMEM) && http->end_code == 0) {
        cw_log(CW_LOG_WARNING, cw_conn_id(http->conn),
               "http: a stream of events is ended, as its reader is too slow: %s",
               cw_strerror(result));
        http->end_code = result;
        cw_http_abort(http);
    }
}

int cw_http_send_event_to(struct cw_server *server, struct cw_http_id id,
                          const struct cw_http_event *event)
{
    size_t size = size_of(event->data) + size_of(event->event) + size_of(event->id);
    struct letter *letter;
    char *to;
    int error;

    if (!is_allowed(event)) {
        return CW_EINVAL;
    }
    letter = cw_alloc(sizeof *letter + size);
    if (!letter) {
        return CW_ENOMEM;
    }
    to = letter->texts;
    letter->event.data = copy(&to, event->data);
    letter->event.event = copy(&to, event->event);
    letter->event.id = copy(&to, event->id);
    error = cw_http_post(server, id, deliver, letter);
    if (error < 0) {
        cw_release(letter);
    }
    return error;
}
