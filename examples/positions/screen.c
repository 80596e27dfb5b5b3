#include "screen.h"

#include <inttypes.h>
#include <termios.h>
#include <unistd.h>

enum { COLUMNS = 64, ROWS = 20 };

static struct termios before; /* as the terminal was */

bool screen_open(void)
{
    struct termios quiet;

    if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &before) < 0) {
        return false;
    }
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* Ctrl-C is still a signal */
    quiet.c_cc[VMIN] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
    fputs("\033[2J\033[?25l", stdout);
    return true;
}

void screen_close(void)
{
    fputs("\033[?25h", stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

char screen_key(void)
{
    static const char arrows[] = "udrl"; /* ESC [ A to D */
    char typed[16];
    ssize_t len = read(STDIN_FILENO, typed, sizeof typed);

    if (len >= 3 && typed[0] == '\033' && typed[2] >= 'A' && typed[2] <= 'D') {
        return arrows[typed[2] - 'A'];
    }
    return len < 0 || (len >= 1 && typed[0] == 'q') ? 'q' : '\0'; /* or the terminal is gone */
}

/* The name as a terminal may have it. */
static const char *print_name(const struct wire_player *player, char text[WIRE_NAME_BYTES + 1])
{
    memcpy(text, player->name, WIRE_NAME_BYTES);
    text[WIRE_NAME_BYTES] = '\0';
    for (char *at = text; *at != '\0'; at++) {
        *at = *at > ' ' && *at < 127 ? *at : '?';
    }
    return text[0] == '\0' ? "nobody" : text;
}

static void print_totals(const struct screen *screen, FILE *out)
{
    if (screen->number < 0) {
        fprintf(out, "%s: not in the room yet", screen->address);
    } else {
        fprintf(out,
                "%zu here; snapshots %" PRIu64 ", lost %" PRIu64 ", late %" PRIu64
                "; there and back %" PRIu64 " ms, silent %" PRIu64 " ms",
                screen->count, screen->taken, screen->lost, screen->late, screen->round_trip_ms,
                screen->silent_ms);
    }
}

/* How old a place is: since the server got it, and half the way there and back. */
static unsigned age_ms(const struct screen *screen, const struct wire_player *player)
{
    return (unsigned)(player->age_ms + screen->round_trip_ms / 2);
}

void screen_print(const struct screen *screen, FILE *out)
{
    char name[WIRE_NAME_BYTES + 1];

    print_totals(screen, out);
    for (size_t i = 0; i < screen->count; i++) {
        const struct wire_player *player = &screen->players[i];
        fprintf(out, "; %s %u,%u %u ms old, lost %u of 64", print_name(player, name), player->x,
                player->y, age_ms(screen, player), player->lost);
    }
    fputc('\n', out);
    fflush(out);
}

static void draw_world(const struct screen *screen, FILE *out)
{
    char world[ROWS][COLUMNS + 1];
    char name[WIRE_NAME_BYTES + 1];

    memset(world, ' ', sizeof world);
    for (size_t i = 0; i < screen->count; i++) {
        const struct wire_player *player = &screen->players[i];
        if (player->x < WORLD_WIDTH && player->y < WORLD_HEIGHT) {
            world[player->y * ROWS / WORLD_HEIGHT][player->x * COLUMNS / WORLD_WIDTH] =
                print_name(player, name)[0];
        }
    }
    for (size_t row = 0; row < ROWS; row++) {
        world[row][COLUMNS] = '\0';
        fprintf(out, "|%s|\033[K\n", world[row]);
    }
}

void screen_draw(const struct screen *screen, FILE *out)
{
    char name[WIRE_NAME_BYTES + 1];

    fputs("\033[H", out);
    draw_world(screen, out);
    print_totals(screen, out);
    fputs("\033[K\n", out);
    for (size_t i = 0; i < screen->count; i++) {
        const struct wire_player *player = &screen->players[i];
        fprintf(out, "%s%-8s %4u,%-4u %5u ms old   lost %2u of 64\033[K\n",
                player->number == screen->number ? "* " : "  ", print_name(player, name), player->x,
                player->y, age_ms(screen, player), player->lost);
    }
    fputs("\033[J", out); /* what the last picture had more */
    fflush(out);
}
