/* Goes through the cases of a fuzzing server of Autobahn: websocket_walk URL AGENT. tools/autobahn runs it. */
#include <causeway/causeway.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct walk {
    struct cw_loop *loop;
    const char *url;
    const char *agent;
    struct cw_websocket_options options;
    struct cw_hooks hooks;
    unsigned long count; /* of cases; 0: not yet known */
    unsigned long at;    /* the case under way, from 1; behind the last: the report */
    bool open;
    bool failed;
};

static void dial(struct walk *walk, const char *path)
{
    char url[512];

    snprintf(url, sizeof url, "%s%s", walk->url, path);
    walk->failed |= cw_websocket_connect(walk->loop, url, &walk->hooks, &walk->options, NULL) < 0;
}

static void go_on(struct walk *walk)
{
    char path[128];

    if (walk->count == 0 || ++walk->at > walk->count + 1) {
        return; /* nothing is left to wait for: the loop ends */
    }
    if (walk->at <= walk->count) {
        snprintf(path, sizeof path, "/runCase?case=%lu&agent=%s", walk->at, walk->agent);
    } else {
        snprintf(path, sizeof path, "/updateReports?agent=%s", walk->agent);
    }
    dial(walk, path);
}

static void opened(struct cw_conn *conn, void *user)
{
    struct walk *walk = user;

    walk->open = true;
}

static void answer(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct walk *walk = user;
    uint64_t count;

    if (walk->at > 0) {
        cw_conn_send(conn, msg);
    } else if (cw_span_to_u64(msg->body, 100000, &count) == 0) {
        walk->count = (unsigned long)count;
    }
}

static void closed(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct walk *walk = user;

    walk->open = false;
    go_on(walk);
}

/* What the suite does wrong on purpose is told here too, of open connections. */
static void attempt_failed(struct cw_server *server, const struct cw_error_report *report,
                           void *user)
{
    struct walk *walk = user;

    if (!walk->open) {
        fprintf(stderr, "case %lu: %s\n", walk->at, report->text);
        walk->failed = true;
        go_on(walk);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s URL AGENT\n", argv[0]);
        return 2;
    }

    bool contexts = strcmp(argv[2], "causeway-contexts") == 0;
    struct walk walk = {
        .loop = cw_loop_new(),
        .url = argv[1],
        .agent = argv[2],
        .options = {.message_max_bytes = 64 << 20,
                    .compress = true,
                    .deflate = {.above_bytes = contexts ? 1 : 0,
                                .keep_context = contexts,
                                .keep_peer_context = contexts}},
        .hooks = {.on_connection = opened,
                  .on_data = answer,
                  .on_close = closed,
                  .on_error = attempt_failed},
    };

    walk.options.user = &walk;
    dial(&walk, "/getCaseCount");
    int error = cw_loop_main(walk.loop);
    cw_loop_free(walk.loop);
    printf("%lu cases\n", walk.count);
    return error < 0 || walk.failed || walk.count == 0 || walk.at <= walk.count;
}
