/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Between section.c and the shared object section-plugin.c, which has sections of its own. */
#ifndef SECTION_H
#define SECTION_H

/* Runs work() in a section. Returns whether the section made the request. */
int plugin_section(void (*work)(void));
int plugin_support(void);
volatile unsigned char *plugin_ctrl(void);

#endif
