/* Frames as text, both ways. Nothing in here is code of the framework: it is a second reading of RFC 6455 §5. */
#include "support/ws_case.h"

#include "support/raw_case.h"
#include "support/wait.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LINE_MAX_BYTES = 4096,
    FIN = 0x80,
    CONTINUATION = 0,
    CLOSE = 8,
};

static const struct kind {
    const char *word;
    unsigned first;
} kinds[] = {
    {"text", 0x81}, {"text-", 0x01}, {"binary", 0x82}, {"binary-", 0x02}, {"cont", 0x80},
    {"cont-", 0},   {"ping", 0x89},  {"pong", 0x8a},   {"close", 0x88},   {"op", 0},
};

/* A line, taken apart. */
struct line {
    unsigned first;
    unsigned form;          /* 16, 64: bits of the length. 0: the shortest */
    long long unsigned len; /* that the head says. ULLONG_MAX: the payload's */
    unsigned split;         /* payload bytes of each frame. 0: one frame */
    bool flip;              /* the mask: there when it should not be, and the other way round */
    bool close;
    struct rig_bytes payload;
};

/* ---- frames ---- */

static void put_number(struct rig_bytes *bytes, unsigned long long number, unsigned count)
{
    while (count-- > 0) {
        uint8_t byte = (uint8_t)(number >> 8 * count);

        rig_append(bytes, &byte, 1);
    }
}

static void put_head(struct rig_bytes *bytes, const struct line *line, unsigned first, size_t there,
                     bool masked)
{
    unsigned long long len = line->len == UINT64_MAX ? there : line->len;
    unsigned form = line->form != 0 ? line->form : len < 126 ? 7 : len < 65536 ? 16 : 64;
    unsigned len7 = form == 7 ? (unsigned)len : form == 16 ? 126 : 127;

    put_number(bytes, first, 1);
    put_number(bytes, len7 + (masked ? 128 : 0), 1);
    put_number(bytes, len, form == 7 ? 0 : form / 8);
}

static void put_frame(struct rig_bytes *bytes, const struct line *line, unsigned first,
                      struct cw_span payload, bool masked)
{
    static uint32_t turns;
    uint8_t mask[4] = {0};

    put_head(bytes, line, first, payload.len, masked);
    for (size_t i = 0; i < sizeof mask && masked; i++) {
        mask[i] = (uint8_t)(0x37fa213d * ++turns >> 24);
    }
    rig_append(bytes, mask, masked ? sizeof mask : 0);
    for (size_t i = 0; i < payload.len; i++) {
        uint8_t byte = payload.data[i] ^ mask[i % 4];

        rig_append(bytes, &byte, 1);
    }
}

static void put_frames(struct rig_bytes *bytes, const struct line *line, bool masked)
{
    size_t each = line->split != 0 ? line->split : line->payload.len;
    size_t at = 0;

    do {
        size_t left = line->payload.len - at;
        size_t len = left < each ? left : each;
        unsigned first = at == 0 ? line->first : line->first & 0xf0;

        put_frame(bytes, line, len < left ? first & 0x7f : first,
                  cw_span_of(line->payload.data + at, len), masked);
        at += len;
    } while (at < line->payload.len);
}

/* ---- lines ---- */

/* One of `form=16 `, `len=5 `, `split=3 `, `first=83 `, `mask `. Returns how long it is; 0: it is none. */
static int read_how(struct line *line, const char *text)
{
    int used = 0;

    if (strncmp(text, "mask ", 5) == 0) {
        line->flip = true;
        return 5;
    }
    (void)(sscanf(text, "form=%u %n", &line->form, &used) == 1 ||
           sscanf(text, "len=%llu %n", &line->len, &used) == 1 ||
           sscanf(text, "split=%u %n", &line->split, &used) == 1 ||
           sscanf(text, "first=%x %n", &line->first, &used) == 1);
    return used;
}

