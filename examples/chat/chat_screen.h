/* What the terminal shows. */
#ifndef EXAMPLES_CHAT_SCREEN_H
#define EXAMPLES_CHAT_SCREEN_H

/* Prints one line: the time, then the text, formatted as printf does. Whatever a peer has put into it,
 * nothing reaches the terminal that could move its cursor, colour it, or turn the direction of writing:
 * such characters are made visible, as `^[` for escape. */
__attribute__((format(printf, 1, 2))) void screen_print(const char *format, ...);

#endif
