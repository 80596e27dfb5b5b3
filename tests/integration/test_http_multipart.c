/* Uploads over sockets: whole ones, part by part, on disk and in memory. */
#include "support/child.h"
#include "support/host.h"
#include "support/http_talk.h"
#include "support/leak.h"
#include "support/memory.h"
#include "support/scene.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/error.h>
#include <causeway/http.h>
#include <causeway/log.h>
#include <causeway/middleware/http_multipart.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MEGA = 1048576 };

static struct rig_host *host;
static uint16_t port;
static char folder[64];
static struct cw_http_upload_options on_disk = {.directory = folder};
static atomic_uint ended;    /* on_done of part-by-part readers */
static atomic_int last_code; /* … and what it heard */
static atomic_uint_least64_t progress;

#define TYPE "Content-Type: multipart/form-data; boundary=b\r\n"
#define FIELD(name) "--b\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n"
#define FILE_OF(name, filename)                                                                    \
    "--b\r\nContent-Disposition: form-data; name=\"" name "\"; filename=\"" filename               \
    "\"\r\nContent-Type: image/png\r\n\r\n"
#define END "\r\n--b--\r\n"

/* In place of the C library's, for the code under test: /proc may be missing. */
static atomic_bool no_proc;

int access(const char *path, int mode)
{
    if (atomic_load(&no_proc) && strncmp(path, "/proc/", 6) == 0) {
        errno = ENOENT;
        return -1;
    }
    return faccessat(AT_FDCWD, path, mode, 0);
}

/* ---- whole uploads ---- */

static void send_bytes(struct cw_http_exchange *http, const struct cw_http_file *file)
{
    char piece[200];
    ssize_t n;

    if (file->data.data != NULL) {
        rig_check(file->data.data[file->data.len] == '\0');
        rig_check(file->data.len == file->size);
        cw_http_send(http, file->data);
        return;
    }
    while ((n = read(file->fd, piece, sizeof piece)) > 0) {
        cw_http_send(http, cw_span_of(piece, (size_t)n));
    }
}

/* Tells all of it: `{name=value}` for fields of the name f, then `<name|filename|type|size|bytes>` for files. */
static void tell(struct cw_http_exchange *http, struct cw_http_upload *upload, void *user)
{
    char text[600];
    size_t at = 0;

    cw_http_begin(http, 200, "text/plain", CW_NO_LIMIT);
    for (;;) {
        struct cw_span value = cw_http_upload_value_next(upload, "f", &at);
        if (value.data == NULL) {
            break;
        }
        rig_check(value.data[value.len] == '\0');
        cw_http_send(http, cw_span_text("{"));
        cw_http_send(http, value);
        cw_http_send(http, cw_span_text("}"));
    }
    at = 0;
    for (;;) {
        const struct cw_http_file *file = cw_http_upload_file_next(upload, NULL, &at);
        if (file == NULL) {
            break;
        }
        snprintf(text, sizeof text, "<%s|%s|%s|%llu|", file->name, file->filename, file->type,
                 (unsigned long long)file->size);
        cw_http_send(http, cw_span_text(text));
        send_bytes(http, file);
        cw_http_send(http, cw_span_text(">"));
    }
    cw_http_end(http);
}

static void upload(struct cw_http_exchange *http, void *user)
{
    (void)cw_http_read_upload(http, user, tell, NULL);
}

/* ---- keeping ---- */

static void keep_it(struct cw_http_exchange *http, struct cw_http_upload *upload, void *user)
{
    const struct cw_http_file *file = cw_http_upload_file(upload, "a");
    char path[128];
    char missing[128];
    struct stat info;

    snprintf(path, sizeof path, "%s/kept", folder);
    snprintf(missing, sizeof missing, "%s/none/kept", folder);
    rig_check(file != NULL);
    rig_check(cw_http_upload_file(upload, "none") == NULL);
    rig_check(cw_http_upload_keep(upload, file, missing) == CW_ENOPATH);
    int code = cw_http_upload_keep(upload, file, path);
    rig_check(code == CW_EINVAL || cw_http_upload_keep(upload, file, path) == CW_ESTATE);
    rig_check(stat(path, &info) == 0);
    cw_http_replyf(http, 200, "text/plain", "%s %o", cw_error_name(code),
                   (unsigned)info.st_mode & 0777U);
}

