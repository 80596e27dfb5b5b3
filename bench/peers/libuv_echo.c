/* Raw echo on libuv, as fast as it goes there: one shared read buffer, uv_try_write first. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct pending_write {
    uv_write_t request;
    char bytes[];
};

static char scratch[65536 + 64];

static void lend(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(scratch, sizeof scratch);
}

static void closed(uv_handle_t *handle)
{
    free(handle);
}

static void drop(uv_stream_t *peer)
{
    if (!uv_is_closing((uv_handle_t *)peer))
        uv_close((uv_handle_t *)peer, closed);
}

static void written(uv_write_t *request, int status)
{
    if (status < 0)
        drop(request->handle);
    free(request->data);
}

static void write_rest(uv_stream_t *peer, const char *bytes, size_t len)
{
    struct pending_write *pending = malloc(sizeof *pending + len);

    if (pending == NULL) {
        drop(peer);
        return;
    }
    memcpy(pending->bytes, bytes, len);
    pending->request.data = pending;
    uv_buf_t buf = uv_buf_init(pending->bytes, (unsigned)len);
    if (uv_write(&pending->request, peer, &buf, 1, written) != 0) {
        free(pending);
        drop(peer);
    }
}

static void echo(uv_stream_t *peer, ssize_t len, const uv_buf_t *buf)
{
    if (len < 0) {
        drop(peer);
        return;
    }
    if (len == 0)
        return;
    uv_buf_t whole = uv_buf_init(buf->base, (unsigned)len);
    int sent = uv_try_write(peer, &whole, 1);
    if (sent < 0 && sent != UV_EAGAIN)
        drop(peer);
    else if (sent < len)
        write_rest(peer, buf->base + (sent > 0 ? sent : 0), (size_t)(len - (sent > 0 ? sent : 0)));
}

static void accept_peer(uv_stream_t *listener, int status)
{
    uv_tcp_t *peer = status == 0 ? malloc(sizeof *peer) : NULL;

    if (peer == NULL)
        return;
    uv_tcp_init(listener->loop, peer);
    if (uv_accept(listener, (uv_stream_t *)peer) != 0) {
        uv_close((uv_handle_t *)peer, closed);
        return;
    }
    uv_tcp_nodelay(peer, 1);
    uv_read_start((uv_stream_t *)peer, lend, echo);
}

int main(int argc, char **argv)
{
    uv_tcp_t listener;
    struct sockaddr_in address;
    int address_len = sizeof address;
    int port = argc == 3 && strcmp(argv[1], "--port") == 0 ? (int)strtol(argv[2], NULL, 10) : 0;

    signal(SIGPIPE, SIG_IGN);
    uv_tcp_init(uv_default_loop(), &listener);
    uv_ip4_addr("127.0.0.1", port, &address);
    if (uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0) != 0 ||
        uv_listen((uv_stream_t *)&listener, 4096, accept_peer) != 0 ||
        uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &address_len) != 0) {
        fputs("cannot listen\n", stderr);
        return 1;
    }
    printf("listening on tcp://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
