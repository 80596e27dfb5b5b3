#include "http_static_open.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TRIES = 16 };

static const int reading = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
static const int passing = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/* As openat2(2) tells them: older systems have no header for it, and newer kernels may run below. */
struct how {
    uint64_t flags;
    uint64_t mode;
    uint64_t resolve;
};

enum {
    RESOLVE_MAGICLINKS_NOT = 0x02,
    RESOLVE_SYMLINKS_NOT = 0x04,
    RESOLVE_STAY_BENEATH = 0x08,
};

struct cw_beneath {
    int fd;
    bool symlinks;
    atomic_bool walks;
};

/* ---- the kernel's own way ---- */

#ifdef SYS_openat2
static int open_by_kernel(const struct cw_beneath *beneath, const char *path)
{
    const struct how how = {
        .flags = (uint64_t)reading,
        .resolve = RESOLVE_STAY_BENEATH | RESOLVE_MAGICLINKS_NOT |
                   (beneath->symlinks ? 0u : (unsigned)RESOLVE_SYMLINKS_NOT),
    };
    long fd = -1;

    /* A link with `..` in it while something is renamed: the kernel cannot tell, and asks to be asked again. */
    for (int tries = 0; tries < TRIES; tries++) {
        fd = syscall(SYS_openat2, beneath->fd, path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) {
            break;
        }
    }
    return (int)fd;
}
#else
static int open_by_kernel(const struct cw_beneath *beneath, const char *path)
{
    errno = ENOSYS;
    return -1;
}
#endif

/* ---- step by step ---- */

static int open_step(int at, const char *name, int flags)
{
    int fd;

    do {
        fd = openat(at, name, flags);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static void close_step(const struct cw_beneath *beneath, int fd)
{
    int kept = errno;

    if (fd != beneath->fd) {
        close(fd);
    }
    errno = kept;
}

/* Takes the first name off a path. False: it is longer than a name can be. */
static bool next_name(const char **path, char name[NAME_MAX + 1])
{
    size_t len = strcspn(*path, "/");

    if (len > NAME_MAX) {
        return false;
    }
    memcpy(name, *path, len);
    name[len] = '\0';
    *path += len;
    return true;
}

/* Each step begins at what the step before has opened, and follows no link. */
static int open_by_steps(const struct cw_beneath *beneath, const char *path)
{
    char name[NAME_MAX + 1];
    int at = beneath->fd;

    while (next_name(&path, name)) {
        bool slash = *path == '/';
        bool last = !slash || path[1] == '\0';
        int flags = last ? reading | O_NOFOLLOW | (slash ? O_DIRECTORY : 0) : passing;
        int fd = open_step(at, name[0] ? name : ".", flags);

        close_step(beneath, at);
        if (last || fd < 0) {
            return fd;
        }
        at = fd;
        path++;
    }
    close_step(beneath, at);
    errno = ENAMETOOLONG;
    return -1;
}

/* ---- both ---- */

/* Neither way needs it; but no path of ours has such names, and so nobody has to think about them. */
static bool is_straight(const char *path)
{
    const char *rest = path;

    if (path[0] == '\0') {
        return true;
    }
    while (*rest) {
        size_t len = strcspn(rest, "/");

        if (len == 0 || (len == 1 && rest[0] == '.') ||
            (len == 2 && rest[0] == '.' && rest[1] == '.')) {
            return false;
        }
        rest += len;
        rest += *rest == '/';
    }
    return rest - path < PATH_MAX;
}

/* Not there, or forbidden by a filter of system calls; but EPERM may be the file's own. */
static bool has_no_openat2(const struct cw_beneath *beneath)
{
    int kept = errno;
    int fd = kept == EPERM ? open_by_kernel(beneath, ".") : -1;
    bool missing = fd < 0 && (errno == ENOSYS || errno == EPERM);

    if (fd >= 0) {
        close(fd);
    }
    errno = kept;
    return missing;
}

static int open_path(struct cw_beneath *beneath, const char *path)
{
    if (!cw_beneath_walks(beneath)) {
        int fd = open_by_kernel(beneath, path[0] ? path : ".");

        if (fd >= 0 || !has_no_openat2(beneath)) {
            return fd;
        }
        cw_beneath_walk(beneath);
    }
    return open_by_steps(beneath, path);
}

static int error_of(int os_errno)
{
    switch (os_errno) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP: /* a link, or too many of them */
    case EXDEV: /* it leads outside */
    case ENAMETOOLONG:
    case ENXIO: /* a socket, or a device that is not there */
    case ENODEV:
        return CW_ENOTFOUND;
    case EACCES:
    case EPERM:
        return CW_EACCESS;
    case EMFILE:
    case ENFILE:
        return CW_EDESCRIPTORS;
    case ENOMEM:
        return CW_ENOMEM;
    case EAGAIN:
        return CW_EAGAIN;
    default:
        return CW_EOS;
    }
}

static int judge(int fd, struct stat *status)
{
    if (fstat(fd, status) < 0) {
        return error_of(errno);
    }
    return S_ISREG(status->st_mode) || S_ISDIR(status->st_mode) ? CW_OK : CW_ENOTFOUND;
}

int cw_beneath_open(struct cw_beneath *beneath, const char *path, struct stat *status)
{
    int fd;
    int error;

    if (!is_straight(path)) {
        return CW_ENOTFOUND;
    }
    fd = open_path(beneath, path);
    if (fd < 0) {
        return error_of(errno);
    }
    error = judge(fd, status);
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

void cw_beneath_walk(struct cw_beneath *beneath)
{
    atomic_store_explicit(&beneath->walks, true, memory_order_relaxed);
}

bool cw_beneath_walks(const struct cw_beneath *beneath)
{
    return atomic_load_explicit(&beneath->walks, memory_order_relaxed);
}

struct cw_beneath *cw_beneath_new(const char *directory, bool symlinks, int *error)
{
    struct cw_beneath *beneath = cw_alloc_zero(sizeof *beneath);

    *error = CW_ENOMEM;
    if (!beneath) {
        return NULL;
    }
    beneath->symlinks = symlinks;
    atomic_init(&beneath->walks, false);
    beneath->fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (beneath->fd < 0) {
        *error = cw_error_from_errno(errno);
        cw_release(beneath);
        return NULL;
    }
    *error = CW_OK;
    return beneath;
}

void cw_beneath_free(struct cw_beneath *beneath)
{
    if (beneath) {
        close(beneath->fd);
        cw_release(beneath);
    }
}
