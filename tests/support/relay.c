/* A bad line for datagrams. */
#include "support/relay.h"

#include "support/system_address.h"
#include "support/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DATAGRAM_MAX = 65536,
    BUFFER_BYTES = 4 << 20,
    AMOUNT_MAX = 3,
    OLD_MAX = 64,      /* sockets of addresses that clients had before */
    AT_ONCE_MAX = 256, /* read from one socket before the others' turn */
    WAKE = 0,          /* places in the list of what is waited for */
    FRONT = 1,
    FIRST_CLIENT = 2,
};

struct held {
    struct held *next;
    size_t behind; /* so many have to come before it */
    size_t len;
    uint8_t bytes[];
};

struct line {
    size_t received;
    struct held *held;
    size_t held_count;
};

struct client {
    struct sockaddr_storage address;
    int fd; /* towards the server */
    struct line lines[RIG_WAYS];
};

struct rig_relay {
    pthread_mutex_t lock;
    pthread_t thread;
    uint64_t seed;
    struct sockaddr_storage server;
    socklen_t address_len;
    uint16_t port;
    int wake;
    bool ending;
    int front;
    struct rig_faults faults[RIG_WAYS];
    struct rig_line_counts counts[RIG_WAYS];
    struct client clients[RIG_RELAY_CLIENTS_MAX];
    unsigned client_count;
    int old[OLD_MAX];
    unsigned old_count;
    uint8_t datagram[DATAGRAM_MAX]; /* the thread's own */
};

/* ---- sockets ---- */

static uint16_t port_in(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                                : ((const struct sockaddr_in *)address)->sin_port);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;

    rig_check(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    return port_in(&address);
}

