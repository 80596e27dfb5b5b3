/* Memory that runs out when a test wants it to. */
#ifndef CAUSEWAY_TESTS_FAULT_H
#define CAUSEWAY_TESTS_FAULT_H

#include <stdbool.h>
#include <stddef.h>

/* Puts the allocator in force that can fail. Before anything of Causeway exists. */
void fault_install(void);

/* Back to malloc. When nothing of Causeway exists any more. */
void fault_remove(void);

/* Has the n-th allocation from now fail, counted from 1; 0: none. */
void fault_arm(size_t nth);

/* Whether the armed one has come. Disarms. */
bool fault_disarm(void);

#endif
