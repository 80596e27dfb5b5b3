#include "values.h"

#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit time_units[] = {
    {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {"", 1000}};
static const struct unit size_units[] = {
    {"", 1}, {"K", 1024}, {"k", 1024}, {"M", 1048576}, {"G", 1073741824}};
static const struct unit no_unit[] = {{"", 1}};

static bool times(uint64_t *value, uint64_t factor)
{
    if (*value > UINT64_MAX / factor) {
        return false;
    }
    *value *= factor;
    return true;
}

static bool read_with_unit(const char *text, const struct unit *units, size_t count, uint64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number = 0;

    if (digits == 0) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (!times(&number, 10) || digit > UINT64_MAX - number) {
            return false;
        }
        number += digit;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text + digits, units[i].name) == 0) {
            *value = number;
            return times(value, units[i].factor);
        }
    }
    return false;
}

bool read_count(const char *text, uint64_t *count)
{
    return read_with_unit(text, no_unit, 1, count);
}

bool read_size(const char *text, uint64_t *bytes)
{
    return read_with_unit(text, size_units, sizeof size_units / sizeof size_units[0], bytes);
}

bool read_duration(const char *text, uint64_t *ms)
{
    return read_with_unit(text, time_units, sizeof time_units / sizeof time_units[0], ms);
}

char *print_duration(uint64_t ms, char *text)
{
    const struct unit *unit = time_units;

    while (ms % unit->factor != 0) {
        unit++;
    }
    snprintf(text, 24, "%llu%s", (unsigned long long)(ms / unit->factor), unit->name);
    return text;
}
