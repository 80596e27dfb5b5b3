/* One attempt to connect: the addresses of a name, IPv6 and IPv4 in turn, a little apart, until a socket is
 * connected (RFC 8305). A socket of datagrams is connected at once, where there is a route. */
#include "connector_impl.h"
#include "datagram_impl.h"
#include "loop_impl.h"
#include "tcp_options.h"
#include "timer_impl.h"

#include <causeway/log.h>

#include <errno.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SIX,
    FOUR,
    FAMILIES,
    RESOLUTION_DELAY_MS = 50, /* RFC 8305 §3: IPv4 waits so long for the answer about IPv6 */
    UNIX_AGAIN_MS = 20,
};

struct dial_socket {
    struct dial_socket *next;
    struct cw_dial *dial;
    int fd;
    struct cw_address address;
    struct event event;
};

/* The addresses of one family, in the order they came. */
struct candidates {
    struct cw_address addresses[CW_LOOKUP_MAX];
    size_t count;
    size_t next;
    struct cw_lookup *lookup; /* more may come */
};

/* What a failed attempt will say. */
struct failure {
    int code; /* 0: nothing has failed yet */
    int os_errno;
    struct cw_address address;
    char detail[80]; /* "": cw_strerror(code) */
};

struct cw_dial {
    struct cw_loop *loop;
    struct cw_target *target;
    cw_dial_fn fn;
    void *arg;
    struct candidates candidates[FAMILIES]; /* a unix path is the only one of the first */
    int turn;                               /* whose candidate is next */
    struct dial_socket *sockets;            /* under way, the oldest last */
    bool asking;                            /* lookups are being started; they may answer at once */
    struct cw_address behind;               /* candidates up to this one come last */
    struct candidates late;                 /* … these */
    unsigned tried;
    struct failure failure;
    struct event delay; /* pending: the next address is not tried yet */
    struct event deadline;
};

/* ---- failures ---- */

/* Of several, the one that says most about what to do. */
static int weight(int code)
{
    static const int order[] = {
        CW_ERESOLVE,   CW_EOS,       CW_EUNREACHABLE, CW_EADDRNOTAVAIL,
        CW_EADDRINUSE, CW_ETIMEDOUT, CW_ECONNECTTIME, CW_ERESET,
        CW_EREFUSED,   CW_EACCESS,   CW_ENOMEM,       CW_EDESCRIPTORS,
    };

    for (int i = 0; i < (int)(sizeof order / sizeof order[0]); i++) {
        if (order[i] == code) {
            return i + 2;
        }
    }
    return code == 0 ? 0 : 1;
}

static void note(struct cw_dial *dial, int code, int os_errno, const struct cw_address *address,
                 const char *detail)
{
    struct failure *failure = &dial->failure;

    if (weight(code) <= weight(failure->code)) {
        return;
    }
    memset(failure, 0, sizeof *failure);
    failure->code = code;
    failure->os_errno = os_errno;
    if (address) {
        failure->address = *address;
    }
    snprintf(failure->detail, sizeof failure->detail, "%s", detail ? detail : "");
}

static void note_errno(struct cw_dial *dial, int os_errno, const struct cw_address *address,
                       const char *step)
{
    int code = cw_error_from_errno(os_errno);
    bool is_vague = code == CW_EOS || code == CW_EINVAL;
    const char *what = is_vague ? strerror(os_errno) : cw_strerror(code);
    char detail[sizeof dial->failure.detail];

    if (code == CW_EADDRNOTAVAIL && dial->target->local.family == CW_FAMILY_NONE) {
        what = "no local port is free"; /* what the kernel means by it then */
    } else if (code == CW_EACCESS && !step && dial->target->is_datagram &&
               !dial->target->options.datagram.broadcast) {
        what = "permission denied (a broadcast address? set datagram.broadcast)";
    }
    snprintf(detail, sizeof detail, "%s%s%s", step ? step : "", step ? ": " : "", what);
    note(dial, code, os_errno, address, detail);
}

