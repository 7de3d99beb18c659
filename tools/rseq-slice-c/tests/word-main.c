/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "word.h"

int main(void)
{
	return word_test();
}
