/* What all workers share about addresses, used by several threads at once: the table of connections and the
 * middleware ip_limit. */
#include "ip_table.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/middleware/ip_limit.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, ROUNDS = 20000, ADDRESSES = 200, MAX = 2 };

/* The clock of this test, in the place of a real loop's. */
struct cw_loop {
    uint64_t now_ms;
};

uint64_t cw_loop_now_ms(const struct cw_loop *loop)
{
    return loop->now_ms;
}

struct shared {
    struct cw_ip_table *table;
    struct cw_conn_middleware *limit;
};

static void expect(bool right, const char *what)
{
    if (!right) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static void *come_and_go(void *arg)
{
    const struct shared *shared = arg;
    struct cw_loop loop = {1};

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct cw_address peer = {.ip = {10, 0, 0, (uint8_t)(i % ADDRESSES)}, .family = CW_IPV4};
        uint64_t reached = 0;
        loop.now_ms = i;
        int code = shared->limit->on_accept(shared->limit, &loop, &peer, &reached);
        expect(code == CW_OK || code == CW_ERATE, "ip_limit answers 0 or CW_ERATE");
        code = cw_ip_table_enter(shared->table, &peer, MAX);
        expect(code == CW_OK || code == CW_EADDRESSMAX, "the table answers 0 or CW_EADDRESSMAX");
        if (code == CW_OK) {
            cw_ip_table_leave(shared->table, &peer);
        }
    }
    return NULL;
}

int main(void)
{
    struct shared shared = {
        .table = cw_ip_table_new(),
        .limit = cw_ip_limit(&(struct cw_ip_limit_options){.accepts = 5, .addresses_max = 100}),
    };
    pthread_t threads[THREADS];

    expect(shared.table != NULL && shared.limit != NULL, "there is memory");
    for (int i = 0; i < THREADS; i++) {
        expect(pthread_create(&threads[i], NULL, come_and_go, &shared) == 0, "a thread starts");
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    expect(cw_ip_table_addresses(shared.table) == 0, "nobody is left in the table");
    cw_ip_table_free(shared.table);
    shared.limit->release(shared.limit);
    return 0;
}
