/* A stop from another thread while the server is still being prepared. For ThreadSanitizer; without it, for a stop that
 * gets lost. */
#include "support/host.h"
#include "support/leak.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <pthread.h>

enum { ROUNDS = 50 };

static void *run(void *server)
{
    rig_check(cw_server_run(server) == CW_OK);
    return NULL;
}

static void on_listening(struct cw_server *server, const struct cw_address *address,
                         const char *text, void *user)
{
}

int main(void)
{
    static const struct cw_hooks hooks = {.on_listening = on_listening};

    for (int round = 0; round < ROUNDS; round++) {
        struct cw_server *server = rig_server(&cw_tcp, &(struct cw_server_options){.workers = 2});
        pthread_t thread;

        rig_check(cw_server_set_hooks(server, &hooks, NULL) == CW_OK);
        rig_check(pthread_create(&thread, NULL, run, server) == 0);
        cw_server_stop(server);
        pthread_join(thread, NULL);
        cw_server_free(server);
    }
    rig_expect_no_leak();
    return 0;
}