static void keep(struct cw_http_exchange *http, void *user)
{
    (void)cw_http_read_upload(http, user, keep_it, NULL);
}

/* ---- later ---- */

static void answer_later(struct cw_http_exchange *http, void *arg)
{
    tell(http, arg, NULL);
}

static void tell_later(struct cw_http_exchange *http, struct cw_http_upload *upload, void *user)
{
    rig_check(cw_http_post(cw_http_server(http), cw_http_id(http), answer_later, upload) == 0);
}

static void upload_later(struct cw_http_exchange *http, void *user)
{
    (void)cw_http_read_upload(http, user, tell_later, NULL);
}

/* ---- part by part ---- */

struct count {
    uint64_t bytes;
    size_t parts;
    size_t ends;
    uint32_t sum;
};

static int count_part(struct cw_http_exchange *http, const struct cw_http_part *part, void *user)
{
    struct count *count = user;

    rig_check(part->index == count->parts && part->size == 0);
    count->parts++;
    if (strcmp(part->name, "refuse") == 0) {
        return 409;
    }
    if (strcmp(part->name, "answer") == 0) {
        cw_http_reply_text(http, 418, "short");
        return 400;
    }
    return strcmp(part->name, "skip") == 0 ? CW_HTTP_SKIP_PART : 0;
}

static int count_data(struct cw_http_exchange *http, const struct cw_http_part *part,
                      struct cw_span piece, void *user)
{
    struct count *count = user;

    count->bytes += piece.len;
    atomic_store(&progress, count->bytes);
    for (size_t i = 0; i < piece.len; i += 997) {
        count->sum += piece.data[i];
    }
    return part->filename != NULL && strcmp(part->filename, "refuse-data") == 0 ? 422 : 0;
}

static int count_end(struct cw_http_exchange *http, const struct cw_http_part *part, void *user)
{
    struct count *count = user;

    count->ends++;
    return 0;
}

static void count_done(struct cw_http_exchange *http, int code, void *user)
{
    struct count *count = user;

    if (code == CW_OK) {
        cw_http_replyf(http, 200, "text/plain", "%zu parts, %zu ends, %llu bytes", count->parts,
                       count->ends, (unsigned long long)count->bytes);
    }
    atomic_store(&last_code, code);
    atomic_fetch_add(&ended, 1);
}

static const struct cw_http_multipart_hooks counting = {
    .on_part = count_part, .on_data = count_data, .on_part_end = count_end, .on_done = count_done};

static void count(struct cw_http_exchange *http, void *user)
{
    (void)cw_http_read_multipart(http, user, &counting, cw_http_alloc(http, sizeof(struct count)));
}

/* ---- slowly ---- */

static struct cw_http_id paused_id;
static atomic_uint paused;

static int pause_here(struct cw_http_exchange *http, const struct cw_http_part *part, void *user)
{
    paused_id = cw_http_id(http);
    cw_http_pause_body(http);
    atomic_fetch_add(&paused, 1);
    return 0;
}

static void go_on(struct cw_http_exchange *http, void *arg)
{
    rig_check(http != NULL);
    cw_http_resume_body(http);
}

static const struct cw_http_multipart_hooks pausing = {
    .on_part = pause_here, .on_data = count_data, .on_part_end = count_end, .on_done = count_done};

static void count_slowly(struct cw_http_exchange *http, void *user)
{
    (void)cw_http_read_multipart(http, NULL, &pausing, cw_http_alloc(http, sizeof(struct count)));
}

/* ---- much ---- */