static bool is_name(const struct cw_target *target)
{
    return target->endpoint.host[0] && target->numeric.family == CW_FAMILY_NONE;
}

static void word(const struct cw_dial *dial, struct cw_dial_result *result)
{
    const struct failure *failure = &dial->failure;
    const char *what = failure->detail[0] ? failure->detail : cw_strerror(failure->code);
    bool names_address = is_name(dial->target) && failure->address.family != CW_FAMILY_NONE;
    char address[CW_ADDRESS_TEXT_MAX] = "";
    char others[32] = "";

    if (names_address) {
        cw_address_print(&failure->address, address);
    }
    if (dial->tried > 1) {
        snprintf(others, sizeof others, " (%u addresses tried)", dial->tried);
    }
    snprintf(result->text, sizeof result->text, "%.58s%s%.68s%s", address,
             names_address ? ": " : "", what, others);
}

/* ---- made and ended ---- */

static void socket_free(struct dial_socket *socket)
{
    struct dial_socket **link = &socket->dial->sockets;

    while (*link && *link != socket) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = socket->next;
    }
    event_del(&socket->event);
    if (socket->fd >= 0) {
        close(socket->fd);
    }
    cw_release(socket);
}

void cw_dial_cancel(struct cw_dial *dial)
{
    if (!dial) {
        return;
    }
    for (int i = 0; i < FAMILIES; i++) {
        cw_lookup_cancel(dial->candidates[i].lookup);
    }
    while (dial->sockets) {
        socket_free(dial->sockets);
    }
    event_del(&dial->delay);
    event_del(&dial->deadline);
    cw_target_drop(dial->target);
    cw_release(dial);
}

/* The attempt is over; nothing may touch it after this. */
static void finish(struct cw_dial *dial, struct cw_dial_result *result)
{
    cw_dial_fn fn = dial->fn;
    void *arg = dial->arg;

    cw_dial_cancel(dial);
    fn(arg, result);
}

static void finish_failed(struct cw_dial *dial)
{
    struct cw_dial_result result = {
        .fd = -1,
        .code = dial->failure.code,
        .os_errno = dial->failure.os_errno,
        .address = dial->failure.address,
    };

    word(dial, &result);
    finish(dial, &result);
}

static void finish_connected(struct cw_dial *dial, struct dial_socket *socket)
{
    struct cw_dial_result result = {.fd = socket->fd, .address = socket->address};

    socket->fd = -1;
    finish(dial, &result);
}

/* ---- sockets ---- */

enum outcome { FAILED, UNDER_WAY, CONNECTED, AGAIN };

/* Who connects to a port of the ephemeral range on this machine may be given that very port, and meet himself. */
static bool is_connected_to_itself(int fd)
{
    struct sockaddr_storage system[2];
    struct cw_address ends[2];
    socklen_t len = sizeof system[0];

    if (getsockname(fd, (struct sockaddr *)&system[0], &len) < 0 ||
        cw_address_from_sockaddr((const struct sockaddr *)&system[0], len, &ends[0]) < 0) {
        return false;
    }
    len = sizeof system[1];
    if (getpeername(fd, (struct sockaddr *)&system[1], &len) < 0 ||
        cw_address_from_sockaddr((const struct sockaddr *)&system[1], len, &ends[1]) < 0) {
        return false;
    }
    return ends[0].family != CW_UNIX && ends[0].port == ends[1].port &&
           cw_address_same_host(&ends[0], &ends[1]);
}

static socklen_t system_address(const struct cw_target *target, const struct cw_address *address,
                                struct sockaddr_storage *system)
{
    struct sockaddr_un *path = (struct sockaddr_un *)system;

    if (address->family != CW_UNIX) {
        return cw_address_to_sockaddr(address, system);
    }
    memset(path, 0, sizeof *path);
    path->sun_family = AF_UNIX;
    memcpy(path->sun_path, target->endpoint.unix_path, sizeof path->sun_path);
    return sizeof *path;
}

