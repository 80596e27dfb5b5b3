/* Two token buckets for each connection, in the bytes the server keeps for it. */
#include "token_bucket.h"

#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/middleware/rate_limit.h>

enum { SECOND_MS = 1000 };

struct rate_limit {
    struct cw_conn_middleware table; /* first: self is both */
    struct cw_rate messages;         /* amount 0: no limit; so in bytes */
    struct cw_rate bytes;
    enum cw_rate_action action;
    void (*on_limit)(struct cw_conn *conn, void *user);
    void *user;
};

/* A connection's slot. */
struct pace {
    struct cw_bucket messages;
    struct cw_bucket bytes;
    bool dropping; /* the rest of a message in pieces goes where its beginning went */
    bool told;
};

/* What one message, or one piece, asks for. */
struct cost {
    uint64_t messages;
    uint64_t bytes;
};

static bool has(struct cw_bucket *bucket, const struct cw_rate *rate, uint64_t n, uint64_t now_ms)
{
    return rate->amount == 0 || cw_bucket_has(bucket, rate, n, now_ms);
}

static void spend(struct cw_bucket *bucket, const struct cw_rate *rate, uint64_t n, uint64_t now_ms)
{
    if (rate->amount != 0) {
        cw_bucket_spend(bucket, rate, n, now_ms);
    }
}

static uint64_t wait_ms(struct cw_bucket *bucket, const struct cw_rate *rate, uint64_t now_ms)
{
    return rate->amount == 0 ? 0 : cw_bucket_wait_ms(bucket, rate, 1, now_ms);
}

static void spend_both(struct rate_limit *limit, struct pace *pace, struct cost cost,
                       uint64_t now_ms)
{
    spend(&pace->messages, &limit->messages, cost.messages, now_ms);
    spend(&pace->bytes, &limit->bytes, cost.bytes, now_ms);
}

/* Both or none: a message that its bytes keep out has not used up the turn of another. */
static bool take_both(struct rate_limit *limit, struct pace *pace, struct cost cost, uint64_t now_ms)
{
    if (!has(&pace->messages, &limit->messages, cost.messages, now_ms) ||
        !has(&pace->bytes, &limit->bytes, cost.bytes, now_ms)) {
        return false;
    }
    spend_both(limit, pace, cost, now_ms);
    return true;
}

static void forget_when_rested(struct rate_limit *limit, struct pace *pace, uint64_t now_ms)
{
    pace->told =
        pace->told && !(has(&pace->messages, &limit->messages, limit->messages.burst, now_ms) &&
                        has(&pace->bytes, &limit->bytes, limit->bytes.burst, now_ms));
}

static void tell(struct rate_limit *limit, struct cw_conn *conn, struct pace *pace)
{
    if (!pace->told && limit->on_limit != NULL) {
        limit->on_limit(conn, limit->user);
    }
    pace->told = true;
}

static bool begins(const struct cw_message *msg)
{
    return msg->part == CW_WHOLE || msg->part == CW_BEGIN;
}

static int deliver_and_rest(struct rate_limit *limit, struct cw_conn *conn, struct pace *pace,
                            struct cost cost)
{
    uint64_t now_ms = cw_loop_now_ms(cw_conn_loop(conn));

    forget_when_rested(limit, pace, now_ms);
    spend_both(limit, pace, cost, now_ms);
    uint64_t for_message = wait_ms(&pace->messages, &limit->messages, now_ms);
    uint64_t for_byte = wait_ms(&pace->bytes, &limit->bytes, now_ms);
    uint64_t rest_ms = for_message > for_byte ? for_message : for_byte;
    if (rest_ms == 0) {
        return CW_PASS;
    }
    tell(limit, conn, pace);
    return cw_conn_pause_for(conn, rest_ms);
}

/* A message in pieces is judged as a whole when it begins: a part of it is of no use. */
static int deliver_or_drop(struct rate_limit *limit, struct cw_conn *conn, struct pace *pace,
                           const struct cw_message *msg)
{
    if (begins(msg)) {
        uint64_t now_ms = cw_loop_now_ms(cw_conn_loop(conn));
        struct cost cost = {1, msg->part == CW_BEGIN ? msg->total : msg->body.len};
        forget_when_rested(limit, pace, now_ms);
        pace->dropping = !take_both(limit, pace, cost, now_ms);
        if (pace->dropping) {
            tell(limit, conn, pace);
        }
    }
    return pace->dropping ? CW_DROP : CW_PASS;
}

static int on_message(struct cw_conn_middleware *self, struct cw_conn *conn, void *slot,
                      const struct cw_message *msg)
{
    struct rate_limit *limit = (struct rate_limit *)self;
    struct cost cost = {begins(msg), msg->body.len};

    switch (limit->action) {
    case CW_RATE_PAUSE:
        return deliver_and_rest(limit, conn, slot, cost);
    case CW_RATE_DROP:
        return deliver_or_drop(limit, conn, slot, msg);
    case CW_RATE_CLOSE:
        break;
    }
    return take_both(limit, slot, cost, cw_loop_now_ms(cw_conn_loop(conn))) ? CW_PASS : CW_ERATE;
}

static void release(struct cw_conn_middleware *self)
{
    cw_release(self);
}

/* ---- making one ---- */

static bool set_rate(struct cw_rate *rate, uint64_t per_s, uint64_t burst, const char *what)
{
    bool unlimited = per_s == 0 || per_s >= CW_OFF;

    if (unlimited && burst != 0) {
        cw_log(CW_LOG_ERROR, 0, "rate_limit: %s_burst needs %s_per_s", what, what);
        return false;
    }
    if (!unlimited) {
        *rate = (struct cw_rate){per_s, SECOND_MS, burst == 0 ? per_s : burst};
    }
    return true;
}

static bool set_options(struct rate_limit *limit, const struct cw_rate_limit_options *options)
{
    if ((unsigned)options->action > CW_RATE_CLOSE) {
        cw_log(CW_LOG_ERROR, 0, "rate_limit: there is no action %d", (int)options->action);
        return false;
    }
    limit->action = options->action;
    limit->on_limit = options->on_limit;
    limit->user = options->user;
    return set_rate(&limit->messages, options->messages_per_s, options->messages_burst,
                    "messages") &&
           set_rate(&limit->bytes, options->bytes_per_s, options->bytes_burst, "bytes");
}

struct cw_conn_middleware *cw_rate_limit(const struct cw_rate_limit_options *options)
{
    const struct cw_rate_limit_options none = {0};
    struct rate_limit *limit = cw_alloc_zero(sizeof *limit);

    if (limit == NULL) {
        return NULL;
    }
    limit->table = (struct cw_conn_middleware){.name = "rate_limit",
                                               .conn_size = sizeof(struct pace),
                                               .on_message = on_message,
                                               .release = release};
    if (!set_options(limit, options == NULL ? &none : options)) {
        release(&limit->table);
        return NULL;
    }
    return &limit->table;
}
