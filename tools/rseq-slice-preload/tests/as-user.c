/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Starts a program as another user than root: as-user PROGRAM ARGUMENT... */
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 2 || setgid(65534) || setuid(65534))
		return 2;
	execv(argv[1], argv + 1);
	perror(argv[1]);
	return 2;
}
