#include "support/rig.h"

#include "conn_impl.h"
#include "support/fault.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    OVERWRITTEN = 0xdb,
    ROUNDS_MAX = 1 << 22, /* more is a loop that does not end */
    SLACK = 16,           /* bytes behind its input that a protocol may read */
};

/* One read of the peer's bytes. */
struct segment {
    struct segment *next;
    size_t start;
    size_t len;
    uint8_t bytes[];
};

/* The stream's table has to come first: conn->stream points to it. */
struct rig_inside {
    struct cw_stream stream;
    struct rig *rig;
    struct cw_loop *loop;
    struct rig_setup setup;
    struct segment *first;
    struct segment **last;
    bool input_ended;
    size_t allowance;      /* bytes the peer still takes in this round */
    struct rig_bytes ends; /* in the output, of each datagram: size_t */
    bool in_body;          /* the story's last line is a body that may go on */
    bool paused;           /* by the deed: nothing may be delivered */
};

static uint64_t time_ms = 1000000;

static uint64_t fake_clock(void)
{
    return time_ms;
}

/* ---- bytes ---- */

static void *must(void *memory)
{
    if (memory == NULL) {
        fputs("rig: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void rig_append(struct rig_bytes *bytes, const void *data, size_t len)
{
    if (bytes->cap - bytes->len < len + 1) {
        bytes->cap = 2 * bytes->cap + len + 64;
        bytes->data = must(realloc(bytes->data, bytes->cap));
    }
    if (len > 0) {
        memcpy(bytes->data + bytes->len, data, len);
    }
    bytes->len += len;
    bytes->data[bytes->len] = 0;
}

void rig_release(struct rig_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct rig_bytes){0};
}

/* ---- the story ---- */

static void tell(struct rig *rig, const char *text)
{
    rig_append(&rig->story, text, strlen(text));
}

static void write_down(struct rig_bytes *text, struct cw_span body)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < body.len; i++) {
        uint8_t byte = body.data[i];

        if (byte < ' ' || byte > '~' || byte == '"' || byte == '\\') {
            const char escaped[] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
            rig_append(text, escaped, sizeof escaped);
        } else {
            rig_append(text, &byte, 1);
        }
    }
}

/* Takes back the end of the last body's line, so that it goes on. */
static void reopen_body(struct rig *rig)
{
    rig->story.len -= strlen("\"\n");
}

static void tell_body(struct rig *rig, const char *what, const struct cw_message *msg)
{
    enum rig_merge merge = rig->inside->setup.merge;

    if (rig->inside->in_body) {
        reopen_body(rig);
    } else {
        tell(rig, what);
        tell(rig, " \"");
    }
    write_down(&rig->story, msg->body);
    tell(rig, "\"\n");
    rig->inside->in_body = merge == RIG_STREAM || (merge == RIG_CHUNKS && msg->part == CW_CHUNK);
}

static void tell_message(struct rig *rig, const struct cw_message *msg)
{
    const char *kind = msg->kind == CW_TEXT ? "text" : "binary";
    char line[64];

    if (msg->part == CW_WHOLE || msg->part == CW_CHUNK) {
        tell_body(rig, msg->part == CW_CHUNK ? "chunk" : kind, msg);
        return;
    }
    rig->inside->in_body = false;
    if (msg->part == CW_BEGIN) {
        snprintf(line, sizeof line, "begin %s %llu\n", kind, (unsigned long long)msg->total);
        tell(rig, line);
    } else {
        tell(rig, "end\n");
    }
}

static const char *name_of(int code)
{
    static const char *const ends[] = {"?",          "CW_BY_PEER",  "CW_BY_APP",     "CW_BY_ABORT",
                                       "CW_BY_STOP", "CW_SWITCHED", "CW_BY_PROTOCOL"};

    return code > 0 && code < 7 ? ends[code] : cw_error_name(code);
}

