/* Hooks that count and remember. */
#include "support/story.h"

void rig_story_on_connection(struct cw_conn *conn, void *user)
{
    struct rig_story *story = user;

    atomic_store(&story->conn_id, cw_conn_id(conn));
    atomic_fetch_add(&story->opened, 1);
}

void rig_story_on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct rig_story *story = user;

    atomic_fetch_add(&story->bytes, msg->body.len);
    atomic_fetch_add(&story->messages, 1);
}

static void on_drain(struct cw_conn *conn, void *user)
{
    struct rig_story *story = user;

    atomic_fetch_add(&story->drained, 1);
}

static int on_idle(struct cw_conn *conn, void *user)
{
    struct rig_story *story = user;

    atomic_fetch_add(&story->idled, 1);
    return 0;
}

void rig_story_on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct rig_story *story = user;

    story->reason = *reason;
    atomic_fetch_add(&story->closed, 1);
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    struct rig_story *story = user;

    story->report = *report;
    story->report.address = NULL;
    story->report_address = report->address ? *report->address : (struct cw_address){0};
    atomic_fetch_add(&story->errors, 1);
}

void rig_echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

/* Without on_end: a peer's end closes, as by default. */
const struct cw_hooks rig_story_hooks = {
    .on_connection = rig_story_on_connection,
    .on_data = rig_story_on_data,
    .on_drain = on_drain,
    .on_idle = on_idle,
    .on_close = rig_story_on_close,
    .on_error = on_error,
};
