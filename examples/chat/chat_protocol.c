#include "chat_protocol.h"

#include <cjson/cJSON.h>
#include <string.h>

#include <causeway/json.h>

/* U+0000 to U+001F, U+007F, and in UTF-8 U+0080 to U+009F. */
static bool control_at(const unsigned char *text)
{
    return text[0] < 0x20 || text[0] == 0x7f || (text[0] == 0xc2 && text[1] < 0xa0);
}

const char *chat_name_trouble(const char *name)
{
    if (name[0] == '\0') {
        return "it is empty";
    }
    if (strlen(name) > CHAT_NAME_MAX_BYTES) {
        return "it is longer than 64 bytes";
    }
    for (const unsigned char *at = (const unsigned char *)name; *at != '\0'; at++) {
        if (control_at(at)) {
            return "it holds a control character";
        }
    }
    return NULL;
}

static void give_up(struct cJSON **message)
{
    cJSON_Delete(*message);
    *message = NULL;
}

struct cJSON *chat_message_new(const char *type)
{
    struct cJSON *message = cJSON_CreateObject();

    chat_put_text(&message, "type", type);
    return message;
}

void chat_put_text(struct cJSON **message, const char *name, const char *text)
{
    chat_put(message, name, cJSON_CreateString(text));
}

void chat_put_number(struct cJSON **message, const char *name, double number)
{
    chat_put(message, name, cJSON_CreateNumber(number));
}

void chat_put(struct cJSON **message, const char *name, struct cJSON *value)
{
    if (!cJSON_AddItemToObject(*message, name, value)) {
        cJSON_Delete(value);
        give_up(message);
    }
}

void chat_append(struct cJSON **array, struct cJSON *value)
{
    if (!cJSON_AddItemToArray(*array, value)) {
        cJSON_Delete(value);
        give_up(array);
    }
}

bool chat_is(const struct cJSON *message, const char *type)
{
    const char *text = cw_json_text(message, "type");

    return text != NULL && strcmp(text, type) == 0;
}
