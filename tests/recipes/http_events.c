/* http_events: what comes as a line on one port, every browser that listens on the other is told. */
#include <causeway/causeway.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { READERS_MAX = 1000, LINE_MAX_BYTES = 1000 };

/* Numbers, not pointers: a reader may be on any worker, and go at any time. */
struct feed {
    pthread_mutex_t lock;
    size_t count;
    unsigned last; /* number of the newest event */
    struct cw_http_id readers[READERS_MAX];
};

static void leave(struct cw_http_exchange *http, const struct cw_http_outcome *outcome, void *user)
{
    struct feed *feed = user;
    struct cw_http_id id = cw_http_id(http);

    pthread_mutex_lock(&feed->lock);
    for (size_t i = 0; i < feed->count; i++) {
        if (feed->readers[i].conn == id.conn && feed->readers[i].request == id.request) {
            feed->readers[i] = feed->readers[--feed->count];
            break;
        }
    }
    pthread_mutex_unlock(&feed->lock);
}

static bool enter(struct feed *feed, struct cw_http_id id)
{
    bool room;

    pthread_mutex_lock(&feed->lock);
    room = feed->count < READERS_MAX;
    if (room) {
        feed->readers[feed->count++] = id;
    }
    pthread_mutex_unlock(&feed->lock);
    return room;
}

static void listen_in(struct cw_http_exchange *http, void *user)
{
    if (!enter(user, cw_http_id(http))) {
        cw_http_reply_error(http, 503, "too many listen");
        return;
    }
    cw_http_on_done(http, leave, user);
    cw_http_begin_events(http, NULL);
}

/* cw_http_send_event_to copies, and may be called from any thread. Who reads too slowly is let go. */
static void tell_all(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct feed *feed = user;
    char line[LINE_MAX_BYTES + 1];
    char id[16];

    snprintf(line, sizeof line, "%.*s", (int)msg->body.len, (const char *)msg->body.data);
    pthread_mutex_lock(&feed->lock);
    snprintf(id, sizeof id, "%u", ++feed->last);
    for (size_t i = 0; i < feed->count; i++) {
        cw_http_send_event_to(cw_conn_server(conn), feed->readers[i],
                              &(struct cw_http_event){.data = line, .id = id});
    }
    cw_conn_sendf(conn, "told %zu", feed->count);
    pthread_mutex_unlock(&feed->lock);
}

int main(int argc, char **argv)
{
    static struct feed feed = {.lock = PTHREAD_MUTEX_INITIALIZER};
    static const struct cw_hooks lines = {.on_data = tell_all};
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 8080;
    uint16_t line_port = argc > 2 ? (uint16_t)strtoul(argv[2], NULL, 10) : 7000;
    struct cw_server *server = cw_create_server(&cw_http);

    cw_http_route(server, "GET /feed", listen_in, &feed);
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    cw_server_listen(server,
                     &(struct cw_listen_options){.host = "127.0.0.1",
                                                 .port = line_port,
                                                 .service = cw_service(&cw_line, &lines, &feed)});
    return cw_server_main(server);
}