static bool read_kind(struct line *line, const char **text)
{
    size_t len = strcspn(*text, " ");

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strlen(kinds[i].word) == len && strncmp(kinds[i].word, *text, len) == 0) {
            line->first = line->first != UINT32_MAX ? line->first : kinds[i].first;
            line->close = strncmp(*text, "close", len) == 0;
            *text += (*text)[len] == ' ' ? len + 1 : len;
            return true;
        }
    }
    return false;
}

bool ws_case_append(struct rig_bytes *bytes, const char *text, enum cw_role tested)
{
    struct line line = {.len = UINT64_MAX, .first = UINT32_MAX};
    unsigned code;
    int used;

    if (strncmp(text, "raw ", 4) == 0) {
        return raw_append(bytes, text + 4);
    }
    while ((used = read_how(&line, text)) > 0) {
        text += used;
    }
    bool right = read_kind(&line, &text);
    if (right && line.close && sscanf(text, "%u%n", &code, &used) == 1) {
        put_number(&line.payload, code, 2);
        text += text[used] == ' ' ? used + 1 : used;
    }
    right = right && raw_append(&line.payload, text);
    put_frames(bytes, &line, (tested == CW_SERVER) != line.flip);
    rig_release(&line.payload);
    return right;
}

/* ---- files ---- */

/* `name`, or `name (server)`, which a client need not keep. NULL: not for this side. */
static struct ws_case *begin_case(struct ws_cases *cases, const char *text, enum cw_role tested)
{
    const char *side = strchr(text, ' ');
    size_t len = side != NULL ? (size_t)(side - text) : strlen(text);

    if (side != NULL && strcmp(side, tested == CW_SERVER ? " (server)" : " (client)") != 0) {
        return NULL;
    }
    cases->list = realloc(cases->list, (cases->count + 1) * sizeof *cases->list);
    rig_check(cases->list != NULL);
    struct ws_case *added = &cases->list[cases->count++];
    *added = (struct ws_case){0};
    snprintf(added->name, sizeof added->name, "%.*s", (int)len, text);
    return added;
}

static bool append_story(struct ws_case *last, const char *text)
{
    last->ends = strncmp(text, "close", 5) == 0;
    bool right = raw_append(&last->story, text);
    rig_append(&last->story, "\n", 1);
    return right;
}

static bool read_line(struct ws_cases *cases, struct ws_case **last, const char *text,
                      enum cw_role tested)
{
    if (text[0] == '\0' || text[0] == '#') {
        return true;
    }
    if (text[0] == '>') {
        *last = begin_case(cases, text + 2, tested);
        return true;
    }
    if (*last == NULL) {
        return true; /* for the other side */
    }
    if (text[0] == '=') {
        return append_story(*last, text + 2);
    }
    (*last)->cut |= strstr(text, "len=") != NULL && strstr(text, "form=") == NULL;
    return ws_case_append(&(*last)->bytes, text, tested);
}

struct ws_cases ws_cases_read(const char *path, enum cw_role tested)
{
    struct ws_cases cases = {0};
    struct ws_case *last = NULL;
    char text[LINE_MAX_BYTES];
    int number = 0;

    snprintf(text, sizeof text, "%s/tests/%s", CW_SOURCE_DIR, path);
    FILE *file = fopen(text, "r");
    rig_check(file != NULL);
    while (fgets(text, sizeof text, file) != NULL) {
        text[strcspn(text, "\n")] = '\0';
        number++;
        if (!read_line(&cases, &last, text, tested)) {
            rig_fail(path, number, "no line of such a file");
        }
    }
    fclose(file);
    return cases;
}

void ws_cases_free(struct ws_cases *cases)
{
    for (size_t i = 0; i < cases->count; i++) {
        rig_release(&cases->list[i].bytes);
        rig_release(&cases->list[i].story);
    }
    free(cases->list);
    *cases = (struct ws_cases){0};
}

/* ---- telling ---- */

struct found {
    unsigned first;
    bool masked;
    uint8_t mask[4];
    struct cw_span payload;
};

