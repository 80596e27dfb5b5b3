/* Two network namespaces with lines between them. */
#include "support/nets.h"

#include "support/secure.h"
#include "support/wait.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int nets[2]; /* near, far */

static void enter(unsigned net)
{
    rig_check(setns(nets[net], CLONE_NEWNET) == 0);
}

void rig_nets_enter_near(void)
{
    enter(0);
}

void rig_nets_enter_far(void)
{
    enter(1);
}

/* Words for the command ip, with a space between them. */
static bool ip(const char *text)
{
    char copy[200];
    const char *words[24] = {"ip"};
    struct rig_child child = {0};
    size_t count = 1;

    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok(copy, " "); word && count < 23; word = strtok(NULL, " ")) {
        words[count++] = word;
    }
    return rig_run_words(&child, words) == 0;
}

static bool make_line(unsigned line)
{
    char text[200];

    enter(0);
    snprintf(text, sizeof text, "link add line%u type veth peer name line%u netns /proc/%d/fd/%d",
             line, line, (int)getpid(), nets[1]);
    return ip(text);
}

static bool raise_line(unsigned net, unsigned line)
{
    char text[200];

    enter(net);
    snprintf(text, sizeof text, "addr add 10.7%u.0.%u/24 dev line%u", 7 + line, net + 1, line);
    if (!ip(text)) {
        return false;
    }
    /* Without the seconds that it takes to see whether somebody has this address already. A machine without IPv6 has none. */
    snprintf(text, sizeof text, "-6 addr add fd7%u::%u/64 dev line%u nodad", 7 + line, net + 1,
             line);
    (void)ip(text);
    snprintf(text, sizeof text, "link set line%u up", line);
    return ip(text);
}

/* IPv6 needs a moment to see that a line is up. */
static bool carries_ipv6(unsigned line)
{
    struct sockaddr_in6 all = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    char name[16];
    bool carries;
    int fd;

    snprintf(name, sizeof name, "line%u", line);
    all.sin6_addr.s6_addr[0] = 0xff;
    all.sin6_addr.s6_addr[1] = 0x02;
    all.sin6_addr.s6_addr[15] = 1;
    all.sin6_scope_id = if_nametoindex(name);
    fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    rig_check(fd >= 0);
    carries = connect(fd, (const struct sockaddr *)&all, sizeof all) == 0;
    close(fd);
    return carries;
}

static bool has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0 && access("/proc/sys/net/ipv6/conf/line0", F_OK) == 0;
}

static void await_ipv6(unsigned net)
{
    enter(net);
    for (unsigned line = 0; line < 2 && has_ipv6(); line++) {
        rig_await(carries_ipv6(line));
    }
}

const char *rig_nets_make(void)
{
    if (!rig_has_program("ip")) {
        return "the command ip is missing (iproute2)";
    }
    for (unsigned net = 0; net < 2; net++) {
        if (unshare(CLONE_NEWNET) < 0) {
            return "no network namespaces may be made here";
        }
        nets[net] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        rig_check(nets[net] >= 0);
    }
    for (unsigned line = 0; line < 2; line++) {
        if (!make_line(line) || !raise_line(0, line) || !raise_line(1, line)) {
            return "no veth pair can be made here";
        }
    }
    await_ipv6(1);
    (void)ip("link set lo up");
    await_ipv6(0);
    return ip("link set lo up") ? NULL : "the loopback of a namespace cannot be set up";
}