static void tell_size(struct cw_http_exchange *http, struct cw_http_upload *upload, void *user)
{
    struct stat info;
    const struct cw_http_file *file = cw_http_upload_file(upload, "a");

    rig_check(file != NULL);
    rig_check(fstat(file->fd, &info) == 0 && (uint64_t)info.st_size == file->size);
    cw_http_replyf(http, 200, "text/plain", "1 parts, 1 ends, %llu bytes",
                   (unsigned long long)file->size);
}

static void upload_much(struct cw_http_exchange *http, void *user)
{
    const struct cw_http_upload_options options = {.directory = folder,
                                                   .limits = {.bytes_max = CW_NO_LIMIT}};

    (void)cw_http_read_upload(http, &options, tell_size, NULL);
}

static void read_unstreamed(struct cw_http_exchange *http, void *user)
{
    rig_check(cw_http_read_upload(http, NULL, tell, NULL) == CW_ESTATE);
}

/* ---- the server ---- */

static void note_progress(struct cw_http_exchange *http, uint64_t bytes, void *user)
{
    atomic_store(&progress, bytes);
}

static void add_routes(struct cw_server *server)
{
    static const struct cw_http_upload_options in_memory = {.on_progress = note_progress};
    static const struct cw_http_upload_options narrow = {
        .files_max = 1, .memory_max_bytes = 10, .limits = {.parts_max = 3, .filename_max_bytes = 4}};
    static const struct cw_http_upload_options nowhere = {.directory = "/nowhere"};
    static const struct cw_http_multipart_limits limits = {.parts_max = 3,
                                                           .part_max_bytes = 5,
                                                           .bytes_max = 8,
                                                           .head_max_bytes = 100,
                                                           .name_max_bytes = 8};
    static const struct cw_http_multipart_limits wide = {.bytes_max = CW_NO_LIMIT};
    struct cw_http_route_options streamed = {.stream = true, .body_max_bytes = 4 * MEGA};

    cw_http_route_with(server, "POST /disk", upload, &on_disk, &streamed);
    cw_http_route_with(server, "POST /memory", upload, (void *)&in_memory, &streamed);
    cw_http_route_with(server, "POST /narrow", upload, (void *)&narrow, &streamed);
    cw_http_route_with(server, "POST /nowhere", upload, (void *)&nowhere, &streamed);
    cw_http_route_with(server, "POST /keep", keep, &on_disk, &streamed);
    cw_http_route_with(server, "POST /keep-memory", keep, (void *)&in_memory, &streamed);
    cw_http_route_with(server, "POST /later", upload_later, &on_disk, &streamed);
    cw_http_route_with(server, "POST /limits", count, (void *)&limits, &streamed);
    cw_http_route(server, "POST /unstreamed", read_unstreamed, NULL);
    streamed.body_max_bytes = CW_NO_LIMIT;
    streamed.response_ms = CW_OFF;
    cw_http_route_with(server, "POST /count", count, (void *)&wide, &streamed);
    cw_http_route_with(server, "POST /much", upload_much, NULL, &streamed);
    cw_http_route_with(server, "POST /slowly", count_slowly, NULL, &streamed);
}

