/* Whatever comes in: a code of json.h, and cJSON never refuses what the scan has let through. */
#include <causeway/error.h>
#include <causeway/json.h>
#include <cjson/cJSON.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cJSON *json = NULL;
    struct cJSON *again = NULL;
    int code = cw_json_parse(cw_span_of(data, size), NULL, &json);

    if (code != CW_OK) {
        if (json != NULL || (code != CW_EJSON && code != CW_ETOOBIG)) {
            abort();
        }
        return 0;
    }
    /* What was read, printed, is JSON again; larger at most by its numbers. */
    char *text = cJSON_PrintUnformatted(json);
    const struct cw_json_limits wide = {.bytes_max = CW_NO_LIMIT};
    if (text == NULL || cw_json_parse(cw_span_text(text), &wide, &again) != CW_OK) {
        abort();
    }
    cJSON_Delete(again);
    cJSON_free(text);
    cJSON_Delete(json);
    return 0;
}
