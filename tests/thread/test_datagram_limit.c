/* The rates of addresses, counted by several workers at once. */
#include "address_rates.h"
#include "support/wait.h"

#include <pthread.h>
#include <stdio.h>

enum { THREADS = 4, TRIES = 100000, BURST = 200000, ADDRESSES = 4 };

static struct cw_address_rates *rates;

/* Each thread sends from all addresses. Returns how many have passed. */
static void *send_often(void *arg)
{
    uintptr_t passed = 0;

    for (uint64_t i = 0; i < TRIES; i++) {
        passed += cw_address_rates_take(rates, i % ADDRESSES, 10, 5000);
    }
    return (void *)passed;
}

int main(void)
{
    pthread_t threads[THREADS];
    uintptr_t all = 0;

    rates = cw_address_rates_new(64, (struct cw_pace){BURST, BURST / ADDRESSES},
                                 (struct cw_pace){0, 0});
    rig_check(rates != NULL);
    for (int i = 0; i < THREADS; i++) {
        rig_check(pthread_create(&threads[i], NULL, send_often, NULL) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        all += (uintptr_t)result;
    }
    rig_check(all == BURST);
    cw_address_rates_free(rates);
    puts("ok");
    return 0;
}
