/* websocket_upload: each message becomes a file, however long it is, and 1 GiB at most.
 *
 * websocket_upload [PORT [FOLDER]] */
#include <causeway/causeway.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One piece at a time is on its way to the disk; until it is there the connection is paused, so that the sender waits too. */
struct upload {
    uint64_t conn_id;
    int fd; /* -1: none is open */
    bool is_writing;
    bool is_last; /* of its message */
    bool failed;
    uint64_t got;
    uint8_t *piece;
    size_t len;
};

static const char *folder = ".";

static void free_upload(struct upload *upload)
{
    if (upload->fd >= 0) {
        close(upload->fd);
    }
    free(upload->piece);
    free(upload);
}

/* On a helper thread: here it may block. */
static void write_piece(void *arg)
{
    struct upload *upload = arg;

    for (size_t done = 0; done < upload->len && !upload->failed;) {
        ssize_t count = write(upload->fd, upload->piece + done, upload->len - done);

        upload->failed = count < 0;
        done += count < 0 ? 0 : (size_t)count;
    }
    if (upload->is_last) {
        upload->failed = close(upload->fd) < 0 || upload->failed;
        upload->fd = -1;
    }
}

/* On the connection's thread again. */
static void written(struct cw_loop *loop, int code, void *arg)
{
    struct upload *upload = arg;
    struct cw_conn *conn = cw_loop_conn(loop, upload->conn_id);

    upload->is_writing = false;
    if (conn == NULL) {
        free_upload(upload); /* it has gone meanwhile, and on_close has left this to us */
        return;
    }
    if (code < 0 || upload->failed) {
        cw_conn_close_with(conn, CW_WEBSOCKET_ERROR, "it cannot be stored");
        return;
    }
    if (upload->is_last) {
        cw_conn_sendf(conn, "stored %llu", (unsigned long long)upload->got);
    }
    cw_conn_resume(conn);
}

static bool open_file(struct upload *upload)
{
    char path[512];

    if (upload->fd >= 0) {
        close(upload->fd);
    }
    snprintf(path, sizeof path, "%s/upload-%llx", folder, (unsigned long long)upload->conn_id);
    upload->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    upload->got = 0;
    return upload->fd >= 0;
}

/* The bytes are good until on_data returns: a copy goes to the disk. */
static bool keep(struct upload *upload, struct cw_span bytes)
{
    uint8_t *room = realloc(upload->piece, bytes.len + 1);

    if (room == NULL) {
        return false;
    }
    if (bytes.len > 0) {
        memcpy(room, bytes.data, bytes.len);
    }
    upload->piece = room;
    upload->len = bytes.len;
    upload->got += bytes.len;
    return true;
}

static void take(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct upload *upload = cw_conn_user(conn);
    bool is_first = msg->part == CW_BEGIN || msg->part == CW_WHOLE;

    upload->is_last = msg->part == CW_END || msg->part == CW_WHOLE;
    if ((is_first && !open_file(upload)) || !keep(upload, msg->body) ||
        cw_work(cw_conn_loop(conn), write_piece, written, upload) < 0) {
        cw_conn_close_with(conn, CW_WEBSOCKET_ERROR, "it cannot be stored");
        return;
    }
    upload->is_writing = true;
    cw_conn_pause(conn);
}

static void begin(struct cw_conn *conn, void *user)
{
    struct upload *upload = calloc(1, sizeof *upload);

    cw_conn_set_user(conn, upload);
    if (upload == NULL) {
        cw_conn_abort(conn);
        return;
    }
    upload->conn_id = cw_conn_id(conn);
    upload->fd = -1;
}

static void end(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct upload *upload = cw_conn_user(conn);

    if (upload != NULL && !upload->is_writing) {
        free_upload(upload);
    }
}

int main(int argc, char **argv)
{
    static const struct cw_hooks hooks = {.on_connection = begin, .on_data = take, .on_close = end};
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 8080;
    struct cw_server *server = cw_create_server(&cw_http);

    folder = argc > 2 ? argv[2] : folder;
    cw_websocket_route(
        server, "/upload", &hooks,
        &(struct cw_websocket_options){.stream_above_bytes = 65536, .message_max_bytes = 1 << 30});
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}
