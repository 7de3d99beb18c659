// SPDX-License-Identifier: GPL-2.0

#include <linux/hrtimer_rearm.h>

__rust_helper void rust_helper_hrtimer_rearm_deferred_tif(unsigned long tif_work)
{
	hrtimer_rearm_deferred_tif(tif_work);
}
