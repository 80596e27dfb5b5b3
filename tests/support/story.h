#ifndef CAUSEWAY_TESTS_STORY_H
#define CAUSEWAY_TESTS_STORY_H

/* What a server's hooks have told, for the test's thread to read. A story is the `user` of the service.
 *
 * A test copies rig_story_hooks, puts its own hooks in place of some, and may call the story's from them. Texts and
 * numbers beside a counter are written before the counter grows, so whoever has seen the counter may read them. */

#include <causeway/server.h>

#include <stdatomic.h>

struct rig_story {
    atomic_uint opened;
    atomic_uint messages;
    atomic_uint drained;
    atomic_uint ended;
    atomic_uint idled;
    atomic_uint closed;
    atomic_uint errors;
    atomic_size_t bytes;           /* of messages */
    atomic_uint_least64_t conn_id; /* the last one opened */
    struct cw_close_reason reason; /* of the last one closed */
    struct cw_error_report report; /* the last error; `conn` is not to be followed, `address` not set */
    struct cw_address report_address;
    atomic_int answer; /* whatever a test's own hook has to tell */
};

extern const struct cw_hooks rig_story_hooks;

void rig_story_on_connection(struct cw_conn *conn, void *user);
void rig_story_on_data(struct cw_conn *conn, const struct cw_message *msg, void *user);
void rig_story_on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user);

/* A hook on_data that sends every message back. */
void rig_echo(struct cw_conn *conn, const struct cw_message *msg, void *user);

#endif
