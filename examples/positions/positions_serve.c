/* Keeps the newest place of each player, and sends all of them to everybody at a steady beat: what is sent does not grow with
 * what comes, and a player who sends too fast gains nothing by it. */
#include "positions.h"
#include "wire.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include <causeway/causeway.h>

static const char room[] = "players";

/* One who has shown that he is where he says. */
struct player {
    uint64_t conn_id; /* 0: the place is free */
    uint64_t heard_ms;
    uint64_t seen; /* of the last 64 updates, a bit each, the newest lowest */
    uint64_t taken;
    uint64_t late; /* older than one that had come, or twice */
    struct wire_player at;
};

/* Players are on any worker, and the beat is on worker 0. */
struct arena {
    struct positions_serve_options options;
    struct cw_server *server;
    struct beat beat;
    uint32_t sequence;
    pthread_mutex_t lock;
    struct player players[WIRE_PLAYERS_MAX];
};

/* ---- newest wins ---- */

static void take(struct player *player, const struct wire_player *update, uint64_t now_ms)
{
    int ahead = wire_ahead(update->sequence, player->at.sequence);

    if (ahead <= 0 && player->taken > 0) {
        player->late++;
        player->seen |= ahead > -64 ? (uint64_t)1 << -ahead : 0;
        return;
    }
    /* Nothing was lost before the first. */
    player->seen = player->taken == 0 ? UINT64_MAX : ahead < 64 ? player->seen << ahead | 1 : 1;
    player->taken++;
    player->heard_ms = now_ms;
    player->at.sequence = update->sequence;
    player->at.x = update->x;
    player->at.y = update->y;
}

/* ---- coming and going ---- */

static void send_token(struct cw_conn *conn)
{
    uint8_t bytes[1 + CW_TOKEN_BYTES] = {'T'};

    if (cw_conn_token(conn, bytes + 1) == CW_OK) {
        cw_conn_send_bytes(conn, bytes,
                           sizeof bytes); /* refused, if that is too much for what has come */
    }
}

static struct player *add(struct arena *arena, const struct cw_conn *conn, const uint8_t *name)
{
    struct player *player = NULL;

    pthread_mutex_lock(&arena->lock);
    for (uint8_t i = 0; i < WIRE_PLAYERS_MAX && player == NULL; i++) {
        if (arena->players[i].conn_id == 0) {
            player = &arena->players[i];
            *player = (struct player){.conn_id = cw_conn_id(conn), .at = {.number = i}};
            memcpy(player->at.name, name, WIRE_NAME_BYTES);
        }
    }
    pthread_mutex_unlock(&arena->lock);
    return player;
}

static void remove_player(struct arena *arena, struct player *player)
{
    pthread_mutex_lock(&arena->lock);
    player->conn_id = 0;
    pthread_mutex_unlock(&arena->lock);
}

static void welcome(struct cw_conn *conn, const struct player *player)
{
    const uint8_t bytes[] = {'W', player->at.number};

    cw_conn_send_bytes(conn, bytes, sizeof bytes);
}

static void join(struct arena *arena, struct cw_conn *conn, struct cw_span body)
{
    struct player *player = add(arena, conn, body.data + 1 + CW_TOKEN_BYTES);

    if (player == NULL || cw_room_join(conn, room) < 0) {
        cw_conn_send_bytes(conn, "F", 1);
        if (player != NULL) {
            remove_player(arena, player);
        }
        return;
    }
    cw_conn_set_user(conn, player);
    welcome(conn, player);
    cw_log(CW_LOG_INFO, cw_conn_id(conn), "%.*s is player %u", WIRE_NAME_BYTES, player->at.name,
           player->at.number);
}

static bool is_join(struct cw_span body)
{
    return body.len == WIRE_JOIN_BYTES && body.data[0] == 'J';
}

/* Whatever a stranger sends is answered by a token: so a player of a server that has been started anew is soon back. */
static void take_stranger(struct arena *arena, struct cw_conn *conn, struct cw_span body)
{
    if (is_join(body) && cw_conn_prove(conn, cw_span_of(body.data + 1, CW_TOKEN_BYTES)) == CW_OK) {
        join(arena, conn, body);
    } else {
        send_token(conn);
    }
}

/* ---- hooks ---- */

