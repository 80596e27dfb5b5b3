/* Answers that are JSON. */
#include <causeway/error.h>
#include <causeway/http.h>
#include <cjson/cJSON.h>

int cw_http_reply_json(struct cw_http_exchange *http, int status, const struct cJSON *json)
{
    char *text = cJSON_PrintUnformatted(json);

    if (text == NULL) {
        return CW_EINVAL;
    }
    int code = cw_http_reply(http, status, "application/json", cw_span_text(text));
    cJSON_free(text);
    return code;
}
