#include "chat_protocol.h"

#include <cjson/cJSON.h>
#include <stdint.h>
#include <string.h>

#include <causeway/json.h>

struct range {
    uint32_t first;
    uint32_t last;
};

static const struct range controls[] = {{0x00, 0x1f}, {0x7f, 0x9f}};
static const struct range spaces[] = {{0x20, 0x20},     {0xa0, 0xa0},     {0x1680, 0x1680},
                                      {0x2000, 0x200a}, {0x202f, 0x202f}, {0x205f, 0x205f},
                                      {0x2800, 0x2800}, {0x3000, 0x3000}};

/* Names that differ by them alone look the same, or they turn the line around that the name stands in. */
static const struct range hidden[] = {{0xad, 0xad},     {0x61c, 0x61c},   {0x115f, 0x1160},
                                      {0x180e, 0x180e}, {0x200b, 0x200b}, {0x200e, 0x200f},
                                      {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164},
                                      {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff9, 0xfffb}};

#define IS_OF(ranges, letter) is_of(ranges, sizeof(ranges) / sizeof *(ranges), letter)

static bool is_of(const struct range *ranges, size_t count, uint32_t letter)
{
    for (size_t i = 0; i < count; i++) {
        if (letter >= ranges[i].first && letter <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

/* The next letter of UTF-8. */
static uint32_t next_letter(const unsigned char **at)
{
    uint32_t letter = *(*at)++;

    if (letter >= 0xc0) {
        letter &= letter >= 0xf0 ? 0x07 : letter >= 0xe0 ? 0x0f : 0x1f;
    }
    while ((**at & 0xc0) == 0x80) {
        letter = letter << 6 | (*(*at)++ & 0x3f);
    }
    return letter;
}

const char *chat_name_trouble(const char *name)
{
    const unsigned char *at = (const unsigned char *)name;
    bool shows = false;

    if (strlen(name) > CHAT_NAME_MAX_BYTES) {
        return "it is longer than 64 bytes";
    }
    while (*at != '\0') {
        uint32_t letter = next_letter(&at);

        if (IS_OF(controls, letter)) {
            return "it holds a control character";
        }
        if (IS_OF(hidden, letter)) {
            return "it holds a character that nobody sees";
        }
        shows = shows || !IS_OF(spaces, letter);
    }
    return shows ? NULL : "it is empty";
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
