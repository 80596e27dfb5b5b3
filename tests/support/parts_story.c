#include "support/parts_story.h"
#include "multipart_parser.h"

#include <causeway/error.h>
#include <stdio.h>
#include <stdlib.h>

struct story {
    char *text;
    size_t len;
    FILE *file;
};

static void say(struct story *story, const char *text)
{
    if (fputs(text, story->file) < 0) {
        abort();
    }
}

static void tell_head(struct story *story, struct cw_multipart *parser)
{
    struct cw_multipart_head head = {NULL, NULL, NULL};
    const char *why = NULL;

    if (cw_multipart_read_head(parser->head, parser->head_len, &head, &why) < 0) {
        fprintf(story->file, "[!%s]", why);
        return;
    }
    fprintf(story->file, "[%s|%s|%s]", head.name, head.filename ? head.filename : "-",
            head.type ? head.type : "-");
}

static void tell(struct story *story, struct cw_multipart *parser, int event, struct cw_span data)
{
    switch (event) {
    case CW_MULTIPART_HEAD:
        tell_head(story, parser);
        break;
    case CW_MULTIPART_DATA:
        if (data.len == 0 || fwrite(data.data, 1, data.len, story->file) != data.len) {
            abort();
        }
        break;
    case CW_MULTIPART_PART_END:
        say(story, ";");
        break;
    case CW_MULTIPART_END:
        say(story, ".");
        break;
    default:
        fprintf(story->file, "!%s", parser->why);
        break;
    }
}

/* A copy of exactly that size, so that a look past a piece is seen. */
static int feed(struct story *story, struct cw_multipart *parser, struct cw_span piece)
{
    uint8_t *copy = malloc(piece.len > 0 ? piece.len : 1);
    struct cw_span data;
    int event;

    if (copy == NULL) {
        abort();
    }
    memcpy(copy, piece.data, piece.len);
    struct cw_span in = cw_span_of(copy, piece.len);
    while ((event = cw_multipart_next(parser, &in, &data)) > 0) {
        tell(story, parser, event, data);
    }
    if (event < 0) {
        tell(story, parser, event, data);
    }
    free(copy);
    return event;
}

static void read_all(struct story *story, struct cw_multipart *parser, struct cw_span body,
                     size_t (*next_cut)(size_t left, void *arg), void *arg)
{
    int code = CW_OK;

    while (body.len > 0 && code == CW_OK) {
        size_t len = next_cut == NULL ? body.len : next_cut(body.len, arg);
        code = feed(story, parser, cw_span_of(body.data, len));
        body.data += len;
        body.len -= len;
    }
    if (code == CW_OK && !cw_multipart_is_whole(parser)) {
        say(story, "?");
    }
}

char *parts_story(const char *boundary, struct cw_span body, size_t head_cap,
                  size_t (*next_cut)(size_t left, void *arg), void *arg, size_t *len)
{
    struct story story = {NULL, 0, NULL};
    struct cw_multipart parser;
    char *head = malloc(head_cap > 0 ? head_cap : 1);

    story.file = open_memstream(&story.text, &story.len);
    if (head == NULL || story.file == NULL) {
        abort();
    }
    if (cw_multipart_begin(&parser, cw_span_text(boundary), head, head_cap) < 0) {
        say(&story, "!!");
    } else {
        read_all(&story, &parser, body, next_cut, arg);
    }
    fclose(story.file);
    free(head);
    if (len != NULL) {
        *len = story.len;
    }
    return story.text;
}
