#ifndef CAUSEWAY_TESTS_DESCRIPTORS_H
#define CAUSEWAY_TESTS_DESCRIPTORS_H

/* How many descriptors this process has open. */
int rig_descriptors(void);

#endif
