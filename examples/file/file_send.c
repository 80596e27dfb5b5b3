/* Sends one file, in constant memory: a piece is read only when the queue has room for it, and on_drain says
 * when it has room again. */
#include "crc32.h"
#include "file.h"
#include "transfer.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <causeway/causeway.h>

enum { PIECE_BYTES = 65536 };

struct sender {
    struct cw_loop *loop;
    int fd; /* of the file; -1: there is none */
    const char *name;
    uint64_t size;
    uint64_t sent; /* bytes of the file */
    uint64_t started_us;
    uint32_t crc;
    bool connected;
    bool sendfile;
    bool sending; /* between "ready" and the checksum */
    bool stored;
    struct crc32_tables crc32;
    uint8_t piece[PIECE_BYTES];
};

/* ---- ending ---- */

__attribute__((format(printf, 2, 3))) static void fail(struct sender *sender, const char *format,
                                                       ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "file: %s: ", sender->name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    cw_loop_stop(sender->loop);
}

/* ---- reading ---- */

/* Reads the piece at `sent`. Returns its length; 0: it could not be read, and that has been told. */
static size_t read_piece(struct sender *sender)
{
    uint64_t left = sender->size - sender->sent;
    size_t len = left < sizeof sender->piece ? (size_t)left : sizeof sender->piece;
    ssize_t got = pread(sender->fd, sender->piece, len, (off_t)sender->sent);

    if (got <= 0) {
        fail(sender, "%s", got < 0 ? strerror(errno) : "the file has become shorter");
        return 0;
    }
    return (size_t)got;
}

/* ---- sending ---- */

static int send_part(struct cw_conn *conn, enum cw_part part, struct cw_span body, uint64_t total)
{
    const struct cw_message msg = {.body = body, .part = part, .total = total};

    return cw_conn_send(conn, &msg);
}

static int send_end(struct sender *sender, struct cw_conn *conn)
{
    uint8_t checksum[TRANSFER_CHECKSUM_BYTES];
    int sent = send_part(conn, CW_END, cw_span_of(NULL, 0), 0);

    transfer_write_checksum(checksum, sender->crc);
    sender->sending = false;
    return sent < 0 ? sent : cw_conn_send_bytes(conn, checksum, sizeof checksum);
}

/* Sends pieces until the queue is full, or to the end. A piece that was refused is read again later. */
static void send_pieces(struct sender *sender, struct cw_conn *conn)
{
    int sent = 0;

    while (sent == 0 && sender->sent < sender->size) {
        size_t len = read_piece(sender);

        if (len == 0) {
            return;
        }
        struct cw_span piece = cw_span_of(sender->piece, len);
        sent = send_part(conn, CW_CHUNK, piece, 0);
        if (sent >= 0) {
            sender->crc = crc32_add(&sender->crc32, sender->crc, piece);
            sender->sent += len;
        }
    }
    if (sent >= 0 && sender->sent == sender->size) {
        sent = send_end(sender, conn);
    }
    if (sent < 0 && sent != CW_EFULL) {
        fail(sender, "send: %s", cw_strerror(sent));
    }
}

/* All at once: the queue holds a note of the file's range, not its bytes, and the checksum behind it. */
static int send_by_kernel(struct sender *sender, struct cw_conn *conn)
{
    const struct cw_file_range range = {.fd = sender->fd, .len = sender->size};
    int sent = cw_conn_send_file(conn, &range, NULL, NULL);

    sender->sent = sender->size;
    return sent < 0 ? sent : send_end(sender, conn);
}

static void send_body(struct sender *sender, struct cw_conn *conn)
{
    int sent = send_part(conn, CW_BEGIN, cw_span_of(NULL, 0), sender->size);

    sender->sending = true;
    if (sent >= 0 && sender->sendfile) {
        sent = send_by_kernel(sender, conn);
    } else if (sent >= 0) {
        send_pieces(sender, conn);
    }
    if (sent < 0) {
        fail(sender, "send: %s", cw_strerror(sent));
    }
}

static int send_head(struct sender *sender, struct cw_conn *conn)
{
    struct cJSON *head = cJSON_CreateObject();
    bool whole = cJSON_AddStringToObject(head, "name", sender->name) != NULL &&
                 cJSON_AddNumberToObject(head, "size", (double)sender->size) != NULL &&
                 cJSON_AddStringToObject(head, "checksum", TRANSFER_CHECKSUM_KIND) != NULL;
    int sent = whole ? cw_conn_send_json(conn, head) : CW_ENOMEM;

    cJSON_Delete(head);
    return sent;
}

/* ---- hooks ---- */

static void on_connection(struct cw_conn *conn, void *user)
{
    struct sender *sender = user;
    int sent = send_head(sender, conn);

    sender->connected = true;
    if (sent < 0) {
        fail(sender, "send: %s", cw_strerror(sent));
    }
}

