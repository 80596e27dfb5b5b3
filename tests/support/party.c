/* Connections that meet in rooms. */
#include "support/party.h"

#include "support/wait.h"

#include <causeway/framed.h>
#include <string.h>

void rig_party_begin(struct rig_party *party, struct cw_server *server, const struct cw_hooks *hooks)
{
    memset(party, 0, sizeof *party);
    party->server = server;
    party->host = rig_host_start(server, hooks ? hooks : &rig_story_hooks, &party->story);
}

void rig_party_begin_framed(struct rig_party *party, const struct cw_server_options *options)
{
    rig_party_begin(party, rig_server(&cw_framed, options), NULL);
}

void rig_party_end(struct rig_party *party)
{
    for (size_t i = 0; i < party->stranger_count; i++) {
        rig_peer_close(&party->strangers[i]);
    }
    rig_host_end(party->host);
}

static int worker_of(uint64_t id)
{
    return (int)(id >> 24 & 0xff);
}

struct rig_member rig_party_meet(struct rig_party *party, struct rig_peer peer, unsigned before)
{
    rig_await(atomic_load(&party->story.opened) > before);
    return (struct rig_member){peer, atomic_load(&party->story.conn_id)};
}

struct rig_member rig_party_enter(struct rig_party *party, unsigned listener, int worker)
{
    for (;;) {
        unsigned before = atomic_load(&party->story.opened);
        struct rig_peer peer = rig_peer_tcp(rig_host_port(party->host, listener));
        struct rig_member member = rig_party_meet(party, peer, before);

        if (worker == RIG_ANY_WORKER || worker_of(member.id) == worker) {
            return member;
        }
        rig_check(party->stranger_count < RIG_STRANGERS_MAX);
        party->strangers[party->stranger_count++] = member.peer;
    }
}

/* What is asked of a loop's thread. */
struct wish {
    const char *room;
    const char *presence; /* NULL: none */
    int answer;
};

static void do_join(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct wish *wish = arg;

    rig_check(conn);
    wish->answer = wish->presence ? cw_room_join_as(conn, wish->room, cw_span_text(wish->presence))
                                  : cw_room_join(conn, wish->room);
}

static void do_leave(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct wish *wish = arg;

    rig_check(conn);
    wish->answer = cw_room_leave(conn, wish->room);
}

int rig_party_join_as(struct rig_party *party, uint64_t id, const char *room, const char *presence)
{
    struct wish wish = {.room = room, .presence = presence};

    rig_host_run(party->host, id, do_join, &wish);
    return wish.answer;
}

int rig_party_join(struct rig_party *party, uint64_t id, const char *room)
{
    return rig_party_join_as(party, id, room, NULL);
}

int rig_party_leave(struct rig_party *party, uint64_t id, const char *room)
{
    struct wish wish = {.room = room};

    rig_host_run(party->host, id, do_leave, &wish);
    return wish.answer;
}

struct rig_member rig_party_enter_room(struct rig_party *party, const char *room, int worker)
{
    struct rig_member member = rig_party_enter(party, 0, worker);

    rig_check(rig_party_join(party, member.id, room) == CW_OK);
    return member;
}

int rig_party_send(struct rig_party *party, const char *room, const char *text)
{
    struct cw_message msg = cw_message_text(text);

    return cw_room_send(party->server, room, &msg, NULL);
}

void rig_member_expect(struct rig_member *member, const char *text)
{
    char got[2048];
    size_t len = rig_peer_receive_frame(&member->peer, got, sizeof got);

    if (!cw_span_equal(cw_span_of(got, len), cw_span_text(text))) {
        rig_fail(__FILE__, __LINE__, "got '%.*s', not '%s'", (int)len, got, text);
    }
}

struct cw_room_stats rig_party_stats(struct rig_party *party, const char *room)
{
    struct cw_room_stats stats;

    rig_check(cw_room_stats(party->server, room, &stats) == CW_OK);
    return stats;
}

void rig_party_expect_stats(struct rig_party *party, const char *room, struct cw_room_stats wanted)
{
    struct cw_room_stats stats = {0};
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS / 4;

    while (cw_room_stats(party->server, room, &stats) == CW_OK &&
           memcmp(&stats, &wanted, sizeof stats) != 0 && rig_rest(deadline)) {}
    if (memcmp(&stats, &wanted, sizeof stats) != 0) {
        rig_fail(__FILE__, __LINE__,
                 "room %s: sent %d, delivered %d, dropped_slow %d, dropped_kind %d, closed_slow %d",
                 room, (int)stats.sent, (int)stats.delivered, (int)stats.dropped_slow,
                 (int)stats.dropped_kind, (int)stats.closed_slow);
    }
}
