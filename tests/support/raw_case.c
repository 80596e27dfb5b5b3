/* Raw requests and their answers, read from files. */
#include "support/raw_case.h"

#include "support/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 4096 };

static void wrong(const char *path, unsigned line, const char *what)
{
    rig_fail(path, (int)line, "%s", what);
}

/* ---- bytes ---- */

/* One escape; at: behind the backslash. Returns what follows it; NULL: none that is known. */
static const char *append_escape(struct rig_bytes *bytes, const char *at)
{
    static const char letters[] = "rnt0s\\#>+=";
    static const char meanings[] = "\r\n\t\0 \\#>+=";
    const char *letter = *at == '\0' ? NULL : strchr(letters, *at);
    unsigned number;
    char byte;
    int used = 0;

    if (letter != NULL) {
        rig_append(bytes, &meanings[letter - letters], 1);
        return at + 1;
    }
    if (sscanf(at, "x%2x%n", &number, &used) == 1 && used == 3) {
        byte = (char)number;
        rig_append(bytes, &byte, 1);
        return at + 3;
    }
    if (sscanf(at, "{%u*%c}%n", &number, &byte, &used) == 2 && used > 0) {
        for (unsigned i = 0; i < number; i++) {
            rig_append(bytes, &byte, 1);
        }
        return at + used;
    }
    return NULL;
}

bool raw_append(struct rig_bytes *bytes, const char *at)
{
    while (at != NULL && *at != '\0') {
        if (*at == '\\') {
            at = append_escape(bytes, at + 1);
        } else {
            rig_append(bytes, at++, 1);
        }
    }
    return at != NULL;
}

/* ---- lines ---- */

static struct raw_case *begin_case(struct raw_cases *cases, const char *name)
{
    cases->list = realloc(cases->list, (cases->count + 1) * sizeof *cases->list);
    rig_check(cases->list != NULL);
    struct raw_case *added = &cases->list[cases->count++];
    *added = (struct raw_case){0};
    snprintf(added->name, sizeof added->name, "%.*s", RAW_NAME_MAX - 1, name);
    return added;
}

/* `200 400 closes` */
static bool read_answers(struct raw_case *last, const char *text)
{
    int status;
    int used = 0;

    while (sscanf(text, "%d %n", &status, &used) == 1) {
        if (last->status_count == RAW_ANSWERS_MAX) {
            return false;
        }
        last->statuses[last->status_count++] = status;
        text += used;
    }
    last->stays = strcmp(text, "stays") == 0;
    return last->status_count > 0 && (last->stays || strcmp(text, "closes") == 0);
}

static bool read_line(struct raw_cases *cases, const char *line)
{
    struct raw_case *last = cases->count == 0 ? NULL : &cases->list[cases->count - 1];

    if (line[0] == '\0' || line[0] == '#') {
        return true;
    }
    if (line[0] == '>') {
        return begin_case(cases, line + 2) != NULL;
    }
    if (last == NULL) {
        return false;
    }
    if (line[0] == '=') {
        return read_answers(last, line + 2);
    }
    if (line[0] == '+') {
        return last->body_count < RAW_ANSWERS_MAX &&
               raw_append(&last->bodies[last->body_count++], line + 2);
    }
    bool shifted = line[0] == ' ' && line[1] != '\0' && strchr("#>+=", line[1]) != NULL;
    return raw_append(&last->bytes, shifted ? line + 1 : line);
}

struct raw_cases raw_cases_read(const char *path)
{
    struct raw_cases cases = {0};
    char text[LINE_MAX_BYTES];
    unsigned number = 0;

    snprintf(text, sizeof text, "%s/tests/%s", CW_SOURCE_DIR, path);
    FILE *file = fopen(text, "r");
    rig_check(file != NULL);
    while (fgets(text, sizeof text, file) != NULL) {
        text[strcspn(text, "\n")] = '\0';
        number++;
        if (!read_line(&cases, text)) {
            wrong(path, number, "no line of such a file");
        }
    }
    fclose(file);
    for (size_t i = 0; i < cases.count; i++) {
        if (cases.list[i].status_count == 0 || cases.list[i].bytes.len == 0) {
            wrong(path, 0, cases.list[i].name);
        }
    }
    return cases;
}

void raw_cases_free(struct raw_cases *cases)
{
    for (size_t i = 0; i < cases->count; i++) {
        rig_release(&cases->list[i].bytes);
        for (size_t j = 0; j < cases->list[i].body_count; j++) {
            rig_release(&cases->list[i].bodies[j]);
        }
    }
    free(cases->list);
    *cases = (struct raw_cases){0};
}
