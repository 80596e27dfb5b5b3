/* positions: where everybody is, sixty times a second, over UDP. */
#include "positions.h"

#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PORT = 7370,
    RATE_MOST = 500,
    HOUR_MS = 3600000,
};

static enum command_line_outcome read_serve_options(struct positions_serve_options *options,
                                                    struct command_line *line, char *const *argv)
{
    const struct option_entry own[] = {
        {.name = "rate",
         .kind = OPTION_COUNT,
         .into = &options->rate,
         .value = "N",
         .standard = "60",
         .about = "snapshots a second",
         .most = RATE_MOST},
        {.name = "forget",
         .kind = OPTION_DURATION,
         .into = &options->forget_ms,
         .value = "TIME",
         .standard = "5s",
         .about = "a player who is silent for so long is gone",
         .most = HOUR_MS},
    };
    const struct program program = {.name = "positions serve",
                                    .about = "Tells every player where all of them are.",
                                    .port = PORT,
                                    .own = own,
                                    .own_count = sizeof own / sizeof own[0],
                                    .datagrams_alone = true};

    return command_line_read(line, &program, argv, stdout, stderr);
}

static int serve(char **argv)
{
    struct positions_serve_options options = {.rate = 60, .forget_ms = 5000};
    struct command_line line;

    switch (read_serve_options(&options, &line, argv)) {
    case COMMAND_LINE_HELP:
        return 0;
    case COMMAND_LINE_WRONG:
        return 1;
    case COMMAND_LINE_RUN:
        break;
    }
    command_line_set_log(&line);
    command_line_set_memory(&line);
    return positions_serve(&line, &options);
}

static enum command_line_outcome read_play_options(struct positions_play_options *options,
                                                   struct command_line *line, char *const *argv)
{
    const struct option_entry own[] = {
        {.name = "name",
         .kind = OPTION_TEXT,
         .into = &options->name,
         .value = "NAME",
         .standard = "the user's",
         .about = "what others see, the first eight letters of it"},
        {.name = "rate",
         .kind = OPTION_COUNT,
         .into = &options->rate,
         .value = "N",
         .standard = "60",
         .about = "updates a second",
         .most = RATE_MOST},
        {.name = "lose",
         .kind = OPTION_COUNT,
         .into = &options->lose,
         .value = "PERCENT",
         .standard = "none",
         .about = "drop so many datagrams, both ways, as a bad network does",
         .most = 99},
        {.name = "for",
         .kind = OPTION_DURATION,
         .into = &options->play_ms,
         .value = "TIME",
         .standard = "until Ctrl-C",
         .about = "end after so long",
         .most = HOUR_MS},
        {.name = "numbers",
         .kind = OPTION_SWITCH,
         .into = &options->numbers,
         .about =
             "a line a second in place of the picture and the keys; so it is without a terminal"},
    };
    const struct program program = {
        .name = "positions play",
        .arguments = "[dtls://]HOST:PORT",
        .about = "Walks about, by itself or by arrow keys, and shows where everybody is; q ends it.",
        .own = own,
        .own_count = sizeof own / sizeof own[0],
        .own_only = true,
        .connect = &options->address};

    return command_line_read(line, &program, argv, stdout, stderr);
}

/* `udp://` may stand in front, or `dtls://`, which the common command line knows as `tls://`. */
static const char *read_address(const char *word)
{
    if (word == NULL || word[0] == '-') {
        return NULL;
    }
    if (strncmp(word, "udp://", 6) == 0) {
        return word + 6;
    }
    return strncmp(word, "dtls://", 7) == 0 ? word + 1 : word;
}

static int play(char **argv)
{
    const char *user = getenv("USER");
    struct positions_play_options options = {
        .name = user == NULL ? "player" : user, .rate = 60, .play_ms = CW_NO_LIMIT};
    struct command_line line;

    options.address = read_address(argv[1]);
    switch (read_play_options(&options, &line, options.address == NULL ? argv : argv + 1)) {
    case COMMAND_LINE_HELP:
        return 0;
    case COMMAND_LINE_WRONG:
        return 1;
    case COMMAND_LINE_RUN:
        break;
    }
    if (options.address == NULL) {
        fprintf(stderr, "positions play: where to? HOST:PORT comes first (--help says more)\n");
        return 1;
    }
    options.tls = line.connect_tls;
    srandom((unsigned)time(NULL) ^ (unsigned)getpid());
    return positions_play(&options);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "serve") == 0) {
        return serve(argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "play") == 0) {
        return play(argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        printf(
            "Usage: positions serve [options]\n       positions play [dtls://]HOST:PORT [options]\n\n"
            "Each takes --help.\n");
        return 0;
    }
    fprintf(stderr, "positions: serve or play? (--help says more)\n");
    return 1;
}