static int bind_local(const struct cw_target *target, int fd)
{
    struct sockaddr_storage system;
    socklen_t len;
    int late = 1;

    if (target->local.family == CW_FAMILY_NONE) {
        return 0;
    }
    if (target->local.port == 0 && !target->is_datagram) {
        /* A port is chosen by connect then, which knows the peer: more connections fit. */
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &late, sizeof late);
    }
    len = cw_address_to_sockaddr(&target->local, &system);
    return bind(fd, (const struct sockaddr *)&system, len);
}

static bool apply_options(struct cw_dial *dial, const struct dial_socket *socket)
{
    const struct cw_connect_options *options = &dial->target->options;
    bool is_unix = socket->address.family == CW_UNIX;
    const char *step = "tcp options";
    int family = socket->address.family == CW_IPV6 ? AF_INET6 : AF_INET;
    char detail[sizeof dial->failure.detail];
    int error;

    errno = 0;
    error = dial->target->is_datagram
                ? cw_datagram_options_apply(socket->fd, family, &options->datagram, &step)
                : cw_tcp_options_apply(socket->fd, &options->tcp, !is_unix);
    if (error < 0 && dial->target->is_datagram) {
        int os_errno = errno;

        snprintf(detail, sizeof detail, "%s: %s", step, cw_datagram_options_why(error, os_errno));
        note(dial, error, os_errno, &socket->address, detail);
    } else if (error < 0 && errno != 0) {
        note_errno(dial, errno, &socket->address, step);
    } else if (error < 0) {
        snprintf(detail, sizeof detail, "%s: %s", step, cw_strerror(error));
        note(dial, error, 0, &socket->address, detail);
    }
    return error == 0;
}

static bool prepare(struct cw_dial *dial, struct dial_socket *socket, int fd)
{
    if (fd < 0) {
        note_errno(dial, errno, &socket->address, "socket");
        return false;
    }
    if (!apply_options(dial, socket)) {
        return false;
    }
    if (bind_local(dial->target, fd) < 0) {
        note_errno(dial, errno, &socket->address, "local_host");
        return false;
    }
    return true;
}

static enum outcome judge(struct cw_dial *dial, struct dial_socket *socket, int error)
{
    if (error == 0 && is_connected_to_itself(socket->fd)) {
        error = ECONNREFUSED;
    }
    if (error != 0) {
        note_errno(dial, error, &socket->address, NULL);
        return FAILED;
    }
    return CONNECTED;
}

static void on_ready(evutil_socket_t fd, short events, void *arg);

static enum outcome start_connect(struct cw_dial *dial, struct dial_socket *socket)
{
    struct sockaddr_storage system;
    socklen_t len = system_address(dial->target, &socket->address, &system);

    if (connect(socket->fd, (const struct sockaddr *)&system, len) == 0) {
        return judge(dial, socket, 0);
    }
    if (errno == EAGAIN && socket->address.family == CW_UNIX) {
        return AGAIN; /* its backlog is full, and the kernel has no queue for us to wait in */
    }
    if (errno == EAGAIN && dial->target->is_datagram) {
        return judge(dial, socket, EADDRNOTAVAIL); /* by this UDP says that its ports are used up */
    }
    if (errno != EINPROGRESS && errno != EINTR) {
        return judge(dial, socket, errno);
    }
    if (event_add(&socket->event, NULL) < 0) {
        note(dial, CW_ENOMEM, 0, &socket->address, NULL);
        return FAILED;
    }
    return UNDER_WAY;
}

static enum outcome try_address(struct cw_dial *dial, const struct cw_address *address)
{
    struct dial_socket *made = cw_alloc_zero(sizeof *made);
    int family = address->family == CW_UNIX   ? AF_UNIX
                 : address->family == CW_IPV6 ? AF_INET6
                                              : AF_INET;
    int type = dial->target->is_datagram ? SOCK_DGRAM : SOCK_STREAM;
    enum outcome outcome = FAILED;

