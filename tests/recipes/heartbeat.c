/* heartbeat: each side hears from the other in time, or the connection ends. */
#include <causeway/causeway.h>
#include <stdlib.h>

/* Short, so that it can be watched; 20 s and 60 s suit a server on the internet. */
enum { BEAT_MS = 500, SILENT_MS = 1500 };

static void beat(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, "ping");
}

/* Ends with the connection; there is nothing to stop. */
static void start_beating(struct cw_conn *conn, void *user)
{
    cw_conn_after(conn, BEAT_MS, BEAT_MS, beat, NULL);
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    cw_log(CW_LOG_INFO, cw_conn_id(conn), "closed: %s", reason->text);
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000;
    struct cw_server *server = cw_create_server(&cw_line);

    cw_server_set_hooks(
        server, &(struct cw_hooks){.on_connection = start_beating, .on_close = on_close}, NULL);
    /* The peer's own beat, or anything else it says, keeps it: what we send does not count for read_ms. */
    cw_server_configure(server, &(struct cw_server_options){.read_ms = SILENT_MS});
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}
