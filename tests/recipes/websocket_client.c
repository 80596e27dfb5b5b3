/* websocket_client: prints what a feed says, message by message, and after each loss goes on behind the last it has seen.
 * Every message is a number, a space and a text.
 *
 * websocket_client URL */
#include <causeway/causeway.h>
#include <inttypes.h>
#include <stdio.h>

struct feed {
    struct cw_loop *loop;
    int64_t client;
    uint64_t last; /* number that has been printed */
};

/* Before each attempt: where to go on. */
static int ask(struct cw_websocket_request *request, void *user)
{
    struct feed *feed = user;
    char number[24];

    snprintf(number, sizeof number, "%" PRIu64, feed->last);
    return cw_websocket_request_set_field(request, "Last-Event-ID", number);
}

static void print(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct feed *feed = user;
    struct cw_span text = msg->body;
    struct cw_span number = cw_span_cut(&text, ' ');

    if (cw_span_to_u64(number, UINT64_MAX, &feed->last) < 0) {
        cw_conn_close_with(conn, 4000, "a message begins with its number");
        return;
    }
    printf("%.*s\n", (int)text.len, (const char *)text.data);
    fflush(stdout);
}

/* Each attempt that failed. What trying again will not change ends it. */
static void complain(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    struct feed *feed = user;
    int status = report->conn != NULL ? cw_websocket_status(report->conn) : 0;

    fprintf(stderr, "%s\n", report->text);
    if (status >= 400 && status < 500) {
        cw_client_stop(feed->loop, feed->client);
    }
}

static const struct cw_hooks hooks = {.on_data = print, .on_error = complain};

int main(int argc, char **argv)
{
    struct feed feed = {.loop = cw_loop_new()};
    const struct cw_websocket_options options = {.on_request = ask, .user = &feed};
    const char *url = argc > 1 ? argv[1] : "ws://127.0.0.1:8080/feed";
    int error = CW_ENOMEM;

    if (feed.loop != NULL) {
        feed.client = cw_websocket_connect(feed.loop, url, &hooks, &options,
                                           &(struct cw_connect_options){.reconnect = true});
        /* Until SIGINT or SIGTERM, or until the client has been stopped. */
        error = feed.client > 0 ? cw_loop_main(feed.loop) : (int)feed.client;
    }
    cw_loop_free(feed.loop);
    return error < 0 ? 1 : 0;
}
