#ifndef CAUSEWAY_TESTS_CLIENT_STORY_H
#define CAUSEWAY_TESTS_CLIENT_STORY_H

/* Clients of datagrams on a loop that runs on the test's own thread, and what their hooks have told.
 *
 * ```c
 * struct rig_client client;
 * rig_client_begin(&client, NULL);
 * client.then = rig_client_close_at_answer;
 * rig_client_connect(&client, rig_at("127.0.0.1", port), NULL);
 * rig_client_finish(&client);
 * cr_expect_eq(client.messages, 1);
 * ``` */

#include "support/udp_peer.h"
#include "support/wait.h"

#include <causeway/client.h>
#include <causeway/udp.h>

enum { RIG_LAST_MAX = 64 };

struct rig_client {
    struct cw_loop *loop;
    int64_t id;
    struct cw_conn *conn; /* open now */
    unsigned opened;
    unsigned messages;
    unsigned closed;
    unsigned failed;
    size_t bytes; /* of messages */
    size_t last_len;
    char last[RIG_LAST_MAX]; /* beginning of the last one; a C string */
    bool inside;             /* of a call that must not call hooks */
    struct cw_address peer;
    void *conn_user;
    struct cw_close_reason reason;
    struct cw_error_report report; /* the last one; `conn` is not to be followed */
    struct cw_address address;     /* of the report */
    unsigned idled;
    unsigned kept;    /* times on_idle keeps it */
    unsigned greeted; /* connections */
    unsigned wanted;  /* whatever the test's `then` needs */
    uint16_t port;
    void (*then)(struct rig_client *client); /* after each of them */
};

extern const struct cw_hooks rig_client_hooks; /* their `user` is a client */

/* On a loop of its own, or on that of another. */
void rig_client_begin(struct rig_client *client, struct rig_client *other);

/* Over udp. NULL: the defaults. */
void rig_client_connect(struct rig_client *client, const char *address,
                        const struct cw_connect_options *options);

/* The same with options of udp. */
void rig_client_connect_udp(struct rig_client *client, const char *address,
                            const struct cw_udp_options *udp,
                            const struct cw_connect_options *options);

/* A client, and a plain peer at that address who has heard its hello and knows where it came from. */
void rig_client_meet(const char *host, struct rig_client *client, struct rig_udp *peer,
                     const struct cw_udp_options *udp, const struct cw_connect_options *options);

/* Runs until nothing is left on the loop, and frees it. */
void rig_client_finish(struct rig_client *client);

/* Stops it, and the same. */
void rig_client_end(struct rig_client *client);

/* Of its loop. */
struct cw_datagram_stats rig_client_stats(const struct rig_client *client);

/* `host:port`; good until the next call. */
const char *rig_at(const char *host, uint16_t port);

/* Sends a text; the test fails when that is refused. */
void rig_client_say(struct rig_client *client, const char *text);

/* One turn of the loop, without waiting: what has been sent leaves. */
void rig_client_flush(struct rig_client *client);

/* The same and a moment's rest; false when the deadline has passed. */
bool rig_client_turn(struct rig_client *client, uint64_t deadline_ms);

/* Runs turns until the condition holds. */
#define rig_client_until(client, condition)                                                        \
    do {                                                                                           \
        uint64_t rig_deadline = rig_now_ms() + RIG_DEADLINE_MS;                                    \
        while (!(condition)) {                                                                     \
            if (!rig_client_turn(client, rig_deadline)) {                                          \
                rig_fail(__FILE__, __LINE__, "waited in vain for: %s", #condition);                \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/* Some for `then`. */
void rig_client_greet(struct rig_client *client);           /* says hello once in each connection */
void rig_client_close_at_answer(struct rig_client *client); /* … and closes when something comes */
void rig_client_close_at_once(struct rig_client *client);

#endif