static void begin(void)
{
    struct cw_server *server;

    cw_log_set_level(CW_LOG_SILENT);
    strcpy(folder, "/tmp/causeway-upload-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    server = rig_server(&cw_http, NULL);
    add_routes(server);
    host = rig_host_start(server, NULL, NULL);
    port = rig_host_port(host, 0);
}

static size_t files_left(void)
{
    DIR *dir = opendir(folder);
    size_t count = 0;

    cr_assert_not_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    closedir(dir);
    return count;
}

static void finish(void)
{
    char path[128];

    rig_host_end(host);
    snprintf(path, sizeof path, "%s/kept", folder);
    (void)unlink(path);
    cr_expect_eq(files_left(), 0);
    cr_expect_eq(rmdir(folder), 0);
    rig_expect_no_leak();
}

TestSuite(http_multipart, .init = begin, .fini = finish, .timeout = 120);
TestSuite(http_multipart_large, .init = begin, .fini = finish, .timeout = 1800);

static void expect(const char *target, const char *fields, const char *body, int status,
                   const char *wanted)
{
    struct rig_answer answer;

    rig_post_once(port, target, fields, cw_span_text(body), &answer);
    cr_expect_eq(answer.status, status, "%s: %d %s", body, answer.status, answer.body);
    if (wanted != NULL) {
        cr_expect_str_eq((const char *)answer.body, wanted);
    }
    rig_answer_free(&answer);
}

/* ---- whole uploads ---- */

Test(http_multipart, fields_and_files_are_handed_over_together)
{
    static const char body[] = FIELD("f") "one\r\n" FILE_OF("a", "x.png") "bytes\r\n" FIELD(
        "f") "\r\n" FIELD("other") "no\r\n" FILE_OF("a", "../../etc/y") "more" END;
    static const char wanted[] = "{one}{}<a|x.png|image/png|5|bytes><a|y|image/png|4|more>";

    expect("/disk", TYPE, body, 200, wanted);
    expect("/memory", TYPE, body, 200, wanted);
    expect("/later", TYPE, body, 200, wanted);
    cr_expect_eq(files_left(), 0);
}

Test(http_multipart, an_empty_file_is_one_and_a_field_without_a_chosen_file_is_none)
{
    static const char body[] = FILE_OF("a", "") "\r\n" FILE_OF("b", "empty") END;

    expect("/disk", TYPE, body, 200, "<b|empty|image/png|0|>");
    expect("/memory", TYPE, body, 200, "<b|empty|image/png|0|>");
    expect("/memory", TYPE, "--b--\r\n", 200, "");
}

Test(http_multipart, files_that_are_kept_get_their_name_once_and_stay)
{
    static const char body[] = FILE_OF("a", "x") "kept bytes" END;
    char path[128];
    char bytes[32] = "";

    expect("/keep", TYPE, body, 200, "CW_OK 600");
    expect("/keep", TYPE, body, 200, "CW_EINVAL 600");
    expect("/keep-memory", TYPE, body, 200, "CW_EINVAL 600");
    snprintf(path, sizeof path, "%s/kept", folder);
    cr_assert_eq(unlink(path), 0);
    expect("/keep-memory", TYPE, body, 200, "CW_OK 600");
    FILE *file = fopen(path, "re");
    cr_assert_not_null(file);
    cr_expect_eq(fread(bytes, 1, sizeof bytes, file), 10);
    cr_expect_str_eq(bytes, "kept bytes");
    fclose(file);
    cr_expect_eq(files_left(), 1);
}

Test(http_multipart, uploads_cut_at_every_point_are_the_same)
{
    struct rig_peer peer = rig_peer_tcp(port);
    static const char plain[] = FIELD("f") "\r\n--\r\n" FILE_OF("a", "x") "\r\n-\r\n--a" END;
    for (size_t cut = 1; cut < sizeof plain - 1; cut++) {
        struct rig_answer answer;
        char head[200];
        snprintf(head, sizeof head,
                 "POST /disk HTTP/1.1\r\nHost: a\r\n" TYPE "Content-Length: %zu\r\n\r\n",
                 sizeof plain - 1);
        rig_peer_send_text(&peer, head);
        rig_peer_send_slowly(&peer, plain, cut, cut);
        rig_peer_send(&peer, plain + cut, sizeof plain - 1 - cut);
        rig_answer_read(&peer, true, &answer);
        cr_expect_str_eq((const char *)answer.body, "{\r\n--}<a|x|image/png|8|\r\n-\r\n--a>", "%zu",
                         cut);
        rig_answer_free(&answer);
    }
    rig_peer_close(&peer);
}

Test(http_multipart, what_is_no_upload_is_refused)
{
    expect("/memory", "", "x", 415, NULL);
    expect("/memory", "Content-Type: multipart/mixed; boundary=b\r\n", "--b--", 415, NULL);
    expect("/memory", TYPE "Content-Encoding: gzip\r\n", "--b--", 415, NULL);
    expect("/memory", "Content-Type: multipart/form-data\r\n", "--b--", 400, NULL);
    expect("/memory", "Content-Type: multipart/form-data; boundary=\r\n", "--b--", 400, NULL);
    expect("/memory", "Content-Type: multipart/form-data; boundary=\"a b \"\r\n", "--b--", 400,
           NULL);
    expect("/memory", "Content-Type: multipart/form-data; boundary=\"b\"; charset=x\r\n", "--b--",
           200, "");
    expect("/memory", "Content-Type: multipart/form-data; boundary=b; boundary=b\r\n", "--b--", 400,
           NULL);
    expect("/memory", TYPE TYPE, "--b--", 415, NULL);
    expect("/unstreamed", TYPE, "--b--", 500, NULL);
}

Test(http_multipart, what_is_not_whole_is_refused_and_leaves_nothing)
{
    expect("/disk", TYPE, "", 400, NULL);
    expect("/disk", TYPE, FILE_OF("a", "x") "bytes", 400, NULL);
    expect("/disk", TYPE, FILE_OF("a", "x") "bytes\r\n--b", 400, NULL);
    expect("/disk", TYPE, FILE_OF("a", "x") "bytes\r\n--b\r\n", 400, NULL);
    expect("/disk", TYPE, FILE_OF("a", "x") "bytes\r\n--b\r\nno: name\r\n\r\nx" END, 400, NULL);
    expect("/disk", TYPE, FILE_OF("a", "x") "bytes\r\n--bc", 400, NULL);
    cr_expect_eq(files_left(), 0);
}

Test(http_multipart, limits_of_uploads_are_exact)
{
    expect("/narrow", TYPE, FIELD("f") "12345\r\n" FILE_OF("a", "abcd") "67890" END, 200, NULL);
    expect("/narrow", TYPE, FIELD("f") "12345\r\n" FILE_OF("a", "abcd") "678901" END, 413, NULL);
    expect("/narrow", TYPE, FIELD("f") "12345678901" END, 413, NULL);
    expect("/narrow", TYPE, FILE_OF("a", "abcde") "1" END, 413, NULL);
    expect("/narrow", TYPE, FILE_OF("a", "a") "1\r\n" FILE_OF("a", "b") "2" END, 413, NULL);
    expect("/narrow", TYPE, FILE_OF("a", "a") "1\r\n" FILE_OF("a", "b") END, 413, NULL);
    expect("/narrow", TYPE, FILE_OF("a", "a") "1\r\n" FILE_OF("a", "") END, 200, NULL);
}

Test(http_multipart, a_directory_that_cannot_be_written_is_the_servers_fault)
{
    expect("/nowhere", TYPE, FILE_OF("a", "x") "bytes" END, 500, NULL);
    expect("/nowhere", TYPE, FIELD("f") "1" END, 200, "{1}");
}

Test(http_multipart, a_disk_that_takes_no_more_is_told)
{
    const struct rlimit few = {4, 4};

    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &few), 0);
    expect("/disk", TYPE, FILE_OF("a", "x") "1234" END, 200, NULL);
    expect("/disk", TYPE, FILE_OF("a", "x") "12345" END, 507, NULL);
}

