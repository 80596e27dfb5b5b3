/* What both sides of the chat know: its names and how its messages are written. */
#ifndef EXAMPLES_CHAT_PROTOCOL_H
#define EXAMPLES_CHAT_PROTOCOL_H

#include <stdbool.h>

struct cJSON;

enum {
    CHAT_PAGE_PORT = 8080,    /* HTTP and WebSocket */
    CHAT_PORT = 7340,         /* framed TCP */
    CHAT_NAME_MAX_BYTES = 64, /* of nicknames and of rooms */
};

/* Says what is wrong with a nickname or the name of a room, as in "it is empty"; NULL: nothing. */
const char *chat_name_trouble(const char *name);

/* Begins a message of a type; NULL when memory ran out. The calls below accept that, and when memory runs
 * out in one of them they free the message and leave NULL: half a message is worse than none. */
struct cJSON *chat_message_new(const char *type);

/* Adds a text. */
void chat_put_text(struct cJSON **message, const char *name, const char *text);

/* Adds a number. */
void chat_put_number(struct cJSON **message, const char *name, double number);

/* Adds a value, which is taken over whatever happens. */
void chat_put(struct cJSON **message, const char *name, struct cJSON *value);

/* Adds a value to an array in the same way. */
void chat_append(struct cJSON **array, struct cJSON *value);

/* Whether a message is of this type. */
bool chat_is(const struct cJSON *message, const char *type);

#endif