/* It is sent snapshots all the time, so it would never be idle; what counts is that it is heard. */
static void on_connection(struct cw_conn *conn, void *user)
{
    const struct arena *arena = user;

    cw_conn_set_read(conn, arena->options.forget_ms);
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct arena *arena = user;
    struct player *player = cw_conn_user(conn);
    struct wire_player update;

    if (player == NULL) {
        take_stranger(arena, conn, msg->body);
    } else if (wire_read_update(msg->body, &update)) {
        pthread_mutex_lock(&arena->lock);
        take(player, &update, cw_loop_now_ms(cw_conn_loop(conn)));
        pthread_mutex_unlock(&arena->lock);
    } else if (is_join(msg->body)) {
        welcome(conn, player); /* the first one was lost */
    }
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct player *player = cw_conn_user(conn);

    if (player != NULL) {
        cw_log(CW_LOG_INFO, cw_conn_id(conn),
               "%.*s has left: %" PRIu64 " updates taken, %" PRIu64 " late: %s", WIRE_NAME_BYTES,
               player->at.name, player->taken, player->late, reason->text);
        remove_player(user, player);
    }
}

/* Its program has ended, says its machine: it need not be waited for. All else is what peers do, and every one can. */
static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    if (report->code == CW_EREFUSED && report->conn != NULL) {
        cw_conn_close_with(report->conn, 0, "its program has ended");
    }
    cw_log(CW_LOG_DEBUG, report->conn_id, "%s", report->text);
}

/* ---- the beat ---- */

static size_t write_snapshot(struct arena *arena, uint8_t *bytes, uint64_t now_ms)
{
    size_t count = 0;

    for (size_t i = 0; i < WIRE_PLAYERS_MAX; i++) {
        struct player *player = &arena->players[i];

        if (player->conn_id != 0 && player->taken > 0) {
            uint64_t age = now_ms > player->heard_ms ? now_ms - player->heard_ms : 0;
            player->at.age_ms = (uint16_t)(age < UINT16_MAX ? age : UINT16_MAX);
            player->at.lost = (uint8_t)__builtin_popcountll(~player->seen);
            wire_write_player(bytes + WIRE_HEAD_BYTES + count++ * WIRE_PLAYER_BYTES, &player->at);
        }
    }
    wire_write_head(bytes, ++arena->sequence, count);
    return WIRE_HEAD_BYTES + count * WIRE_PLAYER_BYTES;
}

/* Made once, sent to all. One that is lost is not missed: the next one says everything again. */
static void send_snapshot(struct cw_loop *loop, void *user)
{
    struct arena *arena = user;
    uint8_t bytes[WIRE_DATAGRAM_MAX_BYTES];
    size_t len;

    pthread_mutex_lock(&arena->lock);
    len = write_snapshot(arena, bytes, cw_loop_now_ms(loop));
    pthread_mutex_unlock(&arena->lock);
    const struct cw_message msg = cw_message_of(bytes, len);
    cw_room_send(arena->server, room, &msg, NULL);
}

static void on_worker_start(struct cw_server *server, struct cw_loop *loop, void *user)
{
    struct arena *arena = user;

    if (cw_loop_worker(loop) == 0 && !beat_start(&arena->beat, loop)) {
        cw_server_stop(server);
    }
}

/* Whoever started this program waits for the line, so it must not stay in a buffer. */
static void on_listening(struct cw_server *server, const struct cw_address *address,
                         const char *text, void *user)
{
    printf("listening on %s\n", text);
    fflush(stdout);
}

static const struct cw_hooks hooks = {.on_connection = on_connection,
                                      .on_data = on_data,
                                      .on_close = on_close,
                                      .on_error = on_error,
                                      .on_worker_start = on_worker_start,
                                      .on_listening = on_listening};

int positions_serve(const struct command_line *line, const struct positions_serve_options *options)
{
    static struct arena arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

    arena.options = *options;
    arena.server = cw_create_server(&cw_udp);
    arena.beat = (struct beat){.rate = options->rate, .fn = send_snapshot, .user = &arena};
    cw_server_set_hooks(arena.server, &hooks, &arena);
    cw_udp_configure(arena.server,
                     &(struct cw_udp_options){.datagram_max_bytes = WIRE_DATAGRAM_MAX_BYTES});
    command_line_set_up(arena.server, line, NULL, 0);
    return cw_server_main(arena.server);
}
