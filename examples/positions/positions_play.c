/* Walks about, as it likes or as the arrow keys say, says where it is, and shows where everybody is. Nothing is sent again but the words at the door: the next
 * update and the next snapshot are better than the last ones. */
#include "positions.h"
#include "screen.h"
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <causeway/causeway.h>

enum {
    KNOCKS_PER_SECOND = 4,
    PICTURES_PER_SECOND = 10,
    SILENCE_MAX_MS = 2000, /* the server has forgotten us, or is gone */
    REMEMBERED = 256,      /* updates */
};

struct game {
    struct positions_play_options options;
    struct cw_loop *loop;
    int64_t client; /* of cw_connect */
    struct beat beat;
    struct beat picture;
    struct wire_player me;
    int step_x;
    int step_y;
    bool has_token;
    uint8_t token[CW_TOKEN_BYTES];
    uint64_t sent_ms[REMEMBERED]; /* by sequence */
    bool has_snapshot;
    uint32_t newest; /* sequence of the snapshot that counts */
    uint64_t heard_ms;
    uint64_t beats;
    struct wire_player players[WIRE_PLAYERS_MAX]; /* as in the newest */
    struct screen screen;
    bool has_played;
};

/* ---- out ---- */

static bool is_unlucky(const struct game *game)
{
    return (uint64_t)(random() % 100) < game->options.lose;
}

static void send_out(struct game *game, const void *bytes, size_t len)
{
    struct cw_conn *conn = cw_client_conn(game->loop, game->client);

    if (conn != NULL && !is_unlucky(game)) {
        cw_conn_send_bytes(conn, bytes, len);
    }
}

static void knock(struct game *game)
{
    static const uint8_t hello[WIRE_HELLO_BYTES] = {'H'};
    uint8_t join[WIRE_JOIN_BYTES] = {'J'};

    if (!game->has_token) {
        send_out(game, hello, sizeof hello);
        return;
    }
    memcpy(join + 1, game->token, CW_TOKEN_BYTES);
    memcpy(join + 1 + CW_TOKEN_BYTES, game->me.name, WIRE_NAME_BYTES);
    send_out(game, join, sizeof join);
}

/* Straight on, and back from the walls. */
static void walk(struct game *game)
{
    int x = game->me.x + game->step_x;
    int y = game->me.y + game->step_y;

    if (x < 0 || x >= WORLD_WIDTH) {
        game->step_x = -game->step_x;
        x = game->me.x;
    }
    if (y < 0 || y >= WORLD_HEIGHT) {
        game->step_y = -game->step_y;
        y = game->me.y;
    }
    game->me.x = (uint16_t)x;
    game->me.y = (uint16_t)y;
}

static void send_update(struct game *game)
{
    uint8_t bytes[WIRE_UPDATE_BYTES];

    walk(game);
    game->me.sequence++;
    game->sent_ms[game->me.sequence % REMEMBERED] = cw_loop_now_ms(game->loop);
    wire_write_update(bytes, &game->me);
    send_out(game, bytes, sizeof bytes);
}

static void on_beat(struct cw_loop *loop, void *user)
{
    struct game *game = user;

    if (game->screen.number >= 0 && cw_loop_now_ms(loop) - game->heard_ms > SILENCE_MAX_MS) {
        game->screen.number = -1;
        game->has_token = false; /* of another server, or too old */
    }
    if (game->screen.number >= 0) {
        send_update(game);
    } else if (game->beats++ % (game->options.rate / KNOCKS_PER_SECOND + 1) == 0) {
        knock(game);
    }
}

/* ---- in ---- */

static void measure(struct game *game, const struct wire_player *own, uint64_t now_ms)
{
    int behind = wire_ahead(game->me.sequence, own->sequence);

    if (behind >= 0 && behind < REMEMBERED) {
        game->screen.round_trip_ms = now_ms - game->sent_ms[own->sequence % REMEMBERED];
    }
}

/* Newest wins: one that was overtaken says nothing that is not known better. */
static void take_snapshot(struct game *game, struct cw_span body)
{
    struct wire_player players[WIRE_PLAYERS_MAX];
    struct screen *screen = &game->screen;
    uint32_t sequence;
    size_t count;

    if (screen->number < 0 || !wire_read_snapshot(body, &sequence, players, &count)) {
        return;
    }
    int32_t ahead = game->has_snapshot ? (int32_t)(sequence - game->newest) : 1;
    if (ahead <= 0) {
        screen->late++;
        return;
    }
    screen->lost += (uint64_t)ahead - 1;
    screen->taken++;
    screen->count = count;
    memcpy(game->players, players, count * sizeof players[0]);
    game->newest = sequence;
    game->has_snapshot = true;
    game->heard_ms = cw_loop_now_ms(game->loop);
    for (size_t i = 0; i < count; i++) {
        if (players[i].number == screen->number) {
            measure(game, &players[i], game->heard_ms);
        }
    }
}

