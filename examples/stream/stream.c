/* stream: packets of audio and video that are acknowledged one by one. */
#include "stream.h"

#include <stdio.h>
#include <string.h>

enum {
    PORT = 7350,
    PACKETS_MOST = 10000000,
    BYTES_MOST = 16777216,
    WINDOW_MOST = 32768, /* half of the sequence numbers */
};

static int serve(char **argv)
{
    const struct program program = {
        .name = "stream serve", .about = "Takes packets and acknowledges each.", .port = PORT};
    struct command_line line;

    switch (command_line_read(&line, &program, argv, stdout, stderr)) {
    case COMMAND_LINE_HELP:
        return 0;
    case COMMAND_LINE_WRONG:
        return 1;
    case COMMAND_LINE_RUN:
        break;
    }
    command_line_set_log(&line);
    command_line_set_memory(&line);
    return stream_serve(&line);
}

static enum command_line_outcome read_send_options(struct stream_send_options *options,
                                                   struct command_line *line, char *const *argv)
{
    const struct option_entry own[] = {
        {.name = "packets",
         .kind = OPTION_COUNT,
         .into = &options->packets,
         .value = "N",
         .standard = "1000",
         .about = "how many, audio and video in turn",
         .most = PACKETS_MOST},
        {.name = "rate",
         .kind = OPTION_COUNT,
         .into = &options->rate,
         .value = "N|unlimited",
         .standard = "unlimited",
         .about = "packets a second",
         .most = 1000000,
         .word = "unlimited",
         .word_means = CW_NO_LIMIT},
        {.name = "window",
         .kind = OPTION_COUNT,
         .into = &options->window,
         .value = "N",
         .standard = "64",
         .about = "packets that may wait for their acknowledgement",
         .most = WINDOW_MOST},
        {.name = "audio-bytes",
         .kind = OPTION_SIZE,
         .into = &options->audio_bytes,
         .value = "BYTES",
         .standard = "320 bytes",
         .about = "payload of an audio packet",
         .most = BYTES_MOST},
        {.name = "video-bytes",
         .kind = OPTION_SIZE,
         .into = &options->video_bytes,
         .value = "BYTES",
         .standard = "8000 bytes",
         .about = "payload of a video packet",
         .most = BYTES_MOST},
        {.name = "patience",
         .kind = OPTION_DURATION,
         .into = &options->patience_ms,
         .value = "TIME",
         .standard = "5s",
         .about = "without an acknowledgement the rest is lost",
         .most = 3600000},
    };
    const struct program program = {.name = "stream send",
                                    .arguments = "[tls://]HOST:PORT",
                                    .about = "Sends packets and tells what became of them.",
                                    .own = own,
                                    .own_count = sizeof own / sizeof own[0],
                                    .own_only = true,
                                    .connect = &options->address};

    return command_line_read(line, &program, argv, stdout, stderr);
}

static int send_packets(char **argv)
{
    struct stream_send_options options = {.packets = 1000,
                                          .rate = CW_NO_LIMIT,
                                          .window = 64,
                                          .audio_bytes = 320,
                                          .video_bytes = 8000,
                                          .patience_ms = 5000};
    struct command_line line;

    options.address = argv[1] != NULL && argv[1][0] != '-' ? argv[1] : NULL;
    switch (read_send_options(&options, &line, options.address == NULL ? argv : argv + 1)) {
    case COMMAND_LINE_HELP:
        return 0;
    case COMMAND_LINE_WRONG:
        return 1;
    case COMMAND_LINE_RUN:
        break;
    }
    if (options.address == NULL) {
        fprintf(stderr, "stream send: where to? HOST:PORT comes first (--help says more)\n");
        return 1;
    }
    options.tls = line.connect_tls;
    return stream_send(&options);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "serve") == 0) {
        return serve(argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "send") == 0) {
        return send_packets(argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        printf("Usage: stream serve [options]\n       stream send [tls://]HOST:PORT [options]\n\n"
               "Each takes --help.\n");
        return 0;
    }
    fprintf(stderr, "stream: serve or send? (--help says more)\n");
    return 1;
}
