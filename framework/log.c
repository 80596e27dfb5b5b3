/* One line out, through a function the application can replace. */
#include <causeway/error.h>
#include <causeway/log.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
    TEXT_MAX_BYTES = 500,
    HEAD_MAX_BYTES = 160, /* time, level and id, and what ends the line */
    /* A byte of text becomes three at most. Under PIPE_BUF, so that a pipe takes the line as one. */
    LINE_MAX_BYTES = HEAD_MAX_BYTES + 3 * TEXT_MAX_BYTES,
};

static const char *const level_names[] = {"debug", "info", "warning", "error", "silent"};
static const char *const format_names[] = {"text", "json"};

static void write_to_stderr(enum cw_log_level level, uint64_t conn_id, const char *text, void *user);

static cw_log_fn log_fn = write_to_stderr;
static void *log_user;
static atomic_int log_level = CW_LOG_INFO;
static atomic_int log_format = CW_LOG_TEXT;

/* ---- characters ---- */

static bool continues(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Bytes of the UTF-8 character that begins here (RFC 3629 §4); 0: none does. The text ends with a zero byte, which
 * continues nothing, so no byte behind it is looked at. */
static size_t character_len(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    size_t len = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;

    for (size_t i = 1; i < len; i++) {
        if (!continues(c[i])) {
            return 0;
        }
    }
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
        (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f) || c[0] > 0xf4) {
        return 0;
    }
    return len;
}

/* Ends a text that is too long at the last border of a character. */
static void cut(char *text)
{
    size_t end = TEXT_MAX_BYTES;

    while (end > TEXT_MAX_BYTES - 3 && continues((unsigned char)text[end])) {
        end--;
    }
    text[continues((unsigned char)text[end]) ? TEXT_MAX_BYTES : end] = '\0';
}

static void replace_controls(char *text)
{
    for (char *c = text; *c; c++) {
        /* A peer's bytes must not begin a line of their own. */
        if ((unsigned char)*c < ' ' || *c == 127) {
            *c = '?';
        }
    }
}

/* ---- lines to standard error ---- */

static void print_time(char *when, size_t cap)
{
    char seconds[32] = "";
    struct timespec now;
    struct tm utc;

    clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &utc)) {
        strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
    }
    snprintf(when, cap, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
}

static size_t print_text(char *line, const char *when, enum cw_log_level level, uint64_t conn_id,
                         const char *text)
{
    char conn[32] = "";

    if (conn_id != 0) {
        snprintf(conn, sizeof conn, "conn %" PRIx64 ": ", conn_id);
    }
    return (size_t)snprintf(line, LINE_MAX_BYTES, "%s %s: %s%s\n", when, level_names[level], conn,
                            text);
}

/* A string of JSON without its quotes (RFC 8259 §7). There are no control characters left in it. */
static size_t escape(char *out, const char *text)
{
    static const unsigned char replacement[] = {0xef, 0xbf, 0xbd}; /* U+FFFD */
    char *at = out;

    while (*text) {
        size_t len = character_len(text);

        if (len == 0) {
            memcpy(at, replacement, sizeof replacement);
            at += sizeof replacement;
            text++;
            continue;
        }
        if (*text == '"' || *text == '\\') {
            *at++ = '\\';
        }
        memcpy(at, text, len);
        at += len;
        text += len;
    }
    return (size_t)(at - out);
}

static size_t print_json(char *line, const char *when, enum cw_log_level level, uint64_t conn_id,
                         const char *text)
{
    char conn[48] = "";
    size_t len;

    if (conn_id != 0) {
        snprintf(conn, sizeof conn, "\"conn\":\"%" PRIx64 "\",", conn_id);
    }
    len = (size_t)snprintf(line, HEAD_MAX_BYTES, "{\"time\":\"%s\",\"level\":\"%s\",%s\"text\":\"",
                           when, level_names[level], conn);
    len += escape(line + len, text);
    return len + (size_t)snprintf(line + len, LINE_MAX_BYTES - len, "\"}\n");
}

static void write_to_stderr(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    bool as_json = atomic_load_explicit(&log_format, memory_order_relaxed) == CW_LOG_JSON;
    char line[LINE_MAX_BYTES];
    char when[48];
    size_t len;

    (void)user;
    print_time(when, sizeof when);
    len = (as_json ? print_json : print_text)(line, when, level, conn_id, text);
    /* One call, so that lines of several threads do not mix. What cannot be written is lost. */
    while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR) {}
}

/* ---- the calls ---- */

void cw_log_set(cw_log_fn log, void *user)
{
    log_fn = log ? log : write_to_stderr;
    log_user = user;
}

void cw_log_set_level(enum cw_log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

void cw_log_set_format(enum cw_log_format format)
{
    atomic_store_explicit(&log_format, (int)format, memory_order_relaxed);
}

bool cw_log_takes(enum cw_log_level level)
{
    return level < CW_LOG_SILENT &&
           (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

void cw_log(enum cw_log_level level, uint64_t conn_id, const char *format, ...)
{
    char text[TEXT_MAX_BYTES + 2]; /* with the first byte of what is cut off */
    int os_errno = errno;
    va_list args;

    if (!cw_log_takes(level)) {
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (strlen(text) > TEXT_MAX_BYTES) {
        cut(text);
    }
    replace_controls(text);
    log_fn(level, conn_id, text, log_user);
    errno = os_errno; /* who logs a failure may still have to look at it */
}

/* ---- words ---- */

const char *cw_log_level_name(enum cw_log_level level)
{
    return (unsigned)level <= CW_LOG_SILENT ? level_names[level] : "silent";
}

static int index_of(const char *const *names, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], text) == 0) {
            return (int)i;
        }
    }
    return CW_EINVAL;
}

int cw_log_level_parse(const char *text, enum cw_log_level *level)
{
    int found = index_of(level_names, sizeof level_names / sizeof level_names[0], text);

    if (found < 0) {
        return CW_EINVAL;
    }
    *level = (enum cw_log_level)found;
    return CW_OK;
}

int cw_log_format_parse(const char *text, enum cw_log_format *format)
{
    int found = index_of(format_names, sizeof format_names / sizeof format_names[0], text);

    if (found < 0) {
        return CW_EINVAL;
    }
    *format = (enum cw_log_format)found;
    return CW_OK;
}