    if (!made) {
        note(dial, CW_ENOMEM, 0, address, NULL);
        return FAILED;
    }
    made->dial = dial;
    made->address = *address;
    made->next = dial->sockets;
    dial->sockets = made;
    made->fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    event_assign(&made->event, dial->loop->base, made->fd, EV_WRITE, on_ready, made);
    if (prepare(dial, made, made->fd)) {
        outcome = start_connect(dial, made);
    }
    if (outcome == FAILED || outcome == AGAIN) {
        socket_free(made);
    }
    return outcome;
}

/* ---- one step after the other ---- */

static struct cw_address *any_candidate(struct cw_dial *dial)
{
    for (int i = 0; i < FAMILIES; i++) {
        int family = (dial->turn + i) % FAMILIES;
        struct candidates *own = &dial->candidates[family];

        if (own->next < own->count) {
            dial->turn = (family + 1) % FAMILIES;
            return &own->addresses[own->next++];
        }
    }
    return NULL;
}

static bool may_find_more(const struct cw_dial *dial)
{
    return dial->candidates[SIX].lookup || dial->candidates[FOUR].lookup;
}

/* Nobody can know of datagrams whether an address is worth anything before something is sent there: where one gave no
 * answer, the next attempt begins behind it. */
static struct cw_address *next_candidate(struct cw_dial *dial)
{
    struct candidates *late = &dial->late;
    struct cw_address *address = any_candidate(dial);

    while (address && dial->behind.family != CW_FAMILY_NONE && late->count < CW_LOOKUP_MAX) {
        if (cw_address_same_host(address, &dial->behind)) {
            dial->behind.family = CW_FAMILY_NONE;
        }
        late->addresses[late->count++] = *address;
        address = any_candidate(dial);
    }
    if (!address && !may_find_more(dial) && late->next < late->count) {
        address = &late->addresses[late->next++];
    }
    return address;
}

static bool wait_before_next(struct cw_dial *dial, uint64_t ms)
{
    struct timeval after = cw_timeval(ms);

    return event_add(&dial->delay, &after) == 0;
}

static bool is_waiting(const struct cw_dial *dial)
{
    return evtimer_pending(&dial->delay, NULL) != 0;
}

/* Tries addresses until one is under way or connected; FAILED: none is left. */
static enum outcome try_next(struct cw_dial *dial)
{
    struct cw_address *address = next_candidate(dial);

    while (address) {
        enum outcome outcome = try_address(dial, address);

        if (outcome == AGAIN) {
            dial->candidates[SIX].next = 0;
            if (wait_before_next(dial, UNIX_AGAIN_MS)) {
                return UNDER_WAY;
            }
            note(dial, CW_ENOMEM, 0, address, NULL);
            return FAILED;
        }
        dial->tried++;
        if (outcome == UNDER_WAY) {
            /* Without the delay the next address waits for this one to fail. */
            (void)wait_before_next(dial, dial->target->options.attempt_delay_ms);
        }
        if (outcome != FAILED) {
            return outcome;
        }
        address = next_candidate(dial);
    }
    return FAILED;
}

/* Goes on, or ends the attempt: the last thing a callback does. */
static void step(struct cw_dial *dial)
{
    if (!is_waiting(dial) && try_next(dial) == CONNECTED) {
        finish_connected(dial, dial->sockets);
        return;
    }
    if (!dial->sockets && !is_waiting(dial) && !may_find_more(dial)) {
        finish_failed(dial);
    }
}

