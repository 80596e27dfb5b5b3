#include "chat_lines.h"

#include <errno.h>
#include <unistd.h>

static void end_line(struct lines *lines, line_fn fn, void *user)
{
    lines->text[lines->len] = '\0';
    fn(lines->too_long ? NULL : lines->text, user);
    lines->len = 0;
    lines->too_long = false;
}

static void take(struct lines *lines, char byte)
{
    if (lines->len == LINE_MAX_BYTES) {
        lines->too_long = true;
    } else {
        lines->text[lines->len++] = byte;
    }
}

bool lines_read(struct lines *lines, int fd, line_fn fn, void *user)
{
    char bytes[4096];
    ssize_t len = read(fd, bytes, sizeof bytes);

    if (len < 0) {
        return errno == EINTR || errno == EAGAIN;
    }
    for (ssize_t i = 0; i < len; i++) {
        if (bytes[i] == '\n') {
            end_line(lines, fn, user);
        } else {
            take(lines, bytes[i]);
        }
    }
    if (len == 0 && lines->len > 0) {
        end_line(lines, fn, user);
    }
    return len > 0;
}
