/* site: a small application for a browser: notes as a JSON API, an upload, live figures, files, metrics. */
#include "command_line.h"

#include <causeway/causeway.h>
#include <causeway/middleware/access_log.h>
#include <causeway/middleware/http_json.h>
#include <causeway/middleware/http_metrics.h>
#include <causeway/middleware/http_multipart.h>
#include <causeway/middleware/http_security_headers.h>
#include <causeway/middleware/http_static.h>
#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdio.h>

enum { NOTES_MAX = 100, NOTE_MAX = 200, WATCHERS_MAX = 200, UPLOAD_MAX = 256 << 20 };

/* What all workers share. A lock is enough: nothing is waited for while it is held. */
struct site {
    pthread_mutex_t lock;
    struct cJSON *notes; /* an array of {"id":7,"text":"…"} */
    uint64_t last_id;
    struct cw_http_id watchers[WATCHERS_MAX]; /* exchanges that get events */
    size_t watcher_count;
    struct cw_loop *clock; /* the loop that tells the figures */
    struct cw_server *server;
};

/* ---- events ---- */

/* With the lock held. Who is too slow for an event misses it. */
static void tell(struct site *site, const char *event, const char *data)
{
    for (size_t i = 0; i < site->watcher_count; i++) {
        cw_http_send_event_to(site->server, site->watchers[i],
                              &(struct cw_http_event){.event = event, .data = data});
    }
}

static void tell_figures(struct cw_loop *loop, void *user)
{
    struct site *site = user;
    struct cw_server_stats stats;
    char data[200];

    cw_server_stats(site->server, &stats);
    snprintf(data, sizeof data, "{\"conns\":%llu,\"requests\":%llu,\"in\":%llu,\"out\":%llu}",
             (unsigned long long)stats.conns_open, (unsigned long long)stats.messages_in,
             (unsigned long long)stats.bytes_in, (unsigned long long)stats.bytes_out);
    pthread_mutex_lock(&site->lock);
    tell(site, "figures", data);
    pthread_mutex_unlock(&site->lock);
}

static void forget_watcher(struct cw_http_exchange *http, const struct cw_http_outcome *outcome,
                           void *user)
{
    struct site *site = user;
    struct cw_http_id id = cw_http_id(http);

    pthread_mutex_lock(&site->lock);
    for (size_t i = 0; i < site->watcher_count; i++) {
        if (site->watchers[i].conn == id.conn && site->watchers[i].request == id.request) {
            site->watchers[i] = site->watchers[--site->watcher_count];
            break;
        }
    }
    pthread_mutex_unlock(&site->lock);
}

/* GET /events */
static void watch(struct cw_http_exchange *http, void *user)
{
    struct site *site = user;
    bool full = cw_http_on_done(http, forget_watcher, site) < 0;

    pthread_mutex_lock(&site->lock);
    full = full || site->watcher_count == WATCHERS_MAX;
    if (!full) {
        site->watchers[site->watcher_count++] = cw_http_id(http);
    }
    pthread_mutex_unlock(&site->lock);
    full ? cw_http_reply_error(http, 503, "Too many pages are watching.")
         : cw_http_begin_events(http, &(struct cw_http_events_options){.retry_ms = 2000});
}

/* ---- notes ---- */

/* GET /api/notes */
static void list_notes(struct cw_http_exchange *http, void *user)
{
    struct site *site = user;

    pthread_mutex_lock(&site->lock);
    cw_http_reply_json(http, 200, site->notes);
    pthread_mutex_unlock(&site->lock);
}

/* POST /api/notes {"text":"…"} */
static void add_note(struct cw_http_exchange *http, void *user)
{
    struct site *site = user;
    const struct cJSON *body = cw_http_body_json(http, NULL);
    const char *text = body != NULL ? cw_json_text(body, "text") : NULL;
    struct cJSON *note;

    if (body == NULL) {
        return; /* that has been answered */
    }
    if (text == NULL || text[0] == '\0' || strlen(text) > NOTE_MAX) {
        cw_http_reply_error(http, 422, "A text of 1 to 200 bytes is needed.");
        return;
    }
    pthread_mutex_lock(&site->lock);
    note = cJSON_GetArraySize(site->notes) < NOTES_MAX ? cJSON_CreateObject() : NULL;
    if (note != NULL) {
        cJSON_AddNumberToObject(note, "id", (double)++site->last_id);
        cJSON_AddStringToObject(note, "text", text);
        cJSON_AddItemToArray(site->notes, note);
        tell(site, "notes", "changed");
        cw_http_reply_json(http, 201, note);
    } else {
        cw_http_reply_error(http, 409, "The list is full; remove something first.");
    }
    pthread_mutex_unlock(&site->lock);
}

