/* Takes files into a directory.
 *
 * A file is written under a temporary name that begins with a dot and gets its own name only when all of it
 * is there and its checksum is right. However its connection ends before that, the temporary file goes.
 *
 * Each piece is written as it comes, so memory does not grow with the file. The writes block this worker for
 * as long as the disk does; a server with more to do would hand them to cw_work. */
#include "crc32.h"
#include "file.h"
#include "transfer.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <causeway/causeway.h>

enum { NAME_CAP = 256 };

/* What all connections may know; it does not change while the server runs. */
struct store {
    int directory;
    uint64_t size_max;
    struct crc32_tables crc32;
};

enum phase {
    WAIT_HEAD,
    WAIT_BODY,
    WAIT_CHECKSUM,
    REFUSED, /* whatever still comes is passed over */
};

/* One connection, and the file that it is sending. */
struct receiver {
    const struct store *store;
    enum phase phase;
    int fd; /* of the temporary file; -1: there is none */
    uint32_t crc;
    uint64_t size;
    uint64_t taken;
    uint64_t started_us;
    char name[NAME_CAP];
    char temporary[NAME_CAP + 64];
};

/* ---- the file ---- */

static void drop_file(struct receiver *receiver)
{
    if (receiver->fd >= 0) {
        close(receiver->fd);
        unlinkat(receiver->store->directory, receiver->temporary, 0);
        receiver->fd = -1;
    }
}

static bool create_file(struct receiver *receiver, uint64_t conn_id)
{
    int directory = receiver->store->directory;

    /* Late, at the renaming, it is looked at again. */
    if (faccessat(directory, receiver->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return false;
    }
    snprintf(receiver->temporary, sizeof receiver->temporary, ".%s.%ld-%" PRIx64 ".part",
             receiver->name, (long)getpid(), conn_id);
    receiver->fd = openat(directory, receiver->temporary,
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    return receiver->fd >= 0;
}

static bool write_all(int fd, struct cw_span bytes)
{
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.data, bytes.len);

        if (written < 0 && errno != EINTR) {
            return false;
        }
        if (written > 0) {
            bytes = cw_span_of(bytes.data + written, bytes.len - (size_t)written);
        }
    }
    return true;
}

/* Gives the file its name, unless one of that name has come in the meantime. */
static bool keep_file(struct receiver *receiver)
{
    int directory = receiver->store->directory;
    int closed = close(receiver->fd);

    receiver->fd = -1;
    if (closed == 0 && renameat2(directory, receiver->temporary, directory, receiver->name,
                                 RENAME_NOREPLACE) == 0) {
        return true;
    }
    int why = errno;
    unlinkat(directory, receiver->temporary, 0);
    errno = why;
    return false;
}

/* ---- answers ---- */

static void answer(struct cw_conn *conn, const char *status, const char *message)
{
    struct cJSON *json = cJSON_CreateObject();
    bool whole = cJSON_AddStringToObject(json, "status", status) != NULL &&
                 (message == NULL || cJSON_AddStringToObject(json, "message", message) != NULL);

    if (!whole || cw_conn_send_json(conn, json) < 0) {
        cw_conn_abort(conn);
    }
    cJSON_Delete(json);
}

static void refuse(struct cw_conn *conn, const char *message)
{
    struct receiver *receiver = cw_conn_user(conn);

    cw_log(CW_LOG_WARNING, cw_conn_id(conn), "refused: %s", message);
    drop_file(receiver);
    receiver->phase = REFUSED;
    answer(conn, "refused", message);
    cw_conn_close(conn);
}

/* ---- head, body, checksum ---- */

/* Reads the head. NULL: it is taken over; otherwise what is wrong with it. */
static const char *read_head(struct receiver *receiver, const struct cJSON *head)
{
    const struct cJSON *size = cJSON_GetObjectItemCaseSensitive(head, "size");
    const char *kind = cw_json_text(head, "checksum");
    const char *name = cw_json_text(head, "name");
    const double exact_max = 9007199254740992; /* 2^53: above it a double skips numbers */

    if (name == NULL || kind == NULL || !cJSON_IsNumber(size)) {
        return "the head is no JSON object with name, size and checksum";
    }
    if (strcmp(kind, TRANSFER_CHECKSUM_KIND) != 0) {
        return "only the checksum " TRANSFER_CHECKSUM_KIND " is known";
    }
    if (!(size->valuedouble >= 0 && size->valuedouble <= exact_max)) {
        return "the size is no size";
    }
    receiver->size = (uint64_t)size->valuedouble;
    if ((double)receiver->size != size->valuedouble) {
        return "the size is not whole";
    }
    if (receiver->size > receiver->store->size_max) {
        return "the file is larger than this server takes";
    }
    snprintf(receiver->name, sizeof receiver->name, "%s", name);
    return transfer_name_trouble(name);
}

