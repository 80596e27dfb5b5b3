/* guests: connections from this machine are always let in, of all others only two at once. */
#include <causeway/causeway.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { GUESTS_MAX = 2 };

/* The table first, so that self is a struct door too. on_accept runs on every worker, so the count is atomic. */
struct door {
    struct cw_conn_middleware table;
    struct cw_cidr home;
    atomic_int guests;
};

static int on_accept(struct cw_conn_middleware *self, struct cw_loop *loop,
                     const struct cw_address *peer, uint64_t *limit)
{
    struct door *door = (struct door *)self;

    if (cw_cidr_contains(&door->home, peer)) {
        return CW_OK;
    }
    if (atomic_fetch_add(&door->guests, 1) >= GUESTS_MAX) {
        atomic_fetch_sub(&door->guests, 1);
        *limit = GUESTS_MAX; /* for the report */
        return CW_EDENIED;
    }
    return CW_OK;
}

/* Once for each on_accept that said 0. */
static void on_gone(struct cw_conn_middleware *self, struct cw_loop *loop,
                    const struct cw_address *peer)
{
    struct door *door = (struct door *)self;

    if (!cw_cidr_contains(&door->home, peer)) {
        atomic_fetch_sub(&door->guests, 1);
    }
}

static void release(struct cw_conn_middleware *self)
{
    cw_release(self);
}

static struct cw_conn_middleware *door_new(const char *home)
{
    struct door *door = cw_alloc_zero(sizeof *door);

    if (door == NULL) {
        return NULL;
    }
    door->table = (struct cw_conn_middleware){
        .name = "door", .on_accept = on_accept, .on_gone = on_gone, .release = release};
    if (cw_cidr_parse(home, &door->home) < 0) {
        cw_release(door);
        return NULL;
    }
    return &door->table;
}

static void welcome(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, "welcome");
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000;
    struct cw_server *server = cw_create_server(&cw_line);

    cw_server_set_hooks(server, &(struct cw_hooks){.on_connection = welcome}, NULL);
    cw_server_use(server, door_new("127.0.0.1/32"));
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}
