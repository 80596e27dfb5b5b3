/* Each loop fills a batch of its own; full ones, and those that have waited long enough, go to the writer's thread. */
#include "access_line.h"
#include "log_writer.h"
#include "options_text.h"

#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/middleware/http_auth.h>
#include <causeway/middleware/http_request_id.h>
#include <causeway/parts.h>

#include <errno.h>
#include <time.h>
#include <unistd.h>

enum {
    FLUSH_MS = 1000,
    TEXT_MAX_BYTES = 1024,
    TEXT_MOST_BYTES = 2048, /* so that any line fits into a batch */
    WAITING_MAX_BYTES = 4194304,
    STOP_MS = 5000,
};

struct access_log {
    struct cw_http_middleware table;      /* first: self is both */
    struct cw_loop_part part;             /* its address tells this log's batches from another's */
    struct cw_access_log_options options; /* its path is below */
    char *path;                           /* NULL: none */
    struct cw_access_style style;
    size_t line_most;             /* what any line fits into */
    struct cw_log_writer *writer; /* NULL: not started */
};

/* What a loop has of one log. */
struct gathered {
    struct access_log *log; /* NULL: never used */
    struct cw_log_batch *batch;
    struct cw_timer *timer; /* runs while the batch holds lines */
    struct cw_access_common common;
    uint64_t clock_ms; /* of the loop's clock, when the time was set: lines of one turn have one time */
    bool stopping;     /* timers have ended: lines go at once */
};

/* ---- batches ---- */

static void hand_over(struct gathered *gathered)
{
    if (gathered->batch) {
        cw_log_writer_put(gathered->log->writer, gathered->batch);
        gathered->batch = NULL;
    }
}

static void stop_timer(struct gathered *gathered)
{
    cw_timer_stop(gathered->timer);
    gathered->timer = NULL;
}

static void flush(struct cw_loop *loop, void *user)
{
    struct gathered *gathered = user;

    gathered->timer = NULL; /* it was for once */
    hand_over(gathered);
}

static bool has_room(const struct gathered *gathered, const struct cw_access_entry *entry)
{
    const struct access_log *log = gathered->log;
    size_t left = CW_LOG_BATCH_BYTES - gathered->batch->len;

    return left >= log->line_most || left >= cw_access_line_max(entry, &log->style);
}

/* Room for a line. NULL: there is none. */
static uint8_t *make_room(struct gathered *gathered, const struct cw_access_entry *entry)
{
    if (gathered->batch && !has_room(gathered, entry)) {
        hand_over(gathered);
    }
    if (!gathered->batch) {
        gathered->batch = cw_log_writer_take(gathered->log->writer);
    }
    return gathered->batch ? gathered->batch->bytes + gathered->batch->len : NULL;
}

/* Without memory for a timer the line goes at once. */
static void flush_later(struct gathered *gathered, struct cw_loop *loop)
{
    if (!gathered->timer && !gathered->stopping) {
        gathered->timer = cw_timer_start(loop, gathered->log->options.flush_ms, 0, flush, gathered);
    }
    if (!gathered->timer) {
        hand_over(gathered);
    }
}

static void stop_gathering(struct cw_loop *loop, void *memory)
{
    struct gathered *gathered = memory;

    gathered->stopping = true;
    stop_timer(gathered);
    hand_over(gathered);
}

static void end_gathering(struct cw_loop *loop, void *memory)
{
    hand_over(memory);
}

/* ---- a line ---- */

static void read_clock(struct gathered *gathered, uint64_t now_ms)
{
    struct timespec now;

    if (gathered->clock_ms != now_ms) {
        gathered->clock_ms = now_ms;
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
        cw_access_set_time(&gathered->common, now.tv_sec, (unsigned)(now.tv_nsec / 1000000));
    }
}

static void write_line(struct access_log *log, struct cw_loop *loop,
                       const struct cw_access_entry *entry)
{
    struct gathered *gathered = cw_loop_part(loop, &log->part);
    uint8_t *to;

    if (!gathered) {
        cw_log_writer_lost(log->writer, 1);
        return;
    }
    if (!gathered->log) {
        gathered->log = log;
        gathered->clock_ms = CW_NO_LIMIT; /* not looked at yet */
    }
    to = make_room(gathered, entry);
    if (!to) {
        cw_log_writer_lost(log->writer, 1);
        return;
    }
    read_clock(gathered, cw_loop_now_ms(loop));
    gathered->batch->len += cw_access_line(entry, &log->style, &gathered->common, to);
    gathered->batch->lines++;
    flush_later(gathered, loop);
}

static struct cw_span text_or_none(const char *text)
{
    return text && *text != '\0' ? cw_span_text(text) : (struct cw_span){NULL, 0};
}

static struct cw_span target_of(const struct access_log *log, const struct cw_http_exchange *http)
{
    struct cw_span target = cw_http_target(http);
    const uint8_t *mark =
        log->options.without_query && target.len > 0 ? memchr(target.data, '?', target.len) : NULL;