static void tell_end(struct rig *rig, const char *what, int code, const char *text)
{
    rig->inside->in_body = false;
    tell(rig, what);
    tell(rig, " ");
    tell(rig, name_of(code));
    tell(rig, ": ");
    tell(rig, text);
    tell(rig, "\n");
}

const char *rig_told(const struct rig *rig)
{
    return rig->story.data != NULL ? (const char *)rig->story.data : "";
}

const char *rig_sent(const struct rig *rig)
{
    return rig->sent.data != NULL ? (const char *)rig->sent.data : "";
}

/* ---- hooks ---- */

static void do_deed(struct rig *rig, struct cw_conn *conn)
{
    const struct rig_setup *setup = &rig->inside->setup;

    rig->hooks++;
    if (setup->deed_at == 0 || rig->hooks < setup->deed_at ||
        (rig->hooks > setup->deed_at && !setup->deed_repeats)) {
        return;
    }
    switch (setup->deed) {
    case RIG_PAUSE:
        cw_conn_pause(conn);
        rig->inside->paused = true;
        break;
    case RIG_CLOSE:
        cw_conn_close(conn);
        break;
    case RIG_ABORT:
        cw_conn_abort(conn);
        break;
    case RIG_NOTHING:
        break;
    }
}

static void on_connection(struct cw_conn *conn, void *user)
{
    struct rig *rig = user;

    rig->conn = conn;
    tell(rig, "open\n");
    do_deed(rig, conn);
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct rig *rig = user;

    rig->messages++;
    if (rig->inside->paused) {
        tell(rig, "while paused: ");
    }
    tell_message(rig, msg);
    if (rig->inside->setup.echo) {
        int result = cw_conn_send(conn, msg);

        if (result < 0 && rig->send_error == 0) {
            rig->send_error = result;
        }
    }
    if (msg->body.len > 0) {
        memset((void *)(uintptr_t)msg->body.data, OVERWRITTEN, msg->body.len);
    }
    do_deed(rig, conn);
}

static void on_end(struct cw_conn *conn, void *user)
{
    struct rig *rig = user;

    rig->inside->in_body = false;
    tell(rig, "peer ended\n");
    do_deed(rig, conn);
    cw_conn_close(conn);
}

static void on_drain(struct cw_conn *conn, void *user)
{
    do_deed(user, conn);
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct rig *rig = user;

    rig->closes++;
    rig->code = reason->code;
    tell_end(rig, "close", reason->code, reason->text);
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    tell_end(user, "error", report->code, report->text);
}

const struct cw_hooks rig_hooks = {
    .on_connection = on_connection,
    .on_data = on_data,
    .on_drain = on_drain,
    .on_end = on_end,
    .on_close = on_close,
    .on_error = on_error,
};

struct rig *rig_teller_new(const struct rig_setup *setup)
{
    struct rig *rig = must(calloc(1, sizeof *rig));

    rig->inside = must(calloc(1, sizeof *rig->inside));
    rig->inside->rig = rig;
    rig->inside->setup = *setup;
    return rig;
}

void rig_teller_reset(struct rig *rig)
{
    rig_release(&rig->story);
    rig->hooks = 0;
    rig->messages = 0;
    rig->closes = 0;
    rig->code = 0;
    rig->send_error = 0;
    rig->inside->in_body = false;
}

void rig_teller_free(struct rig *rig)
{
    rig_release(&rig->story);
    free(rig->inside);
    free(rig);
}

/* ---- the stream ---- */

static struct rig_inside *inside_of(struct cw_conn *conn)
{
    return (struct rig_inside *)conn->stream;
}

static size_t scatter(const struct iovec *iov, int count, const uint8_t *data, size_t len)
{
    size_t done = 0;

    for (int i = 0; i < count && done < len; i++) {
        size_t part = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

        memcpy(iov[i].iov_base, data + done, part);
        done += part;
    }
    return done;
}

