/* Two paces for each address, in a table of fixed size. */
#include "address_rates.h"
#include "drop_notice.h"

#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/middleware/datagram_limit.h>

enum {
    DATAGRAMS_DEFAULT = 2000,
    BYTES_DEFAULT = 4194304,
    DATAGRAM_BYTES_MAX = 65507,
    ADDRESSES_DEFAULT = 65536,
    HOUR_S = 3600,
};

struct datagram_limit {
    struct cw_conn_middleware table; /* first: self is both */
    struct cw_address_rates *rates;
    struct cw_drop_notice notice;
};

static int on_datagram(struct cw_conn_middleware *self, struct cw_loop *loop,
                       const struct cw_datagram *from, size_t len)
{
    struct datagram_limit *limit = (struct datagram_limit *)self;
    uint64_t now_ms = cw_loop_now_ms(loop);
    uint64_t key;

    if (!cw_address_limit_key(&from->peer, &key) ||
        cw_address_rates_take(limit->rates, key, len, now_ms)) {
        return CW_OK;
    }
    cw_drop_notice(&limit->notice, limit->table.name, "above its rate", &from->peer, now_ms);
    return CW_ERATE;
}

static void release(struct cw_conn_middleware *self)
{
    struct datagram_limit *limit = (struct datagram_limit *)self;

    cw_address_rates_free(limit->rates);
    cw_release(limit);
}

/* ---- making one ---- */

/* A rate and its burst, as they were given, with the rate's default. False: said why. */
static bool settle(struct cw_pace *pace, uint64_t standard, const char *what)
{
    if (pace->per_s >= CW_OFF) {
        if (pace->burst != 0) {
            cw_log(CW_LOG_ERROR, 0, "datagram_limit: %s_burst needs %s_per_s", what, what);
            return false;
        }
        pace->per_s = 0;
        return true;
    }
    pace->per_s = pace->per_s == 0 ? standard : pace->per_s;
    if (pace->per_s > CW_PACE_MOST) {
        cw_log(CW_LOG_ERROR, 0, "datagram_limit: %s_per_s: at most %d, or CW_NO_LIMIT", what,
               CW_PACE_MOST);
        return false;
    }
    if (pace->burst > pace->per_s * HOUR_S) {
        cw_log(CW_LOG_ERROR, 0, "datagram_limit: %s_burst: more than an hour's worth of %s_per_s",
               what, what);
        return false;
    }
    return true;
}

static uint64_t most_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool set_options(struct datagram_limit *limit,
                        const struct cw_datagram_limit_options *options)
{
    struct cw_pace datagrams = {options->datagrams_per_s, options->datagrams_burst};
    struct cw_pace bytes = {options->bytes_per_s, options->bytes_burst};
    uint64_t addresses = options->addresses_max == 0 ? ADDRESSES_DEFAULT : options->addresses_max;

    if (!settle(&datagrams, DATAGRAMS_DEFAULT, "datagrams") ||
        !settle(&bytes, BYTES_DEFAULT, "bytes")) {
        return false;
    }
    if (addresses > CW_ADDRESSES_MOST) {
        cw_log(CW_LOG_ERROR, 0, "datagram_limit: addresses_max: at most %d", CW_ADDRESSES_MOST);
        return false;
    }
    if (datagrams.burst == 0) {
        datagrams.burst = datagrams.per_s;
    }
    if (bytes.burst == 0) {
        bytes.burst = most_of(bytes.per_s, DATAGRAM_BYTES_MAX);
    }
    limit->rates = cw_address_rates_new(addresses, datagrams, bytes);
    return limit->rates != NULL;
}

struct cw_conn_middleware *cw_datagram_limit(const struct cw_datagram_limit_options *options)
{
    const struct cw_datagram_limit_options none = {0};
    struct datagram_limit *limit = cw_alloc_zero(sizeof *limit);

    if (limit == NULL) {
        return NULL;
    }
    limit->table = (struct cw_conn_middleware){
        .name = "datagram_limit", .on_datagram = on_datagram, .release = release};
    if (!set_options(limit, options == NULL ? &none : options)) {
        release(&limit->table);
        return NULL;
    }
    return &limit->table;
}
