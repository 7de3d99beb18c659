/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The locks whose instructions tests/run counts, in an object of their own. */
#ifndef COUNT_H
#define COUNT_H

/* How the thread is: as without set-up, or with a control word that no kernel looks at. */
void count_use(volatile unsigned char *word);

/* Locks and unlocks, and adds 1, in one function. */
void count_whole(int *lock, long *counter);

/* The same in two, as a library of locks does. */
void *count_lock(int *lock);
void count_unlock(int *lock, void *token);

#endif