static struct segment *take_first(struct rig_inside *inside)
{
    struct segment *segment = inside->first;

    inside->first = segment->next;
    if (inside->first == NULL) {
        inside->last = &inside->first;
    }
    return segment;
}

static ptrdiff_t stream_read(struct cw_conn *conn, const struct iovec *iov, int count)
{
    struct rig_inside *inside = inside_of(conn);
    struct segment *segment = inside->first;

    if (segment == NULL) {
        return inside->input_ended ? 0 : CW_STREAM_AGAIN;
    }

    size_t got = scatter(iov, count, segment->bytes + segment->start, segment->len);

    segment->start += got;
    segment->len -= got;
    if (segment->len == 0) {
        free(take_first(inside));
    }
    return (ptrdiff_t)got;
}

static ptrdiff_t stream_write(struct cw_conn *conn, const struct iovec *iov, int count)
{
    struct rig_inside *inside = inside_of(conn);
    size_t taken = 0;

    for (int i = 0; i < count && inside->allowance > 0; i++) {
        size_t part = iov[i].iov_len < inside->allowance ? iov[i].iov_len : inside->allowance;

        rig_append(&inside->rig->output, iov[i].iov_base, part);
        inside->allowance -= part;
        taken += part;
    }
    return taken > 0 ? (ptrdiff_t)taken : CW_STREAM_AGAIN;
}

static int stream_send(struct cw_conn *conn, const struct cw_span *parts, size_t count)
{
    struct rig_inside *inside = inside_of(conn);
    struct rig *rig = inside->rig;
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        total += parts[i].len;
    }
    if (!rig->peer_takes || (inside->setup.take > 0 && total > inside->setup.take)) {
        return rig->peer_takes ? CW_ETOOBIG : CW_EFULL;
    }
    rig_append(&rig->sent, "\"", 1);
    for (size_t i = 0; i < count; i++) {
        rig_append(&rig->output, parts[i].data, parts[i].len);
        write_down(&rig->sent, parts[i]);
    }
    rig_append(&rig->sent, "\"\n", 2);
    rig_append(&inside->ends, &rig->output.len, sizeof rig->output.len);
    rig->sends++;
    return CW_OK;
}

static void stream_receive(struct cw_conn *conn, uint8_t *data, size_t len)
{
    cw_conn_feed_datagram(conn, data, len);
}

static void stream_end(struct cw_conn *conn)
{
    /* The peer answers our end with its own. */
    inside_of(conn)->input_ended = true;
}

static void stream_close(struct cw_conn *conn, bool reset)
{
    inside_of(conn)->rig->conn = NULL;
    inside_of(conn)->rig->stream_closed = true;
}

static const struct cw_stream_ops stream_ops = {
    .name = "rig",
    .read = stream_read,
    .write = stream_write,
    .end = stream_end,
    .close = stream_close,
    .short_read_is_empty = true,
};

static const struct cw_stream_ops datagram_ops = {
    .name = "rig of datagrams",
    .send = stream_send,
    .receive = stream_receive,
    .end = stream_end,
    .close = stream_close,
    .short_read_is_empty = true,
};

struct cw_span rig_sent_at(const struct rig *rig, size_t nth)
{
    const uint8_t *ends = rig->inside->ends.data;
    size_t from = 0;
    size_t to = 0;

    if (nth >= rig->sends) {
        return cw_span_of(NULL, 0);
    }
    if (nth > 0) {
        memcpy(&from, ends + (nth - 1) * sizeof from, sizeof from);
    }
    memcpy(&to, ends + nth * sizeof to, sizeof to);
    return cw_span_of(rig->output.data + from, to - from);
}

uint64_t rig_dropped_paused(const struct rig *rig)
{
    struct cw_datagram_stats stats;

    cw_loop_datagram_stats(rig->inside->loop, &stats);
    return stats.dropped_paused;
}