Test(http_multipart, without_proc_files_have_names_until_they_are_kept_or_go)
{
    static const char body[] = FILE_OF("a", "x") "kept bytes" END;

    no_proc = true;
    expect("/keep", TYPE, body, 200, "CW_OK 600");
    expect("/keep", TYPE, body, 200, "CW_EINVAL 600");
    expect("/disk", TYPE, body, 200, "<a|x|image/png|10|kept bytes>");
    expect("/disk", TYPE, FILE_OF("a", "x") "bytes", 400, NULL);
    cr_expect_eq(files_left(), 1);
}

Test(http_multipart, progress_is_told)
{
    expect("/memory", TYPE, FIELD("f") "12345\r\n" FIELD("g") "678" END, 200, NULL);
    cr_expect_eq(atomic_load(&progress), 8);
}

/* ---- part by part ---- */

Test(http_multipart, parts_can_be_counted_skipped_and_refused)
{
    expect("/count", TYPE, FIELD("a") "123\r\n" FIELD("skip") "12345\r\n" FILE_OF("b", "c") "67" END,
           200, "3 parts, 3 ends, 5 bytes");
    cr_expect_eq(atomic_load(&last_code), CW_OK);
    expect("/count", TYPE, FIELD("a") "123\r\n" FIELD("refuse") "12345" END, 409, NULL);
    cr_expect_eq(atomic_load(&last_code), CW_ECLOSED);
    expect("/count", TYPE, FIELD("answer") "12345" END, 418, "short");
    expect("/count", TYPE, FILE_OF("a", "refuse-data") "12345" END, 422, NULL);
    expect("/count", TYPE, FIELD("a") "1\r\n--b-x", 400, NULL);
    cr_expect_eq(atomic_load(&last_code), CW_EPROTO);
    rig_await(atomic_load(&ended) == 5);
}

