/* The files of the page are part of the program, so it runs from anywhere. */
#include "chat_page.h"

#include "embedded.h"

#include <causeway/http.h>
#include <causeway/http_middleware.h>
#include <causeway/middleware/http_security_headers.h>
#include <stdio.h>
#include <string.h>

/* Browsers ask each time, and get bytes only when there are others. */
static void reply_file(struct cw_http_exchange *http, void *user)
{
    const struct embedded_file *file = user;

    cw_http_set_field(http, "ETag", file->etag);
    cw_http_set_field(http, "Cache-Control", "no-cache");
    if (cw_http_etag_in(cw_http_field_list(http, "If-None-Match"), file->etag, true)) {
        cw_http_reply_empty(http, 304);
    } else {
        cw_http_reply(http, 200, cw_http_type_of(file->name), file->bytes);
    }
}

static void reply_limits(struct cw_http_exchange *http, void *user)
{
    const struct chat_limits *limits = user;
    bool any = limits->messages_per_s == CW_OFF;

    cw_http_set_field(http, "Cache-Control", "no-store");
    cw_http_replyf(http, 200, "application/json",
                   "{\"messageBytes\":%llu,\"messagesPerSecond\":%llu}",
                   (unsigned long long)limits->message_max_bytes,
                   any ? 0 : (unsigned long long)limits->messages_per_s);
}

void chat_page_serve(struct cw_server *server, const struct chat_limits *limits)
{
    char route[64];

    cw_http_use(server, cw_http_security_headers(&(struct cw_http_security_headers_options){
                            .preset = CW_SECURITY_STRICT}));
    for (const struct embedded_file *file = embedded_files; file->name != NULL; file++) {
        bool first = strcmp(file->name, "index.html") == 0;

        snprintf(route, sizeof route, "GET /%s", first ? "" : file->name);
        cw_http_route(server, route, reply_file, (void *)(uintptr_t)file);
    }
    cw_http_route(server, "GET /limits.json", reply_limits, (void *)(uintptr_t)limits);
}
