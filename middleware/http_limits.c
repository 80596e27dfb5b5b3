/* Limits of one place: numbers handed to the exchange, and two counts of what is under way. */
#include "count_table.h"

#include <causeway/address.h>
#include <causeway/log.h>
#include <causeway/middleware/http_limits.h>

#include <inttypes.h>
#include <stdatomic.h>

enum { RETRY_AFTER_S = 1, RETRY_AFTER_MOST_S = 31536000 };

struct limits {
    struct cw_http_middleware table; /* first: self is both */
    struct cw_http_limits_options options;
    atomic_uint_least64_t requests; /* under way */
    struct cw_count_table *clients; /* NULL: not counted */
};

/* What a request is counted in. */
struct counted {
    bool in_all;
    bool of_client;
    uint64_t client;
};

/* ---- the counts ---- */

static bool enter(struct limits *self, struct counted *counted)
{
    uint64_t max = self->options.requests_max;

    if (max == 0) {
        return true;
    }
    if (atomic_fetch_add_explicit(&self->requests, 1, memory_order_relaxed) >= max) {
        atomic_fetch_sub_explicit(&self->requests, 1, memory_order_relaxed);
        return false;
    }
    counted->in_all = true;
    return true;
}

static bool enter_client(struct limits *self, struct cw_http_exchange *http, struct counted *counted)
{
    const struct cw_address *client = cw_http_client(http);

    /* A proxy that does not say for whom it asks stands for many. */
    if (!self->clients || !cw_address_limit_key(client, &counted->client) ||
        cw_server_trusts(cw_http_server(http), client)) {
        return true;
    }
    counted->of_client =
        cw_count_table_add(self->clients, counted->client, self->options.per_client_max);
    return counted->of_client;
}

static int refuse(const struct limits *self, struct cw_http_exchange *http, int status,
                  const char *text)
{
    cw_http_set_fieldf(http, "Retry-After", "%" PRIu64, self->options.retry_after_s);
    cw_http_reply_error(http, status, text);
    return CW_HTTP_ANSWERED;
}

/* ---- the middleware ---- */

static int on_request(struct cw_http_middleware *table, struct cw_http_exchange *http, void *slot)
{
    struct limits *self = (struct limits *)table;

    if (!enter(self, slot)) {
        return refuse(self, http, 503, "Too many requests are under way. Try again soon.");
    }
    if (!enter_client(self, http, slot)) {
        return refuse(self, http, 429,
                      "Too many of your requests are under way. Try again when they are done.");
    }
    if (self->options.body_max_bytes != 0) {
        cw_http_set_body_max(http, self->options.body_max_bytes);
    }
    if (self->options.body_ms != 0 || self->options.response_ms != 0) {
        cw_http_set_times(http, self->options.body_ms, self->options.response_ms);
    }
    return CW_HTTP_NEXT;
}

static void on_done(struct cw_http_middleware *table, struct cw_http_exchange *http, void *slot,
                    const struct cw_http_outcome *outcome)
{
    struct limits *self = (struct limits *)table;
    const struct counted *counted = slot;

    if (counted->of_client) {
        cw_count_table_remove(self->clients, counted->client);
    }
    if (counted->in_all) {
        atomic_fetch_sub_explicit(&self->requests, 1, memory_order_relaxed);
    }
}

static void release(struct cw_http_middleware *table)
{
    cw_count_table_free(((struct limits *)table)->clients);
    cw_release(table);
}

/* ---- making one ---- */

/* 0 is no limit inside of here. */
static uint64_t unless_lifted(uint64_t max)
{
    return max >= CW_OFF ? 0 : max;
}

static bool needs_clients(const struct limits *self)
{
    return self->options.per_client_max != 0;
}

struct cw_http_middleware *cw_http_limits(const struct cw_http_limits_options *options)
{
    static const struct cw_http_limits_options none = {0};
    struct limits *self;

    options = options ? options : &none;
    if (options->retry_after_s > RETRY_AFTER_MOST_S) {
        cw_log(CW_LOG_ERROR, 0, "http_limits: retry_after_s is at most %d", RETRY_AFTER_MOST_S);
        return NULL;
    }
    self = cw_alloc_zero(sizeof *self);
    if (!self) {
        return NULL;
    }
    self->table = (struct cw_http_middleware){.name = "http_limits",
                                              .slot_size = sizeof(struct counted),
                                              .on_request = on_request,
                                              .on_done = on_done,
                                              .release = release};
    self->options = *options;
    self->options.requests_max = unless_lifted(options->requests_max);
    self->options.per_client_max = unless_lifted(options->per_client_max);
    self->options.retry_after_s =
        options->retry_after_s == 0 ? RETRY_AFTER_S : options->retry_after_s;
    self->clients = needs_clients(self) ? cw_count_table_new() : NULL;
    if (needs_clients(self) && !self->clients) {
        release(&self->table);
        return NULL;
    }
    return &self->table;
}