Test(http_multipart, limits_of_parts_are_exact)
{
    expect("/limits", TYPE, FIELD("a") "12345\r\n" FIELD("b") "678" END, 200,
           "2 parts, 2 ends, 8 bytes");
    expect("/limits", TYPE, FIELD("a") "12345\r\n" FIELD("b") "6789" END, 413, NULL);
    expect("/limits", TYPE, FIELD("a") "123456" END, 413, NULL);
    cr_expect_eq(atomic_load(&last_code), CW_ETOOBIG);
    expect("/limits", TYPE, FIELD("skip") "123456" END, 413, NULL);
    expect("/limits", TYPE, FIELD("a") "\r\n" FIELD("b") "\r\n" FIELD("c") END, 200, NULL);
    expect("/limits", TYPE, FIELD("a") "\r\n" FIELD("b") "\r\n" FIELD("c") "\r\n" FIELD("d") END,
           413, NULL);
    expect("/limits", TYPE, FIELD("12345678") END, 200, NULL);
    expect("/limits", TYPE, FIELD("123456789") END, 413, NULL);
    expect(
        "/limits", TYPE,
        "--b\r\nContent-Disposition: form-data; name=a\r\nX-Long: 12345678901234567890123456789012345678901234567890"
        "\r\n\r\n" END,
        413, NULL);
}

Test(http_multipart, a_peer_that_leaves_ends_it_once_and_leaves_nothing)
{
    struct rig_peer peer = rig_peer_tcp(port);
    struct rig_peer other = rig_peer_tcp(port);

    rig_peer_send_text(&peer, "POST /count HTTP/1.1\r\nHost: a\r\n" TYPE
                              "Content-Length: 1000\r\n\r\n" FIELD("a") "12");
    rig_await(atomic_load(&progress) == 2);
    rig_peer_close(&peer);
    rig_await(atomic_load(&ended) == 1);
    cr_expect_eq(atomic_load(&last_code), CW_ECLOSED);
    rig_peer_send_text(&other, "POST /disk HTTP/1.1\r\nHost: a\r\n" TYPE
                               "Content-Length: 1000\r\n\r\n" FILE_OF("a", "x") "12");
    rig_await(rig_peer_has_arrived(&other));
    rig_peer_close(&other);
    rig_await(rig_host_conns(host) == 0);
    cr_expect_eq(files_left(), 0);
}

Test(http_multipart, a_server_that_stops_in_the_middle_leaves_nothing)
{
    struct rig_peer peer = rig_peer_tcp(port);

    rig_peer_send_text(&peer, "POST /count HTTP/1.1\r\nHost: a\r\n" TYPE
                              "Content-Length: 1000\r\n\r\n" FIELD("a") "12");
    rig_await(atomic_load(&progress) == 2);
    rig_peer_close(&peer);
}

/* ---- much of it ---- */

