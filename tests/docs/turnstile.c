/* turnstile: so many requests at once, and whoever comes above that is asked to come again. */
#include <causeway/http_middleware.h>
#include <causeway/log.h>
#include <stdatomic.h>

struct turnstile {
    struct cw_http_middleware table; /* first, so that self is a struct turnstile too */
    unsigned most;
    atomic_uint inside; /* of all connections, on any worker */
    atomic_uint refused;
};

/* The slot of one exchange: zero when its request comes. */
struct visit {
    bool counted;
};

static int on_request(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    struct turnstile *turnstile = (struct turnstile *)self;
    struct visit *visit = slot;

    if (atomic_fetch_add(&turnstile->inside, 1) < turnstile->most) {
        visit->counted = true;
        return CW_HTTP_NEXT;
    }
    atomic_fetch_sub(&turnstile->inside, 1);
    atomic_fetch_add(&turnstile->refused, 1);
    cw_http_set_field(http, "Retry-After", "1");
    cw_http_reply_error(http, 503, "Too many are here already. Please come again in a second.");
    return CW_HTTP_ANSWERED;
}

static void on_reply(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    struct turnstile *turnstile = (struct turnstile *)self;

    cw_http_set_fieldf(http, "X-Inside", "%u of %u", atomic_load(&turnstile->inside),
                       turnstile->most);
}

static void on_done(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                    const struct cw_http_outcome *outcome)
{
    struct turnstile *turnstile = (struct turnstile *)self;
    const struct visit *visit = slot;

    if (visit->counted) {
        atomic_fetch_sub(&turnstile->inside, 1);
    }
}

static void release(struct cw_http_middleware *self)
{
    struct turnstile *turnstile = (struct turnstile *)self;

    cw_log(CW_LOG_INFO, 0, "turnstile: %u refused", atomic_load(&turnstile->refused));
    cw_release(turnstile);
}

struct cw_http_middleware *turnstile_new(unsigned most);

struct cw_http_middleware *turnstile_new(unsigned most)
{
    struct turnstile *turnstile = cw_alloc_zero(sizeof *turnstile);

    if (turnstile == NULL) {
        return NULL;
    }
    turnstile->table = (struct cw_http_middleware){.name = "turnstile",
                                                   .slot_size = sizeof(struct visit),
                                                   .on_request = on_request,
                                                   .on_reply = on_reply,
                                                   .on_done = on_done,
                                                   .release = release};
    turnstile->most = most;
    return &turnstile->table;
}
