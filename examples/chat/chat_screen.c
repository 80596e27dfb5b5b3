#include "chat_screen.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void print_time(void)
{
    time_t now = time(NULL);
    struct tm parts;
    char text[16];

    if (localtime_r(&now, &parts) != NULL && strftime(text, sizeof text, "%H:%M:%S ", &parts) > 0) {
        fputs(text, stdout);
    }
}

/* U+2028 to U+202E and U+2066 to U+2069: ends of lines, and marks that turn the direction of writing. */
static bool turns_the_line(const uint8_t *at)
{
    return at[0] == 0xe2 && ((at[1] == 0x80 && at[2] >= 0xa8 && at[2] <= 0xae) ||
                             (at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9));
}

/* Prints one character and returns how many bytes of it are done with. */
static size_t print_visibly(const uint8_t *at)
{
    if (at[0] < 0x20 || at[0] == 0x7f) {
        printf("^%c", at[0] ^ 0x40);
        return 1;
    }
    if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) {
        printf("<U+%04X>", (unsigned)at[1]);
        return 2;
    }
    if (turns_the_line(at)) {
        printf("<U+%04X>", 0x2000u | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu));
        return 3;
    }
    putchar(at[0]);
    return 1;
}

void screen_print(const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0) {
        return;
    }
    print_time();
    for (const uint8_t *at = (const uint8_t *)text; *at != '\0';) {
        at += print_visibly(at);
    }
    putchar('\n');
    fflush(stdout);
    free(text);
}
