/* docs/errors.md has a row for every code, with its number, and no row for any other. */
#include "support/leak.h"

#include <causeway/error.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(errors_page, .fini = rig_expect_no_leak, .timeout = 30);

struct row {
    const char *name;
    int number;
};

static const struct row codes[] = {
#define ROW(name, number, text) {#name, number},
    CW_ERRORS(ROW)
#undef ROW
        {"CW_BY_PEER", CW_BY_PEER},
    {"CW_BY_APP", CW_BY_APP},
    {"CW_BY_ABORT", CW_BY_ABORT},
    {"CW_BY_STOP", CW_BY_STOP},
    {"CW_SWITCHED", CW_SWITCHED},
    {"CW_BY_PROTOCOL", CW_BY_PROTOCOL},
    {"CW_EXPIRED", CW_EXPIRED},
    {"CW_REPLACED", CW_REPLACED},
};
enum { CODES = sizeof codes / sizeof codes[0] };

static size_t index_of(const struct row *row)
{
    size_t i = 0;

    while (i < CODES && (strcmp(codes[i].name, row->name) != 0 || codes[i].number != row->number)) {
        i++;
    }
    return i;
}

Test(errors_page, every_code_has_one_row_with_its_number)
{
    FILE *page = fopen(CW_SOURCE_DIR "/docs/errors.md", "r");
    unsigned rows[CODES] = {0};
    char line[1000];

    cr_assert_not_null(page);
    while (fgets(line, sizeof line, page) != NULL) {
        char name[32];
        struct row row = {.name = name};
        if (sscanf(line, "| `%31[A-Z_]` | %d |", name, &row.number) == 2) {
            size_t i = index_of(&row);
            cr_expect_lt(i, CODES, "%s has another number, or does not exist", name);
            rows[i < CODES ? i : 0]++;
        }
    }
    fclose(page);
    for (size_t i = 0; i < CODES; i++) {
        cr_expect_eq(rows[i], 1, "%s", codes[i].name);
    }
}

Test(errors_page, every_code_has_its_name_and_a_sentence)
{
    for (size_t i = 0; i < CODES; i++) {
        cr_expect_str_eq(cw_error_name(codes[i].number), codes[i].name);
        cr_expect_str_neq(cw_strerror(codes[i].number), cw_strerror(-1000), "%s", codes[i].name);
    }
}
