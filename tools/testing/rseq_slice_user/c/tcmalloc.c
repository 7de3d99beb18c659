/* SPDX-License-Identifier: GPL-2.0 */
/* What programs find of TCMalloc when they look whether it is there. */
void TCMallocInternalMalloc(void);
void TCMallocInternalMalloc(void)
{
}
