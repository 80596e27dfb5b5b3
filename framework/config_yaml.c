/* Events of libyaml, put together into a tree. The tree is built without recursion: how deep it gets is the file's wish. */
#include "config_yaml.h"

#include <assert.h>
#include <causeway/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

struct builder {
    struct cw_arena *arena;
    struct cw_yaml_fault *fault;
    struct cw_yaml_node *root;
    struct cw_yaml_node *open; /* the innermost list or mapping */
    const char *name;          /* a key that waits for its value */
    unsigned name_line;
    uint64_t depth;
    uint64_t depth_max;
    unsigned documents;
    bool ended;
};

static unsigned line_of(const yaml_mark_t *mark)
{
    return mark->line < 4000000000u ? (unsigned)mark->line + 1 : 0;
}

__attribute__((format(printf, 3, 4))) static int refuse(struct builder *builder,
                                                        const yaml_event_t *event,
                                                        const char *format, ...)
{
    va_list args;

    builder->fault->code = CW_ECONFIG;
    builder->fault->line = line_of(&event->start_mark);
    va_start(args, format);
    vsnprintf(builder->fault->text, sizeof builder->fault->text, format, args);
    va_end(args);
    return CW_ECONFIG;
}

static int out_of_memory(struct builder *builder)
{
    builder->fault->code = CW_ENOMEM;
    snprintf(builder->fault->text, sizeof builder->fault->text, "%s", cw_strerror(CW_ENOMEM));
    return CW_ENOMEM;
}

static const yaml_char_t *anchor_of(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor;
    default:
        return NULL;
    }
}

static const yaml_char_t *tag_of(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.tag;
    default:
        return NULL;
    }
}

static int check_extras(struct builder *builder, const yaml_event_t *event)
{
    if (event->type == YAML_ALIAS_EVENT) {
        return refuse(builder, event, "aliases (*%.40s) are not allowed; write the value again",
                      (const char *)event->data.alias.anchor);
    }
    if (anchor_of(event)) {
        return refuse(builder, event, "anchors (&%.40s) are not allowed; write the value again",
                      (const char *)anchor_of(event));
    }
    if (tag_of(event)) {
        return refuse(builder, event, "tags (%.40s) are not allowed; write the value alone",
                      (const char *)tag_of(event));
    }
    return CW_OK;
}

/* Hangs a new node where the next value belongs. */
static struct cw_yaml_node *add(struct builder *builder, const yaml_event_t *event,
                                enum cw_yaml_kind kind)
{
    struct cw_yaml_node *node = cw_arena_alloc(builder->arena, sizeof *node);
    struct cw_yaml_node *parent = builder->open;

    if (!node) {
        return NULL;
    }
    node->kind = kind;
    node->line = line_of(&event->start_mark);
    node->name = builder->name;
    node->name_line = builder->name_line;
    node->parent = parent;
    builder->name = NULL;
    if (!parent) {
        builder->root = node;
    } else if (parent->last) {
        parent->last->next = node;
        parent->last = node;
    } else {
        parent->first = parent->last = node;
    }
    return node;
}

static bool awaits_key(const struct builder *builder)
{
    return builder->open && builder->open->kind == CW_YAML_MAPPING && !builder->name;
}

static int take_scalar(struct builder *builder, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    struct cw_yaml_node *node;
    char *copy;

    if (memchr(text, '\0', len)) {
        return refuse(builder, event, "a text with a zero byte in it is not allowed");
    }
    copy = cw_arena_text(builder->arena, text, len);
    if (!copy) {
        return out_of_memory(builder);
    }
    if (awaits_key(builder)) {
        builder->name = copy;
        builder->name_line = line_of(&event->start_mark);
        return CW_OK;
    }
    node = add(builder, event, CW_YAML_SCALAR);
    if (!node) {
        return out_of_memory(builder);
    }
    node->text = copy;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return CW_OK;
}

static int take_start(struct builder *builder, const yaml_event_t *event, enum cw_yaml_kind kind)
{
    struct cw_yaml_node *node;

    if (awaits_key(builder)) {
        return refuse(builder, event, "a key is a word; a list or mapping cannot be one");
    }
    if (++builder->depth > builder->depth_max) {
        return refuse(builder, event, "lists and mappings lie deeper than allowed; at most %llu",
                      (unsigned long long)builder->depth_max);
    }
    node = add(builder, event, kind);
    if (!node) {
        return out_of_memory(builder);
    }
    builder->open = node;
    return CW_OK;
}

static int take(struct builder *builder, const yaml_event_t *event)
{
    int error = check_extras(builder, event);

    if (error < 0) {
        return error;
    }
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return ++builder->documents > 1
                   ? refuse(builder, event, "a second document begins; one is allowed")
                   : CW_OK;
    case YAML_SCALAR_EVENT:
        return take_scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT:
        return take_start(builder, event, CW_YAML_LIST);
    case YAML_MAPPING_START_EVENT:
        return take_start(builder, event, CW_YAML_MAPPING);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        assert(builder->open);
        builder->open = builder->open->parent;
        builder->depth--;
        return CW_OK;
    case YAML_STREAM_END_EVENT:
        builder->ended = true;
        return CW_OK;
    default:
        return CW_OK;
    }
}

/* What libyaml says of the place; of bytes that are no text it knows only how far they are from the start. */
static int explain(struct builder *builder, const yaml_parser_t *parser, struct cw_span text)
{
    struct cw_yaml_fault *fault = builder->fault;

    if (parser->error == YAML_MEMORY_ERROR) {
        return out_of_memory(builder);
    }
    fault->code = CW_ECONFIG;
    fault->line = line_of(&parser->problem_mark);
    fault->column = (unsigned)(parser->problem_mark.column % 1000000) + 1;
    if (parser->error == YAML_READER_ERROR) {
        size_t line_start = 0;

        fault->line = 1;
        for (size_t i = 0; i < text.len && i < parser->problem_offset; i++) {
            if (text.data[i] == '\n') {
                fault->line++;
                line_start = i + 1;
            }
        }
        fault->column = (unsigned)((parser->problem_offset - line_start) % 1000000) + 1;
    }
    snprintf(fault->text, sizeof fault->text, "not YAML: %s",
             parser->problem ? parser->problem : "it cannot be read");
    return CW_ECONFIG;
}

static int build(struct builder *builder, yaml_parser_t *parser, struct cw_span text)
{
    int error = CW_OK;

    while (error == CW_OK && !builder->ended) {
        yaml_event_t event;

        if (!yaml_parser_parse(parser, &event)) {
            return explain(builder, parser, text);
        }
        error = take(builder, &event);
        yaml_event_delete(&event);
    }
    return error;
}

int cw_yaml_read(struct cw_arena *arena, struct cw_span text, uint64_t depth_max,
                 struct cw_yaml_node **root, struct cw_yaml_fault *fault)
{
    struct builder builder = {.arena = arena, .fault = fault, .depth_max = depth_max};
    yaml_parser_t parser;
    int error;

    *root = NULL;
    *fault = (struct cw_yaml_fault){0};
    if (!yaml_parser_initialize(&parser)) {
        return out_of_memory(&builder);
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, text.data, text.len);
    error = build(&builder, &parser, text);
    yaml_parser_delete(&parser);
    if (error == CW_OK) {
        *root = builder.root;
    }
    return error;
}