uint64_t rig_dropped_long(const struct rig *rig)
{
    struct cw_datagram_stats stats;

    cw_loop_datagram_stats(rig->inside->loop, &stats);
    return stats.dropped_truncated;
}

/* ---- what happens ---- */

static bool may_read(const struct cw_conn *conn)
{
    return conn->phase != CW_PHASE_CLOSED && !(conn->flags & CW_INPUT_ENDED) &&
           (!(conn->flags & CW_STOP_MASK) || (conn->flags & (CW_DISCARD | CW_AWAIT_FINISH)) != 0);
}

/* What a wait for readiness would find. False: nothing. */
static bool make_ready(struct rig *rig)
{
    struct rig_inside *inside = rig->inside;
    struct cw_conn *conn = rig->conn;
    short events = 0;

    inside->allowance = !rig->peer_takes          ? 0
                        : inside->setup.take == 0 ? SIZE_MAX
                                                  : inside->setup.take;
    if (may_read(conn) && (inside->first != NULL || inside->input_ended)) {
        events |= EV_READ;
    }
    if ((conn->flags & CW_BLOCKED) && inside->allowance > 0) {
        events |= EV_WRITE;
    }
    if (events != 0) {
        cw_conn_on_event(conn, events);
    }
    return events != 0;
}

static bool is_of_datagrams(const struct rig_inside *inside)
{
    return inside->setup.protocol->transport == CW_DATAGRAM;
}

/* What a batch from the kernel comes to. A memory of its own for each: who reads past its end is seen. */
static bool receive_datagrams(struct rig *rig)
{
    bool any = rig->inside->first != NULL;

    while (rig->inside->first != NULL && rig->conn != NULL) {
        struct segment *segment = take_first(rig->inside);

        rig->conn->stream->ops->receive(rig->conn, segment->bytes, segment->len);
        memset(segment->bytes, OVERWRITTEN, segment->len);
        free(segment);
    }
    return any;
}

/* As the loop does: what is left of the last turn comes before anything new. */
void rig_run(struct rig *rig)
{
    struct cw_loop *loop = rig->inside->loop;

    for (int round = 0; round < ROUNDS_MAX; round++) {
        if (loop->turn_head != 0) {
            cw_loop_end_turn(loop);
        } else if (rig->conn == NULL ||
                   !(is_of_datagrams(rig->inside) ? receive_datagrams(rig) : make_ready(rig))) {
            return;
        }
    }
    fputs("rig_run: the connection does not come to rest\n", stderr);
    abort();
}

void rig_put(struct rig *rig, const void *data, size_t len)
{
    if (len == 0 && !is_of_datagrams(rig->inside)) {
        return;
    }

    struct segment *segment = must(malloc(sizeof *segment + len + SLACK));

    segment->next = NULL;
    segment->start = 0;
    segment->len = len;
    if (len > 0) {
        memcpy(segment->bytes, data, len);
    }
    *rig->inside->last = segment;
    rig->inside->last = &segment->next;
}

void rig_feed(struct rig *rig, const void *data, size_t len)
{
    rig_put(rig, data, len);
    rig_run(rig);
}

void rig_end(struct rig *rig)
{
    rig->inside->input_ended = true;
    rig_run(rig);
}

void rig_resume(struct rig *rig)
{
    rig->inside->paused = false;
    if (rig->conn != NULL) {
        cw_conn_resume(rig->conn);
    }
    rig_run(rig);
}

void rig_advance(struct rig *rig, uint64_t ms)
{
    struct cw_loop *loop = rig->inside->loop;

    time_ms += ms;
    cw_loop_update_time(loop);
    cw_loop_sweep(loop);
    rig_run(rig);
}

/* ---- made and freed ---- */

