/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* count on|off whole|two TIMES: takes a lock that often, for an instrument that counts. */
#include <stdlib.h>
#include <string.h>

#include "count.h"

int main(int argc, char **argv)
{
	static volatile unsigned char word[4];
	long counter = 0, times, i;
	int taken = 0;

	if (argc != 4)
		return 2;
	times = atol(argv[3]);
	count_use(strcmp(argv[1], "on") ? 0 : word);
	if (!strcmp(argv[2], "whole")) {
		for (i = 0; i < times; i++)
			count_whole(&taken, &counter);
	} else {
		for (i = 0; i < times; i++) {
			void *token = count_lock(&taken);

			counter++;
			count_unlock(&taken, token);
		}
	}
	return counter != times || word[0];
}
