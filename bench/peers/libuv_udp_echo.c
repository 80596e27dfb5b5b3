/* Echo of datagrams on libuv, as fast as it goes there: recvmmsg into one buffer, uv_udp_try_send first. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { RECEIVE_BUFFER_BYTES = 4 << 20, DATAGRAMS = 20, DATAGRAM_BYTES = 65536 };

struct pending_send {
    uv_udp_send_t request;
    char bytes[];
};

static char scratch[DATAGRAMS * DATAGRAM_BYTES];

static void lend(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(scratch, sizeof scratch);
}

static void sent(uv_udp_send_t *request, int status)
{
    (void)status;
    free(request->data);
}

static void send_later(uv_udp_t *server, const struct sockaddr *peer, const uv_buf_t *datagram)
{
    struct pending_send *pending = malloc(sizeof *pending + datagram->len);

    if (pending == NULL)
        return;
    memcpy(pending->bytes, datagram->base, datagram->len);
    pending->request.data = pending;
    uv_buf_t buf = uv_buf_init(pending->bytes, (unsigned)datagram->len);
    if (uv_udp_send(&pending->request, server, &buf, 1, peer, sent) != 0)
        free(pending);
}

static void echo(uv_udp_t *server, ssize_t len, const uv_buf_t *buf, const struct sockaddr *peer,
                 unsigned flags)
{
    (void)flags;
    if (len < 0 || peer == NULL)
        return;
    uv_buf_t datagram = uv_buf_init(buf->base, (unsigned)len);
    if (uv_udp_try_send(server, &datagram, 1, peer) == UV_EAGAIN)
        send_later(server, peer, &datagram);
}

int main(int argc, char **argv)
{
    uv_udp_t server;
    struct sockaddr_in address;
    int address_len = sizeof address;
    int buffer = RECEIVE_BUFFER_BYTES;
    int port = argc == 3 && strcmp(argv[1], "--port") == 0 ? (int)strtol(argv[2], NULL, 10) : 0;

    uv_udp_init_ex(uv_default_loop(), &server, AF_INET | UV_UDP_RECVMMSG);
    uv_ip4_addr("127.0.0.1", port, &address);
    if (uv_udp_bind(&server, (const struct sockaddr *)&address, 0) != 0 ||
        uv_recv_buffer_size((uv_handle_t *)&server, &buffer) != 0 ||
        uv_udp_recv_start(&server, lend, echo) != 0 ||
        uv_udp_getsockname(&server, (struct sockaddr *)&address, &address_len) != 0) {
        fputs("cannot receive\n", stderr);
        return 1;
    }
    printf("listening on udp://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
