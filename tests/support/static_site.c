#include "support/static_site.h"

#include "support/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_MAX = 32768 };

const char *static_site_at(const struct static_site *site, const char *name)
{
    static _Thread_local char paths[4][PATH_MAX];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, PATH_MAX, "%s/%s", site->folder, name);
    return path;
}

static void write_file(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "w");

    rig_check(file);
    rig_check(fwrite(data, 1, len, file) == len);
    rig_check(fclose(file) == 0);
}

void static_site_lay(struct static_site *site)
{
    *site = (struct static_site){.folder = "/tmp/cw_static_XXXXXX"};
    rig_check(mkdtemp(site->folder));
    rig_check(mkdir(static_site_at(site, "root"), 0755) == 0);
    rig_check(mkdir(static_site_at(site, "outside"), 0755) == 0);
    write_file(static_site_at(site, "secret"), STATIC_SECRET, strlen(STATIC_SECRET));
    write_file(static_site_at(site, "outside/secret"), STATIC_SECRET, strlen(STATIC_SECRET));
}

static const char *in_root(const struct static_site *site, const char *name)
{
    char path[PATH_MAX - 64];

    snprintf(path, sizeof path, "root/%s", name);
    return static_site_at(site, path);
}

void static_site_touch(const struct static_site *site, const char *name, int seconds)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += seconds;
    rig_check(utimensat(AT_FDCWD, in_root(site, name), (struct timespec[]){now, now}, 0) == 0);
}

void static_site_put(const struct static_site *site, const char *name, const void *data, size_t len)
{
    write_file(in_root(site, name), data, len);
    static_site_touch(site, name, -60);
}

void static_site_put_text(const struct static_site *site, const char *name, const char *text)
{
    static_site_put(site, name, text, strlen(text));
}

void static_site_mkdir(const struct static_site *site, const char *name)
{
    rig_check(mkdir(in_root(site, name), 0755) == 0);
}

void static_site_link(const struct static_site *site, const char *target, const char *name)
{
    rig_check(symlink(target, in_root(site, name)) == 0);
}

void static_site_serve(struct static_site *site, const struct cw_http_static_options *options)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    rig_check(cw_http_static(server, "/files", static_site_at(site, "root"), options) == 0);
    site->host = rig_host_start(server, NULL, NULL);
    site->port = rig_host_port(site->host, 0);
}

void static_site_end(struct static_site *site)
{
    char command[128];

    if (site->host) {
        rig_host_end(site->host);
    }
    snprintf(command, sizeof command, "rm -rf %s", site->folder);
    rig_check(system(command) == 0);
}

void static_site_ask(const struct static_site *site, const char *line, const char *fields,
                     struct http_reply *reply)
{
    static _Thread_local char request[REQUEST_MAX];
    struct http_peer peer = http_peer_new(site->port);
    int len = snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: files.example\r\n%s\r\n",
                       line, fields);

    rig_check(len > 0 && (size_t)len < sizeof request);
    http_peer_ask(&peer, request, reply);
    http_peer_close(&peer);
}

void static_site_expect(const struct static_site *site, const char *line, const char *fields,
                        int status, const char *body)
{
    static _Thread_local struct http_reply reply;

    static_site_ask(site, line, fields, &reply);
    if (reply.status != status || (body && strcmp((const char *)reply.body, body) != 0)) {
        rig_fail(__FILE__, __LINE__, "%s\n%s: expected %d and %s, not\n%s%.200s", line, fields,
                 status, body ? body : "any body", reply.head, (const char *)reply.body);
    }
    http_reply_release(&reply);
}

void static_site_forbid_openat2(int os_errno)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned)os_errno & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};

    rig_check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    rig_check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
    errno = 0;
    rig_check(syscall(SYS_openat2, AT_FDCWD, ".", NULL, 0) < 0 && errno == os_errno);
}