static void take_head(struct cw_conn *conn, struct receiver *receiver, struct cw_span body)
{
    struct cJSON *head;

    cw_json_parse(body, NULL, &head);
    const char *trouble = read_head(receiver, head);
    cJSON_Delete(head);
    if (trouble != NULL) {
        refuse(conn, trouble);
        return;
    }
    if (!create_file(receiver, cw_conn_id(conn))) {
        refuse(conn, errno == EEXIST ? "a file of that name is here already" : strerror(errno));
        return;
    }
    receiver->phase = WAIT_BODY;
    receiver->crc = 0;
    receiver->taken = 0;
    receiver->started_us = transfer_now_us();
    answer(conn, "ready", NULL);
}

static void take_bytes(struct cw_conn *conn, struct receiver *receiver, struct cw_span bytes)
{
    receiver->crc = crc32_add(&receiver->store->crc32, receiver->crc, bytes);
    receiver->taken += bytes.len;
    if (!write_all(receiver->fd, bytes)) {
        refuse(conn, strerror(errno));
    }
}

static void begin_body(struct cw_conn *conn, struct receiver *receiver, uint64_t size)
{
    if (size != receiver->size) {
        refuse(conn, "the file is not as long as the head says");
    }
}

/* A short file comes as one frame, a long one in pieces. */
static void take_body(struct cw_conn *conn, struct receiver *receiver, const struct cw_message *msg)
{
    switch (msg->part) {
    case CW_WHOLE:
        begin_body(conn, receiver, msg->body.len);
        if (receiver->phase == WAIT_BODY) {
            take_bytes(conn, receiver, msg->body);
        }
        break;
    case CW_BEGIN:
        begin_body(conn, receiver, msg->total);
        return;
    case CW_CHUNK:
        take_bytes(conn, receiver, msg->body);
        return;
    case CW_END:
        break;
    }
    if (receiver->phase == WAIT_BODY) {
        receiver->phase = WAIT_CHECKSUM;
    }
}

static void take_checksum(struct cw_conn *conn, struct receiver *receiver, struct cw_span body)
{
    if (body.len != TRANSFER_CHECKSUM_BYTES || transfer_read_checksum(body.data) != receiver->crc) {
        refuse(conn, "the checksum is wrong: the file was damaged on its way");
        return;
    }
    if (!keep_file(receiver)) {
        refuse(conn, errno == EEXIST ? "a file of that name has come meanwhile" : strerror(errno));
        return;
    }
    struct transfer_figures figures = transfer_measure(receiver->started_us, receiver->size);
    cw_log(CW_LOG_INFO, cw_conn_id(conn),
           "stored %s: %" PRIu64 " bytes in %.2f s, %.0f MB/s, peak memory %.1f MB", receiver->name,
           receiver->size, figures.seconds, figures.mb_per_s, figures.peak_memory_mb);
    receiver->phase = WAIT_HEAD;
    answer(conn, "stored", NULL);
}

/* ---- hooks ---- */

static void on_connection(struct cw_conn *conn, void *user)
{
    struct receiver *receiver = calloc(1, sizeof *receiver);

    cw_conn_set_user(conn, receiver);
    if (receiver == NULL) {
        cw_conn_abort(conn);
        return;
    }
    receiver->store = user;
    receiver->fd = -1;
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct receiver *receiver = cw_conn_user(conn);

    if (receiver->phase == WAIT_BODY) {
        take_body(conn, receiver, msg);
    } else if (receiver->phase == REFUSED) {
        return;
    } else if (msg->part != CW_WHOLE) {
        refuse(conn, "a long frame where a short one belongs");
    } else if (receiver->phase == WAIT_HEAD) {
        take_head(conn, receiver, msg->body);
    } else {
        take_checksum(conn, receiver, msg->body);
    }
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct receiver *receiver = cw_conn_user(conn);

    if (receiver != NULL && receiver->fd >= 0) {
        cw_log(CW_LOG_WARNING, cw_conn_id(conn),
               "%s was cut short after %" PRIu64 " of %" PRIu64 " bytes and is dropped: %s",
               receiver->name, receiver->taken, receiver->size, reason->text);
        drop_file(receiver);
    }
    free(receiver);
}

/* Whoever started this program waits for the line, so it must not stay in a buffer. */
static void on_listening(struct cw_server *server, const struct cw_address *address,
                         const char *text, void *user)
{
    printf("listening on %s\n", text);
    fflush(stdout);
}

static const struct cw_hooks hooks = {.on_connection = on_connection,
                                      .on_data = on_data,
                                      .on_close = on_close,
                                      .on_listening = on_listening};

int file_serve(const struct command_line *line, const char *directory, uint64_t size_max)
{
    struct store store = {.size_max = size_max};
    const struct cw_framed_options framed = transfer_framing(size_max);

    store.directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store.directory < 0) {
        fprintf(stderr, "file: %s: %s\n", directory, strerror(errno));
        return 1;
    }
    crc32_init(&store.crc32);
    struct cw_server *server = cw_create_server(&cw_framed);
    cw_server_set_hooks(server, &hooks, &store);
    cw_framed_configure(server, &framed);
    command_line_set_up(server, line, NULL, 0);
    int status = cw_server_main(server);
    close(store.directory);
    return status;
}
