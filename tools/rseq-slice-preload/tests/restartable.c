/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A program with a restartable sequence, stripped or not, like one that tcmalloc is linked into. */
__asm__(".pushsection __rseq_cs, \"aw\"\n\t.balign 32\n\t.long 0, 0\n\t.quad 0, 0, 0\n\t.popsection");

int main(void)
{
	return 0;
}
