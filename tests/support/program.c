/* The example programs as they were built. */
#include "support/program.h"

#include "support/wait.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 24, PATH_CAP = 512 };

typedef void (*start_fn)(struct rig_child *child, const char *path, char *const *arguments);

static bool start(struct rig_child *child, const char *name, const char *const *arguments,
                  start_fn fn)
{
    const char *folder = getenv("CW_PROGRAMS");
    char path[PATH_CAP];
    char *argv[ARGUMENTS_MAX + 2] = {path};

    snprintf(path, sizeof path, "%s/examples/%s/%s", folder != NULL ? folder : CW_BUILD_DIR, name,
             name);
    if (access(path, X_OK) != 0) {
        return false;
    }
    for (size_t i = 0; arguments[i] != NULL; i++) {
        rig_check(i < ARGUMENTS_MAX);
        argv[i + 1] = (char *)(uintptr_t)arguments[i];
    }
    fn(child, path, argv);
    return true;
}

bool rig_program_start(struct rig_child *child, const char *name, const char *const *arguments)
{
    return start(child, name, arguments, rig_child_start);
}

bool rig_program_start_fed(struct rig_child *child, const char *name, const char *const *arguments)
{
    return start(child, name, arguments, rig_child_start_fed);
}

uint16_t rig_program_port(struct rig_child *child)
{
    return rig_program_port_of(child, "tcp");
}

uint16_t rig_program_port_of(struct rig_child *child, const char *scheme)
{
    char line[48];
    const char *at;
    unsigned port;

    snprintf(line, sizeof line, "listening on %s://127.0.0.1:", scheme);
    rig_child_await_text(child, line);
    at = strstr(child->text, line);
    rig_check(at != NULL);
    rig_check(sscanf(at + strlen(line), "%u", &port) == 1);
    return (uint16_t)port;
}

void rig_program_forget(struct rig_child *child)
{
    child->len = 0;
    child->text[0] = '\0';
}

void rig_program_end(struct rig_child *child)
{
    rig_child_signal(child, SIGTERM);
    rig_program_expect_status(child, 0);
}

void rig_program_expect_status(struct rig_child *child, int status)
{
    int found = rig_child_join(child);

    if (found != status) {
        rig_fail(__FILE__, __LINE__, "exit status %d instead of %d: %s", found, status, child->text);
    }
}

int rig_listen(uint16_t *port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof here;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    rig_check(fd >= 0);
    rig_check(bind(fd, (const struct sockaddr *)&here, len) == 0);
    rig_check(listen(fd, 16) == 0);
    rig_check(getsockname(fd, (struct sockaddr *)&here, &len) == 0);
    *port = ntohs(here.sin_port);
    return fd;
}

struct rig_peer rig_accept(int listener)
{
    struct pollfd poll_fd = {.fd = listener, .events = POLLIN};
    struct rig_peer peer;

    if (poll(&poll_fd, 1, RIG_DEADLINE_MS) <= 0) {
        rig_fail(__FILE__, __LINE__, "nobody connects");
    }
    peer.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    rig_check(peer.fd >= 0);
    return peer;
}
