/* cleanup: notes that are forgotten after a while. */
#include <causeway/causeway.h>
#include <stdlib.h>

enum { NOTES_MAX = 100, KEEP_MS = 1000, LOOK_EVERY_MS = 100 };

/* One worker, so nothing else runs while a hook or a timer does. */
struct notes {
    uint64_t expire_ms[NOTES_MAX]; /* 0: free */
    unsigned count;
};

static void forget_old(struct cw_loop *loop, void *user)
{
    struct notes *notes = user;

    for (int i = 0; i < NOTES_MAX; i++) {
        if (notes->expire_ms[i] != 0 && notes->expire_ms[i] <= cw_loop_now_ms(loop)) {
            notes->expire_ms[i] = 0;
            notes->count--;
        }
    }
}

/* A timer belongs to a loop, and ends with it. */
static void on_worker_start(struct cw_server *server, struct cw_loop *loop, void *user)
{
    cw_timer_start(loop, LOOK_EVERY_MS, LOOK_EVERY_MS, forget_old, user);
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct notes *notes = user;
    int i = 0;

    while (i < NOTES_MAX && notes->expire_ms[i] != 0) {
        i++;
    }
    if (msg->body.len > 0 && i < NOTES_MAX) {
        notes->expire_ms[i] = cw_loop_now_ms(cw_conn_loop(conn)) + KEEP_MS;
        notes->count++;
    }
    cw_conn_sendf(conn, "%u kept", notes->count);
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000;
    struct cw_server *server = cw_create_server(&cw_line);
    struct notes notes = {.count = 0};

    cw_server_set_hooks(
        server, &(struct cw_hooks){.on_data = on_data, .on_worker_start = on_worker_start}, &notes);
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}