static void on_ready(evutil_socket_t fd, short events, void *arg)
{
    struct dial_socket *ready = arg;
    struct cw_dial *dial = ready->dial;
    int error = 0;
    socklen_t len = sizeof error;

    (void)events;
    cw_loop_wake(dial->loop);
    if (getsockopt((int)fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) {
        error = errno;
    }
    if (judge(dial, ready, error) == CONNECTED) {
        finish_connected(dial, ready);
        return;
    }
    socket_free(ready);
    event_del(&dial->delay); /* RFC 8305 §5: a failure starts the next at once */
    step(dial);
}

static void on_delay(evutil_socket_t fd, short events, void *arg)
{
    struct cw_dial *dial = arg;

    (void)fd;
    (void)events;
    cw_loop_wake(dial->loop);
    step(dial);
}

static void on_deadline(evutil_socket_t fd, short events, void *arg)
{
    struct cw_dial *dial = arg;
    const struct dial_socket *oldest = dial->sockets;
    const char *step_name = !oldest && may_find_more(dial) ? "host name: " : "";
    char detail[sizeof dial->failure.detail];

    (void)fd;
    (void)events;
    cw_loop_wake(dial->loop);
    while (oldest && oldest->next) {
        oldest = oldest->next;
    }
    snprintf(detail, sizeof detail, "%s%s (%llu ms)", step_name, cw_strerror(CW_ECONNECTTIME),
             (unsigned long long)dial->target->options.connect_ms);
    note(dial, CW_ECONNECTTIME, 0, oldest ? &oldest->address : NULL, detail);
    finish_failed(dial);
}

/* ---- names ---- */

static void add_candidate(struct cw_dial *dial, const struct cw_address *address)
{
    struct candidates *own = &dial->candidates[address->family == CW_IPV4 ? FOUR : SIX];

    own->addresses[own->count] = *address;
    own->addresses[own->count].port = dial->target->endpoint.port;
    own->count++;
}

static void take_answer(struct cw_dial *dial, const struct cw_lookup_answer *answer)
{
    char detail[sizeof dial->failure.detail];

    for (size_t i = 0; i < answer->count; i++) {
        add_candidate(dial, &answer->addresses[i]);
    }
    if (answer->count == 0) {
        snprintf(detail, sizeof detail, "host name: %s", answer->why);
        note(dial, answer->code, 0, NULL, detail);
    }
    dial->candidates[answer->family == CW_IPV4 ? FOUR : SIX].lookup = NULL;
}

static void on_found(void *arg, const struct cw_lookup_answer *answer)
{
    struct cw_dial *dial = arg;

    take_answer(dial, answer);
    if (dial->asking) {
        return;
    }
    if (dial->tried == 0 && dial->candidates[SIX].lookup && answer->count > 0) {
        (void)wait_before_next(dial, RESOLUTION_DELAY_MS);
    } else if (dial->tried == 0) {
        event_del(&dial->delay);
    }
    step(dial);
}

static void look_up(struct cw_dial *dial)
{
    static const enum cw_family families[FAMILIES] = {[SIX] = CW_IPV6, [FOUR] = CW_IPV4};
    const struct cw_target *target = dial->target;

    dial->asking = true;
    for (int i = 0; i < FAMILIES; i++) {
        if (target->local.family == CW_FAMILY_NONE || target->local.family == families[i]) {
            dial->candidates[i].lookup =
                cw_lookup_start(dial->loop, target->endpoint.host, families[i], on_found, dial);
        }
    }
    dial->asking = false;
}

/* ---- begun ---- */

struct cw_dial *cw_dial_new(struct cw_loop *loop, struct cw_target *target,
                            const struct cw_address *behind, cw_dial_fn fn, void *arg)
{
    struct cw_dial *dial = cw_alloc_zero(sizeof *dial);

    if (dial) {
        dial->loop = loop;
        dial->target = cw_target_hold(target);
        dial->behind = *behind;
        dial->fn = fn;
        dial->arg = arg;
        evtimer_assign(&dial->delay, loop->base, on_delay, dial);
        evtimer_assign(&dial->deadline, loop->base, on_deadline, dial);
    }
    return dial;
}

void cw_dial_go(struct cw_dial *dial)
{
    const struct cw_target *target = dial->target;
    struct timeval longest = cw_timeval(target->options.connect_ms);

    if (event_add(&dial->deadline, &longest) < 0) {
        note(dial, CW_ENOMEM, 0, NULL, NULL);
        finish_failed(dial);
        return;
    }
    if (target->endpoint.unix_path[0]) {
        add_candidate(dial, &(struct cw_address){.family = CW_UNIX});
    } else if (is_name(target)) {
        look_up(dial);
    } else {
        add_candidate(dial, &target->numeric);
    }
    step(dial);
}