static int open_socket(const struct rig_relay *relay)
{
    int fd = socket(relay->server.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int bytes = BUFFER_BYTES;

    rig_check(fd >= 0);
    /* As much as the system allows. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return fd;
}

static int open_upstream(const struct rig_relay *relay)
{
    int fd = open_socket(relay);

    rig_check(connect(fd, (const struct sockaddr *)&relay->server, relay->address_len) == 0);
    return fd;
}

static int open_front(const struct rig_relay *relay, const char *host)
{
    struct sockaddr_storage address;
    socklen_t len = rig_system_address(host, 0, &address);
    int fd = open_socket(relay);

    rig_check(bind(fd, (const struct sockaddr *)&address, len) == 0);
    return fd;
}

/* ---- delivering; all of it with the lock ---- */

static ssize_t send_once(const struct rig_relay *relay, const struct client *client,
                         enum rig_way way, const uint8_t *data, size_t len)
{
    return way == RIG_UP ? send(client->fd, data, len, MSG_NOSIGNAL)
                         : sendto(relay->front, data, len, MSG_NOSIGNAL,
                                  (const struct sockaddr *)&client->address, relay->address_len);
}

static void deliver(struct rig_relay *relay, const struct client *client, enum rig_way way,
                    const uint8_t *data, size_t len)
{
    struct rig_line_counts *counts = &relay->counts[way];
    ssize_t n = send_once(relay, client, way, data, len);

    if (n < 0 && errno == ECONNREFUSED) {
        counts->refused++; /* one that was sent before */
        n = send_once(relay, client, way, data, len);
    }
    rig_check(n >= 0);
    rig_check((size_t)n == len);
    counts->delivered++;
    counts->delivered_bytes += len;
}

static void free_first(struct rig_relay *relay, struct client *client, enum rig_way way,
                       struct held **link)
{
    struct held *held = *link;

    *link = held->next;
    client->lines[way].held_count--;
    relay->counts[way].waiting--;
    free(held);
}

/* Delivers what has waited long enough, or all. */
static void let_go(struct rig_relay *relay, struct client *client, enum rig_way way, bool all)
{
    struct held **link = &client->lines[way].held;

    while (*link) {
        if (all || (*link)->behind == 0) {
            deliver(relay, client, way, (*link)->bytes, (*link)->len);
            free_first(relay, client, way, link);
        } else {
            link = &(*link)->next;
        }
    }
}

static void count_down(struct line *line)
{
    for (struct held *held = line->held; held; held = held->next) {
        if (held->behind != RIG_FOR_LONG && held->behind > 0) {
            held->behind--;
        }
    }
}

static void hold(struct rig_relay *relay, struct client *client, enum rig_way way, size_t len,
                 size_t behind)
{
    struct line *line = &client->lines[way];
    struct held **last = &line->held;
    struct held *held;

    if (behind == 0 || line->held_count == RIG_RELAY_HELD_MAX) {
        deliver(relay, client, way, relay->datagram, len);
        return;
    }
    held = malloc(sizeof *held + len);
    rig_check(held);
    held->next = NULL;
    held->behind = behind;
    held->len = len;
    memcpy(held->bytes, relay->datagram, len);
    while (*last) {
        last = &(*last)->next;
    }
    *last = held;
    line->held_count++;
    relay->counts[way].waiting++;
}

/* ---- what happens to a datagram ---- */

static uint64_t mix(uint64_t number)
{
    number ^= number >> 31;
    number *= 0x7fb5d329728ea185u;
    number ^= number >> 27;
    number *= 0x81dadef4bc2dd44du;
    return number ^ number >> 33;
}

/* The same for the same datagram, in whatever order the others come. */
static uint64_t chance(const struct rig_relay *relay, unsigned client, enum rig_way way, size_t at)
{
    uint64_t number = mix(relay->seed + 1);

    number = mix(number ^ ((uint64_t)client << 8 | (uint64_t)way));
    return mix(number ^ (uint64_t)at);
}

static struct rig_step by_chance(const struct rig_faults *faults, uint64_t number)
{
    size_t most = faults->amount_max > 0 ? faults->amount_max : AMOUNT_MAX;
    unsigned point = (unsigned)(number % 1000);
    unsigned sum = 0;

    number /= 1000;
    for (int what = RIG_DROP; what < RIG_MISCHIEFS; what++) {
        sum += faults->per_mille[what];
        if (point < sum) {
            bool waits = what == RIG_DOUBLE || what == RIG_HOLD;
            return (struct rig_step){.what = (enum rig_mischief)what,
                                     .amount = waits ? 1 + (size_t)number % most : (size_t)number};
        }
    }
    return (struct rig_step){.what = RIG_PASS};
}

static struct rig_step judge(const struct rig_relay *relay, unsigned client, enum rig_way way,
                             size_t len)
{
    const struct rig_faults *faults = &relay->faults[way];
    size_t at = relay->clients[client - 1].lines[way].received;
    struct rig_step step;

    if (faults->closed) {
        return (struct rig_step){.what = RIG_DROP};
    }
    for (size_t i = 0; i < faults->step_count; i++) {
        const struct rig_step *own = &faults->steps[i];

        if (own->at == at && (own->client == 0 || own->client == client)) {
            return *own;
        }
    }
    step = by_chance(faults, chance(relay, client, way, at));
    if (step.what == RIG_CUT) {
        step.amount = len > 0 ? step.amount % len : 0;
    }
    return step;
}

static void carry_out(struct rig_relay *relay, struct client *client, enum rig_way way, size_t len,
                      const struct rig_step *step)
{
    uint8_t *data = relay->datagram;

    switch (step->what) {
    case RIG_DROP:
        break;
    case RIG_HOLD:
        hold(relay, client, way, len, step->amount);
        break;
    case RIG_DOUBLE:
        deliver(relay, client, way, data, len);
        hold(relay, client, way, len, step->amount);
        break;
    case RIG_CHANGE:
        if (len > 0) {
            data[step->amount % len] ^= (uint8_t)(1u << step->amount % 8);
        }
        deliver(relay, client, way, data, len);
        break;
    case RIG_CUT:
        deliver(relay, client, way, data, step->amount < len ? step->amount : len);
        break;
    case RIG_PASS:
    case RIG_MISCHIEFS:
        deliver(relay, client, way, data, len);
        break;
    }
}

static void take(struct rig_relay *relay, unsigned number, enum rig_way way, size_t len)
{
    struct client *client = &relay->clients[number - 1];
    struct rig_line_counts *counts = &relay->counts[way];
    struct rig_step step;

    client->lines[way].received++;
    counts->received++;
    counts->received_bytes += len;
    step = judge(relay, number, way, len);
    counts->done[step.what]++;
    count_down(&client->lines[way]);
    carry_out(relay, client, way, len, &step);
    let_go(relay, client, way, false);
}

/* ---- the thread ---- */

static bool is_same(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)a;
    const struct sockaddr_in *four = (const struct sockaddr_in *)a;

    if (port_in(a) != port_in(b)) {
        return false;
    }
    return a->ss_family == AF_INET6
               ? memcmp(&six->sin6_addr, &((const struct sockaddr_in6 *)b)->sin6_addr,
                        sizeof six->sin6_addr) == 0
               : four->sin_addr.s_addr == ((const struct sockaddr_in *)b)->sin_addr.s_addr;
}

/* The number of the client at an address, a new one if need be. */
static unsigned find_client(struct rig_relay *relay, const struct sockaddr_storage *from)
{
    struct client *client;

    for (unsigned i = 0; i < relay->client_count; i++) {
        if (is_same(&relay->clients[i].address, from)) {
            return i + 1;
        }
    }
    rig_check(relay->client_count < RIG_RELAY_CLIENTS_MAX);
    client = &relay->clients[relay->client_count++];
    client->address = *from;
    client->fd = open_upstream(relay);
    return relay->client_count;
}

/* False: there is nothing to read. */
static bool read_front(struct rig_relay *relay)
{
    struct sockaddr_storage from = {0};
    socklen_t from_len = sizeof from;
    ssize_t n = recvfrom(relay->front, relay->datagram, DATAGRAM_MAX, 0, (struct sockaddr *)&from,
                         &from_len);

    if (n < 0) {
        rig_check(errno == EAGAIN);
        return false;
    }
    take(relay, find_client(relay, &from), RIG_UP, (size_t)n);
    return true;
}

static bool read_upstream(struct rig_relay *relay, unsigned client)
{
    ssize_t n = recv(relay->clients[client - 1].fd, relay->datagram, DATAGRAM_MAX, 0);

    if (n < 0 && errno == ECONNREFUSED) {
        relay->counts[RIG_UP].refused++;
        return true;
    }
    if (n < 0) {
        rig_check(errno == EAGAIN);
        return false;
    }
    take(relay, client, RIG_DOWN, (size_t)n);
    return true;
}

/* Returns how many there are to wait for; 0: it is over. */
static nfds_t list_sockets(struct rig_relay *relay, struct pollfd *list)
{
    nfds_t count = FIRST_CLIENT;

    list[WAKE] = (struct pollfd){.fd = relay->wake, .events = POLLIN};
    list[FRONT] = (struct pollfd){.fd = relay->front, .events = POLLIN};
    pthread_mutex_lock(&relay->lock);
    for (unsigned i = 0; i < relay->client_count; i++) {
        list[count++] = (struct pollfd){.fd = relay->clients[i].fd, .events = POLLIN};
    }
    count = relay->ending ? 0 : count;
    pthread_mutex_unlock(&relay->lock);
    return count;
}

static void read_all(struct rig_relay *relay, const struct pollfd *list, nfds_t count)
{
    eventfd_t wakes;

    if (list[WAKE].revents) {
        rig_check(eventfd_read(relay->wake, &wakes) == 0);
    }
    pthread_mutex_lock(&relay->lock);
    for (nfds_t i = FIRST_CLIENT; i < count; i++) {
        unsigned client = (unsigned)(i - FIRST_CLIENT + 1);

        for (int n = 0; list[i].revents && n < AT_ONCE_MAX && read_upstream(relay, client); n++) {}
    }
    for (int n = 0; list[FRONT].revents && n < AT_ONCE_MAX && read_front(relay); n++) {}
    pthread_mutex_unlock(&relay->lock);
}

static void *run(void *arg)
{
    struct rig_relay *relay = arg;
    struct pollfd *list = calloc(RIG_RELAY_CLIENTS_MAX + FIRST_CLIENT, sizeof *list);

    rig_check(list);
    for (nfds_t count = list_sockets(relay, list); count > 0; count = list_sockets(relay, list)) {
        if (poll(list, count, -1) > 0) {
            read_all(relay, list, count);
        } else {
            rig_check(errno == EINTR);
        }
    }
    free(list);
    return NULL;
}

/* ---- what tests call ---- */

struct rig_relay *rig_relay_start(const char *host, uint16_t port, uint64_t seed)
{
    struct rig_relay *relay = calloc(1, sizeof *relay);

    rig_check(relay);
    relay->seed = seed;
    relay->address_len = rig_system_address(host, port, &relay->server);
    relay->front = open_front(relay, host);
    relay->port = port_of(relay->front);
    relay->wake = eventfd(0, EFD_CLOEXEC);
    rig_check(relay->wake >= 0);
    rig_check(pthread_mutex_init(&relay->lock, NULL) == 0);
    rig_check(pthread_create(&relay->thread, NULL, run, relay) == 0);
    return relay;
}

uint16_t rig_relay_port(const struct rig_relay *relay)
{
    return relay->port;
}

void rig_relay_set(struct rig_relay *relay, enum rig_way way, const struct rig_faults *faults)
{
    unsigned sum = 0;

    for (int what = RIG_DROP; faults && what < RIG_MISCHIEFS; what++) {
        sum += faults->per_mille[what];
    }
    rig_check(sum <= 1000);
    pthread_mutex_lock(&relay->lock);
    relay->faults[way] = faults ? *faults : (struct rig_faults){0};
    pthread_mutex_unlock(&relay->lock);
}

void rig_relay_release(struct rig_relay *relay, enum rig_way way)
{
    pthread_mutex_lock(&relay->lock);
    for (unsigned i = 0; i < relay->client_count; i++) {
        let_go(relay, &relay->clients[i], way, true);
    }
    pthread_mutex_unlock(&relay->lock);
}

struct rig_line_counts rig_relay_counts(struct rig_relay *relay, enum rig_way way)
{
    struct rig_line_counts counts;

    pthread_mutex_lock(&relay->lock);
    counts = relay->counts[way];
    pthread_mutex_unlock(&relay->lock);
    return counts;
}

unsigned rig_relay_clients(struct rig_relay *relay)
{
    unsigned count;

    pthread_mutex_lock(&relay->lock);
    count = relay->client_count;
    pthread_mutex_unlock(&relay->lock);
    return count;
}

unsigned rig_relay_client(struct rig_relay *relay, uint16_t port)
{
    unsigned found = 0;

    pthread_mutex_lock(&relay->lock);
    for (unsigned i = 0; i < relay->client_count && found == 0; i++) {
        found = port_in(&relay->clients[i].address) == port ? i + 1 : 0;
    }
    pthread_mutex_unlock(&relay->lock);
    return found;
}

/* With the lock. */
static struct client *client_of(struct rig_relay *relay, unsigned client)
{
    rig_check(client >= 1 && client <= relay->client_count);
    return &relay->clients[client - 1];
}

uint16_t rig_relay_port_of(struct rig_relay *relay, unsigned client)
{
    uint16_t port;

    pthread_mutex_lock(&relay->lock);
    port = port_of(client_of(relay, client)->fd);
    pthread_mutex_unlock(&relay->lock);
    return port;
}

/* The number of the descriptor stays, so the thread's list stays right. The old socket stays open: were it closed, the kernel would
 * tell the server by ICMP. */
void rig_relay_rebind(struct rig_relay *relay, unsigned client)
{
    int fd = open_upstream(relay);

    pthread_mutex_lock(&relay->lock);
    rig_check(relay->old_count < OLD_MAX);
    relay->old[relay->old_count] = fcntl(client_of(relay, client)->fd, F_DUPFD_CLOEXEC, 0);
    rig_check(relay->old[relay->old_count] >= 0);
    relay->old_count++;
    rig_check(dup3(fd, client_of(relay, client)->fd, O_CLOEXEC) >= 0);
    pthread_mutex_unlock(&relay->lock);
    close(fd);
    rig_check(eventfd_write(relay->wake, 1) == 0);
}

void rig_relay_inject(struct rig_relay *relay, unsigned client, enum rig_way way, const void *data,
                      size_t len)
{
    pthread_mutex_lock(&relay->lock);
    relay->counts[way].injected++;
    deliver(relay, client_of(relay, client), way, data, len);
    pthread_mutex_unlock(&relay->lock);
}

static void close_clients(struct rig_relay *relay)
{
    for (unsigned i = 0; i < relay->client_count; i++) {
        for (int way = 0; way < RIG_WAYS; way++) {
            while (relay->clients[i].lines[way].held) {
                free_first(relay, &relay->clients[i], (enum rig_way)way,
                           &relay->clients[i].lines[way].held);
            }
        }
        close(relay->clients[i].fd);
    }
    for (unsigned i = 0; i < relay->old_count; i++) {
        close(relay->old[i]);
    }
}

void rig_relay_end(struct rig_relay *relay)
{
    if (!relay) {
        return;
    }
    pthread_mutex_lock(&relay->lock);
    relay->ending = true;
    pthread_mutex_unlock(&relay->lock);
    rig_check(eventfd_write(relay->wake, 1) == 0);
    rig_check(pthread_join(relay->thread, NULL) == 0);
    close_clients(relay);
    close(relay->front);
    close(relay->wake);
    pthread_mutex_destroy(&relay->lock);
    free(relay);
}