static void obey(struct sender *sender, struct cw_conn *conn, const struct cJSON *answer)
{
    const char *status = cw_json_text(answer, "status");
    const char *message = cw_json_text(answer, "message");
    bool all_sent = sender->sent == sender->size && !sender->sending;

    if (status != NULL && strcmp(status, "refused") == 0) {
        fail(sender, "refused by the server: %s", message == NULL ? "it does not say why" : message);
    } else if (status != NULL && strcmp(status, "ready") == 0 && sender->started_us == 0) {
        sender->started_us = transfer_now_us();
        send_body(sender, conn);
    } else if (status != NULL && strcmp(status, "stored") == 0 && all_sent) {
        sender->stored = true;
        cw_loop_stop(sender->loop);
    } else {
        fail(sender, "the server does not keep to the protocol");
    }
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct cJSON *answer = NULL;

    if (msg->part == CW_WHOLE) {
        cw_json_parse(msg->body, NULL, &answer);
    }
    obey(user, conn, answer);
    cJSON_Delete(answer);
}

static void on_drain(struct cw_conn *conn, void *user)
{
    struct sender *sender = user;

    if (sender->sending) {
        send_pieces(sender, conn);
    }
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct sender *sender = user;

    if (reason->code != CW_BY_STOP) {
        fail(sender, "cut short after %" PRIu64 " of %" PRIu64 " bytes: %s", sender->sent,
             sender->size, reason->text);
    }
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    struct sender *sender = user;

    /* on_close tells of a connection that was open. */
    if (!sender->connected) {
        fail(sender, "%s", report->text);
    }
}

static const struct cw_hooks hooks = {.on_connection = on_connection,
                                      .on_data = on_data,
                                      .on_drain = on_drain,
                                      .on_close = on_close,
                                      .on_error = on_error};

/* ---- the program ---- */

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "file: %s: %s\n", what, why);
    return 1;
}

/* The kernel's bytes do not pass through here on their way, so they are looked at before. */
static bool check_beforehand(struct sender *sender)
{
    while (sender->sent < sender->size) {
        size_t len = read_piece(sender);

        if (len == 0) {
            return false;
        }
        sender->crc = crc32_add(&sender->crc32, sender->crc, cw_span_of(sender->piece, len));
        sender->sent += len;
    }
    sender->sent = 0;
    return true;
}

static int send_over(struct sender *sender, const struct file_send_options *options)
{
    const struct cw_framed_options framed = transfer_framing(sender->size);
    int64_t client =
        cw_connect(sender->loop, cw_framed_service(&framed, &hooks, sender), options->address,
                   &(struct cw_connect_options){.tls = options->tls});

    if (client < 0) {
        return client == CW_ENOMEM ? complain(options->address, cw_strerror(CW_ENOMEM))
                                   : 1; /* what is wrong has been logged */
    }
    int ended = cw_loop_main(sender->loop);
    if (ended < 0) {
        return complain("run", cw_strerror(ended));
    }
    if (!sender->stored) {
        return 1;
    }
    struct transfer_figures figures = transfer_measure(sender->started_us, sender->size);
    printf("sent %s: %" PRIu64 " bytes in %.2f s, %.0f MB/s, peak memory %.1f MB\n", sender->name,
           sender->size, figures.seconds, figures.mb_per_s, figures.peak_memory_mb);
    return 0;
}

static int run(struct sender *sender, const struct file_send_options *options)
{
    const char *path = options->path;
    const char *slash = strrchr(path, '/');
    struct stat about;

    sender->name = slash == NULL ? path : slash + 1;
    if (sender->loop == NULL) {
        return complain("start", cw_strerror(CW_ENOMEM));
    }
    const char *trouble = transfer_name_trouble(sender->name);
    if (trouble != NULL) {
        return complain(path, trouble);
    }
    sender->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (sender->fd < 0 || fstat(sender->fd, &about) < 0) {
        return complain(path, strerror(errno));
    }
    if (!S_ISREG(about.st_mode)) {
        return complain(path, "not a file");
    }
    sender->size = (uint64_t)about.st_size;
    return sender->sendfile && !check_beforehand(sender) ? 1 : send_over(sender, options);
}

int file_send(const struct file_send_options *options)
{
    struct sender *sender = calloc(1, sizeof *sender);

    if (sender == NULL) {
        return complain("start", cw_strerror(CW_ENOMEM));
    }
    crc32_init(&sender->crc32);
    sender->sendfile = options->sendfile;
    sender->fd = -1;
    sender->loop = cw_loop_new();
    int status = run(sender, options);
    cw_loop_free(sender->loop);
    if (sender->fd >= 0) {
        close(sender->fd);
    }
    free(sender);
    return status;
}
