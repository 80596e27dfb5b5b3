/* file: sends a file to another machine, in constant memory. */
#include "file.h"

#include <stdio.h>
#include <string.h>

enum { PORT = 7360 };

static const uint64_t size_max_default = (uint64_t)16 << 30;

static int serve(char **argv)
{
    const char *directory = NULL;
    uint64_t size_max = size_max_default;
    const struct option_entry own[] = {
        {.name = "dir",
         .kind = OPTION_TEXT,
         .into = &directory,
         .value = "DIR",
         .about = "put files here"},
        {.name = "max-file-size",
         .kind = OPTION_SIZE,
         .into = &size_max,
         .value = "BYTES",
         .standard = "16G",
         .about = "refuse larger files",
         .most = (uint64_t)1 << 50},
    };
    const struct program program = {.name = "file serve",
                                    .about = "Takes files into a directory.",
                                    .port = PORT,
                                    .own = own,
                                    .own_count = sizeof own / sizeof own[0]};
    struct command_line line;

    switch (command_line_read(&line, &program, argv, stdout, stderr)) {
    case COMMAND_LINE_HELP:
        return 0;
    case COMMAND_LINE_WRONG:
        return 1;
    case COMMAND_LINE_RUN:
        break;
    }
    if (directory == NULL) {
        fprintf(stderr, "file serve: where to put files? --dir DIR says so\n");
        return 1;
    }
    command_line_set_log(&line);
    command_line_set_memory(&line);
    return file_serve(&line, directory, size_max);
}

static int send_file(char **argv)
{
    const char *address = NULL;
    bool sendfile = false;
    const struct option_entry own[] = {
        {.name = "sendfile",
         .kind = OPTION_SWITCH,
         .into = &sendfile,
         .about = "let the kernel move the bytes; the file is read once more for its checksum"},
    };
    const struct program program = {.name = "file send",
                                    .arguments = "[tls://]HOST:PORT PATH",
                                    .about = "Sends a file.",
                                    .own = own,
                                    .own_count = sizeof own / sizeof own[0],
                                    .own_only = true,
                                    .connect = &address};
    const char *path = NULL;
    struct command_line line;

    if (argv[1] != NULL && argv[1][0] != '-') {
        address = *++argv;
    }
    if (address != NULL && argv[1] != NULL && argv[1][0] != '-') {
        path = *++argv;
    }
    switch (command_line_read(&line, &program, argv, stdout, stderr)) {
    case COMMAND_LINE_HELP:
        return 0;
    case COMMAND_LINE_WRONG:
        return 1;
    case COMMAND_LINE_RUN:
        break;
    }
    if (path == NULL) {
        fprintf(stderr,
                "file send: what, and where to? HOST:PORT PATH come first (--help says more)\n");
        return 1;
    }
    return file_send(&(struct file_send_options){address, path, sendfile, line.connect_tls});
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "serve") == 0) {
        return serve(argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "send") == 0) {
        return send_file(argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        printf(
            "Usage: file serve --dir DIR [options]\n       file send [tls://]HOST:PORT PATH [options]\n\n"
            "Each takes --help.\n");
        return 0;
    }
    fprintf(stderr, "file: serve or send? (--help says more)\n");
    return 1;
}