static uint64_t take_number(struct cw_span *rest, size_t count)
{
    uint64_t number = 0;

    for (size_t i = 0; i < count; i++) {
        number = number * 256 + rest->data[i];
    }
    *rest = cw_span_of(rest->data + count, rest->len - count);
    return number;
}

/* Takes the next frame off; NULL, or what is wrong with it. */
static const char *take_frame(struct cw_span *rest, struct found *found)
{
    if (rest->len < 2) {
        return "a head that is cut";
    }
    found->first = (unsigned)take_number(rest, 1);
    uint64_t len = take_number(rest, 1);
    found->masked = len >= 128;
    len %= 128;
    size_t more = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (rest->len < more + (found->masked ? 4 : 0)) {
        return "a head that is cut";
    }
    uint64_t least = more == 2 ? 126 : more == 8 ? 65536 : 0;
    len = more > 0 ? take_number(rest, more) : len;
    if (len < least) {
        return "a length that is not the shortest";
    }
    memset(found->mask, 0, sizeof found->mask);
    for (size_t i = 0; i < 4 && found->masked; i++) {
        found->mask[i] = (uint8_t)take_number(rest, 1);
    }
    if (rest->len < len) {
        return "a payload that is cut";
    }
    found->payload = cw_span_of(rest->data, (size_t)len);
    *rest = cw_span_of(rest->data + len, rest->len - (size_t)len);
    return NULL;
}

static void append_payload(struct rig_bytes *bytes, const struct found *found)
{
    for (size_t i = 0; i < found->payload.len; i++) {
        uint8_t byte = found->payload.data[i] ^ found->mask[i % 4];

        rig_append(bytes, &byte, 1);
    }
}

static void tell(struct rig_bytes *story, const char *word, const struct rig_bytes *payload)
{
    rig_append(story, word, strlen(word));
    rig_append(story, " ", payload->len > 0 ? 1 : 0);
    rig_append(story, payload->data, payload->len);
    rig_append(story, "\n", 1);
}

static const char *tell_control(struct rig_bytes *story, const struct found *found)
{
    static const char *const words[] = {"close", "ping", "pong"};
    struct rig_bytes payload = {0};
    unsigned kind = (found->first & 15) - CLOSE;
    char code[8];

    if (found->first < FIN || kind > 2 || found->payload.len > 125) {
        return "a control frame that is none";
    }
    append_payload(&payload, found);
    if (kind == 0 && payload.len > 0) {
        int len = snprintf(code, sizeof code, "%d", payload.data[0] * 256 + payload.data[1]);

        payload.len = 0;
        rig_append(&payload, code, (size_t)len);
    }
    tell(story, words[kind], &payload);
    rig_release(&payload);
    return NULL;
}

/* message: what has come of it; first: of its first frame, 0: there is none. */
static const char *tell_data(struct rig_bytes *story, struct rig_bytes *message, unsigned *first,
                             const struct found *found)
{
    bool begins = (found->first & 15) != CONTINUATION;

    if (begins == (*first != 0)) {
        return "fragments out of order";
    }
    *first = begins ? found->first & 15 : *first;
    append_payload(message, found);
    if (found->first >= FIN) {
        tell(story, *first == 1 ? "text" : "binary", message);
        message->len = 0;
        *first = 0;
    }
    return NULL;
}

const char *ws_story_of(struct cw_span bytes, bool masked, struct rig_bytes *story)
{
    struct rig_bytes message = {0};
    const char *wrong = NULL;
    unsigned first = 0;

    while (wrong == NULL && bytes.len > 0) {
        struct found found;

        wrong = take_frame(&bytes, &found);
        if (wrong == NULL && found.masked != masked) {
            wrong = masked ? "a mask is missing" : "a mask";
        } else if (wrong == NULL && (found.first & 0x70) != 0) {
            wrong = "reserved bits";
        } else if (wrong == NULL && (found.first & 15) >= CLOSE) {
            wrong = tell_control(story, &found);
        } else if (wrong == NULL) {
            wrong = tell_data(story, &message, &first, &found);
        }
    }
    rig_release(&message);
    return wrong;
}
