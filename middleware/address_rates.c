/* For each address and pace there is one number: the time at which all of its burst will be there again. It needs no refill, no
 * division, and no mark for a free place: an address that owes nothing is like one that was never seen. */
#include "address_rates.h"

#include <causeway/hash.h>
#include <causeway/log.h>

#include <pthread.h>

enum {
    PLACES = 8, /* in a set */
    LOCKS = 64, /* a power of two */
    CACHE_LINE = 64,
    FRACTION_BITS = 24, /* of a millisecond: leaves 40 bits for those, 34 years */
};

static const uint64_t ticks_per_s = UINT64_C(1000) << FRACTION_BITS;

/* Times in ticks. */
struct place {
    uint64_t key;
    uint64_t datagrams_rested;
    uint64_t bytes_rested;
};

struct set {
    struct place places[PLACES];
};

/* A pace in ticks. No limit: all 0. */
struct price {
    uint64_t each;
    uint64_t most;
};

/* One to a line, so that two workers do not write to the same. */
union lock {
    pthread_mutex_t mutex;
    uint8_t line[2 * CACHE_LINE];
};

struct cw_address_rates {
    struct cw_hash_seed seed;
    struct price datagram;
    struct price byte;
    size_t set_count; /* a power of two */
    struct set *sets; /* each guarded by the lock of its number */
    union lock locks[LOCKS];
};

/* ---- one address ---- */

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t rested(const struct place *place)
{
    return later(place->datagrams_rested, place->bytes_rested);
}

static struct place *place_of(struct set *set, uint64_t key)
{
    struct place *least = &set->places[0];

    for (size_t i = 0; i < PLACES; i++) {
        struct place *place = &set->places[i];

        if (place->key == key) {
            return place;
        }
        if (rested(place) < rested(least)) {
            least = place;
        }
    }
    *least = (struct place){.key = key};
    return least;
}

static bool take(const struct cw_address_rates *rates, struct place *place, size_t len, uint64_t now)
{
    uint64_t datagrams = later(place->datagrams_rested, now) + rates->datagram.each;
    uint64_t bytes = later(place->bytes_rested, now) + rates->byte.each * len;

    if (datagrams - now > rates->datagram.most || bytes - now > rates->byte.most) {
        return false;
    }
    place->datagrams_rested = datagrams;
    place->bytes_rested = bytes;
    return true;
}

bool cw_address_rates_take(struct cw_address_rates *rates, uint64_t key, size_t len, uint64_t now_ms)
{
    size_t number =
        (size_t)cw_hash(&rates->seed, cw_span_of(&key, sizeof key)) & (rates->set_count - 1);
    pthread_mutex_t *lock = &rates->locks[number & (LOCKS - 1)].mutex;

    pthread_mutex_lock(lock);
    bool may_pass = take(rates, place_of(&rates->sets[number], key), len, now_ms << FRACTION_BITS);
    pthread_mutex_unlock(lock);
    return may_pass;
}

/* ---- the table ---- */

static struct price price_of(struct cw_pace pace)
{
    if (pace.per_s == 0) {
        return (struct price){0, 0};
    }
    uint64_t each = (ticks_per_s + pace.per_s / 2) / pace.per_s;

    return (struct price){each, each * pace.burst};
}

struct cw_address_rates *cw_address_rates_new(uint64_t addresses, struct cw_pace datagrams,
                                              struct cw_pace bytes)
{
    struct cw_address_rates *rates = cw_alloc_zero(sizeof *rates);

    if (rates == NULL) {
        return NULL;
    }
    rates->datagram = price_of(datagrams);
    rates->byte = price_of(bytes);
    rates->set_count = 1;
    while (rates->set_count * PLACES < addresses) {
        rates->set_count *= 2;
    }
    for (size_t i = 0; i < LOCKS; i++) {
        pthread_mutex_init(&rates->locks[i].mutex, NULL);
    }
    rates->sets = cw_alloc_zero(rates->set_count * sizeof *rates->sets);
    if (rates->sets == NULL || cw_hash_seed(&rates->seed) < 0) {
        cw_address_rates_free(rates);
        return NULL;
    }
    return rates;
}

void cw_address_rates_free(struct cw_address_rates *rates)
{
    if (rates == NULL) {
        return;
    }
    for (size_t i = 0; i < LOCKS; i++) {
        pthread_mutex_destroy(&rates->locks[i].mutex);
    }
    cw_release(rates->sets);
    cw_release(rates);
}