    return mark ? cw_span_of(target.data, (size_t)(mark - target.data)) : target;
}

static void on_done(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                    const struct cw_http_outcome *outcome)
{
    struct access_log *log = (struct access_log *)self;

    if (log->options.skip && log->options.skip(http, outcome, log->options.skip_user)) {
        return;
    }
    bool is_short = log->style.format == CW_ACCESS_LOG_COMBINED;
    struct cw_access_entry entry = {
        .client = cw_http_client(http),
        .user = text_or_none(cw_http_user_of(http)),
        .method = cw_http_method(http),
        .target = target_of(log, http),
        .host = cw_http_host(http),
        .referer = cw_http_field(http, "Referer"),
        .agent = cw_http_field(http, "User-Agent"),
        .id = text_or_none(is_short ? NULL : cw_http_request_id_of(http)),
        .route = text_or_none(is_short ? NULL : cw_http_route_name(http)),
        .version = cw_http_version(http),
        .status = outcome->status,
        .code = outcome->code,
        .bytes_in = outcome->bytes_in,
        .bytes_out = outcome->bytes_out,
        .took_us = outcome->took_us,
    };
    write_line(log, cw_http_loop(http), &entry);
}

static void on_refused(struct cw_conn *conn, int status, void *user)
{
    struct cw_access_entry entry = {
        .client = cw_conn_peer(conn),
        .status = status,
        .refused = true,
    };

    write_line(user, cw_conn_loop(conn), &entry);
}

/* ---- begin and end ---- */

static int start(struct cw_http_middleware *self, struct cw_server *server, const char *prefix)
{
    struct access_log *log = (struct access_log *)self;
    const struct cw_log_sink sink = {
        .path = log->path,
        .fd = STDOUT_FILENO,
        .write = log->options.write,
        .user = log->options.write_user,
        .waiting_max_bytes = log->options.waiting_max_bytes,
        .stop_ms = log->options.stop_ms,
    };
    const char *step;
    int error = cw_log_writer_start(&log->writer, &sink, &step);

    if (error < 0) {
        return cw_server_complain(server, error, "access log: %s%s%s: %s", step,
                                  sink.path ? " " : "", sink.path ? sink.path : "", strerror(errno));
    }
    return prefix ? CW_OK : cw_http_on_refused(server, on_refused, log);
}

static void release(struct cw_http_middleware *self)
{
    struct access_log *log = (struct access_log *)self;

    cw_log_writer_end(log->writer);
    cw_release(log->path);
    cw_release(log);
}

/* ---- making one ---- */

static uint64_t or_default(uint64_t value, uint64_t none)
{
    return value == 0 ? none : value;
}

static const char *fault_in(const struct cw_access_log_options *options)
{
    if ((unsigned)options->format > CW_ACCESS_LOG_JSON) {
        return "there is no such format";
    }
    if (options->path && options->write) {
        return "path and write are both set: lines go to one of them";
    }
    if (options->text_max_bytes > TEXT_MOST_BYTES) {
        return "text_max_bytes is at most 2048";
    }
    if (options->waiting_max_bytes != 0 && options->waiting_max_bytes < CW_LOG_BATCH_BYTES) {
        return "waiting_max_bytes is at least 65536";
    }
    if (options->flush_ms >= CW_OFF || options->stop_ms >= CW_OFF) {
        return "flush_ms and stop_ms are times: neither CW_OFF nor CW_NO_LIMIT";
    }
    return NULL;
}

static void set_options(struct access_log *log, const struct cw_access_log_options *options)
{
    log->options = *options;
    log->options.path = NULL;
    log->options.flush_ms = or_default(options->flush_ms, FLUSH_MS);
    log->options.waiting_max_bytes = or_default(options->waiting_max_bytes, WAITING_MAX_BYTES);
    log->options.stop_ms = or_default(options->stop_ms, STOP_MS);
    log->style.format = options->format;
    log->style.text_max = (size_t)or_default(options->text_max_bytes, TEXT_MAX_BYTES);
    log->line_most = cw_access_line_most(&log->style);
}

struct cw_http_middleware *cw_access_log(const struct cw_access_log_options *options)
{
    static const struct cw_access_log_options none = {0};
    const char *fault = fault_in(options ? options : &none);
    struct access_log *log;

    if (fault) {
        cw_log(CW_LOG_ERROR, 0, "access log: %s", fault);
        return NULL;
    }
    log = cw_alloc_zero(sizeof *log);
    if (!log) {
        return NULL;
    }
    set_options(log, options ? options : &none);
    log->table = (struct cw_http_middleware){
        .name = "access_log", .start = start, .on_done = on_done, .release = release};
    log->part = (struct cw_loop_part){
        .size = sizeof(struct gathered), .stop = stop_gathering, .release = end_gathering};
    if (options && options->path) {
        log->path = cw_option_copy(options->path);
        if (!log->path) {
            release(&log->table);
            return NULL;
        }
    }
    return &log->table;
}
