/* Groups joined and left on the listeners of a server that runs. */
#include "datagram_impl.h"
#include "server_impl.h"

#include <causeway/error.h>

#include <errno.h>
#include <sys/socket.h>

static int change_listener(int fd, const struct cw_multicast_group *group, bool join)
{
    int family = 0;
    socklen_t len = sizeof family;

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0
               ? cw_multicast_change(fd, family, group, join)
               : CW_EOS;
}

/* Of several listeners those take part that can: one of the group's family to join, one that is a member to leave. */
static bool may_pass(int error, bool join)
{
    return join ? error == CW_EINVAL && errno == EAFNOSUPPORT
                : error == CW_ENOTFOUND || (error == CW_EINVAL && errno == EAFNOSUPPORT);
}

static void undo(struct cw_loop *loop, const struct cw_multicast_group *group, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)change_listener(cw_datagram_fd_of(loop, NULL, i), group, false);
    }
}

/* Multicast is worker 0's: all sockets of a group would get a copy. */
static int change_listeners(struct cw_loop *loop, const struct cw_address *listener,
                            const struct cw_multicast_group *group, bool join)
{
    int error = CW_ENOTFOUND;
    bool changed = false;
    int fd;

    for (size_t i = 0; (fd = cw_datagram_fd_of(loop, listener, i)) >= 0; i++) {
        int result = change_listener(fd, group, join);

        if (result == CW_OK) {
            changed = true;
        } else if (!may_pass(result, join)) {
            if (join && !listener) {
                undo(loop, group, i);
            }
            return result;
        } else {
            error = result;
        }
    }
    return changed ? CW_OK : error;
}

static int change(struct cw_server *server, const struct cw_address *listener,
                  const struct cw_multicast_group *group, bool join)
{
    struct cw_loop *loop;
    int error;

    if (!server || cw_server_is_stopping(server)) {
        return CW_ESTOPPED;
    }
    pthread_mutex_lock(&server->update_lock);
    error = cw_server_loop_of(server, 0, &loop);
    error = error < 0 ? error : change_listeners(loop, listener, group, join);
    pthread_mutex_unlock(&server->update_lock);
    return error;
}

int cw_multicast_join(struct cw_server *server, const struct cw_address *listener,
                      const struct cw_multicast_group *group)
{
    return change(server, listener, group, true);
}

int cw_multicast_leave(struct cw_server *server, const struct cw_address *listener,
                       const struct cw_multicast_group *group)
{
    return change(server, listener, group, false);
}
