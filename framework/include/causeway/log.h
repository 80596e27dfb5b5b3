/* The log and the allocator: the two process-wide things an application may replace. */
#ifndef CAUSEWAY_LOG_H
#define CAUSEWAY_LOG_H

#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How much a line matters. docs/logs.md says what each level holds. */
enum cw_log_level {
    CW_LOG_DEBUG = 0,   /* the life of each connection */
    CW_LOG_INFO = 1,    /* the life of the server, and connections that did not end in good order */
    CW_LOG_WARNING = 2, /* somebody was refused, or a limit was reached: worth a look */
    CW_LOG_ERROR = 3,   /* something that has to be mended here */
    CW_LOG_SILENT = 4,  /* as the least level: nothing is logged */
};

/* How the log writes a line to standard error. */
enum cw_log_format {
    CW_LOG_TEXT = 0, /* for people */
    CW_LOG_JSON = 1, /* one object with time, level, conn (where there is one) and text */
};

/* Takes one line without its end. May be called from any loop's thread, several at once.
 *
 * conn_id  0: the line is about no connection */
typedef void (*cw_log_fn)(enum cw_log_level level, uint64_t conn_id, const char *text, void *user);

/* Replaces the log. NULL restores the one that writes lines to standard error. Call it before a
 * server or loop is made.
 *
 * thread   any, but not while a server or loop exists */
void cw_log_set(cw_log_fn log, void *user);

/* Lines under this level are dropped before they are formatted. At first CW_LOG_INFO.
 *
 * thread   any */
void cw_log_set_level(enum cw_log_level level);

/* Chooses how lines are written to standard error, from the next line on. A log that was put in place
 * with cw_log_set has its own way. At first CW_LOG_TEXT.
 *
 * thread   any */
void cw_log_set_format(enum cw_log_format format);

/* Says whether a line of this level would be logged now, for lines whose words cost something to make.
 *
 * thread   any */
bool cw_log_takes(enum cw_log_level level);

/* Logs one line. At most 500 bytes, and whole characters of UTF-8: longer ones are cut. Control
 * characters are written as `?`.
 *
 * conn_id  0: about no connection
 * thread   any */
void cw_log(enum cw_log_level level, uint64_t conn_id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The word for a level: `debug`, `info`, `warning`, `error`, `silent`. Never NULL.
 *
 * thread   any */
const char *cw_log_level_name(enum cw_log_level level);

/* Reads the word for a level, as cw_log_level_name writes it.
 *
 * returns  0, or CW_EINVAL: no such word, and *level is as it was
 * thread   any */
int cw_log_level_parse(const char *text, enum cw_log_level *level);

/* Reads the word for a format: `text` or `json`.
 *
 * returns  0, or CW_EINVAL: no such word, and *format is as it was
 * thread   any */
int cw_log_format_parse(const char *text, enum cw_log_format *format);

/* Where memory comes from. The three follow malloc, realloc and free. */
struct cw_allocator {
    void *(*alloc)(size_t size);
    void *(*resize)(void *memory, size_t size);
    void (*release)(void *memory);
};

/* Replaces the allocator, libevent's too. NULL restores malloc. Call it first of all.
 *
 * allocator  copied
 * thread     any, but not while anything of Causeway exists */
void cw_allocator_set(const struct cw_allocator *allocator);

/* Memory from the allocator in force; for protocols and middleware. NULL when there is none.
 *
 * thread   any */
void *cw_alloc(size_t size);

/* The same, filled with zero bytes.
 *
 * thread   any */
void *cw_alloc_zero(size_t size);

/* Grows or shrinks; on NULL the old memory is still there.
 *
 * thread   any */
void *cw_resize(void *memory, size_t size);

/* Gives it back. NULL is allowed.
 *
 * thread   any */
void cw_release(void *memory);

#ifdef __cplusplus
}
#endif

#endif
