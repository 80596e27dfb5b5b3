#ifndef CAUSEWAY_TESTS_CONFIG_TEXT_H
#define CAUSEWAY_TESTS_CONFIG_TEXT_H

/* A server and its configuration file, written by the test. */

#include <causeway/causeway.h>

/* The test's own; rig_config_end frees and removes them. */
extern struct cw_server *rig_config_server;
extern char rig_config_folder[64];
extern char rig_config_path[128];

/* Makes the folder. rig_config_load and those below do it themselves. */
void rig_config_begin(void);
void rig_config_end(void);

/* Writes the file. */
void rig_config_write(const char *text);

/* Makes a server anew that speaks framed, and loads the file into it. */
int rig_config_load_with(const char *text, const struct cw_config_options *options);

/* The same with the lines of `server` alone; fails the test when it is refused. Returns what was read. */
const struct cw_config *rig_config_load(const char *text);

/* What the server says of its file, behind the file's name. */
const char *rig_config_said(void);

/* The file is refused with this sentence (behind the file's name), and nothing is set. */
void rig_config_expect_refused(const char *text, const char *sentence);

/* The same, for the lines of `server`. */
void rig_config_expect_wrong(const char *text, const char *sentence);

/* The text of a file of the tree; free() it. */
char *rig_config_read_file(const char *name);

#endif