/* So many bytes as one file. Returns what the process needed more at most, in bytes. */
static size_t send_much(struct rig_peer *peer, const char *target, uint64_t bytes)
{
    static const char begin_text[] = FILE_OF("a", "big");
    char head[400];
    uint8_t *block = rig_pattern_new(MEGA);
    size_t before = rig_memory_resident();
    size_t most = before;

    snprintf(head, sizeof head,
             "POST %s HTTP/1.1\r\nHost: a\r\n" TYPE "Content-Length: %llu\r\n\r\n%s", target,
             (unsigned long long)(bytes + strlen(begin_text) + strlen(END)), begin_text);
    rig_peer_send_text(peer, head);
    for (uint64_t sent = 0; sent < bytes; sent += MEGA) {
        rig_peer_send(peer, block, MEGA);
        if (sent % (bytes / 16) == 0) { /* seldom: looking takes memory too */
            size_t now = rig_memory_resident();
            most = now > most ? now : most;
        }
    }
    rig_peer_send_text(peer, END);
    free(block);
    return most - before;
}

/* 2 GiB: CW_UPLOAD_BYTES=2147483648. */
static void expect_constant_memory(const char *target)
{
    const char *wish = getenv("CW_UPLOAD_BYTES");
    uint64_t bytes = wish == NULL ? 64 * MEGA : strtoull(wish, NULL, 10) / MEGA * MEGA;
    struct rig_peer peer = rig_peer_tcp(port);
    struct rig_answer answer;
    char wanted[100];

    size_t grown = send_much(&peer, target, bytes);
    rig_answer_read(&peer, true, &answer);
    snprintf(wanted, sizeof wanted, "1 parts, 1 ends, %llu bytes", (unsigned long long)bytes);
    cr_expect_str_eq((const char *)answer.body, wanted);
    cr_expect_lt(grown, 16 * MEGA, "%zu", grown);
    rig_answer_free(&answer);
    rig_peer_close(&peer);
}

Test(http_multipart_large, an_upload_passes_with_constant_memory)
{
    expect_constant_memory("/count");
}

Test(http_multipart_large, an_upload_reaches_the_disk_with_constant_memory)
{
    expect_constant_memory("/much");
}

/* Fills the line until nothing goes any more. Returns how much it took of `left`. */
static size_t fill(struct rig_peer *peer, const uint8_t *bytes, size_t left)
{
    size_t sent = 0;
    uint64_t since = rig_now_ms();

    while (sent < left && rig_now_ms() - since < 300) {
        ptrdiff_t n = rig_peer_try_send(peer, bytes + sent, left - sent);
        rig_check(n >= 0);
        sent += (size_t)n;
        since = n > 0 ? rig_now_ms() : since;
        if (n == 0) {
            rig_rest(since + 1000);
        }
    }
    return sent;
}

Test(http_multipart, a_reader_that_rests_makes_the_peer_wait)
{
    enum { MUCH = 64 * MEGA };
    struct rig_peer peer = rig_peer_tcp(port);
    struct rig_answer answer;
    uint8_t *bytes = rig_pattern_new(MUCH);
    char head[200];

    snprintf(head, sizeof head,
             "POST /slowly HTTP/1.1\r\nHost: a\r\n" TYPE "Content-Length: %zu\r\n\r\n",
             strlen(FIELD("a")) + MUCH + strlen(END));
    rig_peer_send_text(&peer, head);
    rig_peer_send_text(&peer, FIELD("a"));
    rig_await(atomic_load(&paused) == 1);
    size_t sent = fill(&peer, bytes, MUCH);
    cr_expect_lt(sent, MUCH);
    cr_expect_lt(atomic_load(&progress), MEGA);
    rig_check(cw_http_post(rig_host_server(host), paused_id, go_on, NULL) == 0);
    rig_peer_send(&peer, bytes + sent, MUCH - sent);
    rig_peer_send_text(&peer, END);
    rig_answer_read(&peer, true, &answer);
    cr_expect_eq(answer.status, 200);
    cr_expect_eq(atomic_load(&progress), MUCH);
    rig_answer_free(&answer);
    rig_peer_close(&peer);
    free(bytes);
}