/* DELETE /api/notes/:id<int> */
static void remove_note(struct cw_http_exchange *http, void *user)
{
    struct site *site = user;
    struct cJSON *note;
    uint64_t id = 0;
    bool found;

    cw_span_to_u64(cw_http_param(http, "id"), UINT32_MAX, &id);
    pthread_mutex_lock(&site->lock);
    cJSON_ArrayForEach(note, site->notes)
    {
        if (cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(note, "id")) == (double)id) {
            break;
        }
    }
    found = note != NULL;
    cJSON_Delete(cJSON_DetachItemViaPointer(site->notes, note));
    tell(site, "notes", "changed");
    pthread_mutex_unlock(&site->lock);
    found ? cw_http_reply_empty(http, 204) : cw_http_reply_error(http, 404, "No such note.");
}

/* ---- the upload ---- */

/* The file goes when the exchange is done: nobody asked to keep it. */
static void uploaded(struct cw_http_exchange *http, struct cw_http_upload *upload, void *user)
{
    const struct cw_http_file *file = cw_http_upload_file(upload, "file");

    if (file == NULL) {
        cw_http_reply_error(http, 422, "No file was chosen.");
        return;
    }
    cw_http_replyf(http, 200, "text/plain; charset=utf-8", "%s: %llu bytes of %s", file->filename,
                   (unsigned long long)file->size, file->type);
}

/* POST /upload */
static void upload(struct cw_http_exchange *http, void *user)
{
    cw_http_read_upload(http, &(struct cw_http_upload_options){.directory = "/tmp"}, uploaded, NULL);
}

/* ---- the server ---- */

static void print_listening(struct cw_server *server, const struct cw_address *address,
                            const char *text, void *user)
{
    printf("listening on %s\n", text);
    fflush(stdout);
}

/* One of the loops tells the figures; its timer ends with it. */
static void start_clock(struct cw_server *server, struct cw_loop *loop, void *user)
{
    struct site *site = user;

    pthread_mutex_lock(&site->lock);
    if (site->clock == NULL && cw_timer_start(loop, 1000, 1000, tell_figures, site) != NULL) {
        site->clock = loop;
    }
    pthread_mutex_unlock(&site->lock);
}

static const struct cw_hooks hooks = {.on_listening = print_listening,
                                      .on_worker_start = start_clock};

static void add_routes(struct cw_server *server, struct site *site, const char *files)
{
    struct cw_http_group *notes = cw_http_group(server, "/api/notes", NULL);

    cw_http_group_route(notes, "GET /", list_notes, site, NULL);
    cw_http_group_route(notes, "POST /", add_note, site, NULL);
    cw_http_group_route(notes, "DELETE /:id<int>", remove_note, site, NULL);
    cw_http_route(server, "GET /events", watch, site);
    cw_http_route_with(server, "POST /upload", upload, NULL,
                       &(struct cw_http_route_options){
                           .stream = true, .body_max_bytes = UPLOAD_MAX, .response_ms = CW_OFF});
    cw_http_static(server, "/", files, NULL);
}

int main(int argc, char **argv)
{
    static struct site site = {.lock = PTHREAD_MUTEX_INITIALIZER};
    const struct program program = {.name = "site",
                                    .about = "Notes, an upload and live figures, for a browser.",
                                    .port = 8080,
                                    .http = &cw_http};
    const struct cw_service services[] = {cw_service(&cw_http, &hooks, &site)};
    struct command_line line;
    int status;

    switch (command_line_read(&line, &program, argv, stdout, stderr)) {
    case COMMAND_LINE_HELP:
        return 0;
    case COMMAND_LINE_WRONG:
        return 1;
    case COMMAND_LINE_RUN:
        break;
    }
    command_line_set_log(&line);
    command_line_set_memory(&line);
    site.server = cw_create_server(&cw_http);
    site.notes = cJSON_CreateArray();
    cw_server_set_hooks(site.server, &hooks, &site);
    cw_http_configure(site.server, &line.http);
    cw_http_use(site.server, cw_http_metrics(NULL)); /* GET /metrics */
    cw_http_use(site.server, cw_access_log(NULL));
    cw_http_use(site.server, cw_http_security_headers(&(struct cw_http_security_headers_options){
                                 .preset = CW_SECURITY_STRICT}));
    add_routes(site.server, &site, line.static_dir != NULL ? line.static_dir : EXAMPLE_FILES);
    command_line_set_up(site.server, &line, services, 1);
    status = cw_server_main(site.server);
    cJSON_Delete(site.notes);
    return status;
}