static void take_token(struct game *game, struct cw_span body)
{
    memcpy(game->token, body.data + 1, CW_TOKEN_BYTES);
    game->has_token = true;
    game->screen.number = -1;
    knock(game);
}

static void enter(struct game *game, uint8_t number)
{
    if (game->screen.number < 0) {
        game->screen.number = number;
        game->has_snapshot = false;
        game->has_played = true;
        game->heard_ms = cw_loop_now_ms(game->loop);
    }
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct game *game = user;
    const struct cw_span body = msg->body;

    if (body.len == 0 || is_unlucky(game)) {
        return;
    }
    if (body.data[0] == 'S') {
        take_snapshot(game, body);
    } else if (body.data[0] == 'T' && body.len == 1 + CW_TOKEN_BYTES) {
        take_token(game, body);
    } else if (body.data[0] == 'W' && body.len == 2) {
        enter(game, body.data[1]);
    } else if (body.data[0] == 'F') {
        fprintf(stderr, "positions: the server is full\n");
        cw_loop_stop(game->loop);
    }
}

/* Tried again: a game goes on when its server comes back. */
static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    fprintf(stderr, "positions: %s\n", report->text);
}

static const struct cw_hooks hooks = {.on_data = on_data, .on_error = on_error};

/* ---- the program ---- */

static void on_picture(struct cw_loop *loop, void *user)
{
    struct game *game = user;

    game->screen.silent_ms = game->has_played ? cw_loop_now_ms(loop) - game->heard_ms : 0;
    (game->options.numbers ? screen_print : screen_draw)(&game->screen, stdout);
}

static void on_end(struct cw_loop *loop, void *user)
{
    cw_loop_stop(loop);
}

static void turn(struct game *game, int step_x, int step_y)
{
    game->step_x = step_x;
    game->step_y = step_y;
}

static void on_key(struct cw_loop *loop, int fd, unsigned events, void *user)
{
    struct game *game = user;

    switch (screen_key()) {
    case 'u':
        turn(game, 0, -1);
        break;
    case 'd':
        turn(game, 0, 1);
        break;
    case 'l':
        turn(game, -3, 0);
        break;
    case 'r':
        turn(game, 3, 0);
        break;
    case 'q':
        cw_loop_stop(loop);
        break;
    }
}

static bool start(struct game *game)
{
    const struct cw_connect_options connect = {
        .reconnect = true, .reconnect_max_ms = 1000, .tls = game->options.tls};
    bool endless = game->options.play_ms == CW_NO_LIMIT;

    if (game->loop == NULL || !beat_start(&game->beat, game->loop) ||
        !beat_start(&game->picture, game->loop) ||
        (!game->options.numbers &&
         cw_loop_watch(game->loop, STDIN_FILENO, CW_READABLE, on_key, game) == NULL) ||
        (!endless && cw_timer_start(game->loop, game->options.play_ms, 0, on_end, NULL) == NULL)) {
        fprintf(stderr, "positions: %s\n", cw_strerror(CW_ENOMEM));
        return false;
    }
    game->client =
        cw_connect(game->loop, cw_service(&cw_udp, &hooks, game), game->options.address, &connect);
    return game->client > 0; /* else it has been logged */
}

int positions_play(const struct positions_play_options *options)
{
    struct game game = {.options = *options,
                        .loop = cw_loop_new(),
                        .step_x = 3,
                        .step_y = 1,
                        .screen = {.number = -1, .address = options->address}};

    game.options.numbers = options->numbers || !screen_open();
    game.beat = (struct beat){.rate = options->rate, .fn = on_beat, .user = &game};
    game.picture = (struct beat){
        .rate = game.options.numbers ? 1 : PICTURES_PER_SECOND, .fn = on_picture, .user = &game};
    game.screen.players = game.players;
    game.me.x = (uint16_t)(random() % WORLD_WIDTH);
    game.me.y = (uint16_t)(random() % WORLD_HEIGHT);
    memcpy(game.me.name, options->name, strnlen(options->name, WIRE_NAME_BYTES));
    if (start(&game)) {
        cw_loop_main(game.loop);
    }
    if (!game.options.numbers) {
        screen_close();
    }
    screen_print(&game.screen, stdout);
    cw_loop_free(game.loop);
    return game.has_played ? 0 : 1;
}
