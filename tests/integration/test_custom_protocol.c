/* The example of docs/writing-a-protocol.md over real sockets; and the page shows what is tested. */
#include "support/leak.h"
#include "support/rig.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define main custom_protocol_main
int custom_protocol_main(void);
#include "../../examples/custom_protocol/custom_protocol.c"
#undef main

TestSuite(custom_protocol, .fini = rig_expect_no_leak, .timeout = 30);

/* ---- the page ---- */

static struct rig_bytes read_file(const char *path)
{
    struct rig_bytes bytes = {0};
    FILE *file = fopen(path, "rb");
    char buffer[4096];
    size_t n;

    cr_assert_not_null(file, "%s", path);
    while ((n = fread(buffer, 1, sizeof buffer, file)) > 0) {
        rig_append(&bytes, buffer, n);
    }
    fclose(file);
    return bytes;
}

Test(custom_protocol, the_page_shows_the_file_that_is_built)
{
    struct rig_bytes page = read_file(CW_SOURCE_DIR "/docs/writing-a-protocol.md");
    struct rig_bytes file = read_file(CW_SOURCE_DIR "/examples/custom_protocol/custom_protocol.c");
    struct rig_bytes block = {0};

    rig_append(&block, "```c\n", 5);
    rig_append(&block, file.data, file.len);
    rig_append(&block, "```\n", 4);
    cr_assert_not_null(memmem(page.data, page.len, block.data, block.len));
    rig_release(&page);
    rig_release(&file);
    rig_release(&block);
}

/* ---- sockets ---- */

struct running {
    struct cw_server *server;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t listening;
    uint16_t port;
};

static void on_listening(struct cw_server *server, const struct cw_address *address,
                         const char *text, void *user)
{
    struct running *running = user;
    const char *port = strrchr(text, ':');

    cr_assert_not_null(port);
    pthread_mutex_lock(&running->lock);
    running->port = (uint16_t)strtoul(port + 1, NULL, 10);
    pthread_cond_signal(&running->listening);
    pthread_mutex_unlock(&running->lock);
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user) {}

static void *run(void *arg)
{
    struct running *running = arg;

    cr_assert_eq(cw_server_run(running->server), 0, "%s", cw_server_error(running->server));
    return NULL;
}

static void start(struct running *running)
{
    pthread_mutex_init(&running->lock, NULL);
    pthread_cond_init(&running->listening, NULL);
    running->port = 0;
    running->server = cw_create_server(&parcel);
    cw_server_set_hooks(
        running->server,
        &(struct cw_hooks){.on_data = echo, .on_listening = on_listening, .on_error = on_error},
        running);
    cw_server_listen(running->server, &(struct cw_listen_options){.host = "127.0.0.1"});
    cr_assert_eq(pthread_create(&running->thread, NULL, run, running), 0);
    pthread_mutex_lock(&running->lock);
    while (running->port == 0) {
        pthread_cond_wait(&running->listening, &running->lock);
    }
    pthread_mutex_unlock(&running->lock);
}

static void stop(struct running *running)
{
    cw_server_stop(running->server);
    pthread_join(running->thread, NULL);
    cw_server_free(running->server);
    pthread_cond_destroy(&running->listening);
    pthread_mutex_destroy(&running->lock);
}

static int connect_to(const struct running *running)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(running->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert_geq(fd, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void expect_bytes(int fd, const char *bytes, size_t len)
{
    char got[512];

    cr_assert_eq(recv(fd, got, len, MSG_WAITALL), (ssize_t)len);
    cr_assert_arr_eq(got, bytes, len);
}

Test(custom_protocol, parcels_come_back_however_they_are_cut)
{
    struct running running;
    char parcels[] = "\2hi\x2d\0\0\1!\xde";
    size_t len = sizeof parcels - 1;

    start(&running);

    int fd = connect_to(&running);

    for (size_t cut = 0; cut < len; cut++) {
        cr_assert_eq(send(fd, parcels, cut, 0), (ssize_t)cut);
        cr_assert_eq(send(fd, parcels + cut, len - cut, 0), (ssize_t)(len - cut));
        expect_bytes(fd, parcels, len);
    }
    close(fd);
    stop(&running);
}

Test(custom_protocol, a_wrong_sum_ends_the_connection)
{
    struct running running;
    char byte;

    start(&running);

    int fd = connect_to(&running);

    cr_assert_eq(send(fd, "\2hi\x2d\1!!", 7, 0), 7);
    expect_bytes(fd, "\2hi\x2d", 4);
    cr_assert_eq(recv(fd, &byte, 1, 0), 0, "the connection is still open");
    close(fd);
    stop(&running);
}
