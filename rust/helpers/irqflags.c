// SPDX-License-Identifier: GPL-2.0

#include <linux/irqflags.h>

/*
 * Modules can call the C originals, which are inline. They reach these when the
 * helpers are inlined into them or, otherwise, as exported functions.
 */

__rust_helper void rust_helper_local_irq_disable(void)
{
	local_irq_disable();
}

__rust_helper void rust_helper_local_irq_enable(void)
{
	local_irq_enable();
}
