/* One line out, through a function the application can replace. */
#include <causeway/log.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { LINE_MAX_BYTES = 500 };

static void write_to_stderr(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    char when[32] = "";
    char conn[32] = "";
    struct timespec now;
    struct tm utc;

    clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &utc)) {
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
    }
    if (conn_id != 0) {
        snprintf(conn, sizeof conn, "conn %" PRIx64 ": ", conn_id);
    }
    /* One call, so that lines of several threads do not mix. */
    fprintf(stderr, "%s.%03ldZ %s: %s%s\n", when, now.tv_nsec / 1000000, names[level], conn, text);
}

static cw_log_fn log_fn = write_to_stderr;
static void *log_user;
static atomic_int log_level = CW_LOG_INFO;

void cw_log_set(cw_log_fn log, void *user)
{
    log_fn = log ? log : write_to_stderr;
    log_user = user;
}

void cw_log_set_level(enum cw_log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

void cw_log(enum cw_log_level level, uint64_t conn_id, const char *format, ...)
{
    char text[LINE_MAX_BYTES + 1];
    va_list args;

    if ((int)level < atomic_load_explicit(&log_level, memory_order_relaxed) ||
        level >= CW_LOG_SILENT) {
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *c = text; *c; c++) {
        /* A peer's bytes must not begin a line of their own. */
        if ((unsigned char)*c < ' ' || *c == 127) {
            *c = '?';
        }
    }
    log_fn(level, conn_id, text, log_user);
}