static struct cw_limits limits_of(const struct rig_setup *setup,
                                  const struct cw_service_ref *service)
{
    const struct cw_protocol *protocol = setup->protocol;
    uint64_t message = protocol->message_max ? protocol->message_max(service->options) : 0;
    size_t high = setup->out_high > 0 ? setup->out_high : 65536;
    size_t max = setup->out_max > 0 ? setup->out_max : 1048576;

    return (struct cw_limits){
        .in_max = message > 65536 ? (size_t)message : 65536,
        .out_high = high,
        .out_low = high / 2,
        .out_max = setup->out_max == 0 && message > max / 2 ? 2 * (size_t)message : max,
        .reads_per_turn = 262144,
        .messages_per_turn =
            setup->messages_per_turn > 0 ? (uint32_t)setup->messages_per_turn : 1024,
        .drain = cw_ticks(5000),
        .half_open = setup->half_open,
    };
}

static struct cw_origin *make_origin(struct rig *rig)
{
    const struct rig_setup *setup = &rig->inside->setup;
    struct cw_service service = {setup->protocol, setup->options, &rig_hooks, rig};
    struct cw_service_ref *ref = cw_service_new(&service, NULL);
    struct cw_origin *origin = NULL;

    if (ref != NULL) {
        struct cw_limits limits = limits_of(setup, ref);

        origin = cw_origin_new(ref, &limits, setup->role);
        if (origin == NULL) {
            cw_service_free(ref);
        }
    }
    return origin;
}

static struct rig *make_rig(const struct rig_setup *setup)
{
    struct rig *rig = must(calloc(1, sizeof *rig));
    struct rig_inside *inside = must(calloc(1, sizeof *inside));

    inside->rig = rig;
    inside->setup = *setup;
    inside->stream.ops = is_of_datagrams(inside) ? &datagram_ops : &stream_ops;
    inside->last = &inside->first;
    rig->inside = inside;
    rig->peer_takes = true;
    return rig;
}

struct rig *rig_new(const struct rig_setup *setup)
{
    struct rig *rig = make_rig(setup);
    struct cw_loop *loop = cw_loop_create(&(struct cw_loop_setup){.server = setup->server,
                                                                  .mailbox_max = 16,
                                                                  .mailbox_max_bytes = 65536,
                                                                  .buffered_max = SIZE_MAX});

    rig->inside->loop = loop;
    if (loop == NULL) {
        rig_free(rig);
        return NULL;
    }
    loop->clock = fake_clock;
    loop->epoch_ms = time_ms;
    loop->phase = CW_LOOP_RUNNING;
    loop->thread = pthread_self();
    cw_loop_update_time(loop);
    fault_arm(setup->fail_at);

    struct cw_origin *origin = make_origin(rig);

    if (origin != NULL) {
        rig->conn = cw_conn_new(loop, origin, &rig->inside->stream, -1, NULL);
        cw_origin_drop(origin);
    }
    if (rig->conn == NULL) {
        rig_free(rig);
        return NULL;
    }
    rig->conn->datagram = is_of_datagrams(rig->inside);
    cw_conn_start(rig->conn);
    rig_run(rig);
    return rig;
}

static void check_end(const struct rig *rig)
{
    bool opened = strncmp(rig_told(rig), "open\n", 5) == 0;

    if (rig->closes != (opened ? 1u : 0u) || (opened && !rig->stream_closed)) {
        fprintf(stderr, "rig_free: on_close came %zu times in\n%s", rig->closes, rig_told(rig));
        abort();
    }
}

void rig_free(struct rig *rig)
{
    if (rig == NULL) {
        return;
    }
    if (rig->conn != NULL) {
        cw_conn_abort(rig->conn);
        rig_run(rig);
    }
    check_end(rig);
    while (rig->inside->first != NULL) {
        free(take_first(rig->inside));
    }
    cw_loop_free(rig->inside->loop);
    rig_release(&rig->story);
    rig_release(&rig->output);
    rig_release(&rig->sent);
    rig_release(&rig->inside->ends);
    free(rig->inside);
    free(rig);
}