/* ---- other people's programs ---- */

static void make_file(const char *name, const char *text, char path[128])
{
    snprintf(path, 128, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    fclose(file);
}

static void expect_program(const char *const *words, const char *wanted)
{
    static struct rig_child child;
    int status = rig_run_words(&child, words);

    cr_expect_eq(status, 0, "%d: %s", status, child.text);
    cr_expect_str_eq(child.text, wanted);
}

Test(http_multipart, curl_uploads)
{
    char url[64];
    char path[128];
    char argument[200];

    if (!rig_has_program("curl")) {
        cr_skip_test("curl is not installed");
    }
    make_file("a \"b\".txt", "hello", path);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/disk", port);
    snprintf(argument, sizeof argument, "a=@\"%s/a \\\"b\\\".txt\";type=text/x-test", folder);
    expect_program(RIG_WORDS("curl", "-sS", "-F", "f=one two", "-F", argument, "-F", "f=;", url),
                   "{one two}{}<a|a \"b\".txt|text/x-test|5|hello>");
    expect_program(RIG_WORDS("curl", "-sS", "--form-escape", "-F", argument, url),
                   "<a|a \"b\".txt|text/x-test|5|hello>");
    expect_program(RIG_WORDS("curl", "-sS", "-H", "Transfer-Encoding: chunked", "-H",
                             "Expect: 100-continue", "-F", argument, url),
                   "<a|a \"b\".txt|text/x-test|5|hello>");
    (void)unlink(path);
}

Test(http_multipart, node_uploads_with_fetch_and_form_data)
{
    static const char script[] =
        "const form = new FormData();"
        "form.append('f', 'one\\ntwo');"
        "form.append('a\"b', new Blob(['hello'], {type: 'text/x-test'}), 'ü \"q\".txt');"
        "form.append('c', new Blob(['x'.repeat(300000)]), 'big');"
        "fetch(process.argv[1], {method: 'POST', body: form}).then(r => r.text())"
        ".then(t => console.log(t.replace('x'.repeat(300000), 'many')));";
    char url[64];

    if (!rig_has_program("node")) {
        cr_skip_test("node is not installed");
    }
    snprintf(url, sizeof url, "http://127.0.0.1:%u/disk", port);
    expect_program(
        RIG_WORDS("node", "--no-warnings", "-e", script, url),
        "{one\r\ntwo}<a\"b|\xc3\xbc \"q\".txt|text/x-test|5|hello><c|big|application/octet-stream|300000|many>\n");
}

Test(http_multipart, python_uploads_in_chunks)
{
    static const char script[] =
        "import sys, http.client\n"
        "b = 'x' * 70\n"
        "def pieces():\n"
        "    yield ('--%s\\r\\nContent-Disposition: form-data; name=\"f\"\\r\\n\\r\\nvalue\\r\\n' % b).encode()\n"
        "    yield ('--%s\\r\\nContent-Disposition: form-data; name=\"a\"; filename*=utf-8\\'\\'%%c3%%bc.txt\\r\\n\\r\\n' % b).encode()\n"
        "    for i in range(1000): yield b'0123456789'\n"
        "    yield ('\\r\\n--%s--\\r\\n' % b).encode()\n"
        "c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]))\n"
        "c.request('POST', '/disk', body=pieces(), encode_chunked=True, headers={\n"
        "    'Content-Type': 'multipart/form-data; boundary=\"%s\"' % b, 'Transfer-Encoding': 'chunked'})\n"
        "print(c.getresponse().read().decode().replace('0123456789' * 1000, 'many'))\n";
    char text[8];

    if (!rig_has_program("python3")) {
        cr_skip_test("python3 is not installed");
    }
    snprintf(text, sizeof text, "%u", port);
    expect_program(RIG_WORDS("python3", "-c", script, text),
                   "{value}<a|\xc3\xbc.txt|text/plain|10000|many>\n");
}
