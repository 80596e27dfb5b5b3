/* The small plain structs that are handed over, and the names of the opaque things.
 *
 * Every quantity in an options struct is a uint64_t, so one CW_NO_LIMIT and one CW_OFF fit all of
 * them; zero always means "the default". */
#ifndef CAUSEWAY_TYPES_H
#define CAUSEWAY_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Lifts a limit. Has to be written out: no default is unlimited. */
#define CW_NO_LIMIT UINT64_MAX
/* Switches a time-out or a feature off. */
#define CW_OFF (UINT64_MAX - 1)
/* `workers`: one loop for each processor this process may run on. */
#define CW_PER_CORE (UINT64_MAX - 2)

struct cw_server;
struct cw_conn;
struct cw_loop;
struct cw_payload;
struct cw_protocol;
struct cw_hooks;

/* Bytes that belong to somebody else. As the argument of a hook they are good until the hook
 * returns; to keep them, copy them. */
struct cw_span {
    const uint8_t *data;
    size_t len;
};

/* What the bytes of a message are. A protocol that marks its messages (WebSocket) tells both kinds
 * apart; the others deliver the kind that their options name. */
enum cw_kind {
    CW_BINARY = 0,
    CW_TEXT = 1, /* UTF-8; checked where the receiving protocol demands it */
};

/* Which piece of a message this is. Only protocols with a streaming mode use more than CW_WHOLE. */
enum cw_part {
    CW_WHOLE = 0,
    CW_BEGIN = 1, /* a long message starts; `total` says how long it will be, the body is empty */
    CW_CHUNK = 2, /* the next bytes of it */
    CW_END = 3,   /* the last byte has been handed over; the body is empty */
};

/* One message, in either direction. `{.body = …}` is a whole binary message. */
struct cw_message {
    struct cw_span body;
    enum cw_kind kind;
    enum cw_part part;
    uint64_t total; /* CW_BEGIN: bytes of the whole message; otherwise not looked at */
};

/* A span over memory of any type. Borrows it. */
static inline struct cw_span cw_span_of(const void *data, size_t len)
{
    struct cw_span span = {(const uint8_t *)data, len};
    return span;
}

/* A span over a C string, without its terminator. Borrows it. */
static inline struct cw_span cw_span_text(const char *text)
{
    return cw_span_of(text, strlen(text));
}

/* A whole binary message over memory of any type. Borrows it. */
static inline struct cw_message cw_message_of(const void *data, size_t len)
{
    struct cw_message msg = {cw_span_of(data, len), CW_BINARY, CW_WHOLE, 0};
    return msg;
}

/* A whole text message over a C string. Borrows it. */
static inline struct cw_message cw_message_text(const char *text)
{
    struct cw_message msg = {cw_span_text(text), CW_TEXT, CW_WHOLE, 0};
    return msg;
}

/* Whether two spans hold the same bytes. */
static inline bool cw_span_equal(struct cw_span a, struct cw_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#ifdef __cplusplus
}
#endif

#endif
